"""The header of a MIDI file: how many tracks, where the first begins, what a tick is."""

from __future__ import annotations

import numpy as np

from pipeline.errors import Rejected
from pipeline.readers import _midi_columns as col

NUM_BYTES = 14
_SMPTE_FRAMES = (
    24,
    25,
    29,
    30,
)  # 29 stands for 30 of 29.97 a second, with drops in their numbering
_SMPTE_UNIT_SECONDS = 1001  # in which every frame rate has a whole number of frames


def read(data: bytes) -> np.ndarray:
    """Reads the header as mido does, but for a division in frames, which mido takes for a negative.

    Args:
      data: the file, from its first byte.

    Returns:
      int64 [HEADER_SLOTS], of which DIVISION, SMPTE_TICKS, NUM_TRACKS and FIRST_TRACK are set.
      Ticks that are parts of a frame have no beat: DIVISION is then what lasts half a second.

    Raises:
      Rejected: not_midi, truncated_midi, no_tracks or bad_division.
    """
    if data[:4] != b"MThd":
        raise Rejected("not_midi", f"num_bytes={len(data)}; a MIDI file begins with MThd")
    size = int.from_bytes(data[4:8], "big")
    if len(data) < NUM_BYTES or size < 6:
        raise Rejected("truncated_midi", f"num_bytes={len(data)}; the header has {NUM_BYTES}")
    num_tracks = int.from_bytes(data[10:12], "big")
    if not 0 < num_tracks < 0x8000:  # mido reads it as signed
        raise Rejected("no_tracks", f"num_tracks={num_tracks}; a MIDI file has 1 to 32767")
    header = np.zeros(col.HEADER_SLOTS, np.int64)
    header[col.NUM_TRACKS] = num_tracks
    header[col.FIRST_TRACK] = 8 + size
    header[col.DIVISION], header[col.SMPTE_TICKS] = _division(data[12], data[13])
    return header


def _division(high: int, low: int) -> tuple[int, int]:
    """Ticks a quarter, and ticks in 1001 seconds if they are parts of an SMPTE frame, else 0."""
    if high < 0x80 and high + low > 0:
        return high << 8 | low, 0
    num_frames = 0x100 - high
    if num_frames not in _SMPTE_FRAMES or low == 0:
        raise Rejected(
            "bad_division",
            f"division=0x{high:02x}{low:02x}; a quarter has a tick or more, or a second has 24, "
            "25, 29 or 30 frames of a tick or more",
        )
    frames_in_unit = 30_000 if num_frames == 29 else num_frames * _SMPTE_UNIT_SECONDS
    ticks = frames_in_unit * low
    return max(round(ticks / (2 * _SMPTE_UNIT_SECONDS)), 1), ticks
