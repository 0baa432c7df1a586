"""Causal attention in chunks, with the relative positions of the Music Transformer by skewing.

A chunk of queries looks at the keys up to its own end only: nearly half of the products of the
whole square would be masked away. Everything is `keras.ops` on static lengths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

_MASKED = -1e9


def causal_attention(
    queries: Any,
    keys: Any,
    values: Any,
    relative: Any = None,
    chunk: int = 128,
    dropout: Any = None,
) -> Any:
    """softmax((Q K^T + S) / sqrt(d)) V, where S is Q's product with the vectors of distances.

    Args:
      queries: float, shape [batch, heads, steps, d]; `steps` is static.
      keys: shape [batch, heads, steps, d].
      values: shape [batch, heads, steps, v].
      relative: a vector for each distance back, 0 first; those further back than the last take the
        last's. Shape [heads, distances, d]; None for attention that knows no positions.
      chunk: queries treated together, in steps; any value gives the same result.
      dropout: applied to the weights, where given.

    Returns:
      Shape [batch, heads, steps, v].

    Source: Vaswani et al. 2017, section 3.2.1; Huang et al. 2018, section 3.4.1.
    """
    num_steps, size = queries.shape[2:]
    queries = queries * size**-0.5
    keys = ops.swapaxes(keys, 2, 3)
    outputs = []
    for begin in range(0, num_steps, chunk):
        end = min(begin + chunk, num_steps)
        rows = queries[:, :, begin:end]
        logits = ops.matmul(rows, keys[..., :end])
        if relative is not None:
            logits = logits + relative_logits(rows, relative, end)
        weights = ops.softmax(logits + _future(begin, end, logits.dtype), axis=-1)
        if dropout is not None:
            weights = dropout(weights)
        outputs.append(ops.matmul(weights, values[:, :, :end]))
    return ops.concatenate(outputs, axis=2) if len(outputs) > 1 else outputs[0]


def relative_logits(queries: Any, relative: Any, num_keys: int) -> Any:
    """q_i . r_(i - j) for the last `rows` of `num_keys` steps; anything where j > i.

    Args:
      queries: of the last steps. Shape [batch, heads, rows, d].
      relative: see causal_attention.
      num_keys: steps in all, `rows` or more.

    Returns:
      Shape [batch, heads, rows, num_keys].
    """
    heads, num_rows, size = queries.shape[1:]
    furthest_first = distance_vectors(relative, num_keys)[:, ::-1]  # [heads, keys, d]
    # One product a head, of the rows of all examples: far faster than one an example and head.
    by_head = ops.reshape(ops.transpose(queries, (1, 0, 2, 3)), (heads, -1, size))
    products = ops.matmul(by_head, ops.swapaxes(furthest_first, 1, 2))
    products = ops.reshape(products, (heads, -1, num_rows, num_keys))
    products = ops.transpose(products, (1, 0, 2, 3))
    # The skew: row a moves rows - 1 - a places to the left.
    padded = ops.pad(products, ((0, 0), (0, 0), (0, 0), (1, 0)))
    flat = ops.reshape(padded, (-1, heads, num_rows * (num_keys + 1)))
    return ops.reshape(flat[..., num_rows:], (-1, heads, num_rows, num_keys))


def distance_vectors(relative: Any, num_distances: int) -> Any:
    """The vectors of distances 0..num_distances - 1; the last known one stands for all beyond.

    Args:
      relative: shape [heads, distances, d].
      num_distances: 1 or more.

    Returns:
      Shape [heads, num_distances, d].
    """
    known = relative.shape[1]
    if num_distances <= known:
        return relative[:, :num_distances]
    beyond = ops.repeat(relative[:, -1:], num_distances - known, axis=1)
    return ops.concatenate([relative, beyond], axis=1)


def _future(begin: int, end: int, dtype: Any) -> Any:
    """0 where a key is not later than its query, very low where it is. Shape [rows, keys]."""
    is_later = np.arange(end) > np.arange(begin, end)[:, None]
    return ops.cast(np.where(is_later, _MASKED, 0.0).astype(np.float32), dtype)
