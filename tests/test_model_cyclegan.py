"""CycleGAN on a toy corpus: batches, transferring, what judges say of it, training, resuming."""

from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline import registry  # noqa: E402
from pipeline.codecs.base import Feature  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models import _pianoroll  # noqa: E402
from pipeline.models.base import Request, Shards  # noqa: E402
from pipeline.nn.cyclegan import transfer  # noqa: E402
from tests import toy_corpus  # noqa: E402
from tests.resumed_training import fitted  # noqa: E402

RECIPE = registry.recipe("cyclegan")
CODEC = registry.codec("pianoroll")
OPTIONS = CODEC.Options(
    steps_per_quarter=2,
    num_bars=2,
    min_pitch=36,
    num_pitches=24,
    tracks="five",
    genres=("Rock", "Pop", "Jazz"),
    min_notes=1,
    min_tracks=1,
    max_phrases=8,
)
SHAPE = (16, 24, 5)


def params(**changes):
    values = {
        "genre_a": "Rock",
        "genre_b": "Jazz",
        "num_seeds": 2,
        "num_filters": 2,
        "num_residual_blocks": 1,
        "patch_steps": 4,
        "patch_pitches": 24,
        "copy_logit": 2.0,
        "extra_discriminators": "none",
        "gamma": 1.0,
        "extra_weight": 0.0,
        "cycle_weight": 10.0,
        "identity_weight": 0.0,
        "content_weight": 0.0,
        "reconstruction": "cross_entropy",
        "positive_weight": 2.0,
        "noise": 0.0,
        "is_binarized": True,
        "pool_size": 6,
        "discriminator_learning_rate": 0.001,
        "beta_1": 0.5,
        "decay_begin": 0.5,
        "shuffle_window": 8,
        "epochs": 1,
        "steps_per_epoch": 2,
        "patience": 9,
        "batch_size": 2,
        "learning_rate": 0.002,
    }
    return RECIPE.Params(**(values | changes))


def roll_of(number: int) -> np.ndarray:
    """Rock has drums on even steps and a guitar, jazz on odd ones and a piano; a tune each."""
    roll = np.zeros(SHAPE, bool)
    genre = number % 3
    roll[(0 if genre == 0 else 1) :: 2, 2 + genre, 0] = True
    melody = np.random.default_rng([1, number]).integers(8, 20, 16)
    roll[np.arange(16), melody, 2 if genre == 0 else 1] = True
    return roll


def record_of(number: int) -> dict:
    return {
        "key": f"song-{number:02d}",
        "roll": _pianoroll.packed(roll_of(number)),
        "genre": np.int64(number % 3),
        "qpm": np.float32(100 + number),
    }


def write_corpus(folder: Path, record=record_of) -> Shards:
    features = {"key": Feature((), "string"), **CODEC.features(OPTIONS)}
    options = OPTIONS.model_dump(mode="json")
    return Shards.open(toy_corpus.write(folder, features, record, {"genre": 3}, options))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "toy")


# --- data ----------------------------------------------------------------------------------------


def names_of(phrases) -> list[str]:
    """The phrase of the corpus that each of [phrases, *SHAPE] is."""
    known = {roll_of(n).tobytes(): n for n in range(21)}
    return [known[(np.asarray(p) > 0).tobytes()] for p in phrases]


@pytest.mark.parametrize("extra", ["none", "partial", "full"])
def test_rows_hold_both_genres_for_each_seed_and_mixed_ones_where_asked(shards, extra):
    num_genres = 2 if extra == "none" else 3
    batches = RECIPE.batches(shards, "train", params(extra_discriminators=extra), 5)
    mixed = []
    for phrases, genres, weights in batches.take(12).as_numpy_iterator():
        assert phrases.shape == (2, 2, num_genres, *SHAPE)
        assert genres.shape == (2, 2, num_genres)
        assert weights.tolist() == [1, 1]
        assert (genres[..., :2] == [0, 2]).all()
        numbers = np.array(names_of(phrases.reshape(-1, *SHAPE))).reshape(genres.shape)
        np.testing.assert_array_equal(numbers % 3, genres)
        assert numbers.max() < 13, "a training phrase"
        mixed += genres[..., 2:].ravel().tolist()
    assert set(mixed) == {"none": set(), "partial": {0, 2}, "full": {0, 1, 2}}[extra]
    if mixed:
        counts = np.bincount(mixed)
        assert counts[counts > 0].max() - counts[counts > 0].min() <= 1


def test_the_order_is_the_seed_s_and_no_two_copies_share_a_phrase_of_a_batch(shards):
    def numbers(seed):
        batches = RECIPE.batches(shards, "train", params(), seed).take(6)
        found = [names_of(p.reshape(-1, *SHAPE)) for p, _, _ in batches.as_numpy_iterator()]
        return np.array(found).reshape(6, 2, 2, 2)

    first, again, other = numbers(1), numbers(1), numbers(2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[:, :, 0] != first[:, :, 1]).any(), "each seed has an order of its own"


