"""A baseline: the notes' song, filtered until its average spectrum is that of the sound's song."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.options import Options
from pipeline.transfers import _spectra
from pipeline.transfers.base import Method, Request


class Params(Options):
    """What params.yaml sets for the average spectrum."""

    n_fft: int = Field(ge=64, description="length of a frame in samples, a power of 2")
    hop_length: int = Field(ge=16, description="samples from one frame to the next")
    equalization: float = Field(
        ge=0, le=1, description="of the way to the sound's average spectrum, in decibels"
    )


def transfer(request: Request, params: Params) -> np.ndarray:
    """The notes' song through one filter, which does not change with time.

    The gains are those of broad bands: bin by bin it would stamp the other song's notes on this
    one, and come out farther from the truth. The loudness stays that of the notes' song.

    Args:
      request: two songs of a frame at least.
      params: see Params.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: too_short, silent.
    """
    _spectra.both(request, params.n_fft, params.hop_length)  # whether they can be used
    part = params.equalization * request.strength
    sizes = (params.n_fft, params.hop_length)
    filtered = _spectra.equalized(request.notes, request.sound, *sizes, part)
    return _spectra.within_full_scale(_spectra.as_loud(filtered, request.notes))


METHOD = Method("mean_spectrum", Params, transfer, is_baseline=True)
