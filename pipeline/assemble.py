"""The shards of a corpus -> one directory that TFDS opens, with what is in it and what is not."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import files, params, paths, plan, registry, tfrecord
from pipeline.codecs.base import Feature
from pipeline.datasets.base import Dataset
from pipeline.errors import PipelineError, Rejected
from pipeline.write_shard import KEY


def main(
    settings: params.Params,
    name: str,
    built: Path,
    shards: list[str],
    rejected: list[tuple[str, Rejected]],
) -> None:
    """Copies the shards into a fresh TFDS directory and describes them.

    Args:
      settings: params.yaml.
      name: of the corpus.
      built: holds "<shard>.tfrecord" and its sidecar "<shard>.json" for each shard.
      shards: their names; others that `built` may hold are of earlier plans.
      rejected: what the catalogue itself refused.
    """
    sidecars = {shard: files.read_json(built / f"{shard}.json") for shard in shards}
    _check_not_empty(name, sidecars, rejected)
    with files.atomic_directory(paths.shards(name)) as out:
        for shard in shards:
            split, _, place = shard.partition("-")
            target = out / f"{name}-{split}.tfrecord-{place}"
            shutil.copyfile(built / f"{shard}.tfrecord", target)
        rows = [list(row) for s in sidecars.values() for row in s["rejected"]]
        rows += [[key, problem.reason, problem.detail] for key, problem in rejected]
        _write_rejected(out / "rejected.tsv", rows)
        corpus = _describe(settings, name, sidecars, rows)
        files.write_json(out / "corpus.json", corpus)
        _write_statistics(out / "statistics.npz", sidecars)
        _write_tfds_metadata(out, corpus)
        if corpus["options"].get("magenta_records"):
            _write_magenta_records(out, corpus)


def _check_not_empty(
    name: str, sidecars: dict[str, Any], rejected: list[tuple[str, Rejected]]
) -> None:
    counts: Counter[str] = Counter(problem.reason for _, problem in rejected)
    counts.update(row[1] for s in sidecars.values() for row in s["rejected"])
    totals: Counter[str] = Counter()
    for shard, sidecar in sidecars.items():
        totals[shard.partition("-")[0]] += sidecar["num_examples"]
    empty = [split for split, count in totals.items() if not count]
    if empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        raise PipelineError(
            f"corpora.{name}: nothing is left in {', '.join(empty)} "
            f"(rejected: {reasons or 'none'}). Give it more data, or loosen "
            f"corpora.{name}.*.options or its shares."
        )


def _describe(
    settings: params.Params, name: str, sidecars: dict[str, Any], rejected: list[list[str]]
) -> dict[str, Any]:
    corpus = settings.corpus(name)
    codec, options = registry.codec(corpus.codec), settings.codec_options(name)
    features = {"key": KEY, **codec.features(options)}
    dataset = registry.dataset(corpus.dataset)
    manifest = files.read_json(paths.raw(corpus.dataset) / "manifest.json")
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
        "splits": {s: _split(s, sidecars) for s in plan.SPLITS},
        "num_inputs": sum(s["num_inputs"] for s in sidecars.values())
        + len(rejected)
        - sum(len(s["rejected"]) for s in sidecars.values()),
        "num_accepted": sum(s["num_accepted"] for s in sidecars.values()),
        "rejected": dict(Counter(reason for _, reason, _ in rejected)),
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


def _split(split: str, sidecars: dict[str, Any]) -> dict[str, Any]:
    own = [s for shard, s in sidecars.items() if shard.startswith(f"{split}-")]
    return {
        "num_examples": sum(s["num_examples"] for s in own),
        "num_bytes": sum(s["num_bytes"] for s in own),
        "shard_lengths": [s["num_examples"] for s in own],
    }


def _write_rejected(path: Path, rows: list[list[str]]) -> None:
    with files.atomic_open(path, "w") as file:
        file.write("key\treason\tdetail\n")
        for row in sorted(rows):
            file.write("\t".join(" ".join(cell.split()) for cell in row) + "\n")


def _write_statistics(path: Path, sidecars: dict[str, Any]) -> None:
    """One float32 array a split and statistic, named "<split>/<statistic>"."""
    columns: dict[str, list[float]] = {}
    for shard, sidecar in sidecars.items():
        for statistic, values in sidecar["statistics"].items():
            columns.setdefault(f"{shard.partition('-')[0]}/{statistic}", []).extend(values)
    arrays: dict[str, Any] = {k: np.asarray(columns[k], np.float32) for k in sorted(columns)}
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
