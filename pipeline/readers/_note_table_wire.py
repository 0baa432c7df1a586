"""Bytes of a NoteSequence -> arrays of its notes, as protobuf's own parser reads them; compiled.

Fields may come in any order, the last one of a scalar wins, those left out are zero, unknown ones
of any wire type are skipped, and every text must be UTF-8. What is not stored is checked too.

Every read is bounded by the end of its message, which is bounded by the end of the data.
No other compiled function is called from here: the compiler's cache would not see that one change.
Source: note_seq/protobuf/music.proto; protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from pipeline.readers import _note_sequence_fields as f

_DATA = types.Array(types.uint8, 1, "C", readonly=True)
_FLOATS = types.float64[:, ::1]
_INTEGERS = types.int64[:, ::1]


def _count(data):
    """The numbers of notes, tempos and time signatures up to the first damage, if any."""
    frames = np.empty((f.MAX_DEPTH + 1, 2), np.int64)
    num_notes, num_tempos, num_signatures, position = 0, 0, 0, 0
    while 0 <= position < data.size:
        end = _end_of_usual_field(data, position)
        if end > 0:
            tag, position = np.int64(data[position]), end
        else:
            tag, _, position = _field(data, position, data.size, 0, frames)
        num_notes += tag == f.NOTE
        num_tempos += tag == f.TEMPO
        num_signatures += tag == f.TIME_SIGNATURE
    return num_notes, num_tempos, num_signatures


def _fill(data, times, integers, tempos, signatures, about):
    """Fills the arrays, which hold zeros, and returns total_time; about[f.FAULT] if it cannot.

    Args:
      data: uint8 [num_bytes], read-only.
      times: float64 [2, num_notes].
      integers: int64 [5, num_notes].
      tempos, signatures: float64 [num_tempos, 2], [num_signatures, 3]; all counts from `count`.
      about: int64 [5].
    """
    frames = np.empty((f.MAX_DEPTH + 1, 2), np.int64)
    source_info = np.zeros(3)
    note, tempo, signature, position, total_seconds = 0, 0, 0, 0, 0.0
    about[f.FAULT] = 1
    while position < data.size:
        end = _end_of_usual_field(data, position)
        if end > 0:
            first = position + 2
            if data[position] == f.NOTE:
                if _read_usual_note(data, first, end, note, times, integers):
                    note, position = note + 1, end
                    continue
            elif _are_usual_numbers(data, position, end):
                position = end
                continue
        first = position
        tag, bits, position = _field(data, first, data.size, 0, frames)
        if position < 0:
            return 0.0
        start = position - np.int64(bits)  # of what has a length
        is_whole = True
        if tag == f.NOTE:
            is_whole = _read_note(data, start, position, note, times, integers, frames)
            note += 1
        elif tag == f.TEMPO:
            is_whole = _read_numbers(data, start, position, tempos[tempo], 3, frames)
            tempo += 1
        elif tag == f.TIME_SIGNATURE:
            is_whole = _read_numbers(data, start, position, signatures[signature], 2, frames)
            signature += 1
        elif tag == f.SOURCE_INFO:
            is_whole = _read_numbers(data, start, position, source_info, 1, frames)
        elif tag == f.TOTAL_TIME:
            total_seconds = np.uint64(bits).view(np.float64)
        elif tag & 7 == f.BYTES:
            is_whole = _is_meaningful(data, start, position, tag >> 3, frames)
            if tag <= f.COLLECTION_NAME:  # of three names, the last
                about[f.NAMES_END] = position if first == about[f.NAMES_END] else -1
            if tag == f.COLLECTION_NAME:
                about[f.COLLECTION_START], about[f.COLLECTION_END] = start, position
        if not is_whole:
            return 0.0
    about[f.FAULT], about[f.ENCODING_TYPE] = 0, source_info[1]
    return total_seconds


@njit(nogil=True)
def _read_note(data, position, end, row, times, integers, frames):
    """Whether the bytes are a note; it is stored."""
    times[:, row] = 0.0  # what was tried before may have left some
    integers[:, row] = 0
    while position < end:
        tag, bits, position = _field(data, position, end, 1, frames)
        if position < 0:
            return False
        if tag == f.PITCH:
            integers[0, row] = np.int32(bits)
        elif tag == f.VELOCITY:
            integers[1, row] = np.int32(bits)
        elif tag == f.START_TIME:
            times[0, row] = np.uint64(bits).view(np.float64)
        elif tag == f.END_TIME:
            times[1, row] = np.uint64(bits).view(np.float64)
        elif tag == f.INSTRUMENT:
            integers[2, row] = np.int32(bits)
        elif tag == f.PROGRAM:
            integers[3, row] = np.int32(bits)
        elif tag == f.IS_DRUM:
            integers[4, row] = bits != 0
    return True


@njit(nogil=True)
def _end_of_usual_field(data, position):
    """Where a field ends that has a tag of one byte, then less than 128 bytes; 0 if another."""
    if position + 2 <= data.size and data[position] & 0x87 == f.BYTES and data[position] >= 8:
        end = position + 2 + np.int64(data[position + 1])
        return end if data[position + 1] < 0x80 and end <= data.size else 0
    return 0


@njit(nogil=True)
def _are_usual_numbers(data, position, end):
    """Whether a field has nothing but doubles and integers below 128, and is not to be stored."""
    if f.MEANINGS[f.SEQUENCE, data[position] >> 3] != f.NUMBERS:
        return False
    position += 2
    while position + 2 <= end and 8 <= data[position] < 0x80:
        if data[position] & 7 == f.EIGHT_BYTES:
            position += 9
        elif data[position] & 7 == f.VARINT and data[position + 1] < 0x80:
            position += 2
        else:
            return False
    return position == end


@njit(nogil=True)
def _read_usual_note(data, position, end, row, times, integers):
    """Whether the bytes are a note with its fields in order, and integers below 128.

    Nearly all are, and this takes a fifth of the time of the general way.
    """
    integers[0, row], position = _usual_integer(data, position, end, f.PITCH)
    integers[1, row], position = _usual_integer(data, position, end, f.VELOCITY)
    times[0, row], position = _usual_double(data, position, end, f.START_TIME)
    times[1, row], position = _usual_double(data, position, end, f.END_TIME)
    integers[2, row], position = _usual_integer(data, position, end, f.INSTRUMENT)
    integers[3, row], position = _usual_integer(data, position, end, f.PROGRAM)
    integers[4, row], position = _usual_integer(data, position, end, f.IS_DRUM)
    return position == end


@njit(nogil=True)
def _usual_integer(data, position, end, tag):
    """The value of a field if it is the next one, and where the one after it begins."""
    if position + 2 <= end and data[position] == tag and data[position + 1] < 0x80:
        return np.int64(data[position + 1]), position + 2
    return np.int64(0), position


@njit(nogil=True)
def _usual_double(data, position, end, tag):
    bits = np.uint64(0)
    if position + 9 <= end and data[position] == tag:
        for i in range(1, 9):
            # An unsigned index spares the test for a negative one: eight loads become one.
            bits |= np.uint64(data[np.uint64(position + i)]) << np.uint64(8 * i - 8)
        position += 9
    return np.uint64(bits).view(np.float64), position


@njit(nogil=True)
def _read_numbers(data, position, end, numbers, first_integer, frames):
    """Whether the bytes are a message; field i goes to numbers[i - 1], from one on as an int32."""
    while position < end:
        tag, bits, position = _field(data, position, end, 1, frames)
        if position < 0:
            return False
        number, wire_type = tag >> 3, tag & 7
        if number <= numbers.size:
            if number >= first_integer and wire_type == f.VARINT:
                numbers[number - 1] = np.int32(bits)
            elif number < first_integer and wire_type == f.EIGHT_BYTES:
                numbers[number - 1] = np.uint64(bits).view(np.float64)
    return True


@njit(nogil=True)
def _is_meaningful(data, start, end, number, frames):
    """Whether the bytes of a sequence's field are what that field holds."""
    meaning = np.int64(f.MEANINGS[f.SEQUENCE, number]) if number < 32 else f.UNKNOWN
    if meaning == f.TEXT:
        return _is_utf8(data, start, end)
    return meaning == f.UNKNOWN or _walk(data, start, end, meaning, 1, frames) == end


