"""Whether pictures fit their own conditions better than any others: a permutation test."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.errors import PipelineError


class PermutationTest(NamedTuple):
    """Attributes:
    observed: mean score of pictures against what they were drawn for.
    expected: mean of it over permutations.
    p: one-sided, of a score as high by chance; at least 1 / (num_permutations + 1).
    """

    observed: float
    expected: float
    p: float


def permutation_test(
    scores: np.ndarray,
    groups: np.ndarray | None = None,
    num_permutations: int = 1000,
    seed: int = 0,
) -> PermutationTest:
    """Whether pictures fit their own conditions better than conditions dealt out anew.

    What is permuted is which source each source's pictures belong to: pictures of one source stay
    together, and so do sources of one group, as the tracks of an album, which are no independent
    evidence.

    Args:
      scores: how well the pictures of source i fit the condition of source j, higher is better, as
        `rank_matrix` says. Shape [sources, sources].
      groups: of the sources that stay together: any values. Shape [sources]; None: each alone.
      num_permutations: 1,000 or more, lest p cannot be small.
      seed: of the permutations.

    Raises:
      PipelineError: if `scores` is not square.

    Source: Good 2005, "Permutation, parametric, and bootstrap tests of hypotheses", section 3.2;
    Phipson and Smyth 2010, "Permutation p-values should never be zero".
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise PipelineError(
            f"scores.shape={scores.shape}: a permutation needs one row and one column a source. "
            "Give retrieval.rank_matrix's matrix."
        )
    grouped = _grouped(scores, groups)
    each = np.arange(len(grouped))
    observed = grouped[each, each].mean()
    rng = np.random.default_rng([seed])
    found = np.array([grouped[each, rng.permutation(each)].mean() for _ in range(num_permutations)])
    # Rounding may part two sums of the same numbers in another order.
    as_high = (found >= observed - 1e-12).sum()
    p = (as_high + 1) / (num_permutations + 1)
    return PermutationTest(float(observed), float(found.mean()), float(p))


def _grouped(scores: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Mean score of each group's sources against each group's. Shape [groups, groups]."""
    if groups is None:
        return scores
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    is_in = np.eye(numbers.max() + 1)[:, numbers.reshape(-1)]
    shares = is_in / is_in.sum(axis=1, keepdims=True)
    found: np.ndarray = shares @ scores @ shares.T
    return found
