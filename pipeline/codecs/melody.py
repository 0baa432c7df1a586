"""Monophonic melodies in steps, as labels and inputs of Magenta's four melody_rnn encodings."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from pipeline.codecs._melody_encodings import (
    ATTENTION,
    BASIC,
    BY_NAME,
    LOOKBACK,
    MONO,
    OneHot,
)
from pipeline.codecs._melody_extraction import NO_EVENT, Melody, extract_melodies
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options

if TYPE_CHECKING:
    from pipeline.readers.note_table import NoteTable

_QPM = 120.0
_VELOCITY = 100
_ALL_PROGRAMS = ((0, 127),)


def _ascending(bounds: tuple[int, int]) -> tuple[int, int]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"programs has the range {list(bounds)}; write the lower end first")
    return bounds


_Program = Annotated[int, Field(ge=0, le=127)]
_Programs = Annotated[tuple[_Program, _Program], AfterValidator(_ascending)]


class MelodyOptions(Options):
    steps_per_quarter: int = Field(
        ge=1, le=24, description="steps that a quarter note is divided into; 4 are sixteenths"
    )
    min_bars: int = Field(ge=1, le=1000, description="shorter melodies are left out, in bars")
    max_steps: int = Field(ge=1, le=100_000, description="longer melodies are cut, in steps")
    min_unique_pitches: int = Field(
        ge=1, le=12, description="melodies of fewer pitch classes are left out"
    )
    gap_bars: float = Field(gt=0, le=1000, description="silence that ends a melody, in bars")
    programs: tuple[_Programs, ...] = Field(
        min_length=1,
        description="ranges of MIDI programs (0-127, both ends included) that may carry a melody",
    )


def features(options: MelodyOptions) -> dict[str, Feature]:
    """One value or row an event: position i of labels and inputs belongs to event i.

    `<encoding>_labels[i]` is the class of event i given those before it; `<encoding>_inputs[i]`
    holds, from the highest bit of the first byte on, the input bits after event i. Inputs of basic
    and mono are one-hot labels, so they have none. `<encoding>_targets[i]` is that class without
    repeats, then the classes of what either repeat means there: which labels are the same event.
    """
    labels = {f"{name}_labels": Feature((None,), "int64") for name in BY_NAME}
    return {
        "melody": Feature((None,), "int64"),
        "steps_per_bar": Feature((), "int64"),
        **labels,
        "lookback_targets": Feature((None, 3), "uint8"),
        "attention_targets": Feature((None, 3), "uint8"),
        "lookback_inputs": Feature((None, 16), "uint8"),
        "attention_inputs": Feature((None, 10), "uint8"),
    }


def num_classes(options: MelodyOptions, name: str) -> int:
    """Classes of a feature of labels.

    Raises:
      KeyError: for every other feature.
    """
    return {f"{key}_labels": e.num_classes for key, e in BY_NAME.items()}[name]


def encode(example: Example, options: MelodyOptions) -> list[dict[str, Any]]:
    """One record for each different melody of the NoteSequence.

    Raises:
      Rejected: no_notes, no_allowed_program, negative_duration, bad_time_signature, bad_tempo,
        non_integer_bar, polyphonic, too_short, too_few_pitches.

    Source: Magenta, `melody_rnn_pipeline.get_pipeline`.
    """
    melodies = extract_melodies(_notes(example), **options.model_dump())
    return [_record(melody) for melody in melodies]


def decode(record: Record, options: MelodyOptions) -> Example:
    """Writes `melody` at 120 qpm, in 4/4 where the record has no `steps_per_bar`."""
    from note_seq.protobuf import music_pb2

    events = [int(event) for event in record["melody"]]
    step_seconds = 60 / _QPM / options.steps_per_quarter
    sequence = music_pb2.NoteSequence(ticks_per_quarter=220, total_time=len(events) * step_seconds)
    sequence.tempos.add(qpm=_QPM)
    bar = Fraction(
        int(record.get("steps_per_bar", 4 * options.steps_per_quarter)),
        4 * options.steps_per_quarter,
    )
    scale = max(1, 4 // bar.denominator)
    sequence.time_signatures.add(
        numerator=bar.numerator * scale, denominator=bar.denominator * scale
    )
    for start, end, pitch in _note_steps(events):
        sequence.notes.add(
            pitch=pitch,
            velocity=_VELOCITY,
            program=options.programs[0][0],
            start_time=start * step_seconds,
            end_time=end * step_seconds,
        )
    return Example(str(record.get("key", "")), sequence.SerializeToString())


def statistics(record: Record, options: MelodyOptions) -> dict[str, float]:
    """Counts and means; durations at 120 qpm, pitches as MIDI numbers, 0 where there is no note."""
    from pipeline.codecs._melody_arrays import summarize

    events = np.array(record["melody"], np.int64)
    num_notes, num_unique, total, lowest, highest, num_sounding = summarize(events).tolist()
    duration_seconds = len(events) * 60 / _QPM / options.steps_per_quarter
    return {
        "num_events": float(len(events)),
        "num_notes": float(num_notes),
        "num_unique_pitches": float(num_unique),
        "duration_seconds": duration_seconds,
        "pitch_mean": total / num_notes if num_notes else 0.0,
        "pitch_range_semitones": float(highest - lowest),
        "note_density_hz": num_notes / duration_seconds if len(events) else 0.0,
        "rest_ratio": 1 - num_sounding / len(events) if len(events) else 0.0,
    }


def encoding(options: MelodyOptions, name: str) -> OneHot:
    """The step-by-step view of basic, mono, lookback or attention; it takes transposed events."""
    return BY_NAME[name]


def primer(example: Example, options: MelodyOptions, encoding_name: str) -> list[int]:
    """The longest melody, of any length up to max_steps and any program, in the encoding's key.

    Of equal lengths the first is taken; where notes start together, the highest.

    Raises:
      Rejected: as `encode`, but neither polyphonic, too_short nor too_few_pitches.
    """
    free = {"min_bars": 0, "min_unique_pitches": 0, "programs": _ALL_PROGRAMS, "use_top_line": True}
    melodies = extract_melodies(_notes(example), **{**options.model_dump(), **free})
    longest = max(melodies, key=lambda melody: len(melody.events))
    events: list[int] = encoding(options, encoding_name).transposed(longest.events).tolist()
    return events


def _notes(example: Example) -> NoteTable:
    if example.note_table is None:
        raise Rejected("no_notes", f"{example.key} has no note_sequence")
    return example.note_table


def _record(melody: Melody) -> dict[str, Any]:
    events = melody.events
    in_c = BASIC.transposed(events)  # to the same key and range for all but mono
    return {
        "melody": events,
        "steps_per_bar": np.int64(melody.steps_per_bar),
        "basic_labels": BASIC.labels(in_c),
        "mono_labels": MONO.labels(events),
        "lookback_labels": LOOKBACK.labels(in_c),
        "attention_labels": ATTENTION.labels(in_c),
        "lookback_targets": LOOKBACK.targets(in_c),
        "attention_targets": ATTENTION.targets(in_c),
        "lookback_inputs": LOOKBACK.packed_inputs(in_c),
        "attention_inputs": ATTENTION.packed_inputs(in_c),
    }


def _note_steps(events: list[int]) -> list[tuple[int, int, int]]:
    """(start, end, pitch) of each note; the last may end with the melody."""
    changes = [(step, event) for step, event in enumerate(events) if event != NO_EVENT]
    following = [*changes[1:], (len(events), NO_EVENT)]
    return [
        (start, end, event)
        for (start, event), (end, _) in zip(changes, following, strict=False)
        if event >= 0
    ]


CODEC = Codec(
    name="melody",
    medium="note_sequence",
    Options=MelodyOptions,
    features=features,
    num_classes=num_classes,
    encode=encode,
    decode=decode,
    statistics=statistics,
    encoding=encoding,
    primer=primer,
    plain_encoding="mono",
)
