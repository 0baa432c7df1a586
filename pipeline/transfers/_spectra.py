"""Spectra of the two songs of a transfer, and the way from a third one's back to sound."""

from __future__ import annotations

import numpy as np

from pipeline.audio.stft import istft, stft
from pipeline.errors import Rejected
from pipeline.transfers.base import Request

_SILENT = 1e-5  # -100 dB
_BAND = 0.2  # of a frequency, to either side
_FLOOR = 1e-7


def both(request: Request, n_fft: int, hop_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The notes' song and the sound's, as `stft` has them: complex64 [frames, n_fft // 2 + 1].

    Raises:
      Rejected: too_short, if a song has less than one frame; silent.
    """
    for name, audio in (("notes", request.notes), ("sound", request.sound)):
        if len(audio) < n_fft:
            rule = f"n_fft={n_fft}, the samples of a frame"
            raise Rejected("too_short", f"{name} has num_samples={len(audio)}, less than {rule}")
        peak = float(np.abs(audio).max())
        if not peak > _SILENT:
            raise Rejected("silent", f"{name} has peak={peak:g}, and must exceed {_SILENT:g}")
    return stft(request.notes, n_fft, hop_length), stft(request.sound, n_fft, hop_length)


def broad_powers(spectra: np.ndarray) -> np.ndarray:
    """Mean power over frames and bins around each, up to a fifth of its frequency away.

    Above 0 by a floor of -70 dB from the loudest, so that a ratio of two is no more than that.
    Shape [bins].
    """
    powers = np.square(np.abs(spectra), dtype=np.float64).mean(axis=0)
    bins = np.arange(len(powers))
    lows = np.maximum(0, np.floor(bins * (1 - _BAND)).astype(int) - 2)
    highs = np.minimum(len(powers), np.ceil(bins * (1 + _BAND)).astype(int) + 3)
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    broad = (sums[highs] - sums[lows]) / (highs - lows)
    return broad + _FLOOR * broad.max()


def equalized(
    audio: np.ndarray, sound: np.ndarray, n_fft: int, hop_length: int, part: float
) -> np.ndarray:
    """Filtered, so that its average spectrum in broad bands comes nearer to that of another sound.

    Broad, lest the filter stamps the other's notes on it.

    Args:
      audio: float32. Shape [samples].
      sound: float32. Shape [samples of its own].
      n_fft: of the spectra.
      hop_length: of the spectra.
      part: of the way, in decibels; 0 leaves it as it is, 1 goes all of it.

    Returns:
      float32. Shape [samples].
    """
    if part == 0 or not audio.any():
        return audio
    spectra = stft(audio, n_fft, hop_length)
    wanted, found = (broad_powers(x) for x in (stft(sound, n_fft, hop_length), spectra))
    gains = (wanted / found) ** (part / 2)
    return istft(spectra * gains.astype(np.float32), hop_length, len(audio))


def as_loud(audio: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Scaled to the mean power of another sound; the same if it is silent."""
    power, wanted = (float(np.square(x, dtype=np.float64).mean()) for x in (audio, like))
    return (audio * np.sqrt(wanted / power)).astype(np.float32) if power > 0 else audio


def within_full_scale(audio: np.ndarray) -> np.ndarray:
    """Made softer where it would exceed 1. float32, same shape."""
    peak = float(np.abs(audio).max(initial=0))
    return np.asarray(audio / peak if peak > 1 else audio, np.float32)
