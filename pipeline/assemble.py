"""The shards of a corpus -> one directory that TFDS opens, with what is in it and what is not."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import disk, files, params, paths, registry, shard_files, tfrecord
from pipeline.codecs.base import Feature
from pipeline.datasets.base import SPLITS, Dataset
from pipeline.errors import PipelineError, Rejected
from pipeline.write_shard import KEY


def main(
    settings: params.Params,
    name: str,
    built: Path,
    sidecars: dict[str, Any],
    dropped: dict[str, str],
    rejected: list[tuple[str, Rejected]],
) -> None:
    """Links the shards into a fresh TFDS directory and describes them.

    Args:
      settings: params.yaml.
      name: of the corpus.
      built: holds what the jobs left of each part.
      sidecars: by part; others that `built` may hold are of earlier plans.
      dropped: duplicates, each with the input that stays in place of it.
      rejected: what the catalogue itself refused.
    """
    rows = [list(row) for s in sidecars.values() for row in s["rejected"]]
    rows += [[key, problem.reason, problem.detail] for key, problem in rejected]
    rows += [[key, "duplicate", f"it sounds the same as {first}"] for key, first in dropped.items()]
    repaired = [
        repair for s in sidecars.values() for key, repair in s["repaired"] if key not in dropped
    ]
    held = {split: _held(sidecars, split, dropped) for split in SPLITS}
    _check_not_empty(name, held, rows)
    # The kernel copies; no more at once, since each needs the disk of its shard for a while.
    with ThreadPoolExecutor(max_workers=2) as pool:
        cuts = [
            pool.submit(shard_files.leave_out, built, p, s, dropped) for p, s in sidecars.items()
        ]
        for cut in cuts:
            cut.result()
    files.clear_leftovers(paths.shards(name))
    with files.atomic_directory(paths.shards(name)) as out:
        _link(name, built, held, out)
        _write_rejected(out / "rejected.tsv", rows)
        corpus = _describe(settings, name, held, rows, repaired)
        files.write_json(out / "corpus.json", corpus)
        _write_statistics(out / "statistics.npz", sidecars, dropped)
        _write_tfds_metadata(out, corpus)
        if corpus["options"].get("magenta_records"):
            _write_magenta_records(out, corpus)


def _link(name: str, built: Path, held: dict[str, Held], out: Path) -> None:
    """Gives the shards that hold anything their places among those of their split."""
    targets, sizes = [], []
    for split, parts in held.items():
        for index, (part, inputs) in enumerate(parts.items()):
            target = out / f"{name}-{split}.tfrecord-{index:05d}-of-{len(parts):05d}"
            targets.append((shard_files.shard_path(built, part, split), target))
            sizes.append(sum(shard_files.framed(records) for records in inputs))
    disk.share(targets, f"corpora.{name}")
    for (_, target), num_bytes in zip(targets, sizes, strict=True):
        if target.stat().st_size != num_bytes:  # a job of a killed run can outlive it
            raise PipelineError(f"{target.name} changed while it was assembled. Run it again.")


Held = dict[str, list[list[int]]]  # part -> for each input kept, the bytes of its records


def _held(sidecars: dict[str, Any], split: str, dropped: dict[str, str]) -> Held:
    """What each part holds of a split; those that hold nothing leave no file."""
    held = {
        part: [sizes for key, of, _, sizes in s["accepted"] if of == split and key not in dropped]
        for part, s in sidecars.items()
    }
    return {part: inputs for part, inputs in held.items() if inputs}


def _check_not_empty(name: str, held: dict[str, Held], rejected: list[list[str]]) -> None:
    empty = [split for split, parts in held.items() if not parts]
    if empty:
        counts = Counter(reason for _, reason, _ in rejected)
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        raise PipelineError(
            f"corpora.{name}: nothing is left in {', '.join(empty)} "
            f"(rejected: {reasons or 'none'}). Give it more data, or loosen "
            f"corpora.{name}.*.options or its shares."
        )


def _describe(
    settings: params.Params,
    name: str,
    held: dict[str, Held],
    rejected: list[list[str]],
    repaired: list[str],
) -> dict[str, Any]:
    corpus = settings.corpus(name)
    codec, options = registry.codec(corpus.codec), settings.codec_options(name)
    features = {"key": KEY, **codec.features(options)}
    dataset = registry.dataset(corpus.dataset)
    manifest = files.read_json(paths.raw(corpus.dataset) / "manifest.json")
    num_accepted = sum(len(inputs) for parts in held.values() for inputs in parts.values())
    return {
        "name": name,
        "dataset": corpus.dataset,
        "codec": corpus.codec,
        "options": options.model_dump(mode="json"),
        "source": manifest["source"],
        "notice": manifest["notice"],
        "licence": manifest["licence"],
        "files": manifest["files"],
        "about": _about(dataset, settings.dataset_options(corpus.dataset)),
        "features": {k: {**vars(f), "shape": list(f.shape)} for k, f in features.items()},
        "num_classes": _num_classes(codec, options, features),
        "splits": {split: _split(parts) for split, parts in held.items()},
        "num_inputs": num_accepted + len(rejected),
        "num_accepted": num_accepted,
        "rejected": dict(Counter(reason for _, reason, _ in rejected)),
        "repaired": dict(Counter(repaired)),
    }


def _about(dataset: Dataset, options: Any) -> dict[str, Any]:
    """What the data card says of the dataset as published."""
    return {
        "title": dataset.title,
        "version": dataset.version,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "homepage": dataset.homepage,
        "published": [asdict(source) for source in dataset.sources(options)],
    }


def _num_classes(codec: Any, options: Any, features: dict[str, Feature]) -> dict[str, int]:
    classes = {}
    for name in features:
        try:
            classes[name] = codec.num_classes(options, name)
        except (KeyError, ValueError):
            continue  # not a feature of classes
    return classes


def _split(parts: Held) -> dict[str, Any]:
    lengths = [sum(len(sizes) for sizes in inputs) for inputs in parts.values()]
    return {
        "num_examples": sum(lengths),
        "num_bytes": sum(sum(sizes) for inputs in parts.values() for sizes in inputs),
        "shard_lengths": lengths,
    }


def _write_rejected(path: Path, rows: list[list[str]]) -> None:
    with files.atomic_open(path, "w") as file:
        file.write("key\treason\tdetail\n")
        for row in sorted(rows):
            file.write("\t".join(" ".join(cell.split()) for cell in row) + "\n")


def _write_statistics(path: Path, sidecars: dict[str, Any], dropped: dict[str, str]) -> None:
    """One float32 array a split and statistic, named "<split>/<statistic>"."""
    columns: dict[str, list[np.ndarray]] = {}
    for sidecar in sidecars.values():
        for split, statistics in sidecar["statistics"].items():
            is_kept = [
                key not in dropped
                for key, of, _, sizes in sidecar["accepted"]
                for _ in sizes
                if of == split
            ]
            for statistic, values in statistics.items():
                kept = np.asarray(values, np.float32)[is_kept]
                columns.setdefault(f"{split}/{statistic}", []).append(kept)
    arrays: dict[str, Any] = {k: np.concatenate(columns[k]) for k in sorted(columns)}
    np.savez(path, **arrays)


def _write_tfds_metadata(out: Path, corpus: dict[str, Any]) -> None:
    """Leaves features.json and dataset_info.json, which `tfds.builder_from_directory` reads."""
    import tensorflow_datasets as tfds

    about = corpus["about"]
    features = {k: _tfds_feature(Feature(**f)) for k, f in corpus["features"].items()}
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=held["shard_lengths"],
            num_bytes=held["num_bytes"],
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=out,
                dataset_name=corpus["name"],
                split=split,
                filetype_suffix="tfrecord",
            ),
        )
        for split, held in corpus["splits"].items()
    ]
    tfds.folder_dataset.write_metadata(
        data_dir=out,
        features=tfds.features.FeaturesDict(features),
        split_infos=infos,
        description=f"{about['title']} {about['version']}, {corpus['codec']}. {corpus['notice']}",
        citation=about["citation"],
        homepage=about["homepage"],
        license=corpus["licence"],
        check_data=False,  # that looks at one example of one split; tests read them all
    )


def _tfds_feature(feature: Feature) -> Any:
    import tensorflow_datasets as tfds

    shape = tuple(feature.shape)
    if feature.encoding == "jpeg":
        return tfds.features.Image(shape=shape, encoding_format="jpeg")
    if feature.dtype == "string":
        return tfds.features.Tensor(shape=(), dtype=np.str_)
    encoding = "bytes" if feature.encoding == "bytes" else "none"
    return tfds.features.Tensor(shape=shape, dtype=np.dtype(feature.dtype), encoding=encoding)


def _write_magenta_records(out: Path, corpus: dict[str, Any]) -> None:
    """Leaves the same protos as bare records, as Magenta's convert_dir_to_note_sequences does."""
    features = {k: Feature(**f) for k, f in corpus["features"].items()}
    for path in sorted(out.glob("*.tfrecord-*")):
        examples = (tfrecord.parse_example(r, features) for r in tfrecord.read_records(path))
        with files.atomic_open(out / "magenta" / path.name) as file:
            tfrecord.write_records(file, (e["note_sequence"] for e in examples))
