"""Two sets of numbers compared, and intervals for what is computed from one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_GRID_POINTS = 4096  # a set; the densities are integrated on both sets' grids together
_TAIL_BANDWIDTHS = 10  # a Gaussian's share beyond is 1e-23
_VALUES_AT_ONCE = 2**22  # 32 MB of float64

Statistic = Callable[..., np.ndarray]


def mean_ignoring_nan(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean of the values that are defined; NaN, without a warning, where none is.

    Args:
      values: float. Shape [..., values].
      axis: as of np.mean.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(np.asarray(values, float), axis=axis)


def overlapped_area(a: np.ndarray, b: np.ndarray) -> float:
    """Area under the lower of two kernel density estimates: 1 for equal sets, 0 for distant ones.

    The densities are Gaussian with Scott's bandwidth, as scipy.stats.gaussian_kde's. They are
    integrated over their tails too: mgeval stops at the smallest and largest value, so that its
    area of a set with itself is below 1. A set without variance takes the other's bandwidth; of two
    such sets the area is 1 if they are equal, else 0.

    Args:
      a: values in any unit; NaN is left out. Shape [values].
      b: as a, in the same unit; of any length.

    Returns:
      A share in [0, 1]; NaN if a set has no value.

    Source: Yang and Lerch 2020, "On the evaluation of generative models in music", the relative
    measures.
    """
    a, b = _defined(a), _defined(b)
    if not (len(a) and len(b)):
        return np.nan
    if np.ptp(a) == np.ptp(b) == 0:
        return float(a[0] == b[0])
    grid, log_p, log_q = _log_densities(a, b)
    return float(min(1.0, np.trapezoid(np.exp(np.minimum(log_p, log_q)), grid)))


def kl_divergence(a: np.ndarray, b: np.ndarray) -> float:
    """Kullback-Leibler divergence of the density of `a` from the density of `b`, in nats.

    The densities are those of `overlapped_area`, both on one grid: mgeval evaluates each on its own
    set's, which makes two shifted copies of one set look equal.

    Args:
      a: values in any unit; NaN is left out. Shape [values].
      b: as a, in the same unit; of any length.

    Returns:
      0 or more; infinity for two different sets without variance, NaN if a set has no value.

    Source: Yang and Lerch 2020, "On the evaluation of generative models in music", the relative
    measures.
    """
    a, b = _defined(a), _defined(b)
    if not (len(a) and len(b)):
        return np.nan
    if np.ptp(a) == np.ptp(b) == 0:
        return 0.0 if a[0] == b[0] else np.inf
    grid, log_p, log_q = _log_densities(a, b)
    return float(max(0.0, np.trapezoid(np.exp(log_p) * (log_p - log_q), grid)))


def bootstrap_interval(
    values: np.ndarray,
    statistic: Statistic = np.mean,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent values.

    Args:
      values: one value an example. Shape [values].
      statistic: takes [..., values] and `axis=-1`; np.mean, np.median, mean_ignoring_nan.
      confidence: share of resamples inside, in (0, 1).
      num_resamples: samples drawn from the values, with replacement.
      seed: of the resampling.

    Returns:
      Its lower and upper end; both NaN if there are no values.

    Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", section 13.3.
    """
    values = np.asarray(values, float)
    if not len(values):
        return np.nan, np.nan
    chunks = _resamples(len(values), num_resamples, seed)
    return _percentiles(
        np.concatenate([statistic(values[chunk], axis=-1) for chunk in chunks]), confidence
    )


def paired_bootstrap_ratio(
    numerators: np.ndarray,
    denominators: np.ndarray,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A ratio of sums, with its percentile bootstrap interval over whole examples.

    Events of one tune are not independent, so tunes are resampled, never events. For the difference
    of two models on the same tunes give the differences of their nll sums as numerators: the
    interval is then of the paired difference.

    Args:
      numerators: one an example, e.g. the nll of a tune's events. Shape [examples].
      denominators: one an example, 0 or more, e.g. its number of events. Shape [examples].
      confidence: share of resamples inside, in (0, 1).
      num_resamples: samples drawn from the examples, with replacement.
      seed: of the resampling; the same seed draws the same examples.

    Returns:
      sum(numerators) / sum(denominators), and the lower and upper end; NaN if the sum is 0.

    Source: Efron and Tibshirani 1993, "An introduction to the bootstrap", section 13.3.
    """
    pairs = np.stack([np.asarray(numerators, float), np.asarray(denominators, float)])
    if not pairs[1].sum() > 0:
        return np.nan, np.nan, np.nan
    chunks = _resamples(pairs.shape[1], num_resamples, seed)
    sums = np.concatenate([pairs[:, chunk].sum(axis=-1) for chunk in chunks], axis=1)
    # A resample may consist of empty examples only; it says nothing about the ratio.
    sums = sums[:, sums[1] > 0]
    low, high = _percentiles(sums[0] / sums[1], confidence)
    return float(pairs[0].sum() / pairs[1].sum()), low, high


def _defined(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def _log_densities(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grid over both sets, and the logarithms of their densities on it. Shape [points] each."""
    widths = _bandwidth(a), _bandwidth(b)
    width_a, width_b = (width or max(widths) for width in widths)
    grid = np.union1d(_grid(a, width_a), _grid(b, width_b))
    return grid, _log_density(grid, a, width_a), _log_density(grid, b, width_b)


def _bandwidth(values: np.ndarray) -> float:
    # The range tells equal values exactly; their standard deviation may round to more than 0.
    if np.ptp(values) == 0:
        return 0.0
    return float(len(values) ** -0.2 * values.std(ddof=1))


def _grid(values: np.ndarray, bandwidth: float) -> np.ndarray:
    tail = _TAIL_BANDWIDTHS * bandwidth
    return np.linspace(values.min() - tail, values.max() + tail, _GRID_POINTS)


def _log_density(grid: np.ndarray, values: np.ndarray, bandwidth: float) -> np.ndarray:
    logs = []
    for points in np.array_split(grid, -(-len(grid) * len(values) // _VALUES_AT_ONCE)):
        exponents = -0.5 * ((points[:, None] - values) / bandwidth) ** 2
        # Far from the values the density itself underflows to 0; relative to its peak it does not.
        peak = exponents.max(axis=1)
        logs.append(peak + np.log(np.exp(exponents - peak[:, None]).sum(axis=1)))
    return np.concatenate(logs) - np.log(len(values) * bandwidth * np.sqrt(2 * np.pi))


def _resamples(num_values: int, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Indices of the values in each resample, a chunk at a time. Shape [resamples, values]."""
    rng = np.random.default_rng([seed])
    size = max(1, _VALUES_AT_ONCE // num_values)
    for begin in range(0, num_resamples, size):
        yield rng.integers(0, num_values, (min(size, num_resamples - begin), num_values))


def _percentiles(statistics: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistics, [tail, 1 - tail])
    return float(low), float(high)


def plain(value: Any) -> Any:
    """JSON has no NaN: what is undefined becomes null; six digits say all that is known."""
    if isinstance(value, str | int):
        return value
    return round(float(value), 6) if math.isfinite(value) else None
