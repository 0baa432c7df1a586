"""Whether a file is the one that was published, or the one that was there the first time.

Where a publisher gives a checksum, a dataset's module states it. Where he gives none, the first
download decides: its size and SHA-256 go into data/checksums.json, and every later download must
be the same. That file is committed, like a lock file of packages: it is no out of DVC's, which
would empty it before each run, and it is not in .work, which may be deleted at any time; only so
can it say, a year later and on another machine, that what a server gives is no longer what the
experiments were made with.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline import files, locks, paths
from pipeline.datasets.base import Source
from pipeline.errors import PipelineError

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Facts:
    """What identifies a file."""

    num_bytes: int
    sha256: str


class WrongFile(PipelineError):
    """A file that is not the expected one.

    Attributes:
      is_published: the publisher says so; else it differs from the first download.
    """

    def __init__(self, text: str, is_published: bool):
        super().__init__(text)
        self.is_published = is_published


def verify(dataset: str, source: Source, path: Path) -> Facts:
    """Compares a file with what is published of it, or else with what was recorded.

    Args:
      dataset: its name.
      source: names the file, and what its publisher says.
      path: where it is now.

    Returns:
      The size and checksum that were found; the file is read once.

    Raises:
      WrongFile: it differs.
    """
    num_bytes = path.stat().st_size
    if source.num_bytes not in (None, num_bytes):
        raise _not_as_published(source, f"{num_bytes} bytes", f"{source.num_bytes} bytes")
    recorded = None if source.checksum else recorded_facts(dataset, source.file)
    if recorded is not None and recorded.num_bytes != num_bytes:
        raise _not_as_recorded(dataset, source, f"{num_bytes} bytes", f"{recorded.num_bytes} bytes")
    sha256, published = _digests(path, source.checksum)
    if published != source.checksum:
        raise _not_as_published(source, str(published), str(source.checksum))
    if recorded is not None and recorded.sha256 != sha256:
        raise _not_as_recorded(dataset, source, f"sha256:{sha256}", f"sha256:{recorded.sha256}")
    return Facts(num_bytes, sha256)


def recorded_facts(dataset: str, file: str) -> Facts | None:
    facts = _read().get(dataset, {}).get(file)
    return None if facts is None else Facts(**facts)


def record(dataset: str, source: Source, facts: Facts) -> None:
    """Keeps what the first download was, unless its publisher says what it must be."""
    if source.checksum or recorded_facts(dataset, source.file) is not None:
        return
    with locks.held(paths.WORK / "checksums.lock", f"{_path()} is being written", wait=True):
        known = _read()
        known.setdefault(dataset, {})[source.file] = asdict(facts)
        files.write_json(_path(), known)


def _path() -> Path:
    return paths.ROOT / "data" / "checksums.json"


def _read() -> dict[str, dict[str, dict[str, Any]]]:
    try:
        return files.read_json(_path())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PipelineError(
            f"{_path()} is not JSON: {error}. Restore it: `git checkout data/checksums.json`."
        ) from None


def _digests(path: Path, checksum: str | None) -> tuple[str, str | None]:
    """The SHA-256, and the digest that the publisher uses, as he spells it."""
    algorithm = (checksum or "sha256").partition(":")[0]
    sha256, other = hashlib.sha256(), hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(_READ_BYTES):
            sha256.update(block)
            if algorithm != "sha256":
                other.update(block)
    if checksum is None:
        return sha256.hexdigest(), None
    found = sha256 if algorithm == "sha256" else other
    return sha256.hexdigest(), f"{algorithm}:{found.hexdigest()}"


def _not_as_published(source: Source, found: str, expected: str) -> WrongFile:
    return WrongFile(
        f"{source.file} has {found}, its publisher says {expected}. Fetch it again; if it stays "
        "so, its source holds another file.",
        is_published=True,
    )


def _not_as_recorded(dataset: str, source: Source, found: str, expected: str) -> WrongFile:
    return WrongFile(
        f"{source.file} has {found}, but had {expected} when it was first fetched: it changed at "
        f"its source. To accept the new one, delete {dataset}: {source.file} from "
        "data/checksums.json and run it again; else find the old file, and name its directory "
        f"as datasets.{dataset}.source.",
        is_published=False,
    )
