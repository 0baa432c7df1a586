"""The bytes of one member, given where they lie: nothing else of the archive is read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

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
    """

    container: str
    kind: str
    offset: int
    num_stored: int
    num_bytes: int
    crc32: int | None = None
    is_deflated: bool = False


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
