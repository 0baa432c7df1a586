"""What shard jobs leave in .work: are the files whole, and what of them is a duplicate.

A sidecar lists [key, split, fingerprint, bytes of each of its records] for each accepted input, in
the order of the records. So sizes can be checked, and records left out, without parsing any.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from pipeline import files
from pipeline.datasets.base import SPLITS
from pipeline.errors import PipelineError
from pipeline.tfrecord import FRAME_BYTES

Sidecar = dict[str, Any]


def shard_path(folder: Path, part: str, split: str) -> Path:
    return folder / f"{part}.{split}.tfrecord"


def sidecar_path(folder: Path, part: str) -> Path:
    return folder / f"{part}.json"


def remove_damaged(folder: Path, parts: Iterable[str]) -> None:
    """Removes what is not as long as its sidecar says, so that its job runs again."""
    for part in parts:
        if sidecar_path(folder, part).exists():
            sidecar = files.read_json(sidecar_path(folder, part))
            for split in SPLITS:
                path = shard_path(folder, part, split)
                if path.exists() and path.stat().st_size not in _whole(sidecar, split):
                    path.unlink()


def remove_other_cuts(
    folder: Path, sidecars: Mapping[str, Sidecar], dropped: Collection[str]
) -> bool:
    """Removes files out of which other inputs were taken than now are to be.

    Returns:
      Whether there were any: their jobs must run again.
    """
    found = False
    for part, sidecar in sidecars.items():
        if sidecar.get("left_out", _own(sidecar, dropped)) == _own(sidecar, dropped):
            continue
        for split in SPLITS:
            path = shard_path(folder, part, split)
            if path.stat().st_size != _num_bytes(sidecar, split, ()):
                path.unlink()
                found = True
    return found


def duplicates(sidecars: Mapping[str, Sidecar]) -> dict[str, str]:
    """By key, the input with the same fingerprint that comes first by key; "" is like none."""
    rows = [row for s in sidecars.values() for row in s["accepted"] if row[2]]
    first: dict[str, str] = {}
    for key, _, fingerprint, _ in rows:
        first[fingerprint] = min(key, first.get(fingerprint, key))
    return {key: first[print_] for key, _, print_, _ in rows if first[print_] != key}


def leave_out(folder: Path, part: str, sidecar: Sidecar, dropped: Collection[str]) -> None:
    """Takes the records of dropped inputs out of a part's files, in their place.

    The sidecar is told beforehand: a file is whole with these inputs and without them, whenever
    this is killed.
    """
    own = _own(sidecar, dropped)
    if sidecar.get("left_out", []) != own:
        sidecar["left_out"] = own
        files.write_json(sidecar_path(folder, part), sidecar)
    for split in SPLITS:
        path = shard_path(folder, part, split)
        if path.stat().st_size != _num_bytes(sidecar, split, own):
            with open(path, "rb") as whole, files.atomic_open(path) as out:
                for start, num_bytes in _kept_ranges(sidecar, split, own):
                    _copy_range(whole, out, start, num_bytes)


def _own(sidecar: Sidecar, dropped: Collection[str]) -> list[str]:
    return sorted(key for key, *_ in sidecar["accepted"] if key in dropped)


def _whole(sidecar: Sidecar, split: str) -> set[int]:
    """How long a file may be: with all its inputs, or without those that were left out."""
    return {_num_bytes(sidecar, split, out) for out in ((), sidecar.get("left_out", ()))}


def _kept_ranges(
    sidecar: Sidecar, split: str, dropped: Collection[str]
) -> Iterable[tuple[int, int]]:
    """(start, bytes) of each run of records that stay."""
    start, dropped = 0, set(dropped)
    rows = (row for row in sidecar["accepted"] if row[1] == split)
    for is_dropped, run in groupby(rows, key=lambda row: row[0] in dropped):
        num_bytes = sum(framed(sizes) for *_, sizes in run)
        if not is_dropped:
            yield start, num_bytes
        start += num_bytes


def _copy_range(source: IO[bytes], target: IO[bytes], start: int, num_bytes: int) -> None:
    """Within the kernel, and without a copy where the file system can share blocks."""
    target.flush()
    while num_bytes:
        try:
            copied = os.copy_file_range(source.fileno(), target.fileno(), num_bytes, start)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            copied = os.write(
                target.fileno(), os.pread(source.fileno(), min(num_bytes, 1 << 20), start)
            )
        if not copied:
            raise PipelineError(f"{source.name} became shorter while it was read. Run it again.")
        start, num_bytes = start + copied, num_bytes - copied


# What file systems and kernels say that know no copy_file_range.
_CANNOT = (errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL)


def _num_bytes(sidecar: Sidecar, split: str, dropped: Collection[str]) -> int:
    dropped = set(dropped)
    return sum(
        framed(sizes)
        for key, of, _, sizes in sidecar["accepted"]
        if of == split and key not in dropped
    )


def framed(sizes: list[int]) -> int:
    return sum(sizes) + FRAME_BYTES * len(sizes)
