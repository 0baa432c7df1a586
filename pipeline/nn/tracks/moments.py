"""Mean, scale and principal components of rows of numbers, as a model that `fit` trains exactly."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_NEGLIGIBLE = 1e-10  # a variance, against what rounding of float64 may leave of none at all


class Moments(keras.Model):
    """Standardises rows, and turns them into whitened principal components where these are wanted.

    Its weights are sums over the rows that it has seen, so that any order of them, in batches of
    any size, gives the same. What never changes, and components without variance, become 0.

    Args:
      size: of a row.
      num_components: that are kept, at most `size`; 0: rows are standardised, and no more.

    Source: Pearson 1901; the components of standardised rows are those of their correlations.
    """

    def __init__(self, size: int, num_components: int = 0, **options: Any):
        super().__init__(**options)
        self.num_components = num_components
        self.count = self._sum(())
        self.sums = self._sum((size,))
        self.products = self._sum((size, size))
        self.built = True

    def call(self, rows: Any) -> Any:
        """float [rows, size] -> float64 [rows, num_components, or size if that is 0]."""
        standardised, correlations = self._standardised(rows)
        if not self.num_components:
            return standardised
        components, variances = self._components(correlations)
        return _divided(ops.matmul(standardised, components), ops.sqrt(variances))

    def squares(self, rows: Any, directions: Any = None) -> tuple[Any, Any]:
        """How far standardised rows are from 0, and how far from their projection.

        Args:
          rows: float [rows, size].
          directions: orthonormal, to project on; None: the principal components. [size, any number]

        Returns:
          float64 [rows] each: the sum of squares, and that of what the projection leaves.
        """
        standardised, correlations = self._standardised(rows)
        if directions is None:
            directions = self._components(correlations)[0]
        rest = standardised - ops.matmul(
            ops.matmul(standardised, directions), ops.transpose(directions)
        )
        return ops.sum(ops.square(standardised), axis=1), ops.sum(ops.square(rest), axis=1)

    def num_varying(self) -> Any:
        """How many numbers of a row are not always the same; at least 1. float64 scalar."""
        correlations = self._standardised(ops.zeros((1, *self.sums.shape)))[1]
        return ops.maximum(ops.sum(ops.cast(ops.diagonal(correlations) > 0, "float64")), 1.0)

    def train_step(self, data: Any) -> Any:
        rows, _, weights = data
        rows, weights = ops.cast(rows, "float64"), ops.cast(weights, "float64")[:, None]
        weighted = rows * weights
        self.count.assign_add(ops.sum(weights))
        self.sums.assign_add(ops.sum(weighted, axis=0))
        self.products.assign_add(ops.matmul(ops.transpose(rows), weighted))
        return self._told(data)

    def test_step(self, data: Any) -> Any:
        return self._told(data)

    def _sum(self, shape: tuple[int, ...]) -> Any:
        # Under several replicas each adds its own rows.
        return self.add_weight(
            shape=shape,
            initializer="zeros",
            dtype="float64",
            trainable=False,
            aggregation="sum",
        )

    def _told(self, data: Any) -> Any:
        """The mean square of what components leave of each number; without any, of all of it."""
        rows, _, weights = data
        rest = self.squares(rows)[1]
        weights = ops.cast(weights, "float64")
        total = ops.sum(weights)
        loss = ops.divide_no_nan(ops.sum(rest * weights), total * self.num_varying())
        self._loss_tracker.update_state(
            ops.cast(loss, "float32"), sample_weight=ops.cast(total, "float32")
        )
        return self.get_metrics_result()

    def _standardised(self, rows: Any) -> tuple[Any, Any]:
        """Rows, and the correlations of those seen; 0 throughout for what never changes."""
        count = ops.maximum(self.count.value, 1.0)
        means, second = self.sums / count, self.products / count
        covariances = second - means[:, None] * means
        variances = ops.diagonal(covariances)
        is_constant = variances <= _NEGLIGIBLE * ops.diagonal(second)
        scales = ops.sqrt(ops.where(is_constant, ops.zeros_like(variances), variances))
        correlations = _divided(covariances, scales[:, None] * scales)
        return _divided(ops.cast(rows, "float64") - means, scales), correlations

    def _components(self, correlations: Any) -> tuple[Any, Any]:
        """[size, num_components] and their variances, the greatest first.

        The sign of each is such that its largest number is positive.
        """
        variances, components = ops.eigh(correlations)
        variances = ops.flip(variances)[: self.num_components]
        components = ops.flip(components, axis=1)[:, : self.num_components]
        largest = ops.argmax(ops.abs(components), axis=0)[None]
        is_negative = ops.take_along_axis(components, largest, axis=0) < 0
        variances = ops.where(variances > _NEGLIGIBLE, variances, ops.zeros_like(variances))
        return ops.where(is_negative, -components, components), variances


def _divided(values: Any, scales: Any) -> Any:
    """0 where the scale is."""
    is_positive = scales > 0
    quotients = values / ops.where(is_positive, scales, ops.ones_like(scales))
    return ops.where(is_positive, quotients, ops.zeros_like(quotients))
