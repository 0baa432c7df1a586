"""The moving average of a generator's weights, which draws better than the last of them.

Source: Karras et al. 2018, "Progressive Growing of GANs", section 4.2; half-life and ramp as in
Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", appendix C.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class WeightAverage(keras.layers.Layer):
    """average = d * average + (1 - d) * weights after each step; what is not trained is copied.

    Args:
      network: that holds the average.
      source: of the same structure; the average begins with its weights.
      half_life: in pictures: d = 0.5 ** (pictures of the step / half_life).
      ramp: the half-life is at most this share of the pictures shown before, as the first weights,
        which know nothing, should soon be forgotten; 0: no such limit.
    """

    def __init__(self, network: keras.Model, source: keras.Model, half_life: float, ramp: float):
        super().__init__(trainable=False, name="weight_average")
        self.network, self.half_life, self.ramp = network, half_life, ramp
        self.num_pictures = self.add_weight(
            (), "zeros", trainable=False, name="num_pictures", aggregation="mean"
        )
        self.network.set_weights(source.get_weights())
        self.built = True

    def update(self, source: keras.Model, num_pictures: Any) -> None:
        """Moves the average towards `source`, after a step on so many pictures."""
        rows = ops.cast(num_pictures, "float32")
        kept = self.decay(rows)
        trained = {id(variable) for variable in source.trainable_variables}
        for mean, value in zip(self.network.weights, source.weights, strict=True):
            is_trained = id(value) in trained
            mean.assign(kept * mean + (1 - kept) * value if is_trained else value)
        self.num_pictures.assign(self.num_pictures + rows)

    def decay(self, num_pictures: Any) -> Any:
        """d of a step on so many pictures; 0 at the first, where there is a ramp."""
        life = ops.cast(self.half_life, "float32")
        if self.ramp:
            life = ops.minimum(life, self.ramp * self.num_pictures)
        return ops.power(0.5, num_pictures / ops.maximum(life, 1e-8))