def test_held_out_phrases_come_once_and_the_rarer_genre_s_again(shards):
    numbers = [n for n in range(16, 21) if n % 3 != 1]  # the test split
    found = [
        (p, w)
        for phrases, _, weights in RECIPE.batches(shards, "test", params(), 0).as_numpy_iterator()
        for p, w in zip(phrases, weights, strict=True)
    ]
    assert all(p.shape == (1, 2, *SHAPE) and w == 1 for p, w in found)
    pairs = [names_of(p[0]) for p, _ in found]
    rock, jazz = ([n for n in numbers if n % 3 == genre] for genre in (0, 2))
    assert {a for a, _ in pairs} == set(rock)
    assert {b for _, b in pairs} == set(jazz)
    assert len(pairs) == max(len(rock), len(jazz))


def test_sources_are_both_genres_in_turn(shards):
    found = RECIPE.sources(shards, "train", params(), 6)
    assert [int(r["genre"]) for r in found] == [0, 2] * 3
    assert len({r["key"] for r in found}) == 6
    assert len(RECIPE.sources(shards, "train", params(), 1000)) == 8  # 5 of rock, 4 of jazz


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genre_b": "Polka"}, "Polka.*none of toy: Rock, Pop, Jazz"),
        ({"patch_steps": 5}, "patch_steps=5: the 16 steps"),
        ({"patch_pitches": 7}, "patch_pitches=7: the 24 pitches"),
    ],
)
def test_what_does_not_fit_the_corpus_is_told(shards, changes, message):
    with pytest.raises(PipelineError, match=message):
        RECIPE.build(params(**changes), shards)
        RECIPE.batches(shards, "train", params(**changes), 0)


def test_params_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="both 'Jazz'"):
        params(genre_a="Jazz")
    with pytest.raises(ValueError, match="patch_pitches=24 needs"):
        params(patch_steps=1)


# --- transferring --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(shards):
    model = RECIPE.build(params(copy_logit=0.0), shards)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return model


def transferred(model, sources, **changes):
    request = Request(num=len(sources), sources=tuple(sources), **changes)
    return RECIPE.generate(model, params(), CODEC, OPTIONS, request)


