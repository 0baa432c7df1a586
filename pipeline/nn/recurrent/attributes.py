"""What can be heard of a melody in one number, and where in a latent space it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.errors import PipelineError
from pipeline.nn.recurrent.melody_classes import FIRST_PITCH


def density(classes: Any) -> Any:
    """Onsets a step, 0 to 1: int [batch, steps] -> float32 [batch]."""
    return ops.mean(ops.cast(classes >= FIRST_PITCH, "float32"), axis=-1)


def pitch_range(classes: Any) -> Any:
    """Highest less lowest pitch, in semitones; 0 without notes: int [batch, steps] -> [batch]."""
    is_onset = classes >= FIRST_PITCH
    highest = ops.max(ops.where(is_onset, classes, 0), axis=-1)
    lowest = ops.min(ops.where(is_onset, classes, 1 << 20), axis=-1)
    return ops.cast(ops.maximum(highest - lowest, 0), "float32")


def syncopation(classes: Any) -> Any:
    """The part of the onsets that come off the beat with none on the beat before, 0 to 1.

    Off the beat is an odd sixteenth, whose beat is the one before it, and an odd eighth, whose beat
    is the eighth before it. 0 without notes.

    Args:
      classes: int, in sixteenths, from a bar line on. Shape [batch, steps].

    Returns:
      float32. Shape [batch].

    Source: 16th and 8th note syncopation of Roberts et al. 2018, section 5.3, counted together.
    """
    is_onset = classes >= FIRST_PITCH
    steps = ops.arange(classes.shape[-1])
    off_beat = ops.zeros_like(is_onset)
    for period, place in ((2, 1), (4, 2)):
        before = ops.pad(is_onset[:, :-place], ((0, 0), (place, 0)))
        here = ops.logical_and(is_onset, steps % period == place)
        off_beat = ops.logical_or(off_beat, ops.logical_and(here, ops.logical_not(before)))
    num_onsets = ops.sum(ops.cast(is_onset, "float32"), axis=-1)
    return ops.sum(ops.cast(off_beat, "float32"), axis=-1) / ops.maximum(num_onsets, 1.0)


ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "density": density,
    "range": pitch_range,
    "syncopation": syncopation,
}

_MOMENTUM = 0.99


class AttributeVectors(keras.layers.Layer):
    """The direction in which each attribute grows, from running moments of what was trained on.

    The regression of the latent's mean on the attribute: how much further along the latents lie of
    melodies that have one standard deviation more of it. The moments are weights, kept as those of
    a batch normalization, so that a trained model carries its directions with it.

    Args:
      latent_size: length of a latent.

    Source: after Roberts et al. 2018, section 5.3, who subtract the mean latents of the lowest
      quartile from those of the highest.
    """

    def __init__(self, latent_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.latent_size = latent_size

    def build(self, input_shape: Any = None) -> None:
        count, size = len(ATTRIBUTES), self.latent_size
        shapes = {"total": (), "a": (count,), "aa": (count,), "z": (size,), "az": (count, size)}
        self.moments = {
            name: self.add_weight(
                shape=shape,
                initializer="zeros",
                trainable=False,
                dtype="float32",
                autocast=False,
                aggregation="mean",
                name=name,
            )
            for name, shape in shapes.items()
        }
        self.built = True

    def update(self, means: Any, classes: Any) -> None:
        """Takes in a batch: latents' means [batch, latent_size], int classes [batch, steps]."""
        values = ops.stack([attribute(classes) for attribute in ATTRIBUTES.values()])
        count = ops.cast(ops.shape(means)[0], "float32")
        means = ops.cast(means, "float32")
        seen = {
            "total": 1.0,
            "a": ops.mean(values, axis=1),
            "aa": ops.mean(ops.square(values), axis=1),
            "z": ops.mean(means, axis=0),
            "az": ops.matmul(values, means) / count,
        }
        for name, variable in self.moments.items():
            variable.assign(_MOMENTUM * variable + (1 - _MOMENTUM) * seen[name])

    def deviations(self) -> Any:
        """Each attribute's standard deviation: float32 [attributes]."""
        total, a, aa = (self._moment(name) for name in ("total", "a", "aa"))
        return ops.sqrt(ops.maximum(aa / total - ops.square(a / total), 1e-12))

    def vectors(self) -> Any:
        """What to add for one standard deviation more: float32 [attributes, latent_size]."""
        total, a, z, az = (self._moment(name) for name in ("total", "a", "z", "az"))
        covariance = az / total - ops.outer(a / total, z / total)
        return covariance / self.deviations()[:, None]

    def shift(self, attributes: Mapping[str, float]) -> np.ndarray:
        """What changes of attributes, in standard deviations, add to a latent: [latent_size].

        Raises:
          PipelineError: if one of them is not known.
        """
        if unknown := sorted(set(attributes) - set(ATTRIBUTES)):
            raise PipelineError(
                f"attribute={unknown[0]} has no vector; choose of {', '.join(ATTRIBUTES)}."
            )
        wanted = np.array([attributes.get(name, 0.0) for name in ATTRIBUTES])
        return wanted @ np.asarray(self.vectors())

    def _moment(self, name: str) -> Any:
        value = ops.convert_to_tensor(self.moments[name])
        return ops.maximum(value, 1e-12) if name == "total" else value
