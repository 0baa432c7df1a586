"""Arranged tunes, cut into bars: what `composer` makes files of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

POOL_TICKS = 480  # a quarter note's
MAX_TRACKS = 8

# Columns of Pool.tunes.
FIRST_TRACK, NUM_TRACKS, NUM_BARS, BAR_TICKS, NUMERATOR, DENOMINATOR, SHARPS, IS_MINOR = range(8)
# Columns of Pool.tracks.
FIRST_BAR, PROGRAM, IS_DRUM = range(3)
# Columns of Pool.notes.
ONSET, LENGTH, PITCH, VELOCITY = range(4)


class Pool(NamedTuple):
    """The music that files are made of.

    Attributes:
      tunes: one row an arrangement; DENOMINATOR is its binary logarithm. Shape [tunes, 8].
      tracks: FIRST_BAR is a row of `bars`. Shape [tracks, 3].
      bars: the first row of `notes`; a track has one more than it has bars. Shape [bars + tracks].
      notes: ONSET from its bar's start, LENGTH, both in ticks of 480. Shape [notes, 4].
    """

    tunes: np.ndarray
    tracks: np.ndarray
    bars: np.ndarray
    notes: np.ndarray


def pool_of(files: Iterable[bytes]) -> Pool:
    """Cuts MIDI files of one metre each, of 480 ticks a quarter, into bars."""
    import symusic

    tunes: list[tuple[int, ...]] = []
    tracks: list[tuple[int, ...]] = []
    bars: list[int] = []
    notes: list[np.ndarray] = []
    num_notes = 0
    for file in files:
        score: Any = symusic.Score.from_midi(file)
        metre, key = score.time_signatures[0], score.key_signatures[0]
        bar_ticks = POOL_TICKS * 4 * metre.numerator // metre.denominator
        num_bars = -(-score.end() // bar_ticks)
        num_tracks = min(len(score.tracks), MAX_TRACKS)
        log_denominator = metre.denominator.bit_length() - 1
        described = (metre.numerator, log_denominator, key.key, key.tonality)
        tunes.append((len(tracks), num_tracks, num_bars, bar_ticks, *described))
        for track in score.tracks[:num_tracks]:
            tracks.append((len(bars), track.program, int(track.is_drum)))
            columns = track.notes.numpy()
            rows = np.stack([columns[n] for n in ("time", "duration", "pitch", "velocity")], 1)
            rows = rows.astype(np.int32)
            starts = np.searchsorted(rows[:, ONSET], np.arange(num_bars + 1) * bar_ticks)
            rows[:, ONSET] %= bar_ticks
            bars.extend((num_notes + starts).tolist())
            notes.append(rows)
            num_notes += len(rows)
    as_table = [np.array(rows, np.int64) for rows in (tunes, tracks, bars)]
    return Pool(as_table[0], as_table[1], as_table[2], np.concatenate(notes))
