"""A baseline: the sound's song at the tempo of the notes' song, its pitches unchanged."""

from __future__ import annotations

import numpy as np

from pipeline.audio.beats import beats, folded
from pipeline.audio.stretch import stretch
from pipeline.errors import Rejected
from pipeline.options import Options
from pipeline.transfers._mixing import mixed, repeated
from pipeline.transfers.base import Method, Request


class Params(Options):
    """Nothing can be set."""


def transfer(request: Request, params: Params) -> np.ndarray:
    """The sound's song, stretched to the other's tempo, cut or repeated to the other's length.

    Of the ratios of both tempos that an octave makes, the one nearest to 1 is taken. Strength mixes
    it with the notes' song.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: too_short.
    """
    if not len(request.sound) or not len(request.notes):
        raise Rejected("too_short", "a song without samples has no tempo")
    tempos = [beats(song, request.sample_rate)[1] for song in (request.notes, request.sound)]
    speed = folded(tempos[0] / tempos[1])
    num_samples = max(1, round(len(request.sound) / speed))
    stretched = stretch(request.sound, request.sample_rate, num_samples)
    return mixed(request, repeated(stretched, len(request.notes)))


METHOD = Method("tempo_only", Params, transfer, is_baseline=True)
