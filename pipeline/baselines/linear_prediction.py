"""Each sample from a weighted sum of those before it: what a model of waveforms must beat.

The classes are taken as mu-law's, and predicted as amplitudes, in which a sound is linear. Around
the prediction lies a distribution whose width follows the latest errors; a class has the
probability of its interval of amplitudes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from pipeline.audio.autoregression import coefficients, mean_autocorrelation
from pipeline.audio.companding import mu_law_decode
from pipeline.errors import PipelineError

ORDERS = (1, 2, 4, 16, 64, 256, 1024, 2048, 6139)  # the last: all that NSynth's decoder sees
DISTRIBUTIONS = ("laplace", "logistic", "student")  # Student's t with 3 degrees of freedom
_MEMORIES = (16, 64)  # samples over which the mean of recent errors fades
_WIDTHS = (0.4, 0.55, 0.75, 1.0)  # of the distribution, in mean recent errors
_FLOORS = (3e-5, 1e-4)  # added to these, in amplitude
_UNIFORM = 1e-3  # of all probability, shared by all classes: no event is impossible
_LEAST_POWER = 1e-7  # of a waveform that counts in full
_PROBABILITIES_AT_ONCE = 2**22


@dataclass(frozen=True)
class Baseline:
    """The best of the linear predictors on the test split.

    Attributes:
      distribution: one of DISTRIBUTIONS.
      order: samples that it looks back at.
      nll: sum of -log p over a test example's events, in nats. Shape [examples].
      num_events: Shape [examples].
      num_correct: events whose most probable class is right. Shape [examples].
      table: mean nll of an event on the test split, in nats: table[distribution, order].
    """

    distribution: str
    order: int
    nll: np.ndarray
    num_events: np.ndarray
    num_correct: np.ndarray
    table: dict[tuple[str, int], float]


class Residual(NamedTuple):
    """How the distribution around a prediction is made."""

    distribution: str
    memory: int
    width: float
    floor: float


def evaluate(train: list[np.ndarray], test: list[np.ndarray], num_classes: int) -> Baseline:
    """Fits predictors of several orders, and keeps what is best on the TEST split.

    Order, distribution, and how its width follows the errors, are all chosen on the test split,
    which is generous to the baseline on purpose. The coefficients are those of the training split.

    Args:
      train: class ids in 0..num_classes - 1, one array an example. Shape [samples] each.
      test: as train; at least one sample.
      num_classes: size of the vocabulary; mu is taken as the next power of two, less one.

    Raises:
      PipelineError: a class is out of range, or a split has no samples.
    """
    _check(train, test, num_classes)
    lengths = np.array([len(example) for example in test], np.int64)
    longest = max(len(example) for example in train)
    orders = [order for order in ORDERS if order < longest] or [1]
    notes = [amplitudes(num_classes)[example] for example in train]
    autocorrelation = mean_autocorrelation(notes, orders[-1], _LEAST_POWER)
    found: dict[tuple[int, Residual], np.ndarray] = {}
    for order in orders:
        taps = coefficients(autocorrelation, order)
        columns = [_nll_by_residual(example, taps, num_classes) for example in test]
        for residual in columns[0]:
            found[order, residual] = np.array([column[residual] for column in columns])
    totals = {choice: float(nll.sum() / lengths.sum()) for choice, nll in found.items()}
    order, residual = min(totals, key=lambda choice: totals[choice])
    taps = coefficients(autocorrelation, order)
    return Baseline(
        distribution=residual.distribution,
        order=order,
        nll=found[order, residual],
        num_events=lengths,
        num_correct=np.array([_num_correct(e, taps, residual, num_classes) for e in test], int),
        table=_table(totals),
    )


def probabilities(
    sequence: np.ndarray, taps: np.ndarray, residual: Residual, num_classes: int
) -> Iterator[np.ndarray]:
    """Of all classes at each sample, given those before it, a block of samples at a time.

    Args:
      sequence: class ids. Shape [samples].
      taps: the weight of the sample before, of the one before that, ... Shape [order].
      residual: how the distribution is made.
      num_classes: size of the vocabulary.

    Yields:
      float64 [samples of the block, num_classes]; each row sums to 1.
    """
    predicted, errors = _predicted(sequence, taps, num_classes)
    scale = _scales(errors, residual)
    size = max(1, _PROBABILITIES_AT_ONCE // num_classes)
    cumulative = _CUMULATIVE[residual.distribution]
    for first in range(0, len(sequence), size):
        rows = slice(first, first + size)
        z = (_edges(num_classes) - predicted[rows, None]) / scale[rows, None]
        p = np.diff(cumulative(z), axis=1)
        yield (1 - _UNIFORM) * p + _UNIFORM / num_classes


def amplitudes(num_classes: int) -> np.ndarray:
    """What each class stands for. float64 [num_classes]."""
    mu = (1 << (num_classes - 1).bit_length()) - 1
    return mu_law_decode(np.arange(num_classes), max(1, mu)).astype(np.float64)


def _table(totals: dict[tuple[int, Residual], float]) -> dict[tuple[str, int], float]:
    """The best of each distribution and order."""
    table: dict[tuple[str, int], float] = {}
    for (order, residual), value in totals.items():
        key = (residual.distribution, order)
        table[key] = min(value, table.get(key, np.inf))
    return table


def _check(train: list[np.ndarray], test: list[np.ndarray], num_classes: int) -> None:
    for split, examples in (("train", train), ("test", test)):
        if not sum(map(len, examples)):
            raise PipelineError(
                f"{split}={len(examples)} examples without a sample; a linear predictor needs at "
                "least one. Give the corpus more items, or this split a larger share."
            )
        least = min(int(e.min()) for e in examples if len(e))
        largest = max(int(e.max()) for e in examples if len(e))
        if least < 0 or largest >= num_classes:
            raise PipelineError(
                f"class ids {least}..{largest} leave 0..num_classes - 1 (num_classes={num_classes})"
                " in the sequences of the linear predictor. Give the codec's num_classes."
            )


def _nll_by_residual(
    sequence: np.ndarray, taps: np.ndarray, num_classes: int
) -> dict[Residual, float]:
    """The sum of -log p over a sequence, for each way to make the distribution."""
    predicted, errors = _predicted(sequence, taps, num_classes)
    edges = _edges(num_classes)
    low, high = edges[sequence] - predicted, edges[np.asarray(sequence, int) + 1] - predicted
    # Above the median the upper tail is what has digits left.
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
    found = {}
    for memory, width, floor in product(_MEMORIES, _WIDTHS, _FLOORS):
        for distribution in DISTRIBUTIONS:
            residual = Residual(distribution, memory, width, floor)
            scale, cumulative = _scales(errors, residual), _CUMULATIVE[distribution]
            p = cumulative(high / scale) - cumulative(low / scale)
            found[residual] = -np.log((1 - _UNIFORM) * p + _UNIFORM / num_classes).sum()
    return found


def _num_correct(
    sequence: np.ndarray, taps: np.ndarray, residual: Residual, num_classes: int
) -> int:
    blocks = probabilities(sequence, taps, residual, num_classes)
    likeliest = [block.argmax(axis=1) for block in blocks]
    return int((np.concatenate(likeliest) == sequence).sum()) if likeliest else 0


def _predicted(
    sequence: np.ndarray, taps: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each amplitude as predicted, silence before the first, and how far that is off."""
    from scipy.signal import fftconvolve

    x = amplitudes(num_classes)[sequence]
    kernel = np.concatenate([[0.0], taps[: len(x)]])
    predicted = fftconvolve(x, kernel)[: len(x)]
    return predicted, np.abs(x - predicted)


