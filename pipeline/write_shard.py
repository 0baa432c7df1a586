"""The one job that Snakemake runs: a plan -> a TFRecord file and a sidecar of what is in it."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import archives, console, files, registry, tfrecord
from pipeline.codecs.base import Codec, Feature
from pipeline.datasets.base import Dataset, Entry
from pipeline.errors import Rejected

KEY = Feature()  # which input a record came from; every corpus has it


def main(plan_path: Path, shard_path: Path, sidecar_path: Path) -> None:
    plan = files.read_json(plan_path)
    dataset, codec = registry.dataset(plan["dataset"]), registry.codec(plan["codec"])
    options = codec.Options(**plan["options"])
    entries = [Entry(**{**e, "members": tuple(e["members"])}) for e in plan["entries"]]

    features = {"key": KEY, **codec.features(options)}
    statistics: dict[str, list[float]] = {}
    rejected: list[tuple[str, str, str]] = []
    encoded: dict[str, list[bytes]] = {}
    keys: list[str] = []
    for key, records in _encoded(Path(plan["raw"]), entries, dataset, codec, options, rejected):
        encoded[key] = [tfrecord.serialize_example({"key": key, **r}, features) for r in records]
        for record in records:
            for name, value in codec.statistics(record, options).items():
                statistics.setdefault(name, []).append(float(value))
    # In the order of the plan, whatever the order of the archive.
    keys = [entry.key for entry in entries if entry.key in encoded]
    with files.atomic_open(shard_path) as file:
        count, num_bytes = tfrecord.write_records(file, (r for k in keys for r in encoded[k]))
    files.write_json(
        sidecar_path,
        {
            "num_examples": count,
            "num_bytes": num_bytes,
            "num_inputs": len(entries),
            "num_accepted": len(keys),
            "rejected": sorted(rejected),
            "statistics": statistics,
        },
    )


def _encoded(
    raw: Path,
    entries: list[Entry],
    dataset: Dataset,
    codec: Codec,
    options: Any,
    rejected: list[tuple[str, str, str]],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each entry's records, as soon as the archive has given all its members."""
    for entry, blobs in _gathered(raw, entries):
        try:
            _check_whole(entry, blobs)
            records = codec.encode(dataset.load(entry, blobs), options)
        except Rejected as problem:
            rejected.append((entry.key, problem.reason, problem.detail))
            continue
        except Exception as error:
            error.add_note(f"while reading {entry.key} of {dataset.name} as {codec.name}")
            raise
        yield entry.key, records


def _gathered(raw: Path, entries: list[Entry]) -> Iterator[tuple[Entry, dict[str, bytes]]]:
    """Entries with their members' bytes; a member that several share is kept until the last."""
    waiting: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        for member in entry.members:
            waiting.setdefault(member, []).append(index)
    missing = Counter({i: len(set(entry.members)) for i, entry in enumerate(entries)})
    blobs: dict[int, dict[str, bytes]] = {}
    for member, data in archives.read(raw, waiting):
        for index in waiting[member]:
            blobs.setdefault(index, {})[member] = data
            missing[index] -= 1
            if not missing[index]:
                yield entries[index], blobs.pop(index)
    for index in +missing:
        yield entries[index], blobs.get(index, {})


def _check_whole(entry: Entry, blobs: dict[str, bytes]) -> None:
    absent = sorted(set(entry.members) - blobs.keys())
    if absent:
        raise Rejected("missing_member", f"{absent[0]} is not in its archive")


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.write_shard", description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("shard", type=Path)
    parser.add_argument("sidecar", type=Path)
    arguments = parser.parse_args()
    main(arguments.plan, arguments.shard, arguments.sidecar)


if __name__ == "__main__":
    console.run(_command)
