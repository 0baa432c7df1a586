"""A part of the stage evaluate: a classifier beside its baselines, and what it says of samples."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import files, params, registry, weights
from pipeline.codecs.base import Record
from pipeline.metrics import classification
from pipeline.models.base import Classify, Labelled, Measure, Recipe, Shards

_AT_ONCE = 256  # records that are unpacked at once


def measures(
    settings: params.Params, name: str, recipe: Recipe, shards: Shards, confusion: Path
) -> dict[str, Measure | float]:
    """Accuracy on the test split, and its margin over the best baseline there.

    Where examples have many labels, it is how tags are ranked instead.

    Args:
      settings: params.yaml.
      name: of the model.
      recipe: its recipe, which has `labelled` and `classify`.
      shards: its corpus.
      confusion: the file for actual and predicted class of each example.
    """
    assert recipe.labelled
    assert recipe.classify
    options, classify = settings.recipe_params(name), recipe.classify
    model = weights.trained(settings, name)
    test = recipe.labelled(shards, "test", options, lambda batch: classify(model, options, batch))
    baselines = {}
    for baseline in recipe.baselines:
        module = registry.baseline(baseline)
        known, unknown = (
            recipe.labelled(shards, split, options, module.features) for split in ("train", "test")
        )
        baselines[baseline] = module.probabilities(known, unknown)
    is_exclusive = getattr(options, "labels", "one") == "one"
    write_confusion(confusion, test if is_exclusive else None, test.inputs)
    tell = _accuracies if is_exclusive else _rankings
    return tell(test, test.inputs, baselines)


def judge(settings: params.Params, name: str, shards: Shards) -> Classify:
    """A trained classifier: records -> probabilities [records, classes].

    Args:
      settings: params.yaml.
      name: of the classifier.
      shards: the corpus whose records, or records like them, it is given.
    """
    recipe, options = registry.recipe(settings.model(name).recipe), settings.recipe_params(name)
    assert recipe.classify
    assert recipe.inputs
    model, inputs, classify = weights.trained(settings, name), recipe.inputs, recipe.classify

    def probabilities(records: list[Record]) -> np.ndarray:
        parts = [records[i : i + _AT_ONCE] for i in range(0, len(records), _AT_ONCE)]
        return np.concatenate([classify(model, options, inputs(shards, part)) for part in parts])

    return probabilities


def write_confusion(path: Path, test: Labelled | None, probabilities: np.ndarray) -> None:
    """Actual and predicted class, a row an example; none where there is no one class."""
    with files.atomic_open(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["actual", "predicted"])
        if test is not None:
            pairs = zip(test.targets.argmax(axis=1), probabilities.argmax(axis=1), strict=True)
            writer.writerows((test.names[a], test.names[p]) for a, p in pairs)


def _accuracies(
    test: Labelled, own: np.ndarray, baselines: dict[str, np.ndarray]
) -> dict[str, Measure | float]:
    def mean(correct: np.ndarray) -> Measure:
        return Measure.mean(correct, test.groups)

    right = classification.correct(own, test.targets)
    others = {b: classification.correct(found, test.targets) for b, found in baselines.items()}
    best = max(others.values(), key=np.sum)  # on the held-out examples: generous to it
    return {
        "accuracy": mean(right),
        "accuracy_margin": mean(right - best),
        "accuracy_above_majority": mean(right - others["majority"]),
        "balanced_accuracy": classification.balanced_accuracy(own, test.targets),
        **{f"accuracy_{b}": mean(found) for b, found in others.items()},
    }


def _rankings(
    test: Labelled, own: np.ndarray, baselines: dict[str, np.ndarray]
) -> dict[str, Measure | float]:
    found: dict[str, Measure | float] = dict(classification.ranking(own, test.targets))
    for baseline, probabilities in baselines.items():
        for key, value in classification.ranking(probabilities, test.targets).items():
            found[f"{key}_{baseline}"] = value
    return found


def judged(
    settings: params.Params,
    name: str,
    recipe: Recipe,
    shards: Shards,
    samples: list[Any],
    verdicts: Path,
) -> Mapping[str, Measure | float]:
    """What an independent classifier says of a model's samples; nothing where none judges it.

    Args:
      settings: params.yaml.
      name: of the model.
      recipe: its recipe.
      shards: its corpus.
      samples: its samples, as records.
      verdicts: the file for the class that the judge takes each sample for, a row a sample.
    """
    by = settings.model(name).judge
    if recipe.judged is None or by == name:
        write_verdicts(verdicts, None, np.zeros((0, 0)))
        return {}
    judges_shards = weights.shards_of(settings, by)
    classify = judge(settings, by, judges_shards)
    write_verdicts(verdicts, judges_shards, classify(samples))
    return recipe.judged(samples, classify, shards, settings.recipe_params(name), settings.seed)


def write_verdicts(path: Path, shards: Shards | None, probabilities: np.ndarray) -> None:
    """The most probable class of each sample and its probability; no row without a judge."""
    with files.atomic_open(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sample", "heard", "probability"])
        if shards is not None:
            names = shards.options["genres"]
            for index, row in enumerate(probabilities):
                writer.writerow([index, names[int(row.argmax())], f"{row.max():.4f}"])
