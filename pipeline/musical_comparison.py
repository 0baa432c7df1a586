"""A part of the stage evaluate: samples as music beside held-out and training examples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import files, params, registry, tfrecord
from pipeline.example import Example
from pipeline.metrics import comparison
from pipeline.models.base import Recipe, Shards

_STEPS_PER_BEAT = 4  # the grid of the musical metrics where a codec has none: sixteenths
_REFERENCES = ("generated", "held_out", "training")
Sets = dict[str, list[Example]]
Values = Mapping[str, Mapping[str, np.ndarray]]


def compare(
    settings: params.Params,
    name: str,
    recipe: Recipe,
    shards: Shards,
    generated: list[Any],
    out: Path,
) -> dict[str, Any]:
    """Musical metrics of samples, references and contrasts, and what of the samples is copied.

    Args:
      settings: params.yaml.
      name: of the model.
      recipe: its recipe.
      shards: its corpus.
      generated: its samples, as records.
      out: where plots/distributions.json is written: each metric of each sequence.
    """
    measured_by = registry.metrics(settings.model(name).metrics)
    grid = getattr(codec_of(settings, shards)[1], "steps_per_quarter", _STEPS_PER_BEAT)
    sets = _sets(settings, name, recipe, shards, generated)
    few = _few(settings, sets)
    values = _values(settings, measured_by, few, grid)
    files.write_json(out / "plots" / "distributions.json", _rounded(values))
    return {
        "num_samples": len(generated),
        **_metrics(settings, values),
        **_nearer(values),
        **_of_sets(measured_by, few, grid),
        **_memorisation(measured_by, sets, grid),
    }


def codec_of(settings: params.Params, shards: Shards) -> tuple[Any, Any]:
    """The codec of a corpus and its options."""
    corpus = settings.corpus(shards.corpus)
    return registry.codec(corpus.codec), settings.codec_options(shards.corpus)


def records(
    shards: Shards, split: str, names: tuple[str, ...] | None = None
) -> Iterator[dict[str, Any]]:
    """The records of a split, in file order; of each the fields named, or all."""
    features = {n: f for n, f in shards.features.items() if names is None or n in names}
    for path in shards.files(split):
        for data in tfrecord.read_records(Path(path)):
            yield tfrecord.parse_example(data, features)


def _sets(
    settings: params.Params, name: str, recipe: Recipe, shards: Shards, generated: list[Any]
) -> Sets:
    """Generated, held-out and training music, and what other models' samples contrast with."""
    codec, options = codec_of(settings, shards)
    found: dict[str, Iterable[Any]] = {
        "generated": generated,
        "held_out": _references(settings, name, recipe, shards, "test"),
        "training": _references(settings, name, recipe, shards, "train"),
    }
    if codec.medium != "note_sequence":  # 80 GB of NSynth; of notes, all are searched for copies
        most = settings.evaluate_options().num_references
        found |= {which: islice(found[which], most) for which in _REFERENCES[1:]}
    own = settings.recipe_params(name)
    for contrast, make in recipe.contrasts.items():
        found[contrast] = make(shards, own, len(generated), settings.seed)
    return {which: [codec.decode(r, options) for r in rows] for which, rows in found.items()}


def _references(
    settings: params.Params, name: str, recipe: Recipe, shards: Shards, split: str
) -> Iterable[Any]:
    """Records as long as a sample is: what is longer has more of everything."""
    if recipe.references is None:
        return records(shards, split)
    num_steps = settings.generate_options().num_steps.get(recipe.name)
    return recipe.references(shards, split, settings.recipe_params(name), num_steps)


def _few(settings: params.Params, sets: Sets) -> Sets:
    """Of the references so many as params.yaml says, the first: the order is that of hashes."""
    most = settings.evaluate_options().num_references
    return {
        which: found[:most] if which in _REFERENCES[1:] else found for which, found in sets.items()
    }


def _values(
    settings: params.Params, measured_by: Any, sets: Sets, grid: int
) -> dict[str, dict[str, np.ndarray]]:
    """Each metric of each piece, and of training pieces whose notes are moved about by chance."""
    rows = {
        which: [
            measured_by.musical_metrics(content) for content in _contents(measured_by, found, grid)
        ]
        for which, found in sets.items()
    }
    rng = np.random.default_rng(settings.seed)
    for contrast, of in measured_by.CONTRASTS.items():
        rows[contrast] = [
            of(content, rng) for content in _contents(measured_by, sets["training"], grid)
        ]
    return {
        which: {m: np.array([row[m] for row in found], np.float64) for m in found[0]}
        for which, found in rows.items()
    }


def _contents(measured_by: Any, found: list[Example], grid: int) -> list[Any]:
    return [measured_by.content_of(example, grid) for example in found]


def _metrics(settings: params.Params, values: Values) -> dict[str, Any]:
    """Each musical metric of each set, and how far their distributions overlap."""
    evaluate = settings.evaluate_options()
    metrics: dict[str, Any] = {}
    for metric in values["generated"]:
        generated, held_out, training = (values[which][metric] for which in _REFERENCES)
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
        for contrast in _contrasts(values):
            metrics[f"{metric}_{contrast}"] = comparison.mean_ignoring_nan(values[contrast][metric])
    return metrics


def _nearer(values: Values) -> dict[str, int]:
    """In how many metrics the samples' mean is nearer to the training data's than a contrast's.

    A metric that a set leaves undefined is not counted for it as nearer.
    """
    found: dict[str, int] = {}
    for contrast in _contrasts(values):
        is_nearer = [
            _distance(values, "generated", metric) < _distance(values, contrast, metric)
            for metric in values["generated"]
        ]
        found[f"num_metrics_nearer_than_{contrast}"] = int(sum(is_nearer))
    return found | ({"num_metrics": len(values["generated"])} if found else {})


def _distance(values: Values, which: str, metric: str) -> float:
    own, training = (comparison.mean_ignoring_nan(values[w][metric]) for w in (which, "training"))
    return float(abs(own - training)) if np.isfinite(own) else math.inf


def _contrasts(values: Values) -> list[str]:
    return [which for which in values if which not in _REFERENCES]


def _of_sets(measured_by: Any, sets: Sets, grid: int) -> dict[str, float]:
    """What is measured of a set as a whole: of the samples, held-out and training pieces."""
    found: dict[str, float] = {}
    for which, suffix in zip(_REFERENCES, ("", "_held_out", "_training"), strict=True):
        genres = [example.attributes.get("genre", "") for example in sets[which]]
        of_set = measured_by.set_metrics(_contents(measured_by, sets[which], grid), genres)
        found |= {f"{key}{suffix}": value for key, value in of_set.items()}
    return found


def _memorisation(measured_by: Any, sets: Sets, grid: int) -> dict[str, Any]:
    """How much of the samples stands in the training data, with held-out data beside it."""
    return measured_by.memorisation(
        *(_contents(measured_by, sets[which], grid) for which in _REFERENCES)
    )


def _rounded(values: Values) -> dict[str, dict[str, list[float | None]]]:
    return {
        which: {m: [comparison.plain(float(v)) for v in row] for m, row in found.items()}
        for which, found in values.items()
    }
