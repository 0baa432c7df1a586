"""How real generated pictures look, and how much of the real ones they reach, by neighbours.

Each set's manifold is the union of balls around its vectors, each as large as the distance to its
own k-th nearest neighbour. Equal vectors make balls of no size: take each picture once.
"""

from __future__ import annotations

import numpy as np

from pipeline.errors import PipelineError
from pipeline.metrics import _distances

NUM_NEIGHBOURS = 5


def density(real: np.ndarray, generated: np.ndarray, k: int = NUM_NEIGHBOURS) -> float:
    """How many real vectors' balls a generated vector lies in, over k; expected 1 for equal sets.

    Args:
      real: Shape [real, dimensions].
      generated: Shape [generated, dimensions].
      k: neighbours; fewer than there are real vectors.

    Returns:
      0 or more: above 1 where the samples crowd where real vectors are dense.

    Raises:
      PipelineError: if k is not below the number of vectors.

    Source: Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models",
    section 3.
    """
    radii = _radii(real, k)
    inside = sum((d < radii).sum() for _, d in _distances.blocks(generated, real))
    return float(inside / (k * len(generated)))


def coverage(real: np.ndarray, generated: np.ndarray, k: int = NUM_NEIGHBOURS) -> float:
    """Share of the real vectors whose ball holds a generated one; arguments as `density`.

    Of two sets of equal size from one distribution it is 1 - 0.5^k in expectation, for many.
    """
    radii = _radii(real, k)
    nearest = np.full(len(real), np.inf)
    for _, distances in _distances.blocks(generated, real):
        nearest = np.minimum(nearest, distances.min(axis=0))
    return float((nearest < radii).mean())


def precision(real: np.ndarray, generated: np.ndarray, k: int = NUM_NEIGHBOURS) -> float:
    """Share of the generated vectors that lie in a real one's ball; arguments as `density`.

    Source: Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing generative
    models", section 2.
    """
    radii = _radii(real, k)
    inside = [(d < radii).any(axis=1) for _, d in _distances.blocks(generated, real)]
    return float(np.concatenate(inside).mean())


def recall(real: np.ndarray, generated: np.ndarray, k: int = NUM_NEIGHBOURS) -> float:
    """Share of the real vectors that lie in a generated one's ball; otherwise as `precision`."""
    return precision(generated, real, k)


def _radii(vectors: np.ndarray, k: int) -> np.ndarray:
    """Distance of each vector to its k-th nearest other one. Shape [vectors]."""
    if not 0 < k < len(vectors):
        raise PipelineError(
            f"k={k}: there are {len(vectors)} vectors, and each has one neighbour fewer. Take a k "
            "below that, or more pictures."
        )
    found = []
    for rows, distances in _distances.blocks(vectors, vectors):
        own = np.arange(len(vectors))[rows]
        distances[np.arange(len(own)), own] = 0  # rounding leaves it above 0
        found.append(np.partition(distances, k, axis=1)[:, k])
    return np.concatenate(found)
