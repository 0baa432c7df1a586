"""Notes of many instruments in seconds -> phrases of whole bars as piano-rolls.

Phrases stand at multiples of their length from where a stretch of one tempo in 4/4 starts, so that
a phrase whose first bars are silent comes back from its own notes as it was; from the first bar
that sounds on, it would come back moved. Phrases in which no note starts are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.codecs import _four_four
from pipeline.codecs._pianoroll_notes import note_tracks
from pipeline.codecs._pianoroll_painting import LAST_STEP, Runs, counted, joined, painted, place
from pipeline.errors import Rejected

if TYPE_CHECKING:
    from pipeline.readers.note_table import NoteTable

# Each has come further than those after it; what went wrong last says most about the input.
_REASONS = {
    "too_few_tracks": "phrases in which fewer than min_tracks sound",
    "too_few_notes": "phrases of fewer than min_notes",
    "no_tracks": "notes of no track, or outside the pitches",
    **_four_four.REASONS,
}
_MAX_WHOLE = 1024
_CHUNK = 64  # phrases that are painted at once, lest a damaged file fills the memory


def phrases(
    notes: NoteTable,
    names: tuple[str, ...],
    steps_per_quarter: int,
    shape: tuple[int, int, int],
    min_pitch: int,
    min_notes: int,
    min_tracks: int,
    max_phrases: int,
) -> list[tuple[np.ndarray, float]]:
    """Cuts a song into phrases, by time; of those with equal rolls only the first is taken.

    Args:
      notes: in seconds, unquantized.
      names: the tracks.
      steps_per_quarter: steps that a quarter note is divided into.
      shape: steps, pitches and tracks of a phrase.
      min_pitch: MIDI pitch of the lowest.
      min_notes: phrases of fewer are left out; a note that began earlier counts.
      min_tracks: phrases in which fewer sound are left out.
      max_phrases: of more, so many are taken, evenly spaced.

    Returns:
      Rolls as `pianoroll.pack` gives them, and their quarters per minute.

    Raises:
      Rejected: if none is left, or if a note ends before it starts.
    """
    problems = dict.fromkeys(_REASONS, 0)
    runs, places, qpm = _read(notes, names, steps_per_quarter, shape, min_pitch, problems)
    num_notes = counted(runs, places, shape)
    is_sparse = num_notes.sum(axis=1) < min_notes
    is_thin = ~is_sparse & (np.count_nonzero(num_notes, axis=1) < min_tracks)
    problems["too_few_notes"] += int(np.count_nonzero(is_sparse))
    problems["too_few_tracks"] += int(np.count_nonzero(is_thin))
    places = places[~is_sparse & ~is_thin]
    rolls: dict[bytes, tuple[np.ndarray, float]] = {}
    for first in range(0, len(places), _CHUNK):
        part = places[first : first + _CHUNK]
        for roll, own in zip(painted(runs, part, shape), part.tolist(), strict=True):
            rolls.setdefault(roll.tobytes(), (roll, float(qpm[own >> 32])))
    if not rolls:
        raise _nothing_found(problems)
    different = list(rolls.values())
    num = min(len(different), max_phrases)
    return [different[i * len(different) // num] for i in range(num)]


def whole(
    notes: NoteTable,
    names: tuple[str, ...],
    steps_per_quarter: int,
    shape: tuple[int, int, int],
    min_pitch: int,
) -> list[tuple[np.ndarray, float]]:
    """All of a song in phrases, by time, silent and repeated ones as well.

    Args:
      notes: as of `phrases`, and so the others.
      names: the tracks.
      steps_per_quarter: steps that a quarter note is divided into.
      shape: steps, pitches and tracks of a phrase.
      min_pitch: MIDI pitch of the lowest.

    Returns:
      As of `phrases`; no more than 1,024 of a stretch of one tempo.

    Raises:
      Rejected: if nothing of it can be written as such, or if a note ends before it starts.
    """
    problems = dict.fromkeys(_REASONS, 0)
    runs, places, qpm = _read(notes, names, steps_per_quarter, shape, min_pitch, problems)
    if not len(places):
        raise _nothing_found(problems)
    rolls = []
    for stretch in np.unique(places >> 32).tolist():
        last = int(places[places >> 32 == stretch].max() & 0xFFFFFFFF)
        for first in range(0, min(last + 1, _MAX_WHOLE), _CHUNK):
            part = (stretch << 32) + np.arange(first, min(first + _CHUNK, last + 1))
            rolls += [(roll, float(qpm[stretch])) for roll in painted(runs, part, shape)]
    return rolls


def _read(
    notes: NoteTable,
    names: tuple[str, ...],
    steps_per_quarter: int,
    shape: tuple[int, int, int],
    min_pitch: int,
    problems: dict[str, int],
) -> tuple[Runs, np.ndarray, np.ndarray]:
    """What sounds, the phrases in which a note starts, and the stretches' tempos."""
    found = _four_four.quantized(notes, steps_per_quarter, problems)
    with np.errstate(over="ignore"):
        qpm = found.qpm.astype(np.float32)
    runs, places = _runs(notes, found, qpm, names, shape, min_pitch, problems)
    return runs, places, qpm


def _runs(
    notes: NoteTable,
    found: _four_four.Quantized,
    qpm: np.ndarray,
    names: tuple[str, ...],
    shape: tuple[int, int, int],
    min_pitch: int,
    problems: dict[str, int],
) -> tuple[Runs, np.ndarray]:
    """What sounds in the tracks, and the phrases in which a note starts, by time."""
    tracks = note_tracks(notes.programs[found.rows], notes.is_drum[found.rows], names)
    pitches = notes.pitches[found.rows] - min_pitch
    is_kept = (tracks >= 0) & (pitches >= 0) & (pitches < shape[1]) & (found.starts < LAST_STEP)
    problems["no_tracks"] += int(np.count_nonzero(~is_kept))
    is_tempo = np.isfinite(qpm) & (qpm > 0)
    is_extreme = np.isfinite(found.qpm) & (found.qpm > 0) & ~is_tempo
    problems["bad_tempo"] += int(np.count_nonzero(is_extreme))
    stretches = found.tracks >> 32
    is_kept &= is_tempo[stretches]
    steps = np.stack([found.starts, found.ends])[:, is_kept].clip(max=LAST_STEP)
    starts, ends = steps + (stretches[is_kept] << 32)
    columns = (pitches * shape[2] + tracks)[is_kept]
    return joined(columns, starts, ends), np.unique(place(starts, shape[0]))


def _nothing_found(problems: dict[str, int]) -> Rejected:
    for reason in _REASONS:
        if problems[reason]:
            counts = [f"{problems[key]} {text}" for key, text in _REASONS.items() if problems[key]]
            return Rejected(reason, f"no phrase is left after {', '.join(counts)}")
    return Rejected("no_notes", "no note of any velocity starts between 0 s and total_time")
