"""Notes in seconds -> phrases of melody in steps; compiled, for `_melody_extraction`.

No other compiled function is called from here: the compiler's cache would not see that one change.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

_NO_EVENT, _NOTE_OFF = -2, -1  # as in _melody_extraction

# Slots of the problems that are counted; _melody_extraction has them in this order.
_TOO_FEW_PITCHES, _TOO_SHORT, _POLYPHONIC = range(3)
_NON_INTEGER_BAR, _BAD_TIME_SIGNATURE, _BAD_TEMPO = range(3, 6)

# Columns of a stretch of one tempo and one time signature: where it starts and ends, in seconds,
# its steps to a bar, 0 if there is a problem with it, and to a second.
_START, _END, _STEPS_PER_BAR, _STEPS_PER_SECOND = range(4)

_MAX_STEP = 2.0**53  # beyond, a float cannot tell one step from the next

_INTEGERS = types.int64[::1]
_INTEGER_TABLE = types.int64[:, ::1]
_FLOAT_TABLE = types.float64[:, ::1]


def _split(changes, tempos, signatures, total_seconds, steps_per_quarter, problems):
    """Splits 0..total_seconds at each change; before the first, 4/4 at 120 qpm holds.

    Args:
      changes: int64 [num_changes]: rows of `signatures`, then, counting on, of `tempos`, by time.
      tempos, signatures: of a NoteTable.
      problems: int64 [6], to be counted up.

    Returns:
      float64 [num_stretches, 4].
    """
    rows = np.empty((1 + changes.size, 4))  # start, numerator, denominator, qpm
    rows[0, 0], rows[0, 1], rows[0, 2], rows[0, 3] = 0.0, 4.0, 4.0, 120.0
    last = 0
    for change in changes:
        numerator, denominator, qpm = rows[last, 1], rows[last, 2], rows[last, 3]
        if change < len(signatures):
            time = signatures[change, 0]
            numerator, denominator = signatures[change, 1], signatures[change, 2]
        else:
            time, qpm = tempos[change - len(signatures), 0], tempos[change - len(signatures), 1]
        if time >= total_seconds:
            break
        is_same = numerator == rows[last, 1] and denominator == rows[last, 2]
        if is_same and qpm == rows[last, 3]:
            continue
        if time > rows[last, 0]:
            last += 1
            rows[last, 0] = time
        rows[last, 1], rows[last, 2], rows[last, 3] = numerator, denominator, qpm
    stretches = np.empty((last + 1, 4))
    for i in range(last + 1):
        numerator, denominator, qpm = rows[i, 1], rows[i, 2], rows[i, 3]
        stretches[i, _START] = rows[i, 0]
        stretches[i, _END] = rows[i + 1, 0] if i < last else total_seconds
        stretches[i, _STEPS_PER_SECOND] = steps_per_quarter * qpm / 60.0
        stretches[i, _STEPS_PER_BAR] = _steps_per_bar(
            numerator, denominator, qpm, steps_per_quarter, problems
        )
    return stretches


def _quantize(seconds, groups, stretches):
    """Brings notes to the steps of their stretch; one is a step long at least.

    Args:
      seconds: float64 [2, num_notes], starts and ends, by group and start.
      groups: int64 [num_notes], stretch << 32 | number of the track, ascending.
      stretches: from `split`; a note starts within its own, and is cut where that ends.

    Returns:
      steps: int64 [2, num_notes], valid where there is no problem with the stretch.
      bad: the first note, by time, that ends before it starts, or -1.
    """
    steps = np.empty((2, groups.size), np.int64)
    bad = -1
    for i in range(groups.size):
        stretch = stretches[groups[i] >> 32]
        if bad >= 0 and groups[bad] >> 32 != groups[i] >> 32:
            break
        if stretch[_STEPS_PER_BAR] == 0:
            continue
        end_seconds = seconds[1, i] if seconds[1, i] < stretch[_END] else stretch[_END]
        start = _step(seconds[0, i] - stretch[_START], stretch[_STEPS_PER_SECOND])
        end = _step(end_seconds - stretch[_START], stretch[_STEPS_PER_SECOND])
        steps[0, i], steps[1, i] = start, max(end, start + 1)
        if end < start and (bad < 0 or seconds[0, i] < seconds[0, bad]):
            bad = i
    return steps, bad


def _find(steps, pitches, groups, stretches, limits, gap_bars, use_top_line, problems):
    """Finds the melodies of each group of notes.

    Args:
      steps, groups, stretches: as above.
      pitches: int64 [num_notes].
      limits: int64 [3]: min_bars, max_steps, min_unique_pitches.
      gap_bars: bars of silence that end a melody.
      use_top_line: whether the highest of the notes on one step is taken; else they end a track.
      problems: int64 [6], to be counted up.

    Returns:
      phrases: int64 [num_phrases, 3]: first and last + 1 of its events, and its steps to a bar.
      events: int64 [num_events], those of all phrases.
    """
    heard = np.empty((groups.size, 3), np.int64)  # start, end, pitch of what phrases are made of
    phrases = np.empty((groups.size, 4), np.int64)  # first and last + 1 of `heard`, bar, length
    num_heard, num_phrases, first = 0, 0, 0
    while first < groups.size:
        last = first
        while last < groups.size and groups[last] == groups[first]:
            last += 1
        bar = np.int64(stretches[groups[first] >> 32, _STEPS_PER_BAR])
        begin, next_bar, is_chord = num_heard, 0, False
        i = first
        while bar > 0 and i < last and not is_chord:
            top, following = _top_note(steps, pitches, i, last)
            start = steps[0, top]
            if num_heard > begin and start - heard[num_heard - 1, 1] >= gap_bars * bar:
                next_bar = -(-heard[num_heard - 1, 1] // bar) * bar
                num_phrases = _close(heard, begin, num_heard, bar, limits, phrases, num_phrases,
                                     problems)  # fmt: skip
                begin = num_heard
            if start >= next_bar:
                heard[num_heard, 0], heard[num_heard, 1] = start, steps[1, top]
                heard[num_heard, 2] = pitches[top]
                num_heard += 1
                is_chord = following > i + 1 and not use_top_line
            i = following
        if is_chord:
            problems[_POLYPHONIC] += 1
            num_heard = begin
        elif num_heard > begin:
            num_phrases = _close(heard, begin, num_heard, bar, limits, phrases, num_phrases,
                                 problems)  # fmt: skip
        first = last
    return _rendered(heard, phrases[:num_phrases])


@njit(nogil=True)
def _steps_per_bar(numerator, denominator, qpm, steps_per_quarter, problems):
    """Steps to a bar, or 0 and a problem."""
    bits = np.int64(denominator)
    if numerator < 1 or bits < 1 or bits & (bits - 1):
        problems[_BAD_TIME_SIGNATURE] += 1
    elif not 0 < qpm < np.inf:
        problems[_BAD_TEMPO] += 1
    else:
        steps = steps_per_quarter * (4.0 / denominator * numerator)
        if steps == np.floor(steps):
            return steps
        problems[_NON_INTEGER_BAR] += 1
    return 0.0


@njit(nogil=True)
def _step(seconds, steps_per_second):
    step = seconds * steps_per_second + 0.5
    if not step < _MAX_STEP:
        return np.int64(_MAX_STEP)
    return np.int64(step) if step > -_MAX_STEP else -np.int64(_MAX_STEP)


@njit(nogil=True)
def _top_note(steps, pitches, first, last):
    """The highest of the notes that start with the first one, and where they end."""
    top, i = first, first + 1
    while i < last and steps[0, i] == steps[0, first]:
        if pitches[i] > pitches[top]:
            top = i
        i += 1
    return top, i


@njit(nogil=True)
def _close(heard, first, last, bar, limits, phrases, num_phrases, problems):
    """Stores a phrase unless there is a problem with it; returns how many there are now."""
    min_bars, max_steps, min_unique_pitches = limits[0], limits[1], limits[2]
    first_step = heard[first, 0] // bar * bar
    while last > first and heard[last - 1, 0] >= first_step + max_steps:
        last -= 1
    num_events = min(heard[last - 1, 1] - first_step, max_steps) if last > first else 0
    if num_events < max(1, min_bars * bar):
        problems[_TOO_SHORT] += 1
        return num_phrases
    classes = np.int64(0)
    for i in range(first, last):
        if heard[i, 2] >= 0:
            classes |= np.int64(1) << heard[i, 2] % 12
    num_classes = 0
    while classes:
        classes &= classes - 1
        num_classes += 1
    if num_classes < min_unique_pitches:
        problems[_TOO_FEW_PITCHES] += 1
        return num_phrases
    phrases[num_phrases, 0], phrases[num_phrases, 1] = first, last
    phrases[num_phrases, 2], phrases[num_phrases, 3] = bar, num_events
    return num_phrases + 1


@njit(nogil=True)
def _rendered(heard, phrases):
    """The events of each phrase from the bar line before it, each note cut by the next one."""
    found = np.empty((len(phrases), 3), np.int64)
    events = np.full(phrases[:, 3].sum(), _NO_EVENT, np.int64)
    origin = 0
    for i in range(len(phrases)):
        first, last, bar, num_events = phrases[i]
        first_step = heard[first, 0] // bar * bar
        previous_end = heard[first, 0]
        for row in range(first, last):
            start = heard[row, 0]
            if previous_end < start:
                events[origin + previous_end - first_step] = _NOTE_OFF
            events[origin + start - first_step] = heard[row, 2]
            previous_end = heard[row, 1]
        found[i, 0], found[i, 1], found[i, 2] = origin, origin + num_events, bar
        origin += num_events
    return found, events


# Last, since compiling for these types, at import, needs the functions above.
split = njit(
    _FLOAT_TABLE(_INTEGERS, _FLOAT_TABLE, _FLOAT_TABLE, types.float64, types.int64, _INTEGERS),
    cache=True,
    nogil=True,
)(_split)
quantize = njit(
    types.Tuple((_INTEGER_TABLE, types.int64))(_FLOAT_TABLE, _INTEGERS, _FLOAT_TABLE),
    cache=True,
    nogil=True,
)(_quantize)
find = njit(
    types.Tuple((_INTEGER_TABLE, _INTEGERS))(
        *(_INTEGER_TABLE, _INTEGERS, _INTEGERS, _FLOAT_TABLE, _INTEGERS),
        *(types.float64, types.boolean, _INTEGERS),
    ),
    cache=True,
    nogil=True,
)(_find)
