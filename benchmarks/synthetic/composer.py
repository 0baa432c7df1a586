"""Bars of arranged tunes -> MIDI files, compiled: some ten thousand files of 1,500 notes a second.

A file takes one arrangement and plays sections of its bars in an order of its own, repeated and
transposed, in its own tempo, resolution, instruments and, if it is played and not step-entered,
with its own small deviations of time and loudness. Equal seeds give equal notes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import njit

from benchmarks.synthetic.pool import (
    BAR_TICKS,
    DENOMINATOR,
    FIRST_BAR,
    FIRST_TRACK,
    IS_DRUM,
    IS_MINOR,
    LENGTH,
    NUM_BARS,
    NUM_TRACKS,
    NUMERATOR,
    ONSET,
    PITCH,
    POOL_TICKS,
    PROGRAM,
    SHARPS,
    VELOCITY,
    Pool,
)

RESOLUTIONS = np.array([96, 120, 192, 240, 384, 384, 480, 480, 480, 960], np.int64)


def compose(pool: Pool, seed: int, num_notes: int, texts: Iterable[bytes]) -> bytes:
    """Writes a MIDI file of type 1.

    Args:
      pool: the music.
      seed: of the notes, 0 to 2**63 - 1; texts do not change them.
      num_notes: so many at least; the file ends with the bar that reaches them.
      texts: its title, a copyright notice (left out if empty), then the tracks' names.
    """
    pieces = list(texts)
    ends = np.cumsum([len(piece) for piece in pieces])
    joined = np.frombuffer(b"".join(pieces), np.uint8)
    out = np.empty(4096 + len(joined) + num_notes * 60, np.uint8)
    num_bytes = _compose(*pool, np.uint64(seed), num_notes, joined, ends, out)
    return out[:num_bytes].tobytes()


@njit(cache=True, nogil=True)
def _compose(tunes, tracks, bars, notes, seed, num_notes, text, ends, out):
    state = np.array([seed], np.uint64)
    tune = tunes[_draw(state, tunes.shape[0])]
    order, shifts = _form(state, tune, tracks, bars, num_notes)
    resolution = RESOLUTIONS[_draw(state, RESOLUTIONS.size)]
    is_running = _draw(state, 2) == 0
    is_played = _draw(state, 100) < 45
    has_controls = _draw(state, 100) < 45
    transposed = _draw(state, 12) - 6

    at = _put(out, 0, 0x4D546864, 4)
    at = _put(out, at, 6, 4)
    at = _put(out, at, 1, 2)
    at = _put(out, at, 1 + tune[NUM_TRACKS], 2)
    at = _put(out, at, resolution, 2)
    bar_ticks = tune[BAR_TICKS] * resolution // POOL_TICKS
    at = _conductor(state, tune, transposed, bar_ticks, order.size, text, ends, out, at)

    events = np.empty(_most_events(tune, tracks, bars, order), np.int64)
    channel = 0
    for i in range(tune[NUM_TRACKS]):
        row = tracks[tune[FIRST_TRACK] + i]
        is_drum = row[IS_DRUM] == 1
        program = (row[PROGRAM] + _draw(state, 5)) % 128
        count = 0
        where = 9 if is_drum else channel
        channel += not is_drum
        loudness = _draw(state, 31) - 15
        octave = 12 * (_draw(state, 3) - 1) if _draw(state, 4) == 0 else 0
        for b in range(order.size):
            start = b * bar_ticks
            first = row[FIRST_BAR] + order[b]
            shift = 0 if is_drum else transposed + shifts[b] + octave
            count = _bar(
                state, notes[bars[first] : bars[first + 1]], start, bar_ticks, resolution,
                shift, loudness, is_played, where, events, count,
            )  # fmt: skip
            if has_controls and not is_drum:
                count = _controls(state, i, start, bar_ticks, where, events, count)
        chosen = events[:count]
        chosen.sort()
        name = (ends[1 + i], ends[2 + i])
        at = _track(chosen, is_running, where, program, is_drum, text, name, out, at)
    return at


@njit(cache=True, nogil=True)
def _draw(state, bound):
    """A number from 0 to bound - 1 (splitmix64)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64((z >> np.uint64(33)) % np.uint64(bound))


