"""What is known of a sample before any network: a linear prediction, and its latest errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from pipeline.nn.wavenet.layers import delayed

FLOOR = 3e-5  # of errors, in amplitude: a fifth of the step from silence to the next class
SHORT, LONG = 32, 256  # samples that the mean of recent errors is taken over
_BLOCK = 128  # samples predicted by one product


class Prediction(NamedTuple):
    """Of each sample, from those before it.

    Attributes:
      inputs: what the network is given. Shape [batch, samples, 2, or 6 with a predictor].
      amplitude: the predicted one; None without a predictor.
      error: mean of recent errors, above 0; None without a predictor.
    """

    inputs: Any
    amplitude: Any
    error: Any


class Predictor(keras.layers.Layer):
    """Companded values and amplitudes of past samples, and, with taps, a linear prediction.

    The taps are no result of training: they are set once (`coefficients` in audio/autoregression).
    Errors of a loud sound may be a thousandth of it, so they are computed in float64.

    Args:
      num_classes: of a sample; amplitudes by the mu-law of num_classes - 1.
      num_taps: samples that are looked back at; 0: no prediction.
    """

    def __init__(self, num_classes: int, num_taps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes, self.num_taps = num_classes, num_taps
        mu = num_classes - 1
        companded = 2 * np.arange(num_classes) / mu - 1
        self.amplitudes = np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(mu)) / mu
        self.companded = companded

    def build(self, *_: Any) -> None:
        if self.num_taps:
            # The sample before is all that an untrained predictor knows.
            first = np.eye(1, self.num_taps)[0]
            self.taps = self.add_weight(
                (self.num_taps,),
                name="taps",
                dtype="float64",
                trainable=False,
                initializer=lambda shape, dtype=None: ops.convert_to_tensor(first, dtype),
            )
        self.built = True

    def call(self, classes: Any) -> Prediction:
        """Integers [batch, samples] -> Prediction, which depends on earlier samples alone."""
        classes = ops.cast(classes, "int32")
        pairs = np.stack([self.companded, self.amplitudes], axis=-1)
        inputs = delayed(ops.cast(ops.take(pairs, classes, axis=0), self.compute_dtype), 1)
        if not self.num_taps:
            return Prediction(inputs, None, None)
        x = ops.take(ops.convert_to_tensor(self.amplitudes, "float64"), classes, axis=0)
        predicted = self._predicted(x)
        errors = x - predicted
        short, long = recent_means(ops.abs(errors))
        more = [
            delayed(errors, 1) / (short + FLOOR) / 4,
            ops.log(short + FLOOR) / 5 + 1,
            ops.log((long + FLOOR) / (short + FLOOR)),
            ops.sign(predicted) * ops.log1p(ops.abs(predicted) * 255) / float(np.log(256)),
        ]
        features = ops.cast(ops.stack(more, axis=-1), self.compute_dtype)
        return Prediction(
            ops.concatenate([inputs, features], axis=-1),
            ops.cast(predicted, "float32"),
            ops.cast(short + FLOOR, "float32"),
        )

    def _predicted(self, x: Any) -> Any:
        """The taps' weighted sums of float64 [batch, samples], a block at a time."""
        num_samples = x.shape[1]
        num_blocks = -(-num_samples // _BLOCK)
        behind = -(-self.num_taps // _BLOCK)
        x = ops.pad(x, [(0, 0), (behind * _BLOCK, num_blocks * _BLOCK - num_samples)])
        blocks = ops.reshape(x, (-1, behind + num_blocks, _BLOCK))
        windows = [blocks[:, i : i + num_blocks] for i in range(behind + 1)]
        # A window's element i is behind * _BLOCK + j - i samples before the block's element j.
        i, j = np.ogrid[: (behind + 1) * _BLOCK, :_BLOCK]
        delays = behind * _BLOCK + j - i
        is_tap = (delays >= 1) & (delays <= self.num_taps)
        matrix = ops.take(self.taps, np.where(is_tap, delays - 1, 0)) * is_tap.astype("float64")
        sums = ops.matmul(ops.concatenate(windows, axis=-1), matrix)
        return ops.reshape(sums, (-1, num_blocks * _BLOCK))[:, :num_samples]


def recent_means(errors: Any) -> tuple[Any, Any]:
    """Means over the SHORT and the LONG samples before each; zeros before the first."""
    sums, span, found = delayed(errors, 1), 1, {}
    while span < LONG:
        sums, span = sums + delayed(sums, span), 2 * span
        found[span] = sums / span
    return found[SHORT], found[LONG]
