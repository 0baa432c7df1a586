"""The baselines of waveforms, against direct formulas."""

import numpy as np
import pytest

from pipeline.audio.autoregression import coefficients, mean_autocorrelation
from pipeline.audio.companding import mu_law_decode, mu_law_encode
from pipeline.baselines import linear_prediction, marginal
from pipeline.baselines.linear_prediction import Residual
from pipeline.errors import PipelineError


def process(num_samples, seed, scale=0.02):
    """x_t = 1.6 x_{t-1} - 0.8 x_{t-2} + noise."""
    rng = np.random.default_rng(seed)
    x = np.zeros(num_samples)
    noise = scale * rng.standard_normal(num_samples)
    for t in range(2, num_samples):
        x[t] = 1.6 * x[t - 1] - 0.8 * x[t - 2] + noise[t]
    return x


def classes(*seeds, num_samples=3000):
    return [
        mu_law_encode(np.clip(process(num_samples, seed), -1, 1)).astype(np.uint8) for seed in seeds
    ]


def test_the_coefficients_of_a_process_are_found():
    autocorrelation = mean_autocorrelation([process(100_000, 1)], 6, 1e-9)
    assert coefficients(autocorrelation, 2) == pytest.approx([1.6, -0.8], abs=0.02)
    assert coefficients(autocorrelation, 6) == pytest.approx([1.6, -0.8, 0, 0, 0, 0], abs=0.03)


def test_autocorrelation_is_the_sum_over_products():
    rng = np.random.default_rng(0)
    waves = [rng.normal(size=50), 3 * rng.normal(size=31)]
    expected = np.mean([[w[: len(w) - k] @ w[k:] / (w @ w) for k in range(8)] for w in waves], 0)
    np.testing.assert_allclose(mean_autocorrelation(waves, 7, 1e-9), expected, atol=1e-12)
    quiet = mean_autocorrelation([1e-3 * waves[0]], 3, 1.0)
    assert quiet[0] == pytest.approx(1e-6 * (waves[0] @ waves[0]) / 50)


def test_coefficients_solve_the_normal_equations():
    delays = mean_autocorrelation([process(2000, 3)], 20, 1e-9)
    matrix = np.array([[delays[abs(i - j)] for j in range(20)] for i in range(20)])
    matrix += 1e-7 * delays[0] * np.eye(20)
    np.testing.assert_allclose(coefficients(delays, 20), np.linalg.solve(matrix, delays[1:]))


@pytest.mark.parametrize("distribution", linear_prediction.DISTRIBUTIONS)
@pytest.mark.parametrize("num_classes", [256, 200])
def test_probabilities_are_those_of_the_formula(distribution, num_classes):
    stats = pytest.importorskip("scipy.stats")
    shapes = {"laplace": stats.laplace(), "logistic": stats.logistic(), "student": stats.t(3)}
    sequence = np.clip(classes(4, num_samples=60)[0], 0, num_classes - 1)
    taps = np.array([1.5, -0.7, 0.1])
    residual = Residual(distribution, 16, 0.75, 1e-4)
    found = np.concatenate(
        list(linear_prediction.probabilities(sequence, taps, residual, num_classes))
    )
    x = mu_law_decode(np.arange(256))[sequence].astype(np.float64)
    mean = 0.0
    for t in range(60):
        predicted = sum(taps[k] * x[t - 1 - k] for k in range(min(3, t)))
        middle = (np.arange(1, num_classes) - 0.5) * 2 / 255 - 1
        edges = np.sign(middle) * np.expm1(np.abs(middle) * np.log(256)) / 255
        edges = np.concatenate([[-np.inf], edges, [np.inf]])
        p = np.diff(shapes[distribution].cdf((edges - predicted) / (0.75 * (mean + 1e-4))))
        np.testing.assert_allclose(found[t], 0.999 * p + 0.001 / num_classes, atol=1e-9)
        mean += (abs(x[t] - predicted) - mean) / 16
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_nll_is_of_these_probabilities():
    train, test = classes(1, 2), classes(5, 6, num_samples=400)
    found = linear_prediction.evaluate(train, test, 256)
    assert found.order in linear_prediction.ORDERS
    assert found.num_events.tolist() == [400, 400]
    best = found.nll.sum() / 800
    assert best == pytest.approx(min(found.table.values()))
    assert found.table[found.distribution, found.order] == pytest.approx(best)
    tried = {order for _, order in found.table}
    assert tried == {1, 2, 4, 16, 64, 256, 1024, 2048}
    waves = [linear_prediction.amplitudes(256)[s] for s in train]
    taps = coefficients(mean_autocorrelation(waves, 2048, 1e-7), found.order)
    totals = {}
    for memory in (16, 64):
        for width in (0.4, 0.55, 0.75, 1.0):
            for floor in (3e-5, 1e-4):
                residual = Residual(found.distribution, memory, width, floor)
                nll, right = [], []
                for row in test:
                    p = np.concatenate(
                        list(linear_prediction.probabilities(row, taps, residual, 256))
                    )
                    nll.append(-np.log(p[np.arange(400), row]).sum())
                    right.append((p.argmax(axis=1) == row).sum())
                totals[sum(nll)] = nll, right
    nll, right = totals[min(totals)]
    assert found.nll == pytest.approx(nll, rel=1e-6)
    assert found.num_correct.tolist() == right


def test_a_predictor_of_two_samples_is_enough_for_its_process():
    found = linear_prediction.evaluate(classes(1, 2, 3), classes(7, 8), 256)
    two = found.table["logistic", 2]
    assert two < found.table["logistic", 1] - 0.3
    assert two < marginal.evaluate(classes(1, 2, 3), classes(7, 8), 256).table["plus one", 1] - 0.5
    assert found.table["logistic", 16] == pytest.approx(two, abs=0.02)


def test_short_sequences_have_short_predictors():
    found = linear_prediction.evaluate([np.array([3, 4, 5])], [np.array([3, 4])], 8)
    assert {order for _, order in found.table} == {1, 2}
    assert np.isfinite(found.nll).all()


def test_the_marginal_counts():
    train, test = [np.array([0, 0, 2]), np.array([2, 2])], [np.array([2, 1]), np.array([0])]
    found = marginal.evaluate(train, test, 4)
    np.testing.assert_allclose(marginal.probabilities(train, 4), np.array([3, 1, 4, 1]) / 9)
    np.testing.assert_allclose(found.nll, [-np.log(4 / 81), -np.log(3 / 9)])
    assert found.num_events.tolist() == [2, 1]
    assert found.num_correct.tolist() == [1, 0]
    assert found.table["plus one", 1] == pytest.approx(found.nll.sum() / 3)


@pytest.mark.parametrize(
    ("train", "test", "named"),
    [([[1]], [[]], "test=1"), ([[]], [[1]], "train=1"), ([[9]], [[1]], r"9\.\.9")],
)
def test_impossible_data_are_refused(train, test, named):
    given = [[np.array(e, int) for e in split] for split in (train, test)]
    with pytest.raises(PipelineError, match=named):
        linear_prediction.evaluate(*given, 4)


def test_a_marginal_needs_an_event():
    with pytest.raises(PipelineError, match="test=0"):
        marginal.evaluate([np.array([1])], [], 4)
