"""Integers as a field of a tf.train.Example, packed as varints; compiled.

Source: protobuf.dev/programming-guides/encoding; tensorflow/core/example/feature.proto.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types


def _entry(key, values):
    """An entry of the map from names to features: the name, and an int64_list.

    Args:
      key: uint8 [bytes], the entry's first field as serialized.
      values: uint8 or int64 [num_values]; of int64, a negative one takes ten bytes.

    Returns:
      The serialized entry with its head. uint8 [num_bytes].
    """
    size = 0
    for value in values:
        size += _num_bytes(np.uint64(value))
    list_size = _with_head(size) if size > 0 else 0
    feature_size = _with_head(list_size)
    entry_size = key.size + _with_head(feature_size)
    out = np.empty(_with_head(entry_size), np.uint8)
    at = _head(out, 0, 1, entry_size)
    out[at : at + key.size] = key
    at = _head(out, at + key.size, 2, feature_size)
    at = _head(out, at, 3, list_size)
    if size > 0:
        at = _head(out, at, 1, size)
    for value in values:
        at = _varint(out, at, np.uint64(value))
    return out


@njit(nogil=True)
def _with_head(size):
    """So many bytes of a field, with its tag and its length."""
    return 1 + _num_bytes(np.uint64(size)) + size


@njit(nogil=True)
def _num_bytes(bits):
    num_bytes = 1
    while bits > np.uint64(0x7F):
        bits >>= np.uint64(7)
        num_bytes += 1
    return num_bytes


@njit(nogil=True)
def _head(out, at, field, size):
    out[at] = field << 3 | 2
    return _varint(out, at + 1, np.uint64(size))


@njit(nogil=True)
def _varint(out, at, bits):
    while bits > np.uint64(0x7F):
        out[at] = bits & np.uint64(0x7F) | np.uint64(0x80)
        bits >>= np.uint64(7)
        at += 1
    out[at] = bits
    return at + 1


# Last, since compiling for these types, at import, needs the functions above.
_KEY = types.Array(types.uint8, 1, "C", readonly=True)
entry = njit(
    [types.uint8[::1](_KEY, types.uint8[::1]), types.uint8[::1](_KEY, types.int64[::1])],
    cache=True,
    nogil=True,
)(_entry)
