"""WaveNet's layers against loops, what its decoder sees, and fast generation against slow."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline.nn.wavenet import _queues  # noqa: E402
from pipeline.nn.wavenet.autoencoder import WavenetAutoencoder  # noqa: E402
from pipeline.nn.wavenet.decoder import Decoder  # noqa: E402
from pipeline.nn.wavenet.encoder import Encoder  # noqa: E402
from pipeline.nn.wavenet.layers import (  # noqa: E402
    conditioned,
    convolved,
    delayed,
    dilations,
    receptive_field,
)
from pipeline.nn.wavenet.prediction import FLOOR, Predictor  # noqa: E402
from pipeline.nn.wavenet.sampling import generated  # noqa: E402

CLASSES = 16


def decoder(num_taps=0, num_layers=4, per_stage=3, kernel_size=3, start=2, **changes):
    """With random weights, large enough that what is drawn depends on them."""
    given = {"num_classes": CLASSES, "width": 5, "skip_width": 6, "embedding_size": 3} | changes
    layer = Decoder(
        num_taps=num_taps,
        num_layers=num_layers,
        layers_per_stage=per_stage,
        kernel_size=kernel_size,
        start_kernel_size=start,
        **given,
    )
    layer.build()
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(scale=0.7, size=variable.shape))
    if num_taps:
        layer.predictor.taps.assign(rng.normal(scale=0.3, size=num_taps))
    return layer


def classes_of(*shape):
    return np.random.default_rng(2).integers(0, CLASSES, shape).astype(np.int32)


def embeddings_of(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (3, 1), (3, 4), (5, 2), (3, 16)])
def test_a_convolution_is_a_sum_over_its_taps(is_causal, size, dilation):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 11, 3)).astype(np.float32)
    kernel = rng.normal(size=(size, 3, 4)).astype(np.float32)
    expected = np.zeros((2, 11, 4))
    last = size - 1 if is_causal else size // 2
    for t in range(11):
        for tap in range(size):
            source = t + (tap - last) * dilation
            if 0 <= source < 11:
                expected[:, t] += x[:, source] @ kernel[tap]
    found = convolved(x, kernel.reshape(-1, 4), size, dilation, is_causal)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_delays_shift_in_zeros():
    x = np.arange(1, 5, dtype=np.float32)[None]
    expected = {0: [1, 2, 3, 4], 1: [0, 1, 2, 3], -3: [4, 0, 0, 0], 4: [0] * 4, -9: [0] * 4}
    for delay, row in expected.items():
        assert np.asarray(delayed(x, delay))[0].tolist() == row


def test_a_condition_holds_for_its_frame():
    x, frames = embeddings_of(2, 12, 5), embeddings_of(2, 3, 5)
    np.testing.assert_array_equal(conditioned(x, frames), x + np.repeat(frames, 4, axis=1))


def test_dilations_begin_anew_in_each_stage():
    assert dilations(7, 3) == [1, 2, 4, 1, 2, 4, 1]
    assert receptive_field(30, 10, 3) == 1 + 2 * 3 * 1023


def expm1(x):
    return np.sign(x) * np.expm1(np.abs(x) * np.log(CLASSES)) / (CLASSES - 1)


def features(layer, row):
    """What the decoder is given of each sample, one sample after the other."""
    amplitudes = expm1(2 * np.arange(CLASSES) / (CLASSES - 1) - 1)
    taps = np.asarray(layer.predictor.taps)
    x, errors, found, predictions = amplitudes[row], [], [], []
    for t in range(len(row)):
        predicted = sum(taps[k] * x[t - 1 - k] for k in range(min(len(taps), t)))
        short = sum(abs(e) for e in errors[-32:]) / 32 + FLOOR
        long = sum(abs(e) for e in errors[-256:]) / 256 + FLOOR
        companded = np.sign(predicted) * np.log1p(abs(predicted) * 255) / np.log(256)
        before = [2 * row[t - 1] / (CLASSES - 1) - 1, x[t - 1]] if t else [0, 0]
        error = errors[-1] if t else 0
        state = [error / short / 4, np.log(short) / 5 + 1, np.log(long / short), companded]
        found.append([*before, *state])
        predictions.append((predicted, short))
        errors.append(x[t] - predicted)
    return np.array(found), np.array(predictions), amplitudes


@pytest.mark.parametrize("num_samples", [1, 40, 300])
def test_the_predictor_is_its_formula(num_samples):
    layer = decoder(num_taps=150)
    row = classes_of(num_samples)
    expected, predictions, _ = features(layer, row)
    found = layer.predictor(row[None])
    np.testing.assert_allclose(found.inputs[0], expected, atol=2e-5)
    np.testing.assert_allclose(found.amplitude[0], predictions[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.error[0], predictions[:, 1], rtol=1e-5)


def by_hand(layer, row, embeddings):
    """The decoder's logits, sample by sample and tap by tap."""
    w = {v.name: np.asarray(v, np.float64) for v in layer.trainable_variables}
    if layer.predictor.num_taps:
        inputs, predictions, amplitudes = features(layer, row)
    else:
        companded = 2 * row / (CLASSES - 1) - 1
        inputs = np.stack([companded, expm1(companded)], axis=-1)
        inputs = np.concatenate([np.zeros((1, 2)), inputs[:-1]])
    hop, width = len(row) // len(embeddings), layer.width
    columns = embeddings @ w["conditions"]

    def convolve(x, kernel, size, dilation):
        channels, out = x.shape[1], np.zeros((len(x), kernel.shape[1]))
        for t in range(len(x)):
            for tap in range(size):
                source = t - (size - 1 - tap) * dilation
                if source >= 0:
                    out[t] += x[source] @ kernel[tap * channels : (tap + 1) * channels]
        return out

    x = convolve(inputs, w["start"], layer.start_kernel_size, 1) + w["start_bias"]
    skips = w["skip_bias"] + x @ w["skips"][:width]
    for i, dilation in enumerate(layer.dilations):
        gates = convolve(x, w[f"gates_{i}"], layer.kernel_size, dilation) + w[f"gate_bias_{i}"]
        for t in range(len(row)):
            gates[t] += columns[t // hop, 2 * width * i : 2 * width * (i + 1)]
        passed = np.tanh(gates[:, width:]) / (1 + np.exp(-gates[:, :width]))
        skips = skips + passed @ w["skips"][width * (i + 1) : width * (i + 2)]
        if i < layer.num_layers - 1:
            x = x + passed @ w[f"residual_{i}"] + w[f"residual_bias_{i}"]
    out = np.maximum(skips, 0) @ w["out"] + w["out_bias"]
    out += np.repeat(columns[:, 2 * width * layer.num_layers :], hop, axis=0)
    logits = np.maximum(out, 0) @ w["logits"] + w["logit_bias"]
    if not layer.predictor.num_taps:
        return logits
    z = (amplitudes - predictions[:, :1]) / predictions[:, 1:] - logits[:, CLASSES, None]
    return logits[:, :CLASSES] - np.sqrt(4 + (z * np.exp(logits[:, CLASSES + 1 :])) ** 2)


@pytest.mark.parametrize(("num_taps", "start"), [(0, 1), (0, 3), (7, 2)])
def test_the_decoder_is_its_formula(num_taps, start):
    layer = decoder(num_taps, start=start)
    row, embeddings = classes_of(24), embeddings_of(4, 3)
    expected = by_hand(layer, row, embeddings.astype(np.float64))
    found = layer(row[None], embeddings[None])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("num_taps", [0, 7])
def test_the_decoder_sees_the_past_alone(num_taps):
    layer, row, embeddings = decoder(num_taps), classes_of(1, 60), embeddings_of(1, 5, 3)
    logits = np.asarray(layer(row, embeddings))
    for t in (0, 31, 58):
        other = row.copy()
        other[0, t] = (row[0, t] + 8) % CLASSES
        differs = np.abs(np.asarray(layer(other, embeddings)) - logits)[0].max(axis=1)
        assert (differs[: t + 1] == 0).all()
        assert differs[t + 1] > 0


def test_an_embedding_acts_from_its_frame_on():
    layer, row, embeddings = decoder(), classes_of(1, 60), embeddings_of(1, 5, 3)
    other = embeddings.copy()
    other[0, 3] += 1
    difference = np.asarray(layer(row, other)) - np.asarray(layer(row, embeddings))
    differs = np.abs(difference)[0].max(axis=1)
    assert (differs[:36] == 0).all()
    assert (differs[36:48] > 0).all()


def test_thirty_layers_see_6139_samples():
    """Gates are open, and each layer moves what it is given by its earliest tap."""
    layer = decoder(0, 30, 10, 3, start=1, width=1, skip_width=1)
    for variable in layer.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    layer.start.assign([[0.0], [0.01]])
    for kernel, bias in zip(layer.gates, layer.gate_biases, strict=True):
        kernel.assign([[0.0, 1.0], [0.0, 0.0], [0.0, -1.0]])
        bias.assign([30.0, 0.0])
    for kernel in layer.residuals:
        kernel.assign([[1.0]])
    layer.skips.assign(np.ones(layer.skips.shape))
    layer.skip_bias.assign([10.0])
    layer.out.assign([[1.0]])
    layer.logits.assign(np.ones((1, CLASSES)))
    rows = np.zeros((2, 6400), np.int32)
    rows[1, 0] = CLASSES - 1
    low, high = np.asarray(layer(rows, np.zeros((2, 1, 3), np.float32)))[..., 0]
    assert layer.receptive_field == 6139
    assert np.flatnonzero(np.abs(high - low) > 1e-5).max() == 6139


def test_the_encoder_is_its_formula_and_sees_both_ways():
    layer = Encoder(CLASSES, 4, 3, 2, 3, 2, 8)
    layer.build()
    rng = np.random.default_rng(4)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    w = {v.name: np.asarray(v, np.float64) for v in layer.trainable_variables}
    row = classes_of(24)

    def convolve(x, kernel, dilation):
        channels, out = x.shape[1], np.zeros((len(x), kernel.shape[1]))
        for t in range(len(x)):
            for tap in range(3):
                source = t + (tap - 1) * dilation
                if 0 <= source < len(x):
                    out[t] += x[source] @ kernel[tap * channels : (tap + 1) * channels]
        return out

    x = convolve((2 * row / (CLASSES - 1) - 1)[:, None], w["start"], 1) + w["start_bias"]
    for i, dilation in enumerate((1, 2, 1)):
        inner = convolve(np.maximum(x, 0), w[f"dilated_{i}"], dilation) + w[f"dilated_bias_{i}"]
        x = x + np.maximum(inner, 0) @ w[f"residual_{i}"] + w[f"residual_bias_{i}"]
    every = x @ w["bottleneck"] + w["bottleneck_bias"]
    expected = every.reshape(3, 8, 2).mean(axis=1)
    np.testing.assert_allclose(layer(row[None])[0], expected, atol=1e-4)


def naive(layer, embeddings, uniforms, temperature):
    """The whole decoder for each sample, on all that precedes it."""
    drawn = np.zeros(uniforms.shape, np.int32)
    for t in range(uniforms.shape[1]):
        logits = np.ascontiguousarray(np.asarray(layer(drawn, embeddings))[:, t], np.float32)
        drawn[:, t] = inverse(logits, uniforms[:, t], temperature)
    return drawn


def inverse(logits, uniforms, temperature):
    if temperature == 0:
        return logits.argmax(axis=-1)
    p = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64) / temperature)
    cumulative = np.cumsum(p, axis=-1)
    return (cumulative <= uniforms[..., None] * cumulative[..., -1:]).sum(axis=-1)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
