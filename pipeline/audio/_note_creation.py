"""Posteriors of notes and onsets to notes: basic-pitch's way, found in one pass over the peaks.

Source: Bittner et al. 2022, section 2.3; basic_pitch/note_creation.py (0.4.0),
output_to_notes_polyphonic and get_infered_onsets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_MAX_DIFFERENCE_FRAMES = 2  # an onset is inferred where a posterior rises over one and two frames


@dataclass(frozen=True)
class Thresholds:
    """When posteriors are a note.

    Attributes:
      onset: least posterior of an onset, 0 to 1.
      frame: a note goes on while its posterior is at least this, 0 to 1.
      min_frames: a note must last longer than this, in frames of 11.6 ms.
      tolerance_frames: this long may the posterior stay below `frame` within a note.
      is_inferring_onsets: whether a sudden rise of a note's posterior is an onset too.
      is_adding_notes: whether what sounds on without an onset becomes notes ("melodia trick").
    """

    onset: float = 0.6
    frame: float = 0.5
    min_frames: int = 8
    tolerance_frames: int = 11
    is_inferring_onsets: bool = True
    is_adding_notes: bool = True


class FrameNote(NamedTuple):
    """A note in frames: [start, end), the row of its pitch, the mean of its posterior."""

    start: int
    end: int
    pitch: int
    amplitude: float


def notes_in_frames(
    notes: np.ndarray, onsets: np.ndarray, thresholds: Thresholds
) -> list[FrameNote]:
    """Notes from their onsets, the last first, then from what no onset explains, the loudest first.

    Args:
      notes: that a pitch sounds, 0 to 1. Shape [frames, pitches].
      onsets: that it begins. Shape [frames, pitches].
      thresholds: see there.
    """
    if len(notes) < 3:  # no frame has a neighbour on both sides
        return []
    frames = notes.astype(np.float64)
    starts = onsets.astype(np.float64)
    if thresholds.is_inferring_onsets:
        starts = _with_inferred(starts, frames)
    remaining = frames.copy()
    found = []
    for start, pitch in reversed(_peaks(starts, thresholds.onset)):
        end = _end(remaining[:, pitch], start + 1, thresholds)
        if end - start > thresholds.min_frames:
            remaining[start:end, max(pitch - 1, 0) : pitch + 2] = 0
            found.append((start, end, pitch))
    if thresholds.is_adding_notes:
        found += _unexplained(remaining, thresholds)
    return [FrameNote(s, e, p, float(frames[s:e, p].mean())) for s, e, p in found]


def _with_inferred(onsets: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The larger of the onsets and the rises of the notes, scaled to the highest onset."""
    rises = np.full_like(frames, np.inf)
    for distance in range(1, _MAX_DIFFERENCE_FRAMES + 1):
        rises[distance:] = np.minimum(rises[distance:], frames[distance:] - frames[:-distance])
    rises[:_MAX_DIFFERENCE_FRAMES] = 0
    rises = np.maximum(rises, 0)
    if not rises.any():
        return onsets
    return np.maximum(onsets, onsets.max() * rises / rises.max())


def _peaks(onsets: np.ndarray, threshold: float) -> list[tuple[int, int]]:
    """(frame, pitch) of every local maximum in time, by frame; the first and the last are none."""
    inner = onsets[1:-1]
    is_peak = (inner > onsets[:-2]) & (inner > onsets[2:]) & (inner >= threshold)
    return [(frame + 1, pitch) for frame, pitch in np.argwhere(is_peak).tolist()]


def _end(column: np.ndarray, first: int, thresholds: Thresholds) -> int:
    """The frame after the last that sounds, one pitch followed forwards from `first`."""
    at, num_silent, last = first, 0, len(column) - 1
    while at < last and num_silent < thresholds.tolerance_frames:
        num_silent = num_silent + 1 if column[at] < thresholds.frame else 0
        at += 1
    return at - num_silent


def _unexplained(remaining: np.ndarray, thresholds: Thresholds) -> list[tuple[int, int, int]]:
    """Notes around the highest posteriors left, which are used up in `remaining` as they go.

    Posteriors are only ever set to zero, so one sorting replaces a search for each maximum.
    """
    found = []
    flat = remaining.ravel()
    candidates = np.flatnonzero(flat > thresholds.frame)
    for index in candidates[np.argsort(-flat[candidates], kind="stable")].tolist():
        middle, pitch = divmod(index, remaining.shape[1])
        if remaining[middle, pitch] <= thresholds.frame:
            continue
        remaining[middle, pitch] = 0
        beyond, num_silent_after = _used_up(remaining, middle, pitch, 1, thresholds)
        before, num_silent_before = _used_up(remaining, middle, pitch, -1, thresholds)
        start, end = before + 1 + num_silent_before, beyond - 1 - num_silent_after
        if end - start > thresholds.min_frames:
            found.append((start, end, pitch))
    return found


def _used_up(
    remaining: np.ndarray, middle: int, pitch: int, step: int, thresholds: Thresholds
) -> tuple[int, int]:
    """Follows a pitch one way, zeroing it and its neighbours: (where it stopped, silent)."""
    low, high = max(pitch - 1, 0), pitch + 2
    stop = len(remaining) - 1 if step > 0 else 0
    at, num_silent = middle + step, 0
    while (at < stop if step > 0 else at > stop) and num_silent < thresholds.tolerance_frames:
        num_silent = num_silent + 1 if remaining[at, pitch] < thresholds.frame else 0
        remaining[at, low:high] = 0
        at += step
    return at, num_silent
