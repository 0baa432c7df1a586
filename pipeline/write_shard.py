"""The one job that Snakemake runs: a plan -> a TFRecord file a split, and a sidecar about them.

Records are written as they are made, in the order of the archive: memory does not grow with a part.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pipeline import archives, console, disk, files, registry, tfrecord
from pipeline.archive_members import Place
from pipeline.codecs.base import Codec, Feature
from pipeline.datasets.base import SPLITS, Dataset, Entry
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.shard_files import shard_path, sidecar_path

KEY = Feature()  # which input a record came from; every corpus has it


def main(plan_path: Path, folder: Path) -> None:
    """Leaves `<part>.<split>.tfrecord` for each split, empty ones too, and `<part>.json`."""
    plan = files.read_json(plan_path)
    dataset, codec = registry.dataset(plan["dataset"]), registry.codec(plan["codec"])
    options = codec.Options(**plan["options"])
    features = {"key": KEY, **codec.features(options)}
    accepted: list[tuple[str, str, str, list[int]]] = []
    rejected: list[tuple[str, str, str]] = []
    repaired: list[tuple[str, str]] = []
    statistics: dict[str, dict[str, list[float]]] = {split: {} for split in SPLITS}
    with ExitStack() as stack:
        out = {
            split: stack.enter_context(files.atomic_open(shard_path(folder, plan_path.stem, split)))
            for split in SPLITS
        }
        for entry, split, example, records in _encoded(plan, dataset, codec, options, rejected):
            sizes = []
            for record in records:
                data = tfrecord.serialize_example({"key": entry.key, **record}, features)
                sizes.append(tfrecord.write_record(out[split], data))
                for name, value in codec.statistics(record, options).items():
                    statistics[split].setdefault(name, []).append(float(value))
            fingerprint = example.fingerprint() if plan["drop_duplicates"] else ""
            accepted.append((entry.key, split, fingerprint, sizes))
            repaired += [(entry.key, repair) for repair in example.repairs]
    files.write_json(
        sidecar_path(folder, plan_path.stem),
        {
            "accepted": accepted,
            "rejected": sorted(rejected),
            "repaired": repaired,
            "statistics": statistics,
        },
    )


def _encoded(
    plan: dict[str, Any],
    dataset: Dataset,
    codec: Codec,
    options: Any,
    rejected: list[tuple[str, str, str]],
) -> Iterator[tuple[Entry, str, Example, list[dict[str, Any]]]]:
    """Each entry with its split, as soon as its members are read, decoded and encoded."""
    places = {locator: Place(*place) for locator, place in plan["places"].items()}
    with archives.Reader(Path(plan["raw"])) as reader:
        for fields in plan["entries"]:
            entry = Entry(**{**fields, "members": tuple(fields["members"])})
            try:
                blobs = {m: reader.read(m, _placed(m, places)) for m in entry.members}
                example = dataset.load(entry, blobs)
                records = codec.encode(example, options)
            except Rejected as problem:
                rejected.append((entry.key, problem.reason, problem.detail))
                continue
            except Exception as error:
                error.add_note(f"while reading {entry.key} of {dataset.name} as {codec.name}")
                raise
            yield entry, fields["split"], example, records


def _placed(member: str, places: dict[str, Place]) -> Place:
    if member not in places:
        raise Rejected("missing_member", f"{member} is not in its archive")
    return places[member]


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.write_shard", description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    with disk.explained(f"part {arguments.plan.stem}"):
        main(arguments.plan, arguments.folder)


if __name__ == "__main__":
    console.run(_command)
