"""From an encoder's vectors to conditions: standardised, and no more of them than asked for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class Condition(keras.layers.Layer):
    """An affine map of vectors, fitted once: to principal components of what is standardised.

    Its constants are weights: a model draws by what it was fitted to, whatever the vectors are now.

    Args:
      vector_size: of the encoder's vectors.
      condition_size: components; at most vector_size.
    """

    def __init__(self, vector_size: int, condition_size: int, **options: Any):
        super().__init__(trainable=False, **options)
        self.mean = self.add_weight((vector_size,), "zeros", trainable=False, name="mean")
        shape = (vector_size, condition_size)
        self.matrix = self.add_weight(shape, "zeros", trainable=False, name="matrix")
        self.built = True

    def fit(self, vectors: np.ndarray) -> None:
        """Takes mean and components from training vectors. Shape [tracks, vector_size]."""
        mean, matrix = principal_components(vectors, self.matrix.shape[1])
        self.mean.assign(mean)
        self.matrix.assign(matrix)

    def call(self, vectors: Any) -> Any:
        """Conditions [batch, condition_size], within 4 deviations, as tracks may be odd."""
        return ops.clip(ops.matmul(vectors - self.mean, self.matrix), -_LIMIT, _LIMIT)


def principal_components(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The components with the largest variance of standardised vectors.

    They keep their own variances, but for one factor that makes the mean of these 1: making each 1
    would blow up noise. What does not vary gives 0. A component's sign is that which makes its
    largest weight positive.

    Args:
      vectors: Shape [tracks, size].
      count: of the components, 1..size.

    Returns:
      (mean [size], matrix [size, count]), float32: components are (vector - mean) @ matrix.
    """
    vectors = np.asarray(vectors, np.float64)
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    varies = deviation > 1e-6 * np.maximum(1, np.abs(mean))
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    standardised = (vectors - mean) * scale
    variances, directions = np.linalg.eigh(standardised.T @ standardised / len(vectors))
    order = np.argsort(-variances, kind="stable")[:count]
    chosen = directions[:, order]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(count)])
    factor = 1 / np.sqrt(max(variances[order].mean(), 1e-12))
    return mean.astype(np.float32), (scale[:, None] * chosen * factor).astype(np.float32)


_LIMIT = 4.0
