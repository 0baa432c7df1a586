"""GANs of covers on a small corpus: data, conditions, learning, drawing, resuming, refusals."""

import dataclasses
import shutil

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402
from PIL import Image  # noqa: E402

from pipeline import registry  # noqa: E402
from pipeline.checkpoints import Checkpoints, _variables  # noqa: E402
from pipeline.codecs._picture import picture_of, settled_jpeg  # noqa: E402
from pipeline.codecs.base import Feature  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models import cover_gan  # noqa: E402
from pipeline.models.base import Request, Shards, Vectors  # noqa: E402
from tests import toy_corpus  # noqa: E402

SIZE, VECTOR, LATENTS = 16, 5, 3
FEATURES = {
    "key": Feature((), "string"),
    "picture": Feature((SIZE, SIZE, 3), "uint8", "jpeg"),
    "genre": Feature((), "string"),
    "group": Feature((), "string"),
}
SPLITS = {"train": range(13), "validation": range(13, 16), "test": range(16, 21)}
DCGAN = {
    "epochs": 2,
    "steps_per_epoch": 2,
    "patience": 9,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "architecture": "dcgan",
    "size": SIZE,
    "loss": "logistic",
    "condition": "track_pca",
    "condition_size": 2,
    "is_shuffled": False,
    "is_mirrored": False,
    "latent_size": 3,
    "generator_channels": (4, 3),
    "discriminator_channels": (3, 4),
    "feature_size": 4,
    "generator_normalisation": "batch",
    "discriminator_normalisation": "none",
    "num_critic_steps": 1,
    "gradient_penalty": 0.0,
    "mismatch": 0.5,
    "discriminator_learning_rate": 1e-3,
    "beta_1": 0.5,
    "beta_2": 0.99,
    "decay_begin": 0.5,
    "r1_weight": 1.0,
    "r1_interval": 2,
    "ema_half_life": 20.0,
    "ema_ramp": 0.05,
    "augmentations": (),
    "augmentation_target": 0.6,
    "augmentation_interval": 2,
    "augmentation_num_pictures": 100,
    "style_size": 4,
    "num_mapping_layers": 1,
    "mapping_rate": 0.01,
    "mixing": 0.9,
    "truncation": 1.0,
    "group_size": 2,
    "path_length_weight": 2.0,
    "path_length_interval": 2,
    "num_latents": LATENTS,
    "num_train_sources": 2,
    "shuffle_window": 5,
}
WGAN = DCGAN | {"loss": "wasserstein", "gradient_penalty": 10.0, "r1_weight": 0.0,
                "num_critic_steps": 2, "mismatch": 0.0}  # fmt: skip
STYLE = DCGAN | {"architecture": "stylegan2", "size": 8, "generator_channels": (4, 3),
                 "discriminator_channels": (4, 3), "mismatch": 0.0,
                 "augmentations": ("hue",)}  # fmt: skip
UNCONDITIONAL = {"condition": None}
EACH = {
    "wgan": WGAN,
    "stylegan2": STYLE,
    "dcgan, unconditional": DCGAN | UNCONDITIONAL,
}


def key_of(number):
    return f"track_{number:02d}"


def group_of(number):
    return f"album_{number // 2}"


