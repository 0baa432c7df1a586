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
from pipeline.metrics import comparison, transfer

_TRUTH = "oracle"  # the notes' score, played by the other instrument
_DISTANCE = "oracle_distance_db"
# Of means, not the mean of a pair's own: a pair whose divisor is near 0 would decide alone.
_RATIOS = {
    "mfcc_distance_ratio": ("mfcc_distance", "mfcc_distance_original"),
    "note_f1_normalized": ("note_f1", "note_f1_original"),
}
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
    """Every measure of every method's transfer of every pair.

    A pair that a method rejected counts as the notes' song left as it is: no method comes out
    better by leaving hard ones.
    """
    rows: Rows = {name: {} for name in (_TRUTH, *made)}
    rate = about["sample_rate"]
    for pair in console.progress(about["pairs"], "listening", len(about["pairs"])):
        stem = pair["stem"]
        songs = {w: _wav(paths.PAIRS / f"{stem}-{w}.wav") for w in ("notes", "sound", "oracle")}
        heard = {which: transfer.describe(song, rate) for which, song in songs.items()}
        own = {_TRUTH: heard["oracle"]}
        for name, listed in made.items():
            wav = paths.transfers(name) / f"{stem}.wav"
            is_made = stem not in listed["rejected"]
            own[name] = transfer.describe(_wav(wav), rate) if is_made else heard["notes"]
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
    """Means over pairs with their intervals, and how much nearer it is than the best baseline."""
    measures = next(iter(rows[name].values()))
    values = {m: np.array([row[m] for row in rows[name].values()], float) for m in measures}
    found: dict[str, float | None] = {}
    for measure in measures:
        found |= _interval(settings, measure, values[measure])
    for measure, (numerator, denominator) in _RATIOS.items():
        found |= _ratio(settings, measure, values[numerator], values[denominator])
    rivals = [baseline for baseline in baselines if baseline != name]
    if name == _TRUTH or not rivals:
        return found
    best = min(rivals, key=lambda rival: _distances(rows, rival).mean())
    gains = _distances(rows, best) - _distances(rows, name)
    return found | _interval(settings, "oracle_distance_margin", gains)


def _distances(rows: Rows, name: str) -> np.ndarray:
    """From the truth, in dB. Shape [pairs]."""
    return np.array([row[_DISTANCE] for row in rows[name].values()])


def _interval(settings: params.Params, key: str, values: np.ndarray) -> dict[str, float | None]:
    mean = comparison.mean_ignoring_nan
    resamples = settings.evaluate_options().num_resamples
    low, high = comparison.bootstrap_interval(
        values, mean, num_resamples=resamples, seed=settings.seed
    )
    named = {key: mean(values), f"{key}_low": low, f"{key}_high": high}
    return {name: comparison.plain(value) for name, value in named.items()}


def _ratio(
    settings: params.Params, key: str, numerators: np.ndarray, denominators: np.ndarray
) -> dict[str, float | None]:
    ratio = comparison.paired_bootstrap_ratio(
        numerators,
        denominators,
        num_resamples=settings.evaluate_options().num_resamples,
        seed=settings.seed,
    )
    return {
        f"{key}{end}": comparison.plain(value)
        for end, value in zip(("", "_low", "_high"), ratio, strict=True)
    }


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
