"""Phrases of a piano-roll from the notes in them, painted only where something sounds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LAST_STEP = 2**31 - 1


class Runs(NamedTuple):
    """Times at which a pitch of a track sounds; no two of one column touch. int64 [runs] each.

    Attributes:
      columns: place of pitch and track in a step of the roll.
      starts, ends: stretch << 32 | step.
    """

    columns: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def joined(columns: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Runs:
    """Makes one run of notes of one column that overlap or touch.

    Args:
      columns: place of pitch and track in a step of the roll, below 1024. int64 [notes].
      starts, ends: stretch << 32 | step up to LAST_STEP; stretches below 2**21. int64 [notes].
    """
    lines = columns << 53  # above stretch and step
    order = (lines + starts).argsort(kind="stable")
    lines, firsts = lines[order], (lines + starts)[order]
    reached = np.maximum.accumulate(lines + ends[order])
    edges = np.flatnonzero(firsts[1:] > reached[:-1])
    if not len(order):
        return Runs(columns, starts, ends)
    begins, lasts = np.append(0, edges + 1), np.append(edges, len(order) - 1)
    lines = lines[begins]
    return Runs(lines >> 53, firsts[begins] - lines, reached[lasts] - lines)


def place(times: np.ndarray, num_steps: int) -> np.ndarray:
    """The phrase in which a time is: stretch << 32 | its number from the stretch's start on."""
    return (times >> 32 << 32) + (times & LAST_STEP) // num_steps


def counted(runs: Runs, places: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Notes of each track in phrases, held ones included. int64 [phrases, tracks].

    Args:
      runs: from `joined`.
      places: int64 [phrases], from `place`, ascending; a run starts in one of them.
      shape: steps, pitches and tracks of a phrase.
    """
    num_steps, _, num_tracks = shape
    firsts = places.searchsorted(place(runs.starts, num_steps))
    beyond = places.searchsorted(place(runs.ends - 1, num_steps), side="right")
    size, tracks = (len(places) + 1) * num_tracks, runs.columns % num_tracks
    change = np.bincount(firsts * num_tracks + tracks, minlength=size)
    change -= np.bincount(beyond * num_tracks + tracks, minlength=size)
    return change.reshape(-1, num_tracks).cumsum(axis=0)[:-1]


def painted(runs: Runs, places: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Rolls of phrases, packed: uint8 [phrases, bytes]; arguments as of `counted`, places any."""
    num_steps, num_pitches, num_tracks = shape
    num_columns = num_pitches * num_tracks
    starts, _ = _position(runs.starts, places, num_steps)
    lasts, is_within = _position(runs.ends - 1, places, num_steps)
    lengths = lasts + is_within - starts
    shifts = np.repeat(starts - lengths.cumsum() + lengths, lengths)
    cells = (np.arange(len(shifts)) + shifts) * num_columns + np.repeat(runs.columns, lengths)
    rolls = np.zeros((len(places), num_steps * num_columns), bool)
    rolls.reshape(-1)[cells] = True
    return np.packbits(rolls, axis=1, bitorder="little")


def _position(
    times: np.ndarray, places: np.ndarray, num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Steps counted through these phrases alone; those of the next one's start if in none."""
    wanted = place(times, num_steps)
    at = places.searchsorted(wanted)
    is_within = places[np.minimum(at, len(places) - 1)] == wanted
    return at * num_steps + np.where(is_within, (times & LAST_STEP) % num_steps, 0), is_within
