"""MusicVAE's layers against plain loops, formulas and cases worked out by hand."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import note_seq  # noqa: E402

from pipeline.errors import PipelineError  # noqa: E402
from pipeline.nn.recurrent import attributes, latent, melody_classes, vae_probes  # noqa: E402
from pipeline.nn.recurrent.decoder import Decoder, sampled_classes  # noqa: E402
from pipeline.nn.recurrent.encoder import BidirectionalEncoder  # noqa: E402
from pipeline.nn.recurrent.vae import SequenceVae, event_scores  # noqa: E402

CLASSES = (7, 5)
LATENT = 6
SEGMENT = 4
STEPS = 12


def decoder_of(conductor=(5, 4), classes=CLASSES, seed=0):
    """A decoder with random weights; three segments, or one without a conductor."""
    segments = STEPS // SEGMENT if conductor else 1
    layer = Decoder(LATENT, classes, segments, STEPS // segments, conductor, (6, 5))
    layer.build()
    return randomized(layer, seed)


def randomized(layer, seed=0, scale=0.8):
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(scale=scale, size=w.shape) for w in layer.get_weights()])
    return layer


def windows_of(batch=3, seed=1, classes=CLASSES):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, n, (batch, STEPS)) for n in classes], -1).astype(np.int32)


def latents_of(batch=3, seed=2):
    return np.random.default_rng(seed).normal(size=(batch, LATENT)).astype(np.float32)


def noise_of(batch=3, seed=3, classes=CLASSES):
    rng = np.random.default_rng(seed)
    return [rng.gumbel(size=(batch, STEPS, n)).astype(np.float32) for n in classes]


# The decoder as its source reads: one example, one bar, one step after the other.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_steps(layers, states, x):
    new_states = []
    for layer, (h, c) in zip(layers, zip(states[::2], states[1::2], strict=True), strict=True):
        kernel, recurrent, bias = layer.get_weights()
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        x = sigmoid(o) * np.tanh(c)
        new_states += [x, c]
    return x, new_states


def start_states(layer, vector):
    kernel, bias = layer.get_weights()
    flat, states = np.tanh(vector @ kernel + bias), []
    for size in layer.sizes:
        states.append(flat[:size])
        flat = flat[size:]
    return states


def plain_decode(layer, z, part, next_given):
    """Logits [steps, classes]; next_given(step, logits) -> what the next step is given."""
    core, embeddings = layer.cores[part], [z]
    if layer.conductor:
        states, embeddings = start_states(layer.conductor.start, z), []
        for _ in range(layer.num_segments):
            embedding, states = lstm_steps(layer.conductor.lstms, states, np.zeros(1))
            embeddings.append(embedding)
    given, outputs = -1, []
    for embedding in embeddings:
        states = start_states(core.start, embedding)
        for _ in range(layer.segment_steps):
            one_hot = np.zeros(core.num_classes)
            if given >= 0:
                one_hot[given] = 1
            x, states = lstm_steps(core.lstms, states, np.concatenate([one_hot, embedding]))
            kernel, bias = core.logits.get_weights()
            outputs.append(x @ kernel + bias)
            given = next_given(len(outputs) - 1, outputs[-1])
    return np.stack(outputs)


@pytest.mark.parametrize("conductor", [(), (5, 4)])
def test_teacher_forcing_equals_a_plain_loop_over_bars_and_steps(conductor):
    layer, windows, latents = decoder_of(conductor), windows_of(), latents_of()
    found = [np.asarray(x) for x in layer(latents, windows)]
    for row, z in enumerate(latents):
        for part in range(len(CLASSES)):
            expected = plain_decode(layer, z, part, lambda t, _: windows[row, t, part])  # noqa: B023
            np.testing.assert_allclose(found[part][row], expected, atol=2e-5)


@pytest.mark.parametrize("conductor", [(), (5, 4)])
def test_sampling_equals_a_plain_loop_with_the_same_noise(conductor):
    layer, latents, noise = decoder_of(conductor), latents_of(), noise_of()
    found = layer.sample(latents, noise)
    for part, draws in enumerate(noise):
        classes = np.asarray(sampled_classes(found[part], draws))
        assert len(set(classes.ravel())) > 3
        for row, z in enumerate(latents):
            own = draws[row]
            expected = plain_decode(layer, z, part, lambda t, x: int((x + own[t]).argmax()))  # noqa: B023
            np.testing.assert_allclose(found[part][row], expected, atol=2e-5)
            assert classes[row].tolist() == (expected + own).argmax(-1).tolist()


@pytest.mark.parametrize("conductor", [(), (5, 4)])
def test_with_coins_of_0_the_sampling_cell_is_teacher_forced(conductor):
    layer, windows, latents = decoder_of(conductor), windows_of(), latents_of()
    found = layer.sample(latents, noise_of(), windows, np.zeros(windows.shape, np.float32))
    for own, expected in zip(found, layer(latents, windows), strict=True):
        np.testing.assert_allclose(own, expected, atol=2e-5)


def test_each_coin_decides_what_its_own_step_and_part_are_given():
    layer, windows, latents, noise = decoder_of(()), windows_of(), latents_of(), noise_of()
    coins = np.random.default_rng(5).integers(0, 2, windows.shape).astype(np.float32)
    found = layer.sample(latents, noise, windows, coins)
    for part, draws in enumerate(noise):
        for row, z in enumerate(latents):

            def given(step, logits, row=row, part=part, draws=draws):
                if step + 1 < STEPS and coins[row, step + 1, part]:
                    return int((logits + draws[row, step]).argmax())
                return windows[row, step, part]

            np.testing.assert_allclose(
                found[part][row], plain_decode(layer, z, part, given), atol=2e-5
            )


def test_noise_of_a_temperature_draws_from_the_softmax_at_that_temperature():
    logits = np.array([1.0, 0.0, -0.5], np.float32)
    noise = 0.5 * np.random.default_rng(0).gumbel(size=(100_000, 3))
    drawn = np.asarray(sampled_classes(np.tile(logits, (100_000, 1)), noise.astype(np.float32)))
    expected = np.exp(logits / 0.5) / np.exp(logits / 0.5).sum()
    np.testing.assert_allclose(np.bincount(drawn) / 100_000, expected, atol=0.006)


def test_the_encoder_reads_both_ways():
    layer = BidirectionalEncoder(CLASSES, (4, 3), LATENT)
    layer.build()
    randomized(layer)
    windows = windows_of(1)
    x = np.concatenate([np.eye(n)[windows[0, :, i]] for i, n in enumerate(CLASSES)], axis=1)
    for forwards, backwards in zip(layer.forwards, layer.backwards, strict=True):
        columns = []
        for lstm, order in ((forwards, x), (backwards, x[::-1])):
            states, outputs = [np.zeros(lstm.units)] * 2, []
            for row in order:
                output, states = lstm_steps([lstm], states, row)
                outputs.append(output)
            columns.append(np.stack(outputs))
        last = np.concatenate([column[-1] for column in columns])
        x = np.concatenate([columns[0], columns[1][::-1]], axis=1)
    mean, scale = layer(windows)
    for found, dense, squash in (
        (mean, layer.mean, lambda y: y),
        (scale, layer.scale, lambda y: np.log1p(np.exp(y)) + 1e-6),
    ):
        kernel, bias = dense.get_weights()
        np.testing.assert_allclose(found[0], squash(last @ kernel + bias), atol=2e-5)


def test_kl_is_the_expectation_of_the_difference_of_log_densities():
    mean, scale = np.float32([[0.5, -1.0]]), np.float32([[0.3, 2.0]])
    z = mean + scale * np.random.default_rng(0).normal(size=(400_000, 2))
    log_q = -0.5 * ((z - mean) / scale) ** 2 - np.log(scale)
    expected = (log_q + 0.5 * z**2).sum(axis=1).mean()
    assert float(latent.kl_divergence(mean, scale)[0]) == pytest.approx(expected, rel=0.01)
    zero = latent.kl_divergence(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))
    assert float(zero[0]) == 0


def test_free_bits_beta_and_the_probability_of_sampling_by_hand():
    kl = np.float32([1.0, 3.0])  # 2 bits are 1.3863 nats
    assert np.asarray(latent.excess_kl(kl, 2)).tolist() == pytest.approx([0, 1.613706])
    betas = [float(latent.annealed_beta(step, 0.2, 0.5)) for step in (0, 1, 3)]
    assert betas == pytest.approx([0, 0.1, 0.175])
    assert [float(latent.annealed_beta(step, 0.2, 0.0)) for step in (0, 1)] == [
        0,
        pytest.approx(0.2),
    ]
    for step in (0, 1000, 5000):
        expected = 1 - 1000 / (1000 + np.exp(step / 1000))
        found = float(latent.sampling_probability(step, "inverse_sigmoid", 1000))
        assert found == pytest.approx(expected, rel=1e-4)
    assert float(latent.sampling_probability(10**6, "inverse_sigmoid", 1000)) == 1
    assert latent.sampling_probability(7, "constant", 0.3) == 0.3
    assert latent.sampling_probability(7, "none", 0.3) == 0
    rate = latent.DecayToFloor(0.001, 0.5, 0.0001)
    assert [float(rate(s)) for s in (0, 1, 99)] == pytest.approx([0.001, 0.00055, 0.0001])


def test_slerp_keeps_to_the_sphere_and_its_pace():
    first, second = np.array([[2.0, 0, 0]]), np.array([[0, 2.0, 0]])
    third = latent.slerp(first, second, 1 / 3)
    assert third[0] == pytest.approx([2 * np.cos(np.pi / 6), 2 * np.sin(np.pi / 6), 0])
    assert latent.slerp(first, second, 0.0) == pytest.approx(first)
    assert latent.slerp(first, second, 1.0) == pytest.approx(second)
    assert latent.slerp(first, 3 * first, 0.5) == pytest.approx(2 * first)


NOTE = 40


@pytest.mark.parametrize(
    ("onsets", "density", "syncopation"),
    [
        ([0, 4, 8, 12], 4 / 16, 0),  # on the beat
        ([0, 2, 4, 6], 4 / 16, 0),  # eighths: each off-beat follows an onset on the beat
        ([2, 6], 2 / 16, 1),  # off-beat eighths alone
        ([0, 1, 3, 6], 4 / 16, 2 / 4),  # 1 follows 0; 3 and 6 come off an empty beat
        ([15, 14, 12], 3 / 16, 0),
        ([], 0, 0),
    ],
)
def test_density_and_syncopation_by_hand(onsets, density, syncopation):
    classes = np.zeros((1, 16), np.int32)
    classes[0, onsets] = NOTE
    classes[0, [s for s in (5, 13) if s not in onsets]] = 1  # note offs are no onsets
    assert float(attributes.density(classes)[0]) == pytest.approx(density)
    assert float(attributes.syncopation(classes)[0]) == pytest.approx(syncopation)


def test_range_by_hand():
    classes = np.array([[0, 50, 1, 41, 0], [1, 0, 0, 0, 0], [0, 0, 89, 0, 0]])
    assert np.asarray(attributes.pitch_range(classes)).tolist() == [9, 0, 0]


def test_attribute_vectors_are_the_regression_of_latents_on_attributes():
    """Of latents that lie along a direction by their melodies' range."""
    rng = np.random.default_rng(0)
    direction = np.float32([1, -2, 0.5])
    layer = attributes.AttributeVectors(3)
    layer.build()
    for _ in range(400):
        spans = rng.integers(0, 20, 64)
        classes = np.stack([np.full(64, 30), 30 + spans], axis=1).astype(np.int32)
        means = 0.1 * spans[:, None] * direction + rng.normal(scale=0.1, size=(64, 3)) + 5
        layer.update(means.astype(np.float32), classes)
    deviation = np.arange(20).std()
    assert np.asarray(layer.deviations())[1] == pytest.approx(deviation, rel=0.03)
    expected = 0.1 * deviation * direction
    np.testing.assert_allclose(np.asarray(layer.vectors())[1], expected, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(layer.shift({"range": -2}), -2 * expected, rtol=0.05, atol=0.04)
    assert not layer.shift({}).any()
    with pytest.raises(PipelineError, match="swing"):
        layer.shift({"swing": 1})


def test_classes_are_those_of_note_seqs_one_hot_and_come_back():
    encoding = note_seq.melody_encoder_decoder.MelodyOneHotEncoding(21, 109)
    events = np.array([-2, -1, *range(21, 109)])
    expected = [encoding.encode_event(e) for e in events.tolist()]
    classes = np.asarray(melody_classes.classes_of(events))
    assert classes.tolist() == expected
    assert encoding.num_classes == melody_classes.NUM_CLASSES
    assert np.asarray(melody_classes.events_of(classes)).tolist() == events.tolist()
    assert np.asarray(melody_classes.classes_of(np.array([20, 109, 0, 127]))).tolist() == [-1] * 4


def test_a_slice_is_cleaned_as_note_seqs_melody_is():
    rng = np.random.default_rng(0)
    for _ in range(50):
        events = rng.choice([-2, -2, -1, 60, 64], 48).tolist()
        sliced = list(note_seq.Melody(events)[16:32])
        classes = np.asarray(melody_classes.classes_of(np.array(events)))[None, 16:32, None]
        cleaned = melody_classes.begun(classes, classes >= melody_classes.FIRST_PITCH)
        assert np.asarray(melody_classes.events_of(cleaned))[0, :, 0].tolist() == sliced


def test_transposition_moves_pitches_alone_and_stays_in_range():
    passage = np.array([[[0, 3], [1, 1], [2, 40], [50, 500]]] * 3, np.int32)
    moved = np.asarray(
        melody_classes.transposed(passage, np.int32([3, -4, 60]), np.array([True, False]))
    )
    assert moved[..., 1].tolist() == passage[..., 1].tolist()
    assert moved[0, :, 0].tolist() == [0, 1, 5, 53]
    assert moved[1, :, 0].tolist() == [0, 1, 2, 50]  # the lowest pitch cannot go down
    assert moved[2, :, 0].tolist() == [0, 1, 41, 89]  # as far as the highest can go


def test_a_given_melody_is_cut_or_held():
    cut = melody_classes.classes_of_melody([-1, 60, 62, 64], 3)
    assert cut.tolist() == [0, 41, 43]
    assert melody_classes.classes_of_melody([60], 3).tolist() == [41, 0, 0]
    for bad in ([-2, -1], [60, 110], [-2, -2, -2, 60]):
        with pytest.raises(PipelineError, match="melody="):
            melody_classes.classes_of_melody(bad, 3)


def test_bigrams_by_counting():
    passages = np.array([[1, 0, 1, 0], [1, 2, 1, 0]])[..., None]
    judge = vae_probes.Bigrams(passages, (3,), steps_per_bar=2)
    found = np.exp(-judge.nll(np.array([[1, 0, 1, 2]])[..., None]))[0, :, 0]
    third = 1 / 3  # of an imagined count, spread over the classes
    # first: 1 twice; 0 after 1 on odd places 3 of 4; 1 after 0 on even places once; 2 after 1 once
    expected = [(2 + third) / 3, (3 + third) / 5, (1 + third) / 2, (1 + third) / 5]
    assert found == pytest.approx(expected, rel=1e-5)


def test_monotony_by_hand():
    path = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0], [2, 2, 2]])[:, None, :, None]
    assert vae_probes.monotony(path).tolist() == [[True, False, True]]


