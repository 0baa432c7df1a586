"""Texture: a spectrogram with the notes' song's content and the Gram matrix of the sound's song.

The classic that others are compared with; it barely changes a timbre.

Source: Ulyanov and Lebedev 2016, "Audio texture synthesis and style transfer" (blog post and
notebooks); Gatys, Ecker and Bethge 2016 for the two losses.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from pipeline.audio.griffin_lim import griffin_lim
from pipeline.errors import Rejected
from pipeline.options import Options
from pipeline.transfers import _spectra
from pipeline.transfers._texture_loss import TextureLoss, gram, random_filters, responses
from pipeline.transfers.base import Method, Request

_TINY = 1e-9


class Params(Options):
    """What params.yaml sets for texture."""

    n_fft: int = Field(ge=64, description="length of a frame in samples, a power of 2")
    hop_length: int = Field(ge=16, description="samples from one frame to the next")
    num_filters: int = Field(ge=1, description="random filters of the one layer")
    filter_frames: int = Field(ge=1, description="width of a filter along time")
    style_weight: float = Field(
        ge=0, description="of the style's relative squared error at strength 1; the content's is 1"
    )
    num_iterations: int = Field(ge=1, description="most steps of L-BFGS")
    griffin_lim_iterations: int = Field(
        ge=0, description="of the phases, which begin as those of the notes' song"
    )


def transfer(request: Request, params: Params) -> np.ndarray:
    """The notes' song, its log magnitudes moved towards the sound's texture.

    The search begins at the notes' song and not at noise: then strength, which multiplies the
    style's weight, leads from that song unchanged at 0 to the method at its fullest.

    Args:
      request: two songs of filter_frames frames at least.
      params: see Params.

    Returns:
      float32 in [-1, 1]. Shape [samples of request.notes].

    Raises:
      Rejected: too_short, silent.
    """
    notes, sound = _spectra.both(request, params.n_fft, params.hop_length)
    if min(len(notes), len(sound)) < params.filter_frames:
        raise Rejected(
            "too_short",
            f"the songs have num_frames={len(notes)} and {len(sound)}, less than filter_frames="
            f"{params.filter_frames}",
        )
    scale = np.abs(notes).max() / np.abs(sound).max()
    content, style = np.log1p(np.abs(notes)), np.log1p(np.abs(sound) * scale)
    logs = _searched(content, style, request, params)
    magnitudes = np.expm1(np.maximum(logs, 0))
    phases = notes / np.maximum(np.abs(notes), _TINY)
    audio = griffin_lim(
        magnitudes,
        params.hop_length,
        len(request.notes),
        params.griffin_lim_iterations,
        phases=phases,
    )
    return _spectra.within_full_scale(audio)


METHOD = Method("texture", Params, transfer, is_baseline=True)


def _searched(
    content: np.ndarray, style: np.ndarray, request: Request, params: Params
) -> np.ndarray:
    """Log magnitudes of little TextureLoss: float32, the content's shape [frames, bins]."""
    from scipy.optimize import minimize

    filters = random_filters(
        params.filter_frames, content.shape[1], params.num_filters, request.seed
    )
    loss = TextureLoss(
        filters,
        responses(content, filters),
        gram(responses(style, filters)),
        params.style_weight * request.strength,
    )

    def of_vector(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss(flat.astype(np.float32).reshape(content.shape))
        return value, gradient.ravel().astype(np.float64)

    found = minimize(
        of_vector,
        content.ravel().astype(np.float64),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": params.num_iterations, "gtol": 0.0},
    )
    return found.x.astype(np.float32).reshape(content.shape)
