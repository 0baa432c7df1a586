"""Single notes cut out of a song: those that sound alone as they are, the others separated.

Source: score-informed separation after Ewert and Müller 2012 ("Using Score-Informed Constraints for
NMF-Based Source Separation"), a note at a time, in its own surroundings only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.audio.stft import istft, stft
from pipeline.audio.transcription import Note
from pipeline.transfers._note_partials import onset, partials

PRE_ROLL_SECONDS = 0.012  # kept before an onset, where an attack begins
_ATTACK_SECONDS = 0.05
_MIN_SECONDS = 0.06
_FADE_SECONDS = 0.008
_N_FFT = 2048
_HOP_LENGTH = 256
_NUM_ITERATIONS = 3  # more make the templates explain what is not theirs
_LEVEL_SECONDS = 0.2
_EARLY_SECONDS, _LATE_SECONDS = 0.06, 0.2  # a note may sound so long outside its bounds


@dataclass(frozen=True)
class Sample:
    """One note of a song.

    Attributes:
      pitch: MIDI number.
      audio: from 12 ms before its onset. float32. Shape [samples].
      overlap: mean number of other notes that sounded with it; 0: it was alone.
      level: root mean square of its loudest 0.2 s, full scale 1.
    """

    pitch: int
    audio: np.ndarray
    overlap: float
    level: float


def samples(
    audio: np.ndarray, sample_rate: int, notes: Sequence[Note], num_per_pitch: int
) -> list[Sample]:
    """The most isolated and longest notes of each pitch.

    Args:
      audio: the song they sound in. float32, mono. Shape [samples].
      sample_rate: in Hz.
      notes: what is heard in it.
      num_per_pitch: how many are cut out at most.

    Returns:
      By pitch, the best first. Empty if all notes are silent or shorter than 60 ms.
    """
    exact = [note._replace(start_time=onset(audio, sample_rate, note)) for note in notes]
    cuts = [_cut(note, exact, len(audio) / sample_rate) for note in exact]
    usable = [cut for cut in cuts if cut.end - cut.note.start_time > _MIN_SECONDS]
    usable.sort(key=lambda cut: (cut.note.pitch, cut.overlap - cut.end + cut.note.start_time))
    found: list[Sample] = []
    for cut in usable:
        if sum(sample.pitch == cut.note.pitch for sample in found) < num_per_pitch:
            sound = _sound(audio, sample_rate, cut)
            own_level = loudest(sound, sample_rate)
            if own_level > 0:
                found.append(Sample(cut.note.pitch, sound, cut.overlap, own_level))
    return found


@dataclass(frozen=True)
class _Cut:
    """Where a note is cut out, in seconds, and the notes that sound meanwhile."""

    note: Note
    start: float
    end: float
    others: tuple[Note, ...]
    overlap: float


def _cut(note: Note, notes: Sequence[Note], duration: float) -> _Cut:
    """A note is cut off where the next one of its pitch begins, if not at its own end."""
    start = max(0.0, note.start_time - PRE_ROLL_SECONDS)
    end = min(note.end_time, duration)
    again = [
        other.start_time - PRE_ROLL_SECONDS
        for other in notes
        if other.pitch == note.pitch and note.start_time + _MIN_SECONDS < other.start_time < end
    ]
    end = min([end, *again])
    others = tuple(n for n in notes if n is not note and n.start_time < end and n.end_time > start)
    shared = sum(min(n.end_time, end) - max(n.start_time, start) for n in others)
    return _Cut(note, start, end, others, shared / max(end - start, 1e-9))


def _sound(audio: np.ndarray, sample_rate: int, cut: _Cut) -> np.ndarray:
    """The note's own sound between its bounds, faded at both ends. float32. Shape [samples]."""
    first, last = round(cut.start * sample_rate), round(cut.end * sample_rate)
    if cut.others:
        margin = _N_FFT // 2
        before = min(margin, first)
        around = audio[first - before : last + margin]
        offset = (first - before) / sample_rate
        separated = _separated(around, sample_rate, cut, offset)
        sound = separated[before : before + last - first]
    else:
        sound = audio[first:last].copy()
    fade = min(round(_FADE_SECONDS * sample_rate), len(sound) // 2)
    ramp = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    sound[:fade] *= ramp
    sound[len(sound) - fade :] *= ramp[::-1]
    return sound


def _separated(audio: np.ndarray, sample_rate: int, cut: _Cut, offset: float) -> np.ndarray:
    """What the other notes do not explain of a passage. float32. Shape [samples].

    Where another note begins, its attack is not taken for the note's own: there only what the
    note's own partials explain is kept.
    """
    spectra = stft(audio, _N_FFT, _HOP_LENGTH)
    times = offset + np.arange(len(spectra)) * _HOP_LENGTH / sample_rate
    notes = (cut.note, *cut.others)
    own, rest = _explained(np.abs(spectra).T, notes, times, sample_rate)
    total = own + rest + 1e-9
    is_attacked = np.zeros(len(times), bool)
    for note in cut.others:
        if abs(note.start_time - cut.note.start_time) > _ATTACK_SECONDS:
            is_attacked |= np.abs(times - note.start_time) < _ATTACK_SECONDS
    mask = np.where(is_attacked, own / total, 1 - rest / total)
    return istft(spectra * mask.T, _HOP_LENGTH, len(audio))


def _explained(
    magnitudes: np.ndarray, notes: Sequence[Note], times: np.ndarray, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes of the first note and of all others by non-negative factorization.

    Templates are zero but at a note's partials, gains but while it sounds. Shape [bins, frames].
    """
    bins_hz = np.arange(len(magnitudes)) * sample_rate / _N_FFT
    templates = np.stack([partials(note.pitch, bins_hz) for note in notes], axis=1)
    gains = np.stack([_activity(note, times) for note in notes])
    for _ in range(_NUM_ITERATIONS):  # Lee and Seung 2001, Kullback-Leibler
        quotient = magnitudes / (templates @ gains + 1e-9)
        gains *= (templates.T @ quotient) / (templates.sum(axis=0)[:, None] + 1e-9)
        quotient = magnitudes / (templates @ gains + 1e-9)
        templates *= (quotient @ gains.T) / (gains.sum(axis=1) + 1e-9)
    return templates[:, :1] @ gains[:1], templates[:, 1:] @ gains[1:]


def _activity(note: Note, times: np.ndarray) -> np.ndarray:
    is_on = (times > note.start_time - _EARLY_SECONDS) & (times < note.end_time + _LATE_SECONDS)
    return is_on.astype(np.float64)


def loudest(audio: np.ndarray, sample_rate: int) -> float:
    """Root mean square of the loudest 0.2 s of a sound, or of all of it if it is shorter."""
    window = min(round(_LEVEL_SECONDS * sample_rate), len(audio))
    if not window:
        return 0.0
    energy = np.concatenate([[0], np.cumsum(audio.astype(np.float64) ** 2)])
    return float(np.sqrt(max(0.0, (energy[window:] - energy[:-window]).max()) / window))
