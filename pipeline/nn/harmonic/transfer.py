"""A song's notes played in the timbre of another song by a HarmonicAutoencoder.

As one voice: its pitch is tracked, and its loudness moved to where the other song's lies. Or note
by note, for songs of several voices: each transcribed note is played by itself, at a constant
pitch, with the course of loudness that notes of the other song have; their sum is the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import Rejected

_BATCH_NOTES = 8
_RANGE_DB = 40.0  # below the loudest frame none counts
_RELEASE_DB, _RELEASE_SECONDS = -60.0, 0.15  # of a note that is let go
_PEAK_SECONDS = 0.15  # after its onset a note is loudest


@dataclass(frozen=True)
class Player:
    """A trained HarmonicAutoencoder with the numbers it was built by."""

    model: Any
    sample_rate: int
    hop_length: int

    def encode(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [samples] -> loudness in dB [frames], latent [latent_size]."""
        padded = np.pad(audio, (0, -len(audio) % self.hop_length))
        loudness_db, latents = self.model.encode(padded[None])
        return np.asarray(loudness_db)[0], np.asarray(latents)[0]

    def play(
        self, f0_hz: np.ndarray, loudness_db: np.ndarray, latent: np.ndarray, seed: int
    ) -> np.ndarray:
        """f0 and loudness [sounds, frames], one latent -> [sounds, (frames - 1) * hop_length]."""
        num, num_frames = f0_hz.shape
        shape = num, (num_frames - 1) * self.hop_length
        noise = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
        latents = np.repeat(latent[None], num, axis=0)
        return np.asarray(self.model.play(f0_hz, loudness_db, latents, noise))


def transfer(player: Player, request: Any, polyphony: str) -> np.ndarray:
    """The third song.

    Args:
      player: of the corpus's sample rate.
      request: with notes, sound, sample_rate, strength, seed; see transfers.base.Request.
      polyphony: "f0" or "notes", as above.

    Returns:
      float32 in [-1, 1], as long as request.notes.

    Raises:
      Rejected: wrong_sample_rate, too_short_audio, silent_audio, no_pitch, no_notes.
    """
    if request.sample_rate != player.sample_rate:
        detail = f"sample_rate={request.sample_rate}; the model's is {player.sample_rate}"
        raise Rejected("wrong_sample_rate", detail)
    for name in ("notes", "sound"):
        _check(getattr(request, name), name, player)
    loudness_db, own = player.encode(request.notes)
    sound_db, other = player.encode(request.sound)
    latent = own + request.strength * (other - own)
    if polyphony == "f0":
        level_db = request.strength * (_mean_level(sound_db) - _mean_level(loudness_db))
        audio = _as_one_voice(player, request, loudness_db + level_db, latent)
    else:
        audio = _by_notes(player, request, (loudness_db, sound_db), latent)
    return (audio / max(1.0, float(np.abs(audio).max()))).astype(np.float32)


def _check(audio: np.ndarray, name: str, player: Player) -> None:
    least = player.model.analysis.n_fft
    if len(audio) < least:
        raise Rejected("too_short_audio", f"{name}: samples={len(audio)}; {least} are needed")
    if not audio.any():
        raise Rejected("silent_audio", f"{name}: all samples are 0")


def _mean_level(loudness_db: np.ndarray) -> float:
    """The mean over frames that sound."""
    return float(loudness_db[loudness_db > loudness_db.max() - _RANGE_DB].mean())


def _as_one_voice(
    player: Player, request: Any, loudness_db: np.ndarray, latent: np.ndarray
) -> np.ndarray:
    from pipeline.audio import pitch

    f0_hz, is_voiced = pitch.f0(request.notes, player.sample_rate, player.hop_length)
    if not is_voiced.any():
        raise Rejected("no_pitch", "notes: no frame has a pitch that could be tracked")
    f0_hz = np.pad(f0_hz, (0, max(0, len(loudness_db) - len(f0_hz))), mode="edge")
    voiced = np.flatnonzero(np.pad(is_voiced, (0, len(f0_hz) - len(is_voiced)), mode="edge"))
    # Where nothing is voiced, the pitch before goes on: consonants and releases have one, too.
    last = np.searchsorted(voiced, np.arange(len(loudness_db)), side="right") - 1
    held = f0_hz[voiced[np.maximum(last, 0)]]
    audio = player.play(held[None], loudness_db[None], latent, request.seed)[0]
    return audio[: len(request.notes)]


