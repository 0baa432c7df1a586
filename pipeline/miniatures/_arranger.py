"""A tune arranged for five tracks in a genre: melody, chords, bass, strings and drums.

Harmony: each bar takes the diatonic triad that covers most of the melody's length in it, of equals
the first of I, V, IV, vi, ii, iii, vii; diminished triads are left out, a bar without melody keeps
its chord, the last bar takes the tonic. The melody is exactly the tune, on its sixteenths; what is
swung or varied in loudness is the accompaniment, which begins with the first whole bar.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.miniatures import _midi
from pipeline.miniatures._styles import STYLES, Hit, Style
from pipeline.miniatures._tunes import Tune

TICKS_PER_QUARTER = 480
TICKS_PER_STEP = TICKS_PER_QUARTER // 4
_PREFERENCE = (0, 4, 3, 5, 1, 2, 6)
_LOWEST_CHORD, _LOWEST_BASS, _LOWEST_PAD = 48, 31, 55
_MELODY_VELOCITY = 100


def arrange(tune: Tune, genre: str, rng: np.random.Generator) -> bytes:
    """Writes a tune as a MIDI file of type 1 in a genre.

    Args:
      tune: the melody.
      genre: a key of STYLES.
      rng: chooses tempo, programs and loudness; equal generators give equal bytes.
    """
    style = STYLES[genre]
    start = int(tune.onsets_steps[0] > 0)
    bars = np.arange(start, tune.num_bars)
    degrees = harmonize(tune)[bars]
    qpm = _qpm(tune, style, rng)
    parts = [
        (tune.title, style.melody, _melody(tune)),
        ("Chords", style.chords, _block_chords(tune, style, bars, degrees, rng)),
        ("Bass", style.bass, _bass(tune, style, bars, degrees, rng)),
        ("Strings", style.pad, _pad(tune, bars, degrees)),
    ]
    tracks = [
        _midi.Track(name, int(rng.choice(programs)), *notes)
        for name, programs, notes in parts
        if programs
    ]
    tracks.append(_midi.Track("Drums", 0, *_drums(tune, style, bars, rng), is_drum=True))
    key = (_num_sharps(tune), tune.is_minor)
    return _midi.dumps(tracks, TICKS_PER_QUARTER, qpm, tune.metre, key)


def harmonize(tune: Tune) -> np.ndarray:
    """Gives for each bar the scale degree (0-6) of its triad. Shape [bars]."""
    weights = _pitch_class_steps(tune)
    candidates = [d for d in _PREFERENCE if (_chord(tune, d, (4,))[0] - tune.scale[d]) % 12 == 7]
    covered = np.stack(
        [weights[:, [p % 12 for p in _chord(tune, d, (0, 2, 4))]].sum(1) for d in candidates], 1
    )
    degrees = np.array(candidates)[covered.argmax(1)]
    for bar in np.flatnonzero(weights.sum(1) == 0):
        degrees[bar] = degrees[bar - 1] if bar else candidates[0]
    degrees[-1] = candidates[0]
    return degrees


def beat_steps(metre: tuple[int, int]) -> int:
    """Sixteenths in a beat: three eighths in 6/8, 9/8, 12/8, three quarters in 6/4; a half in 3/2
    and 4/2, an eighth in 3/8, else a quarter."""
    numerator, denominator = metre
    unit = 16 // denominator
    if numerator in (6, 9, 12):
        return 3 * unit
    return 4 if metre == (2, 2) else unit


def _qpm(tune: Tune, style: Style, rng: np.random.Generator) -> int:
    """Draws the tempo; beats far from a quarter count as 3/4 to 3/2 of one."""
    beats_per_minute = rng.integers(*style.beats_per_minute, endpoint=True)
    return round(beats_per_minute * min(max(beat_steps(tune.metre) / 4, 0.75), 1.5))


def _num_sharps(tune: Tune) -> int:
    """Gives the key signature of the tonic in major or minor, -5..6."""
    major_tonic = (tune.scale[0] + 3 * tune.is_minor) % 12
    sharps = major_tonic * 7 % 12
    return sharps if sharps <= 6 else sharps - 12


def _pitch_class_steps(tune: Tune) -> np.ndarray:
    """Gives how long each pitch class sounds in each bar. Shape [bars, 12]."""
    steps = np.repeat(tune.onsets_steps, tune.lengths_steps) + _arange_each(tune.lengths_steps)
    weights = np.zeros((tune.num_bars, 12))
    pitch_classes = np.repeat(tune.pitches % 12, tune.lengths_steps)
    np.add.at(weights, (steps // tune.bar_steps, pitch_classes), 1)
    return weights


def _arange_each(lengths: np.ndarray) -> np.ndarray:
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _chord(tune: Tune, degree: int, scale_steps: Iterable[int]) -> list[int]:
    """Gives semitones above C: degrees of the scale, the root's octave being the lowest."""
    places = [degree + step for step in scale_steps]
    root = tune.scale[degree]
    return [root + (tune.scale[p % 7] - root) % 12 + 12 * ((p - degree) // 7) for p in places]


def _voicings(
    tune: Tune, degrees: np.ndarray, scale_steps: tuple[int, ...], lowest: int
) -> np.ndarray:
    """Gives the pitches of chords whose root is within an octave above `lowest`."""
    table = np.zeros((7, len(scale_steps)), np.int64)
    for degree in range(7):
        chord = _chord(tune, degree, scale_steps)
        table[degree] = np.array(chord) - chord[0] + lowest + (chord[0] - lowest) % 12
    return table[degrees]


Notes = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _melody(tune: Tune) -> Notes:
    velocities = np.full(len(tune.pitches), _MELODY_VELOCITY)
    onsets, lengths = tune.onsets_steps * TICKS_PER_STEP, tune.lengths_steps * TICKS_PER_STEP
    return onsets, lengths, tune.pitches, velocities


def _block_chords(
    tune: Tune, style: Style, bars: np.ndarray, degrees: np.ndarray, rng: np.random.Generator
) -> Notes:
    onsets, lengths, velocities, bar_index, _ = _events(tune, style.chord_hits, bars, rng)
    pitches = _voicings(tune, degrees, style.voicing, _LOWEST_CHORD)[bar_index]
    size = pitches.shape[1]
    return (
        np.repeat(onsets, size),
        np.repeat(lengths, size),
        pitches.ravel(),
        np.repeat(velocities, size),
    )


def _bass(
    tune: Tune, style: Style, bars: np.ndarray, degrees: np.ndarray, rng: np.random.Generator
) -> Notes:
    onsets, lengths, velocities, bar_index, tones = _events(tune, style.bass_hits, bars, rng)
    pitches = _voicings(tune, degrees, (0, 2, 4, 7), _LOWEST_BASS)[bar_index, tones]
    return onsets, lengths, pitches, velocities


def _pad(tune: Tune, bars: np.ndarray, degrees: np.ndarray) -> Notes:
    """Third and fifth, held over each bar."""
    pitches = _voicings(tune, degrees, (0, 2, 4), _LOWEST_PAD)[:, 1:]
    bar_ticks = tune.bar_steps * TICKS_PER_STEP
    onsets = np.repeat(bars * bar_ticks, 2)
    return onsets, np.full_like(onsets, bar_ticks), pitches.ravel(), np.full_like(onsets, 56)


def _drums(tune: Tune, style: Style, bars: np.ndarray, rng: np.random.Generator) -> Notes:
    onsets, lengths, velocities, _, pitches = _events(tune, style.drum_hits, bars, rng)
    return onsets, lengths, pitches, velocities


def _events(
    tune: Tune, hits: tuple[Hit, ...], bars: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Repeats one bar's hits over the bars; a hit ends where the next begins, or the bar does.

    Returns:
      Onsets and lengths in ticks, velocities, the index into `bars`, and `Hit.what`, each of shape
      [bars * hits in a bar].
    """
    beat_ticks = beat_steps(tune.metre) * TICKS_PER_STEP
    bar_ticks = tune.bar_steps * TICKS_PER_STEP
    num_beats = bar_ticks // beat_ticks
    rows: dict[tuple[int, int], tuple[int, int]] = {}
    for hit in hits:
        for beat in _beats(hit, num_beats):
            onset = round((beat + hit.offset_beats) * beat_ticks)
            length = round((hit.length_beats or num_beats) * beat_ticks)
            rows.setdefault((onset, hit.what), (length, hit.velocity))
    onsets = np.array([onset for onset, _ in rows])
    next_onsets = np.append(np.unique(onsets), bar_ticks)
    lengths = np.array([length for length, _ in rows.values()])
    lengths = np.minimum(lengths, next_onsets[np.searchsorted(next_onsets, onsets) + 1] - onsets)
    velocities = np.array([velocity for _, velocity in rows.values()])
    noise = rng.integers(-5, 5, (len(bars), len(rows)), endpoint=True)
    return (
        (bars[:, None] * bar_ticks + onsets).ravel(),
        np.tile(lengths, len(bars)),
        np.clip(velocities + noise, 1, 127).ravel(),
        np.repeat(np.arange(len(bars)), len(rows)),
        np.tile(np.array([what for _, what in rows]), len(bars)),
    )


def _beats(hit: Hit, num_beats: int) -> list[int]:
    selections = {
        "first": [0],
        "second": [min(1, num_beats - 1)],
        "middle": [num_beats // 2],
        "last": [num_beats - 1],
        "even": list(range(0, num_beats, 2)),
        "odd": list(range(1, num_beats, 2)),
        "all": list(range(num_beats)),
    }
    return selections[hit.beats]
