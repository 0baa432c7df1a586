"""Encoders of a track: what those share that learn from a corpus of covers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.errors import PipelineError
from pipeline.models import _classifier
from pipeline.models.base import Shards, Training, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class SpectrogramParams(Training):
    """What params.yaml sets for every encoder that learns from pieces of spectrograms."""

    crop_frames: int = Field(ge=2, description="of a spectrogram that a training step sees")
    shuffle_window: int = Field(ge=1, description="records held in memory to be shuffled")


relative = _classifier.relative


def crops(shards: Shards, split: str, params: SpectrogramParams, seed: int) -> tf.data.Dataset:
    """Batches of pieces of spectrograms, as `relative` gives them.

    Args:
      shards: a corpus of the codec cover.
      split: of "train" endless, each piece cut anywhere, in an order and from places that the seed
        alone decides; of others one pass, cut from the track's beginning.
      params: their length and number.
      seed: of the order and the places.

    Returns:
      float32 tensors [batch, crop_frames, bins].

    Raises:
      PipelineError: tracks are shorter.
    """
    import tensorflow as tf

    from pipeline.models import _batching

    num_frames, num_bins = (int(n or 0) for n in shards.features["mel"].shape)
    if params.crop_frames > num_frames:
        raise PipelineError(
            f"crop_frames={params.crop_frames} exceeds num_frames={num_frames} of corpus "
            f"{shards.corpus}: a piece must fit into a track. Lower it in params.yaml."
        )
    if split == "train":
        records = _batching.shuffled_passes(shards, split, ("mel",), params.shuffle_window, seed)
    else:
        records = read_records(shards, split, ("mel",))

    def cropped(index: tf.Tensor, mel: tf.Tensor) -> tf.Tensor:
        start = tf.constant(0)
        if split == "train":
            key = tf.stack([tf.cast(seed, tf.int64) + 1, index])
            last = num_frames - params.crop_frames
            start = tf.random.stateless_uniform((), key, 0, last + 1, tf.int32)
        piece = mel[start : start + params.crop_frames]
        return tf.ensure_shape(piece, (params.crop_frames, num_bins))

    # Against the whole track's loudest, as `encode` has it, and only then cut.
    whole = records.map(lambda record: relative(record["mel"][None])[0])
    pieces = whole.enumerate().map(cropped)
    return pieces.batch(params.batch_size, drop_remainder=split == "train").prefetch(2)


def one_pass(
    shards: Shards, split: str, field: str, batch_size: int, rows_of: Callable[[Any], Any]
) -> tf.data.Dataset:
    """Each record once, as rows with weight 1; of "train" then rows of weight 0 without end.

    Args:
      shards: the corpus.
      split: one of its splits.
      field: that the rows are made of.
      batch_size: rows; the last batch may have fewer.
      rows_of: tensor [batch, ...] -> tensor [batch, size].

    Returns:
      Batches of (rows, rows, weights [batch]).
    """
    import tensorflow as tf

    def prepared(record: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows = rows_of(record[field])
        return rows, rows, tf.ones(tf.shape(rows)[:1])

    found = read_records(shards, split, (field,)).batch(batch_size).map(prepared)
    if split == "train":
        seen = found.take(1).map(lambda rows, _, weights: (rows, rows, 0 * weights))
        found = found.concatenate(seen.repeat())
    return found.prefetch(2)


def check_pass(params: Training, shards: Shards) -> None:
    """Moments are of all training tracks, so the first epoch must see them all.

    Raises:
      PipelineError: it does not.
    """
    num_tracks = shards.num_examples("train")
    num_steps = -(-num_tracks // params.batch_size)
    if params.steps_per_epoch < num_steps:
        raise PipelineError(
            f"steps_per_epoch={params.steps_per_epoch} of batch_size={params.batch_size} tracks "
            f"are fewer than the {num_tracks} training tracks of corpus {shards.corpus}: moments "
            f"are of all of them. Set steps_per_epoch to {num_steps} or more in params.yaml."
        )


def by_batch(
    shards: Shards, split: str, field: str, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(a field, the tracks' albums) of so many records at a time, stacked."""
    album = "group" if "group" in shards.features else "key"
    records = read_records(shards, split, (field, album)).batch(batch_size)
    for batch in records.as_numpy_iterator():
        yield batch[field], batch[album]


def by_rows(function: Callable[[Any], Any], rows: Any, num_rows: int) -> np.ndarray:
    """A function of tensors, applied to so many rows at once, that it is compiled but for these.

    Args:
      function: [num_rows, ...] -> [num_rows, ...], each row by itself.
      rows: Shape [any number, ...].
      num_rows: the last ones are filled up with copies of the first.
    """
    rows = np.asarray(rows)
    found = []
    for start in range(0, len(rows), num_rows):
        part = rows[start : start + num_rows]
        filling = np.broadcast_to(part[:1], (num_rows - len(part), *part.shape[1:]))
        given = np.asarray(function(np.concatenate([part, filling])))
        found.append(given[: len(part)])
    return np.concatenate(found)


def mean_and_deviation(vectors: np.ndarray) -> np.ndarray:
    """Over time: [tracks, steps, size] -> float32 [tracks, 2 size]."""
    both = [vectors.mean(axis=1), vectors.std(axis=1)]
    return np.concatenate(both, axis=1).astype(np.float32)


def moments_encoded(model: keras.Model, rows: np.ndarray) -> np.ndarray:
    """Rows as a Moments model gives them: float32 [rows, size]."""
    return np.asarray(model(rows), np.float32)


def error_db(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The mean absolute difference of a track's levels, in dB: [tracks, ...] -> [tracks].

    Args:
      found: levels as `relative` gives them.
      truth: the same shape.
    """
    return _classifier.DB_PER_LEVEL * np.abs(found - truth).mean(axis=tuple(range(1, truth.ndim)))
