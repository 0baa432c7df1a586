"""The melody RNN on a small corpus: data, likelihood, sampling, repeatability."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline import registry  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models.base import Request, Shards  # noqa: E402
from tests import toy_corpus  # noqa: E402

CODEC = registry.codec("melody")
RECIPE = registry.recipe("melody_rnn")
OPTIONS = CODEC.Options(
    steps_per_quarter=4,
    min_bars=1,
    max_steps=512,
    min_unique_pitches=1,
    gap_bars=1,
    programs=[[0, 127]],
)
ENCODINGS = ("basic", "mono", "lookback", "attention")


def params(encoding="basic", **changes):
    values = {
        "encoding": encoding,
        "rnn_layer_sizes": (8, 8),
        "dropout_rate": 0.0,
        "clip_norm": 5.0,
        "attention_length": 6 if encoding == "attention" else 0,
        "warmup_steps": 0,
        "decay_steps": 0,
        "window_steps": 0,
        "bucket_steps": 16,
        "shuffle_window": 16,
        "epochs": 1,
        "steps_per_epoch": 2,
        "patience": 1,
        "batch_size": 4,
        "learning_rate": 0.01,
    }
    return RECIPE.Params(**(values | changes))


def write_corpus(folder: Path) -> Path:
    """Tunes that walk up and down a scale, each from a place and with a length of its own."""
    features = CODEC.features(OPTIONS)
    num_classes = {name: CODEC.num_classes(OPTIONS, name) for name in features if "labels" in name}
    options = OPTIONS.model_dump(mode="json")
    return toy_corpus.write(folder, features, tune_record, num_classes, options)


def tune_record(number: int) -> dict:
    scale = [60, 62, 64, 65, 67, 69, 71, 72]
    walk = scale + scale[::-1]
    events = [walk[(i + number) % len(walk)] for i in range(16 + number % 7 * 4)]
    example = CODEC.decode({"melody": np.array(events)}, OPTIONS)
    (record,) = CODEC.encode(example, OPTIONS)
    return record


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return Shards.open(write_corpus(tmp_path_factory.mktemp("corpus") / "toy"))


@pytest.fixture(scope="module")
def models(shards):
    """A model of each encoding with random weights, not the small ones that it starts with."""
    models = {}
    for encoding in ENCODINGS:
        model = RECIPE.build(params(encoding), shards)
        rng = np.random.default_rng(0)
        model.set_weights([rng.normal(scale=0.6, size=w.shape) for w in model.get_weights()])
        models[encoding] = model
    return models


def tunes(shards, split):
    from pipeline.models.base import read_records

    return list(read_records(shards, split, tuple(shards.features)).as_numpy_iterator())


def given(record, encoding):
    """What a network is given at each step of a record: one row later than the codec's inputs."""
    if encoding in ("basic", "mono"):
        return np.concatenate([[0], record[f"{encoding}_labels"][:-1] + 1])[None]
    packed = record[f"{encoding}_inputs"]
    return np.concatenate([np.zeros_like(packed[:1]), packed[:-1]])[None]


def judged(model, record, encoding, inputs):
    """nll and right guesses of a tune's events, by asking the codec what each label means."""
    logits = model(inputs).numpy()[0].astype(np.float64)
    view = CODEC.encoding(OPTIONS, encoding)
    events = view.transposed(record["melody"]).tolist()
    nll, num_correct = 0.0, 0
    for step, event in enumerate(events):
        p = np.exp(logits[step] - np.logaddexp.reduce(logits[step]))
        by_event = {}
        for label in range(view.num_classes):
            meant = view.event(label, events[:step])
            by_event[meant] = by_event.get(meant, 0.0) + p[label]
        nll -= np.log(by_event[event])
        num_correct += max(by_event, key=by_event.get) == event
    return nll, num_correct


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_likelihood_is_the_sum_over_all_labels_that_mean_the_event(shards, models, encoding):
    found = RECIPE.likelihood(models[encoding], shards, "test", params(encoding))
    for i, record in enumerate(tunes(shards, "test")):
        nll, num_correct = judged(models[encoding], record, encoding, given(record, encoding))
        assert found.nll[i] == pytest.approx(nll, rel=1e-5)
        assert found.num_events[i] == len(record["melody"])
        assert found.num_correct[i] == num_correct


