"""One process at a time: a lock file that the kernel lets go of when its holder ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipeline.errors import PipelineError


@contextmanager
def held(path: Path, what: str, wait: bool = False) -> Iterator[IO[str]]:
    """Holds a lock while the block runs; a kill lets go of it, too.

    Args:
      path: the lock file; it stays, empty, when the lock is let go.
      what: what is being done under it, e.g. "datasets.maestro is being fetched".
      wait: for the other process to end, instead of raising.

    Yields:
      The lock file. A child process that is given its descriptor holds the lock as well.

    Raises:
      PipelineError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise PipelineError(f"{what} by another process. Wait for it, or stop it.") from None
        yield lock