def _scales(errors: np.ndarray, residual: Residual) -> np.ndarray:
    """Widths at each sample, from the errors before it."""
    from scipy.signal import lfilter

    fading = 1 / residual.memory
    means = lfilter([0.0, fading], [1.0, fading - 1], errors)
    return residual.width * (means + residual.floor)


def _edges(num_classes: int) -> np.ndarray:
    """Between the classes, halfway in the companded values; the outer ones take all beyond."""
    mu = max(1, (1 << (num_classes - 1).bit_length()) - 1)
    companded = 2 * (np.arange(1, num_classes) - 0.5) / mu - 1
    inner = np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(mu)) / mu
    return np.concatenate([[-np.inf], inner, [np.inf]])


def _laplace(z: np.ndarray) -> np.ndarray:
    half = 0.5 * np.exp(-np.abs(z))
    return np.where(z < 0, half, 1 - half)


def _logistic(z: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    found: np.ndarray = expit(z)
    return found


def _student(z: np.ndarray) -> np.ndarray:
    u = np.clip(z / np.sqrt(3), -1e9, 1e9)
    return 0.5 + (u / (1 + u * u) + np.arctan(u)) / np.pi


_CUMULATIVE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "laplace": _laplace,
    "logistic": _logistic,
    "student": _student,
}
