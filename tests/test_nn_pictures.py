"""The trainer of picture GANs, its losses, networks and conditions against formulas and loops."""

import itertools

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402
from keras import ops  # noqa: E402
from PIL import Image  # noqa: E402

from pipeline.nn.pictures import condition, dcgan, losses, trainer  # noqa: E402

SIZE, LATENT, CONDITION, ROWS = 8, 3, 2, 4


def noise(*shape, seed=0):
    return np.random.default_rng([seed, 5]).normal(size=shape).astype(np.float32)


def array(x):
    return ops.convert_to_numpy(x)


# --- losses --------------------------------------------------------------------------------------


def test_logistic_losses_are_cross_entropies():
    real, fake = noise(6), noise(6, seed=1)
    p_real, p_fake = (1 / (1 + np.exp(-x.astype(np.float64))) for x in (real, fake))
    of_both = -np.log(p_real).mean() - np.log(1 - p_fake).mean()
    assert float(losses.of_discriminator("logistic", real, fake)) == pytest.approx(of_both, 1e-5)
    assert float(losses.of_generator("logistic", fake)) == pytest.approx(
        -np.log(p_fake).mean(), 1e-5
    )


def test_wasserstein_losses_are_differences_of_means():
    real, fake = np.float32([1, 3]), np.float32([5, 8])
    assert float(losses.of_discriminator("wasserstein", real, fake)) == 4.5
    assert float(losses.of_generator("wasserstein", fake)) == -6.5


def test_thumbnails_are_pillows_box_filter():
    levels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    found = array(losses.thumbnails(levels.astype(np.float32))).reshape(2, 8, 8, 3)
    for one, picture in zip(found, levels, strict=True):
        expected = np.asarray(Image.fromarray(picture).resize((8, 8), Image.Resampling.BOX))
        np.testing.assert_allclose(one, expected, atol=1)  # it rounds twice


def test_energy_scores_of_a_loop():
    real, first, second = (noise(5, 7, seed=s) for s in range(3))
    expected = [
        (np.linalg.norm(a - x) + np.linalg.norm(b - x) - np.linalg.norm(a - b)) / 2
        for x, a, b in zip(real, first, second, strict=True)
    ]
    np.testing.assert_allclose(losses.energy_scores(real, first, second), expected, rtol=1e-5)


@pytest.mark.parametrize("fault", ["ignores the condition", "draws one for all", "is shifted"])
def test_the_energy_score_is_least_for_the_true_distribution(fault):
    rng = np.random.default_rng(0)
    condition = rng.normal(size=(20_000, 1))
    real, first, second = (condition + 0.5 * rng.normal(size=condition.shape) for _ in range(3))
    faulty = {
        "ignores the condition": lambda x: rng.permutation(x),
        "draws one for all": lambda x: condition,
        "is shifted": lambda x: x + 0.5,
    }[fault]
    true = array(losses.energy_scores(real, first, second)).mean()
    assert array(losses.energy_scores(real, faulty(first), faulty(second))).mean() > true + 0.02


# --- conditions ----------------------------------------------------------------------------------


def test_conditions_are_principal_components_of_standardised_vectors():
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    vectors = noise(50, 6) @ noise(6, 6, seed=1) + 3
    layer = condition.Condition(6, 3)
    layer.fit(vectors)
    found = array(layer(vectors))
    expected = PCA(3).fit_transform(StandardScaler().fit_transform(vectors))
    expected *= np.sign((expected * found).sum(axis=0))
    expected /= np.sqrt((expected**2).mean())
    np.testing.assert_allclose(found, np.clip(expected, -4, 4), atol=1e-4)
    assert np.square(expected).mean() == pytest.approx(1)


def test_what_does_not_vary_gives_zeros():
    vectors = noise(20, 4)
    vectors[:, 1] = 7
    layer = condition.Condition(4, 4)
    layer.fit(vectors)
    vectors[:, 1] = 1000
    assert np.isfinite(array(layer(vectors))).all()
    assert not array(layer.matrix)[1].any()
    layer.fit(np.ones((5, 4), np.float32))
    assert not array(layer(vectors)).any()


