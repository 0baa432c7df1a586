"""A generator of pictures against a discriminator: one training for all architectures and losses.

Source: Goodfellow et al. 2014, algorithm 1; Gulrajani et al. 2017, algorithm 1 (num_critic_steps,
gradient penalty); Karras et al. 2020 (StyleGAN2), section 3.1 (lazy regularisation).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf
from keras import ops

from pipeline.nn.adversarial.losses import gradient_penalty
from pipeline.nn.pictures import losses


class Regulariser(Protocol):
    """A term of a network's loss; with variables of its own it is a keras.layers.Layer.

    It is added to the loss of every `interval`-th step, multiplied by it. So each network takes one
    step of its optimizer at a time, and rates and betas stay as they are; Karras et al. take a step
    of its own for it, which no replica could take alone.

    Attributes:
      interval: in steps.
    """

    interval: int

    def __call__(self, network: keras.Model, inputs: list[Any]) -> Any:
        """The term, weight included; inputs: latents (for the discriminator: real pictures, as
        augmented), and conditions unless there are none."""


class Augmentation(Protocol):
    """A random change of pictures, differentiable, that the discriminator sees all of them by."""

    def __call__(self, pictures: Any) -> Any:
        """float32 [batch, size, size, 3] in -1..1 to the same shape."""

    def update(self, logits: Any) -> None:
        """Takes the discriminator's logits of a batch of real pictures, [batch]: adapts itself."""


class Average(Protocol):
    """A copy of the generator whose weights follow those of the one that is trained.

    Attributes:
      network: the copy.
    """

    network: keras.Model

    def update(self, network: keras.Model, num_pictures: Any) -> None:
        """Moves the copy towards the network, after a step on so many pictures."""


