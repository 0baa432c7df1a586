"""Layers with equalized learning rates, and the convolution whose weights a style modulates.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 2.2,
and Karras et al. 2018, "Progressive Growing of GANs", section 4.1 (equalized learning rate).
"""

from __future__ import annotations

import keras
from keras import ops

from pipeline.nn.pictures.filters import blurred, halved

GAIN = 2**0.5  # what leaky ReLU takes of the variance of a normal input


def leaky(x, gain: float = GAIN):
    """Leaky ReLU of slope 0.2, times a gain."""
    return Leaky(gain)(x)


class Leaky(keras.layers.Layer):
    """A layer of its own, as Keras takes a symbolic tensor times a number for a sparse one."""

    def __init__(self, gain: float, **options):
        super().__init__(**options)
        self.gain = gain

    def call(self, x):
        return ops.leaky_relu(x, 0.2) * self.gain


def normalized(x):
    """Each vector divided by the root mean square of its elements. Shape [batch, size]."""
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-8)


class EqualDense(keras.layers.Layer):
    """A dense layer whose weights are standard normal at first and scaled when used.

    Args:
      size: outputs.
      rate: that its own learning rate is multiplied by.
      bias: at first.
    """

    def __init__(self, size: int, rate: float = 1.0, bias: float = 0.0, **options):
        super().__init__(**options)
        self.size, self.rate, self.first_bias = size, rate, bias

    def build(self, shape):
        deviation = keras.initializers.RandomNormal(stddev=1 / self.rate)
        self.kernel = self.add_weight((shape[-1], self.size), deviation, name="kernel")
        first = keras.initializers.Constant(self.first_bias / self.rate)
        self.bias = self.add_weight((self.size,), first, name="bias")
        self.scale = self.rate / shape[-1] ** 0.5

    def call(self, x):
        return ops.matmul(x, self.kernel * self.scale) + self.bias * self.rate


class EqualConv(keras.layers.Layer):
    """A convolution with an equalized rate; the kind that halves blurs first.

    Args:
      size: channels of the result.
      width: of the square kernel, odd.
      is_halving: whether height and width are halved.
      use_bias: as it says.
      gain: that the weights are multiplied by.
    """

    def __init__(self, size: int, width: int, is_halving=False, use_bias=True, gain=1.0, **options):
        super().__init__(**options)
        self.size, self.width, self.gain = size, width, gain
        self.is_halving, self.use_bias = is_halving, use_bias

    def build(self, shape):
        kernel = (self.width, self.width, shape[-1], self.size)
        self.kernel = self.add_weight(kernel, _NORMAL, name="kernel")
        self.scale = self.gain / (self.width**2 * shape[-1]) ** 0.5
        if self.use_bias:
            self.bias = self.add_weight((self.size,), "zeros", name="bias")

    def call(self, x):
        kernel = self.kernel * self.scale
        if not self.is_halving:
            x = ops.conv(x, kernel, padding="same")
        elif self.width == 1:
            x = ops.conv(halved(x), kernel, padding="same")
        else:  # so many zeros that every second place of the valid convolution is kept
            around = self.width // 2 + 1
            x = ops.conv(blurred(x, around, around), kernel, strides=2, padding="valid")
        return x + self.bias if self.use_bias else x


class ModulatedConv(keras.layers.Layer):
    """A convolution whose input channels are scaled by a style, for each example its own.

    Weights w'_ijk = s_i w_ijk, demodulated w''_ijk = w'_ijk / sqrt(sum over i, k of w'_ijk^2 +
    eps), are never formed: scaling the input, convolving by the shared w and scaling the output is
    the same map.

    Args:
      size: channels of the result.
      width: of the square kernel, odd.
      is_doubling: whether height and width are doubled: a transposed convolution, then the blur.
      is_demodulated: whether the result's expected deviation is made 1 again.
    """

    def __init__(self, size: int, width: int, is_doubling=False, is_demodulated=True, **options):
        super().__init__(**options)
        self.size, self.width = size, width
        self.is_doubling, self.is_demodulated = is_doubling, is_demodulated

    def build(self, shapes):
        num_channels = shapes[0][-1]
        kernel = (self.width, self.width, num_channels, self.size)
        self.kernel = self.add_weight(kernel, _NORMAL, name="kernel")
        self.affine = EqualDense(num_channels, bias=1.0)
        self.affine.build((None, shapes[1][-1]))
        self.scale = 1 / (self.width**2 * num_channels) ** 0.5

    def call(self, inputs):
        """Of [x [batch, height, width, channels], w [batch, style size]]; without bias."""
        x, w = inputs
        styles = self.affine(w)
        return self.modulated(x, styles if self.is_demodulated else styles * self.scale)

    def modulated(self, x, styles):
        """The convolution given the styles themselves, [batch, channels]."""
        x = x * styles[:, None, None, :]
        if self.is_doubling:
            # Three of four pixels that the taps sum over are zeros: hence the 4.
            turned = ops.transpose(self.kernel, (0, 1, 3, 2))
            x = ops.conv_transpose(x, turned, strides=2, padding="valid")
            x = blurred(x, 1, 1, gain=4.0)
        else:
            x = ops.conv(x, self.kernel, padding="same")
        if self.is_demodulated:
            squares = ops.sum(ops.square(self.kernel), axis=(0, 1))  # [channels, size]
            norms = ops.matmul(ops.square(styles), squares)
            x = x * ops.rsqrt(norms + 1e-8)[:, None, None, :]
        return x


class Noise(keras.layers.Layer):
    """Adds noise of one learned strength: drawn anew in training, else always the same.

    That it is the same lets a latent stand for one picture.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator()

    def build(self, shape):
        self.strength = self.add_weight((), "zeros", name="strength")
        self.constant = self.add_weight(
            (1, shape[1], shape[2], 1), _NORMAL, trainable=False, name="constant"
        )

    def call(self, x, training=False):
        noise = self.constant
        if training:
            shape = (ops.shape(x)[0], x.shape[1], x.shape[2], 1)
            noise = keras.random.normal(shape, seed=self.seeds)
        return x + noise * self.strength


class Bias(keras.layers.Layer):
    """Adds a learned value to each channel."""

    def build(self, shape):
        self.bias = self.add_weight((shape[-1],), "zeros", name="bias")

    def call(self, x):
        return x + self.bias


_NORMAL = keras.initializers.RandomNormal(stddev=1.0)
