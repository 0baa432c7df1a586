"""StyleGAN2: a mapping network, a synthesis network that its styles modulate, a discriminator.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for GANs", sections 2 and 3.1;
Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", sections 2.2 and 4.1,
figure 7 (skip generator, residual discriminator); with a condition as in Karras et al. 2020,
"Training Generative Adversarial Networks with Limited Data", appendix C. Written from the papers.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from pipeline.nn.pictures.filters import doubled
from pipeline.nn.pictures.modulated import (
    Bias,
    EqualConv,
    EqualDense,
    ModulatedConv,
    Noise,
    leaky,
    normalized,
)

SMALLEST = 4  # pixels a side where synthesis begins and the discriminator ends


class StyleGenerator(keras.Model):
    """Pictures of [latents [batch, latent_size]] or [latents, conditions [batch, size]].

    In training a part of the examples mixes the styles of two latents, and a moving mean of the
    styles is kept, towards which truncation pulls them when pictures are drawn.

    Args:
      widths: channels at 4, 8, 16, ... pixels; the last are of the pictures' size.
      latent_size: of the noise z.
      condition_size: 0: unconditional.
      style_size: of w.
      num_mapping_layers: from z to w.
      mapping_rate: that the mapping network's learning rate is multiplied by.
      mixing: share of the examples of a training batch that have two latents.
      truncation: psi, what is kept of the distance of w from its mean when pictures are drawn: 1,
        all; less gives more typical and less diverse pictures.
      mean_decay: of the moving mean of w, a call in training.
    """

    def __init__(
        self, widths: tuple[int, ...], latent_size: int, condition_size: int, style_size: int,
        num_mapping_layers: int, mapping_rate: float, mixing: float = 0.9,
        truncation: float = 1.0, mean_decay: float = 0.995, **options: Any,
    ):  # fmt: skip
        super().__init__(**options)
        self.latent_size, self.condition_size = latent_size, condition_size
        self.mixing, self.truncation, self.mean_decay = mixing, truncation, mean_decay
        self.mapping = mapping(
            latent_size, condition_size, style_size, num_mapping_layers, mapping_rate
        )
        self.synthesis = synthesis(widths, style_size)
        self.num_styles = 2 * len(widths)
        self.mean_style = self.add_weight(
            (style_size,), "zeros", trainable=False, name="mean_style", aggregation="mean"
        )
        self.seeds = keras.random.SeedGenerator()
        self.built = True

    def call(self, inputs, training=False):
        """Pictures, cut at -1 and 1 but in training. Shape [batch, size, size, 3]."""
        styles = self.styles(inputs, training=training)
        if training:
            return self.synthesis(styles, training=True)
        styles = self.mean_style + self.truncation * (styles - self.mean_style)
        return ops.clip(self.synthesis(styles), -1.0, 1.0)

    def styles(self, inputs, training=False):
        """w for each convolution and for the last picture. Shape [batch, layers, style_size]."""
        w = self.mapping(inputs, training=training)
        if training:
            mean = ops.stop_gradient(ops.mean(w, axis=0))
            self.mean_style.assign(mean + self.mean_decay * (self.mean_style - mean))
        styles = ops.repeat(w[:, None, :], self.num_styles, axis=1)
        return self._mixed(styles, inputs) if training and self.mixing else styles

    def _mixed(self, styles, inputs):
        """From a random layer on, the styles of other latents, for a share of the examples."""
        rows = ops.shape(styles)[0]
        others = keras.random.normal((rows, self.latent_size), seed=self.seeds)
        w = self.mapping([others, *inputs[1:]], training=True)
        crossing = keras.random.randint((rows, 1), 1, self.num_styles, seed=self.seeds)
        is_mixed = keras.random.uniform((rows, 1), seed=self.seeds) < self.mixing
        takes_other = is_mixed & (ops.arange(self.num_styles)[None, :] >= crossing)
        return ops.where(takes_other[:, :, None], w[:, None, :], styles)


def mapping(
    latent_size: int, condition_size: int, style_size: int, num_layers: int, rate: float
) -> keras.Model:
    """Latents, and conditions if their size is not 0, to styles [batch, style_size].

    Latents and embedded conditions are normalized apart, so that neither drowns the other.
    """
    latents = keras.Input((latent_size,))
    inputs, x = [latents], normalized(latents)
    if condition_size:
        conditions = keras.Input((condition_size,))
        inputs.append(conditions)
        embedded = normalized(EqualDense(style_size)(conditions))
        x = ops.concatenate([x, embedded], axis=-1)
    for _ in range(num_layers):
        x = leaky(EqualDense(style_size, rate=rate)(x))
    return keras.Model(inputs, x, name="mapping")


def synthesis(widths: tuple[int, ...], style_size: int) -> keras.Model:
    """Styles [batch, 2 * len(widths), style_size] to pictures; the sum of one at each size."""
    styles = keras.Input((2 * len(widths), style_size))
    x = Constant((SMALLEST, SMALLEST, widths[0]))(styles)
    x = _styled(x, styles[:, 0], widths[0])
    picture = _to_rgb(x, styles[:, 1])
    for level, width in enumerate(widths[1:], start=1):
        first = 2 * level - 1  # shared with the smaller picture before it
        x = _styled(x, styles[:, first], width, is_doubling=True)
        x = _styled(x, styles[:, first + 1], width)
        picture = doubled(picture) + _to_rgb(x, styles[:, first + 2])
    return keras.Model(styles, picture, name="synthesis")


def discriminator(
    widths: tuple[int, ...], condition_size: int, feature_size: int, num_mapping_layers: int,
    mapping_rate: float, group_size: int = 4,
) -> keras.Model:  # fmt: skip
    """Logits of pictures: higher where they look real and, with conditions, as if of these.

    Args:
      widths: channels at 4, 8, 16, ... pixels; the last are of the pictures' size.
      condition_size: 0: unconditional.
      feature_size: of what conditions are projected on.
      num_mapping_layers: of the conditions.
      mapping_rate: that the rate of these layers is multiplied by.
      group_size: pictures among which the deviation is taken; divides the batch.

    Returns:
      A model of [pictures [batch, size, size, 3]] or [pictures, conditions] to logits [batch].
    """
    size = SMALLEST * 2 ** (len(widths) - 1)
    pictures = keras.Input((size, size, 3))
    x = leaky(EqualConv(widths[-1], 1)(pictures))
    for width, smaller in zip(widths[:0:-1], widths[-2::-1], strict=True):
        skip = EqualConv(smaller, 1, is_halving=True, use_bias=False, gain=0.5**0.5)(x)
        x = leaky(EqualConv(width, 3)(x))
        x = leaky(EqualConv(smaller, 3, is_halving=True)(x), gain=1.0)
        x = x + skip
    x = ops.concatenate([x, deviation_of_groups(x, group_size)], axis=-1)
    x = leaky(EqualConv(widths[0], 3)(x))
    x = leaky(EqualDense(widths[0])(layers.Flatten()(x)))
    if not condition_size:
        return keras.Model([pictures], EqualDense(1)(x)[:, 0], name="discriminator")
    conditions = keras.Input((condition_size,))
    mapped = normalized(EqualDense(feature_size)(conditions))
    for _ in range(num_mapping_layers):
        mapped = leaky(EqualDense(feature_size, rate=mapping_rate)(mapped))
    features = EqualDense(feature_size)(x)
    logits = ops.sum(features * mapped, axis=-1) / feature_size**0.5
    return keras.Model([pictures, conditions], logits, name="discriminator")


def deviation_of_groups(x, group_size: int):
    """How much the pictures of a group differ, as one more channel: the same for the group.

    A discriminator that sees pictures one by one does not mind that all are the same.

    Args:
      x: Shape [batch, height, width, channels]. Group g holds g, g + batch / group_size, ...
      group_size: divides the batch.

    Returns:
      The mean over places and channels of the deviation. Shape [batch, height, width, 1].

    Source: Karras et al. 2018, "Progressive Growing of GANs", section 3.
    """
    _, height, width, channels = x.shape
    groups = ops.reshape(x, (group_size, -1, height * width * channels))
    centered = groups - ops.mean(groups, axis=0, keepdims=True)
    deviation = ops.sqrt(ops.mean(ops.square(centered), axis=0) + 1e-8)
    mean = ops.tile(ops.mean(deviation, axis=-1), (group_size,))
    return ops.tile(mean[:, None, None, None], (1, height, width, 1))


class Constant(keras.layers.Layer):
    """The learned picture that synthesis begins with, for each example of what it is called on."""

    def __init__(self, shape: tuple[int, ...], **options: Any):
        super().__init__(**options)
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.value = self.add_weight(shape, normal, name="value")

    def call(self, examples):
        return ops.tile(self.value[None], (ops.shape(examples)[0], 1, 1, 1))


def _styled(x, w, width: int, is_doubling: bool = False):
    x = ModulatedConv(width, 3, is_doubling)([x, w])
    return leaky(Bias()(Noise()(x)))


def _to_rgb(x, w):
    return Bias()(ModulatedConv(3, 1, is_demodulated=False)([x, w]))
