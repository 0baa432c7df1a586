"""Batches of phrases of two genres, side by side, and of phrases of more genres beside them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.errors import PipelineError
from pipeline.models import _pianoroll
from pipeline.models.base import Shards

HELD_OUT_ROWS = 64  # distances of distributions want more phrases than training has in a batch

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def training(
    shards: Shards,
    classes: list[int],
    mixed: list[int],
    batch_size: int,
    num_copies: int,
    window: int,
    seed: int,
) -> tf.data.Dataset:
    """Batches without end, of phrases that no two copies of a model share.

    Args:
      shards: a corpus of the codec pianoroll.
      classes: the two genres.
      mixed: genres of a third phrase in each place, equally often; none where empty.
      batch_size: rows.
      num_copies: places in a row.
      window: records held in memory to be shuffled.
      seed: with the pass's number it gives the order.

    Returns:
      (phrases float32 [batch, copies, 2 or 3, steps, pitches, tracks], class ids [batch, copies,
      2 or 3], ones [batch]).
    """
    num = batch_size * num_copies

    def of(genres: list[int], in_place: int, own_seed: int) -> tf.data.Dataset:
        def placed(phrases: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            axes = (batch_size, num_copies, in_place)
            return tf.reshape(phrases, (*axes, *phrases.shape[1:])), tf.reshape(ids, axes)

        batches = _pianoroll.balanced_batches(shards, genres, in_place * num, window, own_seed)
        return batches.map(placed)

    def weighted(phrases: tf.Tensor, ids: tf.Tensor) -> Batch:
        return phrases, ids, tf.ones(batch_size)

    pairs = of(classes, 2, seed)
    if not mixed:
        return pairs.map(weighted).prefetch(2)
    # Each class takes a seed of its own: these must not come in the order of the pairs.
    others = of(mixed, 1, seed + len(_pianoroll.genres(shards)))

    def joined(pair: tuple[tf.Tensor, ...], other: tuple[tf.Tensor, ...]) -> Batch:
        return weighted(*(tf.concat([p, o], axis=2) for p, o in zip(pair, other, strict=True)))

    return tf.data.Dataset.zip(pairs, others).map(joined).prefetch(2)


def held_out(shards: Shards, split: str, classes: list[int]) -> tf.data.Dataset:
    """Each phrase of the two genres once, those of the rarer one again until there are as many.

    Returns:
      (phrases float32 [batch, 1, 2, steps, pitches, tracks], class ids [batch, 1, 2], ones
      [batch]).

    Raises:
      PipelineError: the split has no phrase of one of the genres.
    """
    records = _pianoroll.all_records(shards, split)
    by_genre = [[r["roll"] for r in records if r["genre"] == genre] for genre in classes]
    if not all(by_genre):
        names = " or of ".join(_pianoroll.genres(shards)[genre] for genre in classes)
        raise PipelineError(
            f"split={split} of {shards.corpus} has no phrase of {names}: add songs of it, or take "
            "other genres in params.yaml."
        )
    shape, num = _pianoroll.Geometry.of(shards).shape, max(map(len, by_genre))
    packed = [np.stack([rolls[i % len(rolls)] for i in range(num)]) for rolls in by_genre]

    def batch(rows: tf.Tensor) -> Batch:
        count = tf.shape(rows)[0]
        phrases = _pianoroll.unpacked(tf.reshape(rows, (2 * count, rows.shape[-1])), shape)
        ids = tf.tile(tf.constant([[classes]], tf.int64), (count, 1, 1))
        return tf.reshape(phrases, (count, 1, 2, *shape)), ids, tf.ones(count)

    pairs = tf.data.Dataset.from_tensor_slices(np.stack(packed, axis=1))
    return pairs.batch(HELD_OUT_ROWS).map(batch)
