"""Recurrent layers against keras.layers.LSTM, a plain loop of the formula, finite differences."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402

from pipeline.nn.recurrent.stack import RecurrentStack, UnpackBits  # noqa: E402


def random_weights(layer, input_size: int, seed: int = 0, scale: float = 0.7) -> None:
    layer.build((None, None, input_size))
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(scale=scale, size=variable.shape))


def values(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm_step(cell, x, h, c):
    kernel, recurrent, bias = (v.numpy() for v in cell.trainable_variables)
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def linear(layer, *inputs):
    outputs = np.concatenate(inputs, -1) @ layer.kernel.numpy()
    return outputs if layer.bias is None else outputs + layer.bias.numpy()


def attention_loop(cell, inputs: np.ndarray) -> np.ndarray:
    """AttentionCellWrapper as its source reads: concatenate, project, shift the window."""
    batch, steps, _ = inputs.shape
    units, length = cell.output_size, cell.length
    h = c = attended = np.zeros((batch, units))
    window = np.zeros((batch, length, units))
    outputs = []
    for t in range(steps):
        x = linear(cell.input_projection, inputs[:, t], attended)
        h, c = lstm_step(cell.cell, x, h, c)
        query = linear(cell.query_projection, c, h)[:, None]
        hidden = linear(cell.key_projection, window)
        scores = (cell.score.numpy() * np.tanh(hidden + query)).sum(-1)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        attended = (weights[..., None] * window).sum(1)
        outputs.append(linear(cell.output_projection, h, attended))
        window = np.concatenate([window[:, 1:], outputs[-1][:, None]], axis=1)
    return np.stack(outputs, 1)


def test_a_stack_equals_keras_lstm_layers_with_the_same_weights():
    stack = RecurrentStack((5, 3, 4))
    random_weights(stack, 6)
    reference = keras.Sequential([keras.layers.LSTM(n, return_sequences=True) for n in (5, 3, 4)])
    reference.build((None, None, 6))
    reference.set_weights(stack.get_weights()[: len(reference.weights)])
    inputs = values(3, 7, 6)
    np.testing.assert_allclose(stack(inputs), reference(inputs), atol=1e-6)


@pytest.mark.parametrize("steps", [3, 4, 11])
def test_attention_equals_the_formula_as_a_loop(steps):
    stack = RecurrentStack((5,), attention_length=4)
    random_weights(stack, 6)
    inputs = values(3, steps, 6)
    expected = attention_loop(stack.attention, inputs)
    np.testing.assert_allclose(stack(inputs), expected, atol=1e-5)


def test_layers_above_attention_are_fed_by_it():
    stack = RecurrentStack((5, 3), attention_length=4)
    random_weights(stack, 6)
    inputs = values(2, 6, 6)
    below = attention_loop(stack.attention, inputs)
    h = c = np.zeros((2, 3))
    expected = []
    for t in range(6):
        h, c = lstm_step(stack.rnn.cell.cells[0], below[:, t], h, c)
        expected.append(h)
    np.testing.assert_allclose(stack(inputs), np.stack(expected, 1), atol=1e-5)


@pytest.mark.parametrize("attention_length", [0, 4])
@pytest.mark.parametrize("steps", [9, 300])  # 300 is more than one block of the compiled loop
def test_step_by_step_gives_what_the_whole_sequence_gives(attention_length, steps):
    stack = RecurrentStack((4, 3), attention_length=attention_length)
    random_weights(stack, 5)
    inputs = values(2, steps, 5)
    step = tf.function(stack.step)
    state, outputs = stack.initial_state(2), []
    for t in range(steps):
        output, state = step(inputs[:, t], state)
        outputs.append(output.numpy())
    np.testing.assert_allclose(stack(inputs), np.stack(outputs, 1), atol=1e-5)


@pytest.mark.parametrize("attention_length", [0, 3])
@pytest.mark.parametrize("is_graph", [False, True])
def test_gradients_equal_finite_differences(attention_length, is_graph):
    stack = RecurrentStack((2, 2), attention_length=attention_length, dtype="float64")
    random_weights(stack, 2)
    inputs = tf.constant(values(2, 7, 2), tf.float64)
    target = values(2, 7, 2, seed=5)

    @tf.function
    def loss():
        return tf.reduce_sum((stack(inputs) - target) ** 2)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = loss() if is_graph else tf.reduce_sum((stack(inputs) - target) ** 2)
        return tape.gradient(value, [v.value for v in stack.trainable_variables])

    found = tf.function(gradients)() if is_graph else gradients()
    epsilon = 1e-6
    for variable, gradient in zip(stack.trainable_variables, found, strict=True):
        flat = variable.numpy().reshape(-1)
        for index in range(0, flat.size, 3):
            sides = []
            for sign in (1, -1):
                moved = flat.copy()
                moved[index] += sign * epsilon
                variable.assign(moved.reshape(variable.shape))
                sides.append(loss().numpy())
            variable.assign(flat.reshape(variable.shape))
            slope = (sides[0] - sides[1]) / (2 * epsilon)
            assert gradient.numpy().reshape(-1)[index] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_the_gradient_reaches_the_inputs_of_attention():
    stack = RecurrentStack((3,), attention_length=2, dtype="float64")
    random_weights(stack, 2)
    inputs = values(1, 6, 2).astype(np.float64)

    def loss(x):
        return tf.reduce_sum(tf.sin(stack(x)))

    with tf.GradientTape() as tape:
        x = tf.Variable(inputs)
        value = loss(x)
    gradient = tape.gradient(value, x).numpy()
    for place in ((0, 0, 0), (0, 3, 1), (0, 5, 0)):
        moved = [inputs.copy(), inputs.copy()]
        moved[0][place] += 1e-6
        moved[1][place] -= 1e-6
        slope = (loss(moved[0]) - loss(moved[1])).numpy() / 2e-6
        assert gradient[place] == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("attention_length", [0, 4])
def test_dropout_masks_every_layer_anew_at_each_step_and_only_in_training(attention_length):
    keras.utils.set_random_seed(1)
    stack = RecurrentStack((8, 8), dropout_rate=0.25, attention_length=attention_length)
    inputs = values(16, 40, 3)
    plain, dropped = stack(inputs).numpy(), stack(inputs, training=True).numpy()
    is_dropped = dropped == 0
    assert abs(is_dropped.mean() - 0.25) < 0.02
    assert (is_dropped[:, 0] != is_dropped[:, 1]).any()
    # Without dropout below, what is kept of the top layer would be exactly plain / 0.75.
    assert np.abs(dropped[~is_dropped] - plain[~is_dropped] / 0.75).max() > 1e-3
    assert np.array_equal(stack(inputs).numpy(), plain)


def test_without_dropout_below_the_top_mask_only_scales():
    stack = RecurrentStack((8,), dropout_rate=0.5)
    inputs = values(4, 10, 3)
    plain, dropped = stack(inputs).numpy(), stack(inputs, training=True).numpy()
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], 2 * plain[kept], rtol=1e-5)


def test_unpack_bits_undoes_packbits():
    bits = np.random.default_rng(0).integers(0, 2, (2, 5, 21)).astype(np.uint8)
    unpacked = UnpackBits()(np.packbits(bits, axis=-1)).numpy()
    assert unpacked.dtype == np.float32
    assert unpacked.shape == (2, 5, 24)
    np.testing.assert_array_equal(unpacked[..., :21], bits)
