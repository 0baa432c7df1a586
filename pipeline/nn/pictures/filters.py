"""Halving and doubling pictures behind the binomial filter [1, 3, 3, 1].

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", appendix B;
Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", section 3. Outside a picture is
0. Each is one depthwise convolution, so that gradients of gradients add little to a graph.
"""

from __future__ import annotations

import numpy as np
from keras import ops

TAPS = (1.0, 3.0, 3.0, 1.0)
_REST = (1.0, 2.0, 1.0)  # what is left of the taps behind [1, 1], the repetition of a pixel


def blurred(x, num_before: int, num_after: int, gain: float = 1.0):
    """Filters by the four taps, which sum to 1, in both directions.

    Args:
      x: Shape [batch, height, width, channels].
      num_before, num_after: rows and columns of zeros put around it first.
      gain: that the result is multiplied by.

    Returns:
      Each side longer by num_before + num_after - 3.
    """
    return _filtered(x, TAPS, num_before, num_after, gain)


def doubled(x):
    """Doubles height and width: zeros between the pixels, then the taps, times 2 a direction.

    Args:
      x: Shape [batch, height, width, channels].

    Returns:
      Shape [batch, 2 * height, 2 * width, channels]; a constant stays so but at the borders.
    """
    _, height, width, channels = x.shape
    repeated = ops.tile(x[:, :, None, :, None, :], (1, 1, 2, 1, 2, 1))
    return _filtered(ops.reshape(repeated, (-1, 2 * height, 2 * width, channels)), _REST, 1, 1)


def halved(x):
    """Halves height and width: the taps, then every second pixel.

    Args:
      x: Shape [batch, height, width, channels], both even.

    Returns:
      Shape [batch, height // 2, width // 2, channels].
    """
    return _filtered(x, TAPS, 1, 1, strides=2)


def _filtered(x, taps, num_before: int, num_after: int, gain: float = 1.0, strides: int = 1):
    kernel = gain * np.outer(taps, taps) / sum(taps) ** 2
    kernel = np.tile(kernel[:, :, None, None], (1, 1, x.shape[-1], 1))
    around = [num_before, num_after]
    x = ops.pad(x, [[0, 0], around, around, [0, 0]])
    kernel = ops.cast(kernel, x.dtype)
    return ops.depthwise_conv(x, kernel, strides=strides, padding="valid")
