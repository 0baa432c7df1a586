"""The four encodings of Magenta's melody_rnn: events to labels and to the inputs of a model.

An input is held as bits, so that a whole melody packs into a few bytes a step; `values` gives the
vector that note-seq gives. Two things in that vector are no 0 or 1: a counter is -1 or +1, and the
direction of a KeyMelody is -1, 0 or +1, hence two bits.

Source: note-seq, `encoder_decoder.OneHotEventSequenceEncoderDecoder`,
`LookbackEventSequenceEncoderDecoder`, `melody_encoder_decoder.KeyMelodyEncoderDecoder`, in the
configurations of Magenta's `melody_rnn_model.default_configs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType

import numpy as np

from pipeline.codecs._melody_extraction import NO_EVENT

_DISTANCES = (16, 32)  # steps; one bar and two of 4/4 in sixteenths
_C = 0


class OneHot:
    """Each event is its own class: no event, note-off, then the pitches of a range.

    Attributes:
      low, high: lowest pitch, and the one after the highest.
      num_events: pitches of that range, and the two events that are none.
      key: pitch class that melodies are transposed to, or None for no transposition.
      num_classes: number of labels.
      input_size: bits of an input.
      counter_bits: which bits of an input mean -1 where they are 0.
      ascending_bit, descending_bit: two bits whose difference is one value; the second is the last
        of the input. None where there is no such value.
    """

    counter_bits = slice(0, 0)
    ascending_bit: int | None = None
    descending_bit: int | None = None
    _are_pitches_first = False
    _has_repeats = False

    def __init__(self, low: int, high: int, key: int | None):
        self.low, self.high, self.key = low, high, key
        self.num_events = high - low + 2
        self.num_classes = self.num_events
        self.input_size = self.num_events

    def transposed(self, events: Sequence[int] | np.ndarray) -> np.ndarray:
        """Brings a melody to the key and the range of this encoding.

        Args:
          events: -2, -1 or a pitch 0..127. Shape [events].

        Returns:
          int64; a pitch that is still outside the range is moved by octaves. Shape [events].

        Source: note-seq, `melodies_lib.Melody.squash`.
        """
        events = _int64(events)
        return events if self.key is None else _compiled().transpose(events, *self._range, self.key)

    def labels(self, events: Sequence[int] | np.ndarray) -> np.ndarray:
        """Classes of all the events of a transposed melody. int64, shape [events].

        Raises:
          ValueError: if an event is neither -2, -1 nor a pitch of the range.
        """
        events, form = _int64(events), (self._are_pitches_first, self._has_repeats)
        labels: np.ndarray = _compiled().label(events, *self._range, *form)
        if len(labels) and labels.min() < 0:
            raise ValueError(f"{events=} has other than -2, -1 and {self.low}..{self.high - 1}")
        return labels

    def inputs(self, events: Sequence[int]) -> np.ndarray:
        """What a model is given after these events: uint8, shape [input_size]; zeros before any."""
        bits = np.zeros(self.input_size, np.uint8)
        if len(events):
            bits[self.labels(events[-1:])] = 1
        return bits

    def values(self, bits: np.ndarray) -> np.ndarray:
        """The vector of note-seq for the bits of an input.

        Args:
          bits: 0 or 1. Shape [..., input_size].

        Returns:
          float32 in -1, 0, 1. Shape [..., input_size], one less with a descending bit.
        """
        values = np.asarray(bits, np.float32).copy()
        values[..., self.counter_bits] = 2 * values[..., self.counter_bits] - 1
        if self.ascending_bit is not None and self.descending_bit is not None:
            values[..., self.ascending_bit] -= values[..., self.descending_bit]
            values = values[..., : self.descending_bit]
        return values

    def label(self, events: Sequence[int], position: int) -> int:
        """The class of events[position], given those before it."""
        return int(self.labels(events[position : position + 1])[0])

    def event(self, label: int, events: Sequence[int]) -> int:
        """The event that a label means after these events."""
        return label - 2 if label < 2 else label - 2 + self.low

    @property
    def _range(self) -> tuple[int, int]:
        return self.low, self.high


class Lookback(OneHot):
    """One-hot, but an event as one bar or two before has a class of its own, the farther first.

    Input bits: the event, the events that would come next if the melody repeated itself one bar
    and two before (3 x 38), 5 counter bits of the next step, whether the event is that of one bar
    and of two before.
    """

    counter_bits = slice(114, 119)
    _has_repeats = True

    def __init__(self, low: int, high: int, key: int | None):
        super().__init__(low, high, key)
        self.num_classes = self.num_events + len(_DISTANCES)
        self.input_size = 3 * self.num_events + 5 + len(_DISTANCES)

    def targets(self, events: Sequence[int] | np.ndarray) -> np.ndarray:
        """What the labels of each step mean, as far as it depends on the melody.

        Column 0 is the class of the event itself, were it no repeat; then, for each class of
        repeats, the class of the event that it stands for at this step. A model's probability of an
        event is the sum over the labels that mean it.

        Returns:
          uint8 below num_events. Shape [events, 1 + classes of repeats].
        """
        are_first = self._are_pitches_first
        targets: np.ndarray = _compiled().target(_int64(events), *self._range, are_first)
        return targets

    def packed_inputs(self, events: Sequence[int] | np.ndarray, first: int = 0) -> np.ndarray:
        """Inputs after each event of a transposed melody, from `first` on.

        Returns:
          uint8, the first bit of an input being the highest. Shape [events - first, bytes].
        """
        packed: np.ndarray = _compiled().pack_lookback(_int64(events), *self._range, first)
        return packed

    def inputs(self, events: Sequence[int]) -> np.ndarray:
        if not len(events):
            return np.zeros(self.input_size, np.uint8)
        self.labels(events)  # refuses what is out of range
        return np.unpackbits(self.packed_inputs(events, len(events) - 1))[: self.input_size]

    def label(self, events: Sequence[int], position: int) -> int:
        first = max(0, position - _DISTANCES[-1])
        return int(self.labels(events[first : position + 1])[-1])

    def event(self, label: int, events: Sequence[int]) -> int:
        repeat = label - self.num_events
        return super().event(label, events) if repeat < 0 else _repeated(repeat, events)


class KeyMelody(Lookback):
    """Lookback classes in another order; inputs say what sounds, where it goes, and in which key.

    Input bits: sounding pitch (36), whether a note sounds, silence, attack, ascending, the event is
    that of one bar and of two before, 7 counter bits of the next step, the next step is a bar's
    first, major keys that fit the melody best (12), and its last three pitches (12), descending.
    """

    counter_bits = slice(42, 49)
    ascending_bit = 39
    descending_bit = 74
    _are_pitches_first = True

    def __init__(self, low: int, high: int, key: int | None):
        super().__init__(low, high, key)
        self.input_size = (high - low) + 4 + len(_DISTANCES) + 7 + 1 + 12 + 12 + 1

    def packed_inputs(self, events: Sequence[int] | np.ndarray, first: int = 0) -> np.ndarray:
        packed: np.ndarray = _compiled().pack_key_melody(_int64(events), *self._range, first)
        return packed

    def event(self, label: int, events: Sequence[int]) -> int:
        num_pitches = self.high - self.low
        if label < num_pitches:
            return self.low + label
        return super().event(label - num_pitches if label < self.num_events else label, events)


BASIC, MONO = OneHot(48, 84, _C), OneHot(0, 128, None)
LOOKBACK, ATTENTION = Lookback(48, 84, _C), KeyMelody(48, 84, _C)
BY_NAME = {"basic": BASIC, "mono": MONO, "lookback": LOOKBACK, "attention": ATTENTION}


@cache
def _compiled() -> ModuleType:
    """Imported when first needed, with the compiler."""
    from pipeline.codecs import _melody_arrays

    return _melody_arrays


def _repeated(index: int, events: Sequence[int]) -> int:
    distance = _DISTANCES[index]
    return NO_EVENT if len(events) < distance else int(events[-distance])


def _int64(events: Sequence[int] | np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(events, np.int64)
    return array if array.flags.writeable else array.copy()  # as compiled code is declared
