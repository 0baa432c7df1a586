"""Distances of spectra in decibels, over the frames of a note that sound."""

from __future__ import annotations

import numpy as np

from pipeline.audio.stft import stft

N_FFT, HOP_LENGTH = 1024, 256
RANGE_DB = 60.0  # below the note's loudest bin all counts as silence


def distance_db(audio: np.ndarray, other: np.ndarray) -> float:
    """The log-spectral distance of a sound to another.

        mean over frames of sqrt(mean over bins of (S - T)^2)

    with S and T in decibels, cut off RANGE_DB below the first one's maximum; frames of which
    nothing is louder than that are left out.

    Args:
      audio: float32. Shape [samples].
      other: no shorter one. Shape [samples or more].

    Source: Rabiner and Juang 1993, "Fundamentals of Speech Recognition", section 4.5.1.
    """
    levels_db, floor_db = _levels(audio)
    others_db = np.maximum(_decibels(other[: len(audio)]), floor_db)
    return _rms(levels_db, others_db, floor_db)


def shape_distance_db(audio: np.ndarray, shape_db: np.ndarray) -> float:
    """`distance_db` to a spectrum [bins] that never changes but has each frame's own level."""
    levels_db, floor_db = _levels(audio)
    power = (10 ** (levels_db / 10)).mean(axis=1, keepdims=True)
    others_db = np.maximum(shape_db + 10 * np.log10(power), floor_db)
    return _rms(levels_db, others_db, floor_db)


def mean_spectrum_db(notes: np.ndarray) -> np.ndarray:
    """The mean over notes and frames of their spectra relative to each frame's mean power.

    Args:
      notes: float32. Shape [notes, samples].

    Returns:
      float64, in decibels. Shape [bins].
    """
    shapes = []
    for audio in notes:
        levels_db, floor_db = _levels(audio)
        sounding = levels_db[levels_db.max(axis=1) > floor_db]
        power = (10 ** (sounding / 10)).mean(axis=1, keepdims=True)
        shapes.append((sounding - 10 * np.log10(power)).mean(axis=0))
    return np.mean(shapes, axis=0)


def _levels(audio: np.ndarray) -> tuple[np.ndarray, float]:
    """A sound's spectra in decibels [frames, bins], and what they are cut off at."""
    levels_db = _decibels(audio)
    floor_db = float(levels_db.max()) - RANGE_DB
    return np.maximum(levels_db, floor_db), floor_db


def _decibels(audio: np.ndarray) -> np.ndarray:
    power = np.abs(stft(np.asarray(audio, np.float32), N_FFT, HOP_LENGTH)).astype(np.float64) ** 2
    return 10 * np.log10(np.maximum(power, 1e-14))


def _rms(levels_db: np.ndarray, others_db: np.ndarray, floor_db: float) -> float:
    sounds = levels_db.max(axis=1) > floor_db
    difference = (levels_db - others_db)[sounds]
    return float(np.sqrt((difference**2).mean(axis=1)).mean()) if sounds.any() else 0.0