@njit(cache=True, nogil=True)
def _form(state, tune, tracks, bars, num_notes):
    """The bars to play, and by how many semitones each is moved: up to five sections, repeated."""
    length = 4 if _draw(state, 2) == 0 else 8
    num_sections = 1 + _draw(state, 5)
    starts = np.empty(num_sections, np.int64)
    moved = np.zeros(num_sections, np.int64)
    for s in range(num_sections):
        starts[s] = _draw(state, tune[NUM_BARS])
        if _draw(state, 4) == 0:
            moved[s] = _draw(state, 8) - 3
    capacity = 16384
    order = np.empty(capacity, np.int64)
    shifts = np.empty(capacity, np.int64)
    count, reached = 0, 0
    while reached < num_notes and count < capacity:
        section = _draw(state, num_sections)
        for b in range(length):
            bar = (starts[section] + b) % tune[NUM_BARS]
            order[count] = bar
            shifts[count] = moved[section]
            count += 1
            for track in range(tune[FIRST_TRACK], tune[FIRST_TRACK] + tune[NUM_TRACKS]):
                first = tracks[track, FIRST_BAR] + bar
                reached += bars[first + 1] - bars[first]
            if reached >= num_notes or count == capacity:
                break
    return order[:count], shifts[:count]


@njit(cache=True, nogil=True)
def _most_events(tune, tracks, bars, order):
    """So many at most has one track."""
    most = 0
    for track in range(tune[FIRST_TRACK], tune[FIRST_TRACK] + tune[NUM_TRACKS]):
        first = tracks[track, FIRST_BAR]
        count = 0
        for bar in order:
            count += bars[first + bar + 1] - bars[first + bar]
        most = max(most, count)
    return 2 * most + 8 * order.size


