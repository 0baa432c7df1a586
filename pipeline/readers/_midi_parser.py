"""Bytes of a MIDI file -> a table of its events with absolute ticks, as mido reads it; compiled.

mido's peculiarities are kept, since note_seq reads through it: a meta event that mido does not know
loses its delta time, and the running status of a sysex swallows the data byte that called for it.
What they refuse is repaired, and noted, if the rest is certain. Every read is bounded by its track,
and that by the data. No other file's compiled code is called: the cache would not see it change.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from pipeline.readers import _midi_columns as col

MAX_TICKS = 10_000_000_000  # note_seq sets pretty_midi's MAX_TICK to 1e10
MAX_TICKS_DIVISION = 480  # a finer one may have as many quarters, which are what lasts
MAX_MESSAGE_BYTES = 1_000_000  # mido's MAX_MESSAGE_LENGTH

_SMPTE_OFFSET = 0x54
_MAX_END_BYTES = 7  # of an end of track, its delta time included
_UNEVEN = np.array([math.log(2**n, 2) != n for n in range(256)])  # as mido finds denominators
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)


def _parse(data, events, header):
    """Parses the tracks of a file.

    Args:
      data: uint8 [num_bytes], read-only.
      events: int64 [at least num_bytes // 2, 5], to be filled; TICK becomes absolute. A TRACK opens
        each track; then come, with (A, B), NOTE_ON (pitch, velocity > 0), NOTE_OFF (pitch, 0),
        CONTROL_CHANGE (number, value), PITCH_BEND (-1, -8192..8191), PROGRAM_CHANGE (program, 0)
        and TRACK_NAME (start, end in `data`); in the first track also TEMPO (microseconds a
        quarter, 0), TIME_SIGNATURE (numerator, denominator) and KEY_SIGNATURE (pitch class, 1 if
        minor).
      header: int64 [HEADER_SLOTS], of `_midi_header.read`; NUM_EVENTS, FAULT, FAULT_POSITION and
        REPAIRS are set. If FAULT is, the events are not valid.
    """
    # The shortest event that is stored, a program change in running status, has two bytes.
    if events.shape[0] < data.size // 2:
        raise ValueError("events has less rows than the file can fill")
    position = header[col.FIRST_TRACK]
    for track in range(header[col.NUM_TRACKS]):
        header[col.FAULT_POSITION] = position
        position, end = _read_chunk(data, position)
        if position > 0:
            position = _read_track(data, position, end, track == 0, events, header)
        if position < 0:
            break
    header[col.FAULT] = max(-position, 0)


@njit(nogil=True)
def _read_chunk(data, position):
    """Returns where a track's events begin and end, perhaps a bit past the data, or (-fault, 0)."""
    if position + 8 > data.size:
        return -col.TRUNCATED, 0
    if not _is_name(data, position, 0x4D, 0x54, 0x72, 0x6B):  # MTrk
        return -col.NO_TRACK_HEADER, 0
    start = position + 8
    end = start + _big_endian(data, position + 4, 4)
    return (start, end) if end <= data.size + _MAX_END_BYTES else (-col.TRUNCATED, 0)


@njit(nogil=True)
def _read_track(data, start, declared_end, is_first, events, header):
    """Returns the track's end, or -fault."""
    _store(events, header, col.TRACK, 0, 0, 0, 0)
    if declared_end == start:
        header[col.REPAIRS] |= col.EMPTY_TRACK
    end = min(declared_end, data.size)
    tick, status, position = 0, np.int64(0), start
    while position < declared_end:
        header[col.FAULT_POSITION] = position
        if end < declared_end and _is_end_of_track(data, position, declared_end - position):
            header[col.REPAIRS] |= col.CUT_END_OF_TRACK
            return end
        delta, position = _read_varint(data, position, end)
        if position < 0 or position >= end:
            return -col.EVENT_PAST_TRACK if end == declared_end else -col.TRUNCATED
        byte = np.int64(data[position])
        if byte == 0xFF:
            position, is_known = _read_meta(
                data, position + 1, end, tick + delta, is_first, events, header
            )
            tick += delta * is_known
        else:
            tick += delta
            is_running = byte < 0x80
            if not is_running:
                status = byte
                position += 1
            if status in (0xF0, 0xF7):
                # mido loses the data byte that called for the running status.
                position = _skip_sysex(data, position + is_running, end, header)
            else:
                position = _read_message(
                    data, position, end, status, is_running, tick, events, header
                )
        if position < 0:
            is_whole = end == declared_end or position != -col.EVENT_PAST_TRACK
            return position if is_whole else -col.TRUNCATED
        if tick >= MAX_TICKS:
            if tick >= MAX_TICKS * max(header[col.DIVISION] // MAX_TICKS_DIVISION, 1):
                return -col.TOO_LONG
            header[col.REPAIRS] |= col.MANY_TICKS
    return position


@njit(nogil=True)
def _is_end_of_track(data, position, num_bytes):
    """Whether a track's last bytes, cut off somewhere, are the beginning of its end and no more.

    Each track must close with a delta time of 1 to 4 bytes and FF 2F 00, so that nothing else has
    room beside a part of it.
    """
    num_delta_bytes, num_left = num_bytes - 3, data.size - position
    # What is cut off whole may have been a message before a shorter delta time.
    if not 1 <= num_delta_bytes <= (4 if num_left else 1):
        return False
    for i in range(num_left):
        byte = data[position + i]
        if i < num_delta_bytes and (byte >= 0x80) != (i < num_delta_bytes - 1):
            return False
        if i >= num_delta_bytes and byte != (0xFF if i == num_delta_bytes else 0x2F):
            return False
    return True


@njit(nogil=True)
def _read_meta(data, position, end, tick, is_first, events, header):
    """Returns where it ends, or -fault, and whether mido knows its kind."""
    if position >= end:
        return -col.EVENT_PAST_TRACK, False
    kind = np.int64(data[position])
    length, first = _read_varint(data, position + 1, end)
    if first >= 0 and length > MAX_MESSAGE_BYTES:
        return -col.LONG_MESSAGE, False
    if first < 0 or first + length > end:
        return -col.EVENT_PAST_TRACK, False
    repair = _meta_repair(data, kind, first, length)
    if repair == 0 and is_first:
        repair = _store_meta(data, kind, first, tick, events, header)
    header[col.REPAIRS] |= repair
    if kind == col.TRACK_NAME:
        _store(events, header, col.TRACK_NAME, 0, tick, first, first + length)
    is_known = kind <= 0x07 or kind in (0x09, 0x20, 0x21, 0x2F, 0x51, 0x54, 0x58, 0x59, 0x7F)
    return first + length, is_known


@njit(nogil=True)
def _meta_repair(data, kind, first, length):
    """0, or what it is to drop this meta event, which mido cannot decode in whichever track."""
    if (kind == 0x00 and length == 1) or (kind == 0x20 and length == 0):  # number, prefix
        return col.DROPPED_META_EVENT
    if kind == col.TEMPO:
        return col.DROPPED_TEMPO if length < 3 else 0
    if kind == col.TIME_SIGNATURE:
        return col.DROPPED_TIME_SIGNATURE if length < 4 or _UNEVEN[data[first + 1]] else 0
    if kind == col.KEY_SIGNATURE:
        is_bad = length < 2 or data[first + 1] > 1 or 7 < data[first] < 249
        return col.DROPPED_KEY_SIGNATURE if is_bad else 0
    if kind == _SMPTE_OFFSET:
        # Frame rate (2 bits of 3), minutes, seconds and hundredths of a frame.
        is_bad = length < 5 or data[first] >= 0x80 or data[first + 1] > 59
        is_bad = is_bad or data[first + 2] > 59 or data[first + 4] > 99
        return col.DROPPED_META_EVENT if is_bad else 0
    return 0


@njit(nogil=True)
def _store_meta(data, kind, first, tick, events, header):
    """Stores a tempo, time or key signature; returns the repair if pretty_midi cannot use it."""
    if kind == col.TEMPO:
        a = _big_endian(data, first, 3)
        b = np.int64(0)
        if a == 0:
            return col.DROPPED_TEMPO
    elif kind == col.TIME_SIGNATURE:
        a = np.int64(data[first])
        b = np.int64(data[first + 1])
        if a == 0 or b > 30:  # a NoteSequence's denominator is an int32
            return col.DROPPED_TIME_SIGNATURE
        b = np.int64(1) << b
    elif kind == col.KEY_SIGNATURE:
        num_sharps = np.int64(np.int8(data[first]))
        b = np.int64(data[first + 1])
        a = (7 * num_sharps + 9 * b + 84) % 12
    else:
        return 0
    _store(events, header, kind, 0, tick, a, b)
    return 0


@njit(nogil=True)
def _skip_sysex(data, position, end, header):
    """Returns where it ends, or -fault."""
    length, first = _read_varint(data, position, end)
    if first >= 0 and length > MAX_MESSAGE_BYTES:
        return -col.LONG_MESSAGE
    last = first + length
    if first < 0 or last > end:
        return -col.EVENT_PAST_TRACK
    is_framed = length > 0 and data[first] == 0xF0
    is_ended = length > is_framed and data[last - 1] == 0xF7
    for i in range(first + is_framed, last - is_ended):
        if data[i] > 127:
            header[col.REPAIRS] |= col.CLIPPED_DATA_BYTE
    return last


@njit(nogil=True)
def _read_message(data, position, end, status, is_running, tick, events, header):
    """Reads the data bytes of a channel or system message; returns its end, or -fault."""
    if status == 0:
        return -col.NO_STATUS
    num_data = _num_data_bytes(status)
    if num_data < 0 or (num_data == 0 and is_running):
        return -col.UNDEFINED_STATUS
    if position + num_data > end:
        return -col.EVENT_PAST_TRACK
    first = np.int64(data[position]) if num_data > 0 else np.int64(0)
    second = np.int64(data[position + 1]) if num_data > 1 else np.int64(0)
    kind, channel = status & 0xF0, status & 0x0F
    if first > 127 or second > 127:
        if first > 127 and kind in (col.NOTE_OFF, col.NOTE_ON, col.CONTROL_CHANGE):
            header[col.REPAIRS] |= col.DROPPED_MESSAGE  # there is no such key or control
            return position + num_data
        header[col.REPAIRS] |= col.CLIPPED_DATA_BYTE
        first, second = min(first, np.int64(127)), min(second, np.int64(127))
    if kind == col.NOTE_ON and second == 0:
        kind = col.NOTE_OFF
    if kind == col.PITCH_BEND:
        first, second = np.int64(-1), first + (second << 7) - 8192
    if kind not in (0xA0, 0xD0, 0xF0):  # aftertouch and system messages
        _store(events, header, kind, channel, tick, first, second)
    return position + num_data


@njit(nogil=True)
def _num_data_bytes(status):
    """How many data bytes follow a status byte, or -1 if MIDI does not define it."""
    if status < 0xF0:
        return 1 if 0xC0 <= status < 0xE0 else 2
    if status == 0xF2:
        return 2
    if status in (0xF1, 0xF3):
        return 1
    return -1 if status in (0xF4, 0xF5, 0xF9, 0xFD) else 0


@njit(nogil=True)
def _store(events, header, kind, channel, tick, a, b):
    row = header[col.NUM_EVENTS]
    events[row, col.KIND] = kind
    events[row, col.CHANNEL] = channel
    events[row, col.TICK] = tick
    events[row, col.A] = a
    events[row, col.B] = b
    header[col.NUM_EVENTS] = row + 1


@njit(nogil=True)
def _read_varint(data, position, end):
    """Returns a variable-length quantity, saturated far above any use, and its end, or -1."""
    value = np.int64(0)
    while position < end:
        byte = np.int64(data[position])
        position += 1
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, position
        value = min(value, np.int64(1) << 40)
    return value, -1


@njit(nogil=True)
def _big_endian(data, position, num_bytes):
    value = np.int64(0)
    for i in range(position, position + num_bytes):
        value = (value << 8) | np.int64(data[i])
    return value


@njit(nogil=True)
def _is_name(data, position, a, b, c, d):
    return (
        data[position] == a
        and data[position + 1] == b
        and data[position + 2] == c
        and data[position + 3] == d
    )


# Last, since compiling, at import, needs the functions above.
_TYPES = types.void(_BYTES, types.int64[:, ::1], types.int64[::1])
parse = njit(_TYPES, cache=True, nogil=True)(_parse)
