"""A dataset's files, each from the first origin that has it: resumed, checked, never half there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline import disk
from pipeline.datasets.base import Source
from pipeline.errors import PipelineError
from pipeline.network import checksums, transfer
from pipeline.network.checksums import Facts, WrongFile
from pipeline.network.meter import Meter
from pipeline.network.origin import Failed, Origin, public
from pipeline.network.partial import Part

_SLOW_TO_CHECK_BYTES = 1 << 30


@dataclass(frozen=True)
class Wanted:
    """A file, and where it may be had.

    Attributes:
      source: its name, and what its publisher says of it.
      origins: mirrors, in order.
    """

    source: Source
    origins: tuple[Origin, ...]


def fetch(dataset: str, wanted: Sequence[Wanted], work: Path) -> dict[str, Facts]:
    """Makes sure that all files are in a directory, whole and checked.

    What is to come is said first, and the disk must have room for all of it.

    Args:
      dataset: its name.
      wanted: its files.
      work: where they go; "<file>.part" and its journal hold what is there of a file so far.

    Returns:
      Size and SHA-256 by file name.

    Raises:
      PipelineError: no origin gave a file, or what came is not it, or there is no room for it.
    """
    with disk.explained(f"datasets.{dataset} could not be fetched into {work}"):
        work.mkdir(parents=True, exist_ok=True)
        absent = [w for w in wanted if not (work / w.source.file).exists()]
        if absent:
            _announce(dataset, absent, work)
        return {w.source.file: _fetch_file(dataset, w, work / w.source.file) for w in wanted}


def _announce(dataset: str, absent: Sequence[Wanted], work: Path) -> None:
    """Says what will be fetched; raises PipelineError if the disk has no room for all of it."""
    sizes = {w.source.file: _num_bytes(dataset, w) for w in absent}
    known = [size for size in sizes.values() if size is not None]
    more = "" if len(known) == len(sizes) else " and what is of unknown size"
    files = "1 file" if len(sizes) == 1 else f"{len(sizes)} files"
    _say(f"datasets.{dataset}: {files} to fetch, {disk.size(sum(known))}{more}:")
    for file, size in sizes.items():
        here = Part(_part(work / file)).num_done
        words = "unknown size" if size is None else disk.size(size)
        _say(f"  {file}: {words}" + (f", of which {disk.size(here)} are here" if here else ""))
    num_allocated = sum(Part(_part(work / file)).num_allocated for file in sizes)
    disk.require(work, max(sum(known) - num_allocated, 0), f"datasets.{dataset}")


def _num_bytes(dataset: str, wanted: Wanted) -> int | None:
    """The published size, or what the first origin that answers says."""
    if wanted.source.num_bytes is not None:
        return wanted.source.num_bytes

    def say(text: str) -> None:
        _say(f"{wanted.source.file}: {text}")

    failures = []
    for origin in wanted.origins:
        try:
            return transfer.patiently(origin.describe, lambda: 0, say).num_bytes
        except Failed as failure:
            failures.append(f"{public(origin.name)}: {failure}")
    raise _unavailable(dataset, wanted, failures)


def _fetch_file(dataset: str, wanted: Wanted, path: Path) -> Facts:
    if path.exists():
        try:
            return _checked(dataset, wanted.source, path, _say)
        except WrongFile as wrong:
            if not wrong.is_published:  # it may be the one that is to be accepted
                raise PipelineError(f"{wrong} To have it fetched again, delete {path}.") from None
            _say(f"{wrong} It is fetched again.")
            path.unlink()
    failures: list[str] = []
    last: Exception | None = None
    with Meter(path.name) as meter:
        for origin in wanted.origins:
            try:
                return _from_origin(dataset, wanted.source, origin, path, meter)
            except (Failed, WrongFile) as failure:
                failures.append(f"{public(origin.name)}: {failure}")
                last = failure
        if isinstance(last, WrongFile) and not last.is_published:
            raise last  # its own sentence says what to do
        raise _unavailable(dataset, wanted, failures)


def _from_origin(dataset: str, source: Source, origin: Origin, path: Path, meter: Meter) -> Facts:
    """A part that was resumed and is wrong may be of two versions: it gets one fresh start."""
    was_resumed = Part(_part(path)).num_done > 0
    try:
        return _complete(dataset, source, origin, path, meter)
    except WrongFile as wrong:
        if not (was_resumed and wrong.is_published):
            raise
        meter.say(f"{wrong} It starts over.")
    return _complete(dataset, source, origin, path, meter)


def _complete(dataset: str, source: Source, origin: Origin, path: Path, meter: Meter) -> Facts:
    """Fetches the rest, checks it, and gives it its name.

    What is not as published is thrown away. What only differs from the first download stays a
    part, so that a person who accepts it need not fetch it again.
    """
    part = _part(path)
    transfer.transfer(origin, part, meter, source)
    try:
        facts = _checked(dataset, source, part, meter.say)
    except WrongFile as wrong:
        if wrong.is_published:
            Part(part).discard()
        raise
    checksums.record(dataset, source, facts)
    with closing(Part(part)) as whole:
        whole.finish(path)
    return facts


def _checked(dataset: str, source: Source, path: Path, say: Callable[[str], None]) -> Facts:
    if path.stat().st_size >= _SLOW_TO_CHECK_BYTES:
        say(f"checking {disk.size(path.stat().st_size)} in {path}")
    return checksums.verify(dataset, source, path)


def _unavailable(dataset: str, wanted: Wanted, failures: Sequence[str]) -> PipelineError:
    return PipelineError(
        f"{wanted.source.file} could not be downloaded ({'; '.join(failures)}). Run it again to go "
        "on from where it stopped, or fetch the file by hand and name its directory as "
        f"datasets.{dataset}.source."
    )


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
