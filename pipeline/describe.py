"""Stage: a corpus -> its data report: counts, hours, distributions, rejections, contract, card."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import charts, console, files, paths, tfrecord
from pipeline.codecs.base import Feature
from pipeline.errors import PipelineError

_NUM_BINS = 30


def main(name: str) -> None:
    folder = paths.shards(name)
    corpus = files.read_json(folder / "corpus.json")
    _check_contract(folder, corpus)
    with np.load(folder / "statistics.npz", allow_pickle=False) as loaded:
        statistics = dict(loaded)
    out = paths.report("describe", name)
    metrics = _metrics(corpus, statistics)
    files.write_json(out / "metrics.json", metrics)
    _write_distributions(out / "plots" / "distributions.csv", statistics)
    with files.atomic_open(out / "card.md", "w") as file:
        file.write(_card(corpus, metrics))


def _check_contract(folder: Path, corpus: dict[str, Any]) -> None:
    """Reads every record: checksums hold, counts are those declared, no key is in two splits."""
    seen: dict[str, str] = {}
    features = {"key": Feature(**corpus["features"]["key"])}
    for split, about in corpus["splits"].items():
        paths_ = sorted(folder.glob(f"{corpus['name']}-{split}.tfrecord-*"))
        lengths = []
        for path in paths_:
            keys = [tfrecord.parse_example(r, features)["key"] for r in tfrecord.read_records(path)]
            lengths.append(len(keys))
            for key in keys:
                if seen.setdefault(key, split) != split:
                    raise PipelineError(f"{key} is in {seen[key]} and in {split} of {folder}.")
        if lengths != about["shard_lengths"]:
            raise PipelineError(
                f"{folder}: {split} holds {lengths} records, corpus.json says "
                f"{about['shard_lengths']}. Delete the folder and run `dvc repro`."
            )


def _metrics(corpus: dict[str, Any], statistics: dict[str, np.ndarray]) -> dict[str, Any]:
    """One flat object: sums of what adds up (notes, hours), means of the rest."""
    metrics: dict[str, Any] = {
        "source": corpus["source"],
        "notice": corpus["notice"],
        "num_inputs": corpus["num_inputs"],
        "num_accepted": corpus["num_accepted"],
        "num_rejected": sum(corpus["rejected"].values()),
        **{f"rejected_{reason}": count for reason, count in sorted(corpus["rejected"].items())},
        **{f"repaired_{repair}": count for repair, count in sorted(corpus["repaired"].items())},
    }
    for split, about in corpus["splits"].items():
        metrics[f"num_examples_{split}"] = about["num_examples"]
    for column, values in statistics.items():
        split, _, statistic = column.partition("/")
        total = float(values.sum(dtype=np.float64))
        if statistic == "duration_seconds":
            metrics[f"duration_hours_{split}"] = round(total / 3600, 4)
        elif statistic.startswith("num_"):
            metrics[f"{statistic}_{split}"] = int(total)
        else:
            mean = statistic if statistic.endswith("_mean") else f"{statistic}_mean"
            metrics[f"{mean}_{split}"] = round(total / max(len(values), 1), 4)
    return metrics


def _write_distributions(path: Path, statistics: dict[str, np.ndarray]) -> None:
    """A histogram of each statistic, the same bins for every split, as shares of its examples."""
    with files.atomic_open(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["statistic", "split", "low", "high", "share"])
        for statistic in sorted({column.partition("/")[2] for column in statistics}):
            own = {
                c.partition("/")[0]: v for c, v in statistics.items() if c.endswith(f"/{statistic}")
            }
            edges, found = charts.bins({k: v.tolist() for k, v in own.items()}, _NUM_BINS)
            for split, shares in found.items():
                for low, high, share in zip(edges, edges[1:], shares, strict=False):
                    writer.writerow([statistic, split, f"{low:.6g}", f"{high:.6g}", f"{share:.6f}"])


def _card(corpus: dict[str, Any], metrics: dict[str, Any]) -> str:
    """The data card, in Markdown."""
    about = corpus["about"]
    rows = [
        f"| {s['file']} | {s['urls'][0]} | {s['num_bytes'] or 'not published'} | "
        f"{s['checksum'] or 'not published'} |"
        for s in about["published"]
    ]
    held = [f"| {f} | {a['num_bytes']} | {a['sha256']} |" for f, a in corpus["files"].items()]
    reasons = [f"| {r} | {c} |" for r, c in sorted(corpus["rejected"].items())]
    repairs = [f"| {r} | {c} |" for r, c in sorted(corpus["repaired"].items())]
    splits = [
        f"| {s} | {a['num_examples']} | {a['num_bytes']} |" for s, a in corpus["splits"].items()
    ]
    return "\n".join(
        [
            f"# {corpus['name']}: {about['title']} {about['version']} as {corpus['codec']}",
            "",
            f"- Source: **{corpus['source']}**. {corpus['notice']}".rstrip(),
            f"- Licence of these files: {corpus['licence']}",
            f"- Licence of the dataset as published: {about['licence']}",
            f"- Citation: {about['citation']}",
            f"- Home: {about['homepage']}",
            f"- Inputs: {metrics['num_inputs']}, accepted {metrics['num_accepted']}, rejected "
            f"{metrics['num_rejected']}",
            *("", "| split | examples | bytes |", "|---|---|---|", *splits),
            *("", "| rejected because | inputs |", "|---|---|", *reasons),
            *(("", "| accepted after repair | inputs |", "|---|---|", *repairs) if repairs else ()),
            *("", "| published file | where | bytes | checksum |", "|---|---|---|---|", *rows),
            *("", "| file used | bytes | sha256 |", "|---|---|---|", *held, ""),
        ]
    )


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.describe", description=__doc__)
    parser.add_argument("corpus", help="a key of `corpora` in params.yaml")
    main(parser.parse_args().corpus)


if __name__ == "__main__":
    console.run(_command)
