"""A baseline: the notes' song as it is."""

from __future__ import annotations

import numpy as np

from pipeline.options import Options
from pipeline.transfers._spectra import within_full_scale
from pipeline.transfers.base import Method, Request


class Params(Options):
    """Nothing can be set."""


def transfer(request: Request, params: Params) -> np.ndarray:
    """The notes' song. float32 in [-1, 1]. Shape [samples]."""
    return within_full_scale(request.notes.copy())


METHOD = Method("copy_notes", Params, transfer, is_baseline=True)
