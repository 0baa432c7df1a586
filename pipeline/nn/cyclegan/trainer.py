"""Several CycleGANs, alike but for what they draw, in one training."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from pipeline.nn.cyclegan import losses
from pipeline.nn.cyclegan.cycle import Cycle, LossWeights
from pipeline.nn.cyclegan.networks import Sizes

_TRAINING = ("adversarial_loss", "cycle_loss", "discriminator_loss")
_VALIDATION = ("genre_distance", "cycle_error")


class CycleGan(keras.Model):
    """Copies of one CycleGAN, each from weights of its own and on phrases of its own.

    So one training tells how much its results depend on chance. Copies share nothing but the
    optimizers, which treat each weight by itself.

    Inputs are float32 [batch, copies, genres, steps, pitches, tracks]: a phrase of genre a, one of
    genre b and, with extra discriminators, one of any genre. Held-out phrases may be the same for
    all copies: [batch, 1, 2, ...].

    `loss` is the generators' in training, but `val_loss` is not: a discriminator's opinion changes
    as it learns, so that losses of two epochs cannot be compared, and the first epoch, whose
    discriminators know nothing, would often be the best. See `test_step` for what it is.

    Args:
      sizes, loss_weights, has_extra, pool_size: see Cycle.
      num_copies: how many.
      steps_per_bar: of a phrase.
    """

    def __init__(
        self,
        sizes: Sizes,
        loss_weights: LossWeights,
        has_extra: bool,
        pool_size: int,
        num_copies: int,
        steps_per_bar: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.steps_per_bar, self.has_extra = steps_per_bar, has_extra
        self.seed_generator = keras.random.SeedGenerator()
        self.copies = [
            Cycle(sizes, loss_weights, has_extra, pool_size, self.seed_generator, name=f"copy_{i}")
            for i in range(num_copies)
        ]
        self.means = {name: keras.metrics.Mean(name=name) for name in (*_TRAINING, *_VALIDATION)}
        self.built = True

    def compile(self, optimizer: Any, discriminator_optimizer: Any) -> None:
        """Takes the generators' optimizer and the discriminators', and makes their variables."""
        super().compile(optimizer=optimizer, jit_compile=False)
        if self.dtype_policy.name == "mixed_float16":  # Keras has wrapped only its own
            discriminator_optimizer = keras.optimizers.LossScaleOptimizer(discriminator_optimizer)
        self.discriminator_optimizer = discriminator_optimizer
        self.optimizer.build(self.generator_variables)
        self.discriminator_optimizer.build(self.discriminator_variables)

    @property
    def generator_variables(self) -> list[keras.Variable]:
        return [v for copy in self.copies for v in copy.generator_variables]

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        return [v for copy in self.copies for v in copy.discriminator_variables]

    def call(self, phrases: Any, training: bool = False) -> Any:
        """What each copy makes of inputs, of either genre the other: [batch, copies, 2, ...]."""
        made = [
            [copy.transferred(phrases[:, i % phrases.shape[1], g], 1 - g) for g in (0, 1)]
            for i, copy in enumerate(self.copies)
        ]
        return ops.stack([ops.stack(pair, axis=1) for pair in made], axis=1)

    def train_step(self, data: Any) -> dict[str, Any]:
        """The generators against the discriminators as they are, then these against what was made.

        Source: the authors' model.py, `train`.
        """
        inputs, _, weights = data
        weights = weights / tf.reduce_sum(weights)
        real = [[inputs[:, i, g] for g in range(inputs.shape[2])] for i in range(len(self.copies))]
        with tf.GradientTape() as tape:
            made = [c.generator_loss(r[:2]) for c, r in zip(self.copies, real, strict=True)]
            loss = sum(tf.reduce_sum(weights * found["loss"]) for found, _ in made)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.generator_variables
        gradients = tape.gradient(scaled, variables)
        with tf.GradientTape() as tape:
            own = [
                c.discriminator_loss(r[:2], fakes, r[-1])
                for c, r, (_, fakes) in zip(self.copies, real, made, strict=True)
            ]
            own_loss = sum(tf.reduce_sum(weights * found) for found in own)
            scaled = self.discriminator_optimizer.scale_loss(own_loss)
        own_variables = self.discriminator_variables
        own_gradients = tape.gradient(scaled, own_variables)
        self.optimizer.apply(gradients, variables)
        self.discriminator_optimizer.apply(own_gradients, own_variables)
        count = len(self.copies)
        means = {"discriminator_loss": own_loss / count}
        for name in ("adversarial_loss", "cycle_loss"):
            means[name] = sum(tf.reduce_sum(weights * found[name]) for found, _ in made) / count
        return self._told(loss / count, means)

    def test_step(self, data: Any) -> dict[str, Any]:
        """How far what is made is from the genre it is to be of, and the way back from the source.

        `genre_distance` is the energy distance of the profiles of made and real phrases of the
        batch, both ways, as a share of that between the genres: 1 for phrases left as they are,
        near 0 for those that cannot be told from real ones. `cycle_error` is the number of cells
        that are wrong after the way there and back, for each cell that sounds: 0 for phrases left
        as they are, 1 for silence. The loss is their sum, the mean over copies. No network that
        learns has a say in it, nor has the classifier that judges the samples.
        """
        inputs, _, weights = data
        distances, errors = [], []
        for i, copy in enumerate(self.copies):
            real = [inputs[:, i % inputs.shape[1], g] for g in (0, 1)]
            made = [copy.transferred(real[1 - g], g) for g in (0, 1)]
            back = [copy.transferred(made[1 - g], g) for g in (0, 1)]
            of_real, of_made = (
                [losses.profile(rolls, self.steps_per_bar) for rolls in pair]
                for pair in (real, made)
            )
            apart = losses.energy_distance(of_real[0], of_real[1], weights)
            for g in (0, 1):
                distance = losses.energy_distance(of_real[g], of_made[g], weights)
                distances.append(tf.math.divide_no_nan(distance, apart))
                errors.append(losses.cell_error(real[g], back[g], weights))
        means = {
            "genre_distance": sum(distances) / len(distances),
            "cycle_error": sum(errors) / len(errors),
        }
        return self._told(sum(means.values()), means)

    def get_metrics_result(self) -> dict[str, Any]:
        """What was told since the last reset, over all replicas.

        Keras takes a step's own numbers, which are one replica's, if these have other names.
        """
        # The sum makes a number of what is a variable on each replica.
        metrics = [metric for metric in self.metrics if float(0.0 + metric.count) > 0]
        return {metric.name: metric.result() for metric in metrics}

    def _told(self, loss: Any, means: dict[str, Any]) -> dict[str, Any]:
        self._loss_tracker.update_state(loss)
        for name, value in means.items():
            self.means[name].update_state(value)
        return {"loss": self._loss_tracker.result()} | {n: self.means[n].result() for n in means}
