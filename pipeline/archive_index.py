"""Where each member of an archive lies: zip, tar and tar.gz, and zips inside of them; hostile
archives are refused.

Finding the members of a tar.gz means to decompress all of it once. What that finds, with the points
from which decompression can start anew, is kept in .work for the shard jobs and the next corpus.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

from pipeline import archive_guard, disk, files, locks, paths
from pipeline.archive_guard import REMEDY, Guard, Header, check_count, refusing_damage
from pipeline.archive_members import (
    STORED,
    UNPACKED,
    ZIPPED,
    Place,
    Window,
    inflated,
    is_gzip,
    opened,
    parts,
    payload,
)
from pipeline.errors import PipelineError, Rejected

MAX_NESTING = 3  # zips in zips

_KEPT_FROM_BYTES = 64 * 1024**2  # a smaller tar.gz is decompressed again sooner than looked up
_MAX_THREADS = 4  # each may hold a few hundred MiB of what a hostile archive unpacks to
_FORMAT = 2  # of what is kept

_STORED, _DEFLATED, _BZIP2 = 0, 8, 12  # a zip's numbers of the methods

Index = dict[str, Place]


def index(archive: Path) -> Index:
    """The place of each file in an archive, by name, in the archive's order.

    The name of a member of an inner zip is "<inner zip>!<member>".

    Raises:
      PipelineError: it is not there, is neither a zip nor a tar, is damaged, or is hostile: a name
        that leaves it, a link, a device, an encrypted member, a name given twice, or a bomb.
    """
    try:
        about = [part.stat() for part in parts(archive)]
    except FileNotFoundError:
        raise PipelineError(f"{archive} is not there. Run `dvc repro` to fetch it.") from None
    modified_ns = tuple(part.st_mtime_ns for part in about)
    return _index(archive, sum(part.st_size for part in about), modified_ns)


def seek_points(archive: Path) -> Path | None:
    """The file with the points of a .gz from which decompression can start, if it is kept."""
    path = _kept(archive, "index") / "points.gzidx"
    return path if path.is_file() else None


@lru_cache(maxsize=8)
def _index(archive: Path, num_bytes: int, modified_ns: tuple[int, ...]) -> Index:
    del modified_ns  # of the cache's key only
    with refusing_damage(archive):
        if not is_gzip(archive):
            with opened(archive) as file:
                return dict(_members(file, archive, num_bytes))
        if num_bytes < _KEPT_FROM_BYTES:
            return _read_gzip(archive, None)
        folder = _kept(archive, "index")
        # Two corpora of one dataset do not index it at once: the second finds what the first kept.
        lock = folder.with_name(f"{folder.name}.lock")
        with locks.held(lock, f"{archive} is being indexed", wait=True):
            if not folder.is_dir():
                return _read_and_kept(archive, folder)
        kept = json.loads((folder / "members.json").read_text(encoding="utf-8"))
        return {name: Place(*place) for name, place in kept.items()}


def _read_and_kept(archive: Path, folder: Path) -> Index:
    """The index, synced to disk as a whole; those of earlier versions of the archive go."""
    with files.atomic_directory(folder) as out:
        found = _read_gzip(archive, out / "points.gzidx")
        with open(out / "points.gzidx", "rb") as points:
            os.fsync(points.fileno())
        with files.atomic_open(out / "members.json", "w") as file:
            json.dump(found, file)
    for other in folder.parent.glob(f"{glob.escape(archive.name)}-*-index"):
        if other != folder:
            shutil.rmtree(other)
    return found


def _read_gzip(archive: Path, points: Path | None) -> Index:
    import rapidgzip

    threads = min(len(os.sched_getaffinity(0)), _MAX_THREADS)
    with rapidgzip.open(str(archive), parallelization=threads) as file:
        found = dict(_members(file, archive, archive.stat().st_size))
        if points is not None:
            file.export_index(str(points))
    return found


def _kept(archive: Path, what: str) -> Path:
    """Named by size, time, head and tail: a .gz ends in the checksum of its content."""
    about = archive.stat()
    digest = hashlib.sha256(f"{_FORMAT} {about.st_size} {about.st_mtime_ns}".encode())
    with open(archive, "rb") as file:
        digest.update(file.read(1 << 16))
        file.seek(-min(1 << 16, about.st_size), os.SEEK_END)
        digest.update(file.read())
    return paths.WORK / "archives" / f"{archive.name}-{digest.hexdigest()[:16]}-{what}"


def _members(file: IO[bytes], archive: Path, num_packed: int) -> Iterator[tuple[str, Place]]:
    guard = Guard(archive, num_packed)
    if not _is_tar(file) and zipfile.is_zipfile(cast(Any, file)):
        found = _zip_members(file, archive.name, 0)
    else:
        found = _tar_members(file, archive.name)
    yield from _descended(found, file, guard, archive, "", 1)


def _descended(
    found: Iterator[tuple[str, Place]],
    file: IO[bytes],
    guard: Guard,
    archive: Path,
    prefix: str,
    depth: int,
) -> Iterator[tuple[str, Place]]:
    """Members, each inner zip's members in place of it."""
    inner = []
    for name, place in found:
        guard.check(name, prefix + name, place.num_bytes)
        if name.lower().endswith(".zip") and depth <= MAX_NESTING:
            inner.append((prefix + name, place))
        else:
            yield prefix + name, place
    for name, place in inner:
        try:
            container, outer, start = _opened_inner(file, archive, name, place)
        except Rejected as error:
            raise zipfile.BadZipFile(error.detail) from error
        with outer as within:
            zipped = cast(IO[bytes], Window(within, start, place.num_bytes))
            if zipfile.is_zipfile(zipped):
                held = _zip_members(zipped, container, start)
                yield from _descended(held, within, guard, archive, f"{name}!", depth + 1)
            else:
                yield name, place


