"""Mu-law: amplitudes as classes whose steps are finer where it is soft."""

from __future__ import annotations

import numpy as np


def mu_law_encode(audio: np.ndarray, mu: int = 255) -> np.ndarray:
    """Compands a waveform and quantizes it to the nearest of `mu + 1` classes.

    Args:
      audio: float32 in [-1, 1]. Shape [..., samples].
      mu: companding strength; 255 gives 8 bits.

    Returns:
      int32 classes in 0..mu, same shape; silence is (mu + 1) // 2.

    Raises:
      ValueError: if any |audio| > 1; clipping would hide a gain bug.

    Source: van den Oord et al. 2016 (WaveNet), section 2.2. librosa.mu_compress rounds up where
    this rounds to the nearest class, and so errs by up to twice as much.

    Example:
      >>> mu_law_encode(np.float32([-1, 0, 1])).tolist()
      [0, 128, 255]
    """
    audio = np.asarray(audio, np.float64)
    if not (np.abs(audio) <= 1).all():
        raise ValueError(f"peak={np.abs(audio).max()} exceeds 1; lower the gain")
    companded = np.sign(audio) * np.log1p(mu * np.abs(audio)) / np.log1p(mu)
    return np.floor((companded + 1) / 2 * mu + 0.5).astype(np.int32)


def mu_law_decode(classes: np.ndarray, mu: int = 255) -> np.ndarray:
    """Expands classes to a waveform: each to the amplitude in the middle of its step.

    Args:
      classes: integers in 0..mu. Shape [..., samples].
      mu: as in `mu_law_encode`.

    Returns:
      float32 in [-1, 1], same shape.

    Example:
      >>> mu_law_decode(np.array([0, 255])).tolist()
      [-1.0, 1.0]
    """
    companded = 2 * np.asarray(classes, np.float64) / mu - 1
    magnitude = np.expm1(np.abs(companded) * np.log1p(mu)) / mu
    return (np.sign(companded) * np.minimum(magnitude, 1)).astype(np.float32)
