"""A file from one origin into its part: several connections, and patience with what goes wrong."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, TypeVar

from pipeline.datasets.base import Source
from pipeline.errors import PipelineError
from pipeline.network.meter import Meter
from pipeline.network.origin import Failed, Interrupted, Origin, Remote
from pipeline.network.partial import Part, Writer

sleep = time.sleep  # by name, so that a test need not wait

T = TypeVar("T")
Piece = tuple[int, int | None]

MIN_PARALLEL_BYTES = 64 << 20
_PIECE_BYTES = (16 << 20, 512 << 20)
_PIECES_EACH = 8
_NUM_CONNECTIONS = 4
_MAX_CONNECTIONS = 16
# Without a byte so far, it is the user's network or a dead host: seconds. After one, it is a night
# with a weak line: half an hour without any progress.
_ATTEMPTS_AT_FIRST, _ATTEMPTS_LATER = 5, 14
_MAX_DELAY_SECONDS = 300.0
_JOIN_SECONDS = 1.0


def transfer(origin: Origin, part: Path, meter: Meter, source: Source) -> None:
    """Fills a part, going on from where it stopped, until it is complete.

    A file of 64 MiB or more comes through PIPELINE_CONNECTIONS (4) connections, if its origin
    knows ranges. An attempt counts only if it brought nothing new.

    Args:
      origin: of the file.
      part: path of the `Part`.
      meter: shows the progress.
      source: what is published of it. If that is a checksum, then what another mirror began is
        gone on with.

    Raises:
      Failed: the origin will not give it, or not for a long time.
      PipelineError: PIPELINE_CONNECTIONS is no number from 1 to 16.
    """
    connections = _num_connections()

    def attempt() -> None:
        nonlocal connections
        try:
            with closing(Part(part)) as opened:
                _attempt(origin, opened, meter, source, connections)
        except Interrupted as interrupted:
            if interrupted.is_crowded:
                connections = max(1, connections // 2)
            raise

    patiently(attempt, lambda: Part(part).num_done, meter.say)


def patiently(
    attempt: Callable[[], T], num_done: Callable[[], int], say: Callable[[str], None]
) -> T:
    """Tries until it goes well, with a growing delay while nothing new comes.

    Args:
      attempt: raises Interrupted when it is worth another.
      num_done: bytes that are there.
      say: tells a person what went wrong.

    Raises:
      Failed: too many attempts brought nothing.
    """
    most, num_attempts, limit = num_done(), 0, _ATTEMPTS_AT_FIRST
    while True:
        try:
            return attempt()
        except Interrupted as interrupted:
            if num_done() > most:
                most, num_attempts, limit = num_done(), 0, _ATTEMPTS_LATER
            else:
                num_attempts += 1
            if num_attempts >= limit:
                raise Failed(f"{interrupted} ({num_attempts} attempts)") from None
            delay = interrupted.retry_after_seconds
            if delay is None:
                delay = min(2.0 ** max(num_attempts - 1, 0), _MAX_DELAY_SECONDS)
            say(f"{interrupted}; going on in {delay:.0f} s")
        sleep(delay)


def _num_connections() -> int:
    text = os.environ.get("PIPELINE_CONNECTIONS", str(_NUM_CONNECTIONS))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_CONNECTIONS):
        raise PipelineError(
            f"PIPELINE_CONNECTIONS={text}: it is a number from 1 to {_MAX_CONNECTIONS}. Change the "
            "variable, or unset it."
        )
    return int(text)


def _attempt(origin: Origin, part: Part, meter: Meter, source: Source, connections: int) -> None:
    remote = origin.describe()
    if remote.num_bytes is not None and source.num_bytes not in (None, remote.num_bytes):
        raise Failed(f"has {remote.num_bytes} bytes there, its publisher says {source.num_bytes}")
    keep = _is_to_be_kept(origin, remote, part, meter, source.checksum is not None)
    if keep and not (remote.can_resume or part.is_complete):
        meter.say("this server knows no ranges, so it starts over")
        keep = False
    part.open({"origin": origin.name, **asdict(remote)}, keep)
    meter.begin(part.num_done, remote.num_bytes)
    if not part.is_complete:
        if (remote.num_bytes or 0) < MIN_PARALLEL_BYTES or not remote.can_resume:
            connections = 1
        _fill(origin, remote, part, meter, _pieces(part, remote, connections), connections)
    if part.num_done == 0:
        raise Failed("it is empty there")


def _is_to_be_kept(
    origin: Origin, remote: Remote, part: Part, meter: Meter, is_checked: bool
) -> bool:
    if part.about is None:
        return False
    is_same_place = part.about.get("origin") == origin.name
    known: dict[str, Any] = {key: part.about.get(key) for key in asdict(remote)}
    before = Remote(**known)
    if is_same_place and before.is_same_file(remote):
        return True
    if not is_same_place and is_checked and before.num_bytes == remote.num_bytes is not None:
        return True
    if part.num_done:
        reason = "it changed at its source" if is_same_place else "this is another source"
        meter.say(f"{reason}, so it starts over")
    return False


def _pieces(part: Part, remote: Remote, connections: int) -> list[Piece]:
    """What is missing; for several connections in pieces small enough that all end together."""
    if not remote.can_resume:
        return [(0, remote.num_bytes)]
    if connections == 1 or remote.num_bytes is None:
        return list(part.missing())
    low, high = _PIECE_BYTES
    step = min(max(remote.num_bytes // (connections * _PIECES_EACH), low), high)
    return [
        (position, min(position + step, end))
        for start, end in part.missing()
        for position in range(start, end, step)
    ]


def _fill(
    origin: Origin,
    remote: Remote,
    part: Part,
    meter: Meter,
    pieces: Iterable[Piece],
    connections: int,
) -> None:
    """Fetches the pieces; the first error ends all connections and is raised.

    What the others say after it is only that they were ended. The threads are daemons: one that
    hangs in connecting must not keep a person's Ctrl-C waiting. It finds the part closed if it ever
    goes on.
    """
    waiting, stop = deque(pieces), Event()
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        try:
            while not stop.is_set() and waiting:
                try:
                    start, end = waiting.popleft()
                except IndexError:  # another thread was quicker
                    break
                _fetch(origin, remote, part, meter, stop, start, end)
            ended.put(None)
        except BaseException as error:
            ended.put(error)

    threads = [Thread(target=work, daemon=True) for _ in range(min(connections, len(waiting)))]
    try:
        for thread in threads:
            thread.start()
        for _ in threads:
            if error := ended.get():
                raise error
    finally:
        stop.set()
        origin.interrupt()
        for thread in threads:
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)


def _fetch(
    origin: Origin,
    remote: Remote,
    part: Part,
    meter: Meter,
    stop: Event,
    start: int,
    end: int | None,
) -> None:
    with origin.read(remote, start, end) as chunks, Writer(part, start) as writer:
        for chunk in chunks:
            if stop.is_set():
                return
            writer.add(chunk)
            meter.add(len(chunk))
