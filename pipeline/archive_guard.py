"""What an archive from a stranger may hold, and what is said of one that is damaged or hostile."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected

# A member that claims more than this is refused: no single item of any dataset comes near it.
MAX_MEMBER_BYTES = 2 * 1024**3
MAX_MEMBERS = 1_000_000  # and as many directories; NSynth, the largest in files, has 289,206
MAX_RATIO = (
    200  # of unpacked to packed; published ones have 1 to 10, silence and text less than 100
)
MIN_BOMB_BYTES = 1024**3  # what unpacks to less is no bomb, whatever its ratio


class Guard:
    """What a member may be named, and how much all may unpack to."""

    def __init__(self, archive: Path, num_packed: int) -> None:
        self._archive = archive
        self._limit = max(MIN_BOMB_BYTES, MAX_RATIO * num_packed)
        self._names: set[str] = set()
        self._total = 0

    def check(self, name: str, full_name: str, num_bytes: int) -> None:
        self._total += num_bytes
        if _LEAVES.search(name):
            self._refuse(full_name, "points outside the archive")
        if full_name in self._names:
            self._refuse(full_name, "is there twice")
        is_archive = name.lower().endswith(".zip")
        if num_bytes < 0 or (num_bytes > MAX_MEMBER_BYTES and not is_archive):
            self._refuse(full_name, f"claims {num_bytes} bytes of at most {MAX_MEMBER_BYTES}")
        if self._total > self._limit:
            self._refuse(full_name, f"brings it to {self._total} bytes unpacked, as in a bomb")
        self._names.add(full_name)
        if len(self._names) > MAX_MEMBERS:
            self._refuse(full_name, f"is one more than {MAX_MEMBERS} files")

    def _refuse(self, name: str, problem: str) -> None:
        raise PipelineError(f"{self._archive}: its member {name!r} {problem}. {REMEDY}")


REMEDY = "Do not use this archive; get it from its publisher."
# "..", an absolute path, a drive letter, a NUL; with either kind of slash.
_LEAVES = re.compile(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:[/\\]|\0")


class Header(tarfile.TarInfo):
    """Reads no more than this of a header that extends another: long names, pax attributes."""

    MAX_BYTES = 1 << 20

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if not (self.isfile() or self.isdir()) and not 0 <= self.size <= self.MAX_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes at byte {self.offset}")
        return super()._proc_member(tar)  # type: ignore[misc]


def check_count(file: IO[bytes], container: str) -> None:
    """Before zipfile makes an object of half a kB for each entry."""
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end and end[5] > 2 * MAX_MEMBERS * 46:  # the directory's bytes; an entry has 46 at least
        raise PipelineError(f"{container} lists more than {2 * MAX_MEMBERS} members. {REMEDY}")


@contextmanager
def refusing_damage(archive: Path) -> Iterator[None]:
    """Says of an archive that is cut off, damaged, or none at all what it is."""
    try:
        yield
    except Rejected:  # of one member
        raise
    except _DAMAGE as error:
        raise PipelineError(
            f"{archive} is damaged, or neither a zip nor a tar(.gz) archive ({error}). "
            f"{FETCH_AGAIN}"
        ) from error


# zipfile raises the IndexError for an empty name; rapidgzip the last two for what C++ throws.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    IndexError,
    RuntimeError,
    ValueError,
)
