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

import numpy as np

from pipeline.codecs._melody_extraction import NO_EVENT, NOTE_OFF

_DISTANCES = (16, 32)  # steps; one bar and two of 4/4 in sixteenths
_IN_KEY = np.array([[(pitch - key) % 12 in (0, 2, 4, 5, 7, 9, 11) for key in range(12)]
                    for pitch in range(12)], np.int64)  # [pitch class, major key]  # fmt: skip
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
        events = np.asarray(events, np.int64)
        pitches = events[events >= 0]
        if self.key is None or not pitches.size:
            return events
        shift = self.key - int(np.bincount(pitches % 12, minlength=12).dot(_IN_KEY).argmax())
        center = (pitches.min() + pitches.max()) / 2
        shift += 12 * round(((self.low + self.high - 1) / 2 - (center + shift)) / 12)
        moved = events + shift
        moved = np.where(moved < self.low, self.low + (moved - self.low) % 12, moved)
        moved = np.where(moved >= self.high, self.high - 12 + (moved - self.high) % 12, moved)
        return np.where(events >= 0, moved, events)

    def labels(self, events: np.ndarray) -> np.ndarray:
        """Classes of all the events of a transposed melody. int64, shape [events].

        Raises:
          ValueError: if an event is neither -2, -1 nor a pitch of the range.
        """
        return self._own_classes(events)

    def targets(self, events: np.ndarray) -> np.ndarray:
        """What the labels of each step mean, as far as it depends on the melody.

        Column 0 is the class of the event itself, were it no repeat; then, for each class of
        repeats, the class of the event that it stands for at this step. A model's probability of an
        event is the sum over the labels that mean it.

        Returns:
          int64 below num_events. Shape [events, 1 + classes of repeats].
        """
        return self._own_classes(events)[:, None]

    def input_bits(self, events: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Inputs after the events at `positions` of a transposed melody.

        Returns:
          uint8, 0 or 1. Shape [positions, input_size].
        """
        return _one_hot(self._classes(events[positions]), self.num_classes)

    def inputs(self, events: Sequence[int]) -> np.ndarray:
        """What a model is given after these events: uint8, shape [input_size]; zeros before any."""
        if not len(events):
            return np.zeros(self.input_size, np.uint8)
        return self.input_bits(np.asarray(events, np.int64), np.array([len(events) - 1]))[0]

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
        return int(self._classes(np.asarray(events[position], np.int64)))

    def event(self, label: int, events: Sequence[int]) -> int:
        """The event that a label means after these events."""
        return label - 2 if label < 2 else label - 2 + self.low

    def _own_classes(self, events: np.ndarray) -> np.ndarray:
        """Labels of events that are no repeats."""
        return self._classes(events)

    def _classes(self, events: np.ndarray) -> np.ndarray:
        is_pitch = (events >= self.low) & (events < self.high)
        if not np.all(is_pitch | (events == NOTE_OFF) | (events == NO_EVENT)):
            raise ValueError(f"{events=} has other than -2, -1 and {self.low}..{self.high - 1}")
        return np.where(is_pitch, events - self.low + 2, events + 2)


class Lookback(OneHot):
    """One-hot, but an event as one bar or two before has a class of its own, the farther first.

    Input bits: the event, the events that would come next if the melody repeated itself one bar
    and two before (3 x 38), 5 counter bits of the next step, whether the event is that of one bar
    and of two before.
    """

    counter_bits = slice(114, 119)

    def __init__(self, low: int, high: int, key: int | None):
        super().__init__(low, high, key)
        self.num_classes = self.num_events + len(_DISTANCES)
        self.input_size = 3 * self.num_events + 5 + len(_DISTANCES)

    def labels(self, events: np.ndarray) -> np.ndarray:
        return _with_repeats(self._own_classes(events), events, self.num_events)

    def targets(self, events: np.ndarray) -> np.ndarray:
        steps = np.arange(len(events))
        meant = (events, *(_event_at(events, steps - distance) for distance in _DISTANCES))
        return np.stack([self._own_classes(e) for e in meant], axis=1)

    def input_bits(self, events: np.ndarray, positions: np.ndarray) -> np.ndarray:
        upcoming = [_event_at(events, positions + 1 - distance) for distance in _DISTANCES]
        bits = [
            *(_one_hot(self._classes(e), self.num_events) for e in (events[positions], *upcoming)),
            _counter(positions + 1, 5),
            *_repeats(events, positions),
        ]
        return np.concatenate(bits, axis=1)

    def label(self, events: Sequence[int], position: int) -> int:
        first = max(0, position - _DISTANCES[-1])
        recent = np.asarray(events[first : position + 1], np.int64)
        return int(self.labels(recent)[-1])

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

    def __init__(self, low: int, high: int, key: int | None):
        super().__init__(low, high, key)
        self.input_size = (high - low) + 4 + len(_DISTANCES) + 7 + 1 + 12 + 12 + 1

    def event(self, label: int, events: Sequence[int]) -> int:
        num_pitches = self.high - self.low
        if label < num_pitches:
            return self.low + label
        return super().event(label - num_pitches if label < self.num_events else label, events)

    def _own_classes(self, events: np.ndarray) -> np.ndarray:
        classes = self._classes(events)
        return np.where(classes < 2, classes + self.high - self.low, classes - 2)

    def input_bits(self, events: np.ndarray, positions: np.ndarray) -> np.ndarray:
        steps = np.arange(len(events))
        last = np.maximum.accumulate(np.where(events != NO_EVENT, steps, -1))[positions]
        sounding = np.where(last >= 0, events[last], NOTE_OFF)
        # A note-off leaves the attack as it was: so does note-seq.
        last = np.maximum.accumulate(np.where(events != NOTE_OFF, steps, -1))[positions]
        is_attack = (last >= 0) & (events[last] >= 0)
        num_notes = np.cumsum(events >= 0)[positions]
        direction, keys, recent_keys = _histories(events[events >= 0], num_notes)
        bits = [
            _one_hot(self._classes(sounding) - 2, self.high - self.low),
            *_columns(sounding >= 0, sounding < 0, is_attack, direction > 0),
            *_repeats(events, positions),
            _counter(positions + 1, 7),
            *_columns((positions + 1) % 16 == 0),
            keys,
            recent_keys,
            *_columns(direction < 0),
        ]
        return np.concatenate(bits, axis=1)


BY_NAME: dict[str, OneHot] = {
    "basic": OneHot(48, 84, _C),
    "mono": OneHot(0, 128, None),
    "lookback": Lookback(48, 84, _C),
    "attention": KeyMelody(48, 84, _C),
}


def _with_repeats(classes: np.ndarray, events: np.ndarray, first_repeat: int) -> np.ndarray:
    """Puts the classes of repeats, the farther the stronger, over those of the events."""
    labels = classes.copy()
    for i, distance in enumerate(_DISTANCES):
        labels[distance:][events[distance:] == events[:-distance]] = first_repeat + i
    start = labels[: _DISTANCES[-1]]
    start[events[: len(start)] == NO_EVENT] = first_repeat + len(_DISTANCES) - 1
    return labels


def _repeated(index: int, events: Sequence[int]) -> int:
    distance = _DISTANCES[index]
    return NO_EVENT if len(events) < distance else int(events[-distance])


def _one_hot(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """uint8; a row of zeros for a negative class. Shape [classes, num_classes]."""
    return (classes[:, None] == np.arange(num_classes)).view(np.uint8)


def _counter(steps: np.ndarray, num_bits: int) -> np.ndarray:
    return (steps[:, None] >> np.arange(num_bits) & 1).astype(np.uint8)


def _columns(*flags: np.ndarray) -> list[np.ndarray]:
    return [flag.astype(np.uint8)[:, None] for flag in flags]


def _event_at(events: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return np.where(positions >= 0, events[np.maximum(positions, 0)], NO_EVENT)


def _repeats(events: np.ndarray, positions: np.ndarray) -> list[np.ndarray]:
    """Whether the event at each position is that of one bar, and of two, before."""
    return _columns(
        *((positions >= d) & (events[positions] == _event_at(events, positions - d))
          for d in _DISTANCES)
    )  # fmt: skip


def _histories(
    pitches: np.ndarray, num_notes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the first so many notes of a melody tell.

    Args:
      pitches: of all its notes. Shape [notes].
      num_notes: 0..notes, not descending. Shape [positions].

    Returns:
      direction of the last move to another pitch: 1 up, -1 down, 0 none yet. Shape [positions].
      best major keys of all these notes: uint8. Shape [positions, 12].
      best major keys of their last three different pitches: uint8. Shape [positions, 12].
    """
    moves = np.sign(np.diff(pitches, prepend=pitches[:1]))
    last_move = np.maximum.accumulate(np.where(moves != 0, np.arange(len(moves)), 0))
    direction = np.concatenate(([0], moves[last_move]))
    key_counts = np.zeros((len(pitches) + 1, 12), np.int64)
    np.cumsum(_IN_KEY[pitches % 12], axis=0, out=key_counts[1:])
    first, last = int(num_notes[0]), int(num_notes[-1])
    recent = np.array(_recent_pitches(pitches[:last].tolist(), first))
    recent_counts = (_IN_KEY[recent % 12] * (recent >= 0)[..., None]).sum(axis=1)
    recent_keys = _best(recent_counts)[num_notes - first]
    return direction[num_notes], _best(key_counts[num_notes]), recent_keys


def _recent_pitches(pitches: list[int], first: int) -> list[list[int]]:
    """The last three different pitches after `first` notes, and after each more; -1 for none."""
    recent = list(dict.fromkeys(reversed(pitches[:first])))[2::-1]
    recent = [-1] * (3 - len(recent)) + recent
    windows = [recent]
    for pitch in pitches[first:]:
        recent = [*[p for p in recent if p != pitch][-2:], pitch]
        windows.append(recent)
    return windows


def _best(counts: np.ndarray) -> np.ndarray:
    return (counts == counts.max(axis=1, keepdims=True)).view(np.uint8)
