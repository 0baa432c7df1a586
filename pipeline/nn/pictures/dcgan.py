"""Networks of strided convolutions, each halving or doubling the sides of its pictures.

Source: Radford et al. 2016 (DCGAN), section 3; without batch normalisation in the critic as
Gulrajani et al. 2017, section 4, ask for; conditions by projection as Miyato and Koyama 2018.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

_SIDE = 4  # of the smallest maps, in pixels
_KERNEL = 4


def generator(
    channels: tuple[int, ...], latent_size: int, condition_size: int, normalisation: str
) -> keras.Model:
    """Noise and a condition to pictures of 4 * 2 ** len(channels) pixels a side.

    Args:
      channels: of the maps of 4, 8, ... pixels a side.
      latent_size: of the noise.
      condition_size: 0: no condition.
      normalisation: "batch", "layer" or "none".

    Returns:
      A model of [latents, conditions], or of [latents], to pictures [batch, size, size, 3] in
      -1..1.
    """
    inputs = _inputs((latent_size,), condition_size)
    x = layers.Dense(_SIDE**2 * channels[0], use_bias=normalisation == "none")(_joined(inputs))
    x = _normalised(ops.reshape(x, (-1, _SIDE, _SIDE, channels[0])), normalisation)
    for count in channels[1:]:
        x = _doubled(ops.relu(x), count, use_bias=normalisation == "none")
        x = _normalised(x, normalisation)
    pictures = ops.tanh(_doubled(ops.relu(x), 3))
    return keras.Model(inputs, pictures, name="generator")


def discriminator(
    channels: tuple[int, ...], feature_size: int, condition_size: int, normalisation: str
) -> keras.Model:
    """Pictures of 4 * 2 ** len(channels) pixels a side, and a condition, to logits.

    Args:
      channels: of the maps from half the size down to 4 pixels a side.
      feature_size: of what the condition is compared with.
      condition_size: 0: no condition.
      normalisation: "batch", "layer" or "none"; the first maps have none.

    Returns:
      A model of [pictures, conditions], or of [pictures], to logits [batch].
    """
    size = _SIDE * 2 ** len(channels)
    inputs = _inputs((size, size, 3), condition_size)
    x = inputs[0]
    for index, count in enumerate(channels):
        norm = normalisation if index else "none"
        x = _halved(x, count, use_bias=norm == "none")
        x = _leaky(_normalised(x, norm))
    features = _leaky(layers.Dense(feature_size)(layers.Flatten()(x)))
    logits = layers.Dense(1)(features)[:, 0]
    if condition_size:
        logits = logits + projection(features, inputs[1])
    return keras.Model(inputs, logits, name="discriminator")


def projection(features: Any, conditions: Any) -> Any:
    """How well features [batch, size] go with conditions [batch, any]: a logit. Shape [batch].

    Source: Miyato and Koyama 2018, "cGANs with Projection Discriminator", equation 3, with a linear
    map for what is not a class; divided by sqrt(size) as Karras et al. 2020a have it.
    """
    size = features.shape[-1]
    return ops.sum(features * layers.Dense(size)(conditions), axis=-1) / size**0.5


def _inputs(shape: tuple[int, ...], condition_size: int) -> list[Any]:
    condition = [keras.Input((condition_size,), name="conditions")] if condition_size else []
    return [keras.Input(shape), *condition]


def _joined(inputs: list[Any]) -> Any:
    return ops.concatenate(inputs, axis=-1) if len(inputs) > 1 else inputs[0]


def _doubled(x: Any, count: int, use_bias: bool = True) -> Any:
    return layers.Conv2DTranspose(count, _KERNEL, 2, "same", **_begin(use_bias))(x)


def _halved(x: Any, count: int, use_bias: bool = True) -> Any:
    return layers.Conv2D(count, _KERNEL, 2, "same", **_begin(use_bias))(x)


def _begin(use_bias: bool) -> dict[str, Any]:
    """He's initial weights: the paper's of 0.02 would leave narrow networks without a signal."""
    return {"use_bias": use_bias, "kernel_initializer": keras.initializers.HeNormal()}


def _normalised(x: Any, kind: str) -> Any:
    if kind == "batch":
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    # One group of all channels: layer normalisation over places and channels of a picture.
    return layers.GroupNormalization(1)(x) if kind == "layer" else x


def _leaky(x: Any) -> Any:
    return ops.leaky_relu(x, 0.2)
