"""Whether pictures lead back to what they were drawn for: prediction, ranks, permutation test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.errors import PipelineError
from pipeline.metrics import _distances

ALPHAS = tuple(10.0**power for power in range(-2, 6))
NUM_FOLDS = 5


@dataclass(frozen=True)
class ConditionPredictor:
    """Predicts conditions from features of pictures, linearly: made by `fit`.

    Attributes:
      alpha: strength of the ridge penalty that cross-validation chose.
      cross_validated_r2: share of the conditions' variance that was predicted of groups not fitted.
    """

    alpha: float
    cross_validated_r2: float
    _means: np.ndarray
    _scales: np.ndarray
    _weights: np.ndarray  # [features, conditions]
    _offsets: np.ndarray  # [conditions]

    @classmethod
    def fit(
        cls, features: np.ndarray, conditions: np.ndarray, groups: np.ndarray, seed: int = 0
    ) -> ConditionPredictor:
        """Ridge regression; its penalty by cross-validation over whole groups.

        Args:
          features: of pictures, any units; each dimension is standardised. Shape [n, dimensions].
          conditions: Shape [n, condition_size].
          groups: what may not straddle folds, e.g. the album: any values. Shape [n].
          seed: of the folds.

        Raises:
          PipelineError: with fewer than two groups.

        Source: Hoerl and Kennard 1970, "Ridge regression"; Hastie et al. 2009, "The elements of
        statistical learning", sections 3.4.1 and 7.10.
        """
        features, conditions = (np.asarray(x, np.float64) for x in (features, conditions))
        errors = np.zeros(len(ALPHAS))
        for held_out in _folds(groups, seed):
            means, scales = _moments(features[~held_out])
            weights, offsets = _ridges(
                (features[~held_out] - means) / scales, conditions[~held_out]
            )
            for index, weight in enumerate(weights):
                predicted = (features[held_out] - means) / scales @ weight + offsets
                errors[index] += ((predicted - conditions[held_out]) ** 2).sum()
        best = int(errors.argmin())
        means, scales = _moments(features)
        weights, offsets = _ridges((features - means) / scales, conditions)
        variance = ((conditions - conditions.mean(axis=0)) ** 2).sum()
        r2 = 1 - errors[best] / variance if variance > 0 else np.nan
        return cls(ALPHAS[best], float(r2), means, scales, weights[best], offsets)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Conditions of pictures. Shape [n, dimensions] -> float64 [n, condition_size]."""
        standardised = (np.asarray(features, np.float64) - self._means) / self._scales
        found: np.ndarray = standardised @ self._weights + self._offsets
        return found


def percentile_ranks(predicted: np.ndarray, candidates: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Share of the other candidates that are farther from a prediction than its own one is.

    Args:
      predicted: conditions predicted from pictures. Shape [n, condition_size].
      candidates: the conditions that pictures were drawn for. Shape [candidates, condition_size].
      own: index of the candidate that each picture was drawn for. Shape [n].

    Returns:
      0..1, 0.5 by chance; candidates that are as far count half. float64 [n].
    """
    found = []
    for rows, distances in _blocks(predicted, candidates):
        mine = np.take_along_axis(distances, own[rows, None], axis=1)
        farther = (distances > mine).sum(axis=1) + ((distances == mine).sum(axis=1) - 1) / 2
        found.append(farther / max(1, len(candidates) - 1))
    return np.concatenate(found)


def hits_at(predicted: np.ndarray, candidates: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Whether the own candidate is among the k nearest; arguments as `percentile_ranks`.

    Returns:
      0..1, k / candidates by chance; where candidates are as far as the own, the share of their
      orders in which it is. float64 [n].
    """
    found = []
    for rows, distances in _blocks(predicted, candidates):
        mine = np.take_along_axis(distances, own[rows, None], axis=1)
        nearer, as_far = (distances < mine).sum(axis=1), (distances == mine).sum(axis=1)
        found.append(np.clip((k - nearer) / as_far, 0, 1))
    return np.concatenate(found)


def rank_matrix(predicted: np.ndarray, candidates: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Mean percentile rank of each candidate by the pictures drawn for each; as `percentile_ranks`.

    Returns:
      Its diagonal are the own candidates' ranks; every row's mean is 0.5. float64 [candidates,
      candidates]; a row is NaN where nothing was drawn for a candidate.
    """
    sums, counts = np.zeros((len(candidates), len(candidates))), np.zeros(len(candidates))
    for rows, distances in _blocks(predicted, candidates):
        for index, row in zip(own[rows], distances, strict=True):
            order = np.sort(row)
            below, upto = (np.searchsorted(order, row, side) for side in ("left", "right"))
            farther = len(row) - upto + (upto - below - 1) / 2
            sums[index] += farther / max(1, len(row) - 1)
            counts[index] += 1
    with np.errstate(invalid="ignore"):
        return sums / counts[:, None]


def _blocks(predicted: np.ndarray, candidates: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Relative distances, rounded, so that equal candidates are as far to the last digit."""
    for rows, distances in _distances.blocks(predicted, candidates):
        largest = distances.max(axis=1, keepdims=True)
        yield rows, np.round(distances / np.where(largest > 0, largest, 1), 7)


def _folds(groups: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """For each fold which rows are held out. bool [n]"""
    names, numbers = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise PipelineError(
            f"num_groups={len(names)}: cross-validation holds groups out, and one must be left to "
            "fit. Give at least two albums."
        )
    num_folds = min(NUM_FOLDS, len(names))
    fold_of = np.random.default_rng([seed]).permutation(len(names)) % num_folds
    for fold in range(num_folds):
        yield fold_of[numbers.reshape(-1)] == fold


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    deviations = features.std(axis=0)
    # A dimension that never varies says nothing; rounding may leave it a deviation above 0.
    is_constant = deviations <= 1e-9 * np.abs(features).max(axis=0, initial=0)
    return features.mean(axis=0), np.where(is_constant, np.inf, deviations)


def _ridges(features: np.ndarray, conditions: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Weights for each of ALPHAS, and the offsets, of features with mean 0."""
    offsets = conditions.mean(axis=0)
    u, values, vt = np.linalg.svd(features, full_matrices=False)
    along = u.T @ (conditions - offsets)
    weights = [vt.T @ ((values / (values**2 + alpha))[:, None] * along) for alpha in ALPHAS]
    return weights, offsets
