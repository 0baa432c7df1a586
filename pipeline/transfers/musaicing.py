"""Musaicing: the notes' song put together from frames of the sound's song.

Source: Driedger, Prätzlich and Müller 2015, "Let It Bee: Towards NMF-inspired audio mosaicing",
ISMIR; C. Tralie's implementation has r 7, p 10, c 3. Added here: transposed copies of the sound's
song, of which those that fit are chosen; a mask that keeps a frame of several notes from sounding
those that are not wanted; and an equalizer.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.audio.griffin_lim import griffin_lim
from pipeline.audio.stft import istft, stft
from pipeline.audio.stretch import transpose
from pipeline.options import Options
from pipeline.transfers import _nmf, _spectra
from pipeline.transfers._mixing import mixed
from pipeline.transfers.base import Method, Request

_TINY = np.float32(1e-9)


class Params(Options):
    """What params.yaml sets for musaicing."""

    n_fft: int = Field(ge=64, description="length of a frame in samples, a power of 2")
    hop_length: int = Field(ge=16, description="samples from one frame to the next")
    num_iterations: int = Field(ge=1, description="steps in which the activations are learned")
    repetition_frames: int = Field(
        ge=0, description="a frame of the sound is repeated after more than so many (r); 0: sooner"
    )
    polyphony: int = Field(ge=0, description="most frames that sound at once (p); 0: no limit")
    continuity_frames: int = Field(
        ge=0, description="length of the kernel that keeps the sound's own order (c); 0: none"
    )
    shift_semitones: tuple[int, ...] = Field(
        min_length=1, description="the sound's song is offered transposed by each of these"
    )
    num_copies: int = Field(
        ge=1, description="of those, as many are used as fit the notes' song best together"
    )
    max_sound_seconds: float = Field(
        gt=0, description="of a longer song the loudest part of this length is used"
    )
    masking: float = Field(
        ge=0, le=1, description="how far a bin is held to what the notes' song has near it"
    )
    equalization: float = Field(
        ge=0, le=1, description="how far the average spectrum is brought to the sound's, smoothed"
    )
    griffin_lim_iterations: int = Field(
        ge=0, description="of the phases, which begin as the sound's own; 0: leaves them so"
    )


def transfer(request: Request, params: Params) -> np.ndarray:
    """Plays the notes' song with frames of the sound's, their own phases included.

    Strength mixes: 0 is the notes' song, 1 the new one alone, both equally loud.

    Args:
      request: two songs of a frame at least.
      params: see Params.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: too_short, silent.
    """
    notes, _ = _spectra.both(request, params.n_fft, params.hop_length)
    target = np.abs(notes)
    sound = _loudest(request.sound, round(params.max_sound_seconds * request.sample_rate))
    frames, rows = _templates(target, sound, request.sample_rate, params)
    weights = _nmf.activations(
        target,
        np.abs(frames),
        params.num_iterations,
        params.repetition_frames,
        params.polyphony,
        params.continuity_frames,
        rows,
        request.seed,
    )
    spectra = _masked(weights @ frames, target, params.masking)
    made = _sounded(spectra, len(request.notes), params)
    equalized = _spectra.equalized(made, sound, *_sizes(params), params.equalization)
    return mixed(request, equalized)


METHOD = Method("musaicing", Params, transfer)


def _loudest(audio: np.ndarray, num_samples: int) -> np.ndarray:
    """The piece of a sound with the most power, of so many samples at most."""
    if len(audio) <= num_samples:
        return audio
    energy = np.concatenate([[0.0], np.cumsum(np.square(audio, dtype=np.float64))])
    start = int(np.argmax(energy[num_samples:] - energy[:-num_samples]))
    return audio[start : start + num_samples]


def _templates(
    target: np.ndarray, sound: np.ndarray, sample_rate: int, params: Params
) -> tuple[np.ndarray, int]:
    """Spectra of the copies chosen, one after the other, and the frames of each copy.

    Chosen one by one: each time that with which the frames of the target find the most similar
    templates, the loud ones counting more.
    """
    copies = [
        stft(transpose(sound, sample_rate, shift) if shift else sound, *_sizes(params))
        for shift in params.shift_semitones
    ]
    levels = np.linalg.norm(target, axis=1, keepdims=True)
    wanted = _directions(target) * np.sqrt(levels)
    fits = np.stack([(wanted @ _directions(np.abs(copy)).T).max(axis=1) for copy in copies])
    chosen: list[int] = []
    best = np.zeros(len(target), np.float32)
    for _ in range(min(params.num_copies, len(copies))):
        totals = np.maximum(fits, best).sum(axis=1)
        totals[chosen] = -1  # not twice
        chosen.append(int(np.argmax(totals)))
        best = np.maximum(best, fits[chosen[-1]])
    return np.concatenate([copies[index] for index in chosen]), len(copies[0])


def _directions(magnitudes: np.ndarray) -> np.ndarray:
    """Square roots, so that weak partials count too, at unit length; silence stays 0."""
    roots = np.sqrt(magnitudes)
    norms = np.linalg.norm(roots, axis=1, keepdims=True)
    return roots / np.maximum(norms, 1e-3 * norms.max() + _TINY)


def _masked(spectra: np.ndarray, target: np.ndarray, masking: float) -> np.ndarray:
    """No bin louder than the target's loudest in reach of a bin; with less masking, nearly so."""
    if not masking:
        return spectra
    padded = np.pad(target, ((0, 0), (1, 1)))
    allowed = np.maximum(np.maximum(padded[:, :-2], padded[:, 2:]), target)
    excess = np.maximum(np.abs(spectra) / (allowed + _TINY), 1)
    return spectra * excess ** np.float32(-masking)


def _sounded(spectra: np.ndarray, num_samples: int, params: Params) -> np.ndarray:
    if not params.griffin_lim_iterations:
        return istft(spectra, params.hop_length, num_samples)
    magnitudes = np.abs(spectra)
    return griffin_lim(
        magnitudes,
        params.hop_length,
        num_samples,
        params.griffin_lim_iterations,
        phases=spectra / np.maximum(magnitudes, _TINY),
    )


def _sizes(params: Params) -> tuple[int, int]:
    return params.n_fft, params.hop_length
