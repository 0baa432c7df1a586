"""Classifiers and GANs of genres on small corpora: data, learning, sampling, judging, resuming."""

import itertools
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402

from pipeline import registry  # noqa: E402
from pipeline.checkpoints import Checkpoints, _variables  # noqa: E402
from pipeline.codecs.base import Feature  # noqa: E402
from pipeline.codecs.pianoroll import pack, unpack  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models import _learning_rates, _pianoroll, roll_gan  # noqa: E402
from pipeline.models.base import Request, Shards  # noqa: E402
from pipeline.nn.adversarial import wgan_gp  # noqa: E402
from tests import toy_corpus  # noqa: E402

CODEC = registry.codec("pianoroll")
OPTIONS = CODEC.Options(
    steps_per_quarter=4,
    num_bars=2,
    min_pitch=24,
    num_pitches=24,
    tracks="five",
    genres=("Rock", "Jazz"),
    min_notes=1,
    min_tracks=1,
    max_phrases=8,
)
SHAPE = (32, 24, 5)
TRAIN, VALIDATION, TEST = range(13), range(13, 16), range(16, 21)
TRAINING = {
    "epochs": 1,
    "steps_per_epoch": 2,
    "patience": 9,
    "batch_size": 4,
    "learning_rate": 0.01,
    "shuffle_window": 5,
}
CLASSIFIER = {
    "labels": "one",
    "patch": (4, 12),
    "conv_sizes": (6, 6),
    "dropout_rate": 0.0,
}
GAN = {
    "generator": "recurrent",
    "latent_size": 4,
    "generator_sizes": (4,),
    "generator_private_sizes": (2, 2),
    "num_heads": 2,
    "critic_private_sizes": (2, 2),
    "critic_shared_sizes": (3,),
    "critic_merged_size": 8,
    "num_critic_steps": 2,
    "gradient_penalty": 10.0,
    "critic_learning_rate": 0.01,
    "beta_1": 0.5,
    "beta_2": 0.9,
    "decay_begin": 0.5,
    "is_in_c": False,
}


def genre_of(number: int) -> int:
    return number % 2


def roll_of(number: int) -> np.ndarray:
    """Chords on the piano that each number has its own of; jazz has a flat seventh."""
    rng = np.random.default_rng([number])
    roll = np.zeros(SHAPE, bool)
    root = int(rng.integers(0, 12))
    for beat in range(8):
        for interval in (0, 4, 7) if genre_of(number) == 0 else (0, 4, 10, 11):
            roll[4 * beat : 4 * beat + 3, root + interval, 1] = True
    roll[rng.integers(0, 32), :12, 2] = True
    roll[::8, 0, 0] = True
    return roll


def roll_record(number: int) -> dict:
    return {
        "roll": pack(roll_of(number)),
        "genre": np.int64(genre_of(number)),
        "qpm": np.float32(100 + number),
    }


def keyed(features):
    return {**features, "key": Feature((), "string")}


def write_rolls(folder: Path, genres=OPTIONS.genres, record_of=roll_record) -> Path:
    options = OPTIONS.model_copy(update={"genres": genres}).model_dump(mode="json")
    return toy_corpus.write(
        folder,
        keyed(CODEC.features(OPTIONS)),
        lambda n: {"key": f"song-{n // 2}", **record_of(n)},
        {"genre": len(genres)},
        options,
    )


@pytest.fixture(scope="module")
def rolls(tmp_path_factory):
    return Shards.open(write_rolls(tmp_path_factory.mktemp("rolls") / "toy"))


MEL_SHAPE = (16, 12)
TAGS = ("low", "loud", "long")


def mel_of(number: int) -> np.ndarray:
    """Decibels; tag "low" is a line at the bottom, "long" one that lasts."""
    rng = np.random.default_rng([number, 1])
    mel = rng.normal(-60, 3, MEL_SHAPE).astype(np.float32)
    low, loud, long_ = tags_of(number)
    mel[: 16 if long_ else 6, slice(0, 4) if low else slice(8, 12)] = -10
    return mel + np.float32(20 * loud)  # which nothing may hear


