"""What each shard job is to do: a dataset's entries, cut into parts as they lie in its archives.

A part's members lie together, so that a compressed archive is decompressed once by all jobs, not by
each. A split is a function of the group alone: a new entry moves no other from training to test.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipeline import archives, files
from pipeline.archive_members import Place
from pipeline.datasets.base import Entry
from pipeline.errors import Rejected
from pipeline.params import CorpusOptions

_ENTRY_BYTES = 4096  # what an entry costs beside its own bytes, in bytes read at that cost


def split_of(entry: Entry, options: CorpusOptions) -> str:
    """The publisher's split, else one drawn from the hash of the group."""
    if entry.split is not None:
        return entry.split
    position = int.from_bytes(hashlib.sha256(f"split:{entry.group}".encode()).digest()[:8], "big")
    if position < options.test_share * 2**64:
        return "test"
    if position < (options.test_share + options.validation_share) * 2**64:
        return "validation"
    return "train"


def sorted_out(
    catalogue: Iterable[Entry | tuple[str, Rejected]],
) -> tuple[list[Entry], list[tuple[str, Rejected]]]:
    """Entries, and what the catalogue rejects itself."""
    entries, rejected = [], []
    for item in catalogue:
        if isinstance(item, Entry):
            entries.append(item)
        else:
            rejected.append(item)
    return entries, rejected


def parts_of(
    entries: Iterable[Entry], places: Mapping[str, Place], num_parts: int
) -> dict[str, list[Entry]]:
    """Parts by name ("00003-of-00032") that cost about the same, each a stretch of the archives.

    Args:
      entries: in any order.
      places: of their members; an entry of which none is there comes last.
      num_parts: some may be empty.
    """
    ordered = sorted(entries, key=lambda entry: (_position(entry, places), entry.key))
    ends = list(accumulate(_cost(entry, places) for entry in ordered))
    parts: dict[str, list[Entry]] = {f"{i:05d}-of-{num_parts:05d}": [] for i in range(num_parts)}
    names = list(parts)
    for entry, end in zip(ordered, ends, strict=True):
        # By its middle: a large entry then does not leave the part before it empty.
        middle = end - _cost(entry, places) / 2
        parts[names[int(middle / ends[-1] * num_parts)]].append(entry)
    return parts


def write(
    folder: Path,
    parts: Mapping[str, list[Entry]],
    places: Mapping[str, Place],
    options: CorpusOptions,
    common: Mapping[str, Any],
) -> None:
    """Leaves one JSON file a part, and removes those of earlier plans; equal ones keep their time.

    Args:
      folder: where the plans go.
      parts: by name.
      places: of the entries' members.
      options: of the corpus: what decides the splits.
      common: what else a job depends on: codec, its options, digests of code and archives.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, entries in parts.items():
        members = sorted({member for entry in entries for member in entry.members})
        plan = {
            **common,
            "entries": [{**vars(entry), "split": split_of(entry, options)} for entry in entries],
            "places": {member: places[member] for member in members if member in places},
        }
        text = json.dumps(plan, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        path = folder / f"{name}.json"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            with files.atomic_open(path, "w") as file:
                file.write(text)
    for stale in set(folder.glob("*.json")) - {folder / f"{name}.json" for name in parts}:
        stale.unlink()


def places_of(raw: Path, entries: Iterable[Entry]) -> dict[str, Place]:
    return archives.places_of(raw, (member for entry in entries for member in entry.members))


def _position(entry: Entry, places: Mapping[str, Place]) -> tuple[bool, str, int]:
    held = [places[member] for member in entry.members if member in places]
    return (not held, held[0].container, held[0].offset) if held else (True, "", 0)


def _cost(entry: Entry, places: Mapping[str, Place]) -> int:
    return _ENTRY_BYTES + sum(places[m].num_bytes for m in entry.members if m in places)
