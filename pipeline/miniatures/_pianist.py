"""A stochastic pianist: a score performed with rubato, dynamics, articulation and pedal.

The models, simple ones of performance research, and their constants:

- Tempo: log-tempo wanders as an Ornstein-Uhlenbeck process over the quarters (deviation 5 %,
  relaxing in 8 quarters), is up to 6 % faster inside each phrase, and slows down at its end along
  Friberg and Sundberg's curve v(x) = (1 + (w^q - 1) x)^(1/q), q = 3 (JASA 105, 1999): to w = 0.8
  over the last 2 quarters, at the end of the piece to 0.5 over the last 6.
- Phrases end at fermatas, where a score has three or more, else every 4 bars.
- Dynamics: velocity is a level, plus an Ornstein-Uhlenbeck process over the quarters (5, relaxing
  in 6), an arch of 12 over each phrase (Todd, JASA 91, 1992), voicing (the highest of the notes
  struck together 13 louder, the lowest 3, those between 5 softer), and noise of 2.5 per note.
- Asynchrony: notes struck together spread by 6 ms of noise; the highest leads by 14 +- 8 ms
  (Goebl, JASA 110, 2001, measured about 30 ms where it is louder by more).
- Articulation: a note sounds for 0.8-1.05 of its length (wandering), and at least 40 ms.
- Pedal: lifted where the harmony changes (at a quarter that brings two new pitch classes, or a new
  lowest note with one), pressed again 60-110 ms later; the depth varies.

A key is struck once at a time: unisons are one note, and a note ends 15 ms before its key's next.
"""

from __future__ import annotations

import numpy as np

from pipeline.miniatures import _midi
from pipeline.miniatures._scores import Score

TICKS_PER_QUARTER = 480
QPM = 120  # a clock only, as in recordings of a Disklavier: 960 ticks a second
_TICKS_PER_SECOND = TICKS_PER_QUARTER * QPM // 60
_GRID = 0.25  # quarters
_MIN_NOTE_SECONDS, _KEY_UP_SECONDS = 0.040, 0.015
_LEAD_IN_SECONDS = 1.0


def perform(score: Score, rng: np.random.Generator) -> tuple[bytes, float]:
    """Plays a score on a piano.

    Args:
      score: what is played.
      rng: the pianist's mood; equal generators give equal bytes.

    Returns:
      A MIDI file of one track (program 0, pedal on CC 64) at 120 qpm, 480 ticks a quarter, whose
      beat is a clock and not the music's; and its duration in seconds.
    """
    phrases = _phrase_ends(score)
    clock = _clock(score, phrases, rng)
    is_top, is_bottom = _outer_voices(score)
    onsets = np.interp(score.onsets, *clock)
    offsets = np.interp(score.onsets + score.lengths * _articulation(score, rng), *clock)
    lead = np.where(is_top, rng.normal(0.014, 0.008, len(onsets)), 0)
    onsets = np.maximum(onsets + rng.normal(0, 0.006, len(onsets)) - lead, 0)
    offsets = np.maximum(offsets, onsets + _MIN_NOTE_SECONDS)
    velocities = _velocities(score, phrases, is_top, is_bottom, rng)
    notes = _one_key_once(onsets, offsets, score.pitches, velocities)
    pedal = _pedal(score, clock, rng)
    piano = _midi.Track("", 0, *notes, pedal=pedal)
    last = max(int((piano.onsets + piano.lengths).max()), int(pedal[0][-1]))
    midi = _midi.dumps([piano], TICKS_PER_QUARTER, QPM, (4, 4))
    return midi, last / _TICKS_PER_SECOND


def _end(score: Score) -> float:
    return float((score.onsets + score.lengths).max())


def _phrase_ends(score: Score) -> np.ndarray:
    """Gives where phrases end, in quarters, ascending; the last is the end of the piece."""
    ends = score.fermatas if len(score.fermatas) >= 3 else score.bars[4::4]
    last = _end(score)
    return np.append(ends[(ends > 2) & (ends < last - 2)], last)