@pytest.mark.parametrize(("num_taps", "start", "kernel_size"), [(0, 1, 3), (7, 3, 3), (40, 2, 2)])
def test_fast_generation_is_slow_generation(num_taps, start, kernel_size, temperature):
    layer = decoder(num_taps, kernel_size=kernel_size, start=start)
    embeddings = embeddings_of(3, 6, 3)
    uniforms = np.random.default_rng(5).random((3, 48))
    expected = naive(layer, embeddings, uniforms, temperature)
    found = generated(layer, embeddings, uniforms, temperature)
    np.testing.assert_array_equal(found, expected)
    if temperature:
        assert len(np.unique(found)) > 4


@pytest.mark.parametrize("num_taps", [0, 300])
def test_2000_samples_of_thirty_layers_are_those_of_the_whole_network(num_taps):
    """Given the samples drawn, it draws each of them again from what precedes it."""
    layer = decoder(num_taps, 30, 10, 3, num_classes=64, width=16, skip_width=16)
    rng = np.random.default_rng(8)
    for variable in layer.trainable_variables:  # as large as trained ones
        scale = variable.shape[0] ** -0.5 if len(variable.shape) > 1 else 0.1
        variable.assign(rng.normal(scale=scale, size=variable.shape))
    if num_taps:  # of a damped resonance, in noise loud enough to keep it going
        layer.logit_bias.assign(np.append(np.zeros(65), -3.0))
        layer.predictor.taps.assign(np.append([1.8, -0.9], np.zeros(num_taps - 2)))
    embeddings = embeddings_of(1, 4, 3)
    uniforms = np.random.default_rng(6).random((1, 2000))
    found = generated(layer, embeddings, uniforms)
    logits = np.asarray(layer(found, embeddings), np.float32)
    np.testing.assert_array_equal(inverse(logits, uniforms, 1.0), found)
    assert len(np.unique(found)) > 8


