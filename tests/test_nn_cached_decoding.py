"""Sampling with a cache against running the whole network for each event."""

import time

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline.nn import cached_decoding  # noqa: E402
from pipeline.nn.cached_decoding import CachedDecoder  # noqa: E402
from pipeline.nn.recurrent.event_decoder import RecurrentDecoder  # noqa: E402
from pipeline.nn.sampling import branches, sample_sequences  # noqa: E402
from pipeline.nn.transformer.decoder import TransformerDecoder  # noqa: E402

NUM_CLASSES, WINDOW, ROWS = 9, 16, 3
PLAIN, KEPT = (1.0, 0, 1.0), (0.8, 6, 0.9)  # temperature, top_k, top_p


@pytest.fixture(scope="module", autouse=True)
def short_blocks():
    """Caches that grow, and several compiled blocks, within few events."""
    before, cached_decoding._BLOCK = cached_decoding._BLOCK, 8
    yield
    cached_decoding._BLOCK = before


def with_random_weights(layer):
    layer.build((None, WINDOW))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.get_weights()])
    return layer


@pytest.fixture(scope="module")
def decoders():
    def transformer(max_distance, window_steps):
        return TransformerDecoder(
            NUM_CLASSES, window_steps, 1, 2, 8, 8, 8, max_distance, 0.0, name=f"t{max_distance}"
        )

    layers = {
        "relative": transformer(4, WINDOW),
        "absolute": transformer(0, WINDOW),
        "odd": transformer(5, 5),
        "lstm": RecurrentDecoder(NUM_CLASSES, (6, 5), 0.0),
    }
    return {name: with_random_weights(layer) for name, layer in layers.items()}


NAMES = ("relative", "absolute", "odd", "lstm")


def inputs_seen(events: np.ndarray, window: int | None) -> np.ndarray:
    """What the network is given for the event after these: [rows, 1..window] ids.

    A window that is full begins anew, with half of its events and the one before them.
    """
    given = np.concatenate([np.zeros((len(events), 1), np.int64), events + 1], axis=1)
    if window is None:
        return given
    begin = 0
    while given.shape[1] - begin > window:
        begin += window - window // 2
    return given[:, begin:]


def uncached_logits(decoder, events: np.ndarray) -> np.ndarray:
    """The whole network for one event of each row; padded, so that it is compiled once."""
    given = inputs_seen(events, decoder.window_steps)
    length = decoder.window_steps or 64
    padded = np.pad(given, ((0, 0), (0, length - given.shape[1]))).astype(np.int32)
    return np.array(decoder(padded))[:, given.shape[1] - 1]


def uncached_sample(decoder, events, num_events, temperature, top_k, top_p, seed):
    rng = np.random.default_rng(seed)
    for _ in range(num_events):
        logits = uncached_logits(decoder, events)
        drawn, _ = branches(logits, 1, temperature, top_k, rng, top_p)
        events = np.concatenate([events, drawn], axis=1)
    return events


def primer(num_events: int, num_rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(5).integers(0, NUM_CLASSES, (num_rows, num_events))


# Each network, and each top_k and top_p, are compiled for each size of the caches: seconds.
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("relative", PLAIN),
        ("relative", KEPT),
        ("relative", (0.0, 0, 1.0)),
        ("absolute", PLAIN),
        ("lstm", KEPT),
    ],
)
def test_drawing_equals_the_uncached_network_also_beyond_the_window(decoders, name, way):
    cached = CachedDecoder(decoders[name], ROWS)
    drawn = cached.draw(41, *way, np.random.default_rng(3))
    expected = uncached_sample(decoders[name], primer(0), 41, *way, 3)
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(cached.events, expected)
    assert drawn.dtype == np.int64


@pytest.mark.parametrize(("name", "num_rows"), [("relative", 1), ("relative", 8), ("lstm", 8)])
def test_one_row_and_rows_in_two_loops_equal_the_uncached_network(decoders, name, num_rows):
    cached, events = CachedDecoder(decoders[name], num_rows), primer(3, num_rows)
    cached.extend(events)
    drawn = cached.draw(20, *PLAIN, np.random.default_rng(6))
    expected = uncached_sample(decoders[name], events, 20, *PLAIN, 6)
    np.testing.assert_array_equal(drawn, expected[:, 3:])
    logits = uncached_logits(decoders[name], expected)
    np.testing.assert_allclose(cached.next_logits(), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "way"), [("relative", PLAIN), ("lstm", KEPT)])
def test_drawing_equals_branching_event_by_event(decoders, name, way):
    drawn = CachedDecoder(decoders[name], ROWS).draw(40, *way, np.random.default_rng(4))
    single, rng = CachedDecoder(decoders[name], ROWS), np.random.default_rng(4)
    for _ in range(40):
        events, _ = branches(single.next_logits(), 1, way[0], way[1], rng, way[2])
        single.append(events[:, 0])
    np.testing.assert_array_equal(single.events, drawn)


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_those_of_the_whole_network(decoders, name):
    cached, events = CachedDecoder(decoders[name], ROWS), primer(40)
    for i in range(40):
        expected = uncached_logits(decoders[name], events[:, :i])
        np.testing.assert_allclose(cached.next_logits(), expected, atol=1e-4, rtol=1e-4)
        cached.append(events[:, i])


