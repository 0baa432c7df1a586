"""Probes of vectors: what is there is found, what is not is not, and albums stay together."""

import numpy as np
import pytest

from pipeline.metrics import probe


def clusters(num_tracks, num_classes=3, size=4, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(num_tracks) % num_classes
    centres = np.eye(num_classes, size) * 4
    return centres[labels] + rng.normal(size=(num_tracks, size)) * spread, labels


def tracks(num, seed, spread=0.3):
    vectors, labels = clusters(num, seed=seed, spread=spread)
    rng = np.random.default_rng([seed, 1])
    tempo = 2 ** (6.5 + 0.2 * vectors[:, 3])
    return {
        "vectors": vectors.astype(np.float32),
        "genre": np.array(["jazz", "rock", "folk"])[labels],
        "tempo": tempo,
        "energy": rng.uniform(size=num),
        "group": np.array([f"album{i // 2}" for i in range(num)]),
    }


def test_a_linear_probe_reads_what_is_there():
    train, labels = clusters(60)
    test, truth = clusters(30, seed=1)
    assert probe.linear_probe(train, labels, test, truth).all()
    swapped = (truth + 1) % 3
    assert not probe.linear_probe(train, labels, test, swapped).any()


def test_a_linear_probe_reads_nothing_out_of_noise():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(200, 8)), rng.normal(size=(300, 8))
    right = probe.linear_probe(train, rng.integers(4, size=200), test, rng.integers(4, size=300))
    assert 0.15 < right.mean() < 0.35


def test_scale_does_not_matter():
    train, labels = clusters(60, spread=2.5)
    test, truth = clusters(60, spread=2.5, seed=1)
    scales = np.array([1e-3, 1, 1e3, 1])
    assert np.array_equal(
        probe.linear_probe(train, labels, test, truth),
        probe.linear_probe(train * scales, labels, test * scales, truth),
    )


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="two at least"):
        probe.linear_probe(np.zeros((3, 2)), np.zeros(3), np.zeros((1, 2)), np.zeros(1))


def test_ridge_is_its_closed_form_with_the_penalty_of_a_loop_over_folds():
    rng = np.random.default_rng(3)
    train, test = rng.normal(size=(50, 12)), rng.normal(size=(9, 12))
    slope = rng.normal(size=12)
    values, truth = train @ slope + 4 * rng.normal(size=50), test @ slope
    groups = np.arange(50) // 2
    errors, mean_errors = probe.regression_probe(train, values, test, truth, groups, seed=5)
    folds = probe._folds(values, groups, 5, is_stratified=False)
    scores = {
        penalty: np.mean([r2(values[b], ridge(train[a], values[a], train[b], penalty), a, b)
                          for a, b in folds])
        for penalty in probe._PENALTIES
    }  # fmt: skip
    best = max(scores, key=scores.__getitem__)
    assert best not in (probe._PENALTIES[0], probe._PENALTIES[-1])
    np.testing.assert_allclose(errors, (ridge(train, values, test, best) - truth) ** 2, rtol=1e-6)
    np.testing.assert_allclose(mean_errors, (values.mean() - truth) ** 2)


def r2(truth, predicted, _train, _test):
    return 1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()


def ridge(train, values, test, penalty):
    mean, scale = train.mean(axis=0), train.std(axis=0)
    x, y = (train - mean) / scale, values - values.mean()
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return (test - mean) / scale @ weights + values.mean()


@pytest.mark.parametrize("is_stratified", [True, False])
def test_folds_keep_groups_together_and_hold_all(is_stratified):
    targets, groups = np.arange(40) % 3, np.arange(40) // 4
    folds = probe._folds(targets, groups, 0, is_stratified)
    assert len(folds) >= 2
    assert sorted(np.concatenate([b for _, b in folds]).tolist()) == list(range(40))
    for a, b in folds:
        assert not set(groups[a]) & set(groups[b])


def test_without_groups_enough_for_folds_a_probe_still_answers():
    train, labels = clusters(9)
    one_album = np.zeros(9, int)
    assert probe.linear_probe(train, labels, train, labels, one_album).all()