def _phrase_position(quarters: np.ndarray, phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives the place in the phrase, 0..1, and the distance to the phrase's end in quarters."""
    index = np.minimum(np.searchsorted(phrases, quarters, side="right"), len(phrases) - 1)
    begin = np.concatenate([[0.0], phrases])[index]
    end = phrases[index]
    return np.clip((quarters - begin) / np.maximum(end - begin, 1e-9), 0, 1), end - quarters


def _clock(
    score: Score, phrases: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Gives the performance time in seconds at each quarter of a fine grid; piecewise linear."""
    grid = np.arange(0, _end(score) + 2, _GRID)
    marked = score.qpm if score.qpm and 30 <= score.qpm <= 180 else rng.uniform(58, 84)
    qpm = marked * np.exp(rng.normal(0, 0.06))
    place, left = _phrase_position(grid, phrases)
    rate = np.exp(_wander(len(grid), 0.05, 8 / _GRID, rng)) * (1 + 0.24 * place * (1 - place))
    rate *= _ritardando(left, over=2, to=0.8)
    rate *= _ritardando(phrases[-1] - grid, over=6, to=0.5)
    seconds = _GRID * 60 / (qpm * rate)
    return grid, _LEAD_IN_SECONDS + np.concatenate([[0], np.cumsum(seconds)[:-1]])


def _ritardando(left: np.ndarray, over: float, to: float) -> np.ndarray:
    """Friberg and Sundberg 1999, equation 1, q = 3; 1 before the last `over` quarters."""
    x = np.clip(1 - left / over, 0, 1)
    return (1 + (to**3 - 1) * x) ** (1 / 3)


def _wander(
    num_steps: int, deviation: float, relaxation_steps: float, rng: np.random.Generator
) -> np.ndarray:
    """A stationary Ornstein-Uhlenbeck process, sampled. Shape [num_steps]."""
    keep = np.exp(-1 / relaxation_steps)
    shocks = rng.normal(0, deviation * np.sqrt(1 - keep**2), num_steps)
    shocks[0] = rng.normal(0, deviation)
    values = np.empty(num_steps)
    value = 0.0
    for step, shock in enumerate(shocks.tolist()):
        value = keep * value + shock
        values[step] = value
    return values


def _outer_voices(score: Score) -> tuple[np.ndarray, np.ndarray]:
    """Says of each note whether it is the highest, the lowest of those that begin with it."""
    _, chord = np.unique(np.rint(score.onsets * 1000).astype(np.int64), return_inverse=True)
    highest = np.zeros(chord.max() + 1, np.int64)
    lowest = np.full(chord.max() + 1, 127)
    np.maximum.at(highest, chord, score.pitches)
    np.minimum.at(lowest, chord, score.pitches)
    is_top = score.pitches == highest[chord]
    return is_top, (score.pitches == lowest[chord]) & ~is_top


def _articulation(score: Score, rng: np.random.Generator) -> np.ndarray:
    """Gives the part of its length for which each note sounds. Shape [notes]."""
    quarters = int(_end(score)) + 2
    legato = 0.95 + _wander(quarters, 0.06, 8, rng)[score.onsets.astype(np.int64)]
    return np.clip(legato + rng.normal(0, 0.03, len(legato)), 0.8, 1.05)


def _velocities(
    score: Score,
    phrases: np.ndarray,
    is_top: np.ndarray,
    is_bottom: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    place, _ = _phrase_position(score.onsets, phrases)
    quarters = int(_end(score)) + 2
    wander = _wander(quarters, 5, 6, rng)[score.onsets.astype(np.int64)]
    voicing = np.where(is_top, 13, np.where(is_bottom, 3, -5))
    level = rng.normal(58, 6)
    noise = rng.normal(0, 2.5, len(place))
    velocities = level + wander + 48 * place * (1 - place) + voicing + noise
    return np.clip(np.rint(velocities), 12, 120).astype(np.int64)


def _one_key_once(
    onsets: np.ndarray, offsets: np.ndarray, pitches: np.ndarray, velocities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Merges unisons and cuts notes before their key is struck again; in ticks, by onset."""
    order = np.lexsort((onsets, pitches))
    kept: list[list[float]] = []  # pitch, onset, offset, velocity
    columns = (pitches[order], onsets[order], offsets[order], velocities[order])
    for pitch, onset, offset, velocity in zip(*(c.tolist() for c in columns), strict=True):
        last = kept[-1] if kept and kept[-1][0] == pitch else None
        if last and onset - last[1] < _MIN_NOTE_SECONDS + _KEY_UP_SECONDS:
            last[2], last[3] = max(last[2], offset), max(last[3], velocity)
            continue
        if last:
            last[2] = min(last[2], onset - _KEY_UP_SECONDS)
        kept.append([pitch, onset, offset, velocity])
    notes = np.array(kept)
    ticks = np.rint(notes[:, 1:3] * _TICKS_PER_SECOND).astype(np.int64)
    order = np.lexsort((notes[:, 0], ticks[:, 0]))
    lengths = np.maximum(ticks[:, 1] - ticks[:, 0], 1)
    struck = notes[order].astype(np.int64)
    return ticks[order, 0], lengths[order], struck[:, 0], struck[:, 3]


def _pedal(
    score: Score, clock: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Gives the ticks and the values of the sustain pedal, ascending."""
    changes = _harmony_changes(score)
    times = np.interp(changes, *clock)
    down = times + rng.uniform(0.06, 0.11, len(times))
    depth = np.clip(np.rint(rng.normal(92, 12, len(times))), 64, 127)
    end = float(np.interp(_end(score), *clock)) + 0.5
    seconds = np.concatenate([np.stack([times, down], 1).ravel()[1:], [end]])
    values = np.concatenate([np.stack([np.zeros(len(times)), depth], 1).ravel()[1:], [0]])
    order = np.argsort(seconds, kind="stable")
    ticks = np.rint(seconds[order] * _TICKS_PER_SECOND).astype(np.int64)
    return ticks, values[order].astype(np.int64)


def _harmony_changes(score: Score) -> np.ndarray:
    """Gives the quarters at which the harmony changes, the first being the first note's."""
    starts = np.ceil(score.onsets - 1e-6).astype(np.int64)
    ends = np.maximum(np.ceil(score.onsets + score.lengths - 1e-6).astype(np.int64), starts)
    sounding: dict[int, set[int]] = {}
    for start, end, pitch in zip(starts, ends, score.pitches.tolist(), strict=True):
        for quarter in range(start, end):
            sounding.setdefault(quarter, set()).add(pitch)
    changes = [float(score.onsets[0])]
    held: set[int] = set()
    lowest = -1
    for quarter in sorted(sounding):
        pitches = sounding[quarter]
        num_new = len({p % 12 for p in pitches} - held)
        if num_new >= 2 or (num_new == 1 and min(pitches) != lowest):
            if held and quarter > changes[-1] + 0.5:
                changes.append(float(quarter))
            held = set()
            lowest = min(pitches)
        held |= {p % 12 for p in pitches}
    return np.array(changes)
