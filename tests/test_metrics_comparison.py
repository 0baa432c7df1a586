"""metrics/comparison against SciPy, numeric integration and closed forms."""

import warnings

import numpy as np
import pytest
from scipy import stats

from pipeline.metrics import comparison
from pipeline.metrics.comparison import (
    bootstrap_interval,
    kl_divergence,
    mean_ignoring_nan,
    overlapped_area,
    paired_bootstrap_ratio,
)


def random_set(seed, size=60, shift=0.0, scale=1.0):
    return shift + scale * np.random.default_rng([seed]).standard_normal(size)


def normal_pair(shift, scale):
    """Two sets of two values, whose densities are mixtures written down by hand."""
    a, b = np.array([0.0, 1.0]), np.array([shift, shift + scale])
    densities = []
    for values in (a, b):
        bandwidth = 2**-0.2 * values.std(ddof=1)
        components = [stats.norm(value, bandwidth).pdf for value in values]
        densities.append(lambda x, c=components: (c[0](x) + c[1](x)) / 2)
    return a, b, *densities


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1), (2, 3), (0, 0.05), (6, 1)])
def test_area_and_divergence_of_closed_forms_on_a_fine_grid(shift, scale):
    a, b, p, q = normal_pair(shift, scale)
    x = np.linspace(-20, 30, 200_001)
    assert overlapped_area(a, b) == pytest.approx(
        np.trapezoid(np.minimum(p(x), q(x)), x), rel=1e-4, abs=1e-6
    )
    inside = p(x) > 1e-200
    if q(x)[inside].min() > 0:
        log_ratio = np.log(p(x)[inside] / q(x)[inside])
        expected = np.trapezoid(p(x)[inside] * log_ratio, x[inside])
        assert kl_divergence(a, b) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_densities_are_scipys(seed):
    a, b = random_set(seed), random_set(seed + 10, 45, 1.0, 2.0)
    p, q = stats.gaussian_kde(a), stats.gaussian_kde(b)
    x = np.linspace(-15, 15, 20_001)
    area = np.trapezoid(np.minimum(p(x), q(x)), x)
    assert overlapped_area(a, b) == pytest.approx(area, rel=1e-4)
    # From the narrow set to the wide one, so that the densities do not underflow.
    x = np.linspace(-6, 6, 20_001)
    assert kl_divergence(a, b) == pytest.approx(
        np.trapezoid(p(x) * np.log(p(x) / q(x)), x), rel=1e-4
    )


def test_divergence_of_many_normal_values_nears_the_closed_form():
    a, b = random_set(1, 4000), random_set(2, 4000, 1.0, 2.0)
    expected = np.log(2) + (1 + 1) / (2 * 4) - 0.5
    assert kl_divergence(a, b) == pytest.approx(expected, rel=0.1)


def test_a_set_overlaps_itself_wholly():
    a = random_set(0)
    assert overlapped_area(a, a) == pytest.approx(1, abs=1e-6)
    assert kl_divergence(a, a) == pytest.approx(0, abs=1e-9)


def test_shifted_copies_are_not_equal():
    a = random_set(0)
    assert overlapped_area(a, a + 1) < 0.8
    assert kl_divergence(a, a + 1) > 0.2
    assert overlapped_area(a, a + 100) == pytest.approx(0, abs=1e-12)
    assert np.isfinite(kl_divergence(a, a + 100))


def test_area_is_symmetric_and_divergence_is_not():
    a, b = random_set(0), random_set(1, 50, 1, 3)
    assert overlapped_area(a, b) == pytest.approx(overlapped_area(b, a))
    assert kl_divergence(a, b) != pytest.approx(kl_divergence(b, a), rel=0.1)


def test_sets_without_variance():
    assert overlapped_area([0.1] * 3, [0.1]) == 1
    assert overlapped_area([0.1], [0.2, 0.2]) == 0
    assert kl_divergence([0.1] * 3, [0.1]) == 0
    assert kl_divergence([0.1], [0.2]) == np.inf
    # One value in the middle of normals, with their bandwidth.
    b = random_set(0, 200)
    bandwidth = 200**-0.2 * b.std(ddof=1)
    p, q = stats.norm(0.3, bandwidth).pdf, stats.gaussian_kde(b)
    x = np.linspace(-10, 10, 20001)
    expected = np.trapezoid(np.minimum(p(x), q(x)), x)
    assert overlapped_area([0.3] * 5, b) == pytest.approx(expected, rel=1e-4)


