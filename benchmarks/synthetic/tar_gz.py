"""A tar.gz as `tar czf` leaves it: GNU headers, directories too, one member of gzip."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import atomic_open

BLOCK = 512
_RECORD = 20 * BLOCK
_MODIFIED = 1_456_000_000  # one date for all; tar czf stores each file's own
_OWNER = "lmd"


def write(path: Path, members: Iterable[tuple[str, bytes]]) -> int:
    """Streams members through `gzip -6`, in the order given.

    Args:
      path: the archive; it appears when it is whole.
      members: name and content; a name that ends in / is a directory's.

    Returns:
      The number of bytes of the tar before it is packed.

    Raises:
      PipelineError: if gzip fails.
    """
    with atomic_open(path) as file:
        command = ["gzip", "-n", "-6", "-c"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=file, bufsize=1 << 20
        ) as process:
            assert process.stdin is not None
            num_bytes = 0
            for name, content in members:
                num_bytes += process.stdin.write(header(name, len(content)))
                num_bytes += process.stdin.write(content)
                num_bytes += process.stdin.write(bytes(-len(content) % BLOCK))
            end = 2 * BLOCK
            num_bytes += process.stdin.write(bytes(end + -(num_bytes + end) % _RECORD))
        if process.returncode:
            raise PipelineError(
                f"gzip={process.returncode}: it failed on {path}. Is the disk full?"
            )
    return num_bytes


def header(name: str, num_bytes: int) -> bytes:
    """The header of a file, or of a directory if the name ends in a slash. Shape [512]."""
    member = tarfile.TarInfo(name.rstrip("/"))
    member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    member.mode = 0o755 if member.isdir() else 0o644
    member.uid = member.gid = 1000
    member.uname = member.gname = _OWNER
    member.mtime = _MODIFIED
    member.size = num_bytes
    return member.tobuf(tarfile.GNU_FORMAT)
