"""Instance normalization, with fewer operations than Keras' general group normalization takes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class InstanceNorm(keras.layers.Layer):
    """Normalizes each channel of each example over its steps and pitches, then scales and shifts.

    Args:
      epsilon: added to the variance.

    Source: Ulyanov et al. 2016, "Instance Normalization: The Missing Ingredient for Fast
    Stylization".
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.scale = self.add_weight((shape[-1],), initializer="ones", name="scale")
        self.shift = self.add_weight((shape[-1],), initializer="zeros", name="shift")
        self.built = True

    def call(self, inputs: Any) -> Any:
        """[batch, rows, columns, channels] -> the same shape."""
        centred = inputs - ops.mean(inputs, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1, 2), keepdims=True)
        return centred * (ops.rsqrt(variance + self.epsilon) * self.scale) + self.shift
