"""Stage: samples and held-out data -> metrics, beside baselines, controls and the training data."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import (
    classification,
    console,
    cover_comparison,
    files,
    musical_comparison,
    params,
    paths,
    reconstruction,
    registry,
    samples,
    track_probing,
    tracking,
    weights,
)
from pipeline.metrics import comparison
from pipeline.metrics.likelihood import likelihood_metrics
from pipeline.models.base import Likelihood, Measure, Recipe, Shards


def main(name: str) -> None:
    settings = params.load()
    block = settings.model(name)
    recipe, shards = registry.recipe(block.recipe), weights.shards_of(settings, name)
    out = paths.report("evaluate", name)
    metrics: dict[str, Any] = {"source": _source(shards), "profile": settings.profile}
    if recipe.likelihood:
        metrics |= _likelihoods(settings, name, recipe, shards, out)
    else:
        _write_baselines(out / "plots" / "baselines.csv", {})  # DVC wants the file all the same
    if recipe.labelled:
        confusion = out / "plots" / "confusion.csv"
        found = classification.measures(settings, name, recipe, shards, confusion)
        metrics |= _ratios(settings, found)
    else:
        classification.write_confusion(out / "plots" / "confusion.csv", None, np.zeros(0))
    if recipe.measures:
        model, options = weights.trained(settings, name), settings.recipe_params(name)
        metrics |= _ratios(settings, recipe.measures(model, shards, "test", options, settings.seed))
    if recipe.encode and "picture" not in recipe.encoded_fields:
        metrics |= _ratios(settings, track_probing.measures(settings, name))
    if recipe.reconstruct:
        metrics |= _ratios(settings, reconstruction.measures(settings, name, recipe, shards))
    generated = samples.load(paths.samples(name))
    if recipe.generate and musical_comparison.codec_of(settings, shards)[0].medium == "picture":
        metrics |= _ratios(settings, cover_comparison.measures(settings, name, shards, generated))
    judged = (settings, name, recipe, shards, generated, out / "plots" / "verdicts.csv")
    metrics |= _ratios(settings, classification.judged(*judged))
    if recipe.generate:
        held_out = [record for record in generated if str(record.get("split", "test")) == "test"]
        metrics |= musical_comparison.compare(settings, name, recipe, shards, held_out, out)
    else:
        files.write_json(out / "plots" / "distributions.json", {})
    rounded = {key: comparison.plain(value) for key, value in metrics.items()}
    files.write_json(out / "metrics.json", rounded)
    tracking.log_evaluation(settings, name, rounded)


def _source(shards: Shards) -> str:
    return files.read_json(shards.path / "corpus.json")["source"]


def _likelihoods(
    settings: params.Params, name: str, recipe: Recipe, shards: Shards, out: Any
) -> dict[str, Any]:
    """The model, its best baseline and its controls on the same held-out examples."""
    options = settings.recipe_params(name)
    model = weights.trained(settings, name)
    assert recipe.likelihood
    own = recipe.likelihood(model, shards, "test", options)
    metrics = _summary(settings, own, "") | _by_note_and_second(settings, own, shards)
    controls = [control(model, shards, "test", options) for control in recipe.controls.values()]
    if controls:  # the one that comes nearest to the model
        best = min(controls, key=lambda found: found.nll.sum())
        metrics |= _summary(settings, best, "_control")
    baseline = _best_baseline(recipe, shards, options, out)
    metrics |= _summary(settings, baseline, "_baseline")
    return metrics | _ratio(settings, "nll_margin", baseline.nll - own.nll, own.num_events)


def _by_note_and_second(
    settings: params.Params, found: Likelihood, shards: Shards
) -> dict[str, float]:
    """nll a note and a second of music, in nats: events of different codecs cannot be compared."""
    codec, options = musical_comparison.codec_of(settings, shards)
    if codec.medium == "audio":  # not all of a sound was predicted
        return {}
    known = [
        codec.statistics(record, options) for record in musical_comparison.records(shards, "test")
    ]
    rates: dict[str, float] = {}
    for unit, statistic in (("note", "num_notes"), ("second", "duration_seconds")):
        amounts = np.array([row[statistic] for row in known])
        rates |= _ratio(settings, f"nll_per_{unit}", found.nll, amounts)
    return rates


def _ratios(settings: params.Params, found: Mapping[str, Measure | float]) -> dict[str, float]:
    """Each measure with its interval, plain numbers as they are."""
    metrics: dict[str, float] = {}
    for key, value in found.items():
        if isinstance(value, Measure):
            sums = _by_group(value)
            metrics |= _ratio(settings, key, *sums)
        else:
            metrics[key] = value
    return metrics


def _by_group(measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Sums of numerators and denominators over what belongs together."""
    if measure.groups is None:
        return measure.numerators, measure.denominators
    _, places = np.unique(measure.groups, return_inverse=True)
    return np.bincount(places, measure.numerators), np.bincount(places, measure.denominators)


def _ratio(
    settings: params.Params, key: str, numerators: np.ndarray, denominators: np.ndarray
) -> dict[str, float]:
    resamples = settings.evaluate_options().num_resamples
    ratio = comparison.paired_bootstrap_ratio(
        numerators, denominators, num_resamples=resamples, seed=settings.seed
    )
    return dict(zip((key, f"{key}_low", f"{key}_high"), ratio, strict=True))


def _summary(settings: params.Params, found: Likelihood, suffix: str) -> dict[str, Any]:
    resamples = settings.evaluate_options().num_resamples
    summary = likelihood_metrics(
        found.nll, found.num_events, found.num_correct, resamples, settings.seed
    )
    return {f"{key}{suffix}": value for key, value in summary.items()}


def _best_baseline(recipe: Recipe, shards: Shards, options: Any, out: Any) -> Likelihood:
    """The baseline of the lowest nll on the held-out examples themselves: generous to it."""
    assert recipe.sequences
    train, test = (recipe.sequences(shards, split, options) for split in ("train", "test"))
    # No larger vocabulary than what occurs, the held-out examples included: generous to it, too.
    num_classes = 1 + max(int(s.max()) for s in (*train, *test))
    found = {b: registry.baseline(b).evaluate(train, test, num_classes) for b in recipe.baselines}
    _write_baselines(out / "plots" / "baselines.csv", found)
    best = min(found.values(), key=lambda b: b.nll.sum())
    return Likelihood(best.nll, best.num_events, best.num_correct)


def _write_baselines(path: Path, found: dict[str, Any]) -> None:
    with files.atomic_open(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["order", "baseline", "nll"])
        for baseline, result in found.items():
            for (smoothing, order), nll in sorted(result.table.items()):
                writer.writerow([order, f"{baseline}, {smoothing}", f"{nll:.6f}"])


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    parser.add_argument("model", help="a key of `models` in params.yaml")
    main(parser.parse_args().model)


if __name__ == "__main__":
    console.run(_command)