@njit(nogil=True)
def _walk(data, position, end, meaning, first, frames):
    """Returns where a message, or a group (meaning: -number), ends whose depth is `first`, or -1.

    frames: int64 [f.MAX_DEPTH + 1, 2], the end and the meaning of what is open, by depth.
    """
    depth = first
    if depth > f.MAX_DEPTH:
        return -1
    frames[depth, 0], frames[depth, 1] = end, meaning
    while depth >= first:
        end, meaning = frames[depth, 0], frames[depth, 1]
        if position == end and meaning > 0:
            depth -= 1
            continue
        tag, position = _tag(data, position, end)
        if position < 0:
            return -1
        number, wire_type = tag >> 3, tag & 7
        if wire_type == f.GROUP_END:
            if number != -meaning:
                return -1
            depth -= 1
            continue
        start, inner = position, -number
        if wire_type != f.GROUP_BEGIN:
            bits, position = _value(data, position, end, wire_type)
            if position < 0:
                return -1
            inner = f.UNKNOWN
            if wire_type == f.BYTES and meaning > 0 and number < 32:
                inner = np.int64(f.MEANINGS[meaning, number])
                start, end = position - np.int64(bits), position
        if inner == f.TEXT and not _is_utf8(data, start, end):
            return -1
        if inner != f.UNKNOWN and inner != f.TEXT:
            depth, position = depth + 1, start
            if depth > f.MAX_DEPTH:
                return -1
            frames[depth, 0], frames[depth, 1] = end, inner
    return position


