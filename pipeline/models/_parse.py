"""Serialized tf.train.Examples to tensors, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

if TYPE_CHECKING:
    from pipeline.codecs.base import Feature

# Large enough that the per-call cost of parsing is spread thin, small enough to stay in cache.
_RECORDS_PER_PARSE = 64


def parsed(records: tf.data.Dataset, spec: dict[str, Feature]) -> tf.data.Dataset:
    """Parses records in batches and yields them one by one again, in their order.

    Args:
      records: serialized tf.train.Examples, scalar strings.
      spec: the fields to read, by name; other fields of the record are skipped.

    Returns:
      A dataset of dicts name -> tensor with the field's dtype and shape; an axis that the spec
      leaves open has the length that this record has. JPEG fields are decoded to uint8.

    Raises:
      ValueError: if a field has more than one open axis: a flat list does not say its shape.
    """
    for name, feature in spec.items():
        if sum(axis is None for axis in feature.shape) > 1 and feature.encoding == "values":
            raise ValueError(f"feature {name!r}: shape={feature.shape} leaves two axes open.")
    fields = {name: _field(feature) for name, feature in spec.items()}
    batches = records.batch(_RECORDS_PER_PARSE).map(
        lambda batch: tf.io.parse_example(batch, fields),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return batches.unbatch().map(
        lambda record: {name: _typed(record[name], feature) for name, feature in spec.items()}
    )


def _field(feature: Feature) -> Any:
    stored = _stored_dtype(feature)
    if feature.encoding == "values" and None in feature.shape:
        return tf.io.RaggedFeature(stored)
    return tf.io.FixedLenFeature(feature.shape if feature.encoding == "values" else (), stored)


def _stored_dtype(feature: Feature) -> tf.DType:
    if feature.encoding != "values" or feature.dtype == "string":
        return tf.string
    return tf.float32 if tf.as_dtype(feature.dtype).is_floating else tf.int64


def _typed(value: tf.Tensor, feature: Feature) -> tf.Tensor:
    if feature.encoding == "jpeg":
        # As Pillow's, to the last bit: a codec's own pictures and these are the same.
        decoded = tf.io.decode_jpeg(value, channels=3, dct_method="INTEGER_ACCURATE")
        return tf.ensure_shape(decoded, feature.shape)
    if feature.dtype == "string":
        return value
    if feature.encoding == "bytes":
        value = tf.io.decode_raw(value, tf.as_dtype(feature.dtype))
    shape = [-1 if axis is None else axis for axis in feature.shape]
    return tf.ensure_shape(
        tf.cast(tf.reshape(value, shape), tf.as_dtype(feature.dtype)), feature.shape
    )
