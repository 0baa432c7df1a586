"""How unlike generated pictures are, within what they were drawn for and between."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.metrics import _distances


class Diversity(NamedTuple):
    """Mean distances between pictures, NaN where there are no such pairs.

    Attributes:
      within: of one source, drawn from different latents; 0 where the latent says nothing.
      between: of different sources, whatever the latent.
      between_same_latent: of different sources, drawn from the same latent; 0 where the condition
        says nothing.
    """

    within: float
    between: float
    between_same_latent: float


def diversity(features: np.ndarray, sources: np.ndarray, latents: np.ndarray) -> Diversity:
    """How unlike pictures are, within a condition and between conditions.

    Args:
      features: Shape [pictures, dimensions].
      sources: what each was drawn for, any values. Shape [pictures].
      latents: number of the latent that each was drawn from, any values. Shape [pictures].
    """
    totals, counts = np.zeros(3), np.zeros(3)
    for rows, distances in _distances.blocks(features, features):
        is_same = sources[rows, None] == sources
        is_same_latent = latents[rows, None] == latents
        is_other = np.ones(distances.shape, bool)
        own = np.arange(len(features))[rows]
        is_other[np.arange(len(own)), own] = False
        kinds = (is_same & is_other, ~is_same, ~is_same & is_same_latent)
        totals += [distances[kind].sum() for kind in kinds]
        counts += [kind.sum() for kind in kinds]
    with np.errstate(invalid="ignore"):
        return Diversity(*(totals / counts).tolist())
