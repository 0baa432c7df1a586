"""Music Transformer and Performance RNN on a small corpus: data, likelihood, sampling, harmony."""

from collections import Counter
from pathlib import Path

import note_seq
import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline import registry, render  # noqa: E402
from pipeline.codecs._performance import events as events_of  # noqa: E402
from pipeline.codecs._performance import notes_of  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.example import Example  # noqa: E402
from pipeline.models import _event_windows, _harmonization, _learning_rates  # noqa: E402
from pipeline.models._event_windows import Kinds, stretched, transposed  # noqa: E402
from pipeline.models.base import Request, Shards  # noqa: E402
from pipeline.nn.cached_decoding import CachedDecoder  # noqa: E402
from tests import toy_corpus  # noqa: E402

CODEC = registry.codec("performance")
OPTIONS = CODEC.Options(
    steps_per_second=10,
    max_shift_steps=8,
    num_velocity_bins=4,
    min_pitch=60,
    max_pitch=71,
    min_events=1,
    max_events=100_000,
)
VOCABULARY = OPTIONS.vocabulary
NUM_CLASSES = VOCABULARY.num_classes
WINDOW = 16
NAMES = ("music_transformer", "performance_rnn")


def params(name, **changes):
    values = {
        "encoding": "performance",
        "window_steps": WINDOW,
        "dropout_rate": 0.0,
        "warmup_steps": 1,
        "max_transpose_semitones": 0,
        "stretches": (1.0,),
        "epochs": 1,
        "steps_per_epoch": 2,
        "patience": 1,
        "batch_size": 4,
        "learning_rate": 0.01,
        "decay_steps": 0,
    }
    if name == "music_transformer":
        values |= {
            "attention": "relative",
            "num_layers": 1,
            "num_heads": 2,
            "hidden_size": 16,
            "key_size": 16,
            "filter_size": 32,
            "beta_2": 0.98,
        }
    else:
        values |= {"rnn_layer_sizes": (16,), "clip_norm": 3.0}
    return registry.recipe(name).Params(**(values | changes))


def performance(number: int) -> np.ndarray:
    """A scale that is walked up and down, from a place and with a length of its own."""
    scale = [60, 62, 64, 65, 67, 69, 71]
    walk = scale + scale[-2:0:-1]
    sequence = note_seq.NoteSequence()
    for i in range(5 + number % 5):
        pitch = walk[(i + number) % len(walk)]
        start = 0.4 * i
        velocity = 40 + 60 * (i % 4 == 0)
        sequence.notes.add(pitch=pitch, start_time=start, end_time=start + 0.3, velocity=velocity)
    (record,) = CODEC.encode(Example("k", sequence.SerializeToString()), OPTIONS)
    return record["events"]


def write_corpus(folder: Path) -> Path:
    num_classes, options = {"events": NUM_CLASSES}, OPTIONS.model_dump(mode="json")
    return toy_corpus.write(
        folder, CODEC.features(OPTIONS), lambda n: {"events": performance(n)}, num_classes, options
    )


TEST = [performance(i) for i in range(16, 21)]  # after 13 to train on and 3 to validate by


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return Shards.open(write_corpus(tmp_path_factory.mktemp("corpus") / "toy"))


@pytest.fixture(scope="module")
def models(shards):
    """A model of each recipe with random weights, not the small ones that it starts with."""
    models = {}
    for name in NAMES:
        model = registry.recipe(name).build(params(name), shards)
        rng = np.random.default_rng(0)
        model.set_weights([rng.normal(scale=0.4, size=w.shape) for w in model.get_weights()])
        models[name] = model
    return models


# --- windows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "max_shift"), [(60, 71, 8), (21, 108, 100), (0, 127, 1)])
def test_kinds_are_those_of_the_codec(shards, low, high, max_shift):
    changes = {"min_pitch": low, "max_pitch": high, "max_shift_steps": max_shift}
    options = OPTIONS.model_copy(update=changes)
    corpus = Shards(shards.path, "c", {}, {}, {}, options.model_dump(mode="json"))
    kinds, vocabulary = Kinds.of(corpus), options.vocabulary
    for name in ("note_off", "shift", "velocity", "max_shift_steps"):
        assert getattr(kinds, name) == getattr(vocabulary, name)