@njit(nogil=True)
def _field(data, position, end, depth, frames):
    """A field's tag, its value or the length of its bytes (uint64), and its end, or -1."""
    tag, position = _tag(data, position, end)
    bits = np.uint64(0)
    if position < 0:
        return tag, bits, -1
    if tag & 7 == f.GROUP_BEGIN:
        return tag, bits, _walk(data, position, end, -(tag >> 3), depth + 1, frames)
    bits, position = _value(data, position, end, tag & 7)
    return tag, bits, position


@njit(nogil=True)
def _tag(data, position, end):
    """A tag, and its end, or -1."""
    bits, after = _varint(data, position, min(end, position + 5))
    if bits < 8 or bits > 0xFFFFFFFF:
        return np.int64(0), -1
    return np.int64(bits), after


@njit(nogil=True)
def _value(data, position, end, wire_type):
    """The bits of a number, or the length of bytes, and the end of the value, or -1."""
    bits = np.uint64(0)
    if wire_type == f.VARINT:
        return _varint(data, position, min(end, position + 10))
    if wire_type == f.EIGHT_BYTES and position + 8 <= end:
        for i in range(8):
            bits |= np.uint64(data[position + i]) << np.uint64(8 * i)
        return bits, position + 8
    if wire_type == f.FOUR_BYTES and position + 4 <= end:
        return bits, position + 4
    if wire_type == f.BYTES:
        bits, position = _varint(data, position, min(end, position + 5))
        if position >= 0 and bits <= np.uint64(end - position):
            return bits, position + np.int64(bits)
    return bits, -1


@njit(nogil=True)
def _varint(data, position, end):
    """An unsigned 64-bit integer, and its end, or -1 if it does not end before `end`."""
    bits, shift = np.uint64(0), np.uint64(0)
    while position < end:
        byte = np.uint64(data[position])
        bits |= (byte & np.uint64(0x7F)) << shift
        position += 1
        if byte < 0x80:
            return bits, position
        shift += np.uint64(7)
    return bits, -1


@njit(nogil=True)
def _is_utf8(data, position, end):
    while position < end:
        first = data[position]
        position += 1
        if first < 0x80:
            continue
        num_more = 1 + (first >= 0xE0) + (first >= 0xF0)
        if not 0xC2 <= first <= 0xF4 or position + num_more > end:
            return False
        # Neither longer than needed, nor a surrogate, nor above U+10FFFF.
        low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if not low <= data[position] <= high:
            return False
        for i in range(position + 1, position + num_more):
            if data[i] & 0xC0 != 0x80:
                return False
        position += num_more
    return True


# Last, since compiling for these types, at import, needs the functions above.
count = njit(types.UniTuple(types.int64, 3)(_DATA), cache=True, nogil=True)(_count)
fill = njit(
    types.float64(_DATA, _FLOATS, _INTEGERS, _FLOATS, _FLOATS, types.int64[::1]),
    cache=True,
    nogil=True,
)(_fill)
