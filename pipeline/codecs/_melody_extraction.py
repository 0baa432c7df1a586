"""Monophonic melodies in steps from the notes of a NoteSequence in seconds.

Gives the melodies of Magenta's melody_rnn pipeline (time-change splitter, quantizer, melody
extractor) without copying or annotating the protos. Three rules differ, each because a melody must
come back from its own notes unchanged:

- Drums and notes of velocity 0 are taken out before the first bar is sought, not after.
- A melody cut at `max_steps` loses the silence that then ends it.
- A melody must have `min_bars` after that cut, not only before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import Rejected

if TYPE_CHECKING:
    from pipeline.readers.note_table import NoteTable

NO_EVENT = -2
NOTE_OFF = -1

# Each has come further than those after it; what went wrong last says most about the input. Their
# order is that of the slots in _melody_phrases.
_REASONS = {
    "too_few_pitches": "melodies with fewer pitch classes than min_unique_pitches",
    "too_short": "melodies shorter than min_bars",
    "polyphonic": "tracks where two notes start on one step",
    "non_integer_bar": "stretches whose bar is no whole number of steps",
    "bad_time_signature": "stretches whose time signature is no n/2^k",
    "bad_tempo": "stretches whose tempo is not positive",
}

ProgramRanges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Melody:
    """A melody that starts on a bar line and ends where its last note ends.

    Attributes:
      events: a pitch 0..127 where a note starts, NOTE_OFF where silence starts, NO_EVENT elsewhere.
        int64, shape [events].
      steps_per_bar: of its time signature.
    """

    events: np.ndarray
    steps_per_bar: int


def extract_melodies(
    notes: NoteTable,
    *,
    steps_per_quarter: int,
    min_bars: int,
    max_steps: int,
    min_unique_pitches: int,
    gap_bars: float,
    programs: ProgramRanges,
    use_top_line: bool = False,
) -> list[Melody]:
    """Finds the melodies of each track between two changes of tempo or time signature.

    Args:
      notes: in seconds, unquantized.
      steps_per_quarter: steps that a quarter note is divided into.
      min_bars: shorter melodies are left out.
      max_steps: longer melodies are cut.
      min_unique_pitches: melodies with fewer pitch classes are left out, 1..12.
      gap_bars: bars of silence that end a melody.
      programs: ranges, both ends included, of the MIDI programs whose notes are heard.
      use_top_line: takes the highest of the notes that start on one step; otherwise the rest of a
        track is left out from the first such step on.

    Returns:
      One or more, by time, then by instrument; of equal ones only the first.

    Raises:
      Rejected: if none is left (the reason is the last rule that left one out), or if a note ends
        before it starts.

    Source: Magenta, `melody_pipelines.extract_melodies`; note-seq, `sequences_lib.
    split_note_sequence_on_time_changes`, `quantize_note_sequence` and
    `melodies_lib.Melody.from_quantized_sequence`.
    """
    from pipeline.codecs import _melody_phrases as phrases

    audible = _audible_notes(notes, programs)
    problems = np.zeros(len(_REASONS), np.int64)
    stretches = phrases.split(
        *(changes(notes), notes.tempos, notes.time_signatures),
        *(notes.total_seconds, steps_per_quarter, problems),
    )
    rows, groups = grouped(notes, audible, stretches)
    seconds = np.stack([notes.starts[rows], notes.ends[rows]])
    steps, bad = phrases.quantize(seconds, groups, stretches)
    if bad >= 0:
        raise negative_duration(notes, rows, groups, stretches, bad)
    limits = np.array([min_bars, max_steps, min_unique_pitches], np.int64)
    found, events = phrases.find(
        *(steps, notes.pitches[rows], groups, stretches),
        *(limits, gap_bars, use_top_line, problems),
    )
    melodies: dict[bytes, Melody] = {}
    for first, last, steps_per_bar in found.tolist():
        own = events[first:last]
        melodies.setdefault(own.tobytes(), Melody(own, steps_per_bar))
    if not melodies:
        raise _nothing_found(dict(zip(_REASONS, problems.tolist(), strict=True)))
    return list(melodies.values())


def _audible_notes(notes: NoteTable, programs: ProgramRanges) -> np.ndarray:
    """The places of the notes to hear."""
    is_pitched = ~notes.is_drum & (notes.velocities != 0)
    is_allowed = np.zeros(len(is_pitched), bool)
    for low, high in programs:
        is_allowed |= (low <= notes.programs) & (notes.programs <= high)
    audible = np.flatnonzero(is_pitched & is_allowed)
    if not len(audible):
        if not is_pitched.any():
            rule = f"none of {len(is_pitched)} notes has pitch and velocity"
            raise Rejected("no_notes", rule)
        used = np.unique(notes.programs[is_pitched]).tolist()
        raise Rejected("no_allowed_program", f"programs={used} are outside {list(programs)}")
    return audible


def changes(notes: NoteTable) -> np.ndarray:
    """Places of the time signatures and, counting on, of the tempos, by time."""
    times = np.concatenate([notes.time_signatures[:, 0], notes.tempos[:, 0]])
    return times.argsort(kind="stable")


def grouped(
    notes: NoteTable, audible: np.ndarray, stretches: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the notes within 0..total_seconds, by stretch, then instrument, then start.

    Returns:
      places: int64 [notes].
      groups: int64 [notes], stretch << 32 | instrument + 2**31.
    """
    starts = notes.starts[audible]
    is_within = (starts >= 0) & (starts < notes.total_seconds)
    if not is_within.all():
        audible, starts = audible[is_within], starts[is_within]
    stretch = stretches[:, 0].searchsorted(starts, side="right") - 1
    groups = (stretch << 32) + (notes.instruments[audible] + 2**31)
    order = np.lexsort((starts, groups))
    return audible[order], groups[order]


def negative_duration(
    notes: NoteTable, rows: np.ndarray, groups: np.ndarray, stretches: np.ndarray, bad: int
) -> Rejected:
    row, end_of_stretch = rows[bad], stretches[groups[bad] >> 32, 1]
    start_time, pitch = float(notes.starts[row]), int(notes.pitches[row])
    end_time = float(min(notes.ends[row], end_of_stretch))
    return Rejected("negative_duration", f"{start_time=} {end_time=} of {pitch=}")


def _nothing_found(problems: dict[str, int]) -> Rejected:
    for reason in _REASONS:
        if problems[reason]:
            counts = [f"{problems[key]} {text}" for key, text in _REASONS.items() if problems[key]]
            return Rejected(reason, f"no melody is left after {', '.join(counts)}")
    return Rejected("no_notes", "no note starts between 0 s and total_time")
