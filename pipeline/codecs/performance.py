"""Performances as events: note-on, note-off, time-shift and velocity, as note-seq has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, model_validator

from pipeline.codecs._performance import canonical, cut, events, notes_of, quantize
from pipeline.codecs._performance_vocabulary import Vocabulary
from pipeline.codecs._sustain import Notes, apply_sustain, read_notes
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options


class PerformanceOptions(Options):
    steps_per_second: int = Field(ge=1, le=1000, description="time grid; Performance RNN: 100")
    max_shift_steps: int = Field(ge=1, le=1000, description="longest single time-shift, in steps")
    num_velocity_bins: int = Field(ge=0, le=127, description="0 leaves velocities out")
    min_pitch: int = Field(ge=0, le=127, description="lower notes are left out")
    max_pitch: int = Field(ge=0, le=127, description="higher notes are left out")
    min_events: int = Field(ge=1, description="shorter records are left out")
    max_events: int = Field(ge=16, description="longer performances are cut into several records")

    @model_validator(mode="after")
    def _ordered(self) -> PerformanceOptions:
        for low, high in (("min_pitch", "max_pitch"), ("min_events", "max_events")):
            if (least := getattr(self, low)) > (most := getattr(self, high)):
                raise ValueError(f"{low}={least} exceeds {high}={most}")
        return self

    @property
    def vocabulary(self) -> Vocabulary:
        pitches = self.min_pitch, self.max_pitch
        return Vocabulary(*pitches, self.max_shift_steps, self.num_velocity_bins)


def features(options: PerformanceOptions) -> dict[str, Feature]:
    return {"events": Feature(shape=(None,), dtype="int64")}


def num_classes(options: PerformanceOptions, name: str) -> int:
    return {"events": options.vocabulary.num_classes}[name]


def encode(example: Example, options: PerformanceOptions) -> list[dict[str, Any]]:
    """Applies the pedal, quantizes, and lists events: what note-seq gives after one round trip.

    A longer performance is cut between notes, in order of onset: each record holds as many whole
    notes as fit, and the second and later begin with their first note. So each is canonical.

    Raises:
      Rejected: no_notes, negative_time, velocity_out_of_range, note_too_long, too_few_events.

    Source: Oore et al. 2018, "This Time with Feeling", section 3.2.
    """
    pieces = list(cut(_grid_notes(example, options), options.vocabulary, options.max_events))
    if max(map(len, pieces)) > options.max_events:
        rule = f"one note takes more than max_events={options.max_events}"
        raise Rejected("note_too_long", f"{rule} ({example.key})")
    records = [{"events": piece} for piece in pieces if len(piece) >= options.min_events]
    if not records:
        rule = f"num_events={max(map(len, pieces))} is below min_events={options.min_events}"
        raise Rejected("too_few_events", f"{rule} ({example.key})")
    return records


def _grid_notes(example: Example, options: PerformanceOptions) -> Notes:
    sequence = example.note_sequence
    if sequence is None or not sequence.notes:
        raise Rejected("no_notes", f"num_notes=0, and there must be one at least ({example.key})")
    notes = read_notes(sequence)
    is_kept = (options.min_pitch <= notes.pitch) & (notes.pitch <= options.max_pitch)
    if not is_kept.any():
        rule = f"no pitched note in {options.min_pitch}..{options.max_pitch}"
        raise Rejected("no_notes", f"{rule} ({example.key})")
    if (notes.start < 0).any() or (notes.end < notes.start).any():
        raise Rejected("negative_time", f"a note begins before 0 or ends first ({example.key})")
    if (notes.velocity < 1).any() or (notes.velocity > 127).any():
        raise Rejected("velocity_out_of_range", f"a velocity is not in 1..127 ({example.key})")
    notes = apply_sustain(notes.take(is_kept), sequence)
    return canonical(quantize(notes, options.steps_per_second))


def decode(record: Record, options: PerformanceOptions) -> Example:
    """Gives the notes of any events; velocity 100 before the first is set, one piano.

    Source: note-seq, performance_lib.Performance.to_sequence.
    """
    from note_seq.protobuf import music_pb2

    notes = notes_of(np.asarray(record["events"]), options.vocabulary)
    seconds_per_step = 1.0 / options.steps_per_second
    sequence = music_pb2.NoteSequence(ticks_per_quarter=220)
    for start, end, pitch, velocity in zip(
        (notes.start * seconds_per_step).tolist(),
        (notes.end * seconds_per_step).tolist(),
        notes.pitch.tolist(),
        notes.velocity.tolist(),
        strict=True,
    ):
        sequence.notes.add(start_time=start, end_time=end, pitch=pitch, velocity=velocity)
    sequence.total_time = max((note.end_time for note in sequence.notes), default=0.0)
    return Example(str(record.get("key", "")), sequence.SerializeToString())


def statistics(record: Record, options: PerformanceOptions) -> dict[str, float]:
    ids, vocabulary = np.asarray(record["events"]), options.vocabulary
    notes = notes_of(ids, vocabulary)
    shifts = ids[(ids >= vocabulary.shift) & (ids < vocabulary.velocity)] - vocabulary.shift + 1
    duration_seconds = float(shifts.sum()) / options.steps_per_second
    num_notes = len(notes.start)
    return {
        "num_notes": num_notes,
        "num_events": len(ids),
        "duration_seconds": duration_seconds,
        "events_per_second": len(ids) / duration_seconds if duration_seconds else 0.0,
        "velocity_mean": float(notes.velocity.mean()) if num_notes else 0.0,
        "pitch_mean": float(notes.pitch.mean()) if num_notes else 0.0,
    }


def encoding(options: PerformanceOptions, name: str) -> Vocabulary:
    if name != "performance":
        raise PipelineError(
            f"encoding={name!r} is unknown to codec performance; set 'performance'."
        )
    return options.vocabulary


def primer(example: Example, options: PerformanceOptions, name: str) -> list[int]:
    """All events of a performance, however few, in one list."""
    return events(_grid_notes(example, options), options.vocabulary).tolist()


CODEC = Codec(
    name="performance",
    medium="note_sequence",
    Options=PerformanceOptions,
    features=features,
    num_classes=num_classes,
    encode=encode,
    decode=decode,
    statistics=statistics,
    encoding=encoding,
    primer=primer,
    plain_encoding="performance",
)