KINDS = Kinds(VOCABULARY.note_off, VOCABULARY.shift, VOCABULARY.velocity, 8)


def random_ids(seed: int, num_events: int) -> np.ndarray:
    """Any events, time-shifts as often as all others together."""
    rng = np.random.default_rng([seed, 3])
    shifts = rng.integers(KINDS.shift, KINDS.velocity, num_events)
    return np.where(rng.random(num_events) < 0.5, shifts, rng.integers(0, NUM_CLASSES, num_events))


def timed(ids: np.ndarray) -> tuple[list[tuple[int, int]], int]:
    """(step, event) of all that are no time-shifts, and the step of the end."""
    step, found = 0, []
    for event in ids.tolist():
        if KINDS.shift <= event < KINDS.velocity:
            step += event - KINDS.shift + 1
        else:
            found.append((step, event))
    return found, step


FACTORS = (0.5, 0.95, 0.975, 1.0, 1.025, 1.05, 3.0)


@pytest.mark.parametrize("factor", FACTORS)
def test_stretching_multiplies_each_time_and_rounds_it_once(factor):
    for seed in range(100):
        ids = random_ids(seed, seed)
        before, end = timed(ids)
        found = stretched(ids, KINDS, factor)
        after, new_end = timed(found)
        assert after == [(int(step * factor + 0.5), event) for step, event in before]
        assert new_end == int(end * factor + 0.5)
        if factor != 1:
            is_shift = (found >= KINDS.shift) & (found < KINDS.velocity)
            is_longest = found == KINDS.velocity - 1
            assert not (is_shift[1:] & is_shift[:-1] & ~is_longest[:-1]).any(), "as few as can be"


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.05, 1.3])
def test_stretching_equals_decoding_scaling_and_encoding(factor):
    """On notes whose onsets and offsets all differ, so that events have but one order."""
    for seed in range(40):
        rng = np.random.default_rng([seed])
        times = np.cumsum(rng.integers(2, 30, 24))
        start, end = times[0::2], times[1::2]
        if seed % 2:  # notes that overlap, each pitch once
            start, end = times[:12], times[12:]
        notes = notes_of(np.zeros(0, np.int64), VOCABULARY)
        notes = type(notes)(
            start, end, rng.permutation(np.arange(60, 72)), rng.integers(1, 128, 12), 0 * start
        )
        ids = events_of(notes, VOCABULARY)
        read = notes_of(ids, VOCABULARY)
        read = read.take(np.argsort(read.start))
        scaled = type(read)(
            np.floor(read.start * factor + 0.5).astype(int),
            np.floor(read.end * factor + 0.5).astype(int),
            *(read.pitch, read.velocity, read.instrument),
        )
        expected = events_of(scaled, VOCABULARY)
        np.testing.assert_array_equal(stretched(ids, KINDS, factor), expected)


def test_transposing_moves_pitches_as_far_as_all_stay():
    ids = np.array([VOCABULARY.velocity, 3, VOCABULARY.shift, 9, 12 + 3, 12 + 9])
    for semitones, by in ((0, 0), (2, 2), (3, 2), (9, 2), (-3, -3), (-4, -3)):
        moved = transposed(ids, KINDS, semitones)
        np.testing.assert_array_equal(moved, ids + by * np.array([0, 1, 0, 1, 1, 1]))
        notes = notes_of(moved, VOCABULARY)
        assert set(notes.pitch) <= set(range(60, 72))
    silent = np.array([KINDS.shift, KINDS.velocity])
    np.testing.assert_array_equal(transposed(silent, KINDS, 5), silent)


@pytest.fixture
def given_performances(shards, monkeypatch):
    """Puts events of the test's own in the place of those on disk."""

    def put(performances):
        monkeypatch.setattr(_event_windows, "performances", lambda *_: performances)
        return shards

    return put


def rows(batches) -> list[tuple[list[int], list[int]]]:
    """(what precedes each, events) of each row, and that padding is at the end and weighs 0."""
    found = []
    for given, targets, weights in batches.as_numpy_iterator():
        assert given.shape == weights.shape == targets.shape[:2]
        assert set(weights.ravel().tolist()) <= {0.0, 1.0}
        found += [
            (g.tolist(), np.where(w > 0, t[:, 0], -1).tolist())
            for g, t, w in zip(given, targets, weights, strict=True)
        ]
    return found


