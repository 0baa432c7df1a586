"""Seconds to steps of a beat, by a sequence's own tempos and time signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.errors import Rejected

_DEFAULT_QPM = 120.0
_DEFAULT_TIME_SIGNATURE = (4, 4)


def quantized_steps(
    times_seconds: np.ndarray, tempos: Sequence[Any], steps_per_beat: int
) -> np.ndarray:
    """Rounds times to steps, half a step up, across tempo changes.

    Args:
      times_seconds: 0 or more. Shape [times].
      tempos: of a NoteSequence, with `time` and `qpm`; in any order; 120 qpm before the first.
      steps_per_beat: steps of a quarter note.

    Returns:
      int64. Shape [times].

    Raises:
      Rejected: tempo_not_positive.
    """
    changes = sorted((float(t.time), float(t.qpm)) for t in tempos)
    if not changes or changes[0][0] > 0:
        changes = [(0.0, _DEFAULT_QPM), *changes]
    begins, qpm = np.array(changes).T
    if qpm.min() <= 0:
        raise Rejected("tempo_not_positive", f"qpm={qpm.min():g}; a tempo must be above 0.")
    steps_per_second = steps_per_beat * qpm / 60
    steps_at_begin = np.concatenate([[0], np.cumsum(np.diff(begins) * steps_per_second[:-1])])
    segment = np.maximum(np.searchsorted(begins, times_seconds, side="right") - 1, 0)
    since_begin = (times_seconds - begins[segment]) * steps_per_second[segment]
    return np.floor(steps_at_begin[segment] + since_begin + 0.5).astype(np.int64)


def measure_length(time_signatures: Sequence[Any], steps_per_beat: int) -> int | None:
    """Steps of a measure, or None if measures differ in length or do not end on a step.

    Args:
      time_signatures: of a NoteSequence, with `time`, `numerator`, `denominator`; 4/4 if none.
      steps_per_beat: steps of a quarter note.
    """
    stated = {(s.numerator, s.denominator) for s in time_signatures if s.denominator}
    meters = stated or {_DEFAULT_TIME_SIGNATURE}
    lengths = {4 * steps_per_beat * n / d for n, d in meters}
    length = lengths.pop()
    return None if lengths or length % 1 or length < 1 else int(length)
