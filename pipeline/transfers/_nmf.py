"""Activations of fixed templates, kept sparse and diagonal: what musaicing learns.

Source: Driedger, Prätzlich and Müller 2015, "Let It Bee: Towards NMF-inspired audio mosaicing",
ISMIR, sections 3.1 to 3.3.
"""

from __future__ import annotations

import numpy as np

_TINY = np.float32(1e-12)


def activations(
    target: np.ndarray,
    templates: np.ndarray,
    num_iterations: int,
    repetition_frames: int,
    polyphony: int,
    continuity_frames: int,
    rows_per_copy: int = 0,
    seed: int = 0,
) -> np.ndarray:
    """How loud each template sounds in each frame of the target.

    Begins at random. Each iteration damps what breaks a restriction, the more so the later it is
    and wholly in the last, then takes a multiplicative step that lowers the Kullback-Leibler
    divergence.

    Args:
      target: magnitudes, at least 0. float32 [frames, bins].
      templates: magnitudes, at least 0; copies of a song's frames, one copy after the other, each
        in the song's order. float32 [templates, bins].
      num_iterations: at least 1.
      repetition_frames: a template is loudest once in so many frames to either side (r of the
        paper); 0: no restriction.
      polyphony: templates that sound at once (p); 0: no restriction.
      continuity_frames: length of the kernel along the song's own order (c); 1 or less: none.
      rows_per_copy: templates of a copy, beyond which the kernel does not reach; 0: all are one.
      seed: of the beginning.

    Returns:
      At least 0. float32 [frames, templates].
    """
    # Frames are rows here and columns in the paper: then a frame's templates lie side by side.
    rows = rows_per_copy or len(templates)
    rng = np.random.default_rng(seed)
    weights = rng.random((len(target), len(templates)), dtype=np.float32) + np.float32(0.01)
    for iteration in range(num_iterations):
        damping = 1 - (iteration + 1) / num_iterations
        restrictions = damping, repetition_frames, polyphony, continuity_frames, rows
        weights = updated(restricted(weights, *restrictions), target, templates)
    return weights


def restricted(
    weights: np.ndarray,
    damping: float,
    repetition_frames: int,
    polyphony: int,
    continuity_frames: int,
    rows_per_copy: int,
) -> np.ndarray:
    """Equations 4 to 6 of the paper, in their order; arguments as in `activations`.

    Args:
      damping: what is left of an activation that breaks a restriction, in [0, 1].
    """
    from pipeline.transfers import _nmf_loops

    left = np.float32(damping)
    if repetition_frames > 0:
        weights = _nmf_loops.without_repetition(weights, repetition_frames, left)
    if 0 < polyphony < weights.shape[1]:
        weights = _nmf_loops.with_polyphony(weights, polyphony, left)
    if continuity_frames > 1:
        weights = _nmf_loops.continued(weights, continuity_frames // 2, rows_per_copy)
    return weights


def updated(weights: np.ndarray, target: np.ndarray, templates: np.ndarray) -> np.ndarray:
    """One multiplicative step: the divergence of target from weights @ templates never rises.

    Source: Lee and Seung 2000, theorem 2.
    """
    model = weights @ templates
    model += _TINY
    np.divide(target, model, out=model)
    gain = model @ templates.T
    gain /= templates.sum(axis=1) + _TINY
    gain *= weights
    return gain


def divergence(target: np.ndarray, model: np.ndarray) -> float:
    """Kullback-Leibler's, generalized to what does not sum to 1."""
    target, model = np.asarray(target, np.float64), np.asarray(model, np.float64)
    logs = np.log((target + _TINY) / (model + _TINY))
    return float((target * logs - target + model).sum())
