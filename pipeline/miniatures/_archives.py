"""Zip and tar archives that are equal to the byte whenever their members are."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import atomic_open

FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644
_UNIX = 3

Members = Mapping[str, bytes] | Iterable[tuple[str, bytes]]


def write_zip(path: Path, members: Members, compress: bool = True) -> None:
    """Writes a zip archive whose bytes depend on its members only.

    Args:
      path: the archive; it appears when it is whole.
      members: name -> content (written in the order of the names), or pairs whose names ascend,
        which are written as they come and never held together in memory.
      compress: deflate, or store as they are (for members that are compressed already).

    Raises:
      PipelineError: if the names of the pairs do not ascend.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with atomic_open(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in _ascending(path, members):
            member = zipfile.ZipInfo(name, FIRST_ZIP_DATE)
            member.create_system = _UNIX  # else it tells the platform that wrote it
            member.external_attr = _MODE << 16
            archive.writestr(member, content, method, compresslevel=6)


def write_tar_gz(path: Path, members: Members) -> None:
    """Writes a gzipped tar archive whose bytes depend on its members only.

    Args:
      path: the archive; it appears when it is whole.
      members: name -> content (written in the order of the names), or pairs whose names ascend,
        which are written as they come and never held together in memory.

    Raises:
      PipelineError: if the names of the pairs do not ascend.
    """
    with (
        atomic_open(path) as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in _ascending(path, members):
            member = tarfile.TarInfo(name)  # its date, owner and group are 0 and empty
            member.mode = _MODE
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _ascending(path: Path, members: Members) -> Iterable[tuple[str, bytes]]:
    """Gives the members in the order of their names, so that equal sets give equal bytes."""
    if isinstance(members, Mapping):
        yield from sorted(members.items())
        return
    last = None
    for name, content in members:
        if last is not None and name <= last:
            raise PipelineError(
                f"member={name!r} follows {last!r}: the names must ascend ({path}). "
                "Sort the pairs, or pass a mapping."
            )
        last = name
        yield name, content