@pytest.mark.parametrize("encoding", ["basic", "lookback"])
def test_other_history_takes_the_next_tunes_inputs(shards, models, encoding):
    found = RECIPE.controls["other_history"](models[encoding], shards, "test", params(encoding))
    records = tunes(shards, "test")
    for i, record in enumerate(records):
        num_events = len(record["melody"])
        other = given(records[(i + 1) % len(records)], encoding)[:, :num_events]
        missing = num_events - other.shape[1]
        other = np.pad(other, [(0, 0), (0, missing)] + [(0, 0)] * (other.ndim - 2))
        nll, _ = judged(models[encoding], record, encoding, other)
        assert found.nll[i] == pytest.approx(nll, rel=1e-5)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_sampling_sees_the_same_logits_as_training(shards, models, encoding):
    """Greedy generation, then the codec's own arrays of it: each label is the most probable."""
    primer = (60, -2, 64)
    request = Request(num=2, num_steps=40, primer=primer, temperature=0.0)
    records = RECIPE.generate(models[encoding], params(encoding), CODEC, OPTIONS, request)
    assert np.array_equal(records[0]["melody"], records[1]["melody"])
    events = records[0]["melody"]
    assert len(events) == 40
    assert tuple(events[:3]) == primer
    view = CODEC.encoding(OPTIONS, encoding)
    bits = np.stack([view.inputs(events[: i + 1]) for i in range(39)])
    record = {
        f"{encoding}_labels": np.array([view.label(events, i) for i in range(40)]),
        f"{encoding}_inputs": np.packbits(np.pad(bits, ((0, 1), (0, 0))), axis=1),
    }
    logits = models[encoding](given(record, encoding)).numpy()[0]
    # By meaning, not by label: several labels may mean the same event.
    meant = [view.event(int(logits[i].argmax()), events[:i].tolist()) for i in range(3, 40)]
    assert meant == events[3:].tolist()


@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_seed_alone_decides_what_is_sampled(models, beam_size):
    def melodies(seed):
        request = Request(num=3, num_steps=12, beam_size=beam_size, top_k=8, seed=seed)
        records = RECIPE.generate(models["lookback"], params("lookback"), CODEC, OPTIONS, request)
        return [record["melody"].tolist() for record in records]

    assert melodies(1) == melodies(1) != melodies(2)


def test_a_beam_finds_more_probable_continuations_than_greed(models):
    def log_probability(primer, beam_size):
        request = Request(num=1, num_steps=10, primer=primer, temperature=0.0, beam_size=beam_size)
        (record,) = RECIPE.generate(models["basic"], params(), CODEC, OPTIONS, request)
        labels = CODEC.encoding(OPTIONS, "basic").labels(record["melody"])
        logits = models["basic"](given({"basic_labels": labels}, "basic")).numpy()[0]
        logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return logs[np.arange(1, 10), labels[1:]].sum()

    gains = [log_probability((p,), 8) - log_probability((p,), 1) for p in range(60, 72, 3)]
    assert np.mean(gains) > 0.1


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (Request(num=1, num_steps=2, primer=(60, 62)), "num_steps=2"),
        (Request(num=1, num_steps=2, beam_size=39), "beam_size=39"),
    ],
)
def test_impossible_requests_are_refused(models, request_, named):
    with pytest.raises(PipelineError, match=named):
        RECIPE.generate(models["basic"], params(), CODEC, OPTIONS, request_)


@pytest.mark.parametrize("encoding", ["basic", "lookback"])
def test_sequences_are_the_events_in_the_shards_order(shards, encoding):
    """Those of lookback have no repeats, so that its baseline is the same as that of basic."""
    found = RECIPE.sequences(shards, "train", params(encoding))
    for sequence, number in zip(found, range(13), strict=True):
        assert np.array_equal(sequence, tune_record(number)["basic_labels"])


@pytest.mark.parametrize("encoding", ["mono", "attention"])
def test_batches_hold_the_tunes_shifted_and_padded(shards, encoding):
    seen = []
    name = {"mono": "mono_labels", "attention": "attention_targets"}[encoding]
    for inputs, targets, weights in RECIPE.batches(shards, "test", params(encoding), 0):
        assert targets.shape[1] % 16 == 0
        assert inputs.shape[:2] == targets.shape[:2] == weights.shape
        for row, own, mask in zip(inputs.numpy(), targets.numpy(), weights.numpy(), strict=True):
            length = int(mask.sum())
            assert mask[:length].all()
            assert targets.shape[1] - length < 16
            seen.append((row[:length].tolist(), own[:length].tolist()))
    expected = [
        (given(r, encoding)[0].tolist(), r[name].reshape(len(r["melody"]), -1).tolist())
        for r in tunes(shards, "test")
    ]
    assert sorted(seen) == sorted(expected)


def rows(dataset, num_batches):
    """The tunes of the first batches, as comparable values."""
    taken = dataset.take(num_batches).as_numpy_iterator()
    return [
        (w.sum(), *own[:, 0].tolist()) for _, y, ws in taken for own, w in zip(y, ws, strict=True)
    ]


def test_training_batches_depend_on_their_seed_alone(shards):
    first = rows(RECIPE.batches(shards, "train", params(), 3), 20)
    keras.utils.set_random_seed(99)
    assert rows(RECIPE.batches(shards, "train", params(), 3), 20) == first
    assert rows(RECIPE.batches(shards, "train", params(), 4), 20) != first
    keras.utils.set_random_seed(5)
    resumed = RECIPE.batches(shards, "train", params(), 3).skip(7)
    assert rows(resumed, 13) == first[28:]


