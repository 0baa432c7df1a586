"""The causal half of NSynth's autoencoder: each sample from those before it and an embedding."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.nn.wavenet.layers import conditioned, convolved, dilations, receptive_field
from pipeline.nn.wavenet.prediction import LONG, Prediction, Predictor

FIRST_SCALE = 0.7  # log of the width's inverse, in mean errors: the best for a predictor alone


class Decoder(keras.layers.Layer):
    """Gated dilated layers, whose skip connections add up to the logits of each sample's class.

    With a linear predictor the logits are those of the network plus the log-density of a
    distribution around the prediction, that the network shifts and widens: -sqrt(4 + z^2), which is
    nearly the logistic one's. So an untrained decoder is as good as the predictor, and what is
    learned is what the predictor does not know; without (num_taps=0) it is NSynth's.

    What a layer gives to the skips is kept, and all of it multiplied at the end, which is one
    product instead of one a layer.

    Args:
      num_classes: of a sample; amplitudes by the mu-law of num_classes - 1.
      num_taps: of the linear predictor; 0: there is none.
      width: channels between the layers.
      skip_width: channels that the layers add up in.
      num_layers: gated layers.
      layers_per_stage: after so many the dilation begins with 1 again.
      kernel_size: taps of each.
      start_kernel_size: taps of the convolution before them.
      embedding_size: channels of the embedding.

    Source: Engel et al. 2017, section 2.1; magenta models/nsynth/wavenet/h512_bo16.py. The
      predictor: Valin and Skoglund 2019 (LPCNet), section 3.2, where the network is given it too.
    """

    def __init__(
        self,
        num_classes: int,
        num_taps: int,
        width: int,
        skip_width: int,
        num_layers: int,
        layers_per_stage: int,
        kernel_size: int,
        start_kernel_size: int,
        embedding_size: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.predictor = Predictor(num_classes, num_taps, name="predictor")
        self.num_classes, self.width, self.skip_width = num_classes, width, skip_width
        self.num_layers, self.embedding_size = num_layers, embedding_size
        self.dilations = dilations(num_layers, layers_per_stage)
        self.kernel_size, self.start_kernel_size = kernel_size, start_kernel_size
        self.receptive_field = receptive_field(
            num_layers, layers_per_stage, kernel_size, start_kernel_size
        )
        if num_taps:
            self.receptive_field += max(num_taps, LONG)

    def build(self, *_: Any) -> None:
        width, skip, classes = self.width, self.skip_width, self.num_classes
        num, taps = self.num_layers, self.kernel_size
        self.predictor.build()
        num_inputs = 6 if self.predictor.num_taps else 2
        self.start = self._matrix("start", num_inputs * self.start_kernel_size, width)
        self.start_bias = self._bias("start_bias", (width,))
        self.gates = [self._matrix(f"gates_{i}", taps * width, 2 * width) for i in range(num)]
        self.gate_biases = [self._bias(f"gate_bias_{i}", (2 * width,)) for i in range(num)]
        # The last layer's way on leads nowhere.
        self.residuals = [self._matrix(f"residual_{i}", width, width) for i in range(num - 1)]
        self.residual_biases = [self._bias(f"residual_bias_{i}", (width,)) for i in range(num - 1)]
        self.skips = self._matrix("skips", (num + 1) * width, skip)
        self.skip_bias = self._bias("skip_bias", (skip,))
        self.out = self._matrix("out", skip, skip)
        self.out_bias = self._bias("out_bias", (skip,))
        if self.predictor.num_taps:  # at first the logits are the predictor's alone
            self.logits = self._bias("logits", (skip, classes + 2))
            self.logit_bias = self._bias("logit_bias", (classes + 2,))
            spacing = np.gradient(self.predictor.amplitudes)
            self.logit_bias.assign(np.append(np.log(spacing / spacing.mean()), [0.0, FIRST_SCALE]))
        else:
            self.logits = self._matrix("logits", skip, classes)
            self.logit_bias = self._bias("logit_bias", (classes,))
        columns = 2 * width * num + skip
        self.conditions = self._matrix("conditions", self.embedding_size, columns)
        self.built = True

    def call(self, classes: Any, embeddings: Any) -> Any:
        """Logits of each sample, given those before it.

        Args:
          classes: integers. Shape [batch, samples].
          embeddings: Shape [batch, frames, embedding_size]; samples is a multiple of frames.

        Returns:
          float32 [batch, samples, num_classes].
        """
        frames = self.condition_frames(embeddings)
        prediction = self.predictor(classes)
        x = (
            convolved(prediction.inputs, self.start, self.start_kernel_size, 1, True)
            + self.start_bias
        )
        given = [x]
        for i, dilation in enumerate(self.dilations):
            gates = convolved(x, self.gates[i], self.kernel_size, dilation, True)
            gates = conditioned(gates + self.gate_biases[i], frames[i])
            passed = ops.sigmoid(gates[..., : self.width]) * ops.tanh(gates[..., self.width :])
            given.append(passed)
            if i < self.num_layers - 1:
                x = x + ops.matmul(passed, self.residuals[i]) + self.residual_biases[i]
        skips = ops.matmul(ops.concatenate(given, axis=-1), self.skips) + self.skip_bias
        out = ops.matmul(ops.relu(skips), self.out) + self.out_bias
        out = ops.relu(conditioned(out, frames[-1]))
        logits = ops.cast(ops.matmul(out, self.logits) + self.logit_bias, "float32")
        return self._around(logits, prediction) if self.predictor.num_taps else logits

    def _around(self, logits: Any, prediction: Prediction) -> Any:
        """Adds the distribution's log-density, by the two last channels: its shift and width."""
        free, shift, scale = ops.split(logits, [self.num_classes, self.num_classes + 1], axis=-1)
        error = prediction.error[..., None]
        centre = prediction.amplitude[..., None]
        amplitudes = ops.convert_to_tensor(self.predictor.amplitudes, "float32")
        z = ((amplitudes - centre) / error - shift) * ops.exp(scale)
        return free - ops.sqrt(4 + ops.square(z))

    def condition_frames(self, embeddings: Any) -> list[Any]:
        """What a frame adds to the gates of each layer, and before the last but one product.

        Shapes [batch, frames, 2 * width] each, then [batch, frames, skip_width].
        """
        columns = ops.matmul(embeddings, self.conditions)
        ends = [2 * self.width * (i + 1) for i in range(self.num_layers)]
        return list(ops.split(columns, ends, axis=-1))

    def _matrix(self, name: str, rows: int, columns: int) -> Any:
        return self.add_weight((rows, columns), name=name, initializer="glorot_uniform")

    def _bias(self, name: str, shape: tuple[int, ...]) -> Any:
        return self.add_weight(shape, name=name, initializer="zeros")