def test_an_odd_track_is_held_within_bounds():
    layer = condition.Condition(4, 2)
    layer.fit(noise(20, 4))
    assert np.abs(array(layer(1e6 * noise(3, 4)))).max() == 4


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalisation", ["batch", "layer", "none"])
@pytest.mark.parametrize("size", [0, CONDITION])
def test_networks_of_any_size(normalisation, size):
    for channels in ((4,), (6, 4, 3)):
        pictures = 4 * 2 ** len(channels)
        generator = dcgan.generator(channels, LATENT, size, normalisation)
        given = [noise(2, size)] if size else []
        drawn = array(generator([noise(2, LATENT), *given]))
        assert drawn.shape == (2, pictures, pictures, 3)
        assert np.abs(drawn).max() <= 1
        discriminator = dcgan.discriminator(channels[::-1], 5, size, normalisation)
        assert discriminator([drawn, *given]).shape == (2,)
        assert len(generator.inputs) == len(discriminator.inputs) == 1 + bool(size)


def test_the_projection_of_a_loop():
    features, conditions = keras.Input((5,)), keras.Input((CONDITION,))
    model = keras.Model([features, conditions], dcgan.projection(features, conditions))
    kernel, bias = (array(v) for v in model.trainable_variables)
    x, c = noise(3, 5), noise(3, CONDITION, seed=1)
    expected = [np.dot(a, b @ kernel + bias) / 5**0.5 for a, b in zip(x, c, strict=True)]
    np.testing.assert_allclose(model([x, c]), expected, rtol=1e-5)


def test_layer_normalisation_is_over_all_of_a_picture():
    x = noise(2, 4, 4, 3) * 5 + 2
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, dcgan._normalised(inputs, "layer"))
    axes = (1, 2, 3)
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3)
    np.testing.assert_allclose(model(x), expected, atol=1e-4)


def test_layers_do_not_begin_alike():
    model = dcgan.discriminator((4, 4, 4), 5, 0, "none")
    kernels = [array(v) for v in model.trainable_variables if v.shape == (4, 4, 4, 4)]
    assert len(kernels) == 2
    assert not np.array_equal(*kernels)


# --- trainer -------------------------------------------------------------------------------------


def linear_networks():
    """A generator and a discriminator whose gradients can be written down."""
    z, c = keras.Input((LATENT,)), keras.Input((CONDITION,))
    flat = keras.layers.Dense(SIZE**2 * 3, name="draw")(ops.concatenate([z, c], axis=-1))
    generator = keras.Model([z, c], ops.reshape(flat, (-1, SIZE, SIZE, 3)))
    x, c = keras.Input((SIZE, SIZE, 3)), keras.Input((CONDITION,))
    features = keras.layers.Dense(CONDITION, use_bias=False)(keras.layers.Flatten()(x))
    discriminator = keras.Model([x, c], ops.sum(features * c, axis=-1))
    return generator, discriminator


def identity():
    layer = condition.Condition(CONDITION, CONDITION)
    layer.matrix.assign(np.eye(CONDITION))
    return layer


def gan(rate=0.1, loss="wasserstein", networks=None, **options):
    generator, discriminator = networks or linear_networks()
    model = trainer.PictureGan(
        generator, discriminator, identity(), LATENT, loss, keras.optimizers.SGD(rate), **options
    )
    model.compile(keras.optimizers.SGD(rate))
    return model


def data(rows=ROWS, seed=0):
    vectors = np.clip(noise(rows, CONDITION, seed=seed + 1), -2, 2)
    pictures = np.tanh(noise(rows, SIZE, SIZE, 3, seed=seed))
    return tuple(tf.constant(x) for x in (pictures, vectors, np.ones(rows, np.float32)))


def deterministic_fakes(model):
    """Makes the generator deaf to its noise; returns a function of conditions to its pictures."""
    kernel, bias = model.generator.get_layer("draw").weights
    kernel.assign(np.concatenate([np.zeros((LATENT, kernel.shape[1])), array(kernel)[LATENT:]]))
    weights, added = array(kernel)[LATENT:], array(bias)
    return lambda conditions: conditions @ weights + added


