"""What the metrics of piano-rolls are compared with: notes at random; and how rolls differ."""

from __future__ import annotations

import numpy as np


def shuffled_notes(roll: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many notes of the same lengths, each on a track, at a pitch and from a step by chance.

    The tracks' shares, rhythm and harmony are gone; what a metric still finds, the lengths and
    number of notes bring with them. Within a track and pitch all ways to place the notes that fall
    on it such that they neither overlap nor touch are equally likely.

    Args:
      roll: bool [steps, pitches, tracks].
      rng: equal generators give equal rolls.
    """
    num_steps, *_ = roll.shape
    lines = roll.reshape(num_steps, -1).T
    rows, lengths = _notes(lines)
    order = np.argsort(-lengths, kind="stable")  # long ones first: they find no room later
    rows, lengths = rows[order], lengths[order]
    assigned = _assigned(lengths, len(lines), num_steps, rng)
    if assigned is None:  # too full to be filled by chance
        assigned = rng.permutation(len(lines))[rows]
    shuffled = np.zeros_like(lines)
    for line in np.unique(assigned):
        own = rng.permutation(lengths[assigned == line])
        room = num_steps - int(own.sum()) - (len(own) - 1)
        gaps = np.sort(rng.choice(room + len(own), len(own), replace=False)) - np.arange(len(own))
        starts = gaps + np.concatenate([[0], np.cumsum(own[:-1] + 1)])
        for start, length in zip(starts.tolist(), own.tolist(), strict=True):
            shuffled[line, start : start + length] = True
    return np.ascontiguousarray(shuffled.T).reshape(roll.shape)


def pairwise_distance(rolls: np.ndarray) -> float:
    """Mean Jaccard distance of pairs: 0 if all rolls are the same, 1 if no two share a cell.

    Two silent rolls are the same. NaN with less than two rolls.

    Args:
      rolls: bool [rolls, ...].

    Source: Jaccard 1912; 1 - |both| / |either|.
    """
    num = len(rolls)
    if num < 2:
        return float("nan")
    packed = np.packbits(rolls.reshape(num, -1), axis=1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    num_cells = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    total = 0.0
    for i in range(num - 1):
        both = np.bitwise_count(words[i + 1 :] & words[i]).sum(axis=1, dtype=np.int64)
        either = num_cells[i] + num_cells[i + 1 :] - both
        total += float(np.sum(1 - both[either > 0] / either[either > 0]))
    return total / (num * (num - 1) / 2)


def _notes(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Line and length of each note of bool [lines, steps]."""
    padded = np.pad(lines.astype(np.int8), ((0, 0), (1, 1)))
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    ends = np.nonzero(change == -1)[1]
    return rows, ends - starts


def _assigned(
    lengths: np.ndarray, num_lines: int, num_steps: int, rng: np.random.Generator
) -> np.ndarray | None:
    """A line for each note, by chance among those with room; None where there is none."""
    assigned = rng.integers(0, num_lines, len(lengths))
    left = np.full(num_lines, num_steps + 1)  # a note takes the step after it as well
    for i, length in enumerate((lengths + 1).tolist()):
        if left[assigned[i]] < length:
            with_room = np.flatnonzero(left >= length)
            if not len(with_room):
                return None
            assigned[i] = rng.choice(with_room)
        left[assigned[i]] -= length
    return assigned
