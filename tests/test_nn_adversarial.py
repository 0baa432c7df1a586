"""The GAN's layers, losses, networks and step against Keras's own layers, loops and formulas."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402
from keras import ops  # noqa: E402

from pipeline.errors import PipelineError  # noqa: E402
from pipeline.nn.adversarial import generators, wgan_gp  # noqa: E402
from pipeline.nn.adversarial.chords import NUM_CHORDS, ChordTable, chords_of  # noqa: E402
from pipeline.nn.adversarial.critic import critic, unit_steps  # noqa: E402
from pipeline.nn.adversarial.losses import binarize, gradient_penalty, moments  # noqa: E402
from pipeline.nn.adversarial.patches import TrackPatches, TrackUnpatches  # noqa: E402
from pipeline.nn.adversarial.wgan_gp import ConditionalWgan  # noqa: E402
from pipeline.nn.piano_roll import Geometry  # noqa: E402

GRIDS = {
    "sixteenths": Geometry(num_bars=2, steps_per_beat=4, num_pitches=24, num_tracks=5),
    "triplets too": Geometry(num_bars=1, steps_per_beat=12, num_pitches=36, num_tracks=3),
    "merged": Geometry(num_bars=3, steps_per_beat=4, num_pitches=84, num_tracks=1),
}
SMALL = Geometry(num_bars=2, steps_per_beat=4, num_pitches=12, num_tracks=2)
GENRES, LATENT = 2, 6

each_grid = pytest.mark.parametrize("axes", GRIDS.values(), ids=GRIDS)


def noise(*shape, seed=0):
    return np.random.default_rng([seed, 7]).normal(size=shape).astype(np.float32)


def random_rolls(axes, rows, seed=0):
    rng = np.random.default_rng([seed, 8])
    return (rng.random((rows, *axes.shape)) < 0.3).astype(np.float32)


def with_random_weights(model, scale=0.5):
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=scale, size=variable.shape))
    return model


# --- patches -------------------------------------------------------------------------------------


@each_grid
@pytest.mark.parametrize("patch", ["unit", "octave", "one"])
def test_patches_are_convolutions_of_each_track_by_itself(axes, patch):
    t, p = {"unit": (unit_steps(axes), 1), "octave": (1, 12), "one": (1, 1)}[patch]
    x = noise(axes.num_tracks, 2, axes.num_steps, axes.num_pitches, 3)
    layer = TrackPatches(4, (t, p))
    assert layer.compute_output_shape(x.shape) == layer(x).shape
    found = with_random_weights(layer)(x)
    for track in range(axes.num_tracks):
        kernel = ops.convert_to_numpy(layer.kernel)[track].reshape(t, p, 3, 4)
        bias = ops.convert_to_numpy(layer.bias)[track, 0]
        flat = keras.layers.Conv2D(4, (t, p), strides=(t, p))
        flat.build((None, axes.num_steps, axes.num_pitches, 3))
        flat.set_weights([kernel, bias])
        np.testing.assert_allclose(found[track], flat(x[track]), atol=1e-4)
        # As MuseGAN writes it: bars are an axis of their own.
        bars = x[track].reshape(2, axes.num_bars, axes.steps_per_bar, axes.num_pitches, 3)
        solid = keras.layers.Conv3D(4, (1, t, p), strides=(1, t, p))
        solid.build(bars.shape)
        solid.set_weights([kernel[None], bias])
        by_bar = ops.convert_to_numpy(solid(bars))
        np.testing.assert_allclose(found[track], by_bar.reshape(found[track].shape), atol=1e-4)


@each_grid
@pytest.mark.parametrize("patch", ["unit", "octave", "one"])
def test_unpatches_are_transposed_convolutions_of_each_track_by_itself(axes, patch):
    t, p = {"unit": (unit_steps(axes), 1), "octave": (1, 12), "one": (1, 1)}[patch]
    x = noise(axes.num_tracks, 2, axes.num_steps // t, axes.num_pitches // p, 3)
    layer = TrackUnpatches(4, (t, p))
    assert layer.compute_output_shape(x.shape) == layer(x).shape
    assert layer(x).shape[2:4] == (axes.num_steps, axes.num_pitches)
    found = with_random_weights(layer)(x)
    for track in range(axes.num_tracks):
        kernel = ops.convert_to_numpy(layer.kernel)[track].reshape(3, t, p, 4)
        transposed = keras.layers.Conv2DTranspose(4, (t, p), strides=(t, p))
        transposed.build(x[track].shape)
        bias = ops.convert_to_numpy(layer.bias)[track].ravel()
        transposed.set_weights([kernel.transpose(1, 2, 3, 0), bias])
        np.testing.assert_allclose(found[track], transposed(x[track]), atol=1e-4)


def test_patches_begin_as_a_track_of_keras_does():
    """Glorot's limit counts what one track's patch takes and gives."""
    layer = TrackPatches(40, (4, 1))
    layer.build((5, None, 16, 12, 30))
    limit = (6 / (4 * 30 + 40)) ** 0.5
    kernel = ops.convert_to_numpy(layer.kernel)
    assert 0.98 * limit < np.abs(kernel).max() <= limit
    assert not np.array_equal(kernel[0], kernel[1])


# --- losses --------------------------------------------------------------------------------------


def test_binarize_is_a_step_whose_gradient_is_the_sigmoids():
    logits = np.float32([-30, -2, -1e-6, 0, 1e-6, 0.5, 3, 30])
    with tf.GradientTape() as tape:
        x = tf.constant(logits)
        tape.watch(x)
        weighted = tf.reduce_sum(binarize(x) * np.arange(8, dtype=np.float32))
    assert ops.convert_to_numpy(binarize(logits)).round(6).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    sigmoid = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = sigmoid * (1 - sigmoid) * np.arange(8)
    np.testing.assert_allclose(tape.gradient(weighted, x), expected, atol=1e-6)


def test_the_gradient_penalty_by_hand():
    gradients = np.zeros((3, 2, 2), np.float32)
    gradients[0, 0, 0] = 1  # of length 1: nothing
    gradients[1, :, 1] = 3, 4  # of length 5: 16
    assert float(gradient_penalty(gradients)) == pytest.approx(
        (0 + 16 + 1) / 3, rel=1e-5
    )  # and of 0: 1


@each_grid
def test_moments_are_those_of_a_loop(axes):
    rolls = random_rolls(axes, 3)
    found = ops.convert_to_numpy(moments(rolls, axes))
    assert found.shape == (3, (axes.steps_per_bar + 12) * axes.num_tracks)
    expected = np.zeros((3, axes.steps_per_bar + 12, axes.num_tracks))
    for row, step, pitch, track in np.argwhere(rolls):
        expected[row, step % axes.steps_per_bar, track] += 1 / axes.num_bars
        expected[row, axes.steps_per_bar + pitch % 12, track] += 1 / axes.num_steps
    np.testing.assert_allclose(found, expected.reshape(3, -1), atol=1e-5)


# --- chords --------------------------------------------------------------------------------------


def roll_of_bars(axes, bars, track):
    """A phrase in whose bars these pitches sound throughout, in one track."""
    roll = np.zeros(axes.shape, np.float32)
    for bar, pitches in enumerate(bars):
        steps = slice(bar * axes.steps_per_bar, (bar + 1) * axes.steps_per_bar)
        for pitch in pitches:
            roll[steps, pitch, track] = 1
    return roll


@pytest.mark.parametrize("num_tracks", [1, 5])
def test_chords_by_hand(num_tracks):
    axes = Geometry(num_bars=4, steps_per_beat=4, num_pitches=24, num_tracks=num_tracks)
    c, d, e, g, a = 0, 2, 4, 7, 9
    track = min(1, num_tracks - 1)
    roll = roll_of_bars(axes, [(c, e, g), (a, 12 + c, 12 + e), (), (d, 12 + 6, a, 12 + d)], track)
    if num_tracks > 1:
        roll[:, 1, 0] = 1  # drums say nothing of harmony
    assert ops.convert_to_numpy(chords_of(roll[None], axes)).tolist() == [[0, 12 + a, 0, d]]


@each_grid
def test_chords_are_those_of_a_loop(axes):
    rolls = random_rolls(axes, 6)
    found = ops.convert_to_numpy(chords_of(rolls, axes))
    assert found.shape == (6, axes.num_bars)
    pitched = rolls[..., 1:] if axes.num_tracks > 1 else rolls
    for row in range(6):
        for bar in range(axes.num_bars):
            steps = slice(bar * axes.steps_per_bar, (bar + 1) * axes.steps_per_bar)
            amounts = [pitched[row, steps, n::12].sum() for n in range(12)]
            triads = [
                1.01 * amounts[root] + amounts[(root + third) % 12] + amounts[(root + 7) % 12]
                for third in (4, 3)
                for root in range(12)
            ]
            assert triads[found[row, bar]] == pytest.approx(max(triads), rel=1e-6)
    assert len(np.unique(found)) > 3


def test_the_chord_table_counts_what_follows_what():
    table = ChordTable(2)
    chords = np.int32([[3, 5, 5], [3, 3, 7], [0, 0, 0]])
    genres = np.int32([0, 0, 1])
    table.update(chords, genres)
    table.update(chords[:1], genres[:1])
    expected = np.zeros((2, NUM_CHORDS + 1, NUM_CHORDS))
    for row, genre in zip([*chords, chords[0]], [0, 0, 1, 0], strict=True):
        before = NUM_CHORDS
        for chord in row:
            expected[genre, before, chord] += 1
            before = chord
    np.testing.assert_array_equal(table.counts, expected)
    assert table.counts in table.non_trainable_variables, "saved with the model, not trained"


def test_chords_are_drawn_by_their_counts():
    table = ChordTable(3)
    table.update(np.int32([[1, 2, 3, 1, 2, 3, 1]]), np.int32([0]))  # it must go round
    table.update(np.int32([[5, 6], [5, 6], [5, 6], [5, 7]]), np.int32([1] * 4))
    rng = np.random.default_rng(0)
    ring = table.sample(np.int32([0, 0]), 8, rng)
    assert ring.dtype == np.int32
    assert ring.tolist() == [[1, 2, 3, 1, 2, 3, 1, 2]] * 2
    drawn = table.sample(np.full(2000, 1, np.int32), 2, rng)
    assert (drawn[:, 0] == 5).all()
    assert set(drawn[:, 1].tolist()) == {6, 7}
    assert np.mean(drawn[:, 1] == 6) == pytest.approx(0.75, abs=0.04)
    unseen = table.sample(np.full(2000, 2, np.int32), 1, rng)
    assert set(unseen.ravel().tolist()) == set(range(NUM_CHORDS)), "of a genre not seen: any"


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "pitches"), [(3, 84), (8, 84), (4, 80), (12, 13)])
def test_what_the_networks_cannot_divide_is_said(steps, pitches):
    with pytest.raises(PipelineError) as error:
        unit_steps(Geometry(4, steps, pitches, 5))
    assert f"steps_per_quarter={steps}, num_pitches={pitches}" in str(error.value)
    assert "4 or 12 steps and whole octaves" in str(error.value)
    assert [unit_steps(Geometry(4, s, 84, 5)) for s in (4, 12)] == [4, 3]


def small_critic(axes, num_chords=0):
    return critic(axes, GENRES, (2, 3), (4, 5), 8, num_chords)


@each_grid
@pytest.mark.parametrize("num_chords", [0, NUM_CHORDS])
def test_a_critic_scores_by_its_features_and_the_genre_by_projection(axes, num_chords):
    model = with_random_weights(small_critic(axes, num_chords))
    rolls, chords = random_rolls(axes, 4), np.zeros((4, axes.num_bars), np.int32)
    given = [chords] if num_chords else []
    (head,) = [x for x in model.layers if x.weights and x.weights[0].shape == (8, 1)]
    (table,) = [x for x in model.layers if x.weights and x.weights[0].shape == (GENRES, 8)]
    features = keras.Model(model.inputs, head.input)
    kernel, bias = (ops.convert_to_numpy(w) for w in head.weights)
    embeddings = ops.convert_to_numpy(table.embeddings)
    heard = []
    for genre in range(GENRES):
        inputs = [rolls, np.full(4, genre, np.int32), *given]
        own = ops.convert_to_numpy(features(inputs))
        expected = own @ kernel[:, 0] + bias + own @ embeddings[genre]
        np.testing.assert_allclose(model(inputs), expected, rtol=1e-4, atol=1e-4)
        heard.append(own)
    np.testing.assert_array_equal(heard[0], heard[1])  # what is heard does not know the genre
    assert np.std(heard[0], axis=0).max() > 0


def test_a_critic_hears_chords_of_each_bar():
    model = with_random_weights(small_critic(SMALL, NUM_CHORDS))
    rolls, genres = random_rolls(SMALL, 1), np.zeros(1, np.int32)
    scores = {float(model([rolls, genres, np.int32([c])])[0]) for c in ([0, 0], [0, 1], [1, 0])}
    assert len(scores) == 3


def build_generator(name, axes, binary=binarize):
    common = (axes, GENRES, LATENT)
    return {
        "convolutional": lambda: generators.convolutional(*common, (8, 6, 4), (3, 2)),
        "convolutional, one private layer": lambda: generators.convolutional(
            *common, (8, 6, 4), (3,)
        ),
        "recurrent": lambda: generators.recurrent(*common, (5, 7)),
        "transformer": lambda: generators.transformer(*common, (8, 8), 2),
        "midinet": lambda: generators.midinet(*common, (8, 6, 4), (3, 2), binary),
    }[name]()


NAMES = ["convolutional", "convolutional, one private layer", "recurrent", "transformer", "midinet"]


def generator_inputs(axes, name, rows=3):
    chords = np.arange(rows * axes.num_bars, dtype=np.int32).reshape(rows, -1) % NUM_CHORDS
    return [noise(rows, LATENT), np.zeros(rows, np.int32), *([chords] if name == "midinet" else [])]


@each_grid
@pytest.mark.parametrize("name", NAMES)
def test_generators_give_logits_of_the_whole_phrase(axes, name):
    """And all of it hears both the noise and the genre."""
    model = with_random_weights(build_generator(name, axes), 1.0)
    inputs = generator_inputs(axes, name)
    logits = ops.convert_to_numpy(model(inputs))
    assert logits.shape == (3, *axes.shape)
    other_genre = model([inputs[0], np.ones(3, np.int32), *inputs[2:]])
    other_noise = model([noise(3, LATENT, seed=1), *inputs[1:]])
    for other in (other_genre, other_noise):
        change = np.abs(other - logits).reshape(3, axes.num_bars, -1, axes.num_tracks)
        assert (change.max(axis=(0, 2)) > 1e-4).all(), "each bar of each track"
    alone = model([x[1:2] for x in inputs])  # rows do not hear each other
    np.testing.assert_allclose(alone[0], logits[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["recurrent", "transformer"])
def test_beats_know_where_they_stand(name):
    axes = Geometry(num_bars=2, steps_per_beat=4, num_pitches=12, num_tracks=1)
    logits = with_random_weights(build_generator(name, axes))(generator_inputs(axes, name, 1))
    beats = ops.convert_to_numpy(logits).reshape(8, -1)
    assert len(np.unique(beats.round(4), axis=0)) == 8


def test_a_transformers_beat_hears_later_ones_and_a_recurrent_ones_does_not():
    """The only thing to tell them by is the bar, which is given to each beat."""
    axes = Geometry(num_bars=2, steps_per_beat=4, num_pitches=12, num_tracks=1)
    for name, hears in (("recurrent", False), ("transformer", True)):
        model = with_random_weights(build_generator(name, axes))
        first = next(
            x for x in model.layers if isinstance(x, keras.layers.LSTM | keras.layers.Dense)
        )
        body = keras.Model(first.input, model.output)
        x = noise(1, *first.input.shape[1:])
        before = ops.convert_to_numpy(body(x))
        x[:, 4:] += 1  # the second bar's beats
        after = ops.convert_to_numpy(body(x))
        assert (np.abs(after - before)[0, : axes.steps_per_bar].max() > 1e-4) == hears


@pytest.mark.parametrize("axes", [GRIDS["sixteenths"], GRIDS["merged"]], ids=["five", "merged"])
def test_midinet_goes_bar_by_bar(axes):
    """Its bars are those of a loop over the network of one bar, from silence on."""
    model = with_random_weights(build_generator("midinet", axes))
    latents, genres, chords = generator_inputs(axes, "midinet")
    found = ops.convert_to_numpy(model([latents, genres, chords]))
    bar = model.get_layer("bar")
    of_genre, of_chord = (
        next(ops.convert_to_numpy(x.embeddings) for x in model.layers
             if isinstance(x, keras.layers.Embedding) and x.input_dim == size)
        for size in (GENRES, NUM_CHORDS)
    )  # fmt: skip
    previous = np.zeros((3, axes.steps_per_bar, axes.num_pitches, axes.num_tracks), np.float32)
    for index in range(axes.num_bars):
        conditions = np.concatenate([latents, of_genre[genres], of_chord[chords[:, index]]], 1)
        logits = ops.convert_to_numpy(bar([conditions, previous]))
        steps = slice(index * axes.steps_per_bar, (index + 1) * axes.steps_per_bar)
        np.testing.assert_allclose(found[:, steps], logits, rtol=1e-3, atol=1e-3)
        previous = (logits > 0).astype(np.float32)


def test_midinets_bar_hears_the_one_before_and_none_after():
    axes = GRIDS["merged"]
    model = with_random_weights(build_generator("midinet", axes, ops.sigmoid))
    latents, genres, chords = generator_inputs(axes, "midinet", 1)
    before = ops.convert_to_numpy(model([latents, genres, chords]))
    moved = chords.copy()
    moved[0, 1] += 1
    change = np.abs(model([latents, genres, moved]) - before).reshape(axes.num_bars, -1).max(axis=1)
    assert change[0] == 0
    assert change[1] > 1e-3
    assert change[2] > 1e-5, "through the second bar alone: its own chord is the same"


# --- training ------------------------------------------------------------------------------------


@pytest.fixture
def plain(monkeypatch):
    """Without compilation, which takes longer than steps so few and small."""
    monkeypatch.setattr(wgan_gp, "compiled", lambda function: function)


def wgan(name="recurrent", axes=SMALL, rates=(0.01, 0.01), steps=2, judge=None):
    keras.utils.set_random_seed(3)
    generator = build_generator(name, axes)
    has_chords = len(generator.inputs) == 3
    adam = keras.optimizers.Adam
    model = ConditionalWgan(
        axes=axes,
        generator=generator,
        critic=judge or small_critic(axes, NUM_CHORDS if has_chords else 0),
        latent_size=LATENT,
        num_genres=GENRES,
        num_critic_steps=steps,
        penalty=10.0,
        critic_optimizer=adam(rates[0], beta_1=0.5, beta_2=0.9),
    )
    model.compile(optimizer=adam(rates[1], beta_1=0.5, beta_2=0.9), jit_compile=False)
    model.optimizer.build(generator.trainable_variables)
    return model


def separable(axes, rows):
    """The first genre holds the lowest pitch of each track, the second the highest."""
    rolls, genres = np.zeros((rows, *axes.shape), np.float32), np.arange(rows) % 2
    rolls[genres == 0, :, 0] = 1
    rolls[genres == 1, :, -1] = 1
    return rolls, genres.astype(np.int64), np.ones(rows, np.float32)


def linear_critic(axes, weights):
    rolls, genres = keras.Input(axes.shape), keras.Input((), dtype="int32")
    scores = keras.layers.Dense(1)(keras.layers.Flatten()(rolls))[:, 0]
    model = keras.Model([rolls, genres], scores)
    model.set_weights([weights[:, None], np.zeros(1)])
    return model


def test_the_penalty_of_a_linear_critic_is_that_of_its_weights():
    """Wherever it is taken; and the loss's gradient follows from it by hand."""
    weights = noise(int(np.prod(SMALL.shape)))
    model = wgan(judge=linear_critic(SMALL, weights))
    rolls, genres = tf.constant(random_rolls(SMALL, 4)), tf.zeros(4, tf.int32)
    fakes = random_rolls(SMALL, 4, seed=5)
    model._generated = lambda conditions, training: tf.constant(20 * fakes - 10)
    (gradient, of_bias), distance, penalty = model._critic_gradients(rolls, [genres])
    length = np.linalg.norm(weights)
    moved = (rolls.numpy() - fakes).reshape(4, -1).mean(axis=0)
    assert float(penalty) == pytest.approx((length - 1) ** 2, rel=1e-4)
    assert float(distance) == pytest.approx(moved @ weights, rel=1e-3)
    expected = 10 * 2 * (length - 1) * weights / length - moved
    np.testing.assert_allclose(gradient[:, 0], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(of_bias, 0, atol=1e-5)


@pytest.fixture
def float64():
    for dtype in ("float64", "float32"):
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        if dtype == "float64":
            yield


def test_the_penalty_and_its_gradient_are_those_of_small_differences(float64):
    """Of the critic itself, in float64, between real and generated phrases that are the same."""
    axes = Geometry(num_bars=1, steps_per_beat=4, num_pitches=12, num_tracks=2)
    model = wgan(axes=axes)
    with_random_weights(model.critic, 0.3)
    rolls = np.random.default_rng(2).random((2, *axes.shape))
    given = tf.constant(rolls), [tf.constant([1, 1])]
    # `between` is then the same, whatever is drawn; the logits' binarization is not in the way.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.nn.adversarial.wgan_gp.binarize", lambda x: x)
        model._generated = lambda conditions, training: tf.constant(rolls)
        gradients, distance, penalty = model._gradients_of_critic(*given)

        @tf.function
        def score(phrases):
            """Of each batch the sum, as phrases of a genre hear each other."""
            return tf.map_fn(lambda x: tf.reduce_sum(model.critic([x, given[1][0]])), phrases)

        def penalty_now():
            return float(model._gradients_of_critic(*given)[2])

        size, h = int(np.prod(axes.shape)), 1e-6
        away = h * np.eye(2 * size).reshape(2 * size, 2, *axes.shape)
        slopes = (score(rolls + away) - score(rolls - away)) / (2 * h)
        slopes = ops.convert_to_numpy(slopes).reshape(2, size)
        expected = np.mean((np.linalg.norm(slopes, axis=1) - 1) ** 2)
        assert float(penalty) == pytest.approx(expected, rel=1e-6)
        assert float(distance) == pytest.approx(0, abs=1e-12)
        variables = model.critic.trainable_variables
        values = [ops.convert_to_numpy(v) for v in variables]
        for seed in range(3):  # all weights at once, in any direction
            ways = [np.random.default_rng([seed, i]).normal(size=v.shape)
                    for i, v in enumerate(values)]  # fmt: skip
            ends = []
            for sign in (1, -1):
                for variable, value, way in zip(variables, values, ways, strict=True):
                    variable.assign(value + sign * h * way)
                ends.append(penalty_now())
            along = sum(
                np.sum(ops.convert_to_numpy(tf.convert_to_tensor(g)) * w)
                for g, w in zip(gradients, ways, strict=True)
            )
            assert along == pytest.approx(10 * (ends[0] - ends[1]) / (2 * h), rel=1e-4)


def copied(model):
    return [ops.convert_to_numpy(w).copy() for w in model.trainable_variables]


def are_equal(a, b):
    return [np.array_equal(x, y) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize(("rates", "moves"), [((0.01, 0.0), "critic"), ((0.0, 0.01), "generator")])
def test_each_step_moves_its_own_network_and_no_other(plain, rates, moves):
    model = wgan(rates=rates, steps=3)
    before = {"critic": copied(model.critic), "generator": copied(model.generator)}
    rolls, genres, ones = separable(SMALL, 12)
    for _ in range(2):
        model.train_step((tf.constant(rolls), tf.constant(genres), tf.constant(ones)))
    assert int(model.critic_optimizer.iterations) == 2 * 3
    assert int(model.optimizer.iterations) == 2
    for name, weights in before.items():
        same = are_equal(weights, copied(getattr(model, name)))
        # A bias before a last sum moves no distance of two means: that one may stay.
        assert all(same) if name != moves else sum(same) <= 1


def test_every_critic_step_has_its_own_part_of_the_batch(plain):
    model = wgan(steps=3)
    seen = []

    def recorded(rolls, conditions):
        seen.append((ops.convert_to_numpy(rolls), ops.convert_to_numpy(conditions[0])))
        return model._gradients_of_critic(rolls, conditions)

    model._critic_gradients = recorded
    rolls, genres = random_rolls(SMALL, 12), np.arange(12) % 2
    model.train_step((tf.constant(rolls), tf.constant(genres), tf.ones(12)))
    assert [len(part) for part, _ in seen] == [4, 4, 4]
    np.testing.assert_array_equal(np.concatenate([part for part, _ in seen]), rolls)
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in seen]), genres)