def tags_of(number: int) -> np.ndarray:
    return np.int64([number % 2, number // 4 % 2, number // 2 % 2])


def write_mels(folder: Path, labels_of, names) -> Path:
    features = {
        "mel": Feature(MEL_SHAPE, "float32", "bytes"),
        "labels": Feature((len(names),), "int64"),
    }
    return toy_corpus.write(
        folder,
        keyed(features),
        lambda n: {"key": f"clip-{n}", "mel": mel_of(n), "labels": labels_of(n)},
        {"labels": 2},
        {"labels": list(names), "label_attribute": "tags" if names is TAGS else "genre"},
    )


@pytest.fixture(scope="module")
def mels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mels") / "toy"
    return Shards.open(write_mels(folder, lambda n: np.eye(2, dtype=np.int64)[n % 2], ("a", "b")))


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    return Shards.open(write_mels(tmp_path_factory.mktemp("tags") / "toy", tags_of, TAGS))


def params(name, **changes):
    values = GAN if name == "roll_gan" else CLASSIFIER
    values = {**TRAINING, **values, **({"patch": (2, 2)} if name == "mel_classifier" else {})}
    return registry.recipe(name).Params(**(values | changes))


# --- classifiers ---------------------------------------------------------------------------------

MEDIA = [("roll_classifier", "rolls", "one"), ("mel_classifier", "mels", "one"),
         ("mel_classifier", "tagged", "many")]  # fmt: skip
each_medium = pytest.mark.parametrize(("name", "corpus", "labels"), MEDIA)


@each_medium
def test_what_is_labelled_is_what_batches_hold(name, corpus, labels, request):
    shards, recipe = request.getfixturevalue(corpus), registry.recipe(name)
    options = params(name, labels=labels)
    for split, numbers in (("validation", VALIDATION), ("test", TEST)):
        labelled = recipe.labelled(shards, split, options)
        rows = list(recipe.batches(shards, split, options, 0).as_numpy_iterator())
        inputs, targets, weights = (np.concatenate(column) for column in zip(*rows, strict=True))
        np.testing.assert_array_equal(labelled.inputs, inputs)
        np.testing.assert_array_equal(labelled.targets, targets)
        assert weights.tolist() == [1.0] * len(numbers)
        if name == "roll_classifier":
            np.testing.assert_array_equal(inputs, [roll_of(n) for n in numbers])
            assert targets.argmax(axis=1).tolist() == [genre_of(n) for n in numbers]
            assert labelled.groups.tolist() == [f"song-{n // 2}" for n in numbers]
            records = [roll_record(n) for n in numbers]
        else:
            of = tags_of if corpus == "tagged" else lambda n: np.eye(2)[n % 2]
            np.testing.assert_array_equal(targets, [of(n) for n in numbers])
            records = [{"mel": mel_of(n)} for n in numbers]
        np.testing.assert_array_equal(recipe.inputs(shards, records), inputs)
        assert labelled.names == tuple(shards.options["genres" if corpus == "rolls" else "labels"])


def test_training_batches_are_passes_over_the_corpus_in_the_seeds_order(rolls):
    recipe, options = registry.recipe("roll_classifier"), params("roll_classifier", batch_size=13)

    def passes(seed):
        found = recipe.batches(rolls, "train", options, seed).take(3).as_numpy_iterator()
        return [[row.tobytes() for row in inputs] for inputs, _, _ in found]

    first = passes(0)
    own = sorted(roll_of(n).astype(np.float32).tobytes() for n in TRAIN)
    assert all(sorted(each) == own for each in first)
    assert first[0] != first[1]
    assert passes(0) == first
    assert passes(1) != first


def test_loudness_is_relative_to_the_clips_loudest(mels):
    recipe, clip = registry.recipe("mel_classifier"), mel_of(3)
    found, louder = recipe.inputs(mels, [{"mel": clip}, {"mel": clip + 15}])
    np.testing.assert_allclose(found, louder, atol=1e-5)
    expected = np.maximum((clip - clip.max()) / 40 + 1, -1)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)
    assert found.max() == 1


@each_medium
def test_classifiers_learn_what_no_majority_knows(name, corpus, labels, request):
    shards, recipe = request.getfixturevalue(corpus), registry.recipe(name)
    options = params(name, labels=labels, batch_size=13, conv_sizes=(12, 12))
    keras.utils.set_random_seed(0)
    model = recipe.build(options, shards)
    batches = recipe.batches(shards, "train", options, 0)
    model.fit(batches, steps_per_epoch=60, epochs=1, shuffle=False, verbose=0)
    train, test = (recipe.labelled(shards, split, options) for split in ("train", "test"))
    found = recipe.classify(model, options, test.inputs)
    majority = registry.baseline("majority").probabilities(train, test)
    if labels == "one":
        np.testing.assert_allclose(found.sum(axis=1), 1)
        own, other = ((p.argmax(axis=1) == test.targets.argmax(axis=1)) for p in (found, majority))
        assert own.mean() == 1 > other.mean()
    else:
        assert not np.allclose(found.sum(axis=1), 1), "each by itself"
        # "loud" cannot be heard; it is the others that must be known.
        heard = (found > 0.5)[:, [0, 2]] == test.targets[:, [0, 2]]
        assert heard.mean() > 0.9
        assert np.abs(found - 0.5).max() <= 0.5
    logits = model.predict(test.inputs, verbose=0).astype(np.float64)
    odds = np.exp(logits)
    expected = odds / odds.sum(axis=1, keepdims=True) if labels == "one" else odds / (1 + odds)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


# --- GANs: data ----------------------------------------------------------------------------------


def test_rolls_are_packed_as_the_codec_packs_them(rolls):
    (batch,) = (b for b in [pack(np.stack([roll_of(n) for n in range(3)]))])
    np.testing.assert_array_equal(
        _pianoroll.unpacked(tf.constant(batch), SHAPE), unpack(batch, OPTIONS)
    )
    np.testing.assert_array_equal(
        _pianoroll.rolls([roll_record(n) for n in range(3)], SHAPE), unpack(batch, OPTIONS)
    )
    np.testing.assert_array_equal(_pianoroll.packed(roll_of(0)), pack(roll_of(0)))
    assert _pianoroll.Geometry.of(rolls) == (2, 4, 24, 5)


def test_phrases_are_moved_to_the_white_keys():
    """Each by as few semitones as it takes, drums left alone; in any key the same comes out."""
    rng = np.random.default_rng(7)
    c_major, num_steps = [0, 2, 4, 5, 7, 9, 11], 28
    expected = np.zeros((1, num_steps, 48, 5), np.float32)
    for step in range(num_steps):  # all seven notes, so that no other key has as many
        expected[0, step, 12 + c_major[step % 7], rng.integers(1, 5)] = 1
    expected[0, ::4, 30, 0] = 1
    for shift in range(-5, 7):
        moved = expected.copy()
        moved[..., 1:] = np.roll(expected[..., 1:], shift, axis=2)
        found = _pianoroll.transposed_to_c(tf.constant(moved)).numpy()
        np.testing.assert_array_equal(found, expected, err_msg=str(shift))


def test_a_gan_in_c_is_given_phrases_in_c(rolls):
    recipe = registry.recipe("roll_gan")
    plain, in_c = (
        next(iter(recipe.batches(rolls, "train", params("roll_gan", is_in_c=choice), 0)))[0]
        for choice in (False, True)
    )
    np.testing.assert_array_equal(in_c, _pianoroll.transposed_to_c(plain))
    assert (in_c.numpy() != plain.numpy()).any()


def test_marginal_phrases_have_the_training_phrases_frequencies(rolls):
    found = roll_gan.marginal(rolls, params("roll_gan"), 400, 0)
    for genre in (0, 1):
        own = [roll_of(n) for n in TRAIN if genre_of(n) == genre]
        drawn = [r for r in found if r["genre"] == genre]
        shares = _pianoroll.rolls(drawn, SHAPE).mean(axis=0)
        np.testing.assert_allclose(shares, np.mean(own, axis=0), atol=0.15)
    assert len({r["roll"].tobytes() for r in found}) > 10


def test_a_corpus_that_has_tags_is_no_corpus_of_genres(tagged):
    with pytest.raises(
        PipelineError, match=r"labels=one, but what .* has of each example is its t"
    ):
        registry.recipe("mel_classifier").build(params("mel_classifier", labels="one"), tagged)


def genres_and_rolls(batches, num):
    found = []
    for given, genres, weights in batches.take(num).as_numpy_iterator():
        assert weights.tolist() == [1.0] * len(given)
        found.append(
            [(int(g), r.astype(bool).tobytes()) for g, r in zip(genres, given, strict=True)]
        )
    return found


def test_gan_batches_have_each_genre_as_often_in_the_seeds_order(rolls):
    options = params("roll_gan")
    found = genres_and_rolls(roll_gan.batches(rolls, "train", options, 0), 12)
    own = {g: sorted(roll_of(n).tobytes() for n in TRAIN if genre_of(n) == g) for g in (0, 1)}
    by_genre = {0: [], 1: []}
    for batch in found:
        assert [g for g, _ in batch] == [0, 1] * 4  # two critic steps of four rows
        for genre, roll in batch:
            by_genre[genre].append(roll)
    for genre, seen in by_genre.items():
        num = len(own[genre])
        assert num == {0: 7, 1: 6}[genre]  # the classes are unlike, the batches are not
        for start in range(0, 48 - num, num):
            assert sorted(seen[start : start + num]) == own[genre], "a pass holds each once"
        assert seen[:num] != seen[num : 2 * num]
    keras.utils.set_random_seed(99)
    again = roll_gan.batches(rolls, "train", options, 0)
    assert genres_and_rolls(again, 12) == found
    assert genres_and_rolls(again.skip(5), 7) == found[5:]
    assert genres_and_rolls(roll_gan.batches(rolls, "train", options, 1), 12) != found


def test_held_out_batches_are_the_corpus_as_it_is(rolls):
    (found,) = genres_and_rolls(roll_gan.batches(rolls, "test", params("roll_gan"), 0), 9)
    assert found == [(genre_of(n), roll_of(n).tobytes()) for n in TEST]


@pytest.mark.parametrize("num_genres", [3, 4])
def test_a_class_without_a_training_phrase_is_named(tmp_path, num_genres):
    names = ("Rock", "Jazz", "Reggae", "Folk")[:num_genres]
    shards = Shards.open(write_rolls(tmp_path / "toy", genres=names))
    with pytest.raises(PipelineError) as error:
        roll_gan.batches(shards, "train", params("roll_gan"), 0)
    assert "genre='Reggae' has no training phrase in toy" in str(error.value)
    assert "genres" in str(error.value)


def test_some_records_are_spread_over_all():
    assert _pianoroll.spread(list(range(5)), 9) == [0, 1, 2, 3, 4]
    assert _pianoroll.spread(list(range(11)), 3) == [0, 5, 10]


# --- GANs: sampling ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    """Without compilation, which takes longer than steps so few and small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wgan_gp, "compiled", lambda function: function)
        yield


@pytest.fixture(scope="module", params=["recurrent", "midinet"])
def gan(request, rolls, plain):
    options = params("roll_gan", generator=request.param, generator_sizes=(4, 4, 4))
    keras.utils.set_random_seed(5)
    model = roll_gan.build(options, rolls)
    return model, options


def sampled(gan, **request):
    return roll_gan.generate(*gan, CODEC, OPTIONS, Request(**request))


def test_samples_are_phrases_of_the_genres_asked_for(gan):
    found = sampled(gan, num=7, seed=3)
    assert [int(record["genre"]) for record in found] == [0, 1, 0, 1, 0, 1, 0]
    decoded = [CODEC.decode(record, OPTIONS) for record in found]
    assert [example.attributes["genre"] for example in decoded[:2]] == ["Rock", "Jazz"]
    assert sum(len(example.note_sequence.notes) for example in decoded) > 0
    asked = sampled(gan, num=3, seed=3, genre="Jazz")
    assert [int(record["genre"]) for record in asked] == [1, 1, 1]
    for record, example in zip(found, decoded, strict=True):
        assert example.note_sequence.total_time == pytest.approx(4.0)  # two bars at 120
        assert unpack(record["roll"], OPTIONS).shape == SHAPE


def test_samples_are_what_the_generator_says(gan):
    """Of noise that the seed draws; in parts of a batch, which do not matter."""
    model, _ = gan
    found = sampled(gan, num=6, seed=4)
    rng = np.random.default_rng(4)
    inputs = [rng.standard_normal((6, 4), np.float32), np.int32([0, 1, 0, 1, 0, 1])]
    if model.chord_table is not None:
        inputs.append(model.chord_table.sample(inputs[1], 2, rng))
    logits = keras.ops.convert_to_numpy(model.generator(inputs))
    is_clear = np.abs(logits) > 1e-4
    bits = np.stack([unpack(record["roll"], OPTIONS) for record in found])
    np.testing.assert_array_equal(bits[is_clear], (logits > 0)[is_clear])
    again, other = sampled(gan, num=6, seed=4), sampled(gan, num=6, seed=5)
    assert [r["roll"].tobytes() for r in again] == [r["roll"].tobytes() for r in found]
    assert [r["roll"].tobytes() for r in other] != [r["roll"].tobytes() for r in found]


def test_an_unknown_genre_is_refused_with_those_that_are_known(gan):
    with pytest.raises(PipelineError, match="--genre=Polka: this model knows Rock, Jazz"):
        sampled(gan, num=1, genre="Polka")


def test_the_untrained_contrast_is_the_same_network_before_it_learned(rolls, plain):
    options = params("roll_gan", steps_per_epoch=20)
    first = roll_gan.untrained(rolls, options, 4, 7)
    keras.utils.set_random_seed(99)
    again, other = (
        roll_gan.untrained(rolls, options, 4, 7),
        roll_gan.untrained(rolls, options, 4, 8),
    )
    assert [r["roll"].tolist() for r in again] == [r["roll"].tolist() for r in first]
    assert [r["roll"].tolist() for r in other] != [r["roll"].tolist() for r in first]
    assert [int(r["genre"]) for r in first] == [0, 1, 0, 1]
    keras.utils.set_random_seed(7)
    model = roll_gan.build(options, rolls)
    untrained = roll_gan.generate(model, options, CODEC, OPTIONS, Request(num=4, seed=7))
    assert [r["roll"].tolist() for r in untrained] == [r["roll"].tolist() for r in first]
    step = iter(roll_gan.batches(rolls, "train", options, 0))
    for _ in range(3):
        model.train_step(next(step))
    trained = roll_gan.generate(model, options, CODEC, OPTIONS, Request(num=4, seed=7))
    assert [r["roll"].tolist() for r in trained] != [r["roll"].tolist() for r in first]


# --- GANs: judging -------------------------------------------------------------------------------


def one_hot(classes):
    return np.eye(2)[np.asarray(classes)]


def ratio(measure):
    return measure.numerators.sum() / measure.denominators.sum()


@pytest.mark.parametrize(
    ("asked", "heard"),
    [
        ([0, 1, 0, 1, 0], [0, 1, 1, 1, 0]),
        ([0, 1, 0, 1, 0], [0] * 5),
        ([1, 1, 1, 1, 0], [1, 0, 1, 0, 1]),
    ],
)
def test_the_judges_verdicts_by_hand(rolls, asked, heard):
    samples = [{**roll_record(n), "genre": np.int64(g)} for n, g in enumerate(asked)]
    verdicts_of_real = [0, 1, 0, 0]  # of 0, 1, 0, 1: there are three of 0, but two of 1

    def classify(records):
        return one_hot(heard if records is samples else verdicts_of_real)

    found = roll_gan.judged(samples, classify, rolls, params("roll_gan"), 0)
    asked, heard = np.array(asked), np.array(heard)
    assert ratio(found["condition_accuracy"]) == np.mean(asked == heard)
    permuted = [np.mean(asked[list(p)] == heard) for p in itertools.permutations(range(5))]
    assert ratio(found["condition_accuracy_shuffled"]) == pytest.approx(np.mean(permuted))
    assert ratio(found["condition_margin"]) == pytest.approx(
        np.mean(asked == heard) - np.mean(permuted)
    )
    assert ratio(found["condition_accuracy_held_out"]) == pytest.approx(3 / 4)
    groups = found["condition_accuracy_held_out"].groups
    assert groups.tolist() == [f"song-{n // 2}" for n in TEST[:4]]
    for name, genre in (("rock", 0), ("jazz", 1)):
        own = np.mean(heard[asked == genre] == genre)
        assert ratio(found[f"condition_accuracy_{name}"]) == pytest.approx(own)


def test_a_genre_that_was_not_asked_for_has_no_accuracy(rolls):
    samples = [roll_record(0), roll_record(2)]
    found = roll_gan.judged(samples, lambda r: one_hot([0] * len(r)), rolls, params("roll_gan"), 0)
    assert "condition_accuracy_rock" in found
    assert "condition_accuracy_jazz" not in found


# --- GANs: training ------------------------------------------------------------------------------


def test_rates_stay_and_then_fall_to_nothing():
    schedule = _learning_rates.ConstantThenLinear(0.1, 50, 100)
    found = [float(schedule(step)) for step in (0, 49, 50, 60, 75, 100, 120)]
    np.testing.assert_allclose(found, [0.1, 0.1, 0.1, 0.08, 0.05, 0, 0], atol=1e-7)
    whole = _learning_rates.ConstantThenLinear(0.1, 100, 100)
    assert [float(whole(step)) for step in (0, 99, 100)] == pytest.approx([0.1, 0.1, 0.0])
    again = _learning_rates.ConstantThenLinear.from_config(schedule.get_config())
    assert float(again(75)) == pytest.approx(0.05)


def test_both_rates_fall_to_nothing_at_the_end_of_training(rolls, plain):
    model = roll_gan.build(params("roll_gan", epochs=2, steps_per_epoch=20), rolls)
    for optimizer, steps in ((model.optimizer, 40), (model.critic_optimizer, 80)):
        for share, expected in ((0, 0.01), (0.5, 0.01), (0.75, 0.005), (1, 0.0)):
            optimizer.iterations.assign(round(share * steps))
            assert float(optimizer.learning_rate) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("generator", ["midinet"])
def test_a_gan_that_is_resumed_goes_on_as_if_undisturbed(rolls, plain, tmp_path, generator):
    """Both networks, both optimizers, the chords' table and what the noise is drawn by."""
    sizes = {"generator_sizes": (4, 4, 4)}
    options = params("roll_gan", generator=generator, epochs=2, num_critic_steps=1, **sizes)
    ends = []
    for folder, epochs in (("undisturbed", [2]), ("resumed", [1, 2])):
        for end in epochs:
            keras.utils.set_random_seed(7)
            model = roll_gan.build(options, rolls)
            model.run_eagerly = True
            checkpoints = Checkpoints(tmp_path / folder, patience=100)
            checkpoints.restore(model)
            done = checkpoints.num_epochs
            model.fit(
                roll_gan.batches(rolls, "train", options, 3).skip(done * 2),
                validation_data=roll_gan.batches(rolls, "validation", options, 3),
                initial_epoch=done,
                epochs=end,
                steps_per_epoch=2,
                callbacks=[checkpoints],
                shuffle=False,
                verbose=0,
            )
            assert checkpoints.num_epochs == end
        ends.append(([v.numpy() for v in _variables(model)], checkpoints))
    (plain_state, undisturbed), (resumed_state, resumed) = ends
    assert undisturbed.history == resumed.history
    assert set(resumed.history[0]) >= {"loss", "val_loss", "generator_loss", "gradient_penalty"}
    for a, b in zip(plain_state, resumed_state, strict=True):
        np.testing.assert_array_equal(a, b)
    kept = {id(v) for v in _variables(model)}
    for part in (model.generator, model.critic, model.optimizer, model.critic_optimizer):
        assert {id(v) for v in part.variables} <= kept
    assert id(model.seeds.state) in kept
    assert id(model.chord_table.counts) in kept
    assert model.chord_table.counts.numpy().sum() == 2 * 2 * 4 * 2  # epochs, steps, rows, bars
    assert any(np.array_equal(model.chord_table.counts.numpy(), w) for w in resumed.best)
