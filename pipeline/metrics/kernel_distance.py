"""The kernel distance between two sets of features (KID), which few samples do not bias."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipeline.errors import PipelineError

_VALUES_AT_ONCE = 2**22  # 32 MB of float64


class KernelDistance(NamedTuple):
    """Attributes:
    value: of all vectors at once.
    subset_mean: mean over subsets, which other implementations call the KID.
    subset_std: standard deviation over subsets; it says how much a subset's value varies.
    """

    value: float
    subset_mean: float
    subset_std: float


def kid(
    a: np.ndarray, b: np.ndarray, num_subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / dimensions + 1)^3.

    Around 0 for sets of one distribution, and so sometimes below it.

    Args:
      a: Shape [vectors, dimensions].
      b: as `a`, of any number of vectors.
      num_subsets: subsets drawn for the standard deviation.
      subset_size: vectors in a subset of either set; at most as many as the smaller set has.
      seed: of the subsets.

    Returns:
      KernelDistance; all NaN with fewer than two vectors in a set.

    Raises:
      PipelineError: if the vectors' dimensions differ.

    Source: Binkowski et al. 2018, "Demystifying MMD GANs", section 4 and appendix A.
    """
    if a.shape[1:] != b.shape[1:]:
        raise PipelineError(
            f"dimensions={a.shape[1:]} and {b.shape[1:]}: a kernel distance is of features of one "
            "network. Take both sets' features with the same."
        )
    if min(len(a), len(b)) < 2:
        return KernelDistance(np.nan, np.nan, np.nan)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = min(subset_size, len(a), len(b))
    rng = np.random.default_rng([seed])
    parts = [
        _squared_mmd(*(rows[rng.choice(len(rows), size, replace=False)] for rows in (a, b)))
        for _ in range(num_subsets)
    ]
    return KernelDistance(_squared_mmd(a, b), float(np.mean(parts)), float(np.std(parts)))


def _squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    within_a, within_b = (
        (_kernel_sum(rows, rows) - _kernel_diagonal(rows)) / (len(rows) * (len(rows) - 1))
        for rows in (a, b)
    )
    return float(within_a + within_b - 2 * _kernel_sum(a, b) / (len(a) * len(b)))


def _kernel_sum(a: np.ndarray, b: np.ndarray) -> float:
    size = max(1, _VALUES_AT_ONCE // len(b))
    parts = (a[begin : begin + size] @ b.T for begin in range(0, len(a), size))
    return float(sum(_kernel(part, a.shape[1]).sum() for part in parts))


def _kernel_diagonal(a: np.ndarray) -> float:
    return float(_kernel((a**2).sum(axis=1), a.shape[1]).sum())


def _kernel(products: np.ndarray, size: int) -> np.ndarray:
    shifted = products / size + 1
    cubes: np.ndarray = shifted * shifted * shifted  # a power takes ten times as long
    return cubes
