"""Notes in seconds -> steps, where the tempo stays and a bar is four quarters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.codecs._melody_extraction import changes, grouped, negative_duration

if TYPE_CHECKING:
    from pipeline.readers.note_table import NoteTable

# Why a stretch has no notes in steps; what `quantized` counts.
REASONS = {
    "not_four_four": "stretches whose bar is not four quarters",
    "bad_time_signature": "stretches whose time signature is no n/2^k",
    "bad_tempo": "stretches whose tempo is not positive",
}
_NON_INTEGER_BAR, _BAD_TIME_SIGNATURE, _BAD_TEMPO = range(3, 6)  # slots of _melody_phrases
_STEPS_PER_BAR, _STEPS_PER_SECOND = 2, 3  # columns of its stretches


class Quantized(NamedTuple):
    """The notes of all stretches in 4/4; each array but qpm is int64 [notes].

    Attributes:
      rows: places in the NoteTable; by stretch, then instrument, then start.
      tracks: stretch << 32 | instrument + 2**31, ascending.
      starts, ends: in steps from where the stretch starts; a note is a step long at least.
      qpm: of each stretch, those that are not in 4/4 as well. float64 [stretches].
    """

    rows: np.ndarray
    tracks: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    qpm: np.ndarray


def quantized(notes: NoteTable, steps_per_quarter: int, problems: dict[str, int]) -> Quantized:
    """Brings the notes to steps that start with a velocity other than 0 within 0..total_time.

    Args:
      notes: in seconds, unquantized.
      steps_per_quarter: steps that a quarter note is divided into.
      problems: to be counted up, by reason.

    Raises:
      Rejected: negative_duration.

    Source: note-seq, `sequences_lib.split_note_sequence_on_time_changes` and
    `quantize_note_sequence`.
    """
    from pipeline.codecs import _melody_phrases as phrases

    counts = np.zeros(6, np.int64)
    table = phrases.split(
        *(changes(notes), notes.tempos, notes.time_signatures),
        *(notes.total_seconds, steps_per_quarter, counts),
    )
    is_regular = table[:, _STEPS_PER_BAR] == 4 * steps_per_quarter
    problems["bad_time_signature"] += int(counts[_BAD_TIME_SIGNATURE])
    problems["bad_tempo"] += int(counts[_BAD_TEMPO])
    is_other = (table[:, _STEPS_PER_BAR] != 0) & ~is_regular
    problems["not_four_four"] += int(counts[_NON_INTEGER_BAR] + is_other.sum())
    rows, tracks = grouped(notes, np.flatnonzero(notes.velocities != 0), table)
    is_taken = is_regular[tracks >> 32]
    rows, tracks = rows[is_taken], tracks[is_taken]
    steps, bad = phrases.quantize(np.stack([notes.starts[rows], notes.ends[rows]]), tracks, table)
    if bad >= 0:
        raise negative_duration(notes, rows, tracks, table, bad)
    qpm = table[:, _STEPS_PER_SECOND] * 60 / steps_per_quarter
    return Quantized(rows, tracks, steps[0], steps[1], qpm)
