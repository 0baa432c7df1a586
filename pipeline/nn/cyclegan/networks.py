"""The generator and the discriminator of the CycleGAN: the paper's, or ones of patches.

Source: Brunner et al. 2018, "Symbolic Music Genre Transfer with CycleGAN", tables I and II; the
authors' module.py (instance normalization, reflected borders, weights from a normal of 0.02).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import layers, ops

from pipeline.nn.cyclegan.instance_norm import InstanceNorm
from pipeline.nn.cyclegan.patches import Patches, Unpatched


class Sizes(NamedTuple):
    """Of both networks.

    Attributes:
      shape: steps, pitches and tracks of a phrase.
      num_filters: of the first convolution; the layers between have four times as many.
      num_residual_blocks: of the generator.
      patch_steps, patch_pitches: size of the patches that a phrase is cut into; 1 and 1 for the
        paper's convolutions, which fold 4 by 4 cells.
      copy_logit: what a sounding cell of the source adds to the generator's logit there, and a
        silent one takes from it; 0 in the paper.
    """

    shape: tuple[int, int, int]
    num_filters: int
    num_residual_blocks: int
    patch_steps: int
    patch_pitches: int
    copy_logit: float

    @property
    def is_patched(self) -> bool:
        return (self.patch_steps, self.patch_pitches) != (1, 1)

    @property
    def width(self) -> int:
        return 4 * self.num_filters


def generator(sizes: Sizes, name: str) -> keras.Model:
    """Rolls [batch, steps, pitches, tracks] of 0 or 1 -> the logits of another genre's."""
    rolls = keras.Input(sizes.shape)
    hidden = _embedded(rolls, sizes) if sizes.is_patched else _folded(rolls, sizes)
    for _ in range(sizes.num_residual_blocks):
        hidden = _residual_block(hidden, sizes.width)
    logits = _unembedded(hidden, sizes) if sizes.is_patched else _unfolded(hidden, sizes)
    if sizes.copy_logit:
        logits = logits + sizes.copy_logit * (2 * rolls - 1)
    return keras.Model(rolls, logits, name=name)


def discriminator(sizes: Sizes, name: str) -> keras.Model:
    """Rolls [batch, steps, pitches, tracks] -> how real each patch is. Shape [batch, patches].

    That of patches does not normalize: it would not see how many notes there are, and generators
    would hide their sources in many more than real phrases have.
    """
    rolls = keras.Input(sizes.shape)
    if sizes.is_patched:
        hidden = _leaky(layers.Dense(sizes.width)(_patches(rolls, sizes)))
        hidden = _leaky(_convolved(hidden, sizes.width))
        return keras.Model(rolls, layers.Flatten()(_convolved(hidden, 1)), name=name)
    hidden = _leaky(_conv(sizes.num_filters, 4, 2)(rolls))
    hidden = _leaky(InstanceNorm()(_conv(sizes.width, 4, 2)(hidden)))
    return keras.Model(rolls, layers.Flatten()(_conv(1, 4, 1)(hidden)), name=name)


def reflected(rolls: Any, size: int) -> Any:
    """Borders so wide, in which what is inside is mirrored; none along an axis of length 1."""
    sides = [(0, 0), *((min(size, n - 1),) * 2 for n in rolls.shape[1:3]), (0, 0)]
    return ops.pad(rolls, sides, mode="reflect")


def _folded(rolls: Any, sizes: Sizes) -> Any:
    hidden = _conv(sizes.num_filters, 7, 1, "valid")(reflected(rolls, 3))
    hidden = ops.relu(InstanceNorm()(hidden))
    for factor in (2, 4):
        hidden = _conv(factor * sizes.num_filters, 3, 2)(hidden)
        hidden = ops.relu(InstanceNorm()(hidden))
    return hidden


def _unfolded(hidden: Any, sizes: Sizes) -> Any:
    for factor in (2, 1):
        up = layers.Conv2DTranspose(
            *(factor * sizes.num_filters, 3, 2, "same"), kernel_initializer=_normal()
        )
        hidden = ops.relu(InstanceNorm()(up(hidden)))
    return _conv(sizes.shape[2], 7, 1, "valid")(reflected(hidden, 3))


def _embedded(rolls: Any, sizes: Sizes) -> Any:
    return layers.Dense(sizes.width, activation="relu")(_patches(rolls, sizes))


def _patches(rolls: Any, sizes: Sizes) -> Any:
    return Patches(sizes.patch_steps, sizes.patch_pitches)(rolls)


def _unembedded(hidden: Any, sizes: Sizes) -> Any:
    cells = sizes.patch_steps * sizes.patch_pitches * sizes.shape[2]
    out = layers.Dense(cells, kernel_initializer=_normal())
    return Unpatched(sizes.patch_steps, sizes.patch_pitches)(out(hidden))


def _residual_block(hidden: Any, width: int) -> Any:
    out = ops.relu(InstanceNorm()(_convolved(hidden, width)))
    return ops.relu(hidden + InstanceNorm()(_convolved(out, width)))


def _convolved(hidden: Any, width: int) -> Any:
    """A 3 by 3 convolution over what was reflected; 3 by 1 where there is one column."""
    kernel = tuple(min(3, 2 * n - 1) for n in hidden.shape[1:3])
    return _conv(width, kernel, 1, "valid")(reflected(hidden, 1))


def _conv(width: int, kernel: Any, stride: int, padding: str = "same") -> keras.layers.Layer:
    return layers.Conv2D(width, kernel, stride, padding, kernel_initializer=_normal())


def _leaky(hidden: Any) -> Any:
    return ops.leaky_relu(hidden, 0.2)


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)
