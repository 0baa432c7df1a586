"""The sound's own audio on the beats of the notes' song: its notes stay, its rhythm follows."""

from __future__ import annotations

import numpy as np

from pipeline.audio.beats import beats
from pipeline.audio.stretch import warp
from pipeline.errors import Rejected
from pipeline.options import Options
from pipeline.transfers._mixing import mixed
from pipeline.transfers.base import Method, Request


class Params(Options):
    """Nothing can be set."""


def transfer(request: Request, params: Params) -> np.ndarray:
    """Moves each beat of the sound's song onto a beat of the notes' song.

    Where one song has two or more beats to one of the other, its beats are counted at the other's
    level. A sound's song with too few beats is repeated from its first beat to its last. Strength
    mixes the result with the notes' song.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: no_beats, if either song has less than two; impossible_stretch.
    """
    rate = request.sample_rate
    targets, sources = _beats(request.notes, rate, "notes"), _beats(request.sound, rate, "sound")
    octaves = round(float(np.log2(_interval(sources) / _interval(targets))))
    targets, sources = (
        _subdivided(targets, 2 ** max(0, -octaves)),
        _subdivided(sources, 2 ** max(0, octaves)),
    )
    sound, sources = _extended(request.sound, rate, sources, len(targets))
    made = warp(sound, rate, sources, targets, len(request.notes))
    return mixed(request, made)


def _beats(audio: np.ndarray, sample_rate: int, name: str) -> np.ndarray:
    found = beats(audio, sample_rate)[0] if len(audio) else np.zeros(0)
    if len(found) < 2:
        raise Rejected("no_beats", f"{name} has num_beats={len(found)}, and needs at least 2")
    return found


def _interval(beats_seconds: np.ndarray) -> float:
    return float(np.median(np.diff(beats_seconds)))


def _subdivided(beats_seconds: np.ndarray, parts: int) -> np.ndarray:
    """Each beat in equal parts. Shape [(beats - 1) * parts + 1]."""
    count = len(beats_seconds)
    positions = np.linspace(0, count - 1, (count - 1) * parts + 1)
    return np.interp(positions, np.arange(count), beats_seconds)


def _extended(
    audio: np.ndarray, sample_rate: int, beats_seconds: np.ndarray, num_beats: int
) -> tuple[np.ndarray, np.ndarray]:
    """The song from its first beat to its last repeated until it has enough: (audio, beats)."""
    first, last = (round(beats_seconds[i] * sample_rate) for i in (0, -1))
    times = -(-(num_beats - 1) // (len(beats_seconds) - 1))
    sound = np.concatenate([audio[:last], *[audio[first:last]] * (times - 1), audio[last:]])
    lengths = np.arange(times)[:, None] * (last - first) / sample_rate
    repeated = np.append((beats_seconds[:-1] + lengths).ravel(), beats_seconds[-1] + lengths[-1])
    return sound, repeated[:num_beats]


METHOD = Method("warp", Params, transfer)
