"""What a command takes, with all the processes that it starts: time, memory, disk."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

INTERVAL_SECONDS = 0.2
_MIB = 1024**2


class Taken(NamedTuple):
    """Of one command.

    Attributes:
      seconds: by the clock.
      cpu_seconds: of it and of all descendants that were waited for, user and system.
      process_mib: resident, of the largest process at its peak.
      tree_mib: of all processes together at their peak; what they share counts once.
      disk_bytes: the peak of what the watched folders hold; hard links count once.
    """

    seconds: float
    cpu_seconds: float
    process_mib: float
    tree_mib: float
    disk_bytes: int


def measured(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    watched: Iterable[Path] = (),
) -> Taken:
    """Runs a command to its end. Its output is kept in a file and shown if it fails.

    Args:
      command: the program and its arguments.
      folder: where it runs.
      environment: all of it.
      watched: the folders whose size is followed; they need not exist.

    Raises:
      SystemExit: if it fails.
    """
    log = folder / ".measured.log"
    started = time.perf_counter()
    with open(log, "wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
    sampler = _Sampler(process.pid, tuple(watched))
    sampler.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    sampler.stop()
    if process.returncode:
        said = log.read_text(errors="replace")[-3000:]
        raise SystemExit(f"{' '.join(command)} failed ({process.returncode}):\n{said}")
    # The kernel counts what this process held when it started the command; more is the command's.
    own_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kernels_bytes = 1024 * usage.ru_maxrss if usage.ru_maxrss > own_kib else 0
    return Taken(
        seconds,
        usage.ru_utime + usage.ru_stime,
        max(kernels_bytes, sampler.process_bytes) / _MIB,
        sampler.tree_bytes / _MIB,
        sampler.disk_bytes,
    )


def disk_bytes(folders: Iterable[Path]) -> int:
    """What folders occupy, in blocks as `du` counts them; hard links count once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    left = [str(folder) for folder in folders]
    while left:
        try:
            for entry in os.scandir(left.pop()):
                about = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                elif (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    total += 512 * about.st_blocks
        except FileNotFoundError:
            continue  # renamed or deleted meanwhile
    return total


class _Sampler(threading.Thread):
    """Looks at the processes and folders five times a second."""

    def __init__(self, pid: int, watched: tuple[Path, ...]):
        super().__init__(daemon=True)
        self._pid = pid
        self._watched = watched
        self._ended = threading.Event()
        self.process_bytes = self.tree_bytes = self.disk_bytes = 0

    def run(self) -> None:
        while not self._ended.wait(INTERVAL_SECONDS):
            self._look()

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self.disk_bytes = max(self.disk_bytes, disk_bytes(self._watched))

    def _look(self) -> None:
        sizes = [_memory(pid) for pid in descendants(self._pid)]
        self.process_bytes = max([self.process_bytes, *(peak for peak, _ in sizes)])
        self.tree_bytes = max(self.tree_bytes, sum(share for _, share in sizes))
        self.disk_bytes = max(self.disk_bytes, disk_bytes(self._watched))


def descendants(pid: int) -> list[int]:
    """A process and all that it started, directly or not; those that ended are left out."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            parent = _parent(int(name))
            children.setdefault(parent, []).append(int(name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def _parent(pid: int) -> int:
    """0 if the process has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _memory(pid: int) -> tuple[int, int]:
    """Bytes resident at the peak, and now with shared pages divided; zeros if it has ended."""
    try:
        peak = _field(pid, "status", "VmHWM:")
        return peak, _field(pid, "smaps_rollup", "Pss:")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0, 0


def _field(pid: int, file: str, name: str) -> int:
    with open(f"/proc/{pid}/{file}") as lines:
        for line in lines:
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    return 0
