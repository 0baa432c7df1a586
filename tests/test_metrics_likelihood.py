"""metrics/likelihood against numbers worked out by hand, and the error of a ratio."""

import math

import numpy as np
import pytest

from pipeline.metrics.likelihood import likelihood_metrics

NAMES = [
    f"{name}{end}" for name in ("nll", "perplexity", "accuracy") for end in ("", "_low", "_high")
]


def test_by_hand():
    metrics = likelihood_metrics(np.array([1.0, 5.0]), np.array([2, 4]), np.array([2, 1]))
    assert list(metrics) == NAMES
    assert metrics["nll"] == 1.0
    assert metrics["perplexity"] == pytest.approx(math.e)
    assert metrics["accuracy"] == 0.5
    # Resamples of two tunes: one twice, the other twice, or both.
    assert (metrics["nll_low"], metrics["nll_high"]) == (0.5, 1.25)
    assert metrics["perplexity_low"] == pytest.approx(math.exp(0.5))
    assert metrics["perplexity_high"] == pytest.approx(math.exp(1.25))
    assert (metrics["accuracy_low"], metrics["accuracy_high"]) == (0.25, 1.0)


def test_long_tunes_weigh_as_many_events():
    metrics = likelihood_metrics(np.array([1.0, 300.0]), np.array([1, 100]), np.array([1, 0]))
    assert metrics["nll"] == pytest.approx(301 / 101)
    assert metrics["accuracy"] == pytest.approx(1 / 101)


@pytest.mark.parametrize("num_tunes", [60, 600])
def test_intervals_are_as_wide_as_the_error_of_a_ratio(num_tunes):
    rng = np.random.default_rng([num_tunes])
    events = rng.integers(50, 250, num_tunes)
    nll = events * rng.normal(1, 0.2, num_tunes)
    correct = rng.binomial(events, rng.beta(7, 3, num_tunes))
    metrics = likelihood_metrics(nll, events, correct, num_resamples=4000, seed=1)
    for name, sums in (("nll", nll), ("accuracy", correct)):
        ratio = sums.sum() / events.sum()
        # The delta method's standard error of a ratio of sums over tunes.
        error = np.sqrt(np.sum((sums - ratio * events) ** 2)) / events.sum()
        width = metrics[f"{name}_high"] - metrics[f"{name}_low"]
        assert width == pytest.approx(2 * 1.96 * error, rel=0.1)
        assert metrics[name] == pytest.approx(ratio)


def test_the_same_seed_gives_the_same_numbers():
    rng = np.random.default_rng([0])
    arrays = rng.random(30), np.full(30, 10), rng.integers(0, 10, 30)
    assert likelihood_metrics(*arrays, seed=3) == likelihood_metrics(*arrays, seed=3)
    assert likelihood_metrics(*arrays, seed=3) != likelihood_metrics(*arrays, seed=4)


def test_no_events_are_nan():
    metrics = likelihood_metrics(np.array([]), np.array([]), np.array([]))
    assert list(metrics) == NAMES
    assert all(math.isnan(value) for value in metrics.values())