def distinct(lengths) -> list[np.ndarray]:
    """Performances whose events are all different numbers."""
    ends = np.cumsum(lengths)
    return [np.arange(e - n, e, dtype=np.int32) for n, e in zip(lengths, ends, strict=True)]


LENGTHS = [1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 40, 41, 63, 64, 65, 200]


@pytest.mark.parametrize("window", [16, 17])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_every_held_out_event_counts_once_after_half_a_window(
    given_performances, window, batch_size
):
    performances = distinct(LENGTHS)
    shards = given_performances(performances)
    batches = _event_windows.held_out_batches(shards, "test", window, batch_size)
    firsts = {int(p[0]) for p in performances}
    counted = []
    for given, targets in rows(batches):
        assert len(given) == window
        own = [(i, t) for i, t in enumerate(targets) if t >= 0]
        counted += [t for _, t in own]
        for i, target in own:
            assert given[i] == (0 if target in firsts else target)  # the event before, plus 1
            assert given[: i + 1] == list(range(given[i] - i, given[i] + 1)) or given[0] == 0
            assert i >= window // 2 or given[0] == 0
    assert sorted(counted) == list(range(sum(LENGTHS)))


def test_crops_are_pieces_of_performances_with_what_precedes_them(given_performances):
    performances = distinct([5, 16, 17, 40])
    shards = given_performances(performances)
    batches = _event_windows.training_batches(shards, WINDOW, 8, 0, (1.0,), 1)
    begun = Counter()
    for given, targets in rows(batches.take(40)):
        (own,) = (p.tolist() for p in performances if targets[0] in p)
        begin = own.index(targets[0])
        begun[targets[0]] += 1
        expected = own[begin : begin + WINDOW]
        assert targets == expected + [-1] * (WINDOW - len(expected))
        before = [0 if begin == 0 else own[begin - 1] + 1]
        assert given[: len(expected)] == before + [e + 1 for e in expected[:-1]]
    # Every event is a crop's middle equally often; near the ends the crop cannot follow it.
    shares = {0: 5, 5: 16, 21: 9, 22: 8, 38: 9, **dict.fromkeys(range(39, 62), 1), 62: 8}
    assert set(begun) <= set(shares)
    assert sum(shares.values()) == 78
    for place, share in shares.items():
        expected = 320 * share / 78
        assert abs(begun[place] - expected) < 5 * expected**0.5


