"""The classes of performance events, and their step-by-step view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class Vocabulary:
    """Event ids: note-on and note-off of each pitch, shifts of 1 and more steps, velocity bins.

    It is also how a model sees events: each is its own label, and the input is the one-hot of the
    last one, zeros before the first.

    Attributes:
      note_off, shift, velocity: the first id of each kind; note-ons begin at 0.

    Source: note-seq, PerformanceOneHotEncoding and OneHotEventSequenceEncoderDecoder; Oore et al.
    2018, section 3.2.
    """

    min_pitch: int
    max_pitch: int
    max_shift_steps: int
    num_velocity_bins: int

    def __post_init__(self) -> None:
        self.note_off = self.max_pitch - self.min_pitch + 1
        self.shift = 2 * self.note_off
        self.velocity = self.shift + self.max_shift_steps
        self.num_classes = self.input_size = self.velocity + self.num_velocity_bins
        self.velocities_per_bin = -(-127 // max(self.num_velocity_bins, 1))

    def inputs(self, events: Sequence[int]) -> np.ndarray:
        vector = np.zeros(self.input_size, np.uint8)
        vector[list(events[-1:])] = 1
        return vector

    def label(self, events: Sequence[int], position: int) -> int:
        return int(events[position])

    def event(self, label: int, events: Sequence[int]) -> int:
        return int(label)
