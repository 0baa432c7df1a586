"""A part of the stage evaluate: pitch and instrument, heard in what a model gives back."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from pipeline import musical_comparison, params, weights
from pipeline.errors import PipelineError
from pipeline.metrics import note_classifier
from pipeline.models.base import Measure, Recipe, Shards


def measures(
    settings: params.Params, name: str, recipe: Recipe, shards: Shards
) -> dict[str, Measure]:
    """How often a classifier of original notes is right on held-out ones, and as given back.

    Args:
      settings: params.yaml.
      name: of the model.
      recipe: its recipe, which has `reconstruct`.
      shards: its corpus.

    Returns:
      pitch_accuracy and family_accuracy, and each with _original. Notes of one instrument belong
      together in their intervals.
    """
    assert recipe.reconstruct
    options = settings.evaluate_options()
    heard = _fitted(settings, shards, options.num_classifier_notes)
    notes = list(islice(musical_comparison.records(shards, "test"), options.num_reconstructed))
    model = weights.trained(settings, name)
    given_back = recipe.reconstruct(
        model, settings.recipe_params(name), shards, notes, settings.seed
    )
    instruments = _labels(notes, "instrument")
    found: dict[str, Measure] = {}
    for suffix, records in (("", given_back), ("_original", notes)):
        audio = _waveforms(settings, shards, records)
        right = heard.accuracies(audio, *(_labels(notes, field) for field in _FIELDS))
        for field, values in right.items():
            name = f"{field.removeprefix('instrument_')}_accuracy{suffix}"
            found[name] = Measure.mean(values, instruments)
    return found


_FIELDS = ("pitch", "instrument_family")


def _labels(notes: list[Any], field: str) -> np.ndarray:
    return np.array([int(note[field]) for note in notes])


def _fitted(settings: params.Params, shards: Shards, num_notes: int) -> Any:
    notes = list(islice(musical_comparison.records(shards, "train"), num_notes))
    pitches, families = (_labels(notes, field) for field in _FIELDS)
    audio, rate = _waveforms(settings, shards, notes), shards.options["sample_rate"]
    try:
        return note_classifier.fit(audio, pitches, families, rate, max_notes=num_notes)
    except ValueError as error:
        raise PipelineError(
            f"{shards.corpus}: {error}. Ask for more in datasets.nsynth.families (params.yaml): "
            "what comes back is judged by its family."
        ) from None


def _waveforms(settings: params.Params, shards: Shards, records: list[Any]) -> np.ndarray:
    """float32. Shape [records, samples]."""
    codec, options = musical_comparison.codec_of(settings, shards)
    return np.stack([codec.decode(record, options).audio for record in records])