class PictureGan(keras.Model):
    """What `fit` trains: batches of (pictures, vectors, weights), those of all the critic's steps.

    Pictures are float32 [batch, size, size, 3] in -1..1; vectors are the encoder's, [batch, size],
    and anything, if there is no condition.

    `loss` is the discriminator's in training; see `test_step` for what `val_loss` is.

    Args:
      generator: of [latents [batch, latent_size], conditions [batch, condition_size]], or of
        [latents], to pictures.
      discriminator: of [pictures, conditions], or of [pictures], to logits [batch].
      condition: layer of the encoder's vectors to conditions; None for none.
      latent_size: of the noise.
      loss: "logistic", non-saturating, or "wasserstein".
      discriminator_optimizer: that of the generator is `compile`'s.
      num_critic_steps: of the discriminator, each with its own part of the batch, to one of the
        generator.
      penalty: weight of the gradient penalty; 0: none.
      mismatch: share, among what the discriminator is to tell from real pairs, of real pictures
        with another's condition (Reed et al. 2016, section 4.2, has 0.5); 0: none.
      generator_regularisers, discriminator_regularisers: see Regulariser.
      augmentation: see Augmentation; None for none.
      average: see Average; None: the generator itself is used.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        condition: keras.layers.Layer | None,
        latent_size: int,
        loss: str,
        discriminator_optimizer: keras.optimizers.Optimizer,
        num_critic_steps: int = 1,
        penalty: float = 0.0,
        mismatch: float = 0.0,
        generator_regularisers: Sequence[Any] = (),
        discriminator_regularisers: Sequence[Any] = (),
        augmentation: Any = None,
        average: Any = None,
        **options: Any,
    ):
        super().__init__(**options)
        self.generator, self.discriminator, self.condition = generator, discriminator, condition
        self.latent_size, self.kind = latent_size, loss
        self.discriminator_optimizer = discriminator_optimizer
        self.num_critic_steps, self.penalty = num_critic_steps, penalty
        self.mismatch = mismatch if condition is not None else 0.0
        self.generator_regularisers = list(generator_regularisers)
        self.discriminator_regularisers = list(discriminator_regularisers)
        self.augmentation, self.average = augmentation, average
        self.seeds = keras.random.SeedGenerator()
        self.step = self.add_weight(
            (), "zeros", dtype="int64", trainable=False, name="step", aggregation="mean"
        )
        self.means = {name: keras.metrics.Mean(name=name) for name in ("loss", *_TRAINING)}
        discriminator_optimizer.build(discriminator.trainable_variables)
        self.built = True

    def compile(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Takes the generator's optimizer, and makes its variables."""
        super().compile(optimizer=optimizer, jit_compile=False)  # XLA's convolutions are slower
        self.optimizer.build(self.generator.trainable_variables)

    @property
    def sampler(self) -> keras.Model:
        """The generator to draw with."""
        return self.generator if self.average is None else self.average.network

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.means.values())

    def get_metrics_result(self) -> dict[str, Any]:
        """What was told since the last reset, over all replicas; Keras would take one's own."""
        metrics = [metric for metric in self.metrics if float(0.0 + metric.count) > 0]
        return {metric.name: metric.result() for metric in metrics}

    def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
        """Pictures, of [latents, vectors]; vectors are those of the encoder."""
        latents, vectors = inputs
        return self.sampler([latents, *self.conditions(vectors)], training=training)

    def conditions(self, vectors: Any) -> list[Any]:
        """What the networks take beside pictures or latents: a list of one, or of none."""
        return [] if self.condition is None else [self.condition(vectors)]

    def train_step(self, data: Any) -> dict[str, Any]:
        pictures, vectors, _ = data
        rows = ops.shape(pictures)[0] // self.num_critic_steps
        for step in range(self.num_critic_steps):
            part = slice(step * rows, (step + 1) * rows)
            conditions = self.conditions(vectors[part])
            told = self._discriminator_step(pictures[part], conditions)
        told |= self._generator_step(conditions, rows)
        if self.average is not None:
            self.average.update(self.generator, rows)
        self.step.assign_add(1)
        return self._updated(**told)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The energy score of what is drawn for each held-out condition, by thumbnails.

        The mean distance of two covers from the real one, less half the distance of the two. It is
        least for the true distribution given the condition: who ignores that, draws one cover for
        all, or draws covers unlike the real ones, pays for it. The noise is the same in all epochs.
        The discriminator's opinion would not do: it changes as it learns.

        Source: Gneiting and Raftery 2007, "Strictly Proper Scoring Rules", section 4.3.
        """
        pictures, vectors, weights = data
        shape = (2, ops.shape(pictures)[0], self.latent_size)
        latents = keras.random.normal(shape, seed=_VALIDATION_SEED)
        drawn = [losses.thumbnails(self([z, vectors])) for z in (latents[0], latents[1])]
        scores = losses.energy_scores(losses.thumbnails(pictures), *drawn)
        self.means["loss"].update_state(scores, weights)
        return {"loss": self.means["loss"].result()}

    def _discriminator_step(self, pictures: Any, conditions: list[Any]) -> dict[str, Any]:
        network, variables = self.discriminator, _values(self.discriminator)
        fakes = self._seen(tf.stop_gradient(self._drawn(conditions, ops.shape(pictures)[0])))
        pictures = self._seen(pictures)
        penalty = 0.0
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            if self.penalty:
                penalty = self._gradient_penalty(pictures, fakes, conditions)
            # Apart from each other: a picture is compared with those of its batch.
            of_real, of_fake = (network([x, *conditions], training=True) for x in (pictures, fakes))
            loss = losses.of_discriminator(self.kind, of_real, of_fake)
            if self.mismatch:
                others = [ops.roll(condition, 1, axis=0) for condition in conditions]
                of_other = network([pictures, *others], training=True)
                apart = losses.of_discriminator(self.kind, of_real, of_other)
                loss = (1 - self.mismatch) * loss + self.mismatch * apart
            total = loss + self.penalty * penalty
        gradients = tape.gradient(total, variables)
        inputs = [pictures, *conditions]
        for regulariser in self.discriminator_regularisers:
            gradients = self._regularised(gradients, regulariser, network, inputs)
        self.discriminator_optimizer.apply(gradients, network.trainable_variables)
        if self.augmentation is not None:
            self.augmentation.update(of_real)
        told = {"gradient_penalty": penalty} if self.penalty else {}
        return {"loss": loss, "real_logits": ops.mean(of_real), **told}

    def _generator_step(self, conditions: list[Any], rows: Any) -> dict[str, Any]:
        variables = _values(self.generator)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            fakes = self._seen(self._drawn(conditions, rows))
            logits = self.discriminator([fakes, *conditions], training=True)
            loss = losses.of_generator(self.kind, logits)
        gradients = tape.gradient(loss, variables)
        for regulariser in self.generator_regularisers:
            inputs = [self._latents(rows), *conditions]
            gradients = self._regularised(gradients, regulariser, self.generator, inputs)
        self.optimizer.apply(gradients, self.generator.trainable_variables)
        return {"generator_loss": loss, "fake_logits": ops.mean(logits)}

    def _regularised(
        self, gradients: list[Any], regulariser: Any, network: keras.Model, inputs: list[Any]
    ) -> list[Any]:
        """Gradients with those of a term added, if this is a step for it."""
        variables = _values(network)

        def added() -> list[Any]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                term = regulariser.interval * regulariser(network, inputs)
            more = tape.gradient(term, variables, unconnected_gradients="zero")
            return [g + m for g, m in zip(gradients, more, strict=True)]

        if regulariser.interval == 1:
            return added()
        return tf.cond(self.step.value % regulariser.interval == 0, added, lambda: gradients)

    def _gradient_penalty(self, pictures: Any, fakes: Any, conditions: list[Any]) -> Any:
        mix = keras.random.uniform((ops.shape(pictures)[0], 1, 1, 1), seed=self.seeds)
        between = mix * pictures + (1 - mix) * fakes
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(between)
            scores = self.discriminator([between, *conditions], training=True)
        return gradient_penalty(tape.gradient(scores, between))

    def _drawn(self, conditions: list[Any], rows: Any) -> Any:
        return self.generator([self._latents(rows), *conditions], training=True)

    def _latents(self, rows: Any) -> Any:
        return keras.random.normal((rows, self.latent_size), seed=self.seeds)

    def _seen(self, pictures: Any) -> Any:
        return pictures if self.augmentation is None else self.augmentation(pictures)

    def _updated(self, **values: Any) -> dict[str, Any]:
        for name, value in values.items():
            self.means[name].update_state(value)
        return {name: self.means[name].result() for name in values}


_TRAINING = ("generator_loss", "gradient_penalty", "real_logits", "fake_logits")
_VALIDATION_SEED = 20


def _values(network: keras.Model) -> list[Any]:
    """TensorFlow's own variables: Keras's cannot be watched."""
    return [variable.value for variable in network.trainable_variables]
