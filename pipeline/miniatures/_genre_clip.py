"""Clips in the styles of genres that overlap, for the miniatures of sets of labelled music.

What a genre fixes is a `Style` of `_styled_clip`: instruments, range of tempo, register, loudness,
drums, how often in minor, how long its notes are. That no two genres are told apart without error,
tempi overlap, instruments are shared, one clip in four has the instruments of the genre that comes
next in its set, and key and gain are drawn whatever the genre.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

import numpy as np

from pipeline.miniatures._styled_clip import CLIP_SECONDS, SAMPLE_RATE, Style, composed
from pipeline.readers.soundfont import Note, general_midi

__all__ = ["CLIP_SECONDS", "SAMPLE_RATE", "STYLES", "Piece", "drawn", "sound_file", "sounded"]

LICENCE = "none of its own: rendered with TimGM6mb.sf2, which is under the GPL, version 2"
BORROWED_SHARE = 0.25
_GAINS = (0.3, 1.0)

# melody, chords, bass; tempo, lowest pitch, velocity, drums, share of minor, eighths a note
STYLES: dict[str, Style] = {
    "ambient": Style(91, 89, 39, (60, 92), 60, 70, False, 0.6, 4.0),
    "blues": Style(22, 26, 32, (66, 120), 55, 95, True, 0.5, 1.6),
    "classical": Style(40, 48, 42, (66, 126), 60, 85, False, 0.4, 1.8),
    "country": Style(25, 24, 32, (84, 136), 60, 95, True, 0.1, 1.3),
    "disco": Style(61, 48, 33, (104, 132), 60, 105, True, 0.5, 1.3),
    "electronic": Style(81, 90, 38, (108, 144), 62, 112, True, 0.6, 1.2),
    "experimental": Style(95, 91, 39, (54, 132), 50, 85, False, 0.7, 3.0),
    "folk": Style(73, 24, 32, (80, 136), 64, 90, False, 0.3, 1.4),
    "hiphop": Style(4, 89, 38, (76, 112), 52, 100, True, 0.8, 1.8),
    "instrumental": Style(0, 48, 42, (60, 120), 57, 85, False, 0.4, 1.8),
    "international": Style(104, 73, 32, (80, 144), 60, 95, True, 0.6, 1.3),
    "jazz": Style(66, 0, 32, (84, 168), 52, 95, True, 0.5, 1.3),
    "metal": Style(30, 30, 34, (108, 176), 50, 124, True, 0.9, 1.1),
    "pop": Style(0, 25, 33, (88, 132), 62, 100, True, 0.25, 1.4),
    "reggae": Style(16, 27, 33, (66, 104), 57, 98, True, 0.5, 1.7),
    "rock": Style(29, 27, 33, (100, 156), 55, 114, True, 0.35, 1.5),
}


class Piece(NamedTuple):
    """What is drawn of a piece before its notes are.

    Attributes:
      genre: as its label has it.
      style: as it sounds; its instruments may be another genre's.
      key: pitch class of the tonic.
      mode: 1 for major, 0 for minor.
      tempo: in beats a minute.
      gain: of the recording.
    """

    genre: str
    style: Style
    key: int
    mode: int
    tempo: float
    gain: float


def drawn(genre: str, genres: Sequence[str], seed: list[int]) -> Piece:
    """Draws instruments, key, mode, tempo and gain of a piece.

    Args:
      genre: one of `genres`.
      genres: those of the set, names in STYLES; whoever comes next, may lend its instruments.
      seed: draws everything.
    """
    rng = np.random.default_rng(seed)
    style = STYLES[genre]
    if rng.random() < BORROWED_SHARE:
        lender = STYLES[genres[(genres.index(genre) + 1) % len(genres)]]
        style = style._replace(melody=lender.melody, chords=lender.chords, bass=lender.bass)
    return Piece(
        genre,
        style,
        key=int(rng.integers(12)),
        mode=int(rng.random() >= style.minor_share),
        tempo=float(rng.integers(style.tempo[0], style.tempo[1] + 1)),
        gain=float(rng.uniform(*_GAINS)),
    )


def sounded(piece: Piece, seed: list[int]) -> np.ndarray:
    """Six seconds of the piece; another seed is another passage of it.

    Returns:
      float32 in [-0.99, 0.99] at SAMPLE_RATE. Shape [CLIP_SECONDS * SAMPLE_RATE].
    """
    clip = composed(piece.genre, piece.key, piece.mode, piece.tempo, seed, piece.style)
    mix = np.zeros(CLIP_SECONDS * SAMPLE_RATE, np.float32)
    for note in clip.notes:
        start, end = round(note.start_time * SAMPLE_RATE), round(note.end_time * SAMPLE_RATE)
        if start >= len(mix):
            continue
        end = min(end, len(mix))
        whole = _single_note(note.program, note.pitch, note.is_drum, _longer(end - start))
        waveform = whole[: min(end + len(_RELEASE), len(mix)) - start]
        level = np.float32((note.velocity / _VELOCITY) ** 2)  # 40 log10, as SoundFonts have it
        held, released = np.split(waveform, [end - start])
        mix[start : start + len(held)] += level * held
        mix[end : end + len(released)] += level * released * _RELEASE[: len(released)]
    return mix * np.float32(piece.gain * min(1.0, 0.99 / max(float(np.abs(mix).max()), 1e-6)))


_VELOCITY = 100
_RELEASE = np.linspace(1, 0, round(0.1 * SAMPLE_RATE), dtype=np.float32)


def _longer(num_samples: int) -> int:
    """Half a second, or twice, four times, ... as long, so that few lengths are rendered."""
    longer = SAMPLE_RATE // 2
    while longer < num_samples:
        longer *= 2
    return longer


@cache
def _single_note(program: int, pitch: int, is_drum: bool, num_samples: int) -> np.ndarray:
    """A note of which those that are shorter or softer are made, in half the time of their own.

    float32. Shape [num_samples + len(_RELEASE)].
    """
    num_samples += len(_RELEASE)
    note = Note(0.0, num_samples / SAMPLE_RATE, pitch, _VELOCITY, program, is_drum)
    return general_midi().render([note], SAMPLE_RATE, num_samples)


def sound_file(audio: np.ndarray, sample_rate: int, kind: Literal["WAV", "MP3"]) -> bytes:
    """A file of 16-bit samples, or an MP3; equal to the byte for equal samples."""
    import soundfile

    buffer = io.BytesIO()
    more = {"compression_level": 0.5} if kind == "MP3" else {"subtype": "PCM_16"}
    soundfile.write(buffer, audio, sample_rate, format=kind, **more)
    return buffer.getvalue()
