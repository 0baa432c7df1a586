"""MIDI file -> NoteSequence, or a rejection with its reason.

The bytes are those of note_seq.midi_to_note_sequence(data).SerializeToString(), some hundred times
faster: a compiled parser, collector and writer stand for mido, pretty_midi and note_seq. What these
cannot read is rejected; so is a file whose division is in SMPTE frames, which pretty_midi misreads.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import Rejected

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

MAX_FILE_BYTES = 32 * 1024**2  # the tables take 88 times as much; Lakh's largest has 3 MB


def read(data: bytes) -> NoteSequence:
    """Reads a standard MIDI file.

    Args:
      data: the whole file, of type 0, 1 or 2.

    Returns:
      A NoteSequence in seconds; it may have no notes. Tempo, time and key signatures are those of
      the first track.

    Raises:
      Rejected: if the file cannot be read, for one of the reasons in REASONS.
    """
    from pipeline.readers._note_sequence_proto import NoteSequence
    from pipeline.readers._score import MAX_SECONDS

    sequence = NoteSequence.FromString(read_serialized(data))
    if sequence.total_time > MAX_SECONDS:  # what is quantized needs memory by its length
        raise Rejected(
            "too_long", f"{sequence.total_time:.0f} seconds; the limit is {MAX_SECONDS:.0f}"
        )
    return sequence


def read_serialized(data: bytes) -> bytes:
    """Reads a standard MIDI file into a serialized NoteSequence; see `read`.

    Raises:
      Rejected: if the file cannot be read, for one of the reasons in REASONS.

    Source: note_seq/midi_io.py, pretty_midi/pretty_midi.py, mido/midifiles; Standard MIDI Files
      1.0, RP-001.
    """
    from pipeline.readers import _midi_columns as col
    from pipeline.readers._midi_notes import collect
    from pipeline.readers._midi_parser import parse
    from pipeline.readers._midi_wire import MAX_BYTES, write

    if len(data) > MAX_FILE_BYTES:
        raise Rejected("too_large", f"num_bytes={len(data)}; the limit is {MAX_FILE_BYTES}")
    file = np.frombuffer(bytes(data), np.uint8)
    events, notes, controls, instruments, opened = _tables(len(data) // 2)
    header = parse(file, events)
    if header[col.FAULT]:
        reason, rule = _FAULTS[header[col.FAULT] - 1]
        place = f"num_bytes={len(data)}, offset={header[col.FAULT_POSITION]}"
        raise Rejected(reason, f"{place}; {rule}")
    counts = collect(events, header[col.NUM_EVENTS], notes, controls, instruments, opened)
    serialized = write(file, header, events, counts, notes, controls, instruments).tobytes()
    if not serialized:
        rule = f"its NoteSequence would have more than {MAX_BYTES} bytes"
        raise Rejected("too_large", f"num_bytes={len(data)}; {rule}")
    return serialized


_NUM_COLUMNS = (5, 5, 4, 5, 3)  # of events, notes, controls, instruments and opened notes
_MAX_KEPT_ROWS = 1 << 18  # 46 MB a thread

_kept = threading.local()


def _tables(num_rows: int) -> tuple[np.ndarray, ...]:
    """Tables to work in, kept from file to file: to map fresh memory takes as long as to read."""
    tables = getattr(_kept, "tables", ())
    if not tables or len(tables[0]) < num_rows:
        tables = tuple(np.empty((num_rows, columns), np.int64) for columns in _NUM_COLUMNS)
        if num_rows <= _MAX_KEPT_ROWS:
            _kept.tables = tables
    return tables


# In the order of the parser's faults, which count from 1.
_FAULTS = (
    ("not_midi", "a MIDI file begins with MThd"),
    ("truncated_midi", "the file ends before its header, or a track, does"),
    ("no_tracks", "a MIDI file has 1 to 32767 tracks"),
    ("bad_division", "a quarter note has at least one tick"),
    ("smpte_division", "time must be in ticks per quarter note, not in SMPTE frames"),
    ("bad_track", "a track begins with MTrk"),
    ("bad_track", "a track has at least one event"),
    ("bad_midi_event", "an event must end within its track"),
    ("bad_midi_event", "data bytes without a status byte"),
    ("bad_midi_event", "a status byte that MIDI does not define, or one that takes no data"),
    ("bad_midi_event", "a data byte is at most 127"),
    ("bad_midi_event", "a message has at most 1000000 bytes"),
    ("bad_meta_event", "a meta event is shorter than its kind asks"),
    ("bad_meta_event", "an SMPTE offset is out of range"),
    ("bad_tempo", "a tempo has three bytes and is not 0"),
    ("bad_time_signature", "its numerator is at least 1, its denominator at most 2**30"),
    ("bad_key_signature", "it has -7 to 7 sharps and mode 0 or 1"),
    ("too_long", "a file ends before tick 10000000000"),
)

REASONS = tuple(dict.fromkeys([reason for reason, _ in _FAULTS] + ["too_large"]))
