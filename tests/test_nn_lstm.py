"""The LSTM whose gradient is written out, against keras.layers.LSTM and finite differences."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402

from pipeline.nn.recurrent.lstm import FastLSTM  # noqa: E402


def values(*shape: int, seed: int = 1, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def pair(units: int, size: int, **kwargs):
    """FastLSTM and keras.layers.LSTM with equal weights, biases not zero."""
    layers = [
        FastLSTM(units, return_state=True, **kwargs),
        keras.layers.LSTM(units, return_sequences=True, return_state=True, **kwargs),
    ]
    weights = [values(*shape) for shape in ((size, 4 * units), (units, 4 * units), (4 * units,))]
    for layer in layers:
        layer.build((None, None, size))
        layer.set_weights(weights)
    return layers


def results(layer, inputs, state, is_graph: bool):
    """All outputs, and the gradients of a function of them all."""
    inputs, state = tf.constant(inputs), [tf.constant(x) for x in state]

    def run():
        with tf.GradientTape() as tape:
            tape.watch([inputs, *state])
            outputs, h, c = layer(inputs, initial_state=state)
            target = values(*outputs.shape, seed=5)
            loss = tf.reduce_sum((outputs - target) ** 2) + tf.reduce_sum(h * c + tf.sin(3 * c))
        sources = [inputs, *state, *layer.trainable_variables]
        return [outputs, h, c], tape.gradient(loss, sources)

    outputs, gradients = tf.function(run)() if is_graph else run()
    return [x.numpy() for x in (*outputs, *gradients)]


@pytest.mark.parametrize("is_graph", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_outputs_and_all_gradients_equal_those_of_keras(batch, is_graph):
    fast, reference = pair(4, 3)
    inputs, state = values(batch, 9, 3), [values(batch, 4, seed=2), values(batch, 4, seed=3)]
    expected = results(reference, inputs, state, is_graph)
    for ours, theirs in zip(results(fast, inputs, state, is_graph), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=2e-5)


def test_a_long_sequence_of_the_size_that_is_trained_equals_that_of_keras():
    fast, reference = pair(64, 32)
    for layer in (fast, reference):
        layer.set_weights([0.1 * x for x in layer.get_weights()])
    inputs, state = values(6, 200, 32), [np.zeros((6, 64), np.float32)] * 2
    expected = results(reference, inputs, state, True)
    for ours, theirs in zip(results(fast, inputs, state, True), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_gradients_equal_finite_differences():
    layer = FastLSTM(2, dtype="float64")
    layer.build((None, None, 3))
    for i, variable in enumerate(layer.trainable_variables):
        variable.assign(values(*variable.shape, seed=i))
    inputs, target = values(3, 5, 3, dtype=np.float64), values(3, 5, 2, seed=7)

    def loss():
        return tf.reduce_sum((layer(inputs) - target) ** 2)

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, layer.trainable_variables)
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        start = variable.numpy()
        for index in np.ndindex(*variable.shape):
            moved = np.zeros_like(start)
            moved[index] = 1e-6
            variable.assign(start + moved)
            above = loss().numpy()
            variable.assign(start - moved)
            expected = (above - loss().numpy()) / 2e-6
            np.testing.assert_allclose(gradient.numpy()[index], expected, rtol=1e-5, atol=1e-7)
        variable.assign(start)


def test_batch_and_steps_may_be_unknown_while_a_model_is_built():
    fast, reference = pair(4, 3)
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, fast(inputs)[0])
    assert model.output_shape == (None, None, 4)
    for batch, steps in ((1, 6), (2, 1), (7, 3)):
        x = values(batch, steps, 3)
        np.testing.assert_allclose(model.predict(x, verbose=0), reference(x)[0], atol=1e-5)


def test_steps_one_by_one_give_what_the_whole_sequence_gives():
    layer, _ = pair(4, 3)
    inputs, state = values(2, 7, 3), layer.get_initial_state(2)
    outputs, h, c = layer(inputs)
    for t in range(7):
        output, state = layer.step(inputs[:, t], state)
        np.testing.assert_allclose(output, outputs[:, t], atol=1e-5)
    np.testing.assert_allclose(state[0], h, atol=1e-5)
    np.testing.assert_allclose(state[1], c, atol=1e-5)


@pytest.mark.parametrize(
    "changes", [{"go_backwards": True}, {"activation": "relu"}, {"use_bias": True}]
)
def test_what_the_loop_does_not_cover_is_left_to_keras(changes):
    fast, reference = pair(4, 3, **changes)
    inputs, mask = values(2, 6, 3), np.arange(6)[None] < [[4], [6]]
    np.testing.assert_allclose(fast(inputs)[0], reference(inputs)[0], atol=1e-5)
    np.testing.assert_allclose(
        fast(inputs, mask=mask)[0], reference(inputs, mask=mask)[0], atol=1e-5
    )


def test_only_the_last_output_where_sequences_are_not_wanted():
    layer, _ = pair(4, 3)
    last = FastLSTM.from_config({**layer.get_config(), "return_sequences": False})
    last.build((None, None, 3))
    last.set_weights(layer.get_weights())
    inputs = values(3, 5, 3)
    np.testing.assert_array_equal(last(inputs)[0], layer(inputs)[0][:, -1])


def test_training_lowers_the_loss_and_two_runs_end_alike():
    def trained():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Embedding(9, 8), FastLSTM(8), keras.layers.Dense(9)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=False)
        ids = np.random.default_rng(0).integers(0, 9, (16, 12))
        history = model.fit(ids, ids, batch_size=8, epochs=3, shuffle=False, verbose=0)
        return history.history["loss"], model.get_weights()

    (losses, weights), (_, again) = trained(), trained()
    assert losses[-1] < losses[0]
    for a, b in zip(weights, again, strict=True):
        np.testing.assert_array_equal(a, b)