def test_neighbour_agreement_by_hand():
    vectors = np.array([[0.0], [1], [2], [10], [11]])
    labels = np.array(["a", "a", "b", "b", "b"])
    nearest, random = probe.neighbour_agreement(vectors, labels)  # fewer than 5: all others
    np.testing.assert_allclose(nearest, [1 / 4, 1 / 4, 2 / 4, 2 / 4, 2 / 4])
    np.testing.assert_allclose(random, nearest)
    groups = np.array([0, 0, 1, 1, 2])
    nearest, _ = probe.neighbour_agreement(vectors, labels, groups)
    np.testing.assert_allclose(nearest, [0, 0, 1 / 3, 1 / 3, 2 / 4])


def test_neighbour_agreement_is_its_loop():
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(40, 3)), rng.integers(3, size=40)
    groups = np.arange(40) // 2
    nearest, random = probe.neighbour_agreement(vectors, labels, groups)
    for i in range(40):
        others = [j for j in range(40) if groups[j] != groups[i]]
        others.sort(key=lambda j: np.linalg.norm(vectors[j] - vectors[i]))
        assert nearest[i] == np.mean([labels[j] == labels[i] for j in others[:5]])
        assert random[i] == np.mean([labels[j] == labels[i] for j in others])


def test_neighbours_of_one_album_alone_are_none():
    nearest, random = probe.neighbour_agreement(np.zeros((3, 1)), np.zeros(3), np.zeros(3))
    assert np.isnan(nearest).all()
    assert np.isnan(random).all()


def value(ratio):
    return ratio.numerators.sum() / ratio.denominators.sum()


def test_track_probes_tell_what_is_in_the_vectors_from_what_is_not():
    found = probe.track_probes(tracks(90, 0), tracks(60, 1), seed=0)
    assert value(found["genre_accuracy"]) == 1
    assert value(found["genre_accuracy_majority"]) == pytest.approx(1 / 3)
    assert value(found["genre_accuracy_margin"]) == pytest.approx(2 / 3)
    assert value(found["tempo_r2"]) > 0.99
    assert abs(value(found["energy_r2"])) < 0.15  # drawn apart from the vectors
    assert value(found["neighbour_agreement"]) == 1
    assert value(found["neighbour_agreement_random"]) == pytest.approx(0.33, abs=0.03)
    assert all(len(ratio.groups) == len(ratio.numerators) == 60 for ratio in found.values())


def test_r2_is_against_the_training_mean():
    train, test = tracks(90, 0, spread=1), tracks(60, 1, spread=1)
    ratio = probe.track_probes(train, test, seed=0)["energy_r2"]
    errors, _ = probe.regression_probe(
        *(train["vectors"].astype(float), train["energy"]),
        *(test["vectors"].astype(float), test["energy"]),
        *(train["group"], 0),
    )
    spread = ((test["energy"] - train["energy"].mean()) ** 2).sum()
    assert value(ratio) == pytest.approx(1 - errors.sum() / spread)


def test_of_constant_vectors_nothing_is_read():
    train, test = tracks(91, 0), tracks(60, 1)
    train["vectors"], test["vectors"] = np.ones((91, 4)), np.ones((60, 4))
    found = probe.track_probes(train, test, seed=0)
    assert value(found["genre_accuracy_margin"]) == 0
    assert value(found["tempo_r2"]) == pytest.approx(0)


def test_unknown_genres_are_left_out():
    train, test = tracks(90, 0), tracks(60, 1)
    test["genre"][:10] = ""
    train["genre"][::3] = ""
    found = probe.track_probes(train, test, seed=0)
    assert len(found["genre_accuracy"].numerators) == 50
    assert len(found["tempo_r2"].numerators) == 60
    train["genre"][:] = ""
    assert set(probe.track_probes(train, test, seed=0)) == {"tempo_r2", "energy_r2"}


def test_track_probes_are_the_same_again_and_refuse_nan():
    train, test = tracks(90, 0, spread=2), tracks(60, 1, spread=2)
    first, again = (probe.track_probes(train, test, seed=4) for _ in range(2))
    assert all(np.array_equal(first[n].numerators, again[n].numerators) for n in first)
    test["vectors"][0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        probe.track_probes(train, test, seed=4)


def test_a_tempo_of_0_is_a_number():
    assert probe._octaves(np.array([0, 1, 128])).tolist() == [0, 0, 7]
