"""Dilated convolution in time as products of matrices, and conditions that hold for a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops


def dilations(num_layers: int, layers_per_stage: int) -> list[int]:
    """Distances between a layer's taps, in samples: 1, 2, 4, ..., and again in each stage."""
    return [2 ** (i % layers_per_stage) for i in range(num_layers)]


def receptive_field(
    num_layers: int, layers_per_stage: int, kernel_size: int, start_kernel_size: int = 1
) -> int:
    """Samples that a stack of causal layers sees at once.

    Args:
      num_layers, layers_per_stage: see dilations.
      kernel_size: taps of each layer.
      start_kernel_size: taps of the convolution before them; 1 leaves it out.

    Example:
      >>> receptive_field(30, 10, 3)
      6139
    """
    reach = (kernel_size - 1) * sum(dilations(num_layers, layers_per_stage))
    return reach + start_kernel_size


def convolved(x: Any, kernel: Any, kernel_size: int, dilation: int, is_causal: bool) -> Any:
    """A dilated convolution: the inputs at all taps side by side, and one product.

    Args:
      x: Shape [batch, samples, channels].
      kernel: the earliest tap first. Shape [kernel_size * channels, filters].
      kernel_size: taps; odd where it is not causal.
      dilation: samples between two taps.
      is_causal: the last tap is the sample itself; else the middle one is.

    Returns:
      Shape [batch, samples, filters]; beyond the ends there are zeros.
    """
    last = 0 if is_causal else kernel_size // 2
    delays = [(kernel_size - 1 - last - i) * dilation for i in range(kernel_size)]
    taps = [delayed(x, delay) for delay in delays]
    return ops.matmul(ops.concatenate(taps, axis=-1) if len(taps) > 1 else x, kernel)


def delayed(x: Any, delay: int) -> Any:
    """Each sample where it was `delay` samples later; zeros come in. Shape [batch, samples, ...].

    A delay below 0 moves them earlier.
    """
    if delay == 0:
        return x
    num_samples = x.shape[1]
    if abs(delay) >= num_samples:
        return ops.zeros_like(x)
    kept = x[:, :-delay] if delay > 0 else x[:, -delay:]
    rest: Sequence[tuple[int, int]] = [(0, 0)] * (len(x.shape) - 2)
    return ops.pad(kept, [(0, 0), (max(delay, 0), max(-delay, 0)), *rest])


def conditioned(x: Any, frames: Any) -> Any:
    """Adds to each sample what its frame says: the nearest embedding, not one between two.

    Args:
      x: Shape [batch, samples, channels].
      frames: each holds for samples / frames samples, one after the other. Shape
        [batch, frames, channels].

    Source: magenta models/nsynth/wavenet/h512_bo16.py, _condition.
    """
    num_samples, channels, num_frames = x.shape[1], x.shape[2], frames.shape[1]
    by_frame = ops.reshape(x, (-1, num_frames, num_samples // num_frames, channels))
    return ops.reshape(by_frame + frames[:, :, None], (-1, num_samples, channels))