def test_passes_are_shuffled_anew_and_lose_no_tune(shards):
    everything = params(bucket_steps=512, batch_size=13)
    passes = [rows(RECIPE.batches(shards, "train", everything, 0).skip(i), 1) for i in range(3)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(passes[2])
    assert passes[0] != passes[1] != passes[2] != passes[0]


def test_windows_are_the_tunes_cut_into_pieces(shards):
    """Put together again, the pieces of a pass are its tunes, with the inputs they had."""
    whole = params("lookback", bucket_steps=512, batch_size=1)
    cut = params("lookback", bucket_steps=512, batch_size=1, window_steps=12)

    def steps(options, num_batches):
        taken = RECIPE.batches(shards, "train", options, 2).take(num_batches).as_numpy_iterator()
        kept = [(x[w > 0], y[w > 0]) for x, y, w in taken]
        return [np.concatenate(column) for column in zip(*kept, strict=True)]

    inputs, targets = steps(whole, 13)
    num_pieces = sum(-(-len(tune_record(n)["melody"]) // 12) for n in range(13))
    cut_inputs, cut_targets = steps(cut, num_pieces)
    assert np.array_equal(cut_inputs, inputs)
    assert np.array_equal(cut_targets, targets)


def test_the_learning_rate_rises_and_falls(shards):
    options = params(learning_rate=0.01, warmup_steps=10, decay_steps=90)
    rate = RECIPE.build(options, shards).optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 5, 10)] == pytest.approx([0, 0.005, 0.01])
    assert float(rate(55)) == pytest.approx(0.005)
    assert float(rate(100)) == pytest.approx(0, abs=1e-9)
    assert float(RECIPE.build(params(), shards).optimizer.learning_rate) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("encoding", "rate", "num_steps"), [("basic", 0.02, 150), ("attention", 0.005, 400)]
)
def test_training_learns_to_use_the_history(shards, encoding, rate, num_steps):
    keras.utils.set_random_seed(0)
    options = params(encoding, rnn_layer_sizes=(32, 32), learning_rate=rate, batch_size=8)
    model = RECIPE.build(options, shards)
    before = RECIPE.likelihood(model, shards, "test", options)
    history = model.fit(
        RECIPE.batches(shards, "train", options, 0),
        steps_per_epoch=num_steps,
        validation_data=RECIPE.batches(shards, "validation", options, 0),
        verbose=0,
    ).history
    after = RECIPE.likelihood(model, shards, "test", options)
    assert after.nll.sum() < 0.4 * before.nll.sum()
    assert history["val_loss"][0] < 0.6 * before.nll.sum() / before.num_events.sum()
    control = RECIPE.controls["other_history"](model, shards, "test", options)
    assert control.nll.sum() > 1.3 * after.nll.sum()


def digest(model) -> str:
    return hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()


def state(model):
    return [*model.variables, *model.optimizer.variables]


def trained(folder, encoding: str, pieces: tuple[int, ...]) -> str:
    """Trains with dropout, putting the state into a new model between the pieces."""
    shards = Shards.open(Path(folder))
    options = params(encoding, dropout_rate=0.3)
    saved, done = None, 0
    for steps in pieces:
        keras.utils.set_random_seed(done)  # a resumed process has drawn other numbers before
        if not done:
            keras.utils.set_random_seed(7)
        model = RECIPE.build(options, shards)
        model.optimizer.build(model.trainable_variables)
        if saved is not None:
            for variable, value in zip(state(model), saved, strict=True):
                variable.assign(value)
        batches = RECIPE.batches(shards, "train", options, 1).skip(done)
        model.fit(batches, steps_per_epoch=steps, verbose=0)
        saved, done = [variable.numpy() for variable in state(model)], done + steps
    return digest(model)


def in_own_process(folder, pieces) -> subprocess.Popen:
    program = (
        "import tensorflow as tf; tf.config.experimental.enable_op_determinism()\n"
        "from tests.test_model_melody_rnn import trained\n"
        "for encoding in ('lookback', 'attention'):\n"
        f"    print(trained({str(folder)!r}, encoding, {pieces}))"
    )
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_processes_agree_to_the_bit_and_so_does_a_resumed_training(shards):
    runs = [in_own_process(shards.path, pieces) for pieces in ((5,), (5,), (2, 3))]
    first, second, resumed = (run.communicate()[0].split() for run in runs)
    assert [len(x) for x in first] == [64, 64]
    assert first == second
    assert first == resumed


@pytest.mark.parametrize("encoding", ["basic", "attention"])
def test_weights_come_back_from_their_file(shards, models, encoding, tmp_path):
    models[encoding].save_weights(tmp_path / "model.weights.h5")
    model = RECIPE.build(params(encoding), shards)
    assert digest(model) != digest(models[encoding])
    model.load_weights(tmp_path / "model.weights.h5")
    assert digest(model) == digest(models[encoding])
