"""Chunked relative attention and the decoder against loops over positions and heads."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402
from keras import ops  # noqa: E402

from pipeline.nn.transformer.attention import causal_attention, relative_logits  # noqa: E402
from pipeline.nn.transformer.decoder import TransformerDecoder, _sinusoids  # noqa: E402

NUM_CLASSES, WINDOW = 7, 12
# Chunks of one step, and caches with room for one, are meant.
pytestmark = pytest.mark.filterwarnings("ignore:You are using a softmax over axis")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def attention_by_loops(queries, keys, values, relative=None) -> np.ndarray:
    """One example, head and step after the other; sees nothing but the formula."""
    batch, heads, steps, d = queries.shape
    result = np.zeros(values.shape)
    for b in range(batch):
        for h in range(heads):
            for i in range(steps):
                logits = np.zeros(i + 1)
                for j in range(i + 1):
                    vector = keys[b, h, j].astype(np.float64)
                    if relative is not None:
                        vector = vector + relative[h, min(i - j, relative.shape[1] - 1)]
                    logits[j] = queries[b, h, i] @ vector / np.sqrt(d)
                result[b, h, i] = softmax(logits) @ values[b, h, : i + 1]
    return result


def operands(steps: int, num_distances: int | None):
    """Queries and keys of 4 numbers, values of 3, two examples of three heads."""
    given = [normal(2, 3, steps, size, seed=i) for i, size in enumerate((4, 4, 3))]
    relative = None if num_distances is None else normal(3, num_distances, 4, seed=9)
    return given, relative


@pytest.mark.parametrize("num_distances", [None, 1, 5, 13, 20])
@pytest.mark.parametrize("chunk", [1, 4, 5, 13, 128])
def test_attention_equals_loops_over_steps_and_heads(chunk, num_distances):
    given, relative = operands(13, num_distances)
    found = causal_attention(*map(ops.convert_to_tensor, given), relative, chunk)
    np.testing.assert_allclose(found, attention_by_loops(*given, relative), atol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 2])
def test_attention_of_few_steps_equals_loops(num_steps):
    given, relative = operands(num_steps, 4)
    found = causal_attention(*map(ops.convert_to_tensor, given), relative)
    np.testing.assert_allclose(found, attention_by_loops(*given, relative), atol=1e-5)


@pytest.mark.parametrize(("rows", "keys"), [(6, 6), (2, 6), (1, 6), (5, 6)])
def test_skewing_puts_each_distance_where_it_belongs(rows, keys):
    queries, relative = normal(2, 3, rows, 4), normal(3, 4, 4)
    found = np.array(relative_logits(queries, relative, keys))
    for row in range(rows):
        for key in range(keys - rows + row + 1):
            distance = keys - rows + row - key
            vector = relative[:, min(distance, 3)]
            expected = np.sum(queries[:, :, row] * vector, axis=-1)
            np.testing.assert_allclose(found[:, :, row, key], expected, atol=1e-5)


def gradients(given, relative, chunk: int):
    sources = [tf.constant(x) for x in (*given, relative)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        found = causal_attention(*sources, chunk=chunk)
        loss = tf.reduce_sum(tf.sin(3 * found))
    return [x.numpy() for x in tape.gradient(loss, sources)]


def test_gradients_are_those_of_one_chunk_and_of_the_loops():
    given, relative = operands(11, 6)
    whole = gradients(given, relative, 11)
    for chunk in (1, 4):
        for ours, theirs in zip(gradients(given, relative, chunk), whole, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)

    def loss(index, by):
        moved = [x.astype(np.float64) for x in (*given, relative)]
        moved[index] = moved[index] + by
        return np.sin(3 * attention_by_loops(*moved)).sum()

    for index, own in enumerate(whole):
        direction = normal(*own.shape, seed=5).astype(np.float64)
        slope = (loss(index, 1e-5 * direction) - loss(index, -1e-5 * direction)) / 2e-5
        assert np.sum(own * direction) == pytest.approx(slope, rel=1e-3)


def test_dropout_is_applied_to_the_weights_of_each_chunk():
    given, relative = operands(9, 4)
    seen = []

    def halved(weights):
        seen.append(np.array(weights))
        return weights / 2

    found = causal_attention(*given, relative, chunk=4, dropout=halved)
    np.testing.assert_allclose(found, attention_by_loops(*given, relative) / 2, atol=1e-5)
    assert [w.shape[2:] for w in seen] == [(4, 4), (4, 8), (1, 9)]
    for begin, weights in zip((0, 4, 8), seen, strict=True):
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
        for row in range(weights.shape[2]):
            assert not weights[:, :, row, begin + row + 1 :].any()


def decoder(max_distance: int, dropout_rate: float = 0.0, **changes) -> TransformerDecoder:
    """Two blocks with random weights, not the small ones that they start with."""
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_size": 8, "key_size": 4, "filter_size": 10}
    layer = TransformerDecoder(
        NUM_CLASSES, WINDOW, max_distance=max_distance, dropout_rate=dropout_rate, **sizes | changes
    )
    layer.build((None, None))
    weights = layer.get_weights()
    layer.set_weights([normal(*w.shape, seed=i) * 0.6 for i, w in enumerate(weights)])
    return layer


@pytest.fixture(scope="module", params=[5, 0], ids=["relative", "absolute"])
def layer(request):
    return decoder(request.param)


INPUTS = np.random.default_rng(3).integers(0, NUM_CLASSES + 1, (3, WINDOW)).astype(np.int32)


def normalized(x: np.ndarray, layer) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return centred / scale * layer.gamma.numpy() + layer.beta.numpy()


def logits_by_hand(layer: TransformerDecoder, inputs: np.ndarray) -> np.ndarray:
    """The network written out in NumPy: pre-norm blocks, a tied embedding."""
    table = layer.embedding.numpy().astype(np.float64)
    x = table[inputs] * np.sqrt(layer.hidden_size)
    if not layer.is_relative:
        x = x + _sinusoids(inputs.shape[1], layer.hidden_size)
    for block in layer.blocks:
        merged = normalized(x, block.norm) @ block.project.kernel.numpy()
        parts = np.split(merged, [block.key_size, 2 * block.key_size], axis=-1)
        by_head = [np.stack(np.split(p, block.num_heads, axis=-1), axis=1) for p in parts]
        relative = None if block.relative is None else block.relative.numpy()
        attended = attention_by_loops(*by_head, relative)
        x = x + np.concatenate(list(attended.swapaxes(0, 1)), axis=-1) @ block.combine.kernel
        y = normalized(x, block.filter_norm) @ block.expand.kernel.numpy() + block.expand.bias
        y = np.maximum(y, 0) @ block.contract.kernel.numpy() + block.contract.bias.numpy()
        x = x + y
    return normalized(x, layer.norm) @ table[1:].T


def test_logits_equal_the_network_written_out_in_numpy(layer):
    np.testing.assert_allclose(layer(INPUTS), logits_by_hand(layer, INPUTS), atol=2e-4, rtol=1e-4)


def test_an_event_changes_no_logits_before_it(layer):
    logits = np.array(layer(INPUTS))
    for step in range(WINDOW):
        changed = INPUTS.copy()
        changed[:, step] = (changed[:, step] + 1) % (NUM_CLASSES + 1)
        others = np.array(layer(changed))
        np.testing.assert_array_equal(others[:, :step], logits[:, :step])
        assert (np.abs(others[:, step] - logits[:, step]).max(axis=-1) > 1e-3).all()


@pytest.mark.parametrize("capacities", [(WINDOW,), (2, 5, WINDOW), (1, *range(2, WINDOW + 1))])
def test_steps_equal_the_whole_window_while_the_caches_grow(layer, capacities):
    logits = np.array(layer(INPUTS))
    remaining = list(capacities)
    state = layer.initial_state(len(INPUTS), remaining.pop(0))
    for position in range(WINDOW):
        if position == state[0].shape[-1]:
            capacity = remaining.pop(0)
            state = layer.grown(state, capacity)
            assert all(capacity in x.shape[2:] for x in state)
        found, state = layer.step(INPUTS[:, position], position, state)
        np.testing.assert_allclose(found, logits[:, position], atol=2e-4, rtol=1e-4)


def test_what_lies_in_a_cache_beyond_the_position_is_not_seen(layer):
    clean, dirty = (layer.initial_state(3, 6) for _ in range(2))
    dirty = [x + 50.0 for x in dirty]
    for position in range(6):
        expected, clean = layer.step(INPUTS[:, position], position, clean)
        found, dirty = layer.step(INPUTS[:, position], position, dirty)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_sinusoids_are_those_of_tensor2tensor():
    found = _sinusoids(40, 10)
    for position in range(40):
        for i in range(5):
            angle = position / 10_000 ** (i / 4)
            assert found[position, i] == pytest.approx(np.sin(angle), abs=1e-5)
            assert found[position, 5 + i] == pytest.approx(np.cos(angle), abs=1e-5)


def test_only_absolute_positions_tell_equal_events_apart():
    inputs = np.tile(INPUTS[:, :1], (1, WINDOW))
    relative, absolute = (np.array(decoder(d)(inputs)) for d in (5, 0))
    # Whatever the weights of attention are, the mean of equal values is that value.
    np.testing.assert_allclose(relative, np.repeat(relative[:, :1], WINDOW, axis=1), atol=1e-4)
    assert np.abs(absolute - absolute[:, :1]).max() > 0.1


def test_dropout_is_random_in_training_alone():
    keras.utils.set_random_seed(1)
    layer = decoder(5, dropout_rate=0.4)
    plain = np.array(layer(INPUTS))
    np.testing.assert_array_equal(layer(INPUTS), plain)
    first, second = (np.array(layer(INPUTS, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.1
    assert np.abs(first - plain).max() > 0.1
    np.testing.assert_allclose(plain, logits_by_hand(layer, INPUTS), atol=2e-4, rtol=1e-4)


def test_every_weight_is_trained():
    layer = decoder(WINDOW)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(INPUTS)))
    for gradient, weight in zip(
        tape.gradient(loss, layer.trainable_variables), layer.trainable_variables, strict=True
    ):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 1e-6, weight.path