def picture_of_number(number):
    """One colour an album, with a dark left edge, so that it is told from its mirror image."""
    color = np.random.default_rng([number // 2, 3]).integers(60, 220, 3)
    picture = np.full((SIZE, SIZE, 3), color, np.uint8)
    picture[:, : SIZE // 4] //= 4
    return picture


def vector_of(number):
    return np.random.default_rng([number, 4]).normal(size=VECTOR).astype(np.float32)


def record_of(number):
    jpeg = settled_jpeg(picture_of_number(number), 92, key_of(number))
    return {"key": key_of(number), "picture": jpeg, "genre": "jazz", "group": group_of(number)}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covers")
    corpus = toy_corpus.write(folder / "toy", FEATURES, record_of, {}, {"size": SIZE})
    (folder / "track_pca").mkdir()
    numbers = {split: list(n) for split, n in SPLITS.items()}
    Vectors(
        {split: [key_of(n) for n in found] for split, found in numbers.items()},
        {split: np.stack([vector_of(n) for n in found]) for split, found in numbers.items()},
    ).save(folder / "track_pca")
    return dataclasses.replace(Shards.open(corpus), reads=folder / "track_pca")


def params_of(values=DCGAN, **changes):
    return cover_gan.Params(**(values | changes))


def taken(dataset, count):
    return [[x.numpy() for x in batch] for batch in dataset.take(count)]


def number_of_vector(vector):
    every = np.stack([vector_of(n) for n in range(21)])
    return int(np.abs(every - vector).sum(axis=1).argmin())


def trained(values, shards, folder=None, after_first=None):
    """Trains two epochs, or goes on from folder; after_first: gets a copy of the checkpoint."""
    keras.utils.set_random_seed(1)
    params = params_of(values)
    model = cover_gan.build(params, shards)
    callbacks, done = [], 0
    if folder:
        callbacks = [Checkpoints(folder, patience=9)]
        callbacks[0].restore(model)
        done = callbacks[0].num_epochs
    if after_first:
        copy = lambda epoch, logs: epoch or shutil.copytree(folder, after_first)  # noqa: E731
        callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=copy))
    batches = cover_gan.batches(shards, "train", params, 1)
    model.fit(
        batches.skip(done * params.steps_per_epoch),
        validation_data=cover_gan.batches(shards, "validation", params, 1),
        initial_epoch=done,
        epochs=params.epochs,
        steps_per_epoch=params.steps_per_epoch,
        callbacks=callbacks,
        verbose=0,
        shuffle=False,
    )
    return model


# --- data ----------------------------------------------------------------------------------------


def test_each_picture_comes_with_its_own_tracks_vector(shards):
    params = params_of()
    seen = set()
    for pictures, vectors, ones in taken(cover_gan.batches(shards, "train", params, 1), 6):
        assert pictures.shape == (4, SIZE, SIZE, 3)
        assert ones.tolist() == [1] * 4
        for picture, vector in zip(pictures, vectors, strict=True):
            number = number_of_vector(vector)
            expected = picture_of(record_of(number)["picture"]) / 127.5 - 1
            np.testing.assert_allclose(picture, expected, atol=2 / 127)  # decoders differ
            seen.add(number)
    assert seen <= set(SPLITS["train"])
    assert len(seen) >= 10
    ((pictures, vectors, _),) = taken(cover_gan.batches(shards, "validation", params, 1), 9)
    assert [number_of_vector(v) for v in vectors] == list(SPLITS["validation"])


def test_the_order_is_of_the_seed_and_a_batch_feeds_all_critic_steps(shards):
    def first(seed, **changes):
        return taken(cover_gan.batches(shards, "train", params_of(WGAN, **changes), seed), 2)[1]

    assert first(1)[0].shape[0] == 8
    np.testing.assert_array_equal(first(1)[0], first(1)[0])
    assert not np.array_equal(first(1)[1], first(2)[1])


def test_the_negative_control_deals_the_same_vectors_out_anew(shards):
    def pairs(split, count, **changes):
        dataset = cover_gan.batches(shards, split, params_of(**changes), 1)
        return [
            (p.round(1).tobytes(), number_of_vector(v))
            for pictures, vectors, _ in taken(dataset, count)
            for p, v in zip(pictures, vectors, strict=True)
        ]

    right, wrong = pairs("train", 12), pairs("train", 12, is_shuffled=True)
    assert [p for p, _ in right] == [p for p, _ in wrong]
    assert np.mean([a == b for (_, a), (_, b) in zip(right, wrong, strict=True)]) < 0.4
    dealt = {}
    for (_, own), (_, given) in zip(right, wrong, strict=True):
        assert dealt.setdefault(own, given) == given  # the same in all passes
    assert sorted(dealt) == sorted(dealt.values()) == list(SPLITS["train"])
    validation = pairs("validation", 1, is_shuffled=True)
    assert sorted(n for _, n in validation) == list(SPLITS["validation"])


def test_mirrored_pictures_are_half_of_those_trained_on_and_none_else(shards):
    def dark_sides(split, **changes):
        dataset = cover_gan.batches(shards, split, params_of(**changes), 1)
        pictures = np.concatenate([p for p, _, _ in taken(dataset, 20)])
        return pictures[:, :, 0].mean(axis=(1, 2)) < pictures[:, :, -1].mean(axis=(1, 2))

    assert dark_sides("train").all()
    assert 0.3 < dark_sides("train", is_mirrored=True).mean() < 0.7
    assert dark_sides("validation", is_mirrored=True).all()


def test_smaller_pictures_are_pillows_box_filter(shards):
    params = params_of(size=8, generator_channels=(4,), discriminator_channels=(4,))
    ((pictures, _, _),) = taken(cover_gan.batches(shards, "validation", params, 1), 1)
    for number, found in zip(SPLITS["validation"], pictures, strict=True):
        picture = Image.fromarray(picture_of(record_of(number)["picture"]))
        expected = np.asarray(picture.resize((8, 8), Image.Resampling.BOX))
        np.testing.assert_allclose((found + 1) * 127.5, expected, atol=2)


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", EACH.values(), ids=EACH)
def test_training_moves_both_networks_and_goes_on_as_if_undisturbed(values, shards, tmp_path):
    keras.utils.set_random_seed(1)
    before = [v.numpy() for v in cover_gan.build(params_of(values), shards).trainable_variables]
    half = tmp_path / "half"
    whole = trained(values, shards, tmp_path / "whole", after_first=half)
    after = [v.numpy() for v in whole.trainable_variables]
    moved = [not np.array_equal(a, b) for a, b in zip(after, before, strict=True)]
    assert np.mean(moved) > 0.9
    assert all(np.isfinite(x).all() for x in after)
    resumed = trained(values, shards, half)
    for one, other in zip(_variables(whole), _variables(resumed), strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes(), one.path


def test_what_it_learned_is_saved_with_its_conditions(shards, tmp_path):
    model = trained(DCGAN, shards)
    model.optimizer = None
    model.save_weights(tmp_path / "model.weights.h5")
    other = cover_gan.build(params_of(), shards)
    other.condition.mean.assign(np.zeros(VECTOR))
    other.optimizer = None
    other.load_weights(tmp_path / "model.weights.h5")
    latents, vectors = np.ones((2, 3), np.float32), np.stack([vector_of(1), vector_of(2)])
    np.testing.assert_array_equal(model([latents, vectors]), other([latents, vectors]))
    assert np.abs(other.condition.mean.numpy()).max() > 0.1


# --- drawing -------------------------------------------------------------------------------------


def drawn(model, values, shards, size=SIZE, num=2, seed=5, given=None):
    params = params_of(values)
    sources = cover_gan.sources(shards, "test", params, num) if given is None else given
    options = dataclasses.make_dataclass("Options", ["size"])(size)
    request = Request(num=num, sources=tuple(sources), seed=seed)
    return cover_gan.generate(model, params, registry.codec("cover"), options, request)


def test_sources_are_the_first_tracks_of_albums_held_out_and_trained_on(shards):
    found = cover_gan.sources(shards, "test", params_of(), 2)
    numbers = [16, 18, 0, 2]
    assert [x["key"] for x in found] == [key_of(n) for n in numbers]
    assert [x["group"] for x in found] == [group_of(n) for n in numbers]
    assert [x["split"] for x in found] == ["test", "test", "train", "train"]
    for source, number in zip(found, numbers, strict=True):
        np.testing.assert_array_equal(source["vector"], vector_of(number))
        assert source["source_picture"].shape == (SIZE, SIZE, 3)
        assert source["genre"] == "jazz"
    every = cover_gan.sources(shards, "test", params_of(num_train_sources=3), 99)
    assert [x["split"] for x in every] == ["test"] * 3 + ["train"] * 3
    assert cover_gan.sources(shards, "test", params_of(condition=None), 2) == []


@pytest.mark.parametrize("values", [DCGAN, STYLE], ids=["dcgan", "stylegan2"])
def test_each_source_has_covers_of_the_same_noise(values, shards):
    model = cover_gan.build(params_of(values), shards)
    found = drawn(model, values, shards, num=2)
    assert len(found) == (2 + 2) * LATENTS
    assert [int(x["latent"]) for x in found] == [*range(LATENTS)] * 4
    assert [x["key"] for x in found[::LATENTS]] == [key_of(n) for n in (16, 18, 0, 2)]
    assert ["source_picture" in x for x in found] == [True, *[False] * (LATENTS - 1)] * 4
    assert all(x["picture"].shape == (SIZE, SIZE, 3) for x in found)
    assert all(x["picture"].dtype == np.uint8 for x in found)
    # Noise decides within a row, the track within a column; a track alone is as it is in a grid.
    sources = cover_gan.sources(shards, "test", params_of(values), 2)
    alone = drawn(model, values, shards, given=sources[1:2])
    for one, other in zip(found[LATENTS : 2 * LATENTS], alone, strict=True):
        np.testing.assert_array_equal(one["picture"], other["picture"])
    assert not np.array_equal(found[0]["picture"], found[1]["picture"])
    assert not np.array_equal(found[0]["picture"], found[LATENTS]["picture"])
    same = drawn(model, values, shards, num=2)
    assert all(np.array_equal(a["picture"], b["picture"]) for a, b in zip(found, same, strict=True))


def test_a_persons_track_has_no_picture_and_as_many_covers_as_asked(shards):
    model = cover_gan.build(params_of(), shards)
    given = [{"key": "mine", "vector": vector_of(3)}]
    found = drawn(model, DCGAN, shards, size=2 * SIZE, num=7, given=given)
    assert [x["key"] for x in found] == ["mine"] * 7
    assert found[0]["picture"].shape == (2 * SIZE, 2 * SIZE, 3)
    assert "source_picture" not in found[0]
    assert registry.codec("cover").decode(found[0], None).picture.shape == (2 * SIZE, 2 * SIZE, 3)


def test_without_a_condition_each_cover_is_of_its_own_noise(shards):
    values = DCGAN | UNCONDITIONAL
    model = cover_gan.build(params_of(values), dataclasses.replace(shards, reads=None))
    found = drawn(model, values, shards, num=5)
    assert len({x["picture"].tobytes() for x in found}) == len(found) == 5


# --- refusals ------------------------------------------------------------------------------------


def test_a_user_is_told_what_does_not_fit(shards, tmp_path):
    with pytest.raises(PipelineError, match=r"Add `reads: data/samples/track_pca`"):
        cover_gan.build(params_of(), dataclasses.replace(shards, reads=None))
    with pytest.raises(PipelineError, match=r"no vectors\. Run `dvc repro generate@track_pca`"):
        cover_gan.build(params_of(), dataclasses.replace(shards, reads=tmp_path))
    vectors = Vectors.open(shards.reads)
    others = {split: [f"{key}?" for key in keys] for split, keys in vectors.keys.items()}
    Vectors(others, vectors.values).save(tmp_path)
    unlike = dataclasses.replace(shards, reads=tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError, match="unknown track"):
        next(iter(cover_gan.batches(unlike, "train", params_of(), 0)))
    Vectors(
        {split: keys[:2] for split, keys in vectors.keys.items()},
        {split: values[:2] for split, values in vectors.values.items()},
    ).save(tmp_path)
    with pytest.raises(PipelineError, match="vectors of 2 tracks"):
        cover_gan.build(params_of(), dataclasses.replace(shards, reads=tmp_path))
    large = {"generator_channels": (4, 4, 3), "discriminator_channels": (3, 4, 4)}
    with pytest.raises(PipelineError, match="size=32 does not divide the size=16"):
        cover_gan.build(params_of(size=32, **large), shards)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (DCGAN | {"size": 32}, "2 maps are of 16 pixels, not size=32"),
        (STYLE | {"generator_channels": (4,)}, "1 maps are of 4 pixels, not size=8"),
        (WGAN | {"discriminator_normalisation": "batch"}, "may not see each other"),
        (STYLE | {"group_size": 3}, "batch_size=4 is no multiple of group_size=3"),
        (DCGAN | {"augmentations": ("blur",)}, "augmentations"),
    ],
)
def test_params_that_contradict_each_other_are_refused(values, rule):
    with pytest.raises(ValueError, match=rule):
        params_of(values)
