"""The picture network: its loss, its views, what it learns, and the features it gives."""

import io

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from PIL import Image  # noqa: E402

from pipeline import registry  # noqa: E402
from pipeline.codecs.base import Feature  # noqa: E402
from pipeline.models import picture_contrastive  # noqa: E402
from pipeline.models.base import Shards  # noqa: E402
from pipeline.nn.contrastive.loss import nt_xent  # noqa: E402
from tests import toy_corpus  # noqa: E402
from tests.resumed_training import fitted  # noqa: E402

RECIPE = registry.recipe("picture_contrastive")
SIZE = 32
FEATURES = {"key": Feature(), "picture": Feature((SIZE, SIZE, 3), "uint8", "jpeg")}


def params(**changes):
    values = {
        "epochs": 2,
        "steps_per_epoch": 4,
        "patience": 5,
        "batch_size": 8,
        "learning_rate": 0.01,
        "view_size": 16,
        "conv_sizes": (8, 16),
        "feature_size": 12,
        "projection_size": 6,
        "temperature": 0.2,
        "min_area": 0.4,
        "is_mirrored": True,
        "shuffle_window": 16,
        "num_measured": 10,
    }
    return RECIPE.Params(**(values | changes))


def picture(number, size=SIZE):
    """Stripes of a direction, width and colours of its own."""
    rng = np.random.default_rng([number])
    colours, direction = rng.integers(0, 256, (2, 3)), rng.normal(size=2)
    waves = np.sin(np.tensordot(direction, np.indices((size, size)), 1) * 32 / size) > 0
    return np.where(waves[..., None], *colours).astype(np.uint8)


