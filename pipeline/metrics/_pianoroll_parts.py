"""The metrics of piano-rolls one by one, over any number of rolls at once.

The axis of steps is the last but one, that of pitches the last.
"""

from __future__ import annotations

import numpy as np

# Steps between the places of the pattern, by steps of a beat: sixteenths where a step is less than
# that, else eighths; thirds of a beat for 9 and 18.
_PATTERN_STEPS = {4: 2, 6: 3, 8: 2, 9: 3, 12: 3, 16: 4, 18: 6, 24: 6}


def empty_bar_rate(rolls: np.ndarray, steps_per_bar: int) -> np.ndarray:
    """Share of the bars in which nothing sounds; a note that is held sounds. float64 [...].

    musegan's second version and pypianoroll's empty_beat_rate give the share in which something
    does. NaN without a bar.

    Args:
      rolls: bool [..., steps, pitches], steps of whole bars.
      steps_per_bar: steps of a bar.
    """
    is_empty = ~_parts(np.any(rolls, axis=-1), steps_per_bar).any(axis=-1)
    return _ratio(is_empty.sum(axis=-1), np.array(is_empty.shape[-1]))


def num_pitch_classes_per_bar(
    rolls: np.ndarray, steps_per_bar: int, min_pitch: int = 0
) -> np.ndarray:
    """Different pitch classes that sound in a bar, mean over bars that are not empty: the UPC.

    Both versions of musegan, and pypianoroll, form the chroma by cutting the pitches into twelve
    runs of neighbours (7 of 84, 10 of 120), not by taking them modulo 12: they count registers.
    The second version also counts empty bars. NaN if all bars are empty.

    Args:
      rolls: bool [..., steps, pitches], steps of whole bars.
      steps_per_bar: steps of a bar.
      min_pitch: MIDI pitch of the lowest.

    Returns:
      float64 [...].
    """
    is_used = _parts(_chroma(rolls, min_pitch) > 0, steps_per_bar, axis=-2).any(axis=-2)
    num_used = is_used.sum(axis=-1)
    return _ratio(num_used.sum(axis=-1), np.count_nonzero(num_used, axis=-1))


