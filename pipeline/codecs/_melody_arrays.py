"""A whole melody's labels, targets and packed inputs; compiled, for `_melody_encodings`.

Events are int64, in the key and range of the encoding: `low` is its lowest pitch, `high` the one
after its highest. The bits of an input stand in a row of bytes, the first one highest.

No other compiled function is called from here: the compiler's cache would not see that one change.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

_NO_EVENT, _NOTE_OFF = -2, -1  # as in _melody_extraction
_NEAR, _FAR = 16, 32  # steps to the events that a label may repeat, as in _melody_encodings
_MAJOR = (0, 2, 4, 5, 7, 9, 11)  # semitones above the tonic
_IN_KEY = np.array(  # [pitch class, major key]
    [[(pitch - key) % 12 in _MAJOR for key in range(12)] for pitch in range(12)], np.int64
)

_INTEGERS = types.int64[::1]
_BYTES = types.uint8[:, ::1]


def _transpose(events, low, high, key):
    """Moves a melody to a key, then by octaves to a range, as note-seq's squash does."""
    num_in_key = np.zeros(12, np.int64)
    lowest, highest = np.int64(1) << 62, np.int64(-1)
    for event in events:
        if event >= 0:
            lowest, highest = min(lowest, event), max(highest, event)
            _count_keys(num_in_key, event)
    if highest < 0:
        return events.copy()
    shift = key - np.argmax(num_in_key)
    center = (lowest + highest) / 2
    shift += 12 * np.int64(np.rint(((low + high - 1) / 2 - (center + shift)) / 12))
    moved = np.empty_like(events)
    for i, event in enumerate(events):
        pitch = event + shift
        if pitch < low:
            pitch = low + (pitch - low) % 12
        if pitch >= high:
            pitch = high - 12 + (pitch - high) % 12
        moved[i] = pitch if event >= 0 else event
    return moved


def _label(events, low, high, are_pitches_first, has_repeats):
    """Classes of the events; -1 for one that is out of range. int64 [events]."""
    num_events = high - low + 2
    labels = np.empty_like(events)
    for i, event in enumerate(events):
        labels[i] = _class(event, low, high, are_pitches_first)
        if has_repeats and labels[i] >= 0:
            if _is_repeat(events, i, _FAR) or (i < _FAR and event == _NO_EVENT):
                labels[i] = num_events + 1  # before the first bar nothing is what it repeats
            elif _is_repeat(events, i, _NEAR):
                labels[i] = num_events
    return labels


def _target(events, low, high, are_pitches_first):
    """Classes of each event itself and of those that repeats stand for. uint8 [events, 3]."""
    targets = np.empty((events.size, 3), np.uint8)
    for i in range(events.size):
        targets[i, 0] = _class(events[i], low, high, are_pitches_first)
        targets[i, 1] = _class(_event_at(events, i - _NEAR), low, high, are_pitches_first)
        targets[i, 2] = _class(_event_at(events, i - _FAR), low, high, are_pitches_first)
    return targets


