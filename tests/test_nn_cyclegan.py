"""The CycleGAN's layers, losses, pool and training, against formulas and Keras' own layers."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline.models._learning_rates import ConstantThenLinear  # noqa: E402
from pipeline.nn.cyclegan import losses  # noqa: E402
from pipeline.nn.cyclegan.cycle import Cycle, LossWeights  # noqa: E402
from pipeline.nn.cyclegan.instance_norm import InstanceNorm  # noqa: E402
from pipeline.nn.cyclegan.networks import (  # noqa: E402
    Sizes,
    discriminator,
    generator,
    reflected,
)
from pipeline.nn.cyclegan.patches import Patches, Unpatched  # noqa: E402
from pipeline.nn.cyclegan.pool import Pool  # noqa: E402
from pipeline.nn.cyclegan.trainer import CycleGan  # noqa: E402

SHAPE = (8, 12, 2)
PATCHED = Sizes(SHAPE, 2, 1, 4, 6, 0.0)
PAPER = Sizes(SHAPE, 2, 1, 1, 1, 0.0)
BASE = LossWeights(
    cycle=10.0,
    identity=0.0,
    content=0.0,
    gamma=1.0,
    extra=0.0,
    positive=1.0,
    reconstruction="l1",
    noise=0.0,
    is_binarized=False,
)


def rolls(seed: int, num: int = 3, shape=SHAPE) -> np.ndarray:
    return (np.random.default_rng(seed).random((num, *shape)) < 0.2).astype(np.float32)


def randomized(model):
    rng = np.random.default_rng(7)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return model


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


# --- layers --------------------------------------------------------------------------------------


def test_instance_norm_is_the_formula_and_keras_group_norm_of_single_channels():
    x = np.random.default_rng(0).normal(3, 2, (2, 4, 5, 3)).astype(np.float32)
    layer = InstanceNorm()
    layer.build(x.shape)
    layer.scale.assign([1.0, 2.0, -1.0])
    layer.shift.assign([0.0, 0.5, 3.0])
    found = np.asarray(layer(x))
    for example in range(2):
        for channel, (scale, shift) in enumerate(((1, 0), (2, 0.5), (-1, 3))):
            plane = x[example, :, :, channel].astype(np.float64)
            expected = scale * (plane - plane.mean()) / np.sqrt(plane.var() + 1e-5) + shift
            np.testing.assert_allclose(found[example, :, :, channel], expected, atol=1e-4)
    other = keras.layers.GroupNormalization(groups=-1, epsilon=1e-5)
    other.build(x.shape)
    other.set_weights(layer.get_weights())
    np.testing.assert_allclose(found, np.asarray(other(x)), atol=1e-4)


@pytest.mark.parametrize("pitches", [6, 12])
def test_a_dense_layer_of_patches_is_a_convolution_whose_stride_is_its_kernel(pitches):
    x = np.random.default_rng(1).normal(size=(2, 8, 12, 3)).astype(np.float32)
    conv = keras.layers.Conv2D(5, (4, pitches), strides=(4, pitches))
    expected = np.asarray(conv(x))
    kernel, bias = conv.get_weights()
    patches = np.asarray(Patches(4, pitches)(x))
    assert patches.shape == (2, 2, 12 // pitches, 4 * pitches * 3)
    np.testing.assert_allclose(patches @ kernel.reshape(-1, 5) + bias, expected, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(Unpatched(4, pitches)(patches)), x)


@pytest.mark.parametrize("shape", [(4, 5), (4, 1), (2, 2)])
def test_borders_are_reflected_as_numpy_does(shape):
    x = np.random.default_rng(2).normal(size=(2, *shape, 3)).astype(np.float32)
    sides = [(0, 0), *((min(3, n - 1),) * 2 for n in shape), (0, 0)]
    np.testing.assert_array_equal(np.asarray(reflected(x, 3)), np.pad(x, sides, mode="reflect"))


@pytest.mark.parametrize("sizes", [PATCHED, PAPER, Sizes(SHAPE, 2, 2, 2, 12, 0.0)])
def test_networks_keep_the_shape_and_treat_each_example_by_itself(sizes):
    for network in (randomized(generator(sizes, "g")), randomized(discriminator(sizes, "d"))):
        x = rolls(3)
        found = np.asarray(network(x))
        assert found.shape[0] == 3
        assert np.std(found) > 0
        np.testing.assert_allclose(np.asarray(network(x[1:2]))[0], found[1], atol=1e-4)
    assert generator(sizes, "g").output_shape == (None, *SHAPE)


def test_the_paper_s_networks_have_its_number_of_weights():
    """64 filters, 10 blocks, 64 by 84 by 1, as tables I and II have it, and their norms."""
    sizes = Sizes((64, 84, 1), 64, 10, 1, 1, 0.0)
    conv = 7 * 7 * 64 + 9 * 64 * 128 + 9 * 128 * 256 + 10 * 2 * 9 * 256 * 256
    conv += 9 * 256 * 128 + 9 * 128 * 64 + 7 * 7 * 64
    channels = 64 + 128 + 256 + 20 * 256 + 128 + 64
    assert generator(sizes, "g").count_params() == conv + 3 * channels + 1
    conv = 16 * 64 + 16 * 64 * 256 + 16 * 256
    assert discriminator(sizes, "d").count_params() == conv + 64 + 256 + 1 + 2 * 256
    assert discriminator(sizes, "d").output_shape == (None, 16 * 21)


def test_a_copying_generator_begins_with_its_source():
    network = generator(PATCHED._replace(copy_logit=3.0), "g")
    plain = generator(PATCHED, "g")
    plain.set_weights(network.get_weights())
    x = rolls(4)
    added = np.asarray(network(x)) - np.asarray(plain(x))
    np.testing.assert_allclose(added, 6 * x - 3, atol=1e-5)


# --- losses --------------------------------------------------------------------------------------


def test_least_squares_losses_are_their_formulas():
    real, fake = np.random.default_rng(5).normal(size=(2, 3, 6)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(losses.least_squares(fake, 1.0)), ((fake - 1) ** 2).mean(1), rtol=1e-5
    )
    expected = 0.5 * (((real - 1) ** 2).mean(1) + (fake**2).mean(1))
    np.testing.assert_allclose(
        np.asarray(losses.discriminator_loss(real, fake)), expected, rtol=1e-5
    )


@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_reconstruction_losses_are_their_formulas(weight):
    x = rolls(6)
    logits = np.random.default_rng(6).normal(scale=3, size=x.shape).astype(np.float32)
    p, w = sigmoid(logits), np.where(x > 0, weight, 1)
    expected = {
        "l1": (w * np.abs(p - x)).mean((1, 2, 3)),
        "cross_entropy": (w * -np.log(np.where(x > 0, p, 1 - p))).mean((1, 2, 3)),
    }
    for kind, value in expected.items():
        found = np.asarray(losses.reconstruction_loss(x, logits, kind, weight))
        np.testing.assert_allclose(found, value, rtol=1e-4)


@pytest.mark.parametrize("num_tracks", [1, 3])
def test_content_loss_sees_what_sounds_not_who_plays_it_nor_the_drums(num_tracks):
    x = rolls(8, shape=(8, 12, num_tracks))
    logits = np.random.default_rng(8).normal(scale=2, size=x.shape).astype(np.float32)
    pitched = slice(int(num_tracks > 1), None)
    p = 1 - np.prod(1 - sigmoid(logits)[..., pitched], axis=-1)
    u = x[..., pitched].max(-1)
    expected = (np.where(u > 0, 5.0, 1.0) * -np.log(np.where(u > 0, p, 1 - p))).mean((1, 2))
    found = np.asarray(losses.content_loss(x, logits, 5.0))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    if num_tracks > 1:
        moved = np.concatenate([1 - x[..., :1], x[..., :0:-1]], axis=-1)
        np.testing.assert_allclose(np.asarray(losses.content_loss(moved, logits, 5.0)), found)


def test_binarized_is_a_threshold_whose_gradient_passes():
    import tensorflow as tf

    p = tf.constant([0.1, 0.5, 0.50001, 0.9])
    with tf.GradientTape() as tape:
        tape.watch(p)
        hard = losses.binarized(p)
        total = tf.reduce_sum(hard * [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(np.asarray(hard), [0, 0, 1, 1], atol=1e-6)
    assert np.asarray(tape.gradient(total, p)).tolist() == [1, 2, 3, 4]


def test_profile_counts_pitches_by_step_and_steps_by_pitch():
    x = rolls(9, num=2)
    found = np.asarray(losses.profile(x, 4))
    for example in range(2):
        expected = [
            np.mean([x[example, bar * 4 + step, :, track].sum() for bar in range(2)])
            for step in range(4)
            for track in range(2)
        ]
        expected += [
            x[example, :, pitch, track].sum() / 2 for pitch in range(12) for track in range(2)
        ]
        np.testing.assert_allclose(found[example], expected, rtol=1e-5)


def test_energy_distance_is_its_double_sum_and_heeds_weights():
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=(2, 5, 3)).astype(np.float32)
    weights = np.float32([1, 2, 0, 1, 1])
    shares = weights / weights.sum()

    def mean(a, b):
        return sum(
            shares[i] * shares[j] * np.linalg.norm(a[i] - b[j]) for i in range(5) for j in range(5)
        )

    expected = 2 * mean(x, y) - mean(x, x) - mean(y, y)
    assert float(losses.energy_distance(x, y, weights)) == pytest.approx(expected, rel=1e-4)
    assert float(losses.energy_distance(x, x, weights)) == pytest.approx(0, abs=1e-6)


def test_cell_error_is_0_for_a_copy_and_1_for_silence():
    x, ones = rolls(11), np.ones(3, np.float32)
    assert float(losses.cell_error(x, x, ones)) == 0
    assert float(losses.cell_error(x, 0 * x, ones)) == pytest.approx(1)
    assert float(losses.cell_error(x, 1 - x, ones)) == pytest.approx(x.size / x.sum())
    found = float(losses.cell_error(x, rolls(12), np.float32([0, 0, 1])))
    assert found == pytest.approx(np.abs(x[2] - rolls(12)[2]).sum() / x[2].sum())


def test_the_learning_rate_stays_and_then_falls():
    rate = ConstantThenLinear(0.1, 10, 30)
    for step, expected in ((0, 0.1), (10, 0.1), (20, 0.05), (29, 0.005), (30, 0), (99, 0)):
        assert float(rate(step)) == pytest.approx(expected)
    assert float(ConstantThenLinear(0.1, 30, 30)(29)) == pytest.approx(0.1)


# --- the pool ------------------------------------------------------------------------------------


class ListPool:
    """The same with a Python list, a phrase at a time."""

    def __init__(self, size):
        self.size, self.kept = size, []

    def exchange(self, phrases, places, is_swapped):
        found, is_full = [], len(self.kept) == self.size
        for i, phrase in enumerate(phrases):
            if i >= self.size:
                found.append(phrase)
            elif is_full:
                found.append(self.kept[places[i]] if is_swapped[i] else phrase)
                if is_swapped[i]:
                    self.kept[places[i]] = phrase
            else:
                if len(self.kept) < self.size:
                    self.kept.append(phrase)
                found.append(phrase)
        return np.stack(found)


@pytest.mark.parametrize(("size", "batch"), [(5, 3), (4, 4), (3, 5), (7, 2)])
def test_the_pool_is_a_list_of_earlier_phrases(size, batch):
    pool, expected = Pool(size), ListPool(size)
    pool.build((None, 4))
    rng = np.random.default_rng([size, batch])
    num_old = 0
    for step in range(12):
        phrases = (step * batch + np.arange(batch))[:, None] / 255 * np.ones((1, 4))
        phrases = phrases.astype(np.float32)
        places, is_swapped = rng.permutation(size), rng.random(batch) < 0.5
        found = np.asarray(pool(phrases, places, is_swapped))
        reference = expected.exchange(phrases, places, is_swapped)
        np.testing.assert_allclose(found, reference, atol=1e-6)
        num_old += int((np.abs(found - phrases) > 1e-6).any(axis=1).sum())
    assert num_old > 0
    np.testing.assert_allclose(np.asarray(pool.kept) / 255, np.stack(expected.kept), atol=1e-6)


def test_the_pool_is_state_of_the_training_but_no_weight(tmp_path):
    model = CycleGan(PATCHED, BASE, False, 4, 2, 4)
    assert not any("kept" in v.path for v in model.weights)
    assert sum("/kept" in v.path for v in model.variables) == 4
    for pool in model.copies[0].pools:
        pool.kept.assign(np.ones(pool.kept.shape))
    model.save_weights(tmp_path / "model.weights.h5")
    other = CycleGan(PATCHED, BASE, False, 9, 2, 4)  # a pool of another size does not matter
    other.load_weights(tmp_path / "model.weights.h5")
    assert float(np.sum(other.copies[0].pools[0].kept)) == 0
    for own, loaded in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(own, loaded)


# --- one CycleGAN --------------------------------------------------------------------------------


def cycle(weights=BASE, has_extra=False, pool_size=0, sizes=PATCHED):
    return randomized(Cycle(sizes, weights, has_extra, pool_size, keras.random.SeedGenerator(0)))


@pytest.mark.parametrize("is_binarized", [False, True])
def test_the_generators_loss_is_the_paper_s(is_binarized):
    weights = BASE._replace(
        is_binarized=is_binarized, identity=3.0, content=2.0, extra=0.5, positive=4.0
    )
    model, real = cycle(weights, has_extra=True), [rolls(20), rolls(21)]
    found, fakes = model.generator_loss(real)

    def run(network, x):
        return np.asarray(network(x), np.float64)

    def l1(x, logits):
        return (np.where(x > 0, 4, 1) * np.abs(sigmoid(logits) - x)).mean((1, 2, 3))

    adversarial = cycled = identity = content = 0
    for genre in (0, 1):
        logits = run(model.generators[genre], real[1 - genre])
        fake = (logits > 0).astype(float) if is_binarized else sigmoid(logits)
        np.testing.assert_allclose(np.asarray(fakes[genre]), fake, atol=1e-4)
        adversarial += ((run(model.discriminators[genre], fake) - 1) ** 2).mean(1)
        adversarial += 0.5 * ((run(model.extra_discriminators[genre], fake) - 1) ** 2).mean(1)
        cycled += l1(real[1 - genre], run(model.generators[1 - genre], fake))
        identity += l1(real[genre], run(model.generators[genre], real[genre]))
        content += np.asarray(losses.content_loss(real[1 - genre], logits.astype("f4"), 4.0))
    np.testing.assert_allclose(np.asarray(found["adversarial_loss"]), adversarial, rtol=1e-3)
    np.testing.assert_allclose(np.asarray(found["cycle_loss"]), cycled, rtol=1e-3)
    total = adversarial + 10 * cycled + 3 * identity + 2 * content
    np.testing.assert_allclose(np.asarray(found["loss"]), total, rtol=1e-3)


@pytest.mark.parametrize("has_extra", [False, True])
def test_the_discriminators_loss_is_the_paper_s(has_extra):
    model = cycle(BASE._replace(gamma=0.25), has_extra)
    real, fakes, mixed = [rolls(22), rolls(23)], [rolls(24), rolls(25)], rolls(26)

    def halves(network, truth, fake):
        scores = [np.asarray(network(x), np.float64) for x in (truth, fake)]
        return 0.5 * (((scores[0] - 1) ** 2).mean(1) + (scores[1] ** 2).mean(1))

    expected = sum(halves(model.discriminators[g], real[g], fakes[g]) for g in (0, 1))
    if has_extra:
        pairs = zip(model.extra_discriminators, fakes, strict=True)
        expected = expected + 0.25 * sum(halves(network, mixed, fake) for network, fake in pairs)
    found = np.asarray(model.discriminator_loss(real, fakes, mixed))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_noise_is_that_of_the_authors_code_never_negative():
    model = cycle(BASE._replace(noise=0.5))
    noise = np.asarray(model._noisy(np.zeros((4, *SHAPE), np.float32)))
    assert noise.min() >= 0
    assert noise.mean() == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=0.1)
    again = np.asarray(model._noisy(np.zeros((4, *SHAPE), np.float32)))
    assert (noise != again).any()


def test_both_ways_are_the_generators_at_a_half():
    model, source = cycle(), rolls(27, num=5) > 0
    genres = [1, 0, 1, 1, 0]
    made, back = model.both_ways(source, genres, rows_at_once=2)
    for row, genre in enumerate(genres):
        logits = np.asarray(model.generators[genre](source[row : row + 1].astype("f4")))
        np.testing.assert_array_equal(made[row], logits[0] > 0)
        logits = np.asarray(model.generators[1 - genre](made[row : row + 1].astype("f4")))
        np.testing.assert_array_equal(back[row], logits[0] > 0)


# --- training ------------------------------------------------------------------------------------


def compiled(num_copies, rate=0.01):
    model = CycleGan(PATCHED, BASE, False, 3, num_copies, 4)
    model.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    return model


def test_copies_are_trained_as_if_each_were_alone():
    inputs = np.stack([rolls(30, 4), rolls(31, 4), rolls(32, 4), rolls(33, 4)], axis=1)
    inputs = inputs.reshape(4, 2, 2, *SHAPE)
    both = randomized(compiled(2))
    alone = compiled(1)
    alone.copies[0].set_weights(both.copies[1].get_weights())
    ones = np.ones(4, np.float32)
    for _ in range(3):  # the pools are full then, but not yet exchanged
        both.train_step((inputs, None, ones))
        alone.train_step((inputs[:, 1:], None, ones))
        for pool in (*both.copies[1].pools, *alone.copies[0].pools):
            pool.num_kept.assign(0)
    pairs = zip(both.copies[1].get_weights(), alone.copies[0].get_weights(), strict=True)
    for own, other in pairs:
        np.testing.assert_allclose(own, other, atol=1e-5)
    assert any(
        (own != other).any()
        for own, other in zip(
            both.copies[0].get_weights(), both.copies[1].get_weights(), strict=True
        )
    )


def test_a_step_trains_generators_and_discriminators_and_no_row_of_weight_0():
    model, other = randomized(compiled(1)), randomized(compiled(1))
    before = [v.numpy() for v in model.trainable_variables]
    inputs = np.stack([rolls(34), rolls(35)], axis=1)[:, None]
    more = np.concatenate([inputs, rolls(36, 2)[None, None]], axis=0)
    model.train_step((inputs, None, np.ones(3, np.float32)))
    other.train_step((more, None, np.float32([1, 1, 1, 0])))
    after = [v.numpy() for v in model.trainable_variables]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.8
    for own, with_filling in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(own, with_filling, atol=1e-5)


def test_the_held_out_loss_of_copies_is_1_and_is_lower_for_the_other_genre():
    model = CycleGan(PATCHED._replace(copy_logit=100.0), BASE, False, 0, 2, 4)
    model.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
    inputs = np.stack([rolls(37, 6), np.zeros((6, *SHAPE), np.float32)], axis=1)[:, None]
    data = (inputs, None, np.ones(6, np.float32))
    found = {name: float(value) for name, value in model.test_step(data).items()}
    assert found["genre_distance"] == pytest.approx(1, abs=1e-5)
    assert found["cycle_error"] == 0
    assert found["loss"] == pytest.approx(1, abs=1e-5)
    for copy in model.copies:  # a generator of genre b, which is silence
        copy.generators[1] = lambda x, training: 0 * x - 1
    model.reset_metrics()
    found = {name: float(value) for name, value in model.test_step(data).items()}
    assert found["genre_distance"] == pytest.approx(0.5, abs=1e-5)
    assert found["cycle_error"] == pytest.approx(1 / 2, abs=1e-5)
