"""Metrics of pictures and their features: references, formulas as loops, cases known by hand."""

import colorsys

import numpy as np
import prdc
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.spatial.distance

from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.metrics import _distances, density_coverage, picture, retrieval
from pipeline.metrics.diversity import diversity
from pipeline.metrics.frechet import frechet_distance, frechet_joint_distance
from pipeline.metrics.kernel_distance import kid
from pipeline.metrics.permutation import permutation_test


def features(num=150, size=24, seed=1):
    rng = np.random.default_rng([seed])
    mixed = rng.normal(size=(num, size)) @ rng.normal(size=(size, size)) / np.sqrt(size)
    return mixed + 0.3 * rng.normal(size=size)


# clean-fid 0.1.35, fid.frechet_distance and fid.kernel_distance (subsets of all 150 vectors), and
# torch-fidelity 0.4.0, metric_kid.kernel_mmd, of features(seed=1) and features(seed=2).
REFERENCE_FRECHET, REFERENCE_KID = 16.56504093080131, 0.7012156119443769


def test_frechet_distance_equals_the_reference():
    a, b = features(seed=1), features(seed=2)
    assert frechet_distance(a, b) == pytest.approx(REFERENCE_FRECHET, rel=1e-6)


def test_frechet_distance_equals_its_formula_with_a_matrix_root():
    a, b = features(60, 8, 3), features(200, 8, 4)
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(
        covariances[0] + covariances[1] - 2 * root.real
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_one_dimension_by_hand():
    """(difference of means)^2 + (difference of standard deviations)^2."""
    a, b = np.array([[0.0], [2]]), np.array([[5.0], [11]])
    spread = np.sqrt(2) - np.sqrt(18)
    assert frechet_distance(a, b) == pytest.approx(49 + spread**2)


def test_frechet_distance_with_fewer_vectors_than_dimensions_is_finite():
    a, b = features(10, 40, 5), features(12, 40, 6)
    assert np.isfinite(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(a, a + 1) == pytest.approx(40)
    assert np.isnan(frechet_distance(a[:1], b))


def test_frechet_distance_of_shifted_and_scaled_vectors():
    a = features(100, 5, 7)
    assert frechet_distance(a, a + 2) == pytest.approx(4 * 5, rel=1e-6)
    spread = 3 * (a - a.mean(0)) + a.mean(0)
    assert frechet_distance(a, spread) == pytest.approx(4 * a.var(0, ddof=1).sum(), rel=1e-6)


def test_frechet_joint_distance_joins_scaled_conditions():
    real, made = features(80, 6, 8), features(80, 6, 9)
    conditions = features(80, 3, 10)
    scale = np.mean([np.linalg.norm(x) for x in real]) / np.mean(
        [np.linalg.norm(x) for x in conditions]
    )
    expected = frechet_distance(
        np.concatenate([real, scale * conditions], 1), np.concatenate([made, scale * conditions], 1)
    )
    found = frechet_joint_distance(real, conditions, made, conditions)
    assert found == pytest.approx(expected, rel=1e-9)


def test_frechet_joint_distance_sees_conditions_that_do_not_fit():
    """Pictures are the same: alone they say nothing of which condition each was drawn for."""
    conditions = features(400, 3, 11)
    real = conditions @ np.random.default_rng([12]).normal(size=(3, 6))
    shuffled = conditions[np.random.default_rng([13]).permutation(400)]
    fitting = frechet_joint_distance(real, conditions, real, conditions)
    assert frechet_joint_distance(real, conditions, real, shuffled) > fitting + 1
    with pytest.raises(PipelineError, match="num_conditions=399"):
        frechet_joint_distance(real, conditions[1:], real, conditions)


def test_kid_equals_the_reference():
    found = kid(features(seed=1), features(seed=2), num_subsets=3)
    assert found.value == pytest.approx(REFERENCE_KID, rel=1e-9)
    assert found.subset_mean == pytest.approx(REFERENCE_KID, rel=1e-9)  # a subset is all of them
    assert found.subset_std == pytest.approx(0, abs=1e-9)


def test_kid_of_sets_of_unlike_sizes_equals_its_definition():
    a, b = features(7, 4, 14), features(11, 4, 15)

    def kernel(x, y):
        return (x @ y / 4 + 1) ** 3

    within_a = [kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j]
    within_b = [kernel(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j]
    between = [kernel(x, y) for x in a for y in b]
    expected = np.mean(within_a) + np.mean(within_b) - 2 * np.mean(between)
    assert kid(a, b, num_subsets=1).value == pytest.approx(expected, rel=1e-9)


def test_kid_subsets_are_the_seeds_and_unbiased():
    a, b = features(300, 6, 16), features(300, 6, 17)
    found = kid(a, b, num_subsets=200, subset_size=50, seed=3)
    assert found == kid(a, b, num_subsets=200, subset_size=50, seed=3)
    assert found != kid(a, b, num_subsets=200, subset_size=50, seed=4)
    standard_error = found.subset_std / np.sqrt(200)
    assert found.subset_mean == pytest.approx(found.value, abs=5 * standard_error)


def test_kid_of_one_distribution_is_around_0():
    rng = np.random.default_rng([18])
    values = [kid(*rng.normal(size=(2, 40, 4)), num_subsets=1).value for _ in range(200)]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / np.sqrt(200))
    assert np.isnan(kid(np.zeros((1, 3)), np.zeros((5, 3))).value)
    with pytest.raises(PipelineError, match="one network"):
        kid(np.zeros((4, 3)), np.zeros((4, 2)))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_density_and_coverage_equal_prdc(k, monkeypatch):
    monkeypatch.setattr(_distances, "_VALUES_AT_ONCE", 700)  # several blocks
    real, made = features(90, 6, 19), 1.1 * features(60, 6, 19) + 0.2
    expected = prdc.compute_prdc(real, made, k)
    for name in ("density", "coverage", "precision", "recall"):
        found = getattr(density_coverage, name)(real, made, k)
        assert found == pytest.approx(expected[name], abs=1e-12), name
        assert found > 0


def test_coverage_of_one_distribution_is_its_expectation():
    real, made = np.random.default_rng([20]).normal(size=(2, 3000, 3))
    assert density_coverage.coverage(real, made) == pytest.approx(1 - 0.5**5, abs=0.01)
    assert density_coverage.density(real, made) == pytest.approx(1, abs=0.05)
    assert density_coverage.coverage(real, np.zeros((3000, 3))) < 0.05
    with pytest.raises(PipelineError, match="k=5"):
        density_coverage.density(real[:5], made)


def test_distances_in_blocks_equal_scipy(monkeypatch):
    a, b = features(23, 5, 21), features(17, 5, 22) + 1000  # far from the origin
    monkeypatch.setattr(_distances, "_VALUES_AT_ONCE", 100)
    found = np.concatenate([block for _, block in _distances.blocks(a + 1000, b)])
    np.testing.assert_allclose(found, scipy.spatial.distance.cdist(a + 1000, b), rtol=1e-7)
    assert _distances.mean_pairwise(b) == pytest.approx(scipy.spatial.distance.pdist(b).mean())
    assert np.isnan(_distances.mean_pairwise(b[:1]))


def test_condition_predictor_is_ridge_regression():
    x, y = features(120, 7, 23), features(120, 3, 24)
    predictor = retrieval.ConditionPredictor.fit(x, y, np.arange(120) // 3)
    z = (x - x.mean(0)) / x.std(0)
    weights = np.linalg.solve(z.T @ z + predictor.alpha * np.eye(7), z.T @ (y - y.mean(0)))
    np.testing.assert_allclose(predictor.predict(x), z @ weights + y.mean(0), atol=1e-9)


def test_condition_predictor_chooses_its_penalty_by_whole_groups():
    """An album's pictures are equal: only if they stay together does memory of them not help."""
    rng = np.random.default_rng([25])
    albums = np.repeat(np.arange(40), 5)
    x, y = rng.normal(size=(40, 60))[albums], rng.normal(size=(40, 2))[albums]
    of_albums = retrieval.ConditionPredictor.fit(x, y, albums)
    of_tracks = retrieval.ConditionPredictor.fit(x, y, np.arange(200))
    assert of_albums.cross_validated_r2 < 0.1 < 0.9 < of_tracks.cross_validated_r2
    assert of_albums.alpha > of_tracks.alpha
    with pytest.raises(PipelineError, match="num_groups=1"):
        retrieval.ConditionPredictor.fit(x, y, np.zeros(200))


def test_condition_predictor_overlooks_what_never_varies():
    x, y = features(50, 4, 26), features(50, 2, 27)
    constant = np.hstack([x, np.full((50, 1), 0.1)])
    expected = retrieval.ConditionPredictor.fit(x, y, np.arange(50))
    found = retrieval.ConditionPredictor.fit(constant, y, np.arange(50))
    np.testing.assert_allclose(found.predict(constant), expected.predict(x), atol=1e-9)
    np.testing.assert_allclose(found.predict(constant + np.eye(5)[4]), expected.predict(x))


def by_loop(predicted, candidates, own):
    ranks = []
    for vector, mine in zip(predicted, own, strict=True):
        distances = [np.linalg.norm(vector - c) for c in candidates]
        others = [d for j, d in enumerate(distances) if j != mine]
        farther = sum(d > distances[mine] + 1e-9 for d in others)
        as_far = sum(abs(d - distances[mine]) <= 1e-9 for d in others)
        ranks.append((farther + as_far / 2) / len(others))
    return np.array(ranks)


def test_percentile_ranks_equal_a_loop_with_equal_candidates():
    rng = np.random.default_rng([28])
    candidates = np.repeat(rng.normal(size=(9, 4)), [1, 1, 3, 2, 1, 1, 2, 1, 1], axis=0)
    own, predicted = rng.integers(0, 13, 30), rng.normal(size=(30, 4))
    found = retrieval.percentile_ranks(predicted, candidates, own)
    np.testing.assert_allclose(found, by_loop(predicted, candidates, own))
    matrix = retrieval.rank_matrix(predicted, candidates, own)
    for source in range(13):
        of_source = predicted[own == source]
        if not len(of_source):
            assert np.isnan(matrix[source]).all()
            continue
        for other in range(13):
            ranks = by_loop(of_source, candidates, [other] * len(of_source))
            assert matrix[source, other] == pytest.approx(ranks.mean())
    np.testing.assert_allclose(np.nanmean(matrix, axis=1)[np.unique(own)], 0.5)


def test_ranks_of_perfect_predictions_and_of_chance():
    candidates = features(40, 4, 29)
    own = np.arange(40)
    assert (retrieval.percentile_ranks(candidates, candidates, own) == 1).all()
    assert (retrieval.hits_at(candidates, candidates, own, 1) == 1).all()
    chance = np.random.default_rng([30]).normal(size=(4000, 4))
    ranks = retrieval.percentile_ranks(chance, candidates, np.arange(4000) % 40)
    hits = retrieval.hits_at(chance, candidates, np.arange(4000) % 40, 5)
    assert ranks.mean() == pytest.approx(0.5, abs=0.03)
    assert hits.mean() == pytest.approx(5 / 40, abs=0.02)
    alike = retrieval.hits_at(candidates, np.zeros((40, 4)), own, 5)
    np.testing.assert_allclose(alike, 5 / 40)  # nothing tells the candidates apart
    assert (retrieval.percentile_ranks(candidates, np.zeros((40, 4)), own) == 0.5).all()


def test_permutation_test_equals_the_exact_distribution():
    """Of 4 sources there are 24 permutations; the identity alone scores as high as 1."""
    found = permutation_test(np.eye(4), num_permutations=20_000, seed=1)
    assert found.observed == 1
    assert found.expected == pytest.approx(1 / 4, abs=0.01)
    assert found.p == pytest.approx(1 / 24, abs=0.005)
    assert permutation_test(np.eye(30)).p == 1 / 1001
    assert found == permutation_test(np.eye(4), num_permutations=20_000, seed=1)


def test_permutation_p_is_uniform_where_nothing_fits():
    rng = np.random.default_rng([31])
    values = [
        permutation_test(rng.normal(size=(12, 12)), num_permutations=99).p for _ in range(400)
    ]
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.04)
    assert np.mean(values) == pytest.approx(0.505, abs=0.05)


def test_permutation_test_keeps_an_albums_tracks_together():
    """Tracks of an album fit one another: 40 tracks of 2 albums are evidence of 2 only."""
    albums = np.repeat([5, 3], 20)
    scores = (albums[:, None] == albums).astype(float)
    assert permutation_test(scores).p < 0.01
    assert permutation_test(scores, albums).p == pytest.approx(0.5, abs=0.05)
    with pytest.raises(PipelineError, match="a source"):
        permutation_test(scores[:3])


def test_diversity_equals_a_loop(monkeypatch):
    monkeypatch.setattr(_distances, "_VALUES_AT_ONCE", 50)
    x = features(12, 3, 32)
    sources, latents = np.repeat(["a", "b", "c", "d"], 3), np.tile(np.arange(3), 4)
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]

    def mean(is_counted):
        return np.mean([np.linalg.norm(x[i] - x[j]) for i, j in pairs if is_counted(i, j)])

    found = diversity(x, sources, latents)
    assert found.within == pytest.approx(mean(lambda i, j: sources[i] == sources[j]))
    assert found.between == pytest.approx(mean(lambda i, j: sources[i] != sources[j]))
    assert found.between_same_latent == pytest.approx(
        mean(lambda i, j: sources[i] != sources[j] and latents[i] == latents[j])
    )
    assert np.isnan(diversity(x, np.arange(12), np.arange(12)).within)


def noise(size=32, seed=0):
    return np.random.default_rng([seed]).integers(0, 256, (size, size, 3), dtype=np.uint8)


def even(*levels, size=32):
    return np.full((size, size, 3), levels, np.uint8)


def test_looks_of_even_pictures():
    red, grey = picture.musical_metrics(even(255, 0, 0)), picture.musical_metrics(even(9, 9, 9))
    assert red["brightness"] == pytest.approx(0.299)
    assert grey["brightness"] == pytest.approx(9 / 255)
    assert (red["saturation"], grey["saturation"]) == (1, 0)
    assert red["hue_concentration"] == pytest.approx(1)
    assert np.isnan(grey["hue_concentration"])
    assert grey["colourfulness"] == 0
    for found in red, grey:
        assert found["contrast"] == pytest.approx(0, abs=1e-9)
        assert found["edge_density"] == found["colour_entropy_bits"] == 0
        assert np.isnan(found["fine_detail"])


def test_saturation_and_hue_equal_colorsys():
    found = picture.musical_metrics(noise(16, 1))
    hsv = np.array([colorsys.rgb_to_hsv(*(p / 255)) for p in noise(16, 1).reshape(-1, 3)])
    assert found["saturation"] == pytest.approx(hsv[:, 1].mean())
    weights = hsv[:, 1] * hsv[:, 2]
    direction = (weights * np.exp(2j * np.pi * hsv[:, 0])).sum() / weights.sum()
    assert found["hue_concentration"] == pytest.approx(abs(direction))


def test_colourfulness_equals_its_formula():
    r, g, b = noise(16, 2).astype(float).reshape(-1, 3).T
    rg, yb = r - g, (r + g) / 2 - b
    deviation = (rg.var() + yb.var()) ** 0.5
    expected = deviation + 0.3 * (rg.mean() ** 2 + yb.mean() ** 2) ** 0.5
    assert picture.colourfulness(noise(16, 2)) == pytest.approx(expected)
    # Half red, half cyan: rg is 255 and -255, yb 127.5 and -127.5, each with a mean of 0.
    halves = np.concatenate([even(255, 0, 0), even(0, 255, 255)])
    assert picture.colourfulness(halves) == pytest.approx(np.hypot(255, 127.5))


def test_edges_equal_scipys_sobel():
    # scipy's `nearest` border is what the metric continues a picture by.
    luma = noise(24, 3) @ np.array([0.299, 0.587, 0.114]) / 255
    gradient = [scipy.ndimage.sobel(luma, axis, mode="nearest") / 8 for axis in (0, 1)]
    found = picture.musical_metrics(noise(24, 3))["edge_density"]
    assert found == (np.hypot(*gradient) >= 0.1).mean()
    halves = np.concatenate([even(0, 0, 0), even(255, 255, 255)])
    assert picture.musical_metrics(halves)["edge_density"] == 2 / 64  # two rows at the border


def test_entropy_and_detail_by_hand():
    quarters = np.concatenate([even(c, c, 0) for c in (0, 64, 128, 255)])
    assert picture.musical_metrics(quarters)["colour_entropy_bits"] == 2
    board = np.indices((32, 32)).sum(axis=0)[..., None] % 2 * np.uint8([200, 200, 200])
    assert picture.musical_metrics(board)["fine_detail"] == pytest.approx(1)  # lost in 2 x 2 means
    large = board[:16, :16].repeat(32, axis=0).repeat(32, axis=1)
    assert picture.musical_metrics(large)["fine_detail"] == pytest.approx(0, abs=1e-12)
    assert 0 < picture.musical_metrics(noise(37))["fine_detail"] < 1  # no multiple of 16


def test_contrasts_lose_what_they_should():
    rng = np.random.default_rng([33])
    own = picture.musical_metrics(large := noise(8).repeat(8, axis=0).repeat(8, axis=1))
    shuffled = picture.CONTRASTS["shuffled_pixels"](large, rng)
    for name in ("brightness", "contrast", "saturation", "colourfulness", "colour_entropy_bits"):
        assert shuffled[name] == pytest.approx(own[name])
    assert shuffled["fine_detail"] > own["fine_detail"] + 0.5
    blurred = picture.CONTRASTS["blurred"](noise(64), rng)
    assert blurred["fine_detail"] == pytest.approx(0, abs=1e-9)
    assert blurred["brightness"] == pytest.approx(
        picture.musical_metrics(noise(64))["brightness"], abs=0.005
    )


def test_the_nearest_of_a_copy_is_what_it_was_copied_from():
    training = [noise(32, seed) for seed in range(20)]
    indices, distances = picture.nearest(
        picture.thumbnails(training[3:6]), picture.thumbnails(training)
    )
    assert indices.tolist() == [3, 4, 5]
    assert (distances == 0).all()
    others = picture.thumbnails([noise(32, seed) for seed in range(20, 25)])
    assert (picture.nearest(others, picture.thumbnails(training))[1] > 10).all()
    assert np.isnan(picture.nearest(others, picture.thumbnails([]))[1]).all()


def test_thumbnails_distance_is_root_mean_square_difference():
    a, b = noise(64, 4), noise(64, 5)
    small = [x.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)) for x in (a, b)]
    expected = np.sqrt(((small[0] - small[1]) ** 2).mean())
    found = np.linalg.norm(np.subtract(*picture.thumbnails([a, b])))
    assert found == pytest.approx(expected, rel=0.02)  # levels are rounded
    assert picture.set_metrics([a, b], [])["pairwise_rmse"] == pytest.approx(found, rel=1e-6)
    assert picture.set_metrics([a, a], [])["pairwise_rmse"] == pytest.approx(0, abs=1e-3)
    assert picture.thumbnails([]).shape == (0, 768)


def test_an_example_without_a_picture_is_rejected():
    with pytest.raises(Rejected, match="no picture"):
        picture.content_of(Example("key"), 4)
    assert picture.content_of(Example("key", picture=noise()), 4).shape == (32, 32, 3)