def projected(pictures, conditions):
    """d mean(D) / d kernel, where D is the sum of (picture @ kernel) * condition."""
    flat, conditions = np.reshape(array(pictures), (len(conditions), -1)), array(conditions)
    return flat.T @ conditions / len(conditions)


def without_noise(weight):
    """A weight but for what depends on the noise: the generator's rows of latents."""
    return array(weight)[LATENT if weight.shape[0] == LATENT + CONDITION else 0 :]


def test_a_wasserstein_step_is_the_difference_of_gradients():
    model = gan()
    fakes_of = deterministic_fakes(model)
    pictures, vectors, ones = data()
    before = array(model.discriminator.trainable_variables[0])
    expected = before + 0.1 * (
        projected(pictures, vectors) - projected(fakes_of(array(vectors)), array(vectors))
    )
    told = model.train_step((pictures, vectors, ones))
    np.testing.assert_allclose(model.discriminator.trainable_variables[0], expected, atol=1e-5)
    # The generator then went up its slope: its bias by the mean of kernel @ condition.
    slope = (array(vectors) @ expected.T).mean(axis=0)
    bias = model.generator.get_layer("draw").bias
    np.testing.assert_allclose(bias, 0.1 * slope, atol=1e-5)
    assert np.isfinite([float(value) for value in told.values()]).all()


def test_pictures_with_anothers_condition_count_by_their_share():
    model = gan(mismatch=0.25)
    fakes_of = deterministic_fakes(model)
    pictures, vectors, ones = data()
    others = np.roll(vectors, 1, axis=0)
    expected = array(model.discriminator.trainable_variables[0]) + 0.1 * (
        projected(pictures, vectors)
        - 0.75 * projected(fakes_of(array(vectors)), array(vectors))
        - 0.25 * projected(pictures, others)
    )
    model.train_step((pictures, vectors, ones))
    np.testing.assert_allclose(model.discriminator.trainable_variables[0], expected, atol=1e-5)


def test_each_critic_step_has_its_own_part_of_the_batch():
    model, batch = gan(num_critic_steps=2), data(2 * ROWS)
    other, parts = gan(), [[x[i : i + ROWS] for x in batch] for i in (0, ROWS)]
    other.set_weights(model.get_weights())
    deterministic_fakes(model), deterministic_fakes(other)
    model.train_step(batch)
    for part in parts:
        other._discriminator_step(part[0], other.conditions(part[1]))
    other._generator_step(other.conditions(parts[1][1]), ROWS)
    for found, expected in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_allclose(without_noise(found), without_noise(expected), atol=1e-6)


def test_the_penalty_is_of_the_gradients_length():
    """Of D(x) = sum((x @ kernel) * c) it is |kernel @ c|, wherever x is."""
    model = gan(penalty=10.0)
    pictures, vectors, _ = data()
    fakes = tf.zeros_like(pictures)
    kernel = array(model.discriminator.trainable_variables[0])
    lengths = np.linalg.norm(array(vectors) @ kernel.T, axis=1)
    found = float(model._gradient_penalty(pictures, fakes, [vectors]))
    assert found == pytest.approx(np.square(lengths - 1).mean(), rel=1e-4)


class Pull:
    """Half the sum of squares of a network's weights: its gradient is the weights."""

    def __init__(self, interval):
        self.interval, self.shapes = interval, []

    def __call__(self, network, inputs):
        self.shapes.append([tuple(x.shape) for x in inputs])
        return 0.5 * sum(ops.sum(ops.square(v.value)) for v in network.trainable_variables)


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_a_regulariser_is_added_to_every_nth_step_n_times(side, interval):
    plain, pull = gan(), Pull(interval)
    model = gan(**{f"{side}_regularisers": [pull]})
    step = tf.function(model.train_step)
    for index in range(4):
        for x in (model, plain):
            deterministic_fakes(x)
        plain.set_weights(model.get_weights())
        batch = data(seed=10 * index)
        before = [array(v) for v in getattr(model, side).trainable_variables]
        plain.train_step(batch), step(batch)
        added = 0.1 * interval if index % interval == 0 else 0.0
        after = [getattr(x, side).trainable_variables for x in (model, plain)]
        for found, without, old in zip(*after, before, strict=True):
            expected = without_noise(without) - added * without_noise(old)
            np.testing.assert_allclose(without_noise(found), expected, atol=2e-5)
    first = (ROWS, LATENT) if side == "generator" else (ROWS, SIZE, SIZE, 3)
    assert pull.shapes[0] == [first, (ROWS, CONDITION)]


