"""Sampling against exact probabilities, beam search against all sequences there are."""

import itertools

import numpy as np
import pytest

from pipeline.nn.sampling import branches, kept_classes, sample_sequences

LOGITS = np.array([1.0, -0.5, 2.0, 0.0, 1.5])


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def frequencies(temperature: float, top_k: int, num: int = 40_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn, _ = branches(np.tile(LOGITS, (num, 1)), 1, temperature, top_k, rng)
    return np.bincount(drawn[:, 0], minlength=len(LOGITS)) / num


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_classes_are_drawn_with_the_probabilities_of_the_temperature(temperature):
    exact = softmax(LOGITS / temperature)
    np.testing.assert_allclose(frequencies(temperature, 0), exact, atol=0.01)


def test_top_k_draws_among_the_k_most_probable_classes_in_proportion():
    exact = softmax(np.where(np.isin(np.arange(5), [2, 4]), LOGITS, -np.inf))
    np.testing.assert_allclose(frequencies(1.0, 2), exact, atol=0.01)


def test_temperature_0_takes_the_most_probable_class():
    assert frequencies(0.0, 0, num=10).tolist() == [0, 0, 1, 0, 0]


def test_branches_are_different_classes_with_their_log_probability():
    drawn, gains = branches(LOGITS[None], 5, 1.0, 0, np.random.default_rng(1))
    assert sorted(drawn[0]) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(gains[0], np.log(softmax(LOGITS))[drawn[0]])


def test_branches_are_drawn_without_replacement_as_one_after_the_other():
    num = 40_000
    logits = np.tile(LOGITS[:3], (num, 1))
    drawn, _ = branches(logits, 2, 1.0, 0, np.random.default_rng(2))
    p = softmax(LOGITS[:3])
    for first, second in itertools.permutations(range(3), 2):
        exact = p[first] * p[second] / (1 - p[first])
        seen = ((drawn[:, 0] == first) & (drawn[:, 1] == second)).mean()
        assert abs(seen - exact) < 0.01


class Chain:
    """A model whose next class depends on the two before it; counts rows as the search does."""

    def __init__(self, rows: int, num_classes: int, seed: int):
        rng = np.random.default_rng(seed)
        self.first = rng.normal(size=num_classes)
        self.second = rng.normal(size=(num_classes, num_classes))
        self.later = 2 * rng.normal(size=(num_classes, num_classes, num_classes))
        self.history = [[] for _ in range(rows)]

    def first_logits(self) -> np.ndarray:
        return np.tile(self.first, (len(self.history), 1))

    def next_logits(self, classes: np.ndarray, parents: np.ndarray) -> np.ndarray:
        pairs = zip(classes, parents, strict=True)
        self.history = [[*self.history[parent], int(c)] for c, parent in pairs]
        return np.array([self.after(history) for history in self.history])

    def after(self, history: list[int]) -> np.ndarray:
        if not history:
            return self.first
        if len(history) == 1:
            return self.second[history[-1]]
        return self.later[history[-2], history[-1]]

    def log_probability(self, sequence: tuple[int, ...]) -> float:
        logs = [np.log(softmax(self.after(list(sequence[:i]))))[c] for i, c in enumerate(sequence)]
        return float(sum(logs))


def search(num, num_steps, beam_size, temperature, seed=0, num_classes=3, model_seed=0):
    model = Chain(num * beam_size, num_classes, model_seed)
    rng = np.random.default_rng(seed)
    found = sample_sequences(
        model.first_logits(), model.next_logits, num_steps, beam_size, temperature, 0, rng
    )
    return model, found


@pytest.mark.parametrize("model_seed", range(8))
def test_beam_search_finds_the_best_of_all_sequences(model_seed):
    # Two steps and a beam of all classes leave nothing out.
    model, found = search(2, 2, 3, 0.0, model_seed=model_seed)
    best = max(itertools.product(range(3), repeat=2), key=model.log_probability)
    assert [tuple(row) for row in found] == [best, best]


def test_a_wider_beam_finds_what_greedy_search_misses():
    gains = []
    for model_seed in range(20):
        model, (greedy,) = search(1, 6, 1, 0.0, model_seed=model_seed)
        _, (wide,) = search(1, 6, 3, 0.0, model_seed=model_seed)
        gains.append(model.log_probability(wide) - model.log_probability(greedy))
    assert np.mean(gains) > 0.05


def test_plain_sampling_has_the_probability_of_whole_sequences():
    model, found = search(20_000, 3, 1, 1.0)
    codes, counts = np.unique(found @ [9, 3, 1], return_counts=True)
    seen = dict(zip(codes.tolist(), counts / len(found), strict=True))
    for sequence in itertools.product(range(3), repeat=3):
        exact = np.exp(model.log_probability(sequence))
        assert abs(seen.get(int(np.dot(sequence, [9, 3, 1])), 0.0) - exact) < 0.012


def test_sampled_beams_differ_and_are_more_probable_than_samples():
    model, beams = search(500, 6, 2, 1.0, num_classes=6)
    _, samples = search(500, 6, 1, 1.0, num_classes=6)
    assert len({tuple(row) for row in beams}) > 10
    mean = [np.mean([model.log_probability(tuple(r)) for r in x]) for x in (beams, samples)]
    assert mean[0] > mean[1] + 0.5


def test_the_seed_alone_decides():
    assert np.array_equal(search(50, 5, 2, 1.0, seed=3)[1], search(50, 5, 2, 1.0, seed=3)[1])
    assert not np.array_equal(search(50, 5, 2, 1.0, seed=3)[1], search(50, 5, 2, 1.0, seed=4)[1])


def test_top_k_below_the_beam_never_lets_an_excluded_class_in():
    logits = np.tile(LOGITS, (6, 1))
    found = sample_sequences(logits, lambda *_: logits, 4, 3, 1.0, 2, np.random.default_rng(0))
    assert set(found.reshape(-1).tolist()) <= {2, 4}


def kept_by_loop(log_p: np.ndarray, top_k: int, top_p: float) -> np.ndarray:
    """The least class of both kinds of kept ones, found by adding one class after the other."""
    ranked = sorted(log_p, reverse=True)
    least = ranked[top_k - 1] if 0 < top_k < len(ranked) else -np.inf
    total = 0.0
    for value in ranked:
        if top_p < 1 and total >= top_p:
            break
        total, last = total + np.exp(value), value
    return log_p >= max(least, last)


@pytest.mark.parametrize("top_p", [1.0, 0.95, 0.5, 0.1, 1e-9])
@pytest.mark.parametrize("top_k", [0, 1, 3, 6, 7, 99])
def test_kept_classes_are_those_of_a_loop_in_numpy_and_keras(top_k, top_p):
    ops = pytest.importorskip("keras").ops
    logits = 2 * np.random.default_rng([1]).normal(size=(50, 7)).astype(np.float32)
    log_p = np.log(softmax(logits))
    found = kept_classes(log_p, top_k, top_p, np)
    is_kept = np.isfinite(found)
    np.testing.assert_array_equal(found[is_kept], log_p[is_kept])
    expected = np.stack([kept_by_loop(row, top_k, top_p) for row in log_p.astype(np.float64)])
    np.testing.assert_array_equal(is_kept, expected)
    np.testing.assert_array_equal(kept_classes(ops.array(log_p), top_k, top_p, ops), found)


def test_kept_classes_by_hand():
    log_p = np.log([0.125, 0.25, 0.5, 0.0625, 0.0625])

    def kept(top_k, top_p):
        return np.flatnonzero(np.isfinite(kept_classes(log_p, top_k, top_p, np))).tolist()

    assert kept(0, 1.0) == kept(5, 1.0) == kept(9, 1.0) == [0, 1, 2, 3, 4]
    assert kept(0, 1e-12) == kept(1, 1.0) == kept(3, 0.4) == [2]
    assert kept(0, 0.6) == kept(2, 1.0) == kept(2, 0.99) == [1, 2]
    assert kept(0, 0.8) == [0, 1, 2]
    # As likely as the last: a tie is never broken.
    assert kept(4, 1.0) == kept(0, 0.9) == [0, 1, 2, 3, 4]


def test_top_p_draws_in_proportion_at_the_temperature():
    """At temperature 2 the two likeliest have 0.59, the three likeliest 0.78."""
    rng = np.random.default_rng(0)
    drawn, _ = branches(np.tile(LOGITS, (40_000, 1)), 1, 2.0, 0, rng, top_p=0.7)
    exact = softmax(np.where(np.isin(np.arange(5), [2, 4, 0]), LOGITS / 2, -np.inf))
    assert softmax(LOGITS / 2)[[2, 4]].sum() < 0.7 < softmax(LOGITS / 2)[[2, 4, 0]].sum()
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=5) / 40_000, exact, atol=0.01)


@pytest.mark.parametrize("top_p", [0.0, -0.1, 1.1, np.nan])
def test_a_top_p_out_of_range_is_refused(top_p):
    with pytest.raises(ValueError, match="top_p"):
        branches(LOGITS[None], 1, 1.0, 0, np.random.default_rng(0), top_p)


@pytest.mark.parametrize(
    ("beam_size", "temperature", "top_k"), [(6, 1.0, 0), (0, 1.0, 0), (1, -1.0, 0), (1, 1.0, -1)]
)
def test_arguments_out_of_range_are_refused(beam_size, temperature, top_k):
    with pytest.raises(ValueError):
        sample_sequences(
            np.tile(LOGITS, (6, 1)),
            lambda *_: LOGITS[None],
            1,
            beam_size,
            temperature,
            top_k,
            np.random.default_rng(0),
        )
