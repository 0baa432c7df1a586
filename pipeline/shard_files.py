"""What shard jobs leave in .work: are the files whole, and what of them is a duplicate.

A sidecar lists [key, split, fingerprint, bytes of each of its records] for each accepted input, in
the order of the records. So sizes can be checked, and records left out, without parsing any.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.datasets.base import SPLITS
from pipeline.tfrecord import FRAME_BYTES

Sidecar = dict[str, Any]


def shard_path(folder: Path, part: str, split: str) -> Path:
    return folder / f"{part}.{split}.tfrecord"


def sidecar_path(folder: Path, part: str) -> Path:
    return folder / f"{part}.json"


def remove_damaged(folder: Path, parts: Iterable[str]) -> None:
    """Removes what is not as long as its sidecar says, so that its job runs again."""
    for part in parts:
        sidecar = sidecar_path(folder, part)
        if not sidecar.exists():
            continue
        held = files.read_json(sidecar)
        for split in SPLITS:
            path = shard_path(folder, part, split)
            whole = {_num_bytes(held, split, ()), held.get("num_kept_bytes", {}).get(split)}
            if path.exists() and path.stat().st_size not in whole:
                path.unlink()


def duplicates(sidecars: Mapping[str, Sidecar]) -> dict[str, str]:
    """By key, the input with the same fingerprint that comes first by key."""
    first: dict[str, str] = {}
    for sidecar in sidecars.values():
        for key, _, fingerprint, _ in sidecar["accepted"]:
            first[fingerprint] = min(key, first.get(fingerprint, key))
    return {
        key: first[fingerprint]
        for sidecar in sidecars.values()
        for key, _, fingerprint, _ in sidecar["accepted"]
        if first[fingerprint] != key
    }


def leave_out(folder: Path, part: str, sidecar: Sidecar, dropped: Mapping[str, str]) -> None:
    """Takes the records of dropped inputs out of a part's files, in their place.

    The sidecar is told the new size beforehand: a file of either size is whole, whenever this is
    killed.
    """
    if not any(key in dropped for key, *_ in sidecar["accepted"]):
        return
    kept = {split: _num_bytes(sidecar, split, dropped) for split in SPLITS}
    if sidecar.get("num_kept_bytes") != kept:
        sidecar["num_kept_bytes"] = kept
        files.write_json(sidecar_path(folder, part), sidecar)
    for split in SPLITS:
        path = shard_path(folder, part, split)
        if path.stat().st_size != kept[split]:
            with open(path, "rb") as whole, files.atomic_open(path) as out:
                out.flush()
                for start, num_bytes in _kept_ranges(sidecar, split, dropped):
                    _copy_range(whole.fileno(), out.fileno(), start, num_bytes)


def _kept_ranges(
    sidecar: Sidecar, split: str, dropped: Mapping[str, str]
) -> Iterable[tuple[int, int]]:
    """(start, bytes) of each run of records that stay."""
    start = 0
    rows = (row for row in sidecar["accepted"] if row[1] == split)
    for is_dropped, run in groupby(rows, key=lambda row: row[0] in dropped):
        num_bytes = sum(_framed(sizes) for *_, sizes in run)
        if not is_dropped:
            yield start, num_bytes
        start += num_bytes


def _copy_range(source: int, target: int, start: int, num_bytes: int) -> None:
    """Within the kernel, and without a copy where the file system can share blocks."""
    while num_bytes:
        copied = os.copy_file_range(source, target, num_bytes, start)
        if not copied:
            raise OSError("a shard became shorter while it was copied")
        start, num_bytes = start + copied, num_bytes - copied


def _num_bytes(sidecar: Sidecar, split: str, dropped: Iterable[str]) -> int:
    return sum(
        _framed(sizes)
        for key, of, _, sizes in sidecar["accepted"]
        if of == split and key not in dropped
    )


def _framed(sizes: list[int]) -> int:
    return sum(sizes) + FRAME_BYTES * len(sizes)