def _pack_lookback(events, low, high, first):
    """Inputs after each event from `first` on. uint8 [events - first, bytes]."""
    num_events = high - low + 2
    rows = np.zeros((events.size - first, (3 * num_events + 7 + 7) // 8), np.uint8)
    for i in range(first, events.size):
        row = rows[i - first]
        _set(row, _class(events[i], low, high, False), True)
        for number, distance in enumerate((_NEAR, _FAR)):
            upcoming = _class(_event_at(events, i + 1 - distance), low, high, False)
            _set(row, (number + 1) * num_events + upcoming, True)
            _set(row, 3 * num_events + 5 + number, _is_repeat(events, i, distance))
        _set_bits(row, 3 * num_events, 5, i + 1)
    return rows


def _pack_key_melody(events, low, high, first):
    """Inputs after each event from `first` on. uint8 [events - first, bytes]."""
    num_pitches = high - low
    at = num_pitches + 4 + 2 + 7 + 1  # of the keys
    rows = np.zeros((events.size - first, (at + 25 + 7) // 8), np.uint8)
    held = np.zeros(rows.shape[1], np.uint8)  # the bits that stay until the next note
    sounding, pitch, direction, is_attack = _NOTE_OFF, -1, 0, False
    key_counts = np.zeros(12, np.int64)
    recent = np.full(3, -1, np.int64)  # different pitches, the last one last
    _hold(held, at, direction, key_counts, recent)
    for i, event in enumerate(events):
        if event >= 0:
            if pitch >= 0 and event != pitch:
                direction = 1 if event > pitch else -1
            pitch = event
            _count_keys(key_counts, pitch)
            _append(recent, pitch)
            _hold(held, at, direction, key_counts, recent)
        if event != _NO_EVENT:
            sounding = event
        if event != _NOTE_OFF:  # which leaves the attack as it was: so does note-seq
            is_attack = event >= 0
        if i >= first:
            row = rows[i - first]
            row[:] = held
            _set(row, min(max(sounding - low, 0), num_pitches - 1), sounding >= 0)
            _set(row, num_pitches + (sounding < 0), True)
            _set(row, num_pitches + 2, is_attack)
            _set(row, num_pitches + 3, direction > 0)
            _set(row, num_pitches + 4, _is_repeat(events, i, _NEAR))
            _set(row, num_pitches + 5, _is_repeat(events, i, _FAR))
            _set_bits(row, num_pitches + 6, 7, i + 1)
            _set(row, at - 1, (i + 1) % _NEAR == 0)
    return rows


def _summarize(events):
    """Notes, different pitches, sum, lowest and highest pitch, and steps that sound. int64 [6]."""
    is_seen = np.zeros(128, np.bool_)
    num_notes, num_unique, total, lowest, highest, num_sounding = 0, 0, 0, 0, 0, 0
    is_on = False
    for event in events:
        if event != _NO_EVENT:
            is_on = event >= 0
        num_sounding += is_on
        if event >= 0:
            lowest = event if num_notes == 0 else min(lowest, event)
            highest = max(highest, event)
            num_notes += 1
            total += event
            num_unique += not is_seen[event & 127]
            is_seen[event & 127] = True
    return np.array([num_notes, num_unique, total, lowest, highest, num_sounding])


@njit(nogil=True)
def _class(event, low, high, are_pitches_first):
    """The class of an event that is no repeat; -1 if it is out of range."""
    if low <= event < high:
        return event - low + (0 if are_pitches_first else 2)
    if event in (_NO_EVENT, _NOTE_OFF):
        return event + 2 + (high - low if are_pitches_first else 0)
    return np.int64(-1)


@njit(nogil=True)
def _event_at(events, position):
    return events[position] if position >= 0 else np.int64(_NO_EVENT)


@njit(nogil=True)
def _is_repeat(events, i, distance):
    return i >= distance and events[i] == events[i - distance]


@njit(nogil=True)
def _hold(held, at, direction, key_counts, recent):
    """Sets the bits of a KeyMelody's input that stay until the next note; the keys begin `at`."""
    held[:] = 0
    recent_counts = np.zeros(12, np.int64)
    for pitch in recent:
        if pitch >= 0:
            _count_keys(recent_counts, pitch)
    _set_bits(held, at, 12, _best(key_counts))
    _set_bits(held, at + 12, 12, _best(recent_counts))
    _set(held, at + 24, direction < 0)


@njit(nogil=True)
def _append(recent, pitch):
    """Appends a pitch to the last three different ones."""
    if recent[1] == pitch:
        recent[1] = recent[2]
    elif recent[2] != pitch:
        recent[0], recent[1] = recent[1], recent[2]
    recent[2] = pitch


@njit(nogil=True)
def _count_keys(counts, pitch):
    """Adds one to each major key that has the pitch."""
    counts += _IN_KEY[pitch % 12]


@njit(nogil=True)
def _best(counts):
    """The places of the highest counts, as bits."""
    highest, bits = counts.max(), 0
    for i in range(12):
        bits |= (counts[i] == highest) << i
    return bits


@njit(nogil=True)
def _set_bits(row, first, num_bits, number):
    """Sets bits of a row to those of a number, the lowest first."""
    for i in range(num_bits):
        _set(row, first + i, number >> i & 1)


@njit(nogil=True)
def _set(row, bit, is_set):
    """Sets a bit if it is to be; bit 0 is the highest of the first byte."""
    row[bit >> 3] |= np.uint8(is_set) << (7 - (bit & 7))


# Last, since compiling for these types, at import, needs the functions above.
transpose = njit(
    _INTEGERS(_INTEGERS, types.int64, types.int64, types.int64), cache=True, nogil=True
)(_transpose)
label = njit(
    _INTEGERS(_INTEGERS, types.int64, types.int64, types.boolean, types.boolean),
    cache=True,
    nogil=True,
)(_label)
target = njit(_BYTES(_INTEGERS, types.int64, types.int64, types.boolean), cache=True, nogil=True)(
    _target
)
_PACK = _BYTES(_INTEGERS, types.int64, types.int64, types.int64)
pack_lookback = njit(_PACK, cache=True, nogil=True)(_pack_lookback)
pack_key_melody = njit(_PACK, cache=True, nogil=True)(_pack_key_melody)
summarize = njit(_INTEGERS(_INTEGERS), cache=True, nogil=True)(_summarize)