def vae_of(schedule="none", **changes):
    settings = {"free_bits": 0.0, "max_beta": 0.2, "beta_rate": 0.5} | changes
    model = SequenceVae(
        BidirectionalEncoder(CLASSES, (4,), LATENT),
        Decoder(LATENT, CLASSES, 1, STEPS, (), (6,)),
        latent_size=LATENT,
        schedule=schedule,
        sampling_rate=0.5,
        **settings,
    )
    model.build((None, STEPS, len(CLASSES)))
    model.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    return randomized(model, scale=0.5)


@pytest.mark.parametrize("free_bits", [0.0, 3.0])
def test_the_loss_is_reconstruction_and_weighted_kl(free_bits):
    model, windows = vae_of(free_bits=free_bits), windows_of(4)
    outputs = model(windows, training=False)
    mean, scale = (np.asarray(outputs[name], np.float64) for name in ("mean", "scale"))
    kl = 0.5 * (mean**2 + scale**2 - 1 - np.log(scale**2)).sum(axis=1)
    excess = np.maximum(kl - free_bits * np.log(2), 0).mean()
    assert excess > 0.1
    nll = 0.0
    for part, logits in enumerate(outputs["logits"]):
        logits = np.asarray(logits, np.float64)
        logits -= np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        nll -= np.take_along_axis(logits, windows[..., part, None], axis=-1).sum() / 4
    found = model.evaluate(windows, windows, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(nll + 0.2 * excess, rel=1e-5)
    assert found["kl_bits"] == pytest.approx(kl.mean() / np.log(2), rel=1e-5)
    right = np.asarray(event_scores(outputs["logits"], windows)[1])
    assert found["accuracy"] == pytest.approx(right.mean(), rel=1e-5)
    # In training beta follows the optimizer's step.
    y_pred = dict(outputs)
    for step, beta in ((0, 0.0), (1, 0.1), (2, 0.15)):
        model.optimizer.iterations.assign(step)
        loss = model.compute_loss(y=windows, y_pred=y_pred, training=True)
        assert float(loss) == pytest.approx(nll + beta * excess, rel=1e-5)


@pytest.mark.parametrize("schedule", ["none", "constant"])
def test_validation_never_differs_and_training_noise_does(schedule):
    model, windows = vae_of(schedule), windows_of(4)
    first, second = (np.asarray(model(windows, training=False)["logits"][0]) for _ in range(2))
    assert np.array_equal(first, second)
    first, second = (np.asarray(model(windows, training=True)["logits"][0]) for _ in range(2))
    assert not np.allclose(first, second)
