"""Archives read in place: names and members of a zip or a tar, nothing unpacked to disk.

A member is addressed as "<archive file>!<member>", the archive relative to data/raw/<dataset>.
"""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError

# A member that claims more than this is refused: no single item of any dataset comes near it.
MAX_MEMBER_BYTES = 2 * 1024**3


def members(archive: Path) -> Iterator[str]:
    """The names of the files in an archive, in its own order.

    Raises:
      PipelineError: the file is neither a zip nor a tar, or holds a name that leaves it (`..`, an
        absolute path).
    """
    with _whole(archive):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield from (_safe(i.filename, archive) for i in zipped.infolist() if not i.is_dir())
            return
        with tarfile.open(archive, "r|*") as tar:
            yield from (_safe(m.name, archive) for m in tar if m.isfile())


def read(raw: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted members with their bytes, archive by archive; tars are streamed once.

    A zip is read member by member. Members come in the order of the archive, not of `wanted`.

    Args:
      raw: data/raw/<dataset>.
      wanted: "<archive file>!<member>" for each.

    A member that is not there, or is no plain file, is left out.

    Raises:
      PipelineError: a member claims an absurd size.
    """
    by_archive: dict[str, set[str]] = defaultdict(set)
    for locator in wanted:
        archive, _, member = locator.partition("!")
        by_archive[archive].add(member)
    for archive in sorted(by_archive):
        with _whole(raw / archive):
            for name, data in _read_archive(raw / archive, by_archive[archive]):
                yield f"{archive}!{name}", data


def read_text(raw: Path, locator: str, encoding: str = "utf-8") -> str:
    """One member as text.

    Raises:
      PipelineError: it is not there.
    """
    for _, data in read(raw, [locator]):
        return data.decode(encoding)
    raise PipelineError(
        f"{raw} has no member {locator!r}. Delete the archive, and run `dvc repro`."
    )


def _read_archive(archive: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for name in sorted(wanted.intersection(zipped.namelist())):
                _check_size(name, zipped.getinfo(name).file_size)
                yield name, zipped.read(name)
        return
    left = set(wanted)
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            if member.name not in left or not member.isfile():
                continue
            _check_size(member.name, member.size)
            file = tar.extractfile(member)
            assert file is not None  # isfile() was true
            left.discard(member.name)
            yield member.name, file.read()
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has seen
            if not left:
                return


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    """Says of an archive that is cut off, damaged, encrypted or none at all what it is."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise PipelineError(
            f"{archive} is damaged, or neither a zip nor a tar archive ({error}). Delete it and "
            "run `dvc repro` to fetch it again."
        ) from error


def _safe(name: str, archive: Path) -> str:
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        raise PipelineError(
            f"{archive} holds a member named {name!r}, which points outside the archive. Do not "
            "use this file; get it from its publisher."
        )
    return name


def _check_size(name: str, num_bytes: int) -> None:
    if num_bytes > MAX_MEMBER_BYTES:
        raise PipelineError(
            f"{name} claims {num_bytes} bytes, and no item of a dataset has more than "
            f"{MAX_MEMBER_BYTES}. Do not use this archive; get it from its publisher."
        )
