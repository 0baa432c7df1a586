"""Musical metrics of notes on a grid: muspy's, with its faults at the bar line corrected.

Where this module differs from muspy 0.5.0, the docstring of the metric says so. A metric without a
meaning for the notes given (no note, one bar, a changing time signature) is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import PipelineError
from pipeline.metrics import memorisation as copying
from pipeline.metrics._quantization import measure_length, quantized_steps

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

    from pipeline.example import Example

MEDIUM = "note_sequence"

_SCALES = {
    "major": np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], bool),
    "minor": np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0], bool),
}
_METERS = {"duple": (2, 4), "triple": (3,)}


@dataclass(frozen=True)
class Notes:
    """Notes of all instruments on a grid of steps.

    Attributes:
      start_steps: int, 0 or more. Shape [notes].
      end_steps: int, above start_steps; the first step in which the note is silent. [notes].
      pitches: int in 0..127. Shape [notes].
      is_drum: bool. Shape [notes].
      steps_per_beat: steps of a quarter note; muspy's resolution.
      steps_per_measure: None if measures differ in length or do not end on a step.
    """

    start_steps: np.ndarray
    end_steps: np.ndarray
    pitches: np.ndarray
    is_drum: np.ndarray
    steps_per_beat: int
    steps_per_measure: int | None

    @property
    def num_steps(self) -> int:
        """Length up to the last note's end, drums included."""
        return int(self.end_steps.max(initial=0))

    @property
    def melodic_pitches(self) -> np.ndarray:
        return self.pitches[~self.is_drum]


def content_of(example: Example, steps_per_beat: int) -> Notes:
    """What is measured of an example: `notes_of` its NoteSequence."""
    return notes_of(example.note_sequence, steps_per_beat)


def notes_of(note_sequence: NoteSequence, steps_per_beat: int) -> Notes:
    """Puts the notes of a NoteSequence on a grid, by its own tempos and time signature.

    Args:
      note_sequence: notes in seconds; 120 qpm and 4/4 where it does not say.
      steps_per_beat: steps of a quarter note, 1 or more; 24 tells triplets from sixteenths.

    Returns:
      Its notes, each at least one step long, times rounded as note_seq.quantize_note_sequence does.

    Raises:
      Rejected: tempo_not_positive.
    """
    starts = np.array([note.start_time for note in note_sequence.notes], float)
    ends = np.array([note.end_time for note in note_sequence.notes], float)
    start_steps = quantized_steps(starts, note_sequence.tempos, steps_per_beat)
    end_steps = quantized_steps(ends, note_sequence.tempos, steps_per_beat)
    return Notes(
        start_steps=start_steps,
        end_steps=np.maximum(end_steps, start_steps + 1),
        pitches=np.array([note.pitch for note in note_sequence.notes], np.int64),
        is_drum=np.array([note.is_drum for note in note_sequence.notes], bool),
        steps_per_beat=steps_per_beat,
        steps_per_measure=measure_length(note_sequence.time_signatures, steps_per_beat),
    )


def musical_metrics(notes: Notes) -> dict[str, float]:
    """The metrics that need neither drums nor a scale given, by their functions' names.

    NaN where undefined: all but the three numbers of pitches without a pitched note;
    empty_measure_rate and groove_consistency also without a constant measure, the latter also
    below two measures.
    """
    return {
        "num_pitches_used": float(num_pitches_used(notes)),
        "num_pitch_classes_used": float(num_pitch_classes_used(notes)),
        "pitch_range": float(pitch_range(notes)),
        "empty_beat_rate": empty_beat_rate(notes),
        "empty_measure_rate": empty_measure_rate(notes),
        "polyphony": polyphony(notes),
        "polyphony_rate": polyphony_rate(notes),
        "scale_consistency": scale_consistency(notes),
        "pitch_entropy": pitch_entropy(notes),
        "pitch_class_entropy": pitch_class_entropy(notes),
        "groove_consistency": groove_consistency(notes),
    }


CONTRASTS: dict[str, Callable[[Notes, np.random.Generator], dict[str, float]]] = {}


def set_metrics(found: Sequence[Notes], genres: Sequence[str]) -> dict[str, float]:
    """None: melodies of any length cannot be laid on each other."""
    return {}


def memorisation(
    generated: Sequence[Notes], held_out: Sequence[Notes], training: Sequence[Notes]
) -> dict[str, float]:
    """How much of the samples stands in the training data, by their notes."""
    own, unheard, known = (
        [copying.note_symbols(notes) for notes in found]
        for found in (generated, held_out, training)
    )
    return copying.memorisation_metrics(own, unheard, known)


def num_pitches_used(notes: Notes) -> int:
    """Different pitches, drums left out; 0..128."""
    return len(np.unique(notes.melodic_pitches))


def num_pitch_classes_used(notes: Notes) -> int:
    """Different pitch classes, drums left out; 0..12."""
    return len(np.unique(notes.melodic_pitches % 12))


def pitch_range(notes: Notes) -> int:
    """Highest minus lowest pitch in semitones, drums left out; 0 without a note.

    muspy gives -127 for drums alone.
    """
    pitches = notes.melodic_pitches
    return int(np.ptp(pitches)) if len(pitches) else 0


def empty_beat_rate(notes: Notes) -> float:
    """Share of the beats up to the last note's end in which no note sounds.

    muspy counts a beat more when the music ends on a beat, and takes a note that ends on a beat to
    sound in the beat after it.
    """
    return _empty_rate(notes, notes.steps_per_beat)


