"""Stage: transfers of the same pairs -> how near each comes to the truth, beside its baselines."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console, files, params, paths, tracking
from pipeline.audio import transcription
from pipeline.errors import PipelineError
from pipeline.metrics import comparison, transfer

# The note song as it is, and its score played by the other instrument: what they reach is the floor
# and the ceiling of every measure.
_REFERENCES = ("notes", "oracle")
_DISTANCE = "oracle_distance_db"
Rows = dict[str, dict[str, dict[str, float]]]  # method -> pair -> measure -> value


def main() -> None:
    settings = params.load()
    about = files.read_json(paths.PAIRS / "pairs.json")
    made = {name: files.read_json(paths.transfers(name) / "transfers.json")
            for name in settings.transfers}  # fmt: skip
    rows = _measured(about, made)
    out = paths.report("compare", "transfers")
    _write_rows(out / "plots" / "pairs.csv", rows)
    baselines = [name for name, listed in made.items() if listed["is_baseline"]]
    metrics: dict[str, Any] = {
        "source": about["source"],
        "profile": settings.profile,
        "num_pairs": len(about["pairs"]),
        "methods": {
            name: _summary(settings, rows, name, baselines)
            | {"num_rejected": len(made[name]["rejected"]) if name in made else 0}
            for name in rows
        },
    }
    files.write_json(out / "metrics.json", metrics)
    tracking.log_comparison(settings, metrics["methods"])


def _measured(about: Mapping[str, Any], made: Mapping[str, Any]) -> Rows:
    """Every measure of every method's transfer of every pair that it could use."""
    rows: Rows = {name: {} for name in (*_REFERENCES, *made)}
    rate = about["sample_rate"]
    for pair in console.progress(about["pairs"], "listening", len(about["pairs"])):
        stem = pair["stem"]
        songs = {w: _wav(paths.PAIRS / f"{stem}-{w}.wav") for w in ("notes", "sound", "oracle")}
        heard = {which: transfer.describe(song, rate) for which, song in songs.items()}
        own = {name: heard[name] for name in _REFERENCES}
        for name in made:
            if stem not in made[name]["rejected"]:
                wav = paths.transfers(name) / f"{stem}.wav"
                own[name] = transfer.describe(_wav(wav), rate)
        score = [transcription.Note(start, end, pitch, 64) for start, end, pitch in pair["notes"]]
        for name, found in own.items():
            rows[name][stem] = transfer.compare_descriptions(
                found, heard["notes"], heard["sound"], heard["oracle"], score
            )
    return rows


def _wav(path: Path) -> np.ndarray:
    import soundfile

    return soundfile.read(path, dtype="float32")[0]


def _summary(
    settings: params.Params, rows: Rows, name: str, baselines: list[str]
) -> dict[str, float | None]:
    """Means over pairs with their intervals, and how much nearer it is than the best baseline.

    That margin is over the pairs that both could use.
    """
    if not rows[name]:
        raise PipelineError(
            f"transfers.{name}: no pair could be used; data/transfers/{name}/transfers.json tells "
            "why. Mend that, or take the method out of params.yaml."
        )
    found: dict[str, float | None] = {}
    for measure in next(iter(rows[name].values())):
        values = np.array([row[measure] for row in rows[name].values()], np.float64)
        found |= _interval(settings, measure, values)
    rivals = [b for b in baselines if b != name and rows[b]]
    if name in _REFERENCES or not rivals:
        return found
    best = min(rivals, key=lambda b: np.mean([row[_DISTANCE] for row in rows[b].values()]))
    both = [stem for stem in rows[name] if stem in rows[best]]
    gains = [rows[best][stem][_DISTANCE] - rows[name][stem][_DISTANCE] for stem in both]
    return found | _interval(settings, "oracle_distance_margin", np.array(gains))


def _interval(settings: params.Params, key: str, values: np.ndarray) -> dict[str, float | None]:
    mean = comparison.mean_ignoring_nan
    resamples = settings.evaluate_options().num_resamples
    low, high = comparison.bootstrap_interval(
        values, mean, num_resamples=resamples, seed=settings.seed
    )
    named = {key: mean(values), f"{key}_low": low, f"{key}_high": high}
    return {name: comparison.plain(value) for name, value in named.items()}


def _write_rows(path: Path, rows: Rows) -> None:
    measures = next(iter(next(iter(rows.values())).values()))
    with files.atomic_open(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "pair", *measures])
        for name, found in rows.items():
            for stem, row in found.items():
                writer.writerow([name, stem, *(f"{row[measure]:.6f}" for measure in measures)])


def _command() -> None:
    argparse.ArgumentParser(prog="python -m pipeline.compare", description=__doc__).parse_args()
    main()


if __name__ == "__main__":
    console.run(_command)