def record(number):
    """The tracks come in albums of two, which share a cover."""
    file = io.BytesIO()
    Image.fromarray(picture(number // 2)).save(file, "JPEG", quality=95, subsampling=0)
    return {"key": f"track-{number:02}", "picture": file.getvalue()}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "toy"
    return Shards.open(toy_corpus.write(folder, FEATURES, record, {}, {}))


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    options = params(epochs=10, steps_per_epoch=10)
    return options, fitted(RECIPE, shards, options, tmp_path_factory.mktemp("trained"), 10)[0]


def test_loss_equals_its_definition():
    """Examples 1 and 3 are one picture, and so no negatives of each other."""
    rng = np.random.default_rng([1])
    projections, numbers = rng.normal(size=(4, 2, 5)), np.array([0, 1, 2, 1])
    found = np.asarray(nt_xent(0.3)(numbers.astype(np.float32), projections.astype(np.float32)))

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    for i in range(4):
        losses = []
        for view in (0, 1):
            own, positive = projections[i, view], projections[i, 1 - view]
            negatives = [projections[j, v] for j in range(4) for v in (0, 1)]
            owners = [j for j in range(4) for v in (0, 1)]
            left = [n for n, j in zip(negatives, owners, strict=True) if numbers[j] != numbers[i]]
            total = sum(np.exp(cosine(own, x) / 0.3) for x in [positive, *left])
            losses.append(-np.log(np.exp(cosine(own, positive) / 0.3) / total))
        assert found[i] == pytest.approx(np.mean(losses), rel=1e-5)


def test_loss_of_no_negatives_is_0_and_of_equal_views_by_hand():
    same = np.ones((3, 2, 4), np.float32)
    assert np.allclose(nt_xent(0.1)(np.zeros(3, np.float32), same), 0, atol=1e-5)
    found = np.asarray(nt_xent(0.1)(np.arange(3, dtype=np.float32), same))
    assert found == pytest.approx(np.log(5), rel=1e-5)  # any of five views is as near


def test_batches_are_the_seeds_and_number_equal_covers(shards):
    first = [x.numpy() for x in next(iter(RECIPE.batches(shards, "train", params(), 1)))]
    again = [x.numpy() for x in next(iter(RECIPE.batches(shards, "train", params(), 1)))]
    other = [x.numpy() for x in next(iter(RECIPE.batches(shards, "train", params(), 2)))]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first[0] != other[0]).any()
    views, numbers, weights = first
    assert views.shape == (8, 2, 16, 16, 3)
    assert abs(views).max() <= 1 + 1e-6
    assert (views[:, 0] != views[:, 1]).any(axis=(1, 2, 3)).all()
    assert (weights == 1).all()
    # Validation has tracks 13 to 15, of which the last two share a cover.
    held_out = next(iter(RECIPE.batches(shards, "validation", params(), 1)))
    assert held_out[1].numpy().tolist() == [0, 1, 1]
    assert numbers.tolist() != list(range(8))  # 8 of 13 tracks, in albums of two


def test_a_view_is_a_crop_and_keeps_its_colours():
    """Of the ramps right and down each crop shows a box; mirrored, the first ramp falls."""
    ramps = np.zeros((64, 32, 32, 3), np.float32)
    ramps[..., 0], ramps[..., 1], ramps[..., 2] = (
        np.linspace(-1, 1, 32)[None, None],
        np.linspace(-1, 1, 32)[None, :, None],
        0.5,
    )
    found = picture_contrastive._views(ramps, params(min_area=0.25), np.array([1, 2])).numpy()
    across, down = (found[:, :, 0, -1, 0] - found[:, :, 0, 0, 0]) / 2, found[:, :, -1, 0, 1]
    height = (down - found[:, :, 0, 0, 1]) / 2
    area = abs(across) * height
    assert area.min() >= 0.25 - 0.02
    assert area.max() <= 1
    assert area.mean() == pytest.approx(0.6, abs=0.05)
    ratios = abs(across) / height
    assert 0.74 < ratios.min() < 0.85
    assert 1.18 < ratios.max() < 1.35
    assert (across < 0).mean() == pytest.approx(0.5, abs=0.15)
    np.testing.assert_allclose(found[..., 2], 0.5, atol=1e-6)
    upright = picture_contrastive._views(
        ramps, params(min_area=0.25, is_mirrored=False), np.array([1, 2])
    ).numpy()
    assert (upright[:, :, 0, -1, 0] > upright[:, :, 0, 0, 0]).all()


def test_training_leads_from_one_view_to_the_other(shards, trained):
    options, model = trained
    untrained = RECIPE.build(options, shards)
    views, numbers, _ = next(iter(RECIPE.batches(shards, "test", options, 1)))
    loss = nt_xent(options.temperature)
    losses = [np.mean(loss(numbers, m(views, training=False))) for m in (untrained, model)]
    assert losses[1] < 0.7 * losses[0]


def test_measures_count_each_cover_once(shards, trained):
    options, model = trained
    found = RECIPE.measures(model, shards, "test", options, 1)
    # Tracks 16 to 20 are of three albums.
    assert {len(m.numerators) for m in found.values()} == {3}
    margin = found["view_accuracy"].numerators - found["view_accuracy_thumbnail"].numerators
    assert (found["view_accuracy_margin"].numerators == margin).all()
    again = RECIPE.measures(model, shards, "test", options, 1)
    for name, measure in found.items():
        assert (measure.numerators == again[name].numerators).all()


def test_what_views_are_compared_by():
    red, blue = (np.tile(np.float32(c), (1, 16, 16, 1)) for c in ([1, -1, -1], [-1, -1, 1]))
    histogram = picture_contrastive._histograms(np.concatenate([red, blue, red]))
    assert np.flatnonzero(histogram[0]).tolist() == [3]
    assert np.flatnonzero(histogram[1]).tolist() == [48]
    assert picture_contrastive._found([histogram[:2], histogram[1:]]).tolist() == [0, 0]
    assert picture_contrastive._found([histogram[:2], histogram[:2]]).tolist() == [1, 1]


@pytest.mark.parametrize("size", [16, 32, 64])
def test_features_of_covers_of_any_size(shards, trained, size):
    options, model = trained
    covers = np.stack([picture(n, size) for n in range(4)])
    found = RECIPE.encode(model, options, shards, {"picture": covers})
    assert (found.shape, found.dtype) == ((4, 12), np.float32)
    alone = RECIPE.encode(model, options, shards, {"picture": covers[2:3]})
    np.testing.assert_allclose(found[2:3], alone, atol=1e-4)
    assert RECIPE.encoded_fields == ("picture",)


def test_training_resumed_equals_training_at_once(shards, tmp_path):
    whole, _ = fitted(RECIPE, shards, params(), tmp_path / "whole", 2)
    fitted(RECIPE, shards, params(), tmp_path / "parts", 1)
    parts, _ = fitted(RECIPE, shards, params(), tmp_path / "parts", 2)
    for a, b in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
