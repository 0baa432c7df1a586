"""What each shard job is to do: entries to splits and shards, stable under adding data.

A split is a function of the group alone, a shard of the key alone, so that a new entry moves no
other; a plan's file changes only if something in that shard does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.datasets.base import Entry
from pipeline.errors import Rejected
from pipeline.params import CorpusOptions

SPLITS = ("train", "validation", "test")


def split_of(entry: Entry, options: CorpusOptions) -> str:
    """The publisher's split, else one drawn from the hash of the group."""
    if entry.split is not None:
        return entry.split
    position = _fraction(f"split:{entry.group}")
    if position < options.test_share:
        return "test"
    if position < options.test_share + options.validation_share:
        return "validation"
    return "train"


def shards_of(
    catalogue: Iterable[Entry | tuple[str, Exception]], options: CorpusOptions
) -> tuple[dict[str, list[Entry]], list[tuple[str, Rejected]]]:
    """Entries by shard name ("train-00003-of-00008"), and what the catalogue rejects itself."""
    shards: dict[str, list[Entry]] = {
        shard_name(split, i, options): []
        for split in SPLITS
        for i in range(getattr(options.num_shards, split))
    }
    rejected = []
    for item in catalogue:
        if not isinstance(item, Entry):
            key, problem = item
            assert isinstance(problem, Rejected)
            rejected.append((key, problem))
            continue
        split = split_of(item, options)
        count = getattr(options.num_shards, split)
        index = int(_fraction(f"shard:{item.key}") * count)
        shards[shard_name(split, index, options)].append(item)
    return shards, rejected


def shard_name(split: str, index: int, options: CorpusOptions) -> str:
    return f"{split}-{index:05d}-of-{getattr(options.num_shards, split):05d}"


def write(folder: Path, shards: Mapping[str, list[Entry]], common: Mapping[str, Any]) -> None:
    """Leaves one JSON file a shard, and removes those of earlier plans; equal ones keep their time.

    Args:
      folder: where the plans go.
      shards: by name.
      common: what else a job depends on: codec, options, digests of code and archives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, entries in shards.items():
        plan = {**common, "entries": [asdict(entry) for entry in entries]}
        text = json.dumps(plan, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        path = folder / f"{name}.json"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            with files.atomic_open(path, "w") as file:
                file.write(text)
    for stale in set(folder.glob("*.json")) - {folder / f"{name}.json" for name in shards}:
        stale.unlink()


def _fraction(text: str) -> float:
    """A fixed number in [0, 1) for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