def test_crops_are_varied_as_asked(given_performances):
    """Each is one of all the pieces, stretched by one factor and moved by one interval."""
    performances = [random_ids(i, 40).astype(np.int32) for i in range(2)]
    performances = [np.where(p < 24, p % 12 // 2 + 3 + p // 12 * 12, p) for p in performances]
    stretches, window = (0.9, 1.0, 1.1), 24
    possible = {}
    for own in performances:
        for begin in range(len(own) - window + 1):
            for factor in stretches:
                piece = own[max(begin - 1, 0) : begin + window + (3 if factor < 1 else 0)]
                for semitones in (-2, -1, 0, 1, 2):
                    varied = transposed(stretched(piece, KINDS, factor), KINDS, semitones).tolist()
                    before = varied.pop(0) + 1 if begin else 0
                    possible[before, *varied[:window]] = factor, semitones
    shards = given_performances(performances)
    batches = _event_windows.training_batches(shards, window, 8, 2, stretches, 5)
    seen = Counter()
    for given, targets in rows(batches.take(25)):
        crop = [t for t in targets if t >= 0]
        assert given == [given[0], *(t + 1 for t in crop[:-1]), *[0] * (window - len(crop))]
        seen[possible[given[0], *crop]] += 1
    assert {factor for factor, _ in seen} == set(stretches)
    assert {semitones for _, semitones in seen} == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("name", NAMES)
def test_training_batches_depend_on_their_seed_and_number_alone(shards, name):
    recipe = registry.recipe(name)
    options = params(name, max_transpose_semitones=2, stretches=(0.9, 1.0, 1.1))
    first = rows(recipe.batches(shards, "train", options, 3).take(9))
    keras.utils.set_random_seed(99)
    assert rows(recipe.batches(shards, "train", options, 3).take(9)) == first
    assert rows(recipe.batches(shards, "train", options, 3).skip(4).take(5)) == first[16:]
    assert rows(recipe.batches(shards, "train", options, 4).take(9)) != first
    halves = params(name, max_transpose_semitones=2, stretches=(0.9, 1.0, 1.1), batch_size=2)
    assert rows(recipe.batches(shards, "train", halves, 3).take(18)) == first


def test_batches_have_one_static_shape(shards):
    for split in ("train", "validation", "test"):
        found = registry.recipe(NAMES[0]).batches(shards, split, params(NAMES[0]), 0)
        shapes = [tuple(spec.shape) for spec in found.element_spec]
        assert shapes == [(4, WINDOW), (4, WINDOW, 1), (4, WINDOW)]
        assert [spec.dtype.name for spec in found.element_spec] == ["int32", "int32", "float32"]


def test_held_out_batches_hold_the_corpus_as_it_is(shards):
    """However the training split is varied."""
    options = params(NAMES[0], max_transpose_semitones=3, stretches=(0.5,))
    found = rows(registry.recipe(NAMES[0]).batches(shards, "test", options, 0))
    events = sorted(t for _, targets in found for t in targets if t >= 0)
    assert events == sorted(np.concatenate(TEST).tolist())


def test_sequences_and_references_are_the_corpus_in_order(shards):
    recipe = registry.recipe(NAMES[0])
    for found, number in zip(
        recipe.sequences(shards, "train", params(NAMES[0])), range(13), strict=True
    ):
        np.testing.assert_array_equal(found, performance(number))
    for found, own in zip(
        recipe.references(shards, "test", params(NAMES[0]), 6), TEST, strict=True
    ):
        np.testing.assert_array_equal(found["events"], own[:6])


# --- likelihood ----------------------------------------------------------------------------------


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def logits_of(model, given: np.ndarray) -> np.ndarray:
    """Always 4 rows at once: each new shape takes seconds to be compiled."""
    padded = np.pad(given, ((0, -len(given) % 4), (0, WINDOW - given.shape[1]))).astype(np.int32)
    parts = [model(padded[i : i + 4]).numpy() for i in range(0, len(padded), 4)]
    return np.concatenate(parts)[: len(given), : given.shape[1]]


def judged(model, own: np.ndarray, history: np.ndarray) -> tuple[float, int]:
    """nll and right guesses of one performance, its windows cut by hand."""
    given = np.array([0, *(history + 1)])
    windows, where = [], []
    for i in range(len(own)):
        begin = 0
        while i - begin >= WINDOW:
            begin += WINDOW // 2
        row = given[begin : begin + WINDOW][: i - begin + 1]
        windows.append(np.pad(row, (0, WINDOW - len(row))))
        where.append(i - begin)
    logits = logits_of(model, np.array(windows))[np.arange(len(own)), where]
    log_p = log_softmax(logits)[np.arange(len(own)), own]
    return -log_p.sum(), int((logits.argmax(axis=-1) == own).sum())


@pytest.mark.parametrize("name", NAMES)
def test_likelihood_is_the_sum_over_each_event_in_its_window(shards, models, name):
    found = registry.recipe(name).likelihood(models[name], shards, "test", params(name))
    assert max(map(len, TEST)) > 1.5 * WINDOW
    for i, own in enumerate(TEST):
        nll, num_correct = judged(models[name], own, own)
        assert found.nll[i] == pytest.approx(nll, rel=1e-5)
        assert found.num_correct[i] == num_correct
    assert found.num_events.tolist() == [len(own) for own in TEST]


@pytest.mark.parametrize("name", NAMES)
def test_other_history_takes_the_next_performances(shards, models, name):
    control = registry.recipe(name).controls["other_history"]
    found = control(models[name], shards, "test", params(name))
    for i, own in enumerate(TEST):
        other = np.resize(TEST[(i + 1) % len(TEST)], len(own))
        nll, num_correct = judged(models[name], own, other)
        assert found.nll[i] == pytest.approx(nll, rel=1e-5)
        assert found.num_correct[i] == num_correct
    assert found.num_events.tolist() == [len(own) for own in TEST]


def test_sampling_gives_events_the_probability_that_they_are_judged_by(shards, models):
    """Also beyond the window: what is drawn and what is judged see the same history."""
    model = models["music_transformer"]
    found = registry.recipe("music_transformer").likelihood(
        model, shards, "test", params("music_transformer")
    )
    for i, own in enumerate(TEST[:2]):
        decoder, nll = CachedDecoder(model.get_layer("decoder"), 3), 0.0
        for event in own:
            nll -= log_softmax(decoder.next_logits())[1, event]
            decoder.append(np.full(3, event))
        assert nll == pytest.approx(found.nll[i], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "num_steps", "changes"),
    [
        ("music_transformer", 100, {"learning_rate": 0.01}),
        ("performance_rnn", 150, {"learning_rate": 0.03, "rnn_layer_sizes": (48,)}),
    ],
)
def test_training_learns_to_use_the_history(shards, name, num_steps, changes):
    keras.utils.set_random_seed(0)
    recipe, options = registry.recipe(name), params(name, decay_steps=num_steps, **changes)
    model = recipe.build(options, shards)
    before = recipe.likelihood(model, shards, "test", options)
    history = model.fit(
        recipe.batches(shards, "train", options, 0),
        steps_per_epoch=num_steps,
        validation_data=recipe.batches(shards, "validation", options, 0),
        verbose=0,
    ).history
    after = recipe.likelihood(model, shards, "test", options)
    assert after.nll.sum() < 0.4 * before.nll.sum()
    assert history["val_loss"][0] < 0.6 * before.nll.sum() / before.num_events.sum()
    control = recipe.controls["other_history"](model, shards, "test", options)
    assert control.nll.sum() > 1.3 * after.nll.sum()


def test_learning_rates():
    rate = _learning_rates.InverseSquareRoot(0.5, 100)
    found = [float(rate(step)) for step in (0, 49, 99, 399, 9999)]
    assert found == pytest.approx([0.005, 0.25, 0.5, 0.25, 0.05])
    rate = _learning_rates.warmed_up(0.5, 10, 90)
    found = [float(rate(step)) for step in (0, 5, 10, 55, 100)]
    assert found == pytest.approx([0, 0.25, 0.5, 0.25, 0], abs=1e-6)
    assert _learning_rates.warmed_up(0.5, 10, 0) == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_heads": 3}, "num_heads=3 does not divide hidden_size=16"),
        ({"key_size": 17}, "num_heads=2 does not divide key_size=17"),
        ({"num_heads": 1, "hidden_size": 15}, "hidden_size=15 is odd"),
        ({"warmup_steps": 0}, "warmup_steps"),
        ({"stretches": ()}, "stretches"),
    ],
)
def test_a_network_that_cannot_be_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        params("music_transformer", **change)


