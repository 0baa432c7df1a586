"""Euclidean distances between two sets of vectors, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_VALUES_AT_ONCE = 2**22  # 32 MB of float64


def blocks(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of the matrix of distances from each vector of `a` to each of `b`.

    Args:
      a: Shape [a, dimensions].
      b: Shape [b, dimensions].

    Yields:
      Which rows, and their distances, float64 [rows, b]; 50,000 vectors never become a matrix of
      50,000 by 50,000.
    """
    # About the common mean, lest large equal coordinates leave no digits for the difference.
    center = b.mean(axis=0, dtype=np.float64) if len(b) else 0.0
    a, b = np.asarray(a, np.float64) - center, np.asarray(b, np.float64) - center
    squares_b = (b**2).sum(axis=1)
    size = max(1, _VALUES_AT_ONCE // max(1, len(b)))
    for begin in range(0, len(a), size):
        rows = slice(begin, begin + size)
        squares = (a[rows] ** 2).sum(axis=1)[:, None] + squares_b - 2 * a[rows] @ b.T
        yield rows, np.sqrt(np.maximum(0, squares))


def mean_pairwise(vectors: np.ndarray) -> float:
    """Mean distance over all pairs of different vectors; NaN with fewer than two.

    Args:
      vectors: Shape [vectors, dimensions].
    """
    num = len(vectors)
    if num < 2:
        return float("nan")
    total = 0.0
    for rows, distances in blocks(vectors, vectors):
        own = np.arange(num)[rows]
        distances[np.arange(len(own)), own] = 0  # rounding leaves it above 0
        total += distances.sum()
    return float(total / (num * (num - 1)))
