"""Melody, bass and drums of a song in steps, as MusicVAE's trio has them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from pipeline.codecs._trio_drums import NUM_KITS, drum_notes
from pipeline.codecs._trio_extraction import extract_trios
from pipeline.codecs._trio_lines import FIRST_PITCH, top_notes
from pipeline.codecs._trio_overlap import sounding
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options

PARTS = ("melody", "bass", "drums")
_QPM = 120.0
_VELOCITY = 80
_FINGERED_BASS = 33  # General MIDI program
_INSTRUMENTS = (0, 1, 9)

_Program = Annotated[int, Field(ge=0, le=127)]


class TrioOptions(Options):
    steps_per_quarter: int = Field(
        ge=1, le=24, description="steps that a quarter note is divided into; 4 are sixteenths"
    )
    min_bars: int = Field(ge=1, le=1000, description="shorter trios are left out, in bars")
    max_bars: int = Field(
        ge=1, le=10_000, description="what comes later without a change of time is cut, in bars"
    )
    gap_bars: int = Field(
        ge=0, le=1000, description="silence that a part may have beside where it plays, in bars"
    )
    melody_programs: tuple[_Program, _Program] = Field(
        description="lowest and highest MIDI program (0-127) of a melody"
    )
    bass_programs: tuple[_Program, _Program] = Field(
        description="lowest and highest MIDI program (0-127) of a bass"
    )
    min_pitch: int = Field(ge=0, le=127, description="lower notes of melody and bass are left out")
    max_pitch: int = Field(ge=0, le=127, description="higher ones are left out")
    max_combinations: int = Field(
        ge=1, le=1000, description="of a melody, a bass and drums, of one song at one tempo"
    )

    @model_validator(mode="after")
    def _ordered(self) -> TrioOptions:
        melody, bass = self.melody_programs, self.bass_programs
        for low, high in (("min_bars", "max_bars"), ("min_pitch", "max_pitch")):
            if (least := getattr(self, low)) > (most := getattr(self, high)):
                raise ValueError(f"{low}={least} exceeds {high}={most}")
        for name, (first, last) in (("melody_programs", melody), ("bass_programs", bass)):
            if first > last:
                raise ValueError(f"{name}={[first, last]}; write the lower end first")
        if melody[0] <= bass[1] and bass[0] <= melody[1]:
            both = f"melody_programs={list(melody)} and bass_programs={list(bass)}"
            raise ValueError(f"{both} overlap; a program can be one of them")
        return self


def features(options: TrioOptions) -> dict[str, Feature]:
    """One class a step of whole 4/4 bars, the same number of steps in each part.

    Melody and bass: 0 no event, 1 note off, then the pitches from min_pitch on. Drums: a bit for
    each of the nine groups that are hit.
    """
    return {part: Feature((None,), "int64") for part in PARTS}


def num_classes(options: TrioOptions, name: str) -> int:
    pitched = options.max_pitch - options.min_pitch + 1 + FIRST_PITCH
    return {"melody": pitched, "bass": pitched, "drums": NUM_KITS}[name]


def encode(example: Example, options: TrioOptions) -> list[dict[str, Any]]:
    """One record for each run of bars in which a melody, a bass and drums play together.

    Raises:
      Rejected: no_notes, negative_duration, bad_tempo, bad_time_signature, not_four_four,
        too_short, no_melody, no_bass, no_drums, no_overlap.

    Source: Roberts et al. 2018 (MusicVAE), section 5.1; Magenta, `music_vae.data.TrioConverter`.
    """
    if example.note_table is None:
        raise Rejected("no_notes", f"{example.key} has no note_sequence")
    trios = extract_trios(example.note_table, **options.model_dump())
    return [dict(zip(PARTS, trio, strict=True)) for trio in trios]


def decode(record: Record, options: TrioOptions) -> Example:
    """Writes any classes in 4/4 at 120 qpm; a note off where nothing sounds has no effect.

    Source: Magenta, `music_vae.data.TrioConverter._to_notesequences`.
    """
    from note_seq.protobuf import music_pb2

    parts = _parts(record)
    seconds_per_step = 60 / _QPM / options.steps_per_quarter
    sequence = music_pb2.NoteSequence(ticks_per_quarter=220)
    sequence.total_time = parts.shape[1] * seconds_per_step
    sequence.tempos.add(qpm=_QPM)
    sequence.time_signatures.add(numerator=4, denominator=4)
    bass = sorted((*options.bass_programs, _FINGERED_BASS))[1]  # it, or the nearest allowed
    programs = options.melody_programs[0], bass, 0
    notes = (*(top_notes(line, options.min_pitch) for line in parts[:2]), drum_notes(parts[2]))
    for part in range(len(PARTS)):
        for start, end, pitch in notes[part].tolist():
            sequence.notes.add(
                pitch=pitch,
                velocity=_VELOCITY,
                instrument=_INSTRUMENTS[part],
                program=programs[part],
                is_drum=PARTS[part] == "drums",
                start_time=start * seconds_per_step,
                end_time=end * seconds_per_step,
            )
    return Example(str(record.get("key", "")), sequence.SerializeToString())


def statistics(record: Record, options: TrioOptions) -> dict[str, float]:
    """Counts, and shares of the steps at which a part sounds; durations at 120 qpm."""
    parts = _parts(record)
    num_steps = parts.shape[1]
    melody, bass = (top_notes(line, options.min_pitch)[:, 2] for line in parts[:2])
    num_hits = len(drum_notes(parts[2]))
    shares = sounding(parts).sum(axis=1) / max(1, num_steps)
    return {
        "num_bars": num_steps / (4 * options.steps_per_quarter),
        "duration_seconds": num_steps * 60 / _QPM / options.steps_per_quarter,
        "num_notes": float(len(melody) + len(bass) + num_hits),
        "num_melody_notes": float(len(melody)),
        "num_bass_notes": float(len(bass)),
        "num_drum_hits": float(num_hits),
        "melody_pitch_mean": float(melody.mean()) if len(melody) else 0.0,
        "bass_pitch_mean": float(bass.mean()) if len(bass) else 0.0,
        **{f"{part}_step_ratio": float(shares[i]) for i, part in enumerate(PARTS)},
    }


def _parts(record: Record) -> np.ndarray:
    """int64 [3, steps]."""
    return np.stack([np.asarray(record[part], np.int64) for part in PARTS])


CODEC = Codec(
    name="trio",
    medium="note_sequence",
    Options=TrioOptions,
    features=features,
    num_classes=num_classes,
    encode=encode,
    decode=decode,
    statistics=statistics,
)