@pytest.mark.parametrize("name", ["midinet", "convolutional"])
def test_one_seed_gives_one_training(plain, name):
    model = wgan(name, steps=1)
    optimizers = [*model.optimizer.variables, *model.critic_optimizer.variables]
    state = [*model.variables, *optimizers]
    begin = [ops.convert_to_numpy(v).copy() for v in state]
    batch = tf.constant(random_rolls(SMALL, 8)), tf.range(8) % 2, tf.ones(8)

    def trained(seed):
        for variable, value in zip(state, begin, strict=True):
            variable.assign(value)
        model.seeds.state.assign(keras.random.SeedGenerator(seed).state)
        model.train_step(batch)
        return [ops.convert_to_numpy(w).copy() for w in model.weights]

    first, again, other = trained(1), trained(1), trained(2)
    assert all(are_equal(first, again))
    assert not all(are_equal(first, other))


def test_training_brings_the_genres_means_nearer(monkeypatch):
    monkeypatch.setattr(wgan_gp, "compiled", tf.function)
    model = wgan("recurrent", rates=(0.01, 0.01), steps=1)
    batch = tuple(tf.constant(x) for x in separable(SMALL, 32))

    def gap():
        model.reset_metrics()
        return float(model.test_step(batch)["loss"])

    before = gap()
    for _ in range(25):
        model.train_step(batch)
    assert gap() < 0.5 * before


def test_the_loss_that_picks_an_epoch_is_the_gap_of_the_genres_means(plain):
    model = wgan()
    rolls, genres = random_rolls(SMALL, 6), np.int64([0, 1, 1, 0, 1, 1])
    fakes = random_rolls(SMALL, 6, seed=4)
    model._generated = lambda conditions, training: tf.constant(2 * fakes - 1)
    model.test_step((tf.constant(rolls), tf.constant(genres), tf.ones(6)))
    found = float(model.means["loss"].result())
    real, fake = (ops.convert_to_numpy(moments(x, SMALL)) for x in (rolls, fakes))
    gaps = [(real[genres == g].mean(axis=0) - fake[genres == g].mean(axis=0)) for g in (0, 1)]
    assert found == pytest.approx(np.mean([(gap**2).sum() for gap in gaps]), rel=1e-4)
    # A genre that the batch lacks adds nothing.
    model.reset_metrics()
    model.test_step((tf.constant(rolls), tf.zeros(6, tf.int64), tf.ones(6)))
    gap = real.mean(axis=0) - fake.mean(axis=0)
    assert float(model.means["loss"].result()) == pytest.approx((gap**2).sum() / 2, rel=1e-4)
