"""Every reader on damaged inputs: none may crash, hang, or take more memory than it is allowed.

Usage: python -m benchmarks.fuzz [--num 100000] [--seed 0] [--formats midi abc] [--boundscheck]
       python -m benchmarks.fuzz --replay "midi 1234"

The only outcomes allowed are a result, Rejected and PipelineError. Each format is read in a process
of its own under a limit of memory (address space, 1 GiB above what the imports take) and of CPU
time for each input; a process that dies is blamed on the input it was at, and goes on behind it.
An input is known by its format, the seed and its index. Those at fault are kept in .work/fuzz.
--boundscheck compiles the MIDI reader anew, with each access to an array checked.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 10
WALL_SECONDS = 120  # for a reader that waits instead of working
FAULTS = Path(".work/fuzz")
_ROW = "| {} | {:,} | {:,} | {:,} | {} | {} | {} | {} | {:.0f} | {:.0f} |"


def main() -> None:
    arguments = parsed_arguments()
    if arguments.worker:
        work(arguments)
        return
    from benchmarks.fuzzing.formats import FORMATS

    if arguments.replay:
        name, _, index = arguments.replay.rpartition(" ")
        with tempfile.TemporaryDirectory() as folder:
            FORMATS[name].read(FORMATS[name].input(name, arguments.seed, int(index)), Path(folder))
        return
    names = ["midi"] if arguments.boundscheck else (arguments.formats or list(FORMATS))
    print("| format | inputs | read | rejected | most for | crashes | hangs | over memory ", end="")
    print("| slowest, ms | inputs/s |\n|---|---:|---:|---:|---|---:|---:|---:|---:|---:|")
    total = Tally()
    for number, name in enumerate(names):
        start = arguments.num * number // len(names)
        tally = fuzz(name, arguments.num * (number + 1) // len(names) - start, arguments)
        print(tally.row(name), flush=True)
        total.add(tally)
    print(total.row("all"))
    for fault in total.faults:
        print(f"- {fault}")
    sys.exit(bool(total.faults))


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--num", type=int, default=10_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+", help="only these")
    parser.add_argument("--boundscheck", action="store_true", help="of the MIDI reader's arrays")
    parser.add_argument("--replay", metavar='"FORMAT INDEX"', help="read one input, unprotected")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


class Tally:
    """What became of the inputs of a format."""

    def __init__(self) -> None:
        self.num_inputs = self.num_read = 0
        self.reasons: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()  # crash, hang, memory
        self.faults: list[str] = []
        self.slowest_seconds = self.seconds = 0.0

    def add(self, other: Tally) -> None:
        self.num_inputs += other.num_inputs
        self.num_read += other.num_read
        self.reasons += other.reasons
        self.kinds += other.kinds
        self.faults += other.faults
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        self.seconds += other.seconds

    def row(self, name: str) -> str:
        most = ", ".join(f"{reason} {num:,}" for reason, num in self.reasons.most_common(3))
        return _ROW.format(
            name,
            self.num_inputs,
            self.num_read,
            sum(self.reasons.values()),
            most,
            *(self.kinds[kind] for kind in ("crash", "hang", "memory")),
            1000 * self.slowest_seconds,
            self.num_inputs / max(self.seconds, 1e-9),
        )


def fuzz(name: str, num: int, arguments: argparse.Namespace) -> Tally:
    """Reads the first inputs of a format, in one process or, where one dies, in several."""
    tally, first = Tally(), 0
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        while first < num:
            log.write_text("", encoding="utf-8")
            worker = ["--seed", str(arguments.seed)]
            worker += ["--worker", name, str(first), str(num), folder]
            code = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "benchmarks.fuzz", *worker],
                env={**os.environ, **(_checked(folder) if arguments.boundscheck else {})},
                stderr=subprocess.DEVNULL,  # decoders complain there of what they reject
                check=False,
            ).returncode
            started, events = replayed(log)
            count(events, tally, name, arguments.seed)
            if code == 0:
                break
            if started < first:
                raise SystemExit(f"the worker of {name} died before its first input (code {code})")
            is_hang = -code in (signal.SIGPROF, signal.SIGALRM)
            blame = {"kind": "hang" if is_hang else "crash", "index": started, "text": f"{code}"}
            count([blame], tally, name, arguments.seed)
            first = started + 1
    return tally


def _checked(folder: str) -> dict[str, str]:
    return {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": f"{folder}/compiled"}


def replayed(log: Path) -> tuple[int, list[dict[str, Any]]]:
    """The last input that a worker began, and what became of those before it."""
    started, events = -1, []
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            events.append(json.loads(line))
        elif line:
            started = int(line)
    return started, events


def count(events: list[dict[str, Any]], tally: Tally, name: str, seed: int) -> None:
    for event in events:
        seconds = event.get("seconds", 0.0)
        tally.num_inputs += 1
        tally.seconds += seconds
        tally.slowest_seconds = max(tally.slowest_seconds, seconds)
        if event["kind"] == "read":
            tally.num_read += 1
        elif event["kind"] == "rejected":
            tally.reasons[event["text"]] += 1
        else:
            tally.kinds[event["kind"]] += 1
            tally.faults.append(f"{event['kind']} of {name} {event['index']}: {event['text']}")
            keep(name, seed, event["index"])


def keep(name: str, seed: int, index: int) -> None:
    from benchmarks.fuzzing.formats import FORMATS

    FAULTS.mkdir(parents=True, exist_ok=True)
    data = FORMATS[name].input(name, seed, index)
    (FAULTS / f"{name.replace(' ', '_')}-{seed}-{index}").write_bytes(data)


def work(arguments: argparse.Namespace) -> None:
    """In a process of its own: reads inputs and writes to a log what becomes of each."""
    from benchmarks.fuzzing.formats import FORMATS
    from pipeline import paths

    name, first, num, folder = arguments.worker
    format_ = FORMATS[name]
    paths.WORK = Path(folder) / "work"
    for index in range(40):  # imports and compiles, before memory is measured
        outcome(format_.read, format_.input(name, -1, index), Path(folder))
    limit_memory(format_.num_reserved_bytes)
    with open(Path(folder) / "log", "w", encoding="utf-8", buffering=1) as log:
        for index in range(int(first), int(num)):
            data = format_.input(name, arguments.seed, index)
            log.write(f"{index}\n")
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
            started = time.perf_counter()
            kind, text = outcome(format_.read, data, Path(folder))
            seconds = time.perf_counter() - started
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            event = {"kind": kind, "text": text, "index": index, "seconds": seconds}
            log.write(json.dumps(event) + "\n")


def limit_memory(num_reserved_bytes: int) -> None:
    num_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = num_pages * resource.getpagesize() + MEMORY_BYTES + num_reserved_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def outcome(read: Any, data: bytes, folder: Path) -> tuple[str, str]:
    """read, rejected (with its reason), memory or crash (with where it came from)."""
    from benchmarks.fuzzing.formats import is_of_memory, rejection

    try:
        read(data, folder)
    except Exception as error:
        reason = rejection(error)
        if reason is not None:
            return "rejected", reason
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} {str(error)[:80]!r} ({Path(where.filename).name}:"
        return "memory" if is_of_memory(error) else "crash", f"{text}{where.lineno})"
    return "read", ""


if __name__ == "__main__":
    main()
