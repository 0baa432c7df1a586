"""The axes of a phrase as a piano roll, and what can be read off it: layers of several models."""

from __future__ import annotations

from typing import NamedTuple

SEMITONES = 12


class Geometry(NamedTuple):
    """The axes of a phrase; in 4/4, a beat is a quarter."""

    num_bars: int
    steps_per_beat: int
    num_pitches: int
    num_tracks: int

    @property
    def steps_per_bar(self) -> int:
        return 4 * self.steps_per_beat

    @property
    def num_steps(self) -> int:
        return self.num_bars * self.steps_per_bar

    @property
    def shape(self) -> tuple[int, int, int]:
        """Steps, pitches and tracks of a phrase."""
        return self.num_steps, self.num_pitches, self.num_tracks
