"""Stage: samples and held-out data -> metrics, beside baselines, controls and the training data."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console, files, params, paths, registry, samples, tfrecord, tracking, weights
from pipeline.metrics import comparison, memorisation
from pipeline.metrics.likelihood import likelihood_metrics
from pipeline.models.base import Likelihood, Recipe, Shards

STEPS_PER_BEAT = 4  # the grid of the musical metrics: sixteenths


def main(name: str) -> None:
    settings = params.load()
    block = settings.model(name)
    recipe, shards = registry.recipe(block.recipe), Shards.open(paths.shards(block.corpus))
    out = paths.report("evaluate", name)
    metrics: dict[str, Any] = {"source": _source(shards), "profile": settings.profile}
    if recipe.likelihood:
        metrics |= _likelihoods(settings, name, recipe, shards, out)
    else:
        _write_baselines(out / "plots" / "baselines.csv", {})  # DVC wants the file all the same
    if recipe.measures:
        metrics |= _measures(settings, name, recipe, shards)
    sequences = _note_sequences(settings, name, recipe, shards)
    metrics |= _musical(settings, block.metrics, sequences, out)
    metrics |= _memorisation(block.metrics, sequences)
    rounded = {key: _plain(value) for key, value in metrics.items()}
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
    codec, options = _codec(settings, shards)
    known = [codec.statistics(record, options) for record in _records(shards, "test")]
    rates: dict[str, float] = {}
    for unit, statistic in (("note", "num_notes"), ("second", "duration_seconds")):
        amounts = np.array([row[statistic] for row in known])
        rates |= _ratio(settings, f"nll_per_{unit}", found.nll, amounts)
    return rates


def _measures(settings: params.Params, name: str, recipe: Recipe, shards: Shards) -> dict[str, Any]:
    """What else the recipe tells of its model on held-out examples."""
    assert recipe.measures
    model, options = weights.trained(settings, name), settings.recipe_params(name)
    metrics: dict[str, Any] = {}
    for key, found in recipe.measures(model, shards, "test", options, settings.seed).items():
        metrics |= _ratio(settings, key, found.numerators, found.denominators)
    return metrics


def _ratio(
    settings: params.Params, key: str, numerators: np.ndarray, denominators: np.ndarray
) -> dict[str, float]:
    resamples = settings.evaluate_options().num_resamples
    ratio = comparison.paired_bootstrap_ratio(
        numerators, denominators, num_resamples=resamples, seed=settings.seed
    )
    return dict(zip((key, f"{key}_low", f"{key}_high"), ratio, strict=True))


def _codec(settings: params.Params, shards: Shards) -> tuple[Any, Any]:
    corpus = settings.corpus(shards.corpus)
    return registry.codec(corpus.codec), settings.codec_options(shards.corpus)


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


def _note_sequences(
    settings: params.Params, name: str, recipe: Recipe, shards: Shards
) -> dict[str, list[Any]]:
    """Generated, held-out and training examples as NoteSequences."""
    codec, options = _codec(settings, shards)
    records = {
        "generated": samples.load(paths.samples(name)),
        "held_out": _references(settings, name, recipe, shards, "test"),
        "training": _references(settings, name, recipe, shards, "train"),
    }
    return {
        which: [codec.decode(record, options).note_sequence for record in found]
        for which, found in records.items()
    }


def _references(
    settings: params.Params, name: str, recipe: Recipe, shards: Shards, split: str
) -> Iterable[Any]:
    """Records as long as a sample is: what is longer has more of everything."""
    if recipe.references is None:
        return _records(shards, split)
    num_steps = settings.generate_options().num_steps.get(recipe.name)
    return recipe.references(shards, split, settings.recipe_params(name), num_steps)


def _records(shards: Shards, split: str) -> Iterator[dict[str, Any]]:
    for path in shards.files(split):
        for data in tfrecord.read_records(Path(path)):
            yield tfrecord.parse_example(data, shards.features)


def _musical(
    settings: params.Params, medium: str, sequences: dict[str, list[Any]], out: Any
) -> dict[str, Any]:
    """Each musical metric of the three sets, and how far their distributions overlap."""
    evaluate = settings.evaluate_options()
    judge = registry.metrics(medium)
    values: dict[str, dict[str, np.ndarray]] = {}
    for which, found in sequences.items():
        few = found if which == "generated" else found[: evaluate.num_references]
        rows = [judge.musical_metrics(judge.notes_of(s, STEPS_PER_BEAT)) for s in few]
        values[which] = {m: np.array([row[m] for row in rows], np.float64) for m in rows[0]}
    metrics: dict[str, Any] = {"num_samples": len(sequences["generated"])}
    for metric in values["generated"]:
        generated, held_out, training = (values[w][metric] for w in values)
        low, high = comparison.bootstrap_interval(
            generated,
            comparison.mean_ignoring_nan,
            num_resamples=evaluate.num_resamples,
            seed=settings.seed,
        )
        metrics |= {
            metric: comparison.mean_ignoring_nan(generated),
            f"{metric}_low": low,
            f"{metric}_high": high,
            f"{metric}_held_out": comparison.mean_ignoring_nan(held_out),
            f"{metric}_training": comparison.mean_ignoring_nan(training),
            f"{metric}_overlapped_area": comparison.overlapped_area(generated, training),
            f"{metric}_overlapped_area_held_out": comparison.overlapped_area(held_out, training),
        }
    files.write_json(out / "plots" / "distributions.json", _rounded(values))
    return metrics


def _memorisation(medium: str, sequences: dict[str, list[Any]]) -> dict[str, Any]:
    """How much of the samples stands in the training data, with held-out data beside it."""
    judge = registry.metrics(medium)
    symbols = {
        which: [memorisation.note_symbols(judge.notes_of(s, STEPS_PER_BEAT)) for s in found]
        for which, found in sequences.items()
    }
    return memorisation.memorisation_metrics(
        symbols["generated"], symbols["held_out"], symbols["training"]
    )


def _rounded(values: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, list[float | None]]]:
    return {
        which: {m: [_plain(float(v)) for v in row] for m, row in found.items()}
        for which, found in values.items()
    }


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is undefined becomes null; six digits say all that is known."""
    if isinstance(value, str | int):
        return value
    return round(float(value), 6) if math.isfinite(value) else None


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate", description=__doc__)
    parser.add_argument("model", help="a key of `models` in params.yaml")
    main(parser.parse_args().model)


if __name__ == "__main__":
    console.run(_command)