def _opened_inner(
    file: IO[bytes], archive: Path, name: str, place: Place
) -> tuple[str, AbstractContextManager[IO[bytes]], int]:
    """What an inner zip lies in, and where; unpacked into .work if it was compressed once more."""
    if not (place.is_deflated or place.is_bzip2):
        return place.container, nullcontext(file), payload(file, place, name)
    target = _kept(archive, "inner") / hashlib.sha256(name.encode()).hexdigest()[:16]
    if not target.is_file():
        disk.require(paths.WORK, place.num_bytes, f"unpacking {name}")
        with files.atomic_open(target) as out:
            for chunk in inflated(file, name, place):
                out.write(chunk)
    return f"{UNPACKED}{target.relative_to(paths.WORK)}", open(target, "rb"), 0


def _zip_members(file: IO[bytes], container: str, start: int) -> Iterator[tuple[str, Place]]:
    """The members of a zip that begins `start` bytes into its container."""
    check_count(file, container)
    with zipfile.ZipFile(file) as zipped:
        infos = [info for info in zipped.infolist() if not info.is_dir()]
    num_bytes = file.seek(0, os.SEEK_END)
    end, previous = 0, ""
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise PipelineError(
                f"{container}: the members {previous!r} and {info.filename!r} overlap, as in a "
                f"zip bomb. {REMEDY}"
            )
        end, previous = info.header_offset + 30 + info.compress_size, info.filename
        if end > num_bytes:
            raise zipfile.BadZipFile(f"{info.filename!r} ends behind byte {num_bytes}, the last")
    for info in infos:
        if info.flag_bits & 1:
            raise PipelineError(f"{container}: {info.filename!r} is encrypted. {REMEDY}")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise PipelineError(f"{container}: {info.filename!r} is a link. {REMEDY}")
        if info.compress_type not in (_STORED, _DEFLATED, _BZIP2):
            raise PipelineError(
                f"{container}: {info.filename!r} is compressed by method {info.compress_type}; "
                "read are stored (0), deflate (8) and bzip2 (12). Pack it again, as with "
                "`7z x` and `zip -r`."
            )
        yield (
            info.filename,
            Place(
                container,
                ZIPPED,
                start + info.header_offset,
                info.compress_size,
                info.file_size,
                info.CRC,
                info.compress_type == _DEFLATED,
                info.compress_type == _BZIP2,
            ),
        )


def _is_tar(file: IO[bytes]) -> bool:
    """Asked first, since a tar that ends in an inner zip ends as a zip does."""
    file.seek(0)
    try:
        tarfile.TarInfo.frombuf(file.read(512), tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _tar_members(file: IO[bytes], container: str) -> Iterator[tuple[str, Place]]:
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:", tarinfo=Header) as tar:
        for number, info in enumerate(tar):
            if number > 2 * archive_guard.MAX_MEMBERS:
                raise PipelineError(f"{container} has more than {number} members. {REMEDY}")
            if not (info.isdir() or info.isreg()) or info.issparse():
                raise PipelineError(
                    f"{container}: {info.name!r} is a link, a device or a sparse file. {REMEDY}"
                )
            if info.isreg():
                place = Place(container, STORED, info.offset_data, info.size, info.size)
                yield _text(info.name).removeprefix("./"), place
            tar.members = []  # type: ignore[attr-defined]  # it keeps every header it has seen
        # A cut or damaged header ends tarfile's iteration as quietly as the two empty blocks do.
        file.seek(tar.offset)
        if file.read(512) != bytes(512):
            raise tarfile.ReadError(f"it ends, or is damaged, at byte {tar.offset}")


def _text(name: str) -> str:
    """A name whose bytes are no UTF-8 is read as Latin-1, which all bytes are."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode(errors="surrogateescape").decode("latin-1")
    return name
