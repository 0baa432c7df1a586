"""A track as what a recurrent network remembers of it that has learned to predict its next frames.

Source: Chung et al. 2019, "An Unsupervised Autoregressive Model for Speech Representation
Learning", section 2: frames some steps ahead, absolute errors. Here frames are stacked, so that
there are fewer steps; the network gives what changes in between; and a track's vector is the mean
and the deviation of its states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.models import _track
from pipeline.models.base import Measure, Recipe, Shards

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Params(_track.SpectrogramParams):
    """What params.yaml sets for a recurrent encoder."""

    stacked_frames: int = Field(ge=1, description="frames of a spectrogram that make one step")
    steps_ahead: int = Field(ge=1, description="from the step that is heard to the one predicted")
    rnn_layer_sizes: tuple[int, ...] = Field(min_length=1, description="units, the lowest first")
    clip_norm: float = Field(gt=0, description="greatest norm of the gradient")


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled network: steps [batch, any number, numbers] -> those some steps ahead."""
    import keras
    from keras import ops

    from pipeline.nn.recurrent.lstm import FastLSTM

    num_bins = int(shards.features["mel"].shape[1] or 0)
    size = params.stacked_frames * num_bins
    steps = hidden = keras.Input((None, size))
    for index, units in enumerate(params.rnn_layer_sizes):
        hidden = FastLSTM(units, name=f"lstm_{index}")(hidden)
    change = keras.layers.Dense(size, name="change")(hidden)
    model = keras.Model(steps, keras.layers.Add(name="prediction")([steps, change]))
    optimizer = keras.optimizers.Adam(params.learning_rate, global_clipnorm=params.clip_norm)

    def loss(targets: Any, outputs: Any) -> Any:
        return ops.mean(ops.abs(targets - outputs), axis=(1, 2))  # [batch]

    model.compile(optimizer, loss=loss, jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of (steps, the steps to be predicted, weights)."""
    import tensorflow as tf

    def prepared(pieces: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        heard, ahead = _pairs(params, pieces)
        return heard, ahead, tf.ones(tf.shape(heard)[:1])

    return _track.crops(shards, split, params, seed).map(prepared)


def encode(
    model: keras.Model, params: Params, shards: Shards, fields: Mapping[str, np.ndarray]
) -> np.ndarray:
    import keras

    top = keras.Model(model.inputs[0], model.get_layer("change").input)
    steps = _steps(params, _track.relative(fields["mel"]))
    return _track.mean_and_deviation(_track.by_rows(top, steps, params.batch_size))


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """How far the predictions are from what comes, in dB.

    prediction_error_copy_db is that of the step that is heard already; prediction_margin is by how
    much the network is nearer.
    """
    found: dict[str, list[np.ndarray]] = {"model": [], "copy": [], "albums": []}
    for mel, albums in _track.by_batch(shards, split, "mel", params.batch_size):
        heard, ahead = (np.asarray(x) for x in _pairs(params, _track.relative(mel)))
        predicted = _track.by_rows(model, heard, params.batch_size)
        found["model"].append(_track.error_db(predicted, ahead))
        found["copy"].append(_track.error_db(heard, ahead))
        found["albums"].append(albums)
    own, copied, groups = (np.concatenate(x) for x in found.values())
    return {
        "prediction_error_db": Measure.mean(own, groups),
        "prediction_error_copy_db": Measure.mean(copied, groups),
        "prediction_margin": Measure.mean(copied - own, groups),
    }


RECIPE = Recipe(
    name="track_rnn",
    Params=Params,
    build=build,
    batches=batches,
    measures=measures,
    accepts=(),
    encode=encode,
    encoded_fields=("mel",),
)


def _pairs(params: Params, mel: Any) -> tuple[Any, Any]:
    """(what is heard, what comes `steps_ahead` later), each [tracks, steps - ahead, numbers]."""
    steps = _steps(params, mel)
    return steps[:, : -params.steps_ahead], steps[:, params.steps_ahead :]


def _steps(params: Params, mel: Any) -> Any:
    """Frames [tracks, frames, bins] as steps [tracks, steps, numbers]; a rest is left out."""
    import tensorflow as tf

    num_steps = mel.shape[1] // params.stacked_frames
    size = params.stacked_frames * mel.shape[2]
    return tf.reshape(mel[:, : num_steps * params.stacked_frames], (-1, num_steps, size))