# --- sampling ------------------------------------------------------------------------------------

PRIMER = (VOCABULARY.velocity + 2, 3, VOCABULARY.shift + 4, 12 + 3)


def generated(models, name, **request) -> list[np.ndarray]:
    recipe = registry.recipe(name)
    found = recipe.generate(models[name], params(name), CODEC, OPTIONS, Request(**request))
    return [record["events"] for record in found]


def is_valid(record) -> bool:
    """Whether the events decode to notes that a NoteSequence, and a MIDI file, can hold."""
    sequence = CODEC.decode(record, OPTIONS).note_sequence
    assert sequence.total_time == max((n.end_time for n in sequence.notes), default=0)
    return all(
        0 <= n.start_time < n.end_time and 60 <= n.pitch <= 71 and 1 <= n.velocity <= 127
        for n in sequence.notes
    )


@pytest.mark.parametrize(
    ("name", "kept"), zip(NAMES, ({}, {"top_k": 9, "top_p": 0.9}), strict=True)
)
def test_samples_go_on_from_the_primer_beyond_the_window(models, name, kept):
    request = {"num": 3, "num_steps": 37, "primer": PRIMER, **kept}
    found = generated(models, name, **request, seed=1)
    assert [len(events) for events in found] == [37] * 3
    assert all(tuple(events[:4]) == PRIMER for events in found)
    assert len({tuple(events) for events in found}) == 3
    assert all(is_valid({"events": events}) for events in found)
    np.testing.assert_array_equal(generated(models, name, **request, seed=1), found)
    assert not np.array_equal(generated(models, name, **request, seed=2), found)


