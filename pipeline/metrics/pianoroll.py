"""MuseGAN's metrics of piano-rolls of five tracks, bar by bar and beat by beat.

A roll is bool [steps, pitches, tracks], its tracks in the order of TRACKS. What has no meaning for
a roll (a track without a note, two tracks that never sound in the same beat) is NaN, never 0.
Where the published code differs from the paper, or from what it documents, the docstring of the
metric says so.

Source: Dong et al. 2018 (MuseGAN), section "Objective Metrics".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics import symbolic
from pipeline.metrics._pianoroll_control import pairwise_distance, shuffled_notes
from pipeline.metrics._pianoroll_parts import (
    drum_in_pattern_rate,
    empty_bar_rate,
    num_pitch_classes_per_bar,
    qualified_note_rate,
    qualified_steps,
    tonal_distance,
)
from pipeline.metrics._quantization import quantized_steps

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

    from pipeline.example import Example

__all__ = [
    "CONTRASTS",
    "MEDIUM",
    "TRACKS",
    "TrackNotes",
    "content_of",
    "drum_in_pattern_rate",
    "empty_bar_rate",
    "memorisation",
    "musical_metrics",
    "notes_of",
    "num_pitch_classes_per_bar",
    "pairwise_distance",
    "qualified_note_rate",
    "qualified_steps",
    "roll_metrics",
    "roll_of",
    "set_metrics",
    "shuffled",
    "shuffled_notes",
    "tonal_distance",
]

MEDIUM = "note_sequence"
TRACKS = ("drums", "piano", "guitar", "bass", "strings")
PITCHED = TRACKS[1:]
memorisation = symbolic.memorisation

# As in the codec pianoroll, which metrics do not import; a test compares them. By program // 8:
# 0, and what is no program, is left out, else a place in TRACKS.
_PITCHED_TRACKS = np.array([1, 4, 4, 2, 3, 4, 4, 4, 4, 4, 4, 4, 0, 4, 0, 0])


@dataclass(frozen=True)
class TrackNotes(symbolic.Notes):
    """Notes on a grid, with the track of each; those of no track are left out.

    Attributes:
      tracks: int, places in TRACKS. Shape [notes].
      num_bars: bars up to the sequence's end, silent ones included; None without steps_per_measure.
    """

    tracks: np.ndarray
    num_bars: int | None


def content_of(example: Example, steps_per_beat: int) -> TrackNotes:
    """What is measured of an example: `notes_of` its NoteSequence."""
    return notes_of(example.note_sequence, steps_per_beat)


def notes_of(note_sequence: NoteSequence, steps_per_beat: int) -> TrackNotes:
    """Puts the notes of a NoteSequence on a grid and in tracks: LPD-5's, by drum and program.

    Args:
      note_sequence: notes in seconds; its total_time says where it ends.
      steps_per_beat: steps of a quarter note, 1 or more.

    Raises:
      Rejected: tempo_not_positive.
    """
    notes = symbolic.notes_of(note_sequence, steps_per_beat)
    programs = np.array([note.program for note in note_sequence.notes], np.int64)
    tracks = np.where(notes.is_drum, 0, _PITCHED_TRACKS[(programs >> 3).clip(-1, 15)])
    is_kept = notes.is_drum | (tracks > 0)
    end = quantized_steps(
        np.array([note_sequence.total_time]), note_sequence.tempos, steps_per_beat
    )
    num_steps, width = max(notes.num_steps, int(end[0])), notes.steps_per_measure
    return TrackNotes(
        start_steps=notes.start_steps[is_kept],
        end_steps=notes.end_steps[is_kept],
        pitches=notes.pitches[is_kept],
        is_drum=notes.is_drum[is_kept],
        steps_per_beat=steps_per_beat,
        steps_per_measure=width,
        tracks=tracks[is_kept],
        num_bars=-(-num_steps // width) if width else None,
    )


def musical_metrics(notes: TrackNotes) -> dict[str, float]:
    """`roll_metrics` of one sequence; all NaN where measures differ in length."""
    if notes.steps_per_measure is None:
        nothing = np.zeros((1, 4 * notes.steps_per_beat, 12, len(TRACKS)), bool)
        return dict.fromkeys(roll_metrics(nothing, notes.steps_per_beat), float("nan"))
    found = roll_metrics(
        roll_of(notes)[None], notes.steps_per_beat, steps_per_bar=notes.steps_per_measure
    )
    return {name: float(values[0]) for name, values in found.items()}


def roll_metrics(
    rolls: np.ndarray,
    steps_per_beat: int,
    min_pitch: int = 0,
    steps_per_bar: int | None = None,
) -> dict[str, np.ndarray]:
    """All metrics of many rolls at once.

    Args:
      rolls: bool [rolls, steps, pitches, tracks]; steps of whole bars.
      steps_per_beat: steps of a quarter note.
      min_pitch: MIDI pitch of the lowest.
      steps_per_bar: None: four quarters.

    Returns:
      By name, float64 [rolls]: empty_bar_rate_<track>; num_pitch_classes_per_bar_<track> and
      qualified_note_rate_<track>, not of drums; drum_in_pattern_rate; tonal_distance_<a>_<b>.
    """
    by_track = np.ascontiguousarray(np.moveaxis(rolls, 3, 1))  # tracks before steps: twice as fast
    width = steps_per_bar or 4 * steps_per_beat
    drums, pitched = by_track[:, 0], by_track[:, 1:]
    classes = num_pitch_classes_per_bar(pitched, width, min_pitch)
    qualified = qualified_note_rate(pitched, qualified_steps(steps_per_beat))
    empty = empty_bar_rate(by_track, width)
    distances = tonal_distance(pitched, steps_per_beat, min_pitch)
    return {
        **{f"empty_bar_rate_{name}": empty[:, i] for i, name in enumerate(TRACKS)},
        **{f"num_pitch_classes_per_bar_{name}": classes[:, i] for i, name in enumerate(PITCHED)},
        **{f"qualified_note_rate_{name}": qualified[:, i] for i, name in enumerate(PITCHED)},
        "drum_in_pattern_rate": drum_in_pattern_rate(drums, steps_per_beat),
        **{
            f"tonal_distance_{PITCHED[a]}_{PITCHED[b]}": distances[:, a, b]
            for a, b in combinations(range(len(PITCHED)), 2)
        },
    }


def set_metrics(found: Sequence[TrackNotes], genres: Sequence[str]) -> dict[str, float]:
    """Of a set of sequences of equal length: how much they differ from each other.

    Args:
      found: one of another length than the first is left out.
      genres: of each; "" where it is not known.

    Returns:
      pairwise_distance, of all pairs (0 the same, 1 nothing in common), and
      pairwise_distance_within_genre, its mean over the genres of two sequences or more.
    """
    rolls = [(roll_of(n), g) for n, g in zip(found, genres, strict=True) if n.num_bars]
    rolls = [(roll, g) for roll, g in rolls if roll.shape == rolls[0][0].shape]
    if not rolls:
        return {"pairwise_distance": float("nan"), "pairwise_distance_within_genre": float("nan")}
    by_genre = {g: [roll for roll, own in rolls if own == g] for _, g in rolls}
    within = [pairwise_distance(np.stack(own)) for own in by_genre.values() if len(own) > 1]
    return {
        "pairwise_distance": pairwise_distance(np.stack([roll for roll, _ in rolls])),
        "pairwise_distance_within_genre": float(np.mean(within)) if within else float("nan"),
    }


def shuffled(notes: TrackNotes, rng: np.random.Generator) -> dict[str, float]:
    """The metrics of as many notes at random, between the lowest and the highest pitch."""
    if notes.steps_per_measure is None or not len(notes.pitches):
        return musical_metrics(notes)
    roll = roll_of(notes)
    span = slice(int(notes.pitches.min()), int(notes.pitches.max()) + 1)
    roll[:, span] = shuffled_notes(roll[:, span], rng)
    found = roll_metrics(roll[None], notes.steps_per_beat, steps_per_bar=notes.steps_per_measure)
    return {name: float(values[0]) for name, values in found.items()}


CONTRASTS = {"shuffled_notes": shuffled}


def roll_of(notes: TrackNotes) -> np.ndarray:
    """Paints notes: bool [steps, 128, tracks]; notes of one pitch that touch become one.

    Raises:
      ValueError: without steps_per_measure there are no whole bars.
    """
    if notes.num_bars is None or notes.steps_per_measure is None:
        raise ValueError("steps_per_measure=None; a roll has whole bars")
    roll = np.zeros((notes.num_bars * notes.steps_per_measure, 128, len(TRACKS)), bool)
    lengths = notes.end_steps - notes.start_steps
    shifts = np.repeat(notes.start_steps - lengths.cumsum() + lengths, lengths)
    steps = np.arange(len(shifts)) + shifts
    roll[steps, np.repeat(notes.pitches, lengths), np.repeat(notes.tracks, lengths)] = True
    return roll