@pytest.mark.parametrize("num_events", [0, 1, 7, 8, 9, 15, 16, 17, 24, 25, 35])
@pytest.mark.parametrize("name", ["relative", "lstm"])
def test_a_primer_is_as_if_it_had_been_drawn(decoders, name, num_events):
    """Whatever its length is to blocks and windows; in one piece or in two."""
    events = primer(num_events)
    whole, parts = (CachedDecoder(decoders[name], ROWS) for _ in range(2))
    whole.extend(events)
    parts.extend(events[:, : num_events // 3])
    parts.extend(events[:, num_events // 3 :])
    np.testing.assert_array_equal(whole.events, events)
    expected = uncached_logits(decoders[name], events)
    for cached in (whole, parts):
        np.testing.assert_allclose(cached.next_logits(), expected, atol=1e-4, rtol=1e-4)


def test_what_follows_a_primer_equals_the_uncached_network(decoders):
    cached = CachedDecoder(decoders["relative"], ROWS)
    cached.extend(primer(11))
    drawn = cached.draw(9, *KEPT, np.random.default_rng(8))
    again = cached.draw(12, *KEPT, np.random.default_rng(9))
    expected = uncached_sample(decoders["relative"], primer(11), 9, *KEPT, 8)
    np.testing.assert_array_equal(drawn, expected[:, 11:])
    expected = uncached_sample(decoders["relative"], expected, 12, *KEPT, 9)
    np.testing.assert_array_equal(again, expected[:, 20:])


def test_the_seed_alone_decides(decoders):
    def drawn(seed):
        cached = CachedDecoder(decoders["relative"], ROWS)
        return cached.draw(12, *PLAIN, np.random.default_rng(seed)).tolist()

    assert drawn(1) == drawn(1) != drawn(2)
    assert len({tuple(row) for row in drawn(1)}) == ROWS


def test_temperature_0_takes_the_likeliest_whatever_the_generator(decoders):
    found = [
        CachedDecoder(decoders["relative"], ROWS).draw(20, 0.0, 0, 1.0, np.random.default_rng(s))
        for s in (1, 2)
    ]
    np.testing.assert_array_equal(*found)
    assert (found[0] == found[0][0]).all()


@pytest.mark.parametrize("name", ["relative", "lstm"])
def test_reordered_rows_go_on_as_their_parents(decoders, name):
    cached, events = CachedDecoder(decoders[name], ROWS), primer(10)
    cached.extend(events)
    cached.next_logits()
    cached.reorder(np.array([2, 0, 2]))
    cached.append(np.array([1, 2, 3]))
    expected = np.concatenate([events[[2, 0, 2]], [[1], [2], [3]]], axis=1)
    np.testing.assert_array_equal(cached.events, expected)
    logits = uncached_logits(decoders[name], expected)
    np.testing.assert_allclose(cached.next_logits(), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_beam_with_the_cache_equals_one_without(decoders, temperature):
    decoder, cached = decoders["absolute"], CachedDecoder(decoders["absolute"], ROWS)
    history = np.zeros((ROWS, 0), np.int64)

    def with_cache(events, parents):
        cached.reorder(parents)
        cached.append(events)
        return cached.next_logits()

    def without(events, parents):
        nonlocal history
        history = np.concatenate([history[parents], events[:, None]], axis=1)
        return uncached_logits(decoder, history)

    first = cached.next_logits(), uncached_logits(decoder, history)
    found, expected = (
        sample_sequences(
            logits, following, 25, ROWS, temperature, 0, np.random.default_rng(2), top_p=0.95
        )
        for logits, following in zip(first, (with_cache, without), strict=True)
    )
    np.testing.assert_array_equal(found, expected)


def test_an_lstm_steps_as_it_is_trained(decoders):
    """Dropout is of training alone."""
    layer = with_random_weights(RecurrentDecoder(NUM_CLASSES, (6, 5), 0.5))
    inputs = np.concatenate([np.zeros((ROWS, 1), np.int64), primer(63) + 1], axis=1)
    logits = np.array(layer(inputs))
    np.testing.assert_allclose(logits, decoders["lstm"](inputs), atol=1e-5)
    state = layer.initial_state(ROWS, 1)
    for position in range(10):
        found, state = layer.step(inputs[:, position], position, state)
        np.testing.assert_allclose(found, logits[:, position], atol=1e-4, rtol=1e-4)
    assert np.abs(np.array(layer(inputs, training=True)) - logits).max() > 0.05


@pytest.mark.parametrize("max_distance", [40, 0])
def test_nothing_is_compiled_anew_for_another_position(max_distance):
    """A compilation takes a second, a step less than a millisecond; a window has 2,048 places."""
    layer = with_random_weights(
        TransformerDecoder(NUM_CLASSES, 64, 1, 2, 8, 8, 8, max_distance, 0.0)
    )
    cached, single = (CachedDecoder(layer, 1) for _ in range(2))

    def by_loop():
        cached.draw(1, *PLAIN, np.random.default_rng(0))

    def by_step():
        single.next_logits()
        single.append(np.zeros(1, np.int64))

    for advance in (by_loop, by_step):
        seconds = []
        for _ in range(7):  # as many as the first caches hold
            begin = time.process_time()
            advance()
            seconds.append(time.process_time() - begin)
        assert sum(seconds[1:]) < seconds[0]
