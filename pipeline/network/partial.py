"""A file that is half there: its bytes, and a journal that claims no more than is on the disk.

The journal beside it has one JSON value a line: what is being fetched; then [start, end) of each
block that was written; and, after each fsync, how many of these lines it covers. A kill leaves
what was written in the kernel's hands, so all lines count when the journal is read in the same
boot; after a crash of the machine, only the synced ones do. A line cut short is no line.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from pipeline import files

BLOCK_BYTES = 1 << 17
_BLOCK_SECONDS = 1.0
_SYNC_BYTES = 64 << 20
_SYNC_SECONDS = 30.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Part:
    """The beginning of a file, or several pieces of it. Threads may write at the same time.

    Attributes:
      path: of the bytes; the file has its full size from the start, with holes.
      about: what it is part of, as it was given to `open`, or None if nothing is there.
    """

    def __init__(self, path: Path):
        self.path = path
        self.about: dict[str, Any] | None = None
        self._journal_path = path.with_name(f"{path.name}.jsonl")
        self._starts: dict[int, int] = {}  # the start of each written range by its end
        self._file = self._journal = -1
        self._num_lines = self._num_unsynced = 0
        self._synced_at = 0.0
        self._writing, self._syncing = Lock(), Lock()
        self._load()

    @property
    def num_done(self) -> int:
        return sum(end - start for end, start in self._starts.copy().items())

    @property
    def is_complete(self) -> bool:
        return self.about is not None and self.about["num_bytes"] == self.num_done

    @property
    def num_allocated(self) -> int:
        """Bytes of disk that it has already, holes left out."""
        return self.path.stat().st_blocks * 512 if self.path.exists() else 0

    def open(self, about: Mapping[str, Any], keep: bool) -> None:
        """Makes it ready to be written.

        Args:
          about: JSON values; "num_bytes" is the size of the whole file, or None.
          keep: what is there belongs to it; else that is thrown away.
        """
        self.close()
        if not keep:
            self._starts = {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(self._file, about["num_bytes"] or 0)
        self.about = dict(about)
        self._write_journal()

    def missing(self) -> list[tuple[int, int]]:
        """The gaps, in order, as [start, end); the size must be known."""
        assert self.about is not None
        gaps, position = [], 0
        for start, end in [*self._ranges(), (self.about["num_bytes"], 0)]:
            if start > position:
                gaps.append((position, start))
            position = end
        return gaps

    def write(self, start: int, block: bytes | bytearray) -> None:
        """Puts a block in its place, then says so in the journal."""
        with self._writing:
            view, position = memoryview(block), start
            while view:
                num_written = os.pwrite(self._file, view, position)
                view, position = view[num_written:], position + num_written
            self._say([start, position])
            self._starts[position] = self._starts.pop(start, start)
            self._num_lines += 1
            self._num_unsynced += len(block)
            elapsed = time.monotonic() - self._synced_at
        if self._num_unsynced >= _SYNC_BYTES or elapsed >= _SYNC_SECONDS:
            self._sync()

    def close(self) -> None:
        """Ends all writing, also that of other threads; what was written stays."""
        with self._syncing, self._writing:
            for descriptor in (self._file, self._journal):
                if descriptor >= 0:
                    os.close(descriptor)
            self._file = self._journal = -1

    def discard(self) -> None:
        self.close()
        self._journal_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.about, self._starts = None, {}

    def finish(self, path: Path) -> None:
        """Gives the whole file its name; its bytes are on the disk before."""
        descriptor = os.open(self.path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        self.close()
        os.replace(self.path, path)
        self._journal_path.unlink(missing_ok=True)

    def _load(self) -> None:
        if not self.path.exists() or not self._journal_path.exists():
            return
        lines = _lines(self._journal_path.read_bytes())
        about = lines[0] if lines else None
        if not isinstance(about, dict) or "num_bytes" not in about:
            return
        ranges, num_synced = [], 0
        for line in lines[1:]:
            if isinstance(line, list):
                ranges.append((line[0], line[1]))
            elif isinstance(line, dict):
                num_synced = line["synced"]
        if about.pop("boot", None) != _boot() or _boot() is None:
            ranges = ranges[:num_synced]
        if any(end > self.path.stat().st_size for _, end in ranges):
            return
        self.about = about
        for start, end in sorted(ranges):
            self._starts[end] = self._starts.pop(start, start)

    def _write_journal(self) -> None:
        """Begins a short journal: what there is, synced."""
        os.fsync(self._file)
        about: dict[str, Any] = {**(self.about or {}), "boot": _boot()}
        lines: list[Any] = [about, *self._ranges()]
        with files.atomic_open(self._journal_path, "w") as file:
            for line in [*lines, {"synced": len(lines) - 1}]:
                file.write(json.dumps(line) + "\n")
        self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_APPEND)
        self._num_lines, self._num_unsynced = len(lines) - 1, 0
        self._synced_at = time.monotonic()

    def _sync(self) -> None:
        """Blocks written meanwhile are not claimed: only the lines that stood before it are."""
        if not self._syncing.acquire(blocking=False):
            return  # another thread is at it
        try:
            with self._writing:
                num_lines = self._num_lines
                self._num_unsynced, self._synced_at = 0, time.monotonic()
            os.fsync(self._file)
            with self._writing:
                self._say({"synced": num_lines})
            os.fsync(self._journal)
        finally:
            self._syncing.release()

    def _say(self, line: Any) -> None:
        text = json.dumps(line).encode() + b"\n"
        if os.write(self._journal, text) < len(text):  # as a disk does that is just full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._journal_path))

    def _ranges(self) -> list[tuple[int, int]]:
        """What is there, in order, neighbours as one."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted((start, end) for end, start in self._starts.items()):
            if merged and merged[-1][1] == start:
                start = merged.pop()[0]
            merged.append((start, end))
        return merged


class Writer:
    """Collects what comes in from one offset on, and writes it block by block."""

    def __init__(self, part: Part, start: int):
        self._part, self._position = part, start
        self._block = bytearray()
        self._written_at = time.monotonic()

    def add(self, data: bytes) -> None:
        self._block += data
        is_late = time.monotonic() - self._written_at > _BLOCK_SECONDS
        if len(self._block) >= BLOCK_BYTES or is_late:
            self._write()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        """What came before an error is kept."""
        if self._block:
            self._write()

    def _write(self) -> None:
        self._part.write(self._position, self._block)
        self._position += len(self._block)
        self._block = bytearray()
        self._written_at = time.monotonic()


def _lines(journal: bytes) -> list[Any]:
    """The JSON values up to the first that is damaged."""
    values: list[Any] = []
    for line in journal.split(b"\n")[:-1]:
        try:
            values.append(json.loads(line))
        except ValueError:
            break
    return values


def _boot() -> str | None:
    """A name of this run of the kernel, or None where it has none."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else None
