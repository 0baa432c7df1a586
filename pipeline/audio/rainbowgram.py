"""Rainbowgrams: constant-Q spectra, as bright as they are loud, coloured by their phase's speed."""

from __future__ import annotations

import numpy as np

from pipeline.audio.stft import checked
from pipeline.errors import Rejected

LOWEST_HZ = 65.40639132514966  # C2
BINS_PER_OCTAVE = 40
NUM_OCTAVES = 6
HOP_LENGTH = 256
RANGE_DB = 70.0
_FILTER_SCALE = 0.8
_HIGHEST_SHARE = 0.45  # of the sample rate; above it a bin's filter would reach the Nyquist limit
_LEAST_POWER = 1e-13
_LEAST_SAMPLES = 2**15


def rainbowgram(audio: np.ndarray, sample_rate: int, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """A picture of a sound in which a steady partial is a line of one colour.

    Rows are bins of a constant-Q transform, 40 an octave over the six from C2 on, or as many as the
    sample rate allows. A pixel's colour is `instantaneous_frequency`, from violet (-1) over green
    (0) to red (1); its brightness falls from full at the loudest pixel to black 70 dB below it.

    Args:
      audio: floating point, full scale 1. Shape [samples].
      sample_rate: of `audio`, in Hz, at least 300.
      hop_length: from one column to the next, in samples; a multiple of 32.

    Returns:
      uint8 RGB, lowest bin first. Shape [bins, frames, 3].

    Raises:
      Rejected: sample_rate_too_low; and as `pipeline.audio.stft.checked`.

    Source: Engel et al. 2017, "Neural audio synthesis of musical notes with WaveNet autoencoders",
    section 4.1 and appendix B; its settings are those of the notebook published beside it.
    """
    spectrum = constant_q(audio, sample_rate, hop_length)
    brightness = 1 + _decibels(spectrum) / RANGE_DB
    colours = rainbow((instantaneous_frequency(spectrum) + 1) / 2)
    return np.rint(255 * brightness[..., None] * colours).astype(np.uint8)


def constant_q(audio: np.ndarray, sample_rate: int, hop_length: int = HOP_LENGTH) -> np.ndarray:
    """The transform behind `rainbowgram`, with its arguments. complex64 [bins, frames]."""
    audio = checked(audio)
    octaves = np.log2(max(_HIGHEST_SHARE * sample_rate / LOWEST_HZ, 1))
    num_bins = int(BINS_PER_OCTAVE * min(octaves, NUM_OCTAVES))
    if not num_bins:
        raise Rejected("sample_rate_too_low", f"sample_rate={sample_rate} Hz has no octave from C2")
    import librosa

    # Silence behind a short sound changes nothing, but spares librosa's warnings.
    spectrum: np.ndarray = librosa.cqt(
        np.pad(audio, (0, max(0, _LEAST_SAMPLES - len(audio)))),
        sr=sample_rate,
        hop_length=hop_length,
        fmin=LOWEST_HZ,
        n_bins=num_bins,
        bins_per_octave=BINS_PER_OCTAVE,
        filter_scale=_FILTER_SCALE,
    )
    return spectrum[:, : 1 + len(audio) // hop_length]


def instantaneous_frequency(spectrum: np.ndarray) -> np.ndarray:
    """The derivative over time of the unwrapped phase, in half turns a frame; the first frame is 0.

    Args:
      spectrum: complex. Shape [bins, frames].

    Returns:
      float64 in [-1, 1], as `spectrum`. Frequencies a whole number of turns a frame apart are one.
    """
    unwrapped = np.unwrap(np.angle(spectrum).astype(np.float64), axis=1)
    turns = np.diff(unwrapped, axis=1, prepend=unwrapped[:, :1]) / np.pi
    return np.clip(turns, -1, 1)


def rainbow(position: np.ndarray) -> np.ndarray:
    """Colours from violet (0) over green (0.5) to red (1).

    Args:
      position: in [0, 1]. Any shape.

    Returns:
      RGB in [0, 1]. Shape of `position`, then 3.

    Source: gnuplot's rgbformulae 33, 13, 10, which matplotlib calls rainbow.
    """
    red = np.abs(2 * position - 0.5)
    green = np.sin(np.pi * position)
    blue = np.cos(np.pi / 2 * position)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 1)


def _decibels(spectrum: np.ndarray) -> np.ndarray:
    """Below the loudest, at most RANGE_DB; of silence all of that. float64."""
    power = np.abs(spectrum).astype(np.float64) ** 2
    loudest = power.max(initial=0)
    if loudest < _LEAST_POWER:
        return np.full(power.shape, -RANGE_DB)
    decibels = 10 * np.log10(np.maximum(power, _LEAST_POWER) / loudest)
    return np.maximum(decibels, -RANGE_DB)
