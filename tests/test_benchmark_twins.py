"""The PyTorch twins give what the Keras networks give, in small; wants the extra `bench`."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[bench]'")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks.twins import cover_gan, wgan_gp  # noqa: E402
from benchmarks.twins.lstm import LstmLm  # noqa: E402
from benchmarks.twins.transformer import RelativeTransformer  # noqa: E402
from pipeline.nn.adversarial.critic import critic  # noqa: E402
from pipeline.nn.adversarial.generators import convolutional  # noqa: E402
from pipeline.nn.piano_roll import Geometry  # noqa: E402
from pipeline.nn.pictures import dcgan  # noqa: E402
from pipeline.nn.pictures.trainer import PictureGan  # noqa: E402
from pipeline.nn.recurrent.lstm import FastLSTM  # noqa: E402
from pipeline.nn.transformer.decoder import TransformerDecoder  # noqa: E402

STEPS = 12


def random_ids() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 9, (2, STEPS), dtype=np.int32)


def with_random_weights(layer):
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return layer


def test_the_lstm_language_model():
    ids = keras.Input((STEPS,), dtype="int32")
    x = FastLSTM(6)(FastLSTM(6)(keras.layers.Embedding(9, 5)(ids)))
    model = with_random_weights(keras.Model(ids, keras.layers.Dense(8)(x)))
    theirs = LstmLm(model)(torch.from_numpy(random_ids()).long()).detach()
    np.testing.assert_allclose(model(random_ids()), theirs, atol=1e-4)


@pytest.fixture(scope="module")
def decoder():
    layer = TransformerDecoder(
        num_classes=8,
        window_steps=STEPS,
        num_layers=2,
        num_heads=2,
        hidden_size=8,
        key_size=4,
        filter_size=16,
        max_distance=5,
        dropout_rate=0.0,
    )
    layer.build((None, STEPS))
    return with_random_weights(layer)


@pytest.mark.parametrize("chunk", [None, 5, 12])
def test_the_relative_transformer_in_any_chunks(decoder, chunk):
    theirs = RelativeTransformer(decoder, chunk)(torch.from_numpy(random_ids()).long()).detach()
    np.testing.assert_allclose(decoder(random_ids()), theirs, atol=1e-4)


def test_the_relative_transformer_step_by_step(decoder):
    twin, ids = RelativeTransformer(decoder), torch.from_numpy(random_ids()).long()
    caches = twin.empty_caches(2, STEPS)
    with torch.no_grad():
        theirs = torch.stack([twin.step(ids[:, t], t, caches) for t in range(STEPS)], 1)
    np.testing.assert_allclose(decoder(random_ids()), theirs, atol=1e-4)


AXES = Geometry(num_bars=2, steps_per_beat=4, num_pitches=24, num_tracks=3)
has_convolutions = pytest.mark.parametrize("has_convolutions", [True, False])


@has_convolutions
def test_the_gans_critic_and_what_a_penalty_takes_of_it(has_convolutions):
    model = with_random_weights(critic(AXES, 4, (2, 3), (4, 5), 8))
    rng = np.random.default_rng(2)
    rolls = rng.random((5, *AXES.shape), np.float32)
    genres = np.int32([0, 1, 2, 3, 1])
    given = torch.from_numpy(rolls).requires_grad_()
    scores = wgan_gp.Critic(model, AXES, has_convolutions)(given, torch.from_numpy(genres).long())
    np.testing.assert_allclose(model([rolls, genres]), scores.detach(), rtol=1e-4, atol=1e-4)
    (theirs,) = torch.autograd.grad(scores.sum(), given)
    with tf.GradientTape() as tape:
        x = tf.constant(rolls)
        tape.watch(x)
        own = tape.gradient(model([x, tf.constant(genres)]), x)
    np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-4)


@has_convolutions
@pytest.mark.parametrize("private_sizes", [(3,), (3, 2)])
def test_the_gans_convolutional_generator(has_convolutions, private_sizes):
    model = convolutional(AXES, 4, 6, (8, 6, 4), private_sizes)
    model = with_random_weights(model)
    latents = np.random.default_rng(3).normal(size=(5, 6)).astype(np.float32)
    genres = np.int32([0, 1, 2, 3, 1])
    twin = wgan_gp.Generator(model, AXES, has_convolutions)
    theirs = twin(torch.from_numpy(latents), torch.from_numpy(genres).long()).detach()
    np.testing.assert_allclose(model([latents, genres]), theirs, rtol=1e-3, atol=1e-4)


def cover_networks(channels=(6, 5, 4), latent_size=3):
    """A generator and a discriminator of pictures of 32 pixels."""
    return (
        with_random_weights(dcgan.generator(channels, latent_size, 0, "none")),
        with_random_weights(dcgan.discriminator(channels[::-1], 7, 0, "none")),
    )


def test_the_cover_gans_generator():
    model, _ = cover_networks()
    latents = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
    theirs = cover_gan.Generator(model)(torch.from_numpy(latents)).detach().permute(0, 2, 3, 1)
    assert theirs.std() > 0.1
    np.testing.assert_allclose(model([latents]), theirs, rtol=1e-3, atol=1e-4)


def test_the_cover_gans_discriminator_and_what_a_penalty_takes_of_it():
    _, model = cover_networks()
    pictures = np.random.default_rng(5).uniform(-1, 1, (5, 32, 32, 3)).astype(np.float32)
    given = torch.from_numpy(pictures).requires_grad_()
    scores = cover_gan.Discriminator(model)(given.permute(0, 3, 1, 2))
    np.testing.assert_allclose(model([pictures]), scores.detach(), rtol=1e-3, atol=1e-3)
    (theirs,) = torch.autograd.grad(scores.sum(), given)
    with tf.GradientTape() as tape:
        x = tf.constant(pictures)
        tape.watch(x)
        own = tape.gradient(model([x]), x)
    np.testing.assert_allclose(own, theirs, rtol=1e-3, atol=1e-3)


def test_the_cover_gans_step():
    """Losses before each of three steps by plain descent, the same noise given to both."""
    generator, discriminator = cover_networks()
    model = PictureGan(
        generator=generator,
        discriminator=discriminator,
        condition=None,
        latent_size=3,
        loss="wasserstein",
        discriminator_optimizer=keras.optimizers.SGD(1e-4),
        penalty=10.0,
    )
    model.compile(keras.optimizers.SGD(1e-4))
    step = cover_gan.Step(
        cover_gan.Discriminator(discriminator),
        cover_gan.Generator(generator),
        10.0,
        torch.contiguous_format,
        lambda parameters: torch.optim.SGD(parameters, 1e-4),
    )
    seeds = keras.random.SeedGenerator(0)
    seeds.state.assign(model.seeds.state)
    rng = np.random.default_rng(6)
    for _ in range(3):
        pictures = rng.uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
        shapes = ((4, 3), (4, 1, 1, 1), (4, 3))
        kinds = (keras.random.normal, keras.random.uniform, keras.random.normal)
        drawn = [kind(shape, seed=seeds).numpy() for kind, shape in zip(kinds, shapes, strict=True)]
        latents, mix, next_latents = (torch.from_numpy(x) for x in drawn)
        given = torch.from_numpy(pictures).permute(0, 3, 1, 2)
        theirs = [*step.discriminator_step(given, latents, mix), step.generator_step(next_latents)]
        model.reset_metrics()
        ones = np.ones(4, np.float32)
        found = model.train_on_batch(pictures, ones[:, None], ones, return_dict=True)
        own = [float(found[k]) for k in ("loss", "gradient_penalty", "generator_loss")]
        np.testing.assert_allclose(own, theirs, rtol=2e-3, atol=2e-3)
