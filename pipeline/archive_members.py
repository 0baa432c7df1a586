"""The bytes of one member, given where they lie: nothing else of the archive is read."""

from __future__ import annotations

import bz2
import io
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, count, takewhile
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from pipeline.errors import Rejected

STORED, ZIPPED = "stored", "zipped"
UNPACKED = ".work!"  # in front of a container that lies there: an inner zip that was compressed
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CHUNK_BYTES = 1 << 20


class Place(NamedTuple):
    """Where the bytes of a member are.

    Attributes:
      container: the file, relative to the directory of the archive; behind UNPACKED, to .work.
      kind: STORED, bytes as they are; ZIPPED, behind a local header of a zip.
      offset: in the container, decompressed if that is a .gz.
      num_stored: bytes there, without the header.
      num_bytes: bytes of the member.
      crc32: of the member, where the archive gives one.
      is_deflated: whether they must be inflated.
      is_bzip2: whether they are compressed by bzip2 instead.
    """

    container: str
    kind: str
    offset: int
    num_stored: int
    num_bytes: int
    crc32: int | None = None
    is_deflated: bool = False
    is_bzip2: bool = False


def content(file: IO[bytes], name: str, place: Place) -> bytes:
    """All bytes of a member.

    Raises:
      Rejected: damaged_member, if they are not those that the archive describes.
    """
    data = b"".join(inflated(file, name, place))
    if place.crc32 is not None and zlib.crc32(data) != place.crc32:
        raise _damaged(name, "its checksum is another than the archive's")
    return data


def inflated(file: IO[bytes], name: str, place: Place) -> Iterator[bytes]:
    """The bytes of a member in pieces, never more than it claims.

    Raises:
      Rejected: damaged_member.
    """
    file.seek(payload(file, place, name))
    if place.is_bzip2:
        yield from _decompressed(file, name, place)
        return
    if not place.is_deflated:
        data = file.read(place.num_stored)
        if len(data) != place.num_bytes:
            raise _damaged(name, f"{len(data)} of {place.num_bytes} bytes are there")
        yield data
        return
    inflate, num_left, produced = zlib.decompressobj(-zlib.MAX_WBITS), place.num_stored, 0
    while not inflate.eof and produced <= place.num_bytes:
        packed = inflate.unconsumed_tail or file.read(min(_CHUNK_BYTES, num_left))
        num_left -= 0 if inflate.unconsumed_tail else len(packed)
        try:
            data = inflate.decompress(packed, min(_CHUNK_BYTES, place.num_bytes - produced + 1))
        except zlib.error as error:
            raise _damaged(name, str(error)) from None
        if not packed and not data:
            break
        produced += len(data)
        yield data
    if produced != place.num_bytes or not inflate.eof:
        raise _damaged(name, f"{produced} of {place.num_bytes} bytes came out")


def _decompressed(file: IO[bytes], name: str, place: Place) -> Iterator[bytes]:
    """The same of bzip2, which keeps by itself what it has not yet taken."""
    unpack, num_left, produced = bz2.BZ2Decompressor(), place.num_stored, 0
    while not unpack.eof and produced <= place.num_bytes:
        packed = file.read(min(_CHUNK_BYTES, num_left)) if unpack.needs_input else b""
        if unpack.needs_input and not packed:
            break
        num_left -= len(packed)
        try:
            data = unpack.decompress(packed, min(_CHUNK_BYTES, place.num_bytes - produced + 1))
        except OSError as error:
            raise _damaged(name, str(error)) from None
        produced += len(data)
        yield data
    if produced != place.num_bytes or not unpack.eof:
        raise _damaged(name, f"{produced} of {place.num_bytes} bytes came out")


def payload(file: IO[bytes], place: Place, name: str) -> int:
    """Where the stored bytes begin: behind the local header, if they are a zip's."""
    if place.kind == STORED:
        return place.offset
    file.seek(place.offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise _damaged(name, f"no local header at byte {place.offset}")
    _, num_name, num_extra = _LOCAL_HEADER.unpack(header)
    return place.offset + _LOCAL_HEADER.size + int(num_name) + int(num_extra)


def is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def parts(archive: Path) -> list[Path]:
    """The archive alone, or where it is a <name>.zip.001 also .002, .003 and so on."""
    if archive.suffixes[-2:] != [".zip", ".001"]:
        return [archive]
    numbered = (archive.with_suffix(f".{number:03d}") for number in count(2))
    return [archive, *takewhile(Path.is_file, numbered)]


def opened(archive: Path) -> IO[bytes]:
    """The archive's bytes; parts that a zip was cut into are read as one file, none is joined."""
    files = parts(archive)
    return open(archive, "rb") if len(files) == 1 else cast(IO[bytes], Joined(files))


class Joined(io.RawIOBase):
    """Files that follow each other, as one."""

    def __init__(self, paths: list[Path]) -> None:
        self._files = [open(path, "rb") for path in paths]  # noqa: SIM115
        sizes = [file.seek(0, os.SEEK_END) for file in self._files]
        self._ends, self._at = list(accumulate(sizes)), 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer across the ends of files: whoever reads here expects all he asks for."""
        num_read = 0
        while num_read < len(buffer) and self._at < self._ends[-1]:
            number = bisect_right(self._ends, self._at)
            end = self._ends[number]
            start = self._ends[number - 1] if number else 0
            file = self._files[number]
            file.seek(self._at - start)
            data = file.read(min(len(buffer) - num_read, end - self._at))
            if not data:  # somebody cut it meanwhile
                break
            buffer[num_read : num_read + len(data)] = data
            num_read += len(data)
            self._at += len(data)
        return num_read


class Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, num_bytes: int) -> None:
        self._file, self._start, self._num_bytes, self._at = file, start, num_bytes, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._num_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._num_bytes - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _damaged(name: str, problem: str) -> Rejected:
    return Rejected("damaged_member", f"{name}: {problem}")
