"""What a user may set of piano-rolls, and the shape that follows from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.codecs._pianoroll_notes import FIVE, MERGED
from pipeline.options import Options


class PianorollOptions(Options):
    steps_per_quarter: int = Field(
        ge=1, le=24, description="steps that a quarter note is divided into; 12 has triplets, too"
    )
    num_bars: int = Field(ge=1, le=64, description="of a phrase")
    min_pitch: int = Field(ge=0, le=127, description="lower notes are left out, drums as well")
    num_pitches: int = Field(ge=1, le=128, description="from min_pitch up; others are left out")
    tracks: Literal["five", "merged"] = Field(
        description="five: drums, piano, guitar, bass, strings; merged: all but drums in one"
    )
    genres: tuple[str, ...] = Field(
        min_length=1, description="a song of another one is left out; their order is the classes'"
    )
    min_notes: int = Field(ge=1, description="phrases of fewer notes are left out")
    min_tracks: int = Field(ge=1, le=5, description="phrases in which fewer sound are left out")
    max_phrases: int = Field(ge=1, description="of one song, evenly spaced in it")

    @model_validator(mode="after")
    def _consistent(self) -> PianorollOptions:
        if self.min_pitch + self.num_pitches > 128:
            raise ValueError(
                f"min_pitch={self.min_pitch} and num_pitches={self.num_pitches} reach above 127"
            )
        if self.min_tracks > (known := len(track_names(self))):
            raise ValueError(f"min_tracks={self.min_tracks}, but tracks={self.tracks} are {known}")
        if len(set(self.genres)) < len(self.genres):
            raise ValueError(f"genres={list(self.genres)} name one twice")
        return self


def track_names(options: PianorollOptions) -> tuple[str, ...]:
    """The last axis of a roll."""
    return FIVE if options.tracks == "five" else MERGED


def roll_shape(options: PianorollOptions) -> tuple[int, int, int]:
    """Steps, pitches and tracks of a phrase."""
    num_steps = options.num_bars * 4 * options.steps_per_quarter
    return num_steps, options.num_pitches, len(track_names(options))
