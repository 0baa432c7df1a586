"""A melody's events as classes of a softmax: no event, note off, and 88 pitches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from pipeline.errors import PipelineError

NO_EVENT, NOTE_OFF, FIRST_PITCH = 0, 1, 2
LOWEST_PITCH, HIGHEST_PITCH = 21, 108
NUM_CLASSES = FIRST_PITCH + HIGHEST_PITCH - LOWEST_PITCH + 1


def classes_of(events: Any) -> Any:
    """Events -2 (none), -1 (note off) and MIDI pitches, any shape -> int32 classes.

    Pitches out of 21..108 become -1.
    """
    events = ops.cast(events, "int32")
    is_known = ops.logical_and(events >= LOWEST_PITCH, events <= HIGHEST_PITCH)
    pitches = ops.where(is_known, events - LOWEST_PITCH + FIRST_PITCH, -1)
    return ops.where(events < 0, events + 2, pitches)


def events_of(classes: Any) -> Any:
    """The events that classes mean, int32; undoes `classes_of`."""
    classes = ops.cast(classes, "int32")
    pitches = classes - FIRST_PITCH + LOWEST_PITCH
    return ops.where(classes < FIRST_PITCH, classes - 2, pitches)


def classes_of_melody(events: Sequence[int], num_steps: int) -> np.ndarray:
    """A melody cut, or its last event held, to some steps: int32 [num_steps].

    Raises:
      PipelineError: if it has no note there, or one that has no class.
    """
    melody = np.full((1, num_steps, 1), -2)
    melody[0, : len(events), 0] = events[:num_steps]
    classes = np.asarray(classes_of(melody))
    if not (classes >= FIRST_PITCH).any() or classes.min() < 0:
        raise PipelineError(
            f"melody={[*events[:num_steps]]} has no note in its first {num_steps} steps, or one "
            f"out of the pitches {LOWEST_PITCH}..{HIGHEST_PITCH}; give another, or transpose it."
        )
    return np.asarray(begun(classes, classes >= FIRST_PITCH))[0, :, 0]


def begun(classes: Any, is_onset: Any) -> Any:
    """Without what ends notes that began before: nothing before the first onset is an event.

    Args:
      classes: Shape [passages, steps, parts]; -1 stays.
      is_onset: bool, same shape.

    Source: note_seq.Melody does so with a slice of a melody.
    """
    has_begun = ops.cumsum(ops.cast(is_onset, "int32"), axis=1) > 0
    return ops.where(ops.logical_or(has_begun, classes < 0), classes, NO_EVENT)


def transposed(classes: Any, intervals: Any, is_pitched: Any) -> Any:
    """Moves the pitches of each passage, as far as the lowest and the highest of them can go.

    Args:
      classes: int32. Shape [passages, steps, parts].
      intervals: int32 semitones. Shape [passages].
      is_pitched: bool, which parts have pitches. Shape [parts].
    """
    is_pitch = ops.logical_and(classes >= FIRST_PITCH, is_pitched)
    highest = ops.max(ops.where(is_pitch, classes, FIRST_PITCH), axis=(1, 2))
    lowest = ops.min(ops.where(is_pitch, classes, NUM_CLASSES - 1), axis=(1, 2))
    intervals = ops.clip(intervals, FIRST_PITCH - lowest, NUM_CLASSES - 1 - highest)
    return classes + ops.where(is_pitch, intervals[:, None, None], 0)
