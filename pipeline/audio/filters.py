"""Weights of FFT bins: in mel bands and in pitch classes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

_HZ_PER_MEL = 200 / 3  # below 1,000 Hz
_KNEE_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27  # of a mel above it
NUM_CHROMA = 12
_CENTRE_OCTAVE, _OCTAVE_WIDTH = 5.0, 2.0


class Bands(NamedTuple):
    """Bands of neighbouring bins.

    Attributes:
      weights: of all bands in a row, float32.
      starts: the first bin of each. int64 [bands].
      offsets: of band b the weights offsets[b] .. offsets[b + 1]. int64 [bands + 1].
    """

    weights: np.ndarray
    starts: np.ndarray
    offsets: np.ndarray


@lru_cache(maxsize=16)
def mel_bands(sample_rate: int, n_fft: int, num_bands: int) -> Bands:
    """`mel_filters` without their zeros."""
    filters = mel_filters(sample_rate, n_fft, num_bands)
    is_in = filters > 0
    starts = is_in.argmax(axis=1)
    counts = is_in.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Bands(filters[is_in], starts.astype(np.int64), offsets.astype(np.int64))


def mel_filters(sample_rate: int, n_fft: int, num_bands: int) -> np.ndarray:
    """Triangles of equal width in mel and of equal area, from 0 Hz to half the sample rate.

    Returns:
      float32. Shape [num_bands, n_fft // 2 + 1]; a band narrower than a bin may be all 0.

    Source: Slaney 1998, "Auditory toolbox", mfcc.m; librosa.filters.mel.
    """
    edges_hz = _hz(np.linspace(0, _mel(sample_rate / 2), num_bands + 2))
    bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    ramps = edges_hz[:, None] - bins_hz
    widths = np.diff(edges_hz)[:, None]
    triangles = np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:])
    filters = np.maximum(0, triangles).astype(np.float32)
    filters *= (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return filters


@lru_cache(maxsize=128)
def chroma_filters(sample_rate: int, n_fft: int, tuning: float) -> np.ndarray:
    """Gaussians a semitone wide at each octave of each pitch class, most weight around 440 Hz.

    Args:
      sample_rate: in Hz.
      n_fft: window, in samples.
      tuning: of the music against A = 440 Hz, in semitones, -0.5 .. 0.5.

    Returns:
      float32. Shape [12, n_fft // 2 + 1]; the first is C.

    Source: Ellis 2007, "Chroma feature analysis and synthesis", fft2chromamx.m;
    librosa.filters.chroma.
    """
    bins_hz = np.linspace(0, sample_rate, n_fft, endpoint=False)[1:]
    reference_hz = 440 * 2.0 ** (tuning / NUM_CHROMA) / 16
    semitones = NUM_CHROMA * np.log2(bins_hz / reference_hz)
    semitones = np.concatenate([[semitones[0] - 1.5 * NUM_CHROMA], semitones])
    widths = np.concatenate([np.maximum(np.diff(semitones), 1), [1]])
    half = NUM_CHROMA // 2
    away = semitones - np.arange(NUM_CHROMA)[:, None]
    away = np.remainder(away + half + 10 * NUM_CHROMA, NUM_CHROMA) - half
    weights = np.exp(-0.5 * (2 * away / widths) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=0))
    weights *= np.exp(-0.5 * ((semitones / NUM_CHROMA - _CENTRE_OCTAVE) / _OCTAVE_WIDTH) ** 2)
    from_c = np.roll(weights, -3, axis=0)[:, : n_fft // 2 + 1]
    return np.ascontiguousarray(from_c, np.float32)


def _mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _HZ_PER_MEL
    return float(_KNEE_HZ / _HZ_PER_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def _hz(mels: np.ndarray) -> np.ndarray:
    knee = _KNEE_HZ / _HZ_PER_MEL
    return np.where(mels < knee, _HZ_PER_MEL * mels, _KNEE_HZ * np.exp(_LOG_STEP * (mels - knee)))