def _by_notes(
    player: Player,
    request: Any,
    loudness_db: tuple[np.ndarray, np.ndarray],
    latent: np.ndarray,
) -> np.ndarray:
    from pipeline.audio.transcription import transcribe

    notes, others = (transcribe(x, player.sample_rate) for x in (request.notes, request.sound))
    if not notes:
        raise Rejected("no_notes", "notes: nothing in it is heard as a note")
    courses = [
        _course(db, heard, player)
        for db, heard in zip(loudness_db, (notes, others or notes), strict=True)
    ]
    num_frames = max(map(len, courses))
    own, other = (_held(course, num_frames) for course in courses)
    course = own + request.strength * (other - own)
    levels_db = _note_levels(notes, loudness_db[0], player)
    levels_db += request.strength * (_mean_level(loudness_db[1]) - _mean_level(loudness_db[0]))
    audio = np.zeros(len(request.notes) + _num_samples(notes, player))
    order = np.argsort([note.end_time - note.start_time for note in notes], kind="stable")
    for first in range(0, len(order), _BATCH_NOTES):  # of similar lengths
        rows = order[first : first + _BATCH_NOTES]
        batch = [notes[i] for i in rows]
        made = _notes_played(player, batch, levels_db[rows], course, latent, request.seed + first)
        for note, sound in zip(batch, made, strict=True):
            start = round(note.start_time * player.sample_rate)
            audio[start : start + len(sound)] += sound[: len(audio) - start]
    return audio[: len(request.notes)]


def _num_samples(notes: Sequence[Any], player: Player) -> int:
    """Of the longest note with its release, rounded up so that few shapes occur."""
    longest = max(note.end_time - note.start_time for note in notes) + _RELEASE_SECONDS
    step = player.hop_length * 16
    return int(-(-longest * player.sample_rate // step)) * step


def _notes_played(
    player: Player,
    notes: Sequence[Any],
    levels_db: np.ndarray,
    course: np.ndarray,
    latent: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Each by itself, from its onset: [notes, samples]."""
    num_frames = _num_samples(notes, player) // player.hop_length + 1
    seconds = np.arange(num_frames) * player.hop_length / player.sample_rate
    lasting = np.array([note.end_time - note.start_time for note in notes])
    own = _held(course, num_frames)
    since = np.maximum(0, seconds - lasting[:, None])
    loudness_db = levels_db[:, None] + own + _RELEASE_DB * since / _RELEASE_SECONDS
    f0_hz = np.array([440 * 2 ** ((note.pitch - 69) / 12) for note in notes])
    missing = _BATCH_NOTES - len(notes)  # rows that no one hears: one shape, compiled once
    filled = np.pad(loudness_db, ((0, missing), (0, 0)), mode="edge")
    f0_hz = np.pad(f0_hz, (0, missing), mode="edge")
    made = player.play(
        np.repeat(f0_hz[:, None], num_frames, axis=1), np.maximum(filled, -80.0), latent, seed
    )
    return made[: len(notes)]


def _held(course: np.ndarray, num_frames: int) -> np.ndarray:
    """A course as long as is asked for; beyond its end it falls as it did in its second half."""
    half = len(course) // 2
    slope = min(0.0, float(course[-1] - course[half])) / max(1, len(course) - 1 - half)
    after = course[-1] + slope * np.arange(1, num_frames + 1)
    return np.concatenate([course, after])[:num_frames]


def _course(loudness_db: np.ndarray, notes: Sequence[Any], player: Player) -> np.ndarray:
    """How the loudness of a song's notes goes on after their onset, in dB below their peak.

    The median over notes, as far as half of them last; 0 at a note's loudest.
    """
    per_second = player.sample_rate / player.hop_length
    starts = np.array([round(note.start_time * per_second) for note in notes])
    lengths = np.array([(note.end_time - note.start_time) * per_second for note in notes])
    num_frames = max(2, int(np.median(lengths)))
    places = starts[:, None] + np.arange(num_frames)
    inside = (np.arange(num_frames) < np.maximum(lengths, 2)[:, None]) & (places < len(loudness_db))
    heard = np.where(inside, loudness_db[np.minimum(places, len(loudness_db) - 1)], np.nan)
    peaks = np.nanmax(heard[:, : max(1, round(_PEAK_SECONDS * per_second))], axis=1)
    return np.minimum(np.nanmedian(heard - peaks[:, None], axis=0), 0.0)


def _note_levels(notes: Sequence[Any], loudness_db: np.ndarray, player: Player) -> np.ndarray:
    """The loudness of each note: the song's at its onset, shared by the notes that sound then."""
    per_second = player.sample_rate / player.hop_length
    levels = []
    for note in notes:
        start = min(round(note.start_time * per_second), len(loudness_db) - 1)
        peak = loudness_db[start : start + max(1, round(_PEAK_SECONDS * per_second))].max()
        num = sum(n.start_time <= note.start_time + 0.02 < n.end_time for n in notes)
        levels.append(peak - 10 * np.log10(max(1, num)))
    return np.array(levels)
