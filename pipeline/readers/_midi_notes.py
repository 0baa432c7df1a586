"""Table of MIDI events -> notes and controls by instrument, as pretty_midi collects them; compiled.

pretty_midi's peculiarities are kept, since note_seq reads through it:
- an instrument is a (track, channel, program); a note belongs to the program at its end;
- a note-off closes each open note of its pitch and channel that began before its tick and keeps
  those that began on it; if it finds only the latter, it deletes them;
- controls of a channel's program without an instrument wait in a list, which every instrument that
  the channel gets from then on shares: they are repeated for each.

No other compiled function is called from here: the compiler's cache would not see that one change.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from pipeline.readers import _midi_columns as col

_TABLE = types.int64[:, ::1]


def _collect(events, num_events, notes, controls, instruments, opened):
    """Collects the notes of all tracks.

    Args:
      events: int64 [:, 5], from the parser.
      num_events: how many of them are set.
      notes: int64 [:, 5], to be filled in the order of their ends.
      controls: int64 [:, 4], to be filled in the file's order; each is in a LIST of one or more
        instruments.
      instruments: int64 [:, 5], to be filled, in the order of their first ends of notes.
      opened: int64 [:, 3], to work in. All four have num_events rows or more.

    Returns:
      counts: int64 [5], how many of the rows are set.
    """
    # No event adds more than one row to a table; a note, and an instrument, need a note-on.
    if min(len(notes), len(controls), len(instruments), len(opened)) < num_events:
        raise ValueError("a table has less rows than there are events")
    tables = _tables(notes, controls, instruments, opened)
    for row in range(num_events):
        kind, channel, tick = events[row, col.KIND], events[row, col.CHANNEL], events[row, col.TICK]
        a, b = events[row, col.A], events[row, col.B]
        if kind == col.NOTE_ON:
            _open_note(channel * 128 + a, b, tick, tables)
        elif kind == col.NOTE_OFF:
            _close_notes(channel, a, tick, tables)
        elif kind in (col.CONTROL_CHANGE, col.PITCH_BEND):
            _store_control(channel, a, b, tick, tables)
        elif kind == col.PROGRAM_CHANGE:
            tables.programs[channel] = a
        elif kind == col.TRACK_NAME:
            tables.track_name[0] = a
            tables.track_name[1] = b
        elif kind == col.TRACK:
            _start_track(tables)
    return tables.counts


class _Tables(NamedTuple):
    counts: np.ndarray
    notes: np.ndarray
    controls: np.ndarray
    instruments: np.ndarray
    opened: np.ndarray  # [note-on, (start tick, velocity, next one of its channel and pitch)]
    first_opened: np.ndarray  # [channel * 128 + pitch], -1 if none
    last_opened: np.ndarray  # [channel * 128 + pitch]
    instrument_of: np.ndarray  # [channel * 128 + program], -1 if none
    waiting_list: np.ndarray  # [channel], -1 if none
    programs: np.ndarray  # [channel]
    track_name: np.ndarray  # where it starts and ends in the file


@njit(nogil=True)
def _tables(notes, controls, instruments, opened):
    return _Tables(
        np.zeros(5, np.int64),
        notes,
        controls,
        instruments,
        opened,
        np.empty(16 * 128, np.int64),
        np.empty(16 * 128, np.int64),
        np.empty(16 * 128, np.int64),
        np.empty(16, np.int64),
        np.empty(16, np.int64),
        np.empty(2, np.int64),
    )


@njit(nogil=True)
def _start_track(tables):
    tables.first_opened[:] = -1
    tables.instrument_of[:] = -1
    tables.waiting_list[:] = -1
    tables.programs[:] = 0
    tables.track_name[:] = 0


@njit(nogil=True)
def _open_note(key, velocity, tick, tables):
    row = tables.counts[col.NUM_OPENED]
    tables.opened[row, 0] = tick
    tables.opened[row, 1] = velocity
    tables.opened[row, 2] = -1
    if tables.first_opened[key] < 0:
        tables.first_opened[key] = row
    else:
        tables.opened[tables.last_opened[key], 2] = row
    tables.last_opened[key] = row
    tables.counts[col.NUM_OPENED] = row + 1


@njit(nogil=True)
def _close_notes(channel, pitch, tick, tables):
    key = channel * 128 + pitch
    opened = tables.first_opened[key]
    if opened < 0:
        return
    # They are in time order, so those that began on this very tick are the last ones.
    is_any_closed = False
    while opened >= 0 and tables.opened[opened, 0] != tick:
        row = tables.counts[col.NUM_NOTES]
        tables.notes[row, col.INSTRUMENT] = _instrument(channel, tables)
        tables.notes[row, col.PITCH] = pitch
        tables.notes[row, col.VELOCITY] = tables.opened[opened, 1]
        tables.notes[row, col.START] = tables.opened[opened, 0]
        tables.notes[row, col.END] = tick
        tables.counts[col.NUM_NOTES] = row + 1
        is_any_closed = True
        opened = tables.opened[opened, 2]
    tables.first_opened[key] = opened if is_any_closed else -1


@njit(nogil=True)
def _instrument(channel, tables):
    """The number of the channel's instrument in this track, which is made if there is none."""
    program = tables.programs[channel]
    row = tables.instrument_of[channel * 128 + program]
    if row >= 0:
        return row
    row = tables.counts[col.NUM_INSTRUMENTS]
    controls = tables.waiting_list[channel]
    tables.instruments[row, col.PROGRAM] = program
    tables.instruments[row, col.IS_DRUM] = channel == 9
    tables.instruments[row, col.CONTROLS] = controls if controls >= 0 else _new_list(tables)
    tables.instruments[row, col.NAME_START] = tables.track_name[0]
    tables.instruments[row, col.NAME_END] = tables.track_name[1]
    tables.instrument_of[channel * 128 + program] = row
    tables.counts[col.NUM_INSTRUMENTS] = row + 1
    return row


@njit(nogil=True)
def _store_control(channel, number, value, tick, tables):
    instrument = tables.instrument_of[channel * 128 + tables.programs[channel]]
    if instrument >= 0:
        controls = tables.instruments[instrument, col.CONTROLS]
    else:
        if tables.waiting_list[channel] < 0:
            tables.waiting_list[channel] = _new_list(tables)
        controls = tables.waiting_list[channel]
    row = tables.counts[col.NUM_CONTROLS]
    tables.controls[row, col.LIST] = controls
    tables.controls[row, col.CONTROL_TICK] = tick
    tables.controls[row, col.NUMBER] = number
    tables.controls[row, col.VALUE] = value
    tables.counts[col.NUM_CONTROLS] = row + 1


@njit(nogil=True)
def _new_list(tables):
    tables.counts[col.NUM_LISTS] += 1
    return tables.counts[col.NUM_LISTS] - 1


# Last, since compiling for these types, at import, needs the functions above.
collect = njit(
    types.int64[::1](_TABLE, types.int64, _TABLE, _TABLE, _TABLE, _TABLE), cache=True, nogil=True
)(_collect)
