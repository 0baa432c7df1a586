"""MusicVAE on small corpora: passages, training, resuming, generating, measuring."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import note_seq  # noqa: E402

from pipeline import registry  # noqa: E402
from pipeline.codecs.base import Feature  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models.base import Request, Shards  # noqa: E402
from tests import toy_corpus  # noqa: E402
from tests.resumed_training import fitted  # noqa: E402

RECIPE = registry.recipe("music_vae")
MELODY = registry.codec("melody")
MELODY_OPTIONS = MELODY.Options(
    steps_per_quarter=4,
    min_bars=1,
    max_steps=512,
    min_unique_pitches=1,
    gap_bars=1,
    programs=[[0, 127]],
)
MELODY_FEATURES = {"melody": Feature((None,), "int64"), "steps_per_bar": Feature((), "int64")}
TRIO_FEATURES = {part: Feature((None,), "int64") for part in ("melody", "bass", "drums")}


def params(**changes):
    values = {
        "parts": ("melody",),
        "num_bars": 2,
        "steps_per_bar": 16,
        "latent_size": 8,
        "encoder_sizes": (16,),
        "conductor_sizes": (),
        "decoder_sizes": (16,),
        "free_bits": 0.0,
        "max_beta": 0.2,
        "beta_rate": 0.9,
        "scheduled_sampling": "none",
        "sampling_rate": 0.5,
        "decay_rate": 0.999,
        "min_learning_rate": 0.0001,
        "clip_norm": 1.0,
        "max_transpose_semitones": 0,
        "shuffle_window": 64,
        "num_probed": 8,
        "epochs": 1,
        "steps_per_epoch": 3,
        "patience": 5,
        "batch_size": 8,
        "learning_rate": 0.01,
    }
    return RECIPE.Params(**(values | changes))


TRIO = {"parts": ("melody", "bass", "drums"), "conductor_sizes": (12,)}


def write_corpus(folder: Path, *corpus) -> Shards:
    return Shards.open(toy_corpus.write(folder, *corpus))


def melody_record(number: int) -> dict:
    """Every fifth in 3/4; rests, repeats, pitches out of range and silent bars occur."""
    rng = np.random.default_rng([3, number])
    events = rng.choice([-2, -2, -2, -1, 60, 62, 64, 67], 16 * int(rng.integers(3, 9)) + 5)
    events[:16] = events[16:32] = events[32:48]
    if number % 4 == 0:
        events[20] = 20
    if number % 4 == 1:
        events[:32] = -2
    return {"melody": events, "steps_per_bar": np.int64(12 if number % 5 == 0 else 16)}


def trio_record(number: int) -> dict:
    rng = np.random.default_rng([4, number])
    steps = 16 * int(rng.integers(3, 7))
    pitched = [np.where(rng.random(steps) < 0.3, rng.integers(1, 90, steps), 0) for _ in range(2)]
    drums = np.where(rng.random(steps) < 0.3, rng.integers(1, 512, steps), 0)
    if number % 4 == 1:
        pitched[1][:32] = 1
    return {"melody": pitched[0], "bass": pitched[1], "drums": drums}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "melody"
    options = MELODY_OPTIONS.model_dump(mode="json")
    return write_corpus(folder, MELODY_FEATURES, melody_record, {}, options)


@pytest.fixture(scope="module")
def trios(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "trio"
    classes = {"melody": 90, "bass": 90, "drums": 512}
    return write_corpus(folder, TRIO_FEATURES, trio_record, classes, {})


@pytest.fixture(scope="module")
def models(shards, trios):
    """Models with random weights, not the small ones that they start with."""
    models = {}
    for name, own, options in (
        ("flat", shards, params()),
        ("bars", shards, params(conductor_sizes=(12,))),
        ("trio", trios, params(**TRIO)),
    ):
        model = RECIPE.build(options, own)
        rng = np.random.default_rng(0)
        trainable = {id(v) for v in model.trainable_variables}
        for variable in model.weights:
            if id(variable) in trainable:
                variable.assign(rng.normal(scale=0.5, size=variable.shape))
        models[name] = (model, options)
    return models


def slices(numbers, num_bars, hop_bars):
    """The passages of tunes as note-seq slices them: lists of events."""
    found = []
    for number in numbers:
        record = melody_record(number)
        if record["steps_per_bar"] != 16:
            continue
        own = []
        events = record["melody"].tolist()
        length = 16 * num_bars
        for start in range(0, len(events) - length + 1, 16 * hop_bars):
            passage = list(note_seq.Melody(events)[start : start + length])
            pitches = [e for e in passage if e >= 0]
            if pitches and min(pitches) >= 21 and passage not in own:
                own.append(passage)
        found += own
    return found


def events_of(batches, num_batches=None):
    """The passages of batches as lists of events."""
    taken = batches if num_batches is None else batches.take(num_batches)
    rows = []
    for inputs, targets, weights in taken.as_numpy_iterator():
        assert np.array_equal(inputs, targets)
        assert (weights == 1).all()
        rows += [np.where(x[:, 0] < 2, x[:, 0] - 2, x[:, 0] + 19).tolist() for x in inputs]
    return rows


@pytest.mark.parametrize("num_bars", [1, 2, 5])
def test_held_out_passages_are_note_seqs_slices(shards, num_bars):
    found = events_of(RECIPE.batches(shards, "test", params(num_bars=num_bars), 0))
    assert found == slices(range(16, 21), num_bars, num_bars)
    references = RECIPE.references(shards, "test", params(num_bars=num_bars), None)
    assert [record["melody"].tolist() for record in references] == found
    assert len(found) >= 2


def test_a_pass_of_training_holds_the_passages_from_every_bar(shards):
    expected = slices(range(13), 2, 1)
    options = params(batch_size=len(expected), shuffle_window=len(expected))
    passes = [events_of(RECIPE.batches(shards, "train", options, 0).skip(i), 1) for i in range(3)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(passes[2]) == sorted(expected)
    assert passes[0] != passes[1] != passes[2] != passes[0]


def test_training_batches_depend_on_their_seed_alone(shards):
    options = params(max_transpose_semitones=5, shuffle_window=32)
    first = events_of(RECIPE.batches(shards, "train", options, 3), 20)
    keras.utils.set_random_seed(99)
    assert events_of(RECIPE.batches(shards, "train", options, 3), 20) == first
    assert events_of(RECIPE.batches(shards, "train", options, 4), 20) != first
    resumed = RECIPE.batches(shards, "train", options, 3).skip(7)
    assert events_of(resumed, 13) == first[7 * 8 :]


def test_only_training_is_transposed_and_by_every_interval(shards):
    moved = params(max_transpose_semitones=3)
    originals = {tuple(x) for x in slices(range(13), 2, 1)}

    def interval_of(passage):
        for k in range(-3, 4):
            if tuple(e - k if e >= 0 else e for e in passage) in originals:
                return k
        raise AssertionError(passage)

    found = [interval_of(x) for x in events_of(RECIPE.batches(shards, "train", moved, 0), 30)]
    assert set(found) == set(range(-3, 4))
    plain = events_of(RECIPE.batches(shards, "validation", params(), 0))
    assert events_of(RECIPE.batches(shards, "validation", moved, 0)) == plain


def test_passages_of_trios_have_an_onset_in_each_part(trios):
    options = params(**TRIO)
    expected = []
    for number in range(16, 21):
        record = trio_record(number)
        tune = np.stack([record[part] for part in options.parts], axis=-1)
        for start in range(0, len(tune) - 31, 32):
            passage = tune[start : start + 32].copy()
            for part, first in ((0, 2), (1, 2), (2, 1)):
                onsets = np.flatnonzero(passage[:, part] >= first)
                passage[: onsets[0] if len(onsets) else 32, part] = 0
            if (passage.max(axis=0) >= [2, 2, 1]).all():
                expected.append(passage.tolist())
    batches = RECIPE.batches(trios, "test", options, 0)
    found = [x.tolist() for inputs, *_ in batches.as_numpy_iterator() for x in inputs]
    assert found == expected
    assert len(found) < sum(len(trio_record(n)["melody"]) // 32 for n in range(16, 21))
    for inputs, *_ in RECIPE.batches(trios, "train", options, 0).take(3).as_numpy_iterator():
        assert inputs.shape == (8, 32, 3)


def test_a_corpus_without_passages_so_long_is_refused(shards):
    for split in ("train", "validation"):
        with pytest.raises(PipelineError, match=f"num_bars=30.*split={split}"):
            RECIPE.batches(shards, split, params(num_bars=30), 0)


def test_the_seed_alone_decides_what_is_sampled(models):
    model, options = models["bars"]

    def melodies(seed, num=3):
        request = Request(num=num, seed=seed)
        found = RECIPE.generate(model, options, MELODY, MELODY_OPTIONS, request)
        return [record["melody"].tolist() for record in found]

    assert melodies(1) == melodies(1) != melodies(2)
    assert len(melodies(1, 11)) == 11
    for melody in melodies(5):
        assert len(melody) == 32
        assert all(-2 <= event <= 108 and event not in range(21) for event in melody)
        record = {"melody": np.array(melody)}
        assert MELODY.decode(record, MELODY_OPTIONS).note_sequence is not None


def greedy(model, options, **request):
    request = Request(temperature=0.0, **{"num": 2, **request})
    records = RECIPE.generate(model, options, MELODY, MELODY_OPTIONS, request)
    return [record["melody"].tolist() for record in records]


FIRST, SECOND = (60, -2, 62, -2, 64), (72, -1) * 16


def test_endpoints_are_the_ends_of_the_way_between_their_means(models):
    model, options = models["flat"]
    found = greedy(model, options, num=5, endpoints=(FIRST, SECOND))
    assert found == greedy(model, options, num=5, endpoints=(FIRST, SECOND), seed=9)
    for end, events in ((0, FIRST), (-1, SECOND)):
        classes = np.zeros((1, 32, 1), np.int32)
        padded = [*events, *[-2] * (32 - len(events))]
        classes[0, :, 0] = [e + 2 if e < 0 else e - 19 for e in padded]
        mean, _ = model.encoder(classes)
        logits = model.decoder.sample(mean, [np.zeros((1, 32, 90), np.float32)])[0]
        drawn = np.asarray(logits)[0].argmax(-1)
        assert found[end] == np.where(drawn < 2, drawn - 2, drawn + 19).tolist()
    back = greedy(model, options, num=5, endpoints=(SECOND, FIRST))
    assert back == found[::-1]


def test_a_primer_is_varied_and_attributes_move_it(models):
    model, options = models["flat"]
    near = greedy(model, options, num=6, primer=FIRST, seed=1)
    assert near != greedy(model, options, num=6, seed=1)
    layer = model.attribute_vectors
    rng = np.random.default_rng(0)
    for _ in range(20):
        classes = np.where(rng.random((8, 32)) < rng.random((8, 1)), 40, 0).astype(np.int32)
        layer.update(rng.normal(size=(8, 8)).astype(np.float32), classes)
    assert greedy(model, options, num=6, primer=FIRST, seed=1, attributes={"range": 0.0}) == near
    moved = greedy(model, options, num=6, primer=FIRST, seed=1, attributes={"density": 40.0})
    assert moved != near


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"attributes": {"swing": 1.0}}, "attribute=swing"),
        ({"endpoints": (FIRST,)}, "1 endpoints"),
        ({"endpoints": (FIRST, SECOND), "primer": FIRST}, "2 endpoints"),
        ({"primer": (-2, -1)}, "melody="),
        ({"primer": (110,)}, "21..108"),
    ],
)
def test_impossible_requests_are_refused(models, request_, named):
    with pytest.raises(PipelineError, match=named):
        greedy(*models["flat"], **request_)


def test_a_trio_is_generated_as_classes(models):
    codec = registry.codec("trio")
    model, options = models["trio"]
    trio_options = codec.Options.model_construct(min_pitch=21, max_pitch=108)
    request = Request(num=3, primer=FIRST)
    records = RECIPE.generate(model, options, codec, trio_options, request)
    assert len(records) == 3
    for record in records:
        assert set(record) == {"melody", "bass", "drums"}
        for part, num_classes in (("melody", 90), ("bass", 90), ("drums", 512)):
            assert record[part].shape == (32,)
            assert record[part].dtype == np.int64
            assert 0 <= record[part].min() <= record[part].max() < num_classes


def test_measures_are_of_the_passages_as_the_model_sees_them(models, trios):
    model, options = models["trio"]
    found = RECIPE.measures(model, trios, "test", options, 3)
    assert all(np.isfinite(m.numerators).all() for m in found.values())
    passages = np.concatenate(
        [x for x, *_ in RECIPE.batches(trios, "test", options, 0).as_numpy_iterator()]
    )
    mean, scale = (np.asarray(x, np.float64) for x in model.encoder(passages))
    kl = 0.5 * (mean**2 + scale**2 - 1 - np.log(scale**2)).sum(axis=1)
    assert found["kl_bits"].numerators == pytest.approx(kl / np.log(2), rel=1e-4)
    latents = mean + scale * np.random.default_rng(3).standard_normal(mean.shape)
    right = {}
    for key, z in (("accuracy", latents), ("accuracy_zeroed_latent", 0 * latents)):
        logits = [np.asarray(x) for x in model.decoder(z.astype(np.float32), passages)]
        guesses = np.stack([x.argmax(-1) for x in logits], axis=-1)
        right[key] = (guesses == passages).sum(axis=(1, 2))
        assert found[key].numerators.tolist() == right[key].tolist()
        assert set(found[key].denominators) == {passages[0].size}
    margin = right["accuracy"] - right["accuracy_zeroed_latent"]
    assert found["accuracy_margin"].numerators.tolist() == margin.tolist()
    again = RECIPE.measures(model, trios, "test", options, 3)
    assert all(np.array_equal(m.numerators, again[k].numerators) for k, m in found.items())
    parts = sum(found[f"accuracy_{part}"].numerators for part in options.parts)
    assert parts.tolist() == right["accuracy"].tolist()


def test_weights_come_back_from_their_file(models, trios, tmp_path):
    model, options = models["trio"]
    model.save_weights(tmp_path / "model.weights.h5")
    other = RECIPE.build(options, trios)
    other.optimizer = None
    other.load_weights(tmp_path / "model.weights.h5")
    for own, loaded in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(own, loaded)


def test_a_resumed_training_is_the_undisturbed_one(shards, tmp_path):
    """Beta, sampling and learning rate go on with the step, noise with its generator."""
    options = params(
        scheduled_sampling="inverse_sigmoid",
        sampling_rate=4.0,
        max_transpose_semitones=2,
        decay_rate=0.9,
    )
    whole, curves = fitted(RECIPE, shards, options, tmp_path / "whole", 4)
    fitted(RECIPE, shards, options, tmp_path / "parts", 2)
    resumed, resumed_curves = fitted(RECIPE, shards, options, tmp_path / "parts", 4)
    assert resumed_curves.history == curves.history
    assert {"loss", "val_loss", "kl_bits", "val_kl_bits", "accuracy"} <= curves.history[0].keys()
    for own, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(own, other)


def quarters_record(number: int) -> dict:
    """Four quarters a bar, each of four pitches at random: no history tells the next."""
    events = np.full(64, -2)
    events[::4] = np.random.default_rng([5, number]).choice([60, 63, 67, 72], 16)
    return {"melody": events, "steps_per_bar": np.int64(16)}


def test_training_learns_to_use_the_latent(tmp_path):
    options = MELODY_OPTIONS.model_dump(mode="json")
    shards = write_corpus(tmp_path / "quarters", MELODY_FEATURES, quarters_record, {}, options)
    settings = params(
        num_bars=1,
        latent_size=16,
        encoder_sizes=(32,),
        decoder_sizes=(32,),
        learning_rate=0.02,
        batch_size=32,
        steps_per_epoch=250,
        free_bits=16.0,
    )
    keras.utils.set_random_seed(0)
    model = RECIPE.build(settings, shards)
    history = model.fit(
        RECIPE.batches(shards, "train", settings, 0),
        steps_per_epoch=settings.steps_per_epoch,
        validation_data=RECIPE.batches(shards, "validation", settings, 0),
        verbose=0,
    ).history
    found = RECIPE.measures(model, shards, "train", settings, 0)
    means = {k: m.numerators.sum() / m.denominators.sum() for k, m in found.items()}
    assert means["accuracy_zeroed_latent"] < 0.85  # three quarters are no event
    assert means["accuracy_margin"] > 0.1
    assert means["accuracy_greedy"] > means["accuracy_zeroed_latent"] + 0.1
    assert history["val_kl_bits"][0] > 4
