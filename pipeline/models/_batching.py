"""Batches of sequences whose lengths differ: shuffled without end, padded little."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.models import _parse
from pipeline.models.base import Shards


def shuffled_passes(
    shards: Shards, split: str, names: tuple[str, ...], window: int, seed: int
) -> tf.data.Dataset:
    """Records for ever, each pass in an order of its own that the seed alone decides.

    The draws are stateless: tf.data's own shuffle would mix the process's global seed into them.

    Args:
      shards: the corpus.
      split: one of its splits.
      names: the fields to read.
      window: records held in memory to be shuffled; files are shuffled too.
      seed: with the pass's number it gives the order.

    Returns:
      Dicts of one record an element.
    """
    files = tf.constant(shards.files(split))
    shuffled = tf.random.experimental.stateless_shuffle

    def one_pass(index: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.cast(seed, tf.int64), index])
        records = tf.data.Dataset.from_tensor_slices(shuffled(files, key)).interleave(
            tf.data.TFRecordDataset, cycle_length=4, block_length=16
        )
        return records.batch(window).map(lambda records: shuffled(records, key)).unbatch()

    spec = {name: shards.features[name] for name in names}
    return _parse.parsed(tf.data.Dataset.counter().flat_map(one_pass), spec)


def windowed(sequences: tf.data.Dataset, window_steps: int) -> tf.data.Dataset:
    """Each sequence's consecutive pieces of so many steps, the last of them shorter.

    A loop over steps costs by its length, whatever the number of rows: many short rows are cheaper
    than few long ones. A piece begins with what preceded it as its first input, but from an empty
    state.

    Args:
      sequences: tuples of tensors, one step long for each of the sequence's steps.
      window_steps: length of a piece.
    """

    def pieces(*sequence: tf.Tensor) -> tf.data.Dataset:
        starts = tf.range(0, tf.shape(sequence[0])[0], window_steps)
        cut = tf.data.Dataset.from_tensor_slices(starts)
        return cut.map(lambda start: tuple(x[start : start + window_steps] for x in sequence))

    return sequences.flat_map(pieces)


def bucketed(sequences: tf.data.Dataset, batch_size: int, width: int) -> tf.data.Dataset:
    """Batches of sequences of similar length, padded with zeros to the same multiple of `width`.

    Args:
      sequences: tuples of tensors; scalars, or one step long for each of the sequence's steps.
        The first is no scalar.
      batch_size: sequences in a batch; the last of each length may have fewer.
      width: lengths in one bucket, in steps.

    Returns:
      The same tuples with a batch axis in front.
    """

    def bucket(*sequence: tf.Tensor) -> tf.Tensor:
        return (tf.shape(sequence[0], tf.int64)[0] - 1) // width

    def batch(index: tf.Tensor, window: tf.data.Dataset) -> tf.data.Dataset:
        steps = (index + 1) * width
        shapes: Any = tuple(
            [steps, *spec.shape[1:]] if spec.shape.rank else [] for spec in window.element_spec
        )
        return window.padded_batch(batch_size, shapes)

    return sequences.group_by_window(bucket, batch, window_size=batch_size)
