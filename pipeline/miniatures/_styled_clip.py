"""Six seconds of music in the style of a genre, and the audio features that belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.readers.soundfont import Note, general_midi

SAMPLE_RATE = 22_050
CLIP_SECONDS = 6
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_LOOPS = ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 2, 3, 4))  # degrees, from 0, a chord a bar
_KICK, _SNARE, _HAT = 36, 38, 42
_ACOUSTIC_PROGRAMS = {
    *range(4), *range(8, 16), *range(19, 26), 32, *range(40, 50), 52, 53, *range(56, 62),
    *range(64, 80),
}  # fmt: skip


class Style(NamedTuple):
    """What a genre fixes.

    Attributes:
      melody, chords, bass: General MIDI programs, from 0.
      tempo: the slowest and the fastest, in beats a minute.
      lowest_pitch: of the melody.
      velocity: of the melody; chords and bass are softer.
      has_drums: kick, snare and hi-hat.
      minor_share: of the tracks.
      steps_a_note: eighths that a note of the melody lasts, on the average.
    """

    melody: int
    chords: int
    bass: int
    tempo: tuple[int, int]
    lowest_pitch: int
    velocity: int
    has_drums: bool
    minor_share: float
    steps_a_note: float


GENRES: dict[str, Style] = {
    "ambient": Style(91, 89, 39, (60, 84), 60, 70, False, 0.6, 4.0),
    "classical": Style(40, 48, 42, (72, 132), 62, 85, False, 0.4, 2.0),
    "electronic": Style(81, 90, 38, (116, 140), 62, 112, True, 0.6, 1.2),
    "folk": Style(73, 24, 32, (88, 132), 67, 90, False, 0.3, 1.4),
    "jazz": Style(66, 0, 32, (88, 176), 52, 95, True, 0.5, 1.3),
    "rock": Style(29, 27, 33, (108, 168), 57, 118, True, 0.4, 1.6),
}


class Composition(NamedTuple):
    """A clip before it sounds; `key` is a pitch class, `mode` is 1 for major and 0 for minor."""

    genre: str
    key: int
    mode: int
    tempo: float
    notes: tuple[Note, ...]


def composed(
    genre: str, key: int, mode: int, tempo: float, seed: list[int], style: Style | None = None
) -> Composition:
    """A chord loop, a bass on its roots, a melody that walks on the scale, drums where due.

    Args:
      genre: its name.
      key: pitch class of the tonic, 0..11.
      mode: 1 for major, 0 for minor.
      tempo: in beats a minute.
      seed: draws loop, melody and dynamics.
      style: of the genre; GENRES[genre], if none is given.
    """
    style = style or GENRES[genre]
    rng = np.random.default_rng(seed)
    loop = _LOOPS[rng.integers(len(_LOOPS))]
    dynamics = float(rng.uniform(0.65, 1.0))
    eighth = 30 / tempo
    num_eighths = int(np.ceil(CLIP_SECONDS / eighth))
    parts = [*_accompaniment(style, loop, num_eighths), *_melody(style, loop, num_eighths, rng)]
    notes = [
        Note(
            start_time=part.start * eighth,
            end_time=(part.start + part.length) * eighth,
            pitch=_pitch(part.degree, part.lowest_pitch, key, mode),
            velocity=int(np.clip(style.velocity * dynamics * part.loudness, 1, 127)),
            program=part.program,
        )
        for part in parts
    ]
    drums = _drums(num_eighths, eighth, dynamics) if style.has_drums else []
    return Composition(genre, key, mode, tempo, (*notes, *drums))


def rendered(composition: Composition) -> np.ndarray:
    """float32 in [-0.99, 0.99]. Shape [CLIP_SECONDS * SAMPLE_RATE]."""
    num_samples = CLIP_SECONDS * SAMPLE_RATE
    audio = general_midi().render(composition.notes, SAMPLE_RATE, num_samples)
    return audio * min(1.0, 0.99 / max(float(np.abs(audio).max()), 1e-6))


def audio_features(composition: Composition, audio: np.ndarray, track_id: str) -> dict[str, object]:
    """Spotify's audio features, by formulas of the notes and of the waveform.

    loudness = 20 log10 rms, in dB; energy = (loudness + 36) / 26;
    valence = 0.1 + 0.3 mode + 0.35 (tempo - 60) / 120 + 0.25 (mean pitch of the melody - 52) / 36;
    danceability = 0.3 + 0.4 [has drums] + 0.3 (1 - |tempo - 120| / 60);
    acousticness = the share of notes on programs of acoustic instruments; all within [0, 1].
    """
    melody = GENRES[composition.genre].melody
    pitches = [n.pitch for n in composition.notes if n.program == melody and not n.is_drum]
    is_acoustic = [n.program in _ACOUSTIC_PROGRAMS and not n.is_drum for n in composition.notes]
    tempo, register = composition.tempo, float(np.mean(pitches))
    loudness = 20 * np.log10(np.sqrt(np.mean(audio.astype(np.float64) ** 2)) + 1e-9)
    has_drums = any(n.is_drum for n in composition.notes)
    brightness = 0.35 * (tempo - 60) / 120 + 0.25 * (register - 52) / 36
    uri = f"spotify:track:{track_id}"
    return {
        "danceability": _share(0.3 + 0.4 * has_drums + 0.3 * (1 - abs(tempo - 120) / 60)),
        "energy": _share((loudness + 36) / 26),
        "key": composition.key,
        "loudness": round(float(loudness), 3),
        "mode": composition.mode,
        "speechiness": 0.03,
        "acousticness": _share(float(np.mean(is_acoustic))),
        "instrumentalness": 1.0,
        "liveness": 0.1,
        "valence": _share(0.1 + 0.3 * composition.mode + brightness),
        "tempo": tempo,
        "type": "audio_features",
        "id": track_id,
        "uri": uri,
        "track_href": f"https://api.spotify.com/v1/tracks/{track_id}",
        "analysis_url": f"https://api.spotify.com/v1/audio-analysis/{track_id}",
        "duration_ms": 1000 * CLIP_SECONDS,
        "time_signature": 4,
    }


class _Part(NamedTuple):
    """A note on the scale; start and length in eighths, degree 0 is the tonic."""

    start: float
    length: float
    degree: int
    lowest_pitch: int
    loudness: float
    program: int


def _accompaniment(style: Style, loop: tuple[int, ...], num_eighths: int) -> Iterator[_Part]:
    for bar in range(-(-num_eighths // 8)):
        root = loop[bar % len(loop)]
        for tone in (0, 2, 4):
            yield _Part(8 * bar, 7.8, (root + tone) % 7, 50, 0.7, style.chords)
        for beat in (0, 4):
            yield _Part(8 * bar + beat, 3.6, root, 33, 0.85, style.bass)


def _melody(
    style: Style, loop: tuple[int, ...], num_eighths: int, rng: np.random.Generator
) -> Iterator[_Part]:
    """A walk on the scale; what begins with a bar is a tone of the bar's chord."""
    at, degree = 0, int(rng.integers(0, 8))
    while at < num_eighths:
        length = max(1, round(float(rng.exponential(style.steps_a_note))))
        degree = int(np.clip(degree + rng.integers(-2, 3), 0, 11))
        if at % 8 == 0:
            chord = loop[(at // 8) % len(loop)]
            degree = 7 * (degree // 7) + (chord + 2 * int(rng.integers(0, 3))) % 7
        yield _Part(at, 0.92 * length, degree, style.lowest_pitch, 1.0, style.melody)
        at += length


def _pitch(degree: int, lowest_pitch: int, key: int, mode: int) -> int:
    octave, step = divmod(degree, 7)
    return (
        lowest_pitch + (key - lowest_pitch) % 12 + 12 * octave + (_MAJOR if mode else _MINOR)[step]
    )


def _drums(num_eighths: int, eighth: float, dynamics: float) -> list[Note]:
    hits = []
    for i in range(num_eighths):
        pitches = {0: (_KICK, _HAT), 4: (_KICK, _HAT), 2: (_SNARE, _HAT), 6: (_SNARE, _HAT)}
        for pitch in pitches.get(i % 8, (_HAT,)):
            velocity = int((70 if pitch == _HAT else 105) * dynamics)
            hits.append(Note(i * eighth, (i + 0.8) * eighth, pitch, velocity, 0, True))
    return hits


def _share(value: float) -> float:
    return round(float(np.clip(value, 0, 1)), 4)
