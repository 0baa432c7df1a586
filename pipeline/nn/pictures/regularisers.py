"""What keeps a discriminator's gradients small at real pictures, and a generator's map even.

Both need a gradient of a gradient, so the trainer adds them to the loss of one step in `interval`,
times the interval (lazily: Karras et al. 2020, StyleGAN2, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops


class R1:
    """weight / 2 * the mean squared norm of the gradient of the logits by real pictures.

    Args:
      weight: gamma.
      interval: steps to one with this loss.

    Source: Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?",
    section 4.1.
    """

    def __init__(self, weight: float, interval: int):
        self.weight, self.interval = weight, interval

    def __call__(self, discriminator: Callable[..., Any], inputs: list[Any]) -> Any:
        """The loss, a scalar, not yet times the interval.

        Args:
          discriminator: of `inputs` to logits [batch].
          inputs: real pictures [batch, height, width, 3], and conditions unless there are none.
        """
        pictures, *conditions = inputs
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(pictures)
            logits = discriminator([pictures, *conditions], training=True)
            total = ops.sum(logits)
        gradients = tape.gradient(total, pictures)
        return self.weight / 2 * ops.mean(ops.sum(ops.square(gradients), axis=(1, 2, 3)))


class PathLength(keras.layers.Layer):
    """weight * (|J_w' y| - a)^2, where y is noise in the picture and a the moving mean of |J_w' y|.

    A step in w of one length then changes the picture by much the same anywhere.

    Args:
      weight: as in the formula.
      interval: steps to one with this loss.
      decay: of the moving mean, for each loss: its part that is new.
      share: of the batch that it is taken of, since it is dear.

    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section
    3.2 and appendix B.
    """

    def __init__(self, weight: float, interval: int, decay: float = 0.01, share: float = 0.5):
        super().__init__(name="path_length")
        self.weight, self.interval, self.decay, self.share = weight, interval, decay, share
        self.mean = self.add_weight((), "zeros", trainable=False, name="mean", aggregation="mean")
        self.seeds = keras.random.SeedGenerator()
        self.built = True

    def __call__(self, generator: Any, inputs: list[Any]) -> Any:
        """The loss, a scalar, not yet times the interval; the moving mean is moved first.

        Args:
          generator: a StyleGenerator.
          inputs: latents [batch, latent_size], and conditions unless there are none.
        """
        rows = ops.shape(inputs[0])[0]
        rows = ops.cast(ops.ceil(self.share * ops.cast(rows, "float32")), "int32")
        styles = generator.styles([x[:rows] for x in inputs], training=True)
        lengths = self.lengths(generator.synthesis, styles)
        mean = self.mean + self.decay * (ops.mean(lengths) - self.mean)
        self.mean.assign(ops.stop_gradient(mean))
        return self.weight * ops.mean(ops.square(lengths - mean))

    def lengths(self, synthesis: Callable[..., Any], styles: Any) -> Any:
        """|J_w' y| of each example, root mean square over the layers. Shape [batch].

        Args:
          synthesis: styles to pictures.
          styles: Shape [batch, layers, style_size].
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(styles)
            pictures = synthesis(styles, training=True)
            _, height, width, _ = pictures.shape
            noise = keras.random.normal(ops.shape(pictures), dtype=pictures.dtype, seed=self.seeds)
            total = ops.sum(pictures * noise) / (height * width) ** 0.5
        gradients = tape.gradient(total, styles)
        return ops.sqrt(ops.mean(ops.sum(ops.square(gradients), axis=2), axis=1) + 1e-12)