def test_a_note_is_drawn_the_same_alone_as_among_others():
    layer, embeddings = decoder(), embeddings_of(5, 4, 3)
    uniforms = np.random.default_rng(7).random((5, 64))
    together = generated(layer, embeddings, uniforms)
    for i in range(5):
        alone = generated(layer, embeddings[i : i + 1], uniforms[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])
    assert len({row.tobytes() for row in together}) == 5


def test_rows_are_drawn_by_their_distribution():
    p = np.array([0.1, 0.2, 0.0, 0.7])
    with np.errstate(divide="ignore"):
        logits = np.tile(np.log(p), (4000, 1)).astype(np.float32)
    drawn = _queues.draw_rows(logits, (np.arange(4000) + 0.5) / 4000, np.float32(1))
    assert np.bincount(drawn).tolist() == [400, 800, 0, 2800]


@pytest.mark.parametrize(("samples", "temperature"), [(10, 1.0), (12, -1.0)])
def test_impossible_requests_are_refused(samples, temperature):
    with pytest.raises(ValueError, match=r"temperature|multiple"):
        generated(decoder(), embeddings_of(1, 4, 3), np.zeros((1, samples)), temperature)


def test_at_first_a_decoder_with_taps_is_the_predictor():
    layer = Decoder(256, 2, 4, 4, 2, 2, 3, 1, 3)
    layer.build()
    layer.predictor.taps.assign([2.0, -1.0])
    row = (128 + np.arange(40)).astype(np.int32)[None]
    logits = np.asarray(layer(row, np.zeros((1, 1, 3), np.float32)))[0]
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-5)
    assert (np.abs(p.argmax(axis=-1) - row[0])[3:] <= 1).all()


