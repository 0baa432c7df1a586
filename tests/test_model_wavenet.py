"""The WaveNet autoencoder on a small corpus: training, likelihood, notes made and moved."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline import registry  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models import wavenet_autoencoder  # noqa: E402
from pipeline.models.base import Request, Shards, read_records  # noqa: E402
from pipeline.transfers import base as transfers  # noqa: E402
from tests import toy_corpus  # noqa: E402
from tests.resumed_training import fitted  # noqa: E402

RECIPE = registry.recipe("wavenet_autoencoder")
MU_LAW = registry.codec("mu_law")
OPTIONS = MU_LAW.Options(sample_rate=16000, num_samples=512, mu=255)
FEATURES = {
    name: feature for name, feature in MU_LAW.features(OPTIONS).items() if name != "qualities"
}
FEATURES["key"] = type(FEATURES["audio"])((), "string")


def params(**changes):
    values = {
        "crop_samples": 128,
        "shuffle_window": 8,
        "num_pairs": 2,
        "num_points": 3,
        "epochs": 1,
        "steps_per_epoch": 4,
        "patience": 5,
        "batch_size": 3,
        "learning_rate": 0.01,
        "encoder_width": 4,
        "encoder_layers": 2,
        "embedding_size": 3,
        "hop_length": 32,
        "decoder_width": 6,
        "decoder_layers": 2,
        "skip_width": 8,
        "layers_per_stage": 3,
        "kernel_size": 3,
        "start_kernel_size": 2,
        "num_prediction_taps": 4,
        "later_learning_rates": ((3, 0.005),),
        "average_momentum": 0.5,
        "num_likelihood_samples": 256,
        "num_baseline_notes": 5,
        "num_generated_samples": 384,
        "temperature": 1.0,
    }
    return RECIPE.Params(**(values | changes))


def record(number):
    """A decaying tone with overtones, after a few samples of silence."""
    rng = np.random.default_rng([8, number])
    t = np.arange(512) / 16000
    f0 = 110 * 2 ** (number % 7 / 2)
    wave = sum(rng.uniform(0.1, 0.3) * np.sin(2 * np.pi * f0 * k * t) for k in (1, 2, 3))
    wave = wave * np.exp(-t * 30) * (t > 0.0004 * (number % 3))
    labels = dict.fromkeys(("velocity", "instrument", "instrument_source"), np.int64(1))
    return {
        "key": f"note-{number:02d}",
        "audio": wavenet_autoencoder.mu_law_encode(wave, 255).astype(np.uint8),
        "pitch": np.int64(40 + number),
        "instrument_family": np.int64(number % 2),
        **labels,
    }


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "notes"
    options = OPTIONS.model_dump(mode="json")
    return Shards.open(toy_corpus.write(folder, FEATURES, record, {"audio": 256}, options))


@pytest.fixture(scope="module")
def model(shards):
    """With random weights: what it makes depends on all of them."""
    built = RECIPE.build(params(), shards)
    rng = np.random.default_rng(0)
    for variable in built.trainable_variables:
        is_condition = "condition" in variable.path or "bottleneck" in variable.path
        scale = 3.0 if is_condition else 0.2
        variable.assign(rng.normal(scale=scale, size=variable.shape))
    return built


def notes(shards, split="test"):
    return list(read_records(shards, split, tuple(FEATURES)).as_numpy_iterator())


def test_training_lowers_the_loss(shards):
    options = params(learning_rate=0.003, later_learning_rates=())
    built = RECIPE.build(options, shards)
    batches = RECIPE.batches(shards, "train", options, 0)
    fitted = built.fit(batches, steps_per_epoch=20, epochs=4, verbose=0)
    assert fitted.history["loss"][-1] < fitted.history["loss"][0] - 0.1


def test_batches_are_crops_as_classes(shards):
    (classes, targets, weights), *_ = (
        RECIPE.batches(shards, "train", params(), 0).take(1).as_numpy_iterator()
    )
    assert classes.shape == (3, 128)
    assert classes.dtype == np.int32
    assert np.array_equal(classes, targets)
    assert weights.tolist() == [1, 1, 1]
    rows = np.stack([record(n)["audio"] for n in range(13)])
    windows = np.lib.stride_tricks.sliding_window_view(rows, 128, axis=1)
    for row in classes:
        assert (windows == row).all(axis=-1).any()


def test_a_resumed_training_ends_with_the_same_weights(shards, tmp_path):
    options = params(steps_per_epoch=3)
    whole, kept = fitted(RECIPE, shards, options, tmp_path / "whole", 2)
    fitted(RECIPE, shards, options, tmp_path / "parts", 1)
    resumed, checkpoints = fitted(RECIPE, shards, options, tmp_path / "parts", 2)
    for a, b in zip(kept.best, checkpoints.best, strict=True):
        np.testing.assert_array_equal(a, b)
    checkpoints.use_best(resumed)
    assert checkpoints.history == kept.history
    assert len(whole.weights) == len(kept.best)


def test_the_taps_are_fitted_to_training_notes(shards):
    taps = np.asarray(RECIPE.build(params(), shards).decoder.predictor.taps)
    rows = np.stack([record(n)["audio"] for n in range(13)])
    waves = wavenet_autoencoder.mu_law_decode(rows, 255).astype(np.float64)
    waves = waves / np.sqrt((waves**2).sum(axis=1, keepdims=True))
    delays = [sum(w[: 512 - k] @ w[k:] for w in waves) for k in range(5)]
    matrix = np.array([[delays[abs(i - j)] for j in range(4)] for i in range(4)])
    matrix += np.eye(4) * delays[0] * 1e-7
    np.testing.assert_allclose(taps, np.linalg.solve(matrix, delays[1:]), rtol=1e-4)


def logits_of(model, classes, embeddings):
    logits = np.asarray(model.decoder(classes, embeddings), np.float64)
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def test_likelihood_sums_over_the_beginnings_of_notes(model, shards):
    options = params()
    found = RECIPE.likelihood(model, shards, "test", options)
    classes = np.stack([r["audio"][:256] for r in notes(shards)]).astype(np.int32)
    embeddings = np.asarray(model.encoder(classes))
    log_p = logits_of(model, classes, embeddings)
    own = -np.take_along_axis(log_p, classes[..., None], axis=-1)[..., 0]
    assert found.nll == pytest.approx(own.sum(axis=1), rel=1e-4)
    assert found.num_events.tolist() == [256] * 5
    assert found.num_correct.tolist() == (log_p.argmax(-1) == classes).sum(axis=1).tolist()
    conditions = {
        "embedding_of_another_note": np.roll(embeddings, 2, axis=0),
        "zeroed_embedding": np.zeros_like(embeddings),
    }
    assert set(RECIPE.controls) == set(conditions)
    for name, given in conditions.items():
        log_p = logits_of(model, classes, given)
        expected = -np.take_along_axis(log_p, classes[..., None], axis=-1).sum(axis=(1, 2))
        control = RECIPE.controls[name](model, shards, "test", options)
        assert control.nll == pytest.approx(expected, rel=1e-4)
        assert not np.allclose(control.nll, found.nll, rtol=1e-4)


def test_baselines_see_the_same_samples(shards):
    for split, first, num in (("train", 0, 5), ("test", 16, 5)):
        found = RECIPE.sequences(shards, split, params())
        assert len(found) == num
        assert split == "train" or [s.tolist() for s in found] == [
            record(n)["audio"][:256].tolist() for n in range(first, first + num)
        ]


def test_notes_lead_from_one_instrument_to_another(model, shards):
    options = params()
    sources = tuple(RECIPE.sources(shards, "test", options, 99))
    assert len(sources) == 4

    def generated(seed):
        request = Request(num=1, sources=sources, seed=seed)
        return RECIPE.generate(model, options, MU_LAW, OPTIONS, request)

    found = generated(3)
    assert len(found) == 6
    for made, again, other in zip(found, generated(3), generated(4), strict=True):
        assert made["audio"].shape == (512,)
        assert made["audio"].dtype == np.uint8
        assert (made["audio"][384:] == 128).all()
        assert np.array_equal(made["audio"], again["audio"])
        assert not np.array_equal(made["audio"], other["audio"])
        assert MU_LAW.decode(made, OPTIONS).audio.shape == (512,)
    for i, source in enumerate(sources[::2]):
        assert all(np.array_equal(m["source_audio"], source["audio"]) for m in found[3 * i :][:3])


def test_a_way_begins_and_ends_with_the_embeddings_of_its_notes(model, shards):
    """At temperature 0 nothing is drawn, so that the ends are the notes' own reconstructions."""
    options = params(temperature=0.0)
    sources = tuple(RECIPE.sources(shards, "test", options, 99))
    request = Request(num=1, sources=sources, temperature=0.0)
    found = RECIPE.generate(model, options, MU_LAW, OPTIONS, request)
    ends = [found[i]["audio"] for i in (0, 2, 3, 5)]
    rebuilt = RECIPE.reconstruct(model, options, shards, list(sources), 0)
    for end, note in zip(ends, rebuilt, strict=True):
        assert np.array_equal(end, note["audio"])


