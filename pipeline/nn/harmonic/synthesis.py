"""What sounds: a bank of harmonic oscillators, and noise through a filter that changes by frame.

Frame m lies at sample m * hop_length; F frames give (F - 1) * hop_length samples.

Source: Engel et al. 2020, "DDSP: Differentiable Digital Signal Processing", section 3, and ddsp's
core.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops


def harmonics(f0_hz: Any, amplitudes: Any, sample_rate: int, hop_length: int) -> Any:
    """Sinusoids at the multiples of f0: amplitudes and f0 change linearly from frame to frame.

    A harmonic is silent in a frame where it lies at or above half the sample rate. No gradient
    goes to f0.

    Args:
      f0_hz: above 0. Shape [batch, frames].
      amplitudes: of the harmonics 1, 2, ... Shape [batch, frames, harmonics].
      sample_rate: in Hz.
      hop_length: samples from one frame to the next.

    Returns:
      float32 [batch, (frames - 1) * hop_length]; the phase begins at 0.
    """
    f0_hz = ops.cast(f0_hz, "float32")
    audible = is_audible(f0_hz, amplitudes.shape[-1], sample_rate)
    amplitudes = ops.cast(amplitudes, "float32") * ops.cast(audible, "float32")
    turns = phases(f0_hz, sample_rate, hop_length)
    # A song's sines at once would not fit into the memory.
    parts = [
        _played(turns[:, i : i + _BLOCK_HOPS], amplitudes[:, i : i + _BLOCK_HOPS + 1])
        for i in range(0, f0_hz.shape[1] - 1, _BLOCK_HOPS)
    ]
    return ops.reshape(ops.concatenate(parts, axis=1), (-1, (f0_hz.shape[1] - 1) * hop_length))


_BLOCK_HOPS = 512


def is_audible(f0_hz: Any, num_harmonics: int, sample_rate: int) -> Any:
    """Which harmonics lie below half the sample rate: bool [..., harmonics]."""
    numbers = ops.arange(1, num_harmonics + 1, dtype="float32")
    return f0_hz[..., None] * numbers < sample_rate / 2


def phases(f0_hz: Any, sample_rate: int, hop_length: int) -> Any:
    """The fundamental's phase at each sample, in turns in [0, 1), f0 going linearly between frames.

    In double precision: a song has many turns, and the hundredth harmonic a hundred times as many.

    Args:
      f0_hz: Shape [batch, frames].
      sample_rate: in Hz.
      hop_length: samples from one frame to the next.

    Returns:
      float32 [batch, frames - 1, hop_length]; the first is 0.
    """
    turns = ops.stop_gradient(ops.cast(f0_hz, "float64")) / sample_rate  # a sample
    first, change = turns[:, :-1, None], turns[:, 1:, None] - turns[:, :-1, None]
    n = ops.arange(hop_length + 1, dtype="float64")
    within = n * first + n * (n - 1) / (2 * hop_length) * change
    ends = ops.cumsum(_wrapped(within[..., -1]), axis=1)
    starts = ops.pad(ends[:, :-1], ((0, 0), (1, 0)))
    return ops.cast(_wrapped(starts[..., None] + within[..., :-1]), "float32")


def _played(turns: Any, amplitudes: Any) -> Any:
    """Turns [batch, hops, samples], amplitudes at the hops' ends -> [batch, hops, samples].

    Harmonic i * width + j is sin(b_i + a_j) = sin(a_j) cos(b_i) + cos(a_j) sin(b_i): products of
    matrices with about 2 sqrt(harmonics) sines and cosines, instead of all the harmonics' own.
    """
    num_harmonics = amplitudes.shape[-1]
    width = math.isqrt(num_harmonics - 1) + 1
    num = -(-num_harmonics // width)
    low = ops.arange(1, width + 1, dtype="float32")
    high = width * ops.arange(num, dtype="float32")
    a = 2 * math.pi * _wrapped(turns[..., None] * low)
    b = 2 * math.pi * _wrapped(turns[..., None] * high)
    filled = ops.pad(amplitudes, ((0, 0), (0, 0), (0, width * num - num_harmonics)))
    table = ops.reshape(filled, (*ops.shape(filled)[:2], num, width))
    table = ops.transpose(table, (0, 1, 3, 2))  # [batch, frames, j, i]
    ends = ops.concatenate([table[:, :-1], table[:, 1:]], axis=-1)
    both = ops.concatenate([ops.cos(b), ops.cos(b)], axis=-1) * ops.matmul(ops.sin(a), ends)
    both += ops.concatenate([ops.sin(b), ops.sin(b)], axis=-1) * ops.matmul(ops.cos(a), ends)
    after = ops.arange(turns.shape[-1], dtype="float32") / turns.shape[-1]
    start, end = ops.sum(both[..., :num], axis=-1), ops.sum(both[..., num:], axis=-1)
    return start * (1 - after) + end * after


def _wrapped(turns: Any) -> Any:
    return turns - ops.floor(turns)


def filtered_noise(noise: Any, magnitudes: Any, hop_length: int) -> Any:
    """Noise through a linear-phase filter, whose delay is taken back; a new one in each hop.

    The filter of a hop has the mean magnitudes of its two ends; what rings on beyond the hop is
    added to the next ones.

    Args:
      noise: float32, e.g. uniform in [-1, 1]. Shape [batch, (frames - 1) * hop_length].
      magnitudes: gains at frequencies in equal steps from 0 to half the sample rate. Shape
        [batch, frames, bands], an odd number of bands of 3 or more.
      hop_length: samples from one frame to the next.

    Returns:
      float32, shape of noise.
    """
    num_taps = 2 * (magnitudes.shape[-1] - 1)
    magnitudes = ops.cast(magnitudes, "float32")
    means = (magnitudes[:, :-1] + magnitudes[:, 1:]) / 2
    responses = ops.matmul(means, ops.convert_to_tensor(response_matrix(num_taps)))
    num_hops = (hop_length + num_taps - 2) // hop_length + 1  # that a hop and its ringing span
    length = 1 << (hop_length + num_taps - 2).bit_length()
    blocks = ops.reshape(noise, (-1, magnitudes.shape[1] - 1, hop_length))
    real, imaginary = ops.rfft(ops.pad(blocks, ((0, 0), (0, 0), (0, length - hop_length))))
    re, im = ops.rfft(ops.pad(responses, ((0, 0), (0, 0), (0, length - num_taps))))
    product = (real * re - imaginary * im, real * im + imaginary * re)
    rung = _resized(ops.irfft(product, fft_length=length), num_hops * hop_length)
    audio = _overlapped(rung, hop_length)
    delay = num_taps // 2
    return audio[:, delay : delay + blocks.shape[1] * hop_length]


def response_matrix(num_taps: int) -> np.ndarray:
    """Magnitudes -> the taps of a symmetric filter that has about these, under a Hann window.

    Args:
      num_taps: even; the middle tap is number num_taps / 2.

    Returns:
      float32 [num_taps / 2 + 1, num_taps].

    Source: ddsp/core.py, frequency_impulse_response.
    """
    responses = np.fft.irfft(np.eye(num_taps // 2 + 1), num_taps, axis=1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(num_taps) / num_taps)
    return (np.roll(responses, num_taps // 2, axis=1) * window).astype(np.float32)


def _resized(blocks: Any, length: int) -> Any:
    """Blocks [batch, hops, samples] cut, or filled with zeros, to so many samples."""
    missing = max(0, length - blocks.shape[-1])
    return ops.pad(blocks[..., :length], ((0, 0), (0, 0), (0, missing)))


def _overlapped(blocks: Any, hop_length: int) -> Any:
    """Sums blocks [batch, hops, spans * hop_length] that begin a hop after each other."""
    spans = blocks.shape[-1] // hop_length
    pieces = ops.split(blocks, spans, axis=-1)
    moved = [ops.pad(piece, ((0, 0), (i, spans - 1 - i), (0, 0))) for i, piece in enumerate(pieces)]
    return ops.reshape(sum(moved[1:], moved[0]), (-1, (blocks.shape[1] + spans - 1) * hop_length))
