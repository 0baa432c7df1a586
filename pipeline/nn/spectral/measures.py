"""How far spectrograms are from each other, and from the mean of the training notes'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def distance_db(truth: np.ndarray, made: np.ndarray, range_db: float) -> np.ndarray:
    """Log-spectral distance: over bins the root of the mean square, then the mean over frames.

    Args:
      truth, made: whose first channel goes from 0 to 1. Shape [notes, frames, bins, channels].
      range_db: what 1 is above 0, in decibels.

    Returns:
      float64 [notes].
    """
    away = (truth[..., 0].astype(np.float64) - made[..., 0]) * range_db
    return np.sqrt(np.square(away).mean(axis=2)).mean(axis=1)


def distance_to_mean_db(
    truth: np.ndarray,
    pitches: Sequence[int],
    training: Callable[[], Iterator[tuple[int, np.ndarray]]],
    range_db: float,
) -> np.ndarray:
    """That of the training notes' mean spectrogram: of all or of a pitch, whichever is nearer.

    Args:
      truth: spectrograms as in `distance_db`.
      pitches: of these notes; one that no training note has takes the mean of all.
      training: gives each training note's pitch and spectrogram [frames, bins, channels].
      range_db: as in `distance_db`.

    Returns:
      float64 [notes].
    """
    sums: dict[int, Any] = {}
    counts: dict[int, int] = {}
    for pitch, spectrogram in training():
        sums[pitch] = sums.get(pitch, 0) + spectrogram.astype(np.float64)
        counts[pitch] = counts.get(pitch, 0) + 1
    overall = np.sum(list(sums.values()), axis=0) / sum(counts.values())
    of_pitch = {pitch: total / counts[pitch] for pitch, total in sums.items()}
    to_all, to_pitch = [], []
    for note, pitch in zip(truth, pitches, strict=True):
        to_all.append(distance_db(note[None], overall[None], range_db))
        own = of_pitch.get(pitch, overall)
        to_pitch.append(distance_db(note[None], own[None], range_db))
    nearer = min(to_all, to_pitch, key=np.mean)
    return np.concatenate(nearer)
