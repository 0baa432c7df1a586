"""A generator against a critic: Wasserstein's distance, with a penalty on the critic's gradient.

Source: Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", algorithm 1.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

from pipeline.nn.adversarial.chords import ChordTable, chords_of
from pipeline.nn.adversarial.losses import binarize, gradient_penalty, moments
from pipeline.nn.compiled import compiled
from pipeline.nn.piano_roll import Geometry


class ConditionalWgan(keras.Model):
    """What `fit` trains: batches of (rolls, genres, weights), the rolls of all the critic's steps.

    Args:
      axes: of a phrase.
      generator: of logits, as in generators.py.
      critic: as in critic.py; it is given chords if the generator is.
      latent_size: of the noise.
      num_genres: classes of the condition.
      num_critic_steps: of the critic, each with its own part of the batch, to one of the generator.
      penalty: weight of the gradient penalty.
      critic_optimizer: of the critic; that of the generator is `compile`'s.
    """

    def __init__(
        self, axes: Geometry, generator, critic, latent_size: int, num_genres: int,
        num_critic_steps: int, penalty: float, critic_optimizer, **options,
    ):  # fmt: skip
        super().__init__(**options)
        self.axes = axes
        self.generator, self.critic = generator, critic
        self.latent_size, self.num_genres = latent_size, num_genres
        self.num_critic_steps, self.penalty = num_critic_steps, penalty
        self.critic_optimizer = critic_optimizer
        self.seeds = keras.random.SeedGenerator()
        self.has_chords = len(generator.inputs) == 3
        self.chord_table = ChordTable(num_genres) if self.has_chords else None
        self.means = {
            name: keras.metrics.Mean(name=name)
            for name in ("loss", "generator_loss", "gradient_penalty")
        }
        self._critic_gradients = compiled(self._gradients_of_critic)
        self._generator_gradients = compiled(self._gradients_of_generator)
        critic_optimizer.build(critic.trainable_variables)
        self.built = True

    @property
    def metrics(self):
        return list(self.means.values())

    def get_metrics_result(self):
        """What was told since the last reset, over all replicas; Keras would take one's own."""
        metrics = [metric for metric in self.metrics if float(0.0 + metric.count) > 0]
        return {metric.name: metric.result() for metric in metrics}

    def call(self, inputs, training=False):
        """Logits, of [latents, genres] and perhaps chords."""
        return self.generator(inputs, training=training)

    def train_step(self, data):
        rolls, genres, _ = data
        genres = ops.cast(genres, "int32")
        rows = ops.shape(rolls)[0] // self.num_critic_steps  # on several devices not always even
        for step in range(self.num_critic_steps):
            part, labels = (x[step * rows : (step + 1) * rows] for x in (rolls, genres))
            conditions = self._conditions(part, labels)
            gradients, distance, penalty = self._critic_gradients(part, conditions)
            self.critic_optimizer.apply(gradients, self.critic.trainable_variables)
        if self.chord_table is not None:
            self.chord_table.update(conditions[1], conditions[0])
        gradients, loss = self._generator_gradients(conditions)
        self.optimizer.apply(gradients, self.generator.trainable_variables)
        return self._updated(loss=distance, generator_loss=loss, gradient_penalty=penalty)

    def test_step(self, data):
        """The loss that picks the best epoch: how far the genres' mean phrases are from real ones.

        The critic's own distance cannot: it is of this critic, against this generator.
        """
        rolls, genres, _ = data
        conditions = self._conditions(rolls, ops.cast(genres, "int32"))
        fakes = binarize(self._generated(conditions, training=False))
        classes = ops.one_hot(conditions[0], self.num_genres)
        real, fake = (
            ops.matmul(ops.transpose(classes), moments(x, self.axes)) for x in (rolls, fakes)
        )
        counts = ops.sum(classes, axis=0)[:, None]
        gap = ops.divide_no_nan(real - fake, counts)
        return self._updated(loss=ops.mean(ops.sum(ops.square(gap), axis=-1)))

    def _conditions(self, rolls, genres):
        return [genres, chords_of(rolls, self.axes)] if self.has_chords else [genres]

    def _generated(self, conditions, training):
        shape = (ops.shape(conditions[0])[0], self.latent_size)
        latents = keras.random.normal(shape, seed=self.seeds)
        return self.generator([latents, *conditions], training=training)

    def _gradients_of_critic(self, rolls, conditions):
        fakes = tf.stop_gradient(binarize(self._generated(conditions, training=True)))
        mix = keras.random.uniform((ops.shape(rolls)[0], 1, 1, 1), seed=self.seeds)
        between = mix * rolls + (1 - mix) * fakes
        variables = [v.value for v in self.critic.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(between)
                scores = self.critic([between, *conditions], training=True)
            penalty = gradient_penalty(inner.gradient(scores, between))
            # Apart from each other: a phrase is compared with those of its batch.
            of_real, of_fake = (
                self.critic([x, *conditions], training=True) for x in (rolls, fakes)
            )
            distance = ops.mean(of_real) - ops.mean(of_fake)
            loss = self.penalty * penalty - distance
        return tape.gradient(loss, variables), distance, penalty

    def _gradients_of_generator(self, conditions):
        variables = [v.value for v in self.generator.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            fakes = binarize(self._generated(conditions, training=True))
            loss = -ops.mean(self.critic([fakes, *conditions], training=True))
        return tape.gradient(loss, variables), loss

    def _updated(self, **values):
        for name, value in values.items():
            self.means[name].update_state(value)
        return {name: self.means[name].result() for name in values}