def empty_measure_rate(notes: Notes) -> float:
    """Share of the measures up to the last note's end in which no note sounds.

    Differs from muspy as `empty_beat_rate` does.
    """
    return _empty_rate(notes, notes.steps_per_measure) if notes.steps_per_measure else np.nan


def polyphony(notes: Notes) -> float:
    """Mean number of different pitches that sound, over the steps in which one does; no drums."""
    sounding = _num_sounding(notes)
    num_steps = np.count_nonzero(sounding)
    return float(sounding.sum() / num_steps) if num_steps else np.nan


def polyphony_rate(notes: Notes, min_pitches: int = 2) -> float:
    """Share of all steps in which at least `min_pitches` different pitches sound; no drums.

    muspy documents "multiple pitches" and tests for more than its threshold of 2; its default is
    therefore this function's `min_pitches=3`.
    """
    sounding = _num_sounding(notes)
    return float(np.mean(sounding >= min_pitches)) if len(sounding) else np.nan


def pitch_in_scale_rate(notes: Notes, root: int, mode: str) -> float:
    """Share of the notes that are in a scale, drums left out.

    Args:
      notes: any.
      root: pitch class, 0 (C) .. 11.
      mode: "major", or "minor" (natural).

    Raises:
      PipelineError: for another mode.
    """
    if mode not in _SCALES:
        raise PipelineError(f"mode={mode!r} is none of {', '.join(_SCALES)}.")
    pitches = notes.melodic_pitches
    scale = np.roll(_SCALES[mode], root)
    return float(scale[pitches % 12].mean()) if len(pitches) else np.nan


def scale_consistency(notes: Notes) -> float:
    """Largest `pitch_in_scale_rate` of the twelve major scales.

    Each natural minor scale has the notes of a major one. Source: Mogren 2016 (C-RNN-GAN).
    """
    return max(pitch_in_scale_rate(notes, root, "major") for root in range(12))


def drum_in_pattern_rate(notes: Notes, meter: str) -> float:
    """Share of the drum notes on the quarters ("duple") or thirds ("triple") of a beat.

    Divisions that do not fall on a step are left out, as in muspy.

    Raises:
      PipelineError: for another meter.
    """
    if meter not in _METERS:
        raise PipelineError(f"meter={meter!r} is none of {', '.join(_METERS)}.")
    pattern = np.zeros(notes.steps_per_beat, bool)
    pattern[0] = True
    for parts in _METERS[meter]:
        if notes.steps_per_beat % parts == 0:
            pattern[:: notes.steps_per_beat // parts] = True
    onsets = notes.start_steps[notes.is_drum]
    return float(pattern[onsets % notes.steps_per_beat].mean()) if len(onsets) else np.nan


def drum_pattern_consistency(notes: Notes) -> float:
    """Larger `drum_in_pattern_rate` of the two meters."""
    return max(drum_in_pattern_rate(notes, meter) for meter in _METERS)


def pitch_entropy(notes: Notes) -> float:
    """Entropy of the notes' pitches in bits, 0..7, drums left out."""
    return _entropy(notes.melodic_pitches)


def pitch_class_entropy(notes: Notes) -> float:
    """Entropy of the notes' pitch classes in bits, 0..log2(12), drums left out.

    Source: Wu and Yang 2020 (The Jazz Transformer), pitch class histogram entropy.
    """
    return _entropy(notes.melodic_pitches % 12)


def groove_consistency(notes: Notes) -> float:
    """1 - mean Hamming distance of the onsets of neighbouring measures, a share of their steps.

    Identical measures give exactly 1. muspy adds an empty measure when the music ends on a bar
    line, and compares the last one with it. The finer the grid, the closer to 1 for any music:
    compare values of one steps_per_beat only.

    Source: Wu and Yang 2020 (The Jazz Transformer), grooving pattern similarity.
    """
    width = notes.steps_per_measure
    num_measures = _num_parts(notes, width) if width else 0
    if not width or num_measures < 2:
        return np.nan
    onsets = np.zeros(num_measures * width, bool)
    onsets[notes.start_steps] = True
    patterns = onsets.reshape(num_measures, width)
    return float(1 - np.mean(patterns[1:] != patterns[:-1]))


def _num_parts(notes: Notes, width: int) -> int:
    """Parts of `width` steps that the music reaches into."""
    return -(-notes.num_steps // width)


def _empty_rate(notes: Notes, width: int) -> float:
    num_parts = _num_parts(notes, width)
    if not num_parts:
        return np.nan
    change = np.zeros(num_parts + 1, np.int64)
    np.add.at(change, notes.start_steps // width, 1)
    np.add.at(change, (notes.end_steps - 1) // width + 1, -1)
    return float(np.mean(np.cumsum(change)[:-1] == 0))


def _num_sounding(notes: Notes) -> np.ndarray:
    """Different pitches that sound in each step, drums left out. Shape [steps]."""
    is_pitched = ~notes.is_drum
    pitches, row = np.unique(notes.pitches[is_pitched], return_inverse=True)
    change = np.zeros((len(pitches), notes.num_steps + 1), np.int32)
    np.add.at(change, (row, notes.start_steps[is_pitched]), 1)
    np.add.at(change, (row, notes.end_steps[is_pitched]), -1)
    return np.count_nonzero(np.cumsum(change, axis=1)[:, :-1], axis=0)


def _entropy(values: np.ndarray) -> float:
    if not len(values):
        return np.nan
    share = np.unique(values, return_counts=True)[1] / len(values)
    return float(np.sum(share * np.log2(1 / share)))
