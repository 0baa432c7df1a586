"""Onset envelopes, and their most likely tempo."""

from __future__ import annotations

import numpy as np

from pipeline.errors import PipelineError

_WINDOW_SECONDS = 8.0
_LIKELIEST_BPM, _MAX_BPM = 120.0, 320.0
_BLOCK_FRAMES = 64


def onset_envelope(decibels: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Mean rise of mel bands over the frame before, moved later by half a window.

    Args:
      decibels: float32 [frames, bands].
      n_fft: window of its STFT, in samples.
      hop_length: from one frame to the next, in samples.

    Returns:
      float32, 0 or more. Shape [frames].

    Source: Böck and Widmer 2013, "Maximum filter vibrato suppression for onset detection", without
    the filter; librosa.onset.onset_strength.
    """
    rises = np.maximum(0, np.diff(decibels, axis=0)).mean(axis=1)
    late = np.zeros(1 + n_fft // (2 * hop_length), np.float32)
    return np.concatenate([late, rises])[: len(decibels)]


def tempo_bpm(envelope: np.ndarray, sample_rate: int, hop_length: int) -> float:
    """The period of an onset envelope's mean autocorrelation over windows of 8 s, as a tempo.

    Args:
      envelope: from `onset_envelope`. Shape [frames], at least 1.
      sample_rate: in Hz.
      hop_length: from one frame to the next, in samples.

    Returns:
      Beats a minute, under 320; about 120 for an envelope of zeros.

    Raises:
      PipelineError: for frames of more than 4 s.

    Source: Ellis 2007, "Beat tracking by dynamic programming", section 3.2;
    librosa.feature.tempo.
    """
    window_frames = int(_WINDOW_SECONDS * sample_rate) // hop_length
    if window_frames < 2:
        raise PipelineError(
            f"hop_length={hop_length} at sample_rate={sample_rate}: a tempo needs frames of at "
            "most 4 s; make hop_length smaller."
        )
    with np.errstate(divide="ignore"):
        bpm = 60 * sample_rate / (hop_length * np.arange(window_frames, dtype=np.float64))
    log_prior = -0.5 * (np.log2(bpm) - np.log2(_LIKELIEST_BPM)) ** 2
    log_prior[: int(np.argmax(bpm < _MAX_BPM))] = -np.inf
    correlation = mean_autocorrelation(envelope, window_frames)
    return float(bpm[np.argmax(np.log1p(1e6 * correlation) + log_prior)])


def mean_autocorrelation(envelope: np.ndarray, window_frames: int) -> np.ndarray:
    """The mean over frames of the autocorrelation around each, which is 1 at lag 0.

    The mean is taken before the inverse transform, which is linear; so one does for all frames.

    Args:
      envelope: from `onset_envelope`. Shape [frames].
      window_frames: of the Hann window.

    Returns:
      float64. Shape [window_frames].
    """
    from scipy.fft import irfft, next_fast_len, rfft

    from pipeline.audio.stft import hann

    padded = np.pad(envelope, window_frames // 2, mode="linear_ramp")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_frames)[: len(envelope)]
    num_points = next_fast_len(2 * window_frames - 1, real=True)
    total = np.zeros(num_points // 2 + 1)
    for start in range(0, len(frames), _BLOCK_FRAMES):
        windowed = frames[start : start + _BLOCK_FRAMES] * hann(window_frames)
        energies = np.einsum("ij,ij->i", windowed, windowed)
        spectra = rfft(windowed, n=num_points, axis=1)
        powers = np.square(spectra.real) + np.square(spectra.imag)
        total += (1 / np.where(energies < np.finfo(float).tiny, 1, energies)) @ powers
    return irfft(total / len(envelope), n=num_points)[:window_frames]
