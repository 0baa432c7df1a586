"""Loudness as an ear weighs it: power by frame, low and very high frequencies counting less.

Source: IEC 61672-1 (A-weighting); ddsp/spectral_ops.py, compute_loudness (Engel et al. 2020).
"""

from __future__ import annotations

import numpy as np

from pipeline.audio.stft import hann

FLOOR_DB = -80.0


def loudness_db(
    audio: np.ndarray, sample_rate: int, hop_length: int, num_frames: int, n_fft: int = 512
) -> np.ndarray:
    """A-weighted power in decibels, by frames centred at 0, hop_length, 2 * hop_length, ...

        L = 10 log10 sum_k a_k |X_k|^2 / sum_n w_n^2 / (n_fft / 2)

    with a Hann window w, X the frame's DFT at k = 0..n_fft / 2, and a_k the A-weighting at k as a
    gain of power. So a sine of amplitude 1 at 1 kHz, where the weighting is 0 dB, has 10 log10(1/2)
    = -3 dB, its mean power. ddsp's own value lies a constant above it: it averages |X_k|^2.

    Args:
      audio: float32 in [-1, 1]. Shape [..., samples]; silence is taken to lie around it.
      sample_rate: in Hz.
      hop_length: from one frame to the next, in samples.
      num_frames: how many; frames beyond the end are silent.
      n_fft: length of the window, in samples.

    Returns:
      float32 [..., num_frames], not below FLOOR_DB.
    """
    audio = np.asarray(audio, np.float32)
    num_samples = (num_frames - 1) * hop_length + n_fft
    kept = audio[..., : max(0, num_samples - n_fft // 2)]
    after = num_samples - n_fft // 2 - kept.shape[-1]
    padded = np.pad(kept, [(0, 0)] * (audio.ndim - 1) + [(n_fft // 2, after)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)
    spectra = np.fft.rfft(frames[..., ::hop_length, :] * hann(n_fft), axis=-1)
    power = np.abs(spectra) ** 2 @ power_weights(sample_rate, n_fft)
    return np.maximum(10 * np.log10(np.maximum(power, 1e-20)), FLOOR_DB).astype(np.float32)


def power_weights(sample_rate: int, n_fft: int) -> np.ndarray:
    """What |X_k|^2 of a frame under `hann` is multiplied with, so that the sum is its loudness.

    Args:
      sample_rate: in Hz.
      n_fft: length of the window, in samples.

    Returns:
      float64 [n_fft // 2 + 1].
    """
    weights = 10 ** (a_weighting_db(np.fft.rfftfreq(n_fft, 1 / sample_rate)) / 10)
    return weights * 2 / n_fft / (hann(n_fft) ** 2).sum()


def a_weighting_db(frequencies_hz: np.ndarray) -> np.ndarray:
    """The A-weighting: 0 dB at 1 kHz, -19 dB at 100 Hz; at least FLOOR_DB.

    Args:
      frequencies_hz: 0 or above. Any shape.

    Returns:
      float64, same shape.

    Source: IEC 61672-1:2013, annex E.

    Example:
      >>> a_weighting_db(np.array([100.0, 10_000.0])).round(1).tolist()
      [-19.1, -2.5]
    """
    squared = np.asarray(frequencies_hz, np.float64) ** 2
    poles = np.array([20.598997, 107.65265, 737.86223, 12194.217]) ** 2
    gain = poles[3] * squared**2 / (squared + poles[0]) / (squared + poles[3])
    gain /= np.sqrt((squared + poles[1]) * (squared + poles[2]))
    return np.maximum(20 * np.log10(np.maximum(gain, 1e-10)) + 2.0, FLOOR_DB)