@pytest.mark.parametrize("name", NAMES)
def test_greedy_samples_are_the_likeliest_events(models, name):
    found = generated(models, name, num=3, num_steps=WINDOW, temperature=0.0)
    logits = logits_of(models[name], np.array([[0, *found[0][:-1] + 1]]))
    np.testing.assert_array_equal(found, [logits[0].argmax(axis=-1)] * 3)


def test_a_beam_is_more_probable_than_greed(models):
    def nll(primer, beam_size):
        request = {"num_steps": 10, "temperature": 0.0, "beam_size": beam_size}
        events = generated(models, NAMES[0], num=3 // beam_size, primer=primer, **request)[0]
        assert len(events) == 10
        assert tuple(events[: len(primer)]) == primer
        log_p = log_softmax(logits_of(models[NAMES[0]], np.array([[0, *events[:-1] + 1]]))[0])
        return -log_p[np.arange(len(primer), 10), events[len(primer) :]].sum()

    assert np.mean([nll((p,), 1) - nll((p,), 3) for p in range(5)]) > 0.05


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"num_steps": 4, "primer": PRIMER}, "num_steps=4 leaves nothing .* primer of 4 events"),
        ({"num_steps": None}, "num_steps=None leaves nothing"),
        ({"num_steps": 8, "beam_size": NUM_CLASSES + 1}, "beam_size=37 is above the 36 classes"),
        ({"melody": PRIMER, "primer": PRIMER}, "goes with no primer"),
        ({"melody": PRIMER, "beam_size": 2}, "goes with no primer and no beam"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_impossible_requests_are_refused(models, name, request_, said):
    with pytest.raises(PipelineError, match=said):
        generated(models, name, num=1, **request_)


def test_any_events_decode_to_a_valid_note_sequence():
    for seed in range(400):
        rng = np.random.default_rng([seed, 11])
        record = {"events": rng.integers(0, NUM_CLASSES, rng.integers(0, 120))}
        assert is_valid(record)
        if seed % 20 == 0:
            sequence = CODEC.decode(record, OPTIONS).note_sequence
            again = note_seq.midi_to_note_sequence(render.midi(sequence))
            assert len(again.notes) == len(sequence.notes)


# --- harmonization -------------------------------------------------------------------------------


class Dice:
    """A decoder whose logits are random: whatever is not forbidden happens."""

    def __init__(self, num_rows: int, seed: int):
        self.rng, self.shape, self.num_appended = np.random.default_rng(seed), num_rows, 0

    def next_logits(self) -> np.ndarray:
        logits = 3 * self.rng.normal(size=(self.shape, NUM_CLASSES))
        # Else half of all events would be time-shifts of any length, and few notes would meet.
        logits[:, VOCABULARY.shift : VOCABULARY.velocity] -= 2
        return logits

    def append(self, events: np.ndarray) -> None:
        assert events.shape == (self.shape,)
        self.num_appended += 1
        assert self.num_appended < 3000, "it always ends"


def melody(*notes: tuple[int, float, float, int]) -> tuple[int, ...]:
    """Events of (pitch, start, end, velocity)."""
    sequence = note_seq.NoteSequence()
    for pitch, start, end, velocity in notes:
        sequence.notes.add(pitch=pitch, start_time=start, end_time=end, velocity=velocity)
    return tuple(CODEC.primer(Example("k", sequence.SerializeToString()), OPTIONS, "performance"))


def random_melody(seed: int) -> tuple[int, ...]:
    rng = np.random.default_rng([seed, 21])
    notes = []
    for _ in range(rng.integers(1, 12)):
        start = rng.integers(0, 30) / 10
        end = start + rng.integers(1, 12) / 10
        notes.append((int(rng.integers(60, 72)), start, end, int(rng.integers(1, 128))))
    return melody(*notes)


MELODIES = {
    "monophonic": melody((70, 0, 0.5, 80), (68, 0.5, 1, 80), (71, 1, 2.5, 80)),
    "with a late start and long rests": melody((70, 2.5, 3, 80), (65, 6, 6.5, 80)),
    "repeated": melody(*((67, 0.3 * i, 0.3 * i + 0.3, 50) for i in range(6))),
    "repeated apart": melody(*((66, 0.5 * i, 0.5 * i + 0.2, 50) for i in range(5))),
    "getting lower": melody(*((71 - 2 * i, 0.4 * i, 0.4 * i + 0.5, 90) for i in range(6))),
    "louder and softer": melody(*((69, 0.4 * i, 0.4 * i + 0.3, 9 + 35 * i) for i in range(4))),
    "chords": melody(*((p, i, i + 0.6, 30 + p) for i in range(3) for p in (71, 62, 66))),
    "one pitch twice at once": melody((66, 0, 2, 90), (66, 0.4, 1, 20), (70, 2.2, 3, 90)),
    "equal notes": melody((66, 0, 1, 90), (66, 0, 1, 90), (66, 1.5, 2, 90)),
    "nothing lies below": melody((60, 0, 1, 90), (60, 1.2, 2, 90)),
    **{f"random {seed}": random_melody(seed) for seed in range(12)},
}  # fmt: skip


def note_counts(events) -> Counter:
    notes = notes_of(np.array(events), VOCABULARY)
    columns = (notes.pitch, notes.start, notes.end, notes.velocity)
    return Counter(zip(*(c.tolist() for c in columns), strict=True))


def assert_accompanies(events: np.ndarray, given: tuple[int, ...]) -> int:
    """Checks one sample, and tells how many notes were added."""
    own, everything = note_counts(given), note_counts(events)
    assert not own - everything, "the melody is there, note for note"
    added = list((everything - own).elements())
    last = max(end for _, _, end, _ in own)
    for pitch, start, end, _ in added:
        assert start < end <= last
        for other, begin, until, _ in own:
            if start < until and begin < end:
                assert pitch < other, "what sounds with the melody lies below it"
    sounding = [sum(s <= step < e for _, s, e, _ in added) for step in range(last)]
    assert max(sounding, default=0) <= 5
    num_ons = sum(event < VOCABULARY.note_off for event in events)
    assert num_ons == sum(everything.values()), "no note without duration"
    return len(added)


@pytest.mark.parametrize("which", MELODIES)
def test_accompaniments_leave_the_melody_as_it_is(which):
    num_added = []
    for seed in range(3):
        request = Request(num=30, melody=MELODIES[which], temperature=1.0, top_p=1.0, seed=seed)
        found = _harmonization.harmonized(Dice(30, seed), request, VOCABULARY)
        assert len({tuple(events) for events in found}) > 20 or which == "nothing lies below"
        num_added += [assert_accompanies(events, MELODIES[which]) for events in found]
    assert (np.mean(num_added) > 1) == (which != "nothing lies below")


def test_the_melody_alone_has_no_time_shifts_to_spare():
    """What is drawn moves on at most to the melody's next event."""
    request = Request(num=20, melody=MELODIES["with a late start and long rests"])
    for events in _harmonization.harmonized(Dice(20, 0), request, VOCABULARY):
        assert timed(events)[1] == timed(np.array(request.melody))[1]


@pytest.mark.parametrize("name", NAMES)
def test_models_harmonize(models, name):
    def found(seed, **more):
        given = MELODIES["getting lower"]
        return generated(models, name, num=3, num_steps=5, melody=given, seed=seed, **more)

    samples = found(1)
    num_added = [assert_accompanies(events, MELODIES["getting lower"]) for events in samples]
    assert all(is_valid({"events": events}) for events in samples)
    assert sum(num_added) > 0
    assert [e.tolist() for e in found(1)] == [e.tolist() for e in samples]
    assert [e.tolist() for e in found(2)] != [e.tolist() for e in samples]
    greedy = found(1, temperature=0.0, top_p=0.5, top_k=3)
    assert greedy[0].tolist() == greedy[1].tolist()
    assert_accompanies(greedy[0], MELODIES["getting lower"])
