"""The linear predictor one sample at a time, as prediction.py has it for all at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from pipeline.nn.wavenet.prediction import FLOOR, LONG, SHORT


class Past(NamedTuple):
    """Of one note, as far as it is drawn; float64.

    Attributes:
      amplitudes: Shape [samples].
      errors: how far the predictions were off. Shape [samples].
      state: the last prediction, and the sums of the SHORT and the LONG last errors.
    """

    amplitudes: np.ndarray
    errors: np.ndarray
    state: np.ndarray


@njit(cache=True)
def predict(inputs: Any, past: Any, taps: Any, t: int) -> None:
    """Predicts sample t, and puts what is known of it into inputs[2:]."""
    amplitudes, errors, state = past
    error = 0.0
    if t > 0:
        error = amplitudes[t - 1] - state[0]
        errors[t - 1] = abs(error)
        state[1] += errors[t - 1] - (errors[t - 1 - SHORT] if t > SHORT else 0.0)
        state[2] += errors[t - 1] - (errors[t - 1 - LONG] if t > LONG else 0.0)
    reach = min(len(taps), t)
    # Taps are the latest first.
    state[0] = _dot(taps[:reach][::-1], amplitudes[t - reach : t])
    short, long = state[1] / SHORT + FLOOR, state[2] / LONG + FLOOR
    inputs[2] = error / short / 4
    inputs[3] = np.log(short) / 5 + 1
    inputs[4] = np.log(long / short)
    inputs[5] = np.sign(state[0]) * np.log1p(abs(state[0]) * 255) / np.log(256.0)


@njit(cache=True, fastmath={"contract", "reassoc"})
def _dot(x: Any, y: Any) -> float:
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@njit(cache=True, fastmath={"contract"})
def put_around(logits: Any, amplitudes: Any, past: Any) -> None:
    """Adds the log-density around the prediction, as Decoder does."""
    num_classes = len(amplitudes)
    shift, inverse = logits[num_classes], np.exp(logits[num_classes + 1])
    centre = np.float32(past.state[0])
    error = np.float32(past.state[1] / SHORT + FLOOR)
    for c in range(num_classes):
        z = ((amplitudes[c] - centre) / error - shift) * inverse
        logits[c] -= np.sqrt(np.float32(4) + z * z)
