"""The decoder one sample at a time: each layer keeps its last inputs in a queue. Imports numba.

Source: Paine et al. 2016, "Fast WaveNet generation algorithm", section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from pipeline.nn.wavenet._past import Past, predict, put_around

# Products are accumulated as sums of fused multiplications; nothing else may be reordered.
_FLAGS = {"contract"}
_MAX_TANH = np.float32(7.90531110763549805)  # beyond, float32's tanh is 1
_LEAST_LOGIT = np.float32(-60.0)  # below the largest; e^-60 of it is nobody's draw


@njit(cache=True, fastmath=_FLAGS, parallel=True)
def draw_notes(
    weights: Any, dilations: Any, conditions: Any, uniforms: Any, temperature: Any, drawn: Any
) -> None:
    """Fills `drawn` [notes, samples]; each note is one thread's, so their number changes nothing.

    Args:
      weights: see sampling.Weights, in its order.
      dilations: int64 [layers].
      conditions: float32 [notes, frames, columns].
      uniforms: float64 in [0, 1). Shape [notes, samples].
      temperature: float32, >= 0.
      drawn: int32, changed in place.
    """
    for note in prange(len(drawn)):
        _draw_note(weights, dilations, conditions[note], uniforms[note], temperature, drawn[note])


@njit(cache=True, fastmath=_FLAGS)
def draw_rows(logits: Any, uniforms: Any, temperature: Any) -> Any:
    """The class of each row of logits that its uniform falls on, as `draw_notes` draws it.

    Args:
      logits: float32 [rows, classes].
      uniforms: float64 in [0, 1). Shape [rows].
      temperature: float32, >= 0; 0 takes the likeliest.

    Returns:
      int32 [rows].
    """
    p = np.empty(logits.shape[1], np.float32)
    drawn = np.empty(len(logits), np.int32)
    for row in range(len(logits)):
        drawn[row] = _drawn(logits[row], uniforms[row], temperature, p)
    return drawn


@njit(cache=True, fastmath=_FLAGS)
def _draw_note(
    weights: Any, dilations: Any, conditions: Any, uniforms: Any, temperature: Any, drawn: Any
) -> None:
    """One note, a sample after the other."""
    taps, amplitudes, pairs, start, _, gates = weights[:6]
    skip_bias, out, out_bias, logit_kernel, logit_bias = weights[10:]
    width, num_inputs = start.shape[1], 6 if len(taps) else 2
    hop_length = len(drawn) // len(conditions)
    queues = np.zeros((np.sum((gates.shape[1] // width - 1) * dilations), width), np.float32)
    history = np.zeros((len(start) // num_inputs, num_inputs), np.float32)
    past = Past(np.zeros(len(drawn)), np.zeros(len(drawn)), np.zeros(3))
    rooms = (_empty(width), _empty(2 * width), _empty(width))
    skip, hidden = _empty(len(skip_bias)), _empty(len(out_bias))
    logits, p = _empty(len(logit_bias)), _empty(len(pairs))
    for t in range(len(drawn)):
        condition = conditions[t // hop_length]
        newest = history[t % len(history)]
        if t > 0:
            newest[0], newest[1] = pairs[drawn[t - 1]]
            past.amplitudes[t - 1] = amplitudes[drawn[t - 1]]
        if len(taps):
            predict(newest, past, taps, t)
        _run_layers(skip, weights, dilations, condition, history, queues, rooms, t)
        hidden[:] = out_bias + condition[2 * width * len(gates) :]
        _add_product(hidden, np.maximum(skip, np.float32(0)), out)
        logits[:] = logit_bias
        _add_product(logits, np.maximum(hidden, np.float32(0)), logit_kernel)
        if len(taps):
            put_around(logits, pairs[:, 1], past)
        drawn[t] = _drawn(logits[: len(pairs)], uniforms[t], temperature, p)


@njit(cache=True, fastmath=_FLAGS)
def _run_layers(
    skip: Any, weights: Any, dilations: Any, condition: Any, history: Any, queues: Any, rooms: Any,
    t: int,
) -> None:  # fmt: skip
    """Puts a sample through all layers: `skip` becomes the sum of what they give."""
    start, start_bias, gates, gate_biases, residuals, residual_biases = weights[3:9]
    skips, skip_bias = weights[9], weights[10]
    x, gate, passed = rooms
    width, num_layers, num_inputs = len(x), len(gates), history.shape[1]
    num_taps = gates.shape[1] // width
    x[:] = start_bias
    for tap in range(len(history)):  # the earliest first
        row = history[(t + 1 + tap) % len(history)]
        _add_product(x, row, start[num_inputs * tap : num_inputs * (tap + 1)])
    skip[:] = skip_bias
    _add_product(skip, x, skips[:width])
    first = 0
    for i in range(num_layers):
        length = (num_taps - 1) * dilations[i]
        queue = queues[first : first + length]
        first += length
        gate[:] = gate_biases[i] + condition[2 * width * i : 2 * width * (i + 1)]
        for tap in range(num_taps - 1):
            row = queue[(t + tap * dilations[i]) % length]
            _add_product(gate, row, gates[i, tap * width : (tap + 1) * width])
        _add_product(gate, x, gates[i, (num_taps - 1) * width :])
        if length:
            queue[t % length] = x
        _pass_gates(passed, gate)
        _add_product(skip, passed, skips[width * (i + 1) : width * (i + 2)])
        if i < num_layers - 1:
            x += residual_biases[i]
            _add_product(x, passed, residuals[i])


@njit(cache=True)
def _empty(size: int) -> Any:
    return np.empty(size, np.float32)


@njit(cache=True, fastmath=_FLAGS)
def _add_product(y: Any, x: Any, matrix: Any) -> None:
    """y += x @ matrix, eight rows at a time, so that y is loaded and stored less often."""
    num_rows, num_columns = matrix.shape
    whole = num_rows - num_rows % 8
    for i in range(0, whole, 8):
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        e, f, g, h = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        m = matrix[i : i + 8]
        for j in range(num_columns):
            first = a * m[0, j] + b * m[1, j] + c * m[2, j] + d * m[3, j]
            y[j] += first + (e * m[4, j] + f * m[5, j] + g * m[6, j] + h * m[7, j])
    for i in range(whole, num_rows):
        for j in range(num_columns):
            y[j] += x[i] * matrix[i, j]


@njit(cache=True, fastmath=_FLAGS)
def _pass_gates(passed: Any, gate: Any) -> None:
    """sigmoid(first half) * tanh(second half)."""
    width, half = len(passed), np.float32(0.5)
    for j in range(width):
        passed[j] = (half + half * _tanh(half * gate[j])) * _tanh(gate[width + j])


@njit(cache=True, fastmath=_FLAGS, inline="always")
def _tanh(x: Any) -> Any:
    """Within a few units in the last place; as a quotient of polynomials it needs no branches.

    Source: Eigen, GenericPacketMathFunctions.h, ptanh_float.
    """
    x = min(max(x, -_MAX_TANH), _MAX_TANH)
    y = x * x
    p = y * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
    p = y * p + np.float32(-8.60467152213735e-11)
    p = y * p + np.float32(5.12229709037114e-08)
    p = y * p + np.float32(1.48572235717979e-05)
    p = y * p + np.float32(6.37261928875436e-04)
    p = y * p + np.float32(4.89352455891786e-03)
    q = y * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
    q = y * q + np.float32(2.26843463243900e-03)
    q = y * q + np.float32(4.89352518554385e-03)
    return x * p / q


@njit(cache=True, fastmath=_FLAGS)
def _drawn(logits: Any, uniform: Any, temperature: Any, p: Any) -> Any:
    """The inverse of the cumulative distribution at `uniform`; p is room for it."""
    likeliest = np.argmax(logits)
    if temperature == 0:
        return np.int32(likeliest)
    largest, total = logits[likeliest], 0.0
    for c in range(len(logits)):
        below = (logits[c] - largest) / temperature
        p[c] = np.exp(below) if below > _LEAST_LOGIT else np.float32(0)
        total += p[c]
    threshold, cumulative = uniform * total, 0.0
    for c in range(len(logits)):
        cumulative += p[c]
        if cumulative > threshold:
            return np.int32(c)
    return np.int32(likeliest)  # rounding left nothing above the threshold
