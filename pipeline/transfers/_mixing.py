"""How a method's result becomes the third song: its length, its loudness, its strength."""

from __future__ import annotations

import numpy as np

from pipeline.errors import Rejected
from pipeline.transfers._spectra import as_loud, within_full_scale
from pipeline.transfers.base import Request


def mixed(request: Request, made: np.ndarray) -> np.ndarray:
    """By strength, from the notes' song (0) to what was made of both (1), both equally loud.

    Args:
      request: see there.
      made: float32. Shape [samples of request.notes].
    """
    made = as_loud(made, request.notes)
    return within_full_scale((1 - request.strength) * request.notes + request.strength * made)


def repeated(audio: np.ndarray, num_samples: int) -> np.ndarray:
    """A song from its beginning, again and again, as long as asked for. float32 [num_samples].

    Raises:
      Rejected: too_short, if it has no samples.
    """
    if not len(audio):
        raise Rejected("too_short", "sound has num_samples=0, less than 1")
    return np.resize(audio, num_samples).astype(np.float32)
