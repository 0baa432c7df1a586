"""The other half: a note to one embedding a frame, from what is before and after it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.nn.wavenet.layers import convolved, dilations


class Encoder(keras.layers.Layer):
    """Dilated residual layers that see both ways, then means over frames.

    Args:
      num_classes: of a sample.
      width: channels between the layers.
      num_layers: residual layers.
      layers_per_stage: after so many the dilation begins with 1 again.
      kernel_size: taps of each; odd.
      embedding_size: channels of the embedding.
      hop_length: samples of a frame.

    Source: Engel et al. 2017, section 2.1; magenta models/nsynth/wavenet/h512_bo16.py.
    """

    def __init__(
        self,
        num_classes: int,
        width: int,
        num_layers: int,
        layers_per_stage: int,
        kernel_size: int,
        embedding_size: int,
        hop_length: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.width, self.num_layers = num_classes, width, num_layers
        self.dilations = dilations(num_layers, layers_per_stage)
        self.kernel_size, self.embedding_size = kernel_size, embedding_size
        self.hop_length = hop_length

    def build(self, *_: Any) -> None:
        width, taps, num = self.width, self.kernel_size, self.num_layers
        self.start = self._matrix("start", taps, width)
        self.start_bias = self._bias("start_bias", width)
        self.dilated = [self._matrix(f"dilated_{i}", taps * width, width) for i in range(num)]
        self.dilated_biases = [self._bias(f"dilated_bias_{i}", width) for i in range(num)]
        self.residuals = [self._matrix(f"residual_{i}", width, width) for i in range(num)]
        self.residual_biases = [self._bias(f"residual_bias_{i}", width) for i in range(num)]
        self.bottleneck = self._matrix("bottleneck", width, self.embedding_size)
        self.bottleneck_bias = self._bias("bottleneck_bias", self.embedding_size)
        self.built = True

    def call(self, classes: Any) -> Any:
        """Integers [batch, samples] -> [batch, samples / hop_length, embedding_size].

        `samples` is a multiple of hop_length.
        """
        scaled = ops.cast(classes, self.compute_dtype) * (2 / (self.num_classes - 1)) - 1
        x = convolved(scaled[..., None], self.start, self.kernel_size, 1, False) + self.start_bias
        for i, dilation in enumerate(self.dilations):
            inner = convolved(ops.relu(x), self.dilated[i], self.kernel_size, dilation, False)
            inner = ops.relu(inner + self.dilated_biases[i])
            x = x + ops.matmul(inner, self.residuals[i]) + self.residual_biases[i]
        # The mean of a linear map is the map of the mean, and that is hop_length times cheaper.
        means = ops.mean(
            ops.reshape(x, (-1, x.shape[1] // self.hop_length, self.hop_length, self.width)), axis=2
        )
        return ops.matmul(means, self.bottleneck) + self.bottleneck_bias

    def _matrix(self, name: str, rows: int, columns: int) -> Any:
        return self.add_weight((rows, columns), name=name, initializer="glorot_uniform")

    def _bias(self, name: str, size: int) -> Any:
        return self.add_weight((size,), name=name, initializer="zeros")