def test_without_taps_there_is_no_prediction():
    found = Predictor(CLASSES, 0)(classes_of(2, 5))
    assert found.inputs.shape == (2, 5, 2)
    assert found.amplitude is None


def test_what_is_kept_are_the_averages_of_the_weights():
    model = WavenetAutoencoder(
        Encoder(CLASSES, 4, 2, 2, 3, 3, 8), Decoder(CLASSES, 0, 4, 4, 2, 2, 3, 1, 3)
    )
    model.build()
    model.compile(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5), jit_compile=False)
    classes = classes_of(2, 32)
    first = [np.array(v) for v in model.weights]
    assert all(np.array_equal(a, b) for a, b in zip(first, model.get_weights(), strict=True))
    average = None
    for _ in range(3):
        model.train_on_batch(classes, classes)
        own = [np.array(v) for v in model.weights]
        average = (
            own
            if average is None
            else [0.5 * a + 0.5 * b for a, b in zip(average, own, strict=True)]
        )
    for kept, expected in zip(model.get_weights(), average, strict=True):
        np.testing.assert_allclose(kept, expected, atol=1e-6)
    loss = model.evaluate(classes, classes, verbose=0)
    model.set_weights(average)
    nll, right = model.note_scores(classes, model.embeddings(classes, 2), 2)
    assert loss == pytest.approx(nll.sum() / 64, rel=1e-4)
    assert ((right >= 0) & (right <= 32)).all()