@njit(cache=True, nogil=True)
def _bar(
    state, notes, start, bar_ticks, resolution, shift, loudness, is_played, channel, events, count
):
    """Adds the events of one track's bar, as numbers that sort as they are to be written."""
    for n in range(notes.shape[0]):
        onset = start + notes[n, ONSET] * resolution // POOL_TICKS
        length = max(notes[n, LENGTH] * resolution // POOL_TICKS, 1)
        velocity = notes[n, VELOCITY] + loudness
        if is_played:
            onset = max(onset + (_draw(state, 9) - 4) * resolution // POOL_TICKS, 0)
            length = max(length * (70 + _draw(state, 30)) // 100, 1)
            velocity += _draw(state, 25) - 12
        pitch = notes[n, PITCH] + shift
        while pitch > 127:
            pitch -= 12
        while pitch < 0:
            pitch += 12
        velocity = min(max(velocity, 1), 127)
        events[count] = _event(onset, 2, 0x90 | channel, pitch, velocity)
        events[count + 1] = _event(onset + length, 0, 0x80 | channel, pitch, 64)
        count += 2
    return count


@njit(cache=True, nogil=True)
def _controls(state, part, start, bar_ticks, channel, events, count):
    """A bend of the melody, a pedal under the chords, a swell of what comes after the bass."""
    if part == 0 and _draw(state, 2) == 0:
        onset = start + _draw(state, bar_ticks)
        for i in range(8):
            bend = 8192 + i * 512 if i < 7 else 8192
            status = 0xE0 | channel
            events[count] = _event(onset + i * 8, 1, status, bend & 127, bend >> 7)
            count += 1
    elif part == 1:
        events[count] = _event(start, 1, 0xB0 | channel, 64, 127)
        events[count + 1] = _event(start + bar_ticks * 15 // 16, 1, 0xB0 | channel, 64, 0)
        count += 2
    elif part > 2:
        level = 60 + _draw(state, 30)
        for i in range(8):
            tick = start + i * bar_ticks // 8
            events[count] = _event(tick, 1, 0xB0 | channel, 11, level + 4 * min(i, 8 - i))
            count += 1
    return count


@njit(cache=True, nogil=True)
def _event(tick, rank, status, first, second):
    return (tick << 32) | (rank << 24) | (status << 16) | (first << 8) | second


@njit(cache=True, nogil=True)
def _conductor(state, tune, transposed, bar_ticks, num_bars, text, ends, out, at):
    """The first track: title, copyright, metre, key, and one tempo or several."""
    begin = at
    at = _put(out, at, 0x4D54726B, 4) + 4
    at = _meta(out, at, 0x03, text, 0, ends[0])
    if ends[1] > ends[0]:
        at = _meta(out, at, 0x02, text, ends[0], ends[1])
    at = _put(out, at, 0x00FF5804, 4)
    at = _put(out, at, (tune[NUMERATOR] << 24) | (tune[DENOMINATOR] << 16) | 0x1808, 4)
    sharps = (tune[SHARPS] + 7 * transposed + 5 + 120) % 12 - 5
    at = _put(out, at, 0x00FF5902, 4)
    at = _put(out, at, ((sharps & 0xFF) << 8) | tune[IS_MINOR], 2)
    tempo = 60_000_000 // (60 + _draw(state, 120))
    at = _put(out, at, 0x00FF5103, 4)
    at = _put(out, at, tempo, 3)
    if _draw(state, 8) == 0:
        for _ in range(8, num_bars, 8):
            at = _varint(out, at, 8 * bar_ticks)
            at = _put(out, at, 0xFF5103, 3)
            at = _put(out, at, tempo + _draw(state, 40_000) - 20_000, 3)
    return _end(out, begin, at)


@njit(cache=True, nogil=True)
def _track(events, is_running, channel, program, is_drum, text, name, out, at):
    begin = at
    at = _put(out, at, 0x4D54726B, 4) + 4
    at = _meta(out, at, 0x03, text, name[0], name[1])
    if not is_drum:
        at = _put(out, at, ((0xC0 | channel) << 8) | program, 3)
    for control in (7, 10, 91, 93):
        value = 100 if control == 7 else 20 + 7 * channel
        at = _put(out, at, ((0xB0 | channel) << 16) | (control << 8) | value, 4)
    last, running = 0, 0
    for i in range(events.size):
        event = events[i]
        status, velocity = (event >> 16) & 0xFF, event & 0x7F
        if is_running and status & 0xF0 == 0x80:
            status, velocity = status | 0x10, np.int64(0)
        at = _varint(out, at, (event >> 32) - last)
        last = event >> 32
        if not is_running or status != running:
            out[at] = status
            at += 1
            running = status
        out[at] = (event >> 8) & 0x7F
        out[at + 1] = velocity
        at += 2
    return _end(out, begin, at)


@njit(cache=True, nogil=True)
def _end(out, begin, at):
    """Ends a track and writes its length."""
    at = _put(out, at, 0x00FF2F00, 4)
    _put(out, begin + 4, at - begin - 8, 4)
    return at


@njit(cache=True, nogil=True)
def _meta(out, at, kind, text, first, last):
    at = _put(out, at, 0x00FF00 | kind, 3)
    at = _varint(out, at, last - first)
    for i in range(first, last):
        out[at] = text[i]
        at += 1
    return at


@njit(cache=True, nogil=True)
def _varint(out, at, value):
    if value >= 1 << 21:
        out[at] = 0x80 | (value >> 21) & 0x7F
        at += 1
    if value >= 1 << 14:
        out[at] = 0x80 | (value >> 14) & 0x7F
        at += 1
    if value >= 1 << 7:
        out[at] = 0x80 | (value >> 7) & 0x7F
        at += 1
    out[at] = value & 0x7F
    return at + 1


@njit(cache=True, nogil=True)
def _put(out, at, value, num_bytes):
    """Writes a number, its highest byte first."""
    for i in range(num_bytes):
        out[at + i] = (value >> (8 * (num_bytes - 1 - i))) & 0xFF
    return at + num_bytes
