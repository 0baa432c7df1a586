"""Bytes of a MIDI file -> a table of its events with absolute ticks, as mido reads it; compiled.

mido's peculiarities are kept, since note_seq reads through it: a meta event that mido does not know
loses its delta time, and the running status of a sysex swallows the data byte that called for it.

Every read is bounded by the end of its track, which is bounded by the end of the data.
No other compiled function is called from here: the compiler's cache would not see that one change.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from pipeline.readers import _midi_columns as col

# Faults.
NOT_MIDI, TRUNCATED, NO_TRACKS, ZERO_DIVISION, SMPTE_DIVISION, NO_TRACK_HEADER = range(1, 7)
EMPTY_TRACK, EVENT_PAST_TRACK, NO_STATUS, UNDEFINED_STATUS, DATA_BYTE = range(7, 12)
LONG_MESSAGE, SHORT_META, BAD_SMPTE_OFFSET = range(12, 15)
BAD_TEMPO, BAD_TIME_SIGNATURE, BAD_KEY_SIGNATURE, TOO_LONG = range(15, 19)

MAX_TICKS = 10_000_000_000  # note_seq sets pretty_midi's MAX_TICK to 1e10
MAX_MESSAGE_BYTES = 1_000_000  # mido's MAX_MESSAGE_LENGTH

_SMPTE_OFFSET = 0x54

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)


def _parse(data, events):
    """Parses a whole file.

    Args:
      data: uint8 [num_bytes], read-only.
      events: int64 [at least num_bytes // 2, 5], to be filled; TICK becomes absolute. A TRACK opens
        each track; then come, with (A, B), NOTE_ON (pitch, velocity > 0), NOTE_OFF (pitch, 0),
        CONTROL_CHANGE (number, value), PITCH_BEND (-1, -8192..8191), PROGRAM_CHANGE (program, 0)
        and TRACK_NAME (start, end in `data`); in the first track also TEMPO (microseconds a
        quarter, 0), TIME_SIGNATURE (numerator, denominator) and KEY_SIGNATURE (pitch class, 1 if
        minor).

    Returns:
      header: int64 [4]; nothing else of it or of the events is valid unless header[FAULT] is 0.
    """
    # The shortest event that is stored, a program change in running status, has two bytes.
    if events.shape[0] < data.size // 2:
        raise ValueError("events has less rows than the file can fill")
    header = np.zeros(4, np.int64)
    position, num_tracks = _read_header(data, header)
    for track in range(num_tracks):
        header[col.FAULT_POSITION] = position
        position, end = _read_chunk(data, position)
        if position > 0:
            position = _read_track(data, position, end, track == 0, events, header)
        if position < 0:
            break
    header[col.FAULT] = max(-position, 0)
    return header


@njit(nogil=True)
def _read_header(data, header):
    """Returns the position of the first track and the number of tracks, or (-fault, 0)."""
    if data.size < 4 or not _is_name(data, 0, 0x4D, 0x54, 0x68, 0x64):  # MThd
        return -NOT_MIDI, 0
    if data.size < 14:
        return -TRUNCATED, 0
    size = _big_endian(data, 4, 4)
    if size < 6:
        return -TRUNCATED, 0
    num_tracks = _big_endian(data, 10, 2)
    if num_tracks == 0 or num_tracks > 0x7FFF:  # mido reads it as signed
        return -NO_TRACKS, 0
    header[col.DIVISION] = _big_endian(data, 12, 2)
    if header[col.DIVISION] == 0:
        return -ZERO_DIVISION, 0
    if header[col.DIVISION] > 0x7FFF:
        return -SMPTE_DIVISION, 0
    return 8 + size, num_tracks


@njit(nogil=True)
def _read_chunk(data, position):
    """Returns where a track's events begin and end, or (-fault, 0)."""
    if position + 8 > data.size:
        return -TRUNCATED, 0
    if not _is_name(data, position, 0x4D, 0x54, 0x72, 0x6B):  # MTrk
        return -NO_TRACK_HEADER, 0
    start = position + 8
    end = start + _big_endian(data, position + 4, 4)
    if end > data.size:
        return -TRUNCATED, 0
    return (start, end) if end > start else (-EMPTY_TRACK, 0)


@njit(nogil=True)
def _read_track(data, start, end, is_first, events, header):
    """Returns the track's end, or -fault."""
    _store(events, header, col.TRACK, 0, 0, 0, 0)
    tick, status, position = 0, np.int64(0), start
    while position < end:
        header[col.FAULT_POSITION] = position
        delta, position = _read_varint(data, position, end)
        if position < 0 or position >= end:
            return -EVENT_PAST_TRACK
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
                position = _skip_sysex(data, position + is_running, end)
            else:
                position = _read_message(
                    data, position, end, status, is_running, tick, events, header
                )
        if position < 0:
            return position
        if tick >= MAX_TICKS:
            return -TOO_LONG
    return position


@njit(nogil=True)
def _read_meta(data, position, end, tick, is_first, events, header):
    """Returns where it ends, or -fault, and whether mido knows its kind."""
    if position >= end:
        return -EVENT_PAST_TRACK, False
    kind = np.int64(data[position])
    length, first = _read_varint(data, position + 1, end)
    if first >= 0 and length > MAX_MESSAGE_BYTES:
        return -LONG_MESSAGE, False
    if first < 0 or first + length > end:
        return -EVENT_PAST_TRACK, False
    fault = _meta_fault(data, kind, first, length)
    if fault == 0 and is_first:
        fault = _store_meta(data, kind, first, tick, events, header)
    if fault != 0:
        return -fault, False
    if kind == col.TRACK_NAME:
        _store(events, header, col.TRACK_NAME, 0, tick, first, first + length)
    is_known = kind <= 0x07 or kind in (0x09, 0x20, 0x21, 0x2F, 0x51, 0x54, 0x58, 0x59, 0x7F)
    return first + length, is_known


@njit(nogil=True)
def _meta_fault(data, kind, first, length):
    """0, or why mido cannot decode this meta event, in whichever track it is."""
    if (kind == 0x00 and length == 1) or (kind == 0x20 and length == 0):  # number, prefix
        return SHORT_META
    if kind == col.TEMPO:
        return BAD_TEMPO if length < 3 else 0
    if kind == col.TIME_SIGNATURE:
        return BAD_TIME_SIGNATURE if length < 4 else 0
    if kind == col.KEY_SIGNATURE:
        is_bad = length < 2 or data[first + 1] > 1 or 7 < data[first] < 256 - 7
        return BAD_KEY_SIGNATURE if is_bad else 0
    if kind == _SMPTE_OFFSET:
        if length < 5:
            return SHORT_META
        # Frame rate (2 bits of 3), minutes, seconds and hundredths of a frame.
        is_bad = data[first] >= 0x80 or data[first + 1] > 59 or data[first + 2] > 59
        return BAD_SMPTE_OFFSET if is_bad or data[first + 4] > 99 else 0
    return 0


@njit(nogil=True)
def _store_meta(data, kind, first, tick, events, header):
    """Stores a tempo, time or key signature; returns 0, or why pretty_midi cannot use it."""
    if kind == col.TEMPO:
        a = _big_endian(data, first, 3)
        b = np.int64(0)
        if a == 0:
            return BAD_TEMPO
    elif kind == col.TIME_SIGNATURE:
        a = np.int64(data[first])
        b = np.int64(data[first + 1])
        if a == 0 or b > 30:  # a NoteSequence's denominator is an int32
            return BAD_TIME_SIGNATURE
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
def _skip_sysex(data, position, end):
    """Returns where it ends, or -fault."""
    length, first = _read_varint(data, position, end)
    if first >= 0 and length > MAX_MESSAGE_BYTES:
        return -LONG_MESSAGE
    if first < 0 or first + length > end:
        return -EVENT_PAST_TRACK
    last = first + length
    is_framed = length > 0 and data[first] == 0xF0
    is_ended = length > is_framed and data[last - 1] == 0xF7
    for i in range(first + is_framed, last - is_ended):
        if data[i] > 127:
            return -DATA_BYTE
    return last


@njit(nogil=True)
def _read_message(data, position, end, status, is_running, tick, events, header):
    """Reads the data bytes of a channel or system message; returns its end, or -fault."""
    if status == 0:
        return -NO_STATUS
    num_data = _num_data_bytes(status)
    if num_data < 0 or (num_data == 0 and is_running):
        return -UNDEFINED_STATUS
    if position + num_data > end:
        return -EVENT_PAST_TRACK
    first = np.int64(data[position]) if num_data > 0 else np.int64(0)
    second = np.int64(data[position + 1]) if num_data > 1 else np.int64(0)
    if first > 127 or second > 127:
        return -DATA_BYTE
    kind, channel = status & 0xF0, status & 0x0F
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


# Last, since compiling for these types, at import, needs the functions above.
parse = njit(types.int64[::1](_BYTES, types.int64[:, ::1]), cache=True, nogil=True)(_parse)
