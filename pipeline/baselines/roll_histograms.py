"""Pitch classes and intervals, counted, with logistic regression: genre without any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.models.base import Labelled

_DRUMS = 0  # track of the five
_MAX_INTERVAL = 12  # semitones; wider ones count as this


def features(inputs: np.ndarray) -> np.ndarray:
    """`histograms` of each of a batch of rolls. Shape [rolls, 37]."""
    return np.stack([histograms(roll) for roll in inputs])


def probabilities(train: Labelled, test: Labelled) -> np.ndarray:
    """Of each class, given the features of phrases. float64 [test, classes]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    targets = train.targets.argmax(axis=1)
    model.fit(train.inputs, targets)
    found = np.zeros((len(test.inputs), train.targets.shape[1]))
    found[:, model.classes_] = model.predict_proba(test.inputs)
    return found


def histograms(roll: np.ndarray) -> np.ndarray:
    """Shares of the pitch classes of onsets, then of the intervals between successive onsets.

    Args:
      roll: 0 or 1; drums first where there are five tracks, and left out. Shape [steps, pitches,
        tracks]; its lowest pitch is a C.

    Returns:
      float64 [37]: 12 pitch classes, then intervals of -12..12 semitones between successive
      onsets in the order of time, then pitch. Each of the two adds up to 1, or 0 where there are
      too few notes.
    """
    pitched = roll[..., _DRUMS + 1 :] if roll.shape[-1] > 1 else roll
    sounding: np.ndarray = np.any(pitched > 0.5, axis=-1)
    before = np.vstack([np.zeros((1, sounding.shape[1]), bool), sounding[:-1]])
    pitches = np.nonzero(sounding & ~before)[1]
    classes = np.bincount(pitches % 12, minlength=12)
    intervals = np.clip(np.diff(pitches), -_MAX_INTERVAL, _MAX_INTERVAL) + _MAX_INTERVAL
    moves = np.bincount(intervals, minlength=2 * _MAX_INTERVAL + 1)
    return np.concatenate([found / max(1, found.sum()) for found in (classes, moves)])