def test_nan_is_left_out_and_nothing_is_nan():
    a, b = random_set(0), random_set(1)
    assert overlapped_area([*a, np.nan], b) == overlapped_area(a, b)
    assert np.isnan(overlapped_area([np.nan], b))
    assert np.isnan(kl_divergence(a, []))


def test_a_large_set_in_parts_is_the_same(monkeypatch):
    a, b = random_set(0, 500), random_set(1, 300, 1)
    whole = overlapped_area(a, b), kl_divergence(a, b)
    monkeypatch.setattr(comparison, "_VALUES_AT_ONCE", 10_000)
    assert (overlapped_area(a, b), kl_divergence(a, b)) == pytest.approx(whole)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_interval_is_scipys_percentile_bootstrap(statistic, confidence):
    values = np.random.default_rng([5]).exponential(3, 50)
    expected = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=2000,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng([9]),
        vectorized=True,
    ).confidence_interval
    found = bootstrap_interval(values, statistic, confidence, 2000, seed=9)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_interval_of_the_mean_covers_as_often_as_it_says():
    rng = np.random.default_rng([3])
    intervals = [bootstrap_interval(rng.normal(size=40), num_resamples=400) for _ in range(400)]
    covered = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.90 <= covered <= 0.97


def test_interval_depends_on_the_seed_alone():
    values = random_set(0)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_interval_ignoring_nan_and_of_nothing():
    values = np.array([np.nan, 1.0, 2.0, 3.0] * 10)
    low, high = bootstrap_interval(values, mean_ignoring_nan)
    assert 1.5 < low < 2 < high < 2.5
    assert np.isnan(bootstrap_interval([])).all()


@pytest.mark.parametrize("num_examples", [1, 30])
def test_ratio_is_scipys_paired_bootstrap(num_examples):
    rng = np.random.default_rng([num_examples])
    events = rng.integers(1, 300, num_examples)
    nll = events * rng.gamma(4, 0.25, num_examples)
    ratio, low, high = paired_bootstrap_ratio(nll, events, 0.95, 3000, seed=4)
    assert ratio == pytest.approx(nll.sum() / events.sum())
    if num_examples == 1:
        assert low == high == pytest.approx(ratio)
        return
    indices = np.random.default_rng([4]).integers(0, num_examples, (3000, num_examples))
    looped = [nll[row].sum() / events[row].sum() for row in indices]
    assert (low, high) == pytest.approx(tuple(np.quantile(looped, [0.025, 0.975])))
    expected = stats.bootstrap(
        (nll, events),
        lambda n, d, axis: n.sum(axis) / d.sum(axis),
        n_resamples=3000,
        paired=True,
        method="percentile",
        rng=np.random.default_rng([1]),
    ).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_ratio_without_events_is_nan_and_empty_examples_weigh_nothing():
    assert np.isnan(paired_bootstrap_ratio([], [])).all()
    assert np.isnan(paired_bootstrap_ratio([0.0], [0])).all()
    ratio, low, high = paired_bootstrap_ratio([6.0, 0.0], [3, 0])
    assert (ratio, low, high) == (2, 2, 2)


def test_resamples_in_parts_are_as_many(monkeypatch):
    values = random_set(0, 100)
    monkeypatch.setattr(comparison, "_VALUES_AT_ONCE", 1050)
    parts = list(comparison._resamples(100, 33, 0))
    assert [part.shape for part in parts] == [(10, 100)] * 3 + [(3, 100)]
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high


def test_mean_ignoring_nan_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_ignoring_nan([1, np.nan, 3]) == 2
        assert np.isnan(mean_ignoring_nan([]))
        rows = mean_ignoring_nan([[1, np.nan], [np.nan, np.nan]], axis=-1)
    assert rows[0] == 1
    assert np.isnan(rows[1])