class Darken(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.seen, self.real = [], []

    def call(self, pictures):
        self.seen.append(pictures)
        return 0.5 * pictures

    def update(self, logits):
        self.real.append(array(logits))


def test_all_that_the_discriminator_sees_is_augmented_and_real_logits_adapt_it():
    augmentation = Darken()
    model = gan(rate=1e-9, augmentation=augmentation)
    pictures, vectors, ones = data()
    model.train_step((pictures, vectors, ones))
    assert len(augmentation.seen) == 3  # drawn, real, and drawn for the generator's step
    logits = model.discriminator([0.5 * pictures, vectors])
    np.testing.assert_allclose(augmentation.real[0], logits, rtol=1e-4)


class Last(keras.layers.Layer):
    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, []

    def update(self, network, num_pictures):
        self.calls.append(int(num_pictures))
        self.network.set_weights(network.get_weights())


def test_the_average_is_updated_after_each_step_and_draws():
    average = Last(linear_networks()[0])
    model = gan(average=average)
    given = [noise(2, LATENT), noise(2, CONDITION)]
    first = array(model(given))
    model.train_step(data())
    assert average.calls == [ROWS]
    np.testing.assert_array_equal(model(given), model.generator([given[0], given[1]]))
    assert np.abs(first - array(model(given))).max() > 1e-3


def test_the_validation_loss_is_the_energy_score_of_all_rows_by_weight():
    model = gan()
    pictures, vectors, _ = data(6)
    weights = tf.constant(np.float32([1, 1, 0, 1, 1, 0]))
    found = float(model.test_step((pictures, vectors, weights))["loss"])
    again = float(model.test_step((pictures, vectors, weights))["loss"])
    latents = array(keras.random.normal((2, 6, LATENT), seed=trainer._VALIDATION_SEED))
    drawn = [losses.thumbnails(model([z, vectors])) for z in latents]
    scores = array(losses.energy_scores(losses.thumbnails(pictures), *drawn))
    assert found == again == pytest.approx(scores[[0, 1, 3, 4]].mean(), rel=1e-5)


@pytest.mark.parametrize("loss", ["logistic", "wasserstein"])
def test_equal_seeds_give_equal_bytes(loss):
    def trained():
        keras.utils.set_random_seed(3)
        networks = (
            dcgan.generator((4,), LATENT, CONDITION, "batch"),
            dcgan.discriminator((4,), 5, CONDITION, "none"),
        )
        model = gan(1e-3, loss, networks, penalty=10.0 * (loss == "wasserstein"), mismatch=0.5)
        batches = tf.data.Dataset.from_tensors(data()).repeat()
        model.fit(batches, steps_per_epoch=3, epochs=1, verbose=0, shuffle=False)
        return [array(v).tobytes() for v in model.variables]

    assert trained() == trained()


def test_without_a_condition_vectors_are_not_looked_at():
    generator = dcgan.generator((4,), LATENT, 0, "batch")
    discriminator = dcgan.discriminator((4,), 5, 0, "batch")
    model = trainer.PictureGan(
        generator, discriminator, None, LATENT, "logistic", keras.optimizers.SGD(0.1), mismatch=0.5
    )
    model.compile(keras.optimizers.SGD(0.1))
    pictures, vectors, ones = data()
    told = [float(v) for v in model.train_step((pictures, vectors * np.nan, ones)).values()]
    assert np.isfinite(told).all()
    drawn = [array(model([noise(2, LATENT), noise(2, 1, seed=s)])) for s in range(2)]
    for one, other in itertools.pairwise(drawn):
        np.testing.assert_array_equal(one, other)
