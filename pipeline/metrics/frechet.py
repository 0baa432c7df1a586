"""Fréchet distances between sets of vectors: of features alone, and joined with conditions."""

from __future__ import annotations

import numpy as np

from pipeline.errors import PipelineError


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared 2-Wasserstein distance of the normal distributions fitted to two sets of vectors.

    The FID where the vectors are an Inception network's; of another network's it cannot be compared
    with published FIDs. It falls with the number of vectors: compare sets of equal sizes only.

    Args:
      a: Shape [vectors, dimensions].
      b: as `a`, of any number of vectors.

    Returns:
      0 or more, in the vectors' unit squared; NaN with fewer than two vectors in a set.

    Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule", section 3; Dowson
    and Landau 1982, "The Fréchet distance between multivariate normal distributions", equation 4.
    """
    if min(len(a), len(b)) < 2:
        return float("nan")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    root_a = _root(np.atleast_2d(np.cov(a, rowvar=False)))
    covariance_b = np.atleast_2d(np.cov(b, rowvar=False))
    # The trace of the root of a product is that of this symmetric matrix, which is never complex.
    eigenvalues = np.linalg.eigvalsh(root_a @ covariance_b @ root_a)
    between = np.sqrt(np.maximum(0, eigenvalues)).sum()
    means = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    total = means + np.trace(root_a @ root_a) + np.trace(covariance_b) - 2 * between
    return float(max(0.0, total))


def frechet_joint_distance(
    real: np.ndarray,
    real_conditions: np.ndarray,
    generated: np.ndarray,
    generated_conditions: np.ndarray,
) -> float:
    """Fréchet distance of pictures together with what they were drawn for.

    It grows both where the pictures are unlike and where they do not fit their conditions.
    Conditions are scaled by the mean norm of the real features over that of the real conditions,
    so that both weigh as much.

    Args:
      real: features of real pictures. Shape [pictures, dimensions].
      real_conditions: of each. Shape [pictures, condition_size].
      generated: features of generated pictures. Shape [generated, dimensions].
      generated_conditions: what each was asked for. Shape [generated, condition_size].

    Returns:
      As `frechet_distance`.

    Raises:
      PipelineError: if features and conditions differ in number.

    Source: DeVries et al. 2019, "On the evaluation of conditional GANs", section 4.
    """
    for features, conditions in (real, real_conditions), (generated, generated_conditions):
        if len(features) != len(conditions):
            raise PipelineError(
                f"num_features={len(features)}, num_conditions={len(conditions)}: a joint distance "
                "needs one condition for each picture. Give the condition that each was drawn for."
            )
    norm = np.linalg.norm(real_conditions, axis=1).mean()
    scale = np.linalg.norm(real, axis=1).mean() / norm if norm > 0 else 0.0
    return frechet_distance(
        np.hstack([real, scale * real_conditions]),
        np.hstack([generated, scale * generated_conditions]),
    )


def _root(covariance: np.ndarray) -> np.ndarray:
    """The square root of a symmetric matrix without negative eigenvalues but for rounding."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(np.maximum(0, values))) @ vectors.T
    return root
