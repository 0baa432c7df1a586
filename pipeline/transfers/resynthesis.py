"""The notes of one song, transcribed, played with single notes of the other or a SoundFont's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from pipeline.audio.transcription import Note, transcribe
from pipeline.errors import Rejected
from pipeline.options import Options
from pipeline.readers import soundfont
from pipeline.transfers import _spectra
from pipeline.transfers._mixing import mixed
from pipeline.transfers._note_bank import PRE_ROLL_SECONDS, Sample, samples
from pipeline.transfers._note_partials import exact, level
from pipeline.transfers._note_playing import sounding
from pipeline.transfers.base import Method, Request

_N_FFT, _HOP_LENGTH = 1024, 256
_SHARED_SEMITONES = 2.0  # a note that another sounds with is as bad as one this much further away,
_SHORT_SEMITONES = 2.0  # and so is one half as long as wanted
_RANGE_DB = 30.0  # between the softest note and the loudest
_LOUDEST_VELOCITY = 110


class Params(Options):
    """What params.yaml sets for the resynthesis."""

    program: int | None = Field(
        ge=0, le=127, description="General MIDI program that plays; null: notes of the sound's song"
    )
    is_solo_voice: bool = Field(description="whether the sound's formants stay when transposed")
    num_per_pitch: int = Field(ge=1, description="notes of a pitch taken from the sound's song")
    max_transpose_semitones: int = Field(
        ge=0, description="a note further than this from all of the sound's is left out"
    )
    dynamics: float = Field(
        ge=0, le=1, description="how far notes differ in level as in the notes' song; 0: as sampled"
    )
    release_seconds: float = Field(ge=0, description="in which a note fades out at its end")
    equalization: float = Field(
        ge=0, le=1, description="how far the average spectrum is brought to the sound's, smoothed"
    )


def transfer(request: Request, params: Params) -> np.ndarray:
    """Plays the notes that are heard in one song with the sound of the other.

    Strength mixes: 0 is the notes' song, 1 the new one alone, both equally loud.

    Args:
      request: two songs in which notes can be heard.
      params: see Params; a program makes all others but `dynamics` idle, and the sound unheard.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: no_notes, if none is heard in a song that is used, or none is near enough to play.
    """
    heard = _heard(request.notes, request.sample_rate, "notes")
    notes = exact(request.notes, request.sample_rate, heard)
    if params.program is None:
        played = _played(notes, request, params)
        sizes = (_N_FFT, _HOP_LENGTH)
        made = _spectra.equalized(played, request.sound, *sizes, params.equalization)
    else:
        made = _with_program(notes, request, params.program, params.dynamics)
    if not made.any():
        limit = f"max_transpose_semitones={params.max_transpose_semitones}"
        raise Rejected("no_notes", f"none of {len(notes)} can be played within {limit}")
    return mixed(request, made)


def _heard(audio: np.ndarray, sample_rate: int, song: str) -> list[Note]:
    notes = transcribe(audio, sample_rate)
    if not notes:
        raise Rejected("no_notes", f"none is heard in the song named {song}")
    return notes


def _played(notes: Sequence[Note], request: Request, params: Params) -> np.ndarray:
    """The mix of all notes, each played with the sample that suits it. float32 [samples]."""
    rate = request.sample_rate
    bank = samples(request.sound, rate, _heard(request.sound, rate, "sound"), params.num_per_pitch)
    if not bank:
        raise Rejected("no_notes", "no note of the song named sound can be cut out")
    mix = np.zeros(len(request.notes), np.float32)
    levels = _levels(request.notes, rate, notes) ** params.dynamics
    typical = float(np.median([sample.level for sample in bank]))
    for note, wanted in zip(notes, levels.tolist(), strict=True):
        sample = bank[int(np.argmin([_cost(sample, note, rate) for sample in bank]))]
        if abs(note.pitch - sample.pitch) <= params.max_transpose_semitones:
            gain = wanted * (typical / sample.level) ** params.dynamics
            _add(mix, sample, note, rate, params, gain)
    return mix


def _cost(sample: Sample, note: Note, sample_rate: int) -> float:
    """How badly a sample suits a note, in semitones."""
    lasting = max(len(sample.audio) / sample_rate - PRE_ROLL_SECONDS, 0.01)
    shortness = max(0.0, float(np.log2((note.end_time - note.start_time) / lasting)))
    overlap = min(sample.overlap, 1.0)
    distance = abs(sample.pitch - note.pitch)
    return distance + _SHARED_SEMITONES * overlap + _SHORT_SEMITONES * shortness


def _add(
    mix: np.ndarray, sample: Sample, note: Note, sample_rate: int, params: Params, gain: float
) -> None:
    """Plays one note into the mix, its attack at its onset."""
    semitones = note.pitch - sample.pitch
    pre_roll = PRE_ROLL_SECONDS * (1 if params.is_solo_voice else 2 ** (-semitones / 12))
    seconds = note.end_time - note.start_time + pre_roll
    release = params.release_seconds
    sound = sounding(sample.audio, sample_rate, semitones, seconds, release, params.is_solo_voice)
    start = round((note.start_time - pre_roll) * sample_rate)
    sound = sound[max(0, -start) : max(0, len(mix) - start)]
    start = max(0, start)
    mix[start : start + len(sound)] += np.float32(gain) * sound


def _with_program(
    notes: Sequence[Note], request: Request, program: int, dynamics: float
) -> np.ndarray:
    levels = _levels(request.notes, request.sample_rate, notes)
    loudness = np.sqrt(levels / levels.max()) ** dynamics  # a level goes with velocity squared
    played = [
        note._replace(program=program, velocity=max(1, round(_LOUDEST_VELOCITY * relative)))
        for note, relative in zip(notes, loudness.tolist(), strict=True)
    ]
    return soundfont.general_midi().render(played, request.sample_rate, len(request.notes))


def _levels(audio: np.ndarray, sample_rate: int, notes: Sequence[Note]) -> np.ndarray:
    """Of each note's partials after its onset, relative to the median. Above 0. Shape [notes]."""
    levels = np.array([level(audio, sample_rate, note) for note in notes])
    if not levels.any():
        return np.ones(len(notes))
    levels = np.maximum(levels, levels.max() * 10 ** (-_RANGE_DB / 20))
    return levels / np.median(levels)


METHOD = Method("resynthesis", Params, transfer)
