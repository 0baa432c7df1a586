"""Which bars of a melody, a bass and drums sound together.

Parts are classes in steps, int64 [3, steps], of whole bars: a melody and a bass (0 no event, 1 note
off, above it pitches) and drums (0 none).
"""

from __future__ import annotations

import numpy as np

NO_EVENT, NOTE_OFF = 0, 1  # classes of a melody and of a bass
NUM_PITCHED = 2  # the first parts: melody and bass


def overlaps(
    parts: np.ndarray, steps_per_bar: int, gap_bars: int, min_bars: int
) -> list[np.ndarray]:
    """Cuts parts to the longest runs of bars in which all three play.

    A part plays in a bar if it sounds there, or at most `gap_bars` before or after. Within the
    first and the last `gap_bars` it is enough that one of the three does.

    What is cut off took its notes with it: a note that began before the run is silent in it, and
    the bars at its end in which nothing sounds are left out. So each run is measured again by
    itself, until it stays: a run is the only run of its own.

    Args:
      parts: int64 [3, steps].
      steps_per_bar: that `steps` is a multiple of.
      gap_bars: bars of silence that are bridged, on either side.
      min_bars: shorter runs are left out.

    Returns:
      int64 arrays [3, steps of whole bars], by time.

    Source: Magenta, `music_vae.data.TrioConverter._to_tensors`, whose windows of `min_bars` are
    windows of these runs.
    """
    found, pending = [], [parts]
    while pending:
        parts = pending.pop()
        cuts = [
            _cut(parts, first * steps_per_bar, last * steps_per_bar, steps_per_bar)
            for first, last in _runs(_played_bars(parts, steps_per_bar), gap_bars)
            if last - first >= min_bars
        ]
        if len(cuts) == 1 and cuts[0].shape == parts.shape:
            found.append(parts)
        else:
            pending += reversed(cuts)
    return found


def sounding(parts: np.ndarray) -> np.ndarray:
    """At which steps each part is heard: a note is held, or a drum hit. bool [3, steps]."""
    pitched, drums = parts[:NUM_PITCHED], parts[NUM_PITCHED:]
    latest = np.where(pitched != NO_EVENT, np.arange(parts.shape[1]), 0)
    held = np.take_along_axis(pitched, np.maximum.accumulate(latest, axis=1), axis=1)
    return np.concatenate([held > NOTE_OFF, drums > 0])


def _played_bars(parts: np.ndarray, steps_per_bar: int) -> np.ndarray:
    """bool [3, bars]."""
    by_bar = sounding(parts).reshape(len(parts), -1, steps_per_bar)
    is_played: np.ndarray = np.logical_or.reduce(by_bar, axis=2)
    return is_played


def _runs(is_played: np.ndarray, gap_bars: int) -> list[list[int]]:
    """First and last + 1 of the bars of each run; none where a part is never heard."""
    if not is_played.any(axis=1).all():
        return []
    num_bars = is_played.shape[1]
    padded = np.pad(is_played, [(0, 0), (gap_bars + 1, gap_bars)]).cumsum(axis=1)
    is_covered = padded[:, 2 * gap_bars + 1 :] > padded[:, :num_bars]
    is_common = np.logical_and.reduce(is_covered, axis=0)
    head, tail = slice(0, gap_bars), slice(max(0, num_bars - gap_bars), num_bars)
    is_common[head] = is_covered[:, head].any()
    is_common[tail] = is_covered[:, tail].any()
    edges = np.flatnonzero(np.diff(is_common.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).tolist()


def _cut(parts: np.ndarray, first: int, last: int, steps_per_bar: int) -> np.ndarray:
    """Steps first..last - 1, without the ends of earlier notes and without silent bars behind."""
    cut = parts[:, first:last].copy()
    for part in cut[:NUM_PITCHED]:
        has_begun = np.logical_or.accumulate(part > NOTE_OFF)
        part[~has_begun] = NO_EVENT
    heard = np.flatnonzero(_played_bars(cut, steps_per_bar).any(axis=0))
    num_bars = heard[-1] + 1 if len(heard) else 0
    return cut[:, : num_bars * steps_per_bar]