def qualified_steps(steps_per_beat: int) -> int:
    """Length of the shortest qualified note: a 32nd, rounded up, but two steps at least.

    The paper has 24 steps a beat and asks for three. On a coarser grid a 32nd is one step or less,
    which every note has: an eighth is asked for at 4 steps, a sixteenth at 8, a sixth of a beat at
    12. So values of different grids cannot be compared.
    """
    return max(2, -(-steps_per_beat // 8))


def qualified_note_rate(rolls: np.ndarray, min_steps: int) -> np.ndarray:
    """Share of the notes that last min_steps or longer: the QN; low for fragmented music.

    Notes are not cut at bar lines, as the paper's are. musegan's first version asks for two steps,
    not the paper's three. Its second, and pypianoroll, list the onsets and the ends of all pitches
    as they lie in memory and subtract one list from the other: different notes are paired, and the
    difference is in cells of the roll, not in steps; on a bool roll pypianoroll raises. NaN without
    a note.

    Args:
      rolls: bool [..., steps, pitches].
      min_steps: 1 or more.

    Returns:
      float64 [...].
    """
    held = rolls
    for _ in range(min_steps - 1):  # shortens each note by a step; those too short are gone
        held = held[..., 1:, :] & held[..., :-1, :]
    return _ratio(_num_notes(held), _num_notes(rolls))


def drum_in_pattern_rate(
    drums: np.ndarray, steps_per_beat: int, tolerance: float = 0.1
) -> np.ndarray:
    """Share of the drums' onsets on a regular pattern of sixteenths (8 and more steps) or eighths.

    An onset one step off counts `tolerance`. musegan's second version and pypianoroll count all
    steps at which a drum sounds, and pypianoroll takes rolls of one beat only; the first version
    takes onsets, a tolerance of its own and the best of six shifts of the pattern, bar by bar. NaN
    without an onset, and on grids for which they have no pattern.

    Args:
      drums: bool [..., steps, pitches]; the first step is on a beat.
      steps_per_beat: 4, 6, 8, 12, 16 or 24; 9 or 18: the pattern is of triplets.
      tolerance: 0 to 1.

    Returns:
      float64 [...].
    """
    distance = _PATTERN_STEPS.get(steps_per_beat)
    if distance is None:
        return np.full(drums.shape[:-2], np.nan)
    away = np.arange(drums.shape[-2]) % distance
    weights = np.where(np.minimum(away, distance - away) == 1, tolerance, 0.0)
    weights[::distance] = 1.0
    onsets = drums.copy()
    onsets[..., 1:, :] &= ~drums[..., :-1, :]
    num_onsets = onsets.sum(axis=-1)
    return _ratio(num_onsets @ weights, num_onsets.sum(axis=-1))


def tonal_distance(rolls: np.ndarray, steps_per_beat: int, min_pitch: int = 0) -> np.ndarray:
    """Distance of tracks in tonal space, mean over the beats in which both sound.

    A beat's pitch classes, weighted by how long they sound, are brought to a sum of 1 and mapped to
    circles of fifths, minor thirds (radius 1) and major thirds (1/2). musegan maps the registers
    that `num_pitch_classes_per_bar` tells of; its second version is NaN as soon as one beat is
    silent, its first leaves out the whole bar. pypianoroll multiplies along the axis of steps, so
    that it raises unless a beat has twelve. NaN where no beat is shared.

    Args:
      rolls: bool [..., tracks, steps, pitches], steps of whole beats.
      steps_per_beat: steps of a quarter note.
      min_pitch: MIDI pitch of the lowest.

    Returns:
      float64 [..., tracks, tracks].

    Source: Harte, Sandler and Gasser 2006 (Detecting Harmonic Change in Musical Audio), section
    2.2, equations 3 and 4.
    """
    chroma = _parts(_chroma(rolls, min_pitch), steps_per_beat, axis=-2).sum(axis=-2)
    total = chroma.sum(axis=-1)
    centroids = chroma / np.maximum(total, 1)[..., None] @ _tonal_space().T
    tracks = range(rolls.shape[-3])
    distances = np.empty((*rolls.shape[:-3], len(tracks), len(tracks)))
    for a in tracks:
        for b in tracks:
            gaps = np.linalg.norm(centroids[..., a, :, :] - centroids[..., b, :, :], axis=-1)
            is_shared = (total[..., a, :] > 0) & (total[..., b, :] > 0)
            distances[..., a, b] = _ratio(
                (gaps * is_shared).sum(axis=-1), np.count_nonzero(is_shared, axis=-1)
            )
    return distances


def _chroma(rolls: np.ndarray, min_pitch: int) -> np.ndarray:
    """Pitches of each class that sound: uint8 [..., steps, 12]."""
    chroma = np.zeros((*rolls.shape[:-1], 12), np.uint8)
    for first in range(-(min_pitch % 12), rolls.shape[-1], 12):
        part = rolls[..., max(first, 0) : first + 12]
        begin = max(-first, 0)
        chroma[..., begin : begin + part.shape[-1]] += part
    return chroma


def _tonal_space() -> np.ndarray:
    """Where each pitch class lies. [6, 12]."""
    angles = np.outer([7 / 6, 3 / 2, 2 / 3], np.pi * np.arange(12))
    both = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return (both * np.array([1.0, 1.0, 0.5])[:, None, None]).reshape(6, 12)


def _parts(values: np.ndarray, num_steps: int, axis: int = -1) -> np.ndarray:
    """Splits an axis of steps into parts of num_steps and these."""
    axis %= values.ndim
    num_parts = values.shape[axis] // num_steps
    return values.reshape(*values.shape[:axis], num_parts, num_steps, *values.shape[axis + 1 :])


def _num_notes(rolls: np.ndarray) -> np.ndarray:
    """Notes in rolls [..., steps, pitches]: int64 [...]."""
    first = np.count_nonzero(rolls[..., :1, :], axis=(-2, -1))
    later = np.count_nonzero(rolls[..., 1:, :] & ~rolls[..., :-1, :], axis=(-2, -1))
    return first + later


def _ratio(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """NaN where the denominator is 0."""
    ratios: np.ndarray = np.where(
        denominators > 0, numerators / np.maximum(denominators, 1), np.nan
    )
    return ratios
