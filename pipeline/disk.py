"""The disk: room asked for beforehand, its refusals in one sentence, files shared or cloned."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError

_FICLONE = 0x40049409  # linux/fs.h: the target shares the source's blocks until one is written
_CHANGE_MODE = "Change the owner or the mode of the file or its directory"
_SENTENCES = {
    errno.ENOSPC: "the disk is full. Free some of it",
    errno.EDQUOT: "the disk quota is used up. Free some of it",
    errno.EROFS: "the file system is read-only. Make it writable",
    errno.EACCES: f"permission is denied. {_CHANGE_MODE}",
    errno.EPERM: f"the operation is not permitted. {_CHANGE_MODE}",
    errno.EFBIG: "the file is too large for its file system or its limits. Raise them, or move it",
    errno.EIO: "the disk fails to read or write. Check it",
}


def require(directory: Path, num_bytes: int, what: str) -> None:
    """Makes sure that a directory, which need not be there yet, has room.

    Raises:
      PipelineError: it has not: needed, free, where, and what to do.
    """
    there = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < num_bytes:
        raise PipelineError(
            f"{what} needs {size(num_bytes)} of disk in {directory}, of which {size(free)} are "
            "free. Free some, or replace that directory by a link to one on a larger disk; what "
            "is there already is kept."
        )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns what a disk refuses, to a reader or a writer, into one sentence.

    Args:
      what: what could not be done; the file is named behind it.

    Raises:
      PipelineError: in place of an OSError about space, permission or failure of a disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _SENTENCES:
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise PipelineError(
            f"{what}{where}: {_SENTENCES[error.errno]}, and run it again: what is done is kept."
        ) from None


def share(pairs: Sequence[tuple[Path, Path]], what: str) -> None:
    """Gives files a second name by hard links; clones or copies them where that cannot be.

    Args:
      pairs: (source, target) each; the targets are not there yet. Nothing may be written into
        either of them afterwards.
      what: for whom, in the error.
    """
    clone(pairs=[(a, b) for a, b in pairs if not _is_linked(a, b)], what=what)


def clone(pairs: Sequence[tuple[Path, Path]], what: str) -> None:
    """Copies files; where the file system can, the blocks are shared until one is written.

    Raises:
      PipelineError: the copies that are needed find no room; none is begun.
    """
    rest = [(a, b) for a, b in pairs if not _is_cloned(a, b)]
    if rest:
        require(rest[0][1].parent, sum(a.stat().st_size for a, _ in rest), what)
    for source, target in rest:
        shutil.copyfile(source, target)


def size(num_bytes: int) -> str:
    """A number of bytes as a person writes it.

    >>> size(999), size(58_416_533), size(101_000_000_000)
    ('999 B', '58.4 MB', '101 GB')
    """
    if num_bytes < 1000:
        return f"{num_bytes} B"
    value, units = num_bytes / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:  # above it, three digits would round to 1e+03
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def _is_linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        return False  # another device, or a file system without links
    return True


def _is_cloned(source: Path, target: Path) -> bool:
    with open(source, "rb") as old, open(target, "xb") as new:
        try:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
        else:
            return True
    target.unlink()
    return False
