"""A baseline: the notes' song, filtered until its average spectrum is that of the sound's song."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.audio.stft import istft
from pipeline.options import Options
from pipeline.transfers import _spectra
from pipeline.transfers.base import Method, Request

_FLOOR = 1e-8  # of the loudest bin's power: what is softer is no part of a song


class Params(Options):
    """What params.yaml sets for the average spectrum."""

    n_fft: int = Field(ge=64, description="length of a frame in samples, a power of 2")
    hop_length: int = Field(ge=16, description="samples from one frame to the next")


def transfer(request: Request, params: Params) -> np.ndarray:
    """The notes' song through one filter, which does not change with time.

    The gain of each bin is the ratio of both songs' mean magnitudes (root mean square over frames)
    to the power of the strength; the loudness stays that of the notes' song.

    Args:
      request: two songs of a frame at least.
      params: see Params.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: too_short, silent.
    """
    notes, sound = _spectra.both(request, params.n_fft, params.hop_length)
    powers = [
        np.square(np.abs(spectra), dtype=np.float64).mean(axis=0) for spectra in (notes, sound)
    ]
    of_notes, of_sound = (power + _FLOOR * power.max() for power in powers)
    gains = (of_sound / of_notes) ** (request.strength / 2)
    filtered = istft(notes * gains.astype(np.float32), params.hop_length, len(request.notes))
    return _spectra.within_full_scale(_spectra.as_loud(filtered, request.notes))


METHOD = Method("mean_spectrum", Params, transfer, is_baseline=True)
