"""Encoders of a track: moments against NumPy, networks trained in small, vectors of each record."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline import registry  # noqa: E402
from pipeline.codecs.base import Feature  # noqa: E402
from pipeline.codecs.cover import AUDIO_FEATURES  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models import _track, track_attributes, track_rnn  # noqa: E402
from pipeline.models.base import Shards, read_records  # noqa: E402
from pipeline.nn.classifier.network import picture_classifier  # noqa: E402
from pipeline.nn.tracks.moments import Moments  # noqa: E402
from tests import toy_corpus  # noqa: E402
from tests.resumed_training import fitted  # noqa: E402

NUM_FRAMES, NUM_BINS = 24, 8
FEATURES = {
    "key": Feature((), "string"),
    "group": Feature((), "string"),
    "mel": Feature((NUM_FRAMES, NUM_BINS), "float32", "bytes"),
    "track_statistics": Feature((6,), "float32"),
    "audio_features": Feature((len(AUDIO_FEATURES),), "float32"),
    "genre": Feature((), "string"),
}
TRAINING = {"epochs": 2, "steps_per_epoch": 4, "patience": 9, "learning_rate": 0.01}
SPECTROGRAMS = {**TRAINING, "batch_size": 4, "crop_frames": 16, "shuffle_window": 5}
PARAMS = {
    "track_pca": {**TRAINING, "batch_size": 4, "vector_size": 3},
    "track_attributes": {**TRAINING, "batch_size": 4},
    "track_rnn": {
        **SPECTROGRAMS,
        "stacked_frames": 2,
        "steps_ahead": 1,
        "rnn_layer_sizes": (5, 3),
        "clip_norm": 1.0,
    },
    "track_autoencoder": {
        **SPECTROGRAMS,
        "crop_frames": 8,
        "conv_sizes": (3, 4),
        "dense_size": 5,
        "latent_size": 4,
        "num_averaged": 6,
    },
}
SIZES = {"track_pca": 3, "track_attributes": 12, "track_rnn": 6, "track_autoencoder": 8}
RECIPES = {name: registry.recipe(name) for name in PARAMS}


def params(name, **changes):
    return RECIPES[name].Params(**(PARAMS[name] | changes))


def record_of(number):
    rng = np.random.default_rng([number])
    mel = rng.uniform(-60, 0, (NUM_FRAMES, NUM_BINS)).cumsum(axis=0) / 10
    statistics = rng.normal(size=6)
    statistics[2], statistics[5] = 4, 2 * statistics[0] + 1  # one constant, one of another
    features = rng.uniform(size=len(AUDIO_FEATURES))
    features[AUDIO_FEATURES.index("key")] = number % 12
    features[AUDIO_FEATURES.index("tempo")] = 60 + 10 * number
    return {
        "key": f"t{number}",
        "group": f"album{number // 2}",
        "mel": mel.astype(np.float32),
        "track_statistics": statistics.astype(np.float32),
        "audio_features": features.astype(np.float32),
        "genre": "jazz",
    }


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covers") / "toy"
    return Shards.open(toy_corpus.write(folder, FEATURES, record_of, {}, {}))


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    return {
        name: fitted(RECIPES[name], shards, params(name), tmp_path_factory.mktemp(name), 2)[0]
        for name in RECIPES
    }


def fields(shards, split, names):
    records = list(read_records(shards, split, names).as_numpy_iterator())
    return {name: np.stack([record[name] for record in records]) for name in names}


@pytest.mark.parametrize("name", RECIPES)
def test_each_record_has_a_vector_of_its_own_whatever_stands_beside_it(name, shards, trained):
    recipe, model, options = RECIPES[name], trained[name], params(name)
    given = fields(shards, "test", recipe.encoded_fields)
    vectors = recipe.encode(model, options, shards, given)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, SIZES[name])
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == 5
    for i in range(5):
        alone = {field: values[i : i + 1] for field, values in given.items()}
        found = recipe.encode(model, options, shards, alone)
        np.testing.assert_allclose(found[0], vectors[i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_training_is_as_undisturbed(name, shards, trained, tmp_path):
    fitted(RECIPES[name], shards, params(name), tmp_path, 1)
    resumed, _ = fitted(RECIPES[name], shards, params(name), tmp_path, 2)
    for ours, theirs in zip(resumed.get_weights(), trained[name].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", RECIPES)
def test_measures_have_a_value_for_each_held_out_track_and_its_album(name, shards, trained):
    found = RECIPES[name].measures(trained[name], shards, "test", params(name), 0)
    for measure in found.values():
        assert measure.numerators.shape == measure.denominators.shape == (5,)
        assert np.isfinite(measure.numerators).all()
        assert len(set(measure.groups.tolist())) == 3


def rows(num, size=5, seed=0):
    mixing = np.random.default_rng([seed, 1]).normal(size=(size, size))
    found = np.random.default_rng(seed).normal(size=(num, size)) @ mixing * 7 + 100
    found[:, 1] = 3.3  # never changes
    found[:, 4] = -2 * found[:, 0]  # says nothing new
    return found.astype(np.float32)


def learned(model, batches):
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    for batch, weights in batches:
        model.train_step((batch, batch, weights))
    return model


@pytest.mark.parametrize("cuts", [(), (1, 20), (7, 8, 30)])
def test_moments_give_the_whitened_components_of_the_correlations(cuts):
    data = rows(40)
    parts = [(part, np.ones(len(part))) for part in np.split(data, cuts)]
    parts += [(rows(3, seed=9), np.zeros(3))]  # counts for nothing
    model = learned(Moments(5, 5), parts)
    varying = data[:, [0, 2, 3, 4]].astype(float)
    z = (varying - varying.mean(axis=0)) / varying.std(axis=0)
    variances, axes = np.linalg.eigh(z.T @ z / 40)
    expected = (z @ axes / np.sqrt(np.abs(variances)))[:, :0:-1]  # the least has none
    expected *= np.sign(axes[np.abs(axes).argmax(axis=0), range(4)])[:0:-1]
    found = np.asarray(model(data))
    np.testing.assert_allclose(found[:, :3], expected, atol=1e-5)
    np.testing.assert_allclose(found[:, :3].T @ found[:, :3] / 40, np.eye(3), atol=1e-5)
    assert not found[:, 3:].any()


def test_moments_without_components_standardise():
    data = rows(30)
    found = np.asarray(learned(Moments(5), [(data, np.ones(30))])(data))
    keep = [0, 2, 3, 4]
    expected = (data - data.mean(axis=0, dtype=float))[:, keep] / data[:, keep].std(
        axis=0, dtype=float
    )
    np.testing.assert_allclose(found[:, keep], expected, atol=1e-4)
    assert not found[:, 1].any()


def test_squares_are_those_that_a_projection_leaves():
    data = rows(30)
    model = learned(Moments(5, 2), [(data, np.ones(30))])
    assert model.num_varying() == 4
    z, correlations = (np.asarray(x) for x in model._standardised(data))
    axes = np.linalg.eigh(correlations)[1][:, -2:]
    whole, rest = (np.asarray(x) for x in model.squares(data))
    for i in range(30):
        left = z[i] - sum((z[i] @ axes[:, k]) * axes[:, k] for k in range(2))
        assert rest[i] == pytest.approx(left @ left)
        assert whole[i] == pytest.approx(z[i] @ z[i])


def test_before_any_row_moments_are_0_and_no_nan():
    assert not np.asarray(Moments(5, 2)(rows(3))).any()


def test_moments_are_of_each_training_track_once(shards, trained):
    given = fields(shards, "train", ("track_statistics",))["track_statistics"]
    model = trained["track_pca"]  # after two epochs of four batches of four
    assert float(model.count) == 13
    np.testing.assert_allclose(model.sums, given.astype(float).sum(axis=0))


@pytest.mark.parametrize("name", ["track_pca", "track_attributes"])
def test_less_than_a_pass_is_refused(name, shards):
    with pytest.raises(PipelineError, match="Set steps_per_epoch to 4"):
        RECIPES[name].build(params(name, steps_per_epoch=3), shards)


def test_more_components_than_numbers_are_refused(shards):
    with pytest.raises(PipelineError, match="vector_size=7 exceeds the 6"):
        RECIPES["track_pca"].build(params("track_pca", vector_size=7), shards)


def test_components_keep_more_than_random_directions(shards, trained):
    found = RECIPES["track_pca"].measures(
        trained["track_pca"], shards, "train", params("track_pca"), 0
    )
    shares = {n: m.numerators.sum() / m.denominators.sum() for n, m in found.items()}
    assert shares["explained_variance_margin"] > 0.1
    assert shares["explained_variance"] < 1
    assert shares["explained_variance_margin"] == pytest.approx(
        shares["explained_variance"] - shares["explained_variance_random"]
    )


def test_attributes_by_hand():
    assert track_attributes.ORDER == AUDIO_FEATURES
    given = dict.fromkeys(AUDIO_FEATURES, 0.0) | {"energy": 0.25, "loudness": -7, "mode": 1}
    rows = [
        [*(given | {"key": key, "tempo": tempo}).values()]
        for key, tempo in ((0, 64), (7, 128), (6, 0), (-1, 30))
    ]
    found = track_attributes.attributes(np.array(rows))
    assert found.shape == (4, track_attributes.SIZE)
    assert found[0, :4].tolist() == [0, 0.25, -7, 1]
    root = np.sqrt(3) / 2
    points = [[1, 0], [root, 0.5], [-1, 0], [0, 0]]  # C, a fifth up, opposite, none
    np.testing.assert_allclose(found[:, 9:11], points, atol=1e-6)
    np.testing.assert_allclose(found[:, 11], [6, 7, np.log2(30), np.log2(30)], rtol=1e-6)


def test_crops_are_pieces_of_the_whole_track_against_its_loudest(shards):
    options = params("track_rnn")
    whole = np.asarray(_track.relative(fields(shards, "train", ("mel",))["mel"]))
    windows = np.lib.stride_tricks.sliding_window_view(whole, 16, axis=1).transpose(0, 1, 3, 2)
    starts = set()
    for batch in _track.crops(shards, "train", options, 3).take(6):
        for piece in batch.numpy():
            matches = np.argwhere((windows == piece).all(axis=(2, 3)))
            assert len(matches)
            starts.add(int(matches[0, 1]))
    assert len(starts) > 4
    held_out = np.concatenate([*_track.crops(shards, "test", options, 3).as_numpy_iterator()])
    mel = fields(shards, "test", ("mel",))["mel"]
    np.testing.assert_array_equal(held_out, np.asarray(_track.relative(mel))[:, :16])
    with pytest.raises(PipelineError, match="crop_frames=25 exceeds num_frames=24"):
        _track.crops(shards, "train", params("track_rnn", crop_frames=25), 3)


def test_an_rnn_predicts_the_step_ahead_of_stacked_frames():
    options = params("track_rnn", stacked_frames=3, steps_ahead=2)
    mel = np.arange(2 * 13 * 4, dtype=np.float32).reshape(2, 13, 4)
    heard, ahead = (np.asarray(x) for x in track_rnn._pairs(options, mel))
    assert heard.shape == ahead.shape == (2, 2, 12)
    for track in range(2):
        for step in range(2):
            frames = mel[track, 3 * step : 3 * step + 3]
            assert heard[track, step].tolist() == frames.ravel().tolist()
            later = mel[track, 3 * (step + 2) : 3 * (step + 2) + 3]
            assert ahead[track, step].tolist() == later.ravel().tolist()


def test_an_rnn_that_changes_nothing_is_as_near_as_the_copy(shards):
    model = RECIPES["track_rnn"].build(params("track_rnn"), shards)
    model.get_layer("change").set_weights(
        [np.zeros_like(w) for w in model.get_layer("change").get_weights()]
    )
    found = RECIPES["track_rnn"].measures(model, shards, "test", params("track_rnn"), 0)
    assert not found["prediction_margin"].numerators.any()
    mel = np.asarray(_track.relative(fields(shards, "test", ("mel",))["mel"]))
    errors = 40 * np.abs(mel[:, 2:] - mel[:, :-2]).mean(axis=(1, 2))
    np.testing.assert_allclose(found["prediction_error_copy_db"].numerators, errors, rtol=1e-5)


def test_an_rnn_vector_is_mean_and_deviation_of_its_states(shards, trained):
    model, options = trained["track_rnn"], params("track_rnn")
    mel = fields(shards, "test", ("mel",))["mel"]
    steps = np.asarray(_track.relative(mel)).reshape(5, 12, 16)
    states = steps
    for index in range(2):
        states = np.asarray(model.get_layer(f"lstm_{index}")(states))
    expected = np.concatenate([states.mean(axis=1), states.std(axis=1)], axis=1)
    found = RECIPES["track_rnn"].encode(model, options, shards, {"mel": mel})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_autoencoders_baseline_is_the_mean_spectrum(shards, trained):
    mel = [
        np.asarray(_track.relative(fields(shards, split, ("mel",))["mel"]))
        for split in ("train", "test")
    ]
    mean = mel[0][:6].mean(axis=(0, 1))
    expected = 40 * np.abs(mel[1][:, :8] - mean).mean(axis=(1, 2))
    recipe, options = RECIPES["track_autoencoder"], params("track_autoencoder")
    found = recipe.measures(trained["track_autoencoder"], shards, "test", options, 0)
    np.testing.assert_allclose(
        found["reconstruction_error_mean_db"].numerators, expected, rtol=1e-4
    )


def test_an_autoencoder_learns(shards):
    options = params("track_autoencoder")
    keras.utils.set_random_seed(0)
    model = RECIPES["track_autoencoder"].build(options, shards)
    batches = RECIPES["track_autoencoder"].batches(shards, "train", options, 0)
    losses = [model.train_on_batch(*batch) for batch in batches.take(30)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_an_autoencoder_refuses_what_it_cannot_halve(shards):
    with pytest.raises(PipelineError, match="crop_frames=12 is no power of 2"):
        RECIPES["track_autoencoder"].build(params("track_autoencoder", crop_frames=12), shards)


def test_by_rows_fills_the_last_batch_and_drops_the_filling():
    sizes = []

    def doubled(part):
        sizes.append(len(part))
        return 2 * part

    found = _track.by_rows(doubled, np.arange(14).reshape(7, 2), 3)
    assert sizes == [3, 3, 3]
    assert found.tolist() == (2 * np.arange(14).reshape(7, 2)).tolist()


CLASSIFIER = registry.recipe("mel_classifier")
CLASSIFIER_PARAMS = CLASSIFIER.Params(
    **{**TRAINING, "batch_size": 4, "shuffle_window": 5},
    labels="one",
    patch=(2, 2),
    conv_sizes=(4, 6),
    dropout_rate=0.5,
)


def test_a_genre_network_gives_what_its_last_layer_sees(shards):
    model = picture_classifier((NUM_FRAMES, NUM_BINS, 1), 3, (2, 2), (4, 6), 0.5)
    given = fields(shards, "test", CLASSIFIER.encoded_fields)
    vectors = CLASSIFIER.encode(model, CLASSIFIER_PARAMS, shards, given)
    assert vectors.dtype == np.float32
    kernel, bias = (np.asarray(w) for w in model.layers[-1].weights)
    inputs = np.asarray(_track.relative(given["mel"]))[..., None]
    np.testing.assert_allclose(vectors @ kernel + bias, model(inputs), rtol=1e-4, atol=1e-5)


def test_a_genre_network_hears_longer_tracks_and_refuses_other_bands(shards):
    model = picture_classifier((16, NUM_BINS, 1), 3, (2, 2), (4, 6), 0.5)
    mel = fields(shards, "test", ("mel",))["mel"]
    same = picture_classifier((NUM_FRAMES, NUM_BINS, 1), 3, (2, 2), (4, 6), 0.5)
    same.set_weights(model.get_weights())
    longer, expected = (
        CLASSIFIER.encode(m, CLASSIFIER_PARAMS, shards, {"mel": mel}) for m in (model, same)
    )
    np.testing.assert_allclose(longer, expected, rtol=1e-5)
    with pytest.raises(PipelineError, match="num_mel_bins=4 of corpus toy differs from the 8"):
        CLASSIFIER.encode(model, CLASSIFIER_PARAMS, shards, {"mel": mel[:, :, :4]})