def test_each_seed_makes_each_source_into_the_other_genre(model, shards):
    sources = RECIPE.sources(shards, "test", params(), 4)
    records = transferred(model, sources)
    assert [int(r["seed_index"]) for r in records] == [0] * len(sources) + [1] * len(sources)
    for i, record in enumerate(records):
        source = sources[i % len(sources)]
        target = 2 - int(source["genre"])
        assert int(record["genre"]) == target
        assert int(record["source_genre"]) == int(source["genre"])
        assert record["source_key"] == source["key"].decode()
        assert float(record["qpm"]) == float(source["qpm"])
        copy = model.copies[i // len(sources)]
        x = _pianoroll.rolls([source], SHAPE).astype(np.float32)
        logits = np.asarray(copy.generators[target // 2](x))
        np.testing.assert_array_equal(_pianoroll.rolls([record], SHAPE), logits > 0)
        back = np.asarray(copy.generators[1 - target // 2]((logits > 0).astype(np.float32)))
        np.testing.assert_array_equal(_pianoroll.rolls([record], SHAPE, "cycled_roll"), back > 0)
        np.testing.assert_array_equal(_pianoroll.rolls([record], SHAPE, "source_roll"), x > 0)


def test_the_codec_reads_what_is_made(model, shards):
    for record in transferred(model, RECIPE.sources(shards, "test", params(), 4)):
        example = CODEC.decode(record, OPTIONS)
        assert example.attributes["genre"] == OPTIONS.genres[int(record["genre"])]
        assert example.note_sequence.tempos[0].qpm == float(record["qpm"])
        found = CODEC.encode(example, OPTIONS.model_copy(update={"num_bars": 1}))
        whole = np.concatenate([_pianoroll.rolls([r], (8, 24, 5))[0] for r in found])
        np.testing.assert_array_equal(whole, _pianoroll.rolls([record], SHAPE)[0])


def test_a_genre_asked_for_is_the_first_seed_s_and_any_source_s(model, shards):
    sources = [record_of(1), record_of(2)]
    records = transferred(model, sources, genre="Rock")
    assert [int(r["genre"]) for r in records] == [0, 0]
    assert {int(r["seed_index"]) for r in records} == {0}
    nameless = {name: record_of(1)[name] for name in ("roll",)}
    (record,) = transferred(model, [nameless], genre="Rock")
    np.testing.assert_array_equal(record["roll"], records[0]["roll"])
    assert float(record["qpm"]) == 120
    assert "source_genre" not in record


def test_a_source_keeps_its_tempo(model, shards):
    slow = record_of(1) | {"qpm": np.float32(72)}
    (record,) = transferred(model, [slow], genre="Rock")
    assert float(record["qpm"]) == float(record["source_qpm"]) == 72


def test_a_source_of_no_known_genre_needs_one_asked_for(model, shards):
    """As the passages of a person's file are."""
    with pytest.raises(PipelineError, match="say with --genre"):
        transferred(model, [{"roll": record_of(1)["roll"]}])


def test_references_are_of_both_genres_equally(shards):
    found = RECIPE.references(shards, "train", params(), None)
    counts = np.bincount([record["genre"] for record in found], minlength=3)
    assert sorted(counts.tolist())[0] == 0
    assert len({c for c in counts.tolist() if c}) == 1


@pytest.mark.parametrize(
    ("numbers", "genre", "message"),
    [((), "", "give a MIDI"), ((0,), "Pop", "Rock or Jazz"), ((1,), "", "neither Rock nor Jazz")],
)
def test_what_cannot_be_transferred_is_told(model, numbers, genre, message):
    with pytest.raises(PipelineError, match=message):
        transferred(model, [record_of(n) for n in numbers], genre=genre)


# --- what a judge says ---------------------------------------------------------------------------


def test_transfer_strength_is_the_paper_s_table():
    """Base, sigma_D = 1 of its table of jazz and classic: 69.7 %."""
    jazz = transfer.strength(*(np.array([x]) for x in (0.8809, 0.2062, 0.8818)))
    classic = transfer.strength(*(np.array([x]) for x in (0.9253, 0.2071, 0.9253)))
    assert (jazz + classic)[0] / 2 == pytest.approx(0.697, abs=5e-4)


def test_probabilities_are_restricted_to_two_classes():
    found = transfer.restricted(np.array([[0.2, 0.5, 0.3], [0, 1, 0], [1, 0, 0]]), [2, 0])
    np.testing.assert_allclose(found, [[0.6, 0.4], [0.5, 0.5], [0, 1]])


def mean(measure) -> float:
    return float(measure.numerators.sum() / measure.denominators.sum())


def test_judged_tells_strength_by_direction_and_seed(shards):
    """A judge that takes a phrase's first note for its genre."""
    marked = {}

    def mark(p_rock: float) -> np.ndarray:
        roll = np.zeros(SHAPE, bool)
        roll[0, len(marked), 1] = True
        packed = _pianoroll.packed(roll)
        marked[packed.tobytes()] = p_rock
        return packed

    def classify(records):
        p = np.array([marked[bytes(r["roll"])] for r in records])
        return np.stack([0.5 * p, np.full(len(p), 0.5), 0.5 * (1 - p)], axis=1)

    rows = [  # seed, target, p(rock) of source, made, cycled
        (0, 1, 0.9, 0.2, 0.8),
        (0, 0, 0.1, 0.7, 0.3),
        (1, 1, 1.0, 0.0, 1.0),
        (1, 0, 0.0, 0.4, 0.2),
    ]
    samples = [
        {
            "roll": mark(made),
            "source_roll": mark(source),
            "cycled_roll": mark(cycled),
            "genre": np.array(2 * target),
            "seed_index": np.array(seed),
            "source_key": np.array(f"song {target}"),
        }
        for seed, target, source, made, cycled in rows
    ]
    found = RECIPE.judged(samples, classify, shards, params(), 0)
    own = [0.5 * (0.7 + 0.6), 0.5 * (0.6 + 0.4), 1.0, 0.5 * (0.4 + 0.2)]
    np.testing.assert_allclose(found["transfer_strength_margin"].numerators, own, atol=1e-9)
    assert found["transfer_strength_margin"].groups.tolist() == ["song 1", "song 0"] * 2
    assert mean(found["transfer_strength_rock_to_jazz"]) == pytest.approx((own[0] + own[2]) / 2)
    assert mean(found["transfer_strength_jazz_to_rock"]) == pytest.approx((own[1] + own[3]) / 2)
    by_seed = [(own[0] + own[1]) / 2, (own[2] + own[3]) / 2]
    for seed in (0, 1):
        assert mean(found[f"transfer_strength_seed_{seed}"]) == pytest.approx(by_seed[seed])
    assert found["transfer_strength_spread"] == pytest.approx(np.std(by_seed, ddof=1))
    assert mean(found["accuracy_target_source"]) == 0
    assert mean(found["accuracy_target"]) == 0.75
    assert mean(found["accuracy_cycled"]) == 1.0
    copies = [{**s, "roll": s["source_roll"], "cycled_roll": s["source_roll"]} for s in samples]
    found = RECIPE.judged(copies, classify, shards, params(), 0)
    assert found["transfer_strength_margin"].numerators.tolist() == [0] * 4
    assert mean(found["content_overlap"]) == mean(found["chroma_cosine"]) == 1


def test_overlap_and_chroma_of_rolls_made_by_hand():
    first = np.zeros((3, 4, 24), bool)
    second = np.zeros((3, 4, 24), bool)
    first[0, :, 0] = True  # 4 cells, of which 2 are left, and 1 is new
    second[0, :2, 0] = second[0, 0, 7] = True
    first[1, 0, 3] = second[1, 1, 15] = True  # another octave, a step later, in the same beat
    np.testing.assert_allclose(transfer.cell_f1(first, second), [2 * 2 / (4 + 3), 0, 1])
    # Phrase 0: beat one is (2, 0...) against (2, 1 a fifth up), beat two is in the first alone.
    expected = [0.5 * 2 / np.sqrt(5), 1, 1]
    np.testing.assert_allclose(transfer.chroma_cosine(first, second, 2), expected)


def test_the_random_pair_is_another_song_s_of_the_same_direction_and_seed():
    rng = np.random.default_rng(3)
    num = 24
    rolls = {name: rng.random((num, 8, 12, 2)) < 0.3 for name in ("source", "made", "cycled")}
    found = transfer.Transfers(
        target=np.arange(num) % 2,
        seed=np.arange(num) // 12,
        song=np.array([f"s{i // 2 % 3}" for i in range(num)]),
        probabilities={},
        rolls=rolls,
    )
    others = transfer._others(found, rng)
    np.testing.assert_array_equal(found.target[others], found.target)
    np.testing.assert_array_equal(found.seed[others], found.seed)
    assert (found.song[others] != found.song).all()
    measured = transfer.contents(found, 4, 0)
    overlap, random = measured["content_overlap"][0], measured["content_overlap_random"][0]
    np.testing.assert_allclose(measured["content_margin"][0], overlap - random)
    drums = {n: np.concatenate([~r[..., :1], r[..., 1:]], axis=-1) for n, r in rolls.items()}
    without = transfer.contents(transfer.Transfers(**{**vars(found), "rolls": drums}), 4, 0)
    np.testing.assert_array_equal(without["content_overlap"][0], overlap)


# --- training ------------------------------------------------------------------------------------


def test_a_resumed_training_is_the_undisturbed_one(shards, tmp_path):
    """Pools go on with what they kept, noise with its generator, both rates with the step."""
    options = params(
        epochs=2,
        num_seeds=1,
        pool_size=3,
        noise=0.1,
        extra_discriminators="partial",
        content_weight=1.0,
        steps_per_epoch=3,
    )
    whole, curves = fitted(RECIPE, shards, options, tmp_path / "whole", 2)
    fitted(RECIPE, shards, options, tmp_path / "parts", 1)
    resumed, resumed_curves = fitted(RECIPE, shards, options, tmp_path / "parts", 2)
    assert resumed_curves.history == curves.history
    names = {"loss", "adversarial_loss", "cycle_loss", "discriminator_loss"}
    names |= {"val_loss", "val_genre_distance", "val_cycle_error"}
    assert names <= curves.history[0].keys()
    for own, other in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(own, other, err_msg=own.path)


def test_training_makes_the_drums_the_other_genre_s_and_keeps_the_tune(tmp_path):
    """The tune moves from guitar to piano or back, the drums to other steps and another drum."""
    shards = write_corpus(tmp_path / "toy")
    options = params(
        num_seeds=1,
        num_filters=8,
        content_weight=1.0,
        batch_size=8,
        steps_per_epoch=150,
        learning_rate=0.005,
    )
    keras.utils.set_random_seed(0)
    model = RECIPE.build(options, shards)
    model.fit(
        RECIPE.batches(shards, "train", options, 0),
        steps_per_epoch=options.steps_per_epoch,
        shuffle=False,
        verbose=0,
    )
    sources = RECIPE.sources(shards, "train", options, 8)  # the others hold but one song of rock
    request = Request(num=8, sources=tuple(sources))
    records = RECIPE.generate(model, options, CODEC, OPTIONS, request)

    def classify(records):
        """How many of the drum's cells are each genre's."""
        drums = _pianoroll.rolls(records, SHAPE)[..., 0]
        counts = [(drums & roll_of(genre)[..., 0]).sum(axis=(1, 2)) for genre in range(3)]
        return np.stack(counts, axis=1) + 1e-9

    found = RECIPE.judged(records, classify, shards, options, 0)
    assert mean(found["accuracy_target"]) > 0.9
    assert mean(found["transfer_strength_margin"]) > 0.7
    assert mean(found["content_margin"]) > 0.3
