"""A track as Spotify describes it: its audio features, standardised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models import _track
from pipeline.models.base import Measure, Recipe, Shards, Training

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FIELD = "audio_features"
ORDER = (  # of the field
    *("danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness"),
    *("instrumentalness", "liveness", "valence", "tempo", "duration_ms", "time_signature"),
)
_AS_THEY_ARE = (
    *("danceability", "energy", "loudness", "mode", "speechiness", "acousticness"),
    *("instrumentalness", "liveness", "valence"),
)
SIZE = len(_AS_THEY_ARE) + 3
_SLOWEST_BPM = 30.0


class Params(Training):
    """What params.yaml sets for attributes: nothing but how their moments are counted."""


def attributes(features: Any) -> np.ndarray:
    """Spotify's audio features as numbers in which near means alike.

    Duration and time signature are left out: the one is of the track and not of what is heard of
    it, the other is 4 of nearly all.

    Args:
      features: float [tracks, 13], in the order of ORDER: key 0..11 from C, or -1 where Spotify
        finds none; tempo in beats a minute, 0 where it finds none.

    Returns:
      float32 [tracks, SIZE]: what is as it was, the key as a point on the circle of fifths (cosine
      and sine; the centre where there is none), and log2 of the tempo, or of 30 if that is more.
    """
    columns = dict(zip(ORDER, np.asarray(features, np.float64).T, strict=True))
    angle, is_known = 2 * np.pi * 7 * columns["key"] / 12, columns["key"] >= 0
    point = [np.where(is_known, turned, 0) for turned in (np.cos(angle), np.sin(angle))]
    octaves = np.log2(np.maximum(columns["tempo"], _SLOWEST_BPM))
    rows = [*(columns[name] for name in _AS_THEY_ARE), *point, octaves]
    return np.stack(rows, axis=1).astype(np.float32)


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled Moments: attributes [batch, SIZE] -> the same, standardised.

    Raises:
      PipelineError: an epoch is less than a pass.
    """
    import keras

    from pipeline.nn.tracks.moments import Moments

    _track.check_pass(params, shards)
    model = Moments(SIZE, name="track_attributes")
    model.compile(keras.optimizers.SGD(params.learning_rate), jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of (attributes, attributes, weights)."""
    import tensorflow as tf

    def rows_of(features: tf.Tensor) -> tf.Tensor:
        rows = tf.numpy_function(attributes, [features], tf.float32)
        return tf.ensure_shape(rows, (None, SIZE))

    return _track.one_pass(shards, split, FIELD, params.batch_size, rows_of)


def encode(
    model: keras.Model, params: Params, shards: Shards, fields: Mapping[str, np.ndarray]
) -> np.ndarray:
    return _track.moments_encoded(model, attributes(fields[FIELD]))


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """mean_square of held-out tracks' standardised attributes: 1 if they are as training's are.

    Of those attributes that differ between training tracks.
    """
    num_varying = float(model.num_varying())
    rows = [
        (np.asarray(model.squares(attributes(features))[0]) / num_varying, albums)
        for features, albums in _track.by_batch(shards, split, FIELD, params.batch_size)
    ]
    squares, albums = (np.concatenate(x) for x in zip(*rows, strict=True))
    return {"mean_square": Measure.mean(squares, albums)}


RECIPE = Recipe(
    name="track_attributes",
    Params=Params,
    build=build,
    batches=batches,
    measures=measures,
    accepts=(),
    encode=encode,
    encoded_fields=(FIELD,),
)
