"""A baseline: the sound's song as it is, cut or repeated to the length of the notes' song."""

from __future__ import annotations

import numpy as np

from pipeline.options import Options
from pipeline.transfers._mixing import mixed, repeated
from pipeline.transfers.base import Method, Request


class Params(Options):
    """Nothing can be set."""


def transfer(request: Request, params: Params) -> np.ndarray:
    """The sound's song, mixed by strength with the notes' song.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: too_short.
    """
    return mixed(request, repeated(request.sound, len(request.notes)))


METHOD = Method("copy_sound", Params, transfer, is_baseline=True)
