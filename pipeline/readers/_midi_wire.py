"""Notes and controls in ticks -> the bytes of a NoteSequence in seconds, as note_seq makes it.

Times are float64 sums and products in pretty_midi's order, so that they agree to the last bit.
Fields are written in the order of their numbers and left out if zero, as protobuf does.
No other compiled function is called from here: the compiler's cache would not see that one change.
Source: note_seq/protobuf/music.proto; protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from pipeline.readers import _midi_columns as col

# What may be written: so many times the file and a bit more, and no more than the last. note_seq
# repeats controls for each program of a channel, to gigabytes; notes make 10 bytes of each byte.
MAX_GROWTH, MAX_EXTRA_BYTES, MAX_BYTES = 64, 1 << 24, 1 << 28

# No submessage but a name is longer: a note has four integers, a flag and two doubles.
_MESSAGE_BYTES = 40


def _tags(wire_type, *fields):
    # Typed, lest numba compile each writer anew for each tag as a literal.
    return tuple(np.uint8(field << 3 | wire_type) for field in fields)


# Tags of the fields of music.proto: integers, doubles, messages.
_TICKS_PER_QUARTER, _ENCODING_TYPE, _PARSER = _tags(0, 4, 2, 3)
_NUMERATOR_OR_KEY, _DENOMINATOR_OR_MODE = _tags(0, 2, 3)
_PITCH, _VELOCITY, _NOTE_INSTRUMENT, _NOTE_PROGRAM, _NOTE_IS_DRUM = _tags(0, 1, 2, 7, 8, 9)
_BEND, _BEND_INSTRUMENT, _BEND_PROGRAM, _BEND_IS_DRUM = _tags(0, 2, 3, 4, 5)
_CONTROL_NUMBER, _CONTROL_VALUE, _CONTROL_INSTRUMENT, _CONTROL_PROGRAM, _CONTROL_IS_DRUM = _tags(
    0, 2, 3, 4, 5, 6
)
(_NAMED_INSTRUMENT,) = _tags(0, 1)
_TIME, _QPM, _START_TIME, _END_TIME, _TOTAL_TIME = _tags(1, 1, 2, 3, 4, 9)
_TIME_SIGNATURES, _KEY_SIGNATURES, _TEMPOS, _NOTES = _tags(2, 5, 6, 7, 8)
_PITCH_BENDS, _CONTROL_CHANGES, _SOURCE_INFO, _NAME = _tags(2, 10, 11, 13, 2)

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_TABLE = types.int64[:, ::1]
_ROW = types.int64[::1]
_OUT = types.Array(types.uint8, 1, "C")


def _write(data, header, events, counts, notes, controls, instruments):
    """Serializes a NoteSequence.

    Args:
      data: the file, uint8 [num_bytes], for the names in it.
      header, events: from the parser.
      counts, notes, controls, instruments: from the collector.

    Returns:
      uint8 [num_bytes]; empty if there would be too many. Sets header[NUM_SECONDS].
    """
    num_rows, num_metas = _count_metas(events, header)
    control_starts, control_order = _group(
        controls, col.LIST, counts[col.NUM_CONTROLS], counts[col.NUM_LISTS]
    )
    size = _size_bound(data, num_metas, counts, instruments, control_starts)
    if size > min(MAX_GROWTH * data.size + MAX_EXTRA_BYTES, MAX_BYTES):
        return np.empty(0, np.uint8)
    tempos = _tempo_map(events, num_rows, header)
    out = np.empty(size, np.uint8)
    at = _integer(out, 0, _TICKS_PER_QUARTER, header[col.DIVISION])
    at = _write_signatures(out, at, events, num_rows, tempos)
    at = _write_tempos(out, at, tempos, header[col.DIVISION])
    at = _write_notes(out, at, counts, notes, instruments, tempos, header)
    for is_bend in (True, False):
        for number in range(counts[col.NUM_INSTRUMENTS]):
            first = instruments[number, col.CONTROLS]
            for i in range(control_starts[first], control_starts[first + 1]):
                row = control_order[i]
                if (controls[row, col.NUMBER] < 0) == is_bend:
                    at = _write_control(out, at, controls, row, number, instruments, tempos)
    out[at], out[at + 1] = _SOURCE_INFO, 4
    at = _integer(out, at + 2, _ENCODING_TYPE, 3)  # MIDI
    at = _integer(out, at, _PARSER, 2)  # PRETTY_MIDI
    at = _write_names(out, at, data, counts[col.NUM_INSTRUMENTS], instruments)
    return out[:at]


class _Tempos(NamedTuple):
    """A piecewise linear map of ticks to seconds; each array is [num_tempos]."""

    ticks: np.ndarray
    seconds: np.ndarray
    seconds_per_tick: np.ndarray


@njit(nogil=True)
def _count_metas(events, header):
    """How many rows the first track has, and how many of them are tempos or signatures."""
    row, num_metas = 1, 0
    while row < header[col.NUM_EVENTS] and events[row, col.KIND] != col.TRACK:
        num_metas += col.TEMPO <= events[row, col.KIND] <= col.KEY_SIGNATURE
        row += 1
    return row, num_metas


@njit(nogil=True)
def _group(table, column, num_rows, num_groups):
    """Orders rows by a column, stably: group g has order[starts[g] : starts[g + 1]]."""
    starts = np.zeros(num_groups + 1, np.int64)
    for row in range(num_rows):
        starts[table[row, column] + 1] += 1
    for group in range(num_groups):
        starts[group + 1] += starts[group]
    filled = starts.copy()
    order = np.empty(num_rows, np.int64)
    for row in range(num_rows):
        group = table[row, column]
        order[filled[group]] = row
        filled[group] += 1
    return starts, order


@njit(nogil=True)
def _size_bound(data, num_metas, counts, instruments, control_starts):
    num_messages = 3 + num_metas + counts[col.NUM_NOTES]
    num_name_bytes = 0
    for number in range(counts[col.NUM_INSTRUMENTS]):
        first = instruments[number, col.CONTROLS]
        num_messages += 1 + control_starts[first + 1] - control_starts[first]
        # A Latin-1 character has at most two bytes in UTF-8.
        name_bytes = instruments[number, col.NAME_END] - instruments[number, col.NAME_START]
        num_name_bytes += 2 * name_bytes
    return num_messages * _MESSAGE_BYTES + num_name_bytes


@njit(nogil=True)
def _tempo_map(events, num_rows, header):
    ticks = np.zeros(num_rows, np.int64)
    seconds = np.zeros(num_rows, np.float64)
    scales = np.empty(num_rows, np.float64)
    scales[0] = 60.0 / (120.0 * header[col.DIVISION])
    num_tempos = 1
    if header[col.SMPTE_TICKS] > 0:  # ticks are of seconds then, whatever the tempo
        scales[0] = 1001.0 / header[col.SMPTE_TICKS]
        num_rows = 1
    for row in range(num_rows):
        if events[row, col.KIND] != col.TEMPO:
            continue
        scale = 60.0 / (6e7 / events[row, col.A] * header[col.DIVISION])
        if events[row, col.TICK] == 0:
            scales[0] = scale
        elif scale != scales[num_tempos - 1]:
            last = num_tempos - 1
            ticks[num_tempos] = events[row, col.TICK]
            num_ticks = events[row, col.TICK] - ticks[last]
            seconds[num_tempos] = seconds[last] + scales[last] * num_ticks
            scales[num_tempos] = scale
            num_tempos += 1
    return _Tempos(ticks[:num_tempos], seconds[:num_tempos], scales[:num_tempos])


@njit(nogil=True)
def _seconds(tick, tempos):
    low, high = 0, tempos.ticks.size
    while high - low > 1:
        middle = (low + high) // 2
        if tempos.ticks[middle] <= tick:
            low = middle
        else:
            high = middle
    return tempos.seconds[low] + tempos.seconds_per_tick[low] * (tick - tempos.ticks[low])


@njit(nogil=True)
def _write_signatures(out, at, events, num_rows, tempos):
    tags = ((col.TIME_SIGNATURE, _TIME_SIGNATURES), (col.KEY_SIGNATURE, _KEY_SIGNATURES))
    for kind, tag in tags:
        for row in range(num_rows):
            if events[row, col.KIND] == kind:
                start = at + 2
                at = _double(out, start, _TIME, _seconds(events[row, col.TICK], tempos))
                at = _integer(out, at, _NUMERATOR_OR_KEY, events[row, col.A])
                at = _integer(out, at, _DENOMINATOR_OR_MODE, events[row, col.B])
                out[start - 2], out[start - 1] = tag, at - start
    return at


@njit(nogil=True)
def _write_tempos(out, at, tempos, division):
    for i in range(tempos.ticks.size):
        start = at + 2
        at = _double(out, start, _TIME, tempos.seconds[i])
        at = _double(out, at, _QPM, 60.0 / (tempos.seconds_per_tick[i] * division))
        out[start - 2], out[start - 1] = _TEMPOS, at - start
    return at


@njit(nogil=True)
def _write_notes(out, at, counts, notes, instruments, tempos, header):
    """Writes the notes by instrument, then total_time."""
    total_seconds = 0.0
    _, order = _group(notes, col.INSTRUMENT, counts[col.NUM_NOTES], counts[col.NUM_INSTRUMENTS])
    for i in range(counts[col.NUM_NOTES]):
        row = order[i]
        number = notes[row, col.INSTRUMENT]
        end_seconds = _seconds(notes[row, col.END], tempos)
        total_seconds = max(total_seconds, end_seconds)
        start = at + 2
        at = _integer(out, start, _PITCH, notes[row, col.PITCH])
        at = _integer(out, at, _VELOCITY, notes[row, col.VELOCITY])
        at = _double(out, at, _START_TIME, _seconds(notes[row, col.START], tempos))
        at = _double(out, at, _END_TIME, end_seconds)
        at = _integer(out, at, _NOTE_INSTRUMENT, number)
        at = _integer(out, at, _NOTE_PROGRAM, instruments[number, col.PROGRAM])
        at = _integer(out, at, _NOTE_IS_DRUM, instruments[number, col.IS_DRUM])
        out[start - 2], out[start - 1] = _NOTES, at - start
    header[col.NUM_SECONDS] = np.int64(np.ceil(total_seconds))
    return _double(out, at, _TOTAL_TIME, total_seconds)


@njit(nogil=True)
def _write_control(out, at, controls, row, number, instruments, tempos):
    is_bend = controls[row, col.NUMBER] < 0
    start = at + 2
    at = _double(out, start, _TIME, _seconds(controls[row, col.CONTROL_TICK], tempos))
    if is_bend:
        at = _integer(out, at, _BEND, controls[row, col.VALUE])
        at = _integer(out, at, _BEND_INSTRUMENT, number)
        at = _integer(out, at, _BEND_PROGRAM, instruments[number, col.PROGRAM])
        at = _integer(out, at, _BEND_IS_DRUM, instruments[number, col.IS_DRUM])
    else:
        at = _integer(out, at, _CONTROL_NUMBER, controls[row, col.NUMBER])
        at = _integer(out, at, _CONTROL_VALUE, controls[row, col.VALUE])
        at = _integer(out, at, _CONTROL_INSTRUMENT, number)
        at = _integer(out, at, _CONTROL_PROGRAM, instruments[number, col.PROGRAM])
        at = _integer(out, at, _CONTROL_IS_DRUM, instruments[number, col.IS_DRUM])
    out[start - 2], out[start - 1] = _PITCH_BENDS if is_bend else _CONTROL_CHANGES, at - start
    return at


@njit(nogil=True)
def _write_names(out, at, data, num_instruments, instruments):
    for number in range(num_instruments):
        first, last = instruments[number, col.NAME_START], instruments[number, col.NAME_END]
        if first == last:
            continue
        num_bytes = last - first
        for i in range(first, last):
            num_bytes += data[i] >> 7
        out[at], out[at + 1] = 0xBA, 0x01  # instrument_infos, field 23
        num_number_bytes = _integer(out, at + 2, _NAMED_INSTRUMENT, number) - (at + 2)
        num_length_bytes = _varint(out, at + 2, num_bytes) - (at + 2)
        at = _varint(out, at + 2, num_number_bytes + 1 + num_length_bytes + num_bytes)
        at = _integer(out, at, _NAMED_INSTRUMENT, number)
        out[at] = _NAME
        at = _varint(out, at + 1, num_bytes)
        for i in range(first, last):
            if data[i] < 0x80:
                out[at] = data[i]
            else:
                out[at], out[at + 1] = 0xC0 | data[i] >> 6, 0x80 | data[i] & 0x3F
            at += 1 + (data[i] >> 7)
    return at


@njit(nogil=True)
def _integer(out, at, tag, value):
    if value == 0:
        return at
    out[at] = tag
    return _varint(out, at + 1, value)


@njit(nogil=True)
def _varint(out, at, value):
    bits = np.uint64(value)  # negative ones take ten bytes
    while bits > 0x7F:
        out[at] = bits & 0x7F | 0x80
        bits >>= 7
        at += 1
    out[at] = bits
    return at + 1


@njit(nogil=True)
def _double(out, at, tag, value):
    if value == 0.0:
        return at
    out[at] = tag
    bits = np.float64(value).view(np.uint64)
    for i in range(8):
        # An unsigned index spares the test for a negative one: eight stores become one.
        out[np.uint64(at + 1 + i)] = bits >> np.uint64(8 * i) & np.uint64(0xFF)
    return at + 9


# Last, since compiling, at import, needs the functions above.
_TYPES = _OUT(_BYTES, _ROW, _TABLE, _ROW, _TABLE, _TABLE, _TABLE)
write = njit(_TYPES, cache=True, nogil=True)(_write)