def test_reconstructions_keep_their_labels(model, shards):
    given = notes(shards)
    found = RECIPE.reconstruct(model, params(), shards, given, 1)
    assert [int(r["pitch"]) for r in found] == [int(r["pitch"]) for r in given]
    again = RECIPE.reconstruct(model, params(), shards, given, 1)
    for made, same in zip(found, again, strict=True):
        assert made["audio"].shape == (512,)
        assert np.array_equal(made["audio"], same["audio"])
    other = RECIPE.reconstruct(model, params(), shards, given, 2)
    assert not np.array_equal(found[0]["audio"], other[0]["audio"])


def test_style_transfer_moves_embeddings_towards_the_sounds(model, shards):
    rng = np.random.default_rng(1)
    songs = [rng.uniform(-0.3, 0.3, n).astype(np.float32) for n in (500, 700)]

    def moved(strength, sound=songs[1]):
        request = transfers.Request(songs[0], sound, 16000, strength, 5)
        audio = RECIPE.transfer(model, params(), shards.options, request)
        assert audio.shape == (500,)
        assert audio.dtype == np.float32
        assert np.abs(audio).max() <= 1
        return audio

    assert np.array_equal(moved(1.0), moved(1.0))
    assert not np.array_equal(moved(1.0), moved(0.0))
    assert np.array_equal(moved(0.0), moved(0.0, songs[1][:300] * 0.1))
    same = transfers.Request(songs[0], songs[0], 16000, 1.0, 5)
    again = RECIPE.transfer(model, params(temperature=0.0), shards.options, same)
    unmoved = transfers.Request(songs[0], songs[0], 16000, 0.0, 5)
    plain = RECIPE.transfer(model, params(temperature=0.0), shards.options, unmoved)
    assert (again == plain).mean() > 0.9


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"crop_samples": 100}, "crop_samples=100.*hop_length=32"),
        ({"num_likelihood_samples": 1024}, "num_likelihood_samples=1024.*512"),
        ({"num_generated_samples": 33}, "num_generated_samples=33"),
    ],
)
def test_impossible_params_are_refused(shards, changes, named):
    with pytest.raises(PipelineError, match=named):
        RECIPE.build(params(**changes), shards)
