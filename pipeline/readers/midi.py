"""MIDI file -> NoteSequence, or a rejection with its reason.

The bytes are those of note_seq.midi_to_note_sequence(data).SerializeToString(), some hundred times
faster: a compiled parser, collector and writer stand for mido, pretty_midi and note_seq. What these
refuse is repaired, if its music is certain without what is wrong with it, and else rejected.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import Rejected
from pipeline.readers._score import MAX_SECONDS

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

MAX_FILE_BYTES = 8 * 1024**2  # it may take 240 times as much; Lakh's largest has 3 MB


def read(data: bytes) -> NoteSequence:
    """Reads a standard MIDI file.

    Args:
      data: the whole file, of type 0, 1 or 2, as it is or within RIFF.

    Returns:
      A NoteSequence in seconds; it may have no notes. Tempo, time and key signatures are those of
      the first track.

    Raises:
      Rejected: if the file cannot be read, for one of the reasons in REASONS.
    """
    from pipeline.readers._note_sequence_proto import NoteSequence

    return NoteSequence.FromString(read_serialized(data))


def read_serialized(data: bytes) -> bytes:
    """Reads a standard MIDI file into a serialized NoteSequence; see `read`.

    Raises:
      Rejected: if the file cannot be read, for one of the reasons in REASONS.
    """
    return read_serialized_with_repairs(data)[0]


def read_serialized_with_repairs(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Reads a standard MIDI file into a serialized NoteSequence, and says what was repaired.

    A file of b bytes takes at most 240 b + 40 MB of memory, and time in proportion to its bytes.

    Returns:
      (serialized, repairs): repairs are words of REPAIRS, each once. None for a file that note_seq
      reads; one or more for a file that only this reader reads.

    Raises:
      Rejected: if the file cannot be read, for one of the reasons in REASONS.

    Source: note_seq/midi_io.py, pretty_midi/pretty_midi.py, mido/midifiles; Standard MIDI Files
      1.0, RP-001.
    """
    from pipeline.readers import _midi_columns as col
    from pipeline.readers import _midi_header
    from pipeline.readers._midi_notes import collect
    from pipeline.readers._midi_parser import parse
    from pipeline.readers._midi_wire import write

    if len(data) > MAX_FILE_BYTES:
        raise Rejected("too_large", f"num_bytes={len(data)}; the limit is {MAX_FILE_BYTES}")
    is_riff = data[:4] == b"RIFF" and data[8:12] == b"RMID"
    content = _riff_data(data) if is_riff else bytes(data)
    header = _midi_header.read(content)
    file = np.frombuffer(content, np.uint8)
    events, notes, controls, instruments, opened = _tables(len(file) // 2)
    parse(file, events, header)
    if header[col.FAULT]:
        reason, rule = _FAULTS[header[col.FAULT] - 1]
        place = f"num_bytes={len(data)}, offset={header[col.FAULT_POSITION]}"
        raise Rejected(reason, f"{place}; {rule}")
    counts = collect(events, header[col.NUM_EVENTS], notes, controls, instruments, opened)
    serialized = write(file, header, events, counts, notes, controls, instruments)
    if not serialized.size:
        raise Rejected("too_large", f"num_bytes={len(data)}; its controls repeat without end")
    if header[col.NUM_SECONDS] > MAX_SECONDS:  # what is quantized needs memory by its length
        seconds = f"{header[col.NUM_SECONDS]} seconds; the limit is {MAX_SECONDS:.0f}"
        raise Rejected("too_long", seconds)
    repairs = [repair for bit, repair in enumerate(REPAIRS) if header[col.REPAIRS] >> bit & 1]
    repairs += ["smpte_division"] * bool(header[col.SMPTE_TICKS]) + ["unwrapped_riff"] * is_riff
    return serialized.tobytes(), tuple(repairs)


def _riff_data(data: bytes) -> bytes:
    """The MIDI file that a RIFF file of the kind RMID wraps; nothing if there is none."""
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"data":
            return data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
    return b""


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
    ("truncated_midi", "the file ends before a track does"),
    ("bad_track", "a track begins with MTrk"),
    ("bad_midi_event", "an event must end within its track"),
    ("bad_midi_event", "data bytes without a status byte"),
    ("bad_midi_event", "a status byte that MIDI does not define, or one that takes no data"),
    ("bad_midi_event", "a message has at most 1000000 bytes"),
    ("too_long", "a file ends before tick 10000000000"),
)

REASONS = (
    *("not_midi", "truncated_midi", "no_tracks", "bad_division", "bad_track", "bad_midi_event"),
    *("too_long", "too_large"),
)

# In the order of the parser's bits, then those of the header and of the wrapping.
REPAIRS = (
    "clipped_data_byte",  # a velocity, value, program or bend over 127 counts as 127
    "dropped_message",  # of a key or control over 127
    "dropped_tempo",  # of 0, or shorter than 3 bytes
    "dropped_time_signature",  # numerator 0, denominator over 2**30 or odd to mido, too short
    "dropped_key_signature",  # over 7 sharps or flats, a mode over 1, too short
    "dropped_meta_event",  # a bad track number, channel prefix or SMPTE offset
    "empty_track",
    "cut_end_of_track",  # the file ends within, or before, the very last event
    "many_ticks",  # 10 000 000 000 or more, in fine divisions of the quarter
    "smpte_division",  # the tempo is made up: two quarters a second, as near as ticks allow
    "unwrapped_riff",
)
