"""Notes as parallel arrays, and the sustain pedal applied to them.

`apply_sustain` gives the notes of note-seq's, which walks through protocol buffers instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

SUSTAIN_CONTROL = 64
SUSTAIN_THRESHOLD = 64


@dataclass(frozen=True)
class Notes:
    """Parallel arrays, one element a note; times in seconds (float64) or steps (int64)."""

    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    instrument: np.ndarray

    def take(self, index: np.ndarray | slice) -> Notes:
        return Notes(*(array[index] for array in vars(self).values()))


def read_notes(sequence: NoteSequence) -> Notes:
    """The notes of a sequence in its order, drums left out: a drum's pitch names no tone."""
    rows = [
        (n.start_time, n.end_time, n.pitch, n.velocity, n.instrument)
        for n in sequence.notes
        if not n.is_drum
    ]
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Notes(table[:, 0], table[:, 1], *table[:, 2:].astype(np.int64).T)


def apply_sustain(notes: Notes, sequence: NoteSequence) -> Notes:
    """Lets notes sound on while the pedal is down, or until their pitch is struck again.

    Args:
      notes: of `sequence`, in its order, in seconds.
      sequence: its control changes are read.

    Returns:
      The notes in the same order; of two of the same pitch that begin together under the pedal,
      only the later one.

    Source: note-seq, sequences_lib.apply_sustain_control_changes.
    """
    pedal = [
        (c.time, c.control_value < SUSTAIN_THRESHOLD, c.instrument)
        for c in sequence.control_changes
        if c.control_number == SUSTAIN_CONTROL
    ]
    if not pedal or not len(notes.start):
        return notes
    last_seconds = max(notes.start.max(), notes.end.max(), max(time for time, _, _ in pedal))
    end = notes.end.copy()
    for instrument in sorted({instrument for _, _, instrument in pedal}):
        own = np.flatnonzero(notes.instrument == instrument)
        changes = sorted((time, is_up) for time, is_up, i in pedal if i == instrument)
        end[own] = _sustained_ends(notes.take(own), np.array(changes), last_seconds)
    return replace(notes, end=end).take(end >= notes.start)


def _sustained_ends(notes: Notes, changes: np.ndarray, last_seconds: float) -> np.ndarray:
    """Ends in seconds of one instrument's notes; -inf where another note took its place."""
    times, is_up = changes[:, 0], changes[:, 1].astype(bool)

    def is_down_at(seconds: np.ndarray) -> np.ndarray:
        position = np.searchsorted(times, seconds, side="right")
        return np.concatenate([[False], ~is_up])[position]

    releases = np.append(times[is_up], last_seconds)
    released = releases[np.searchsorted(times[is_up], notes.end, side="right")]
    end = np.where(is_down_at(notes.end), released, notes.end)
    order = np.lexsort((notes.start, notes.pitch))
    start, pitch = notes.start[order], notes.pitch[order]
    num = len(order)
    strikes = np.where(is_down_at(start), np.arange(num), num)
    following = np.append(np.minimum.accumulate(strikes[::-1])[::-1], num)[1:]
    is_same_pitch = np.append(pitch, -1)[following] == pitch
    cut = np.where(is_same_pitch, np.append(start, np.inf)[following], np.inf)
    cut[cut == start] = -np.inf
    end[order] = np.minimum(end[order], cut)
    return end
