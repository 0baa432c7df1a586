"""One CycleGAN: two generators, their discriminators and pools, and the losses of a batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from pipeline.nn.cyclegan import losses
from pipeline.nn.cyclegan.networks import Sizes, discriminator, generator
from pipeline.nn.cyclegan.pool import Pool

GENRES = "ab"


class LossWeights(NamedTuple):
    """What the losses are made of.

    Attributes:
      cycle: of the way there and back (lambda).
      identity: of what a generator makes of phrases of its own genre.
      content: of what the pitched tracks no longer sound; see losses.content_loss.
      gamma: of the extra discriminators' own loss.
      extra: of what the extra discriminators say to the generators.
      positive: of cells that sound; see losses.reconstruction_loss.
      reconstruction: its kind.
      noise: standard deviation of the noise on what discriminators see (sigma_D).
      is_binarized: whether discriminators and the way back are given 0 and 1.
    """

    cycle: float
    identity: float
    content: float
    gamma: float
    extra: float
    positive: float
    reconstruction: str
    noise: float
    is_binarized: bool


class Cycle(keras.layers.Layer):
    """Genre a to genre b and back; of each pair the first is of genre a.

    `generators[i]` makes phrases of genre i, `discriminators[i]` tells real ones of that genre from
    them, `extra_discriminators[i]` real ones of any genre.

    Args:
      sizes: of the networks.
      loss_weights: see LossWeights.
      has_extra: whether there are extra discriminators.
      pool_size: of each genre's pool.
      seed_generator: of all that is drawn.
    """

    def __init__(
        self,
        sizes: Sizes,
        loss_weights: LossWeights,
        has_extra: bool,
        pool_size: int,
        seed_generator: keras.random.SeedGenerator,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.sizes, self.loss_weights = sizes, loss_weights
        self.seed_generator = seed_generator
        self.generators = [generator(sizes, f"generator_{g}") for g in GENRES]
        self.discriminators = [discriminator(sizes, f"discriminator_{g}") for g in GENRES]
        self.extra_discriminators = [
            discriminator(sizes, f"extra_discriminator_{g}") for g in GENRES if has_extra
        ]
        self.pools = [Pool(pool_size, name=f"pool_{g}") for g in GENRES]
        for pool in self.pools:
            pool.build((None, *sizes.shape))
        self.built = True

    @property
    def generator_variables(self) -> list[keras.Variable]:
        return [v for network in self.generators for v in network.trainable_variables]

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        networks = [*self.discriminators, *self.extra_discriminators]
        return [v for network in networks for v in network.trainable_variables]

    def transferred(self, rolls: Any, genre: int) -> Any:
        """Phrases made into those of a genre, 0 or 1: float32 [batch, steps, pitches, tracks]."""
        logits = self.generators[genre](rolls, training=False)
        return ops.cast(logits > 0, "float32")

    def both_ways(
        self, source: np.ndarray, genres: list[int], rows_at_once: int = 64
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is made of phrases, and what is made of that again: the way back.

        Args:
          source: bool [phrases, steps, pitches, tracks].
          genres: what each is made into, 0 or 1.
          rows_at_once: phrases held as floats.

        Returns:
          bool, the same shape, each.
        """
        made, back = np.zeros_like(source), np.zeros_like(source)
        for genre in (0, 1):
            rows = np.flatnonzero(np.asarray(genres) == genre)
            for begin in range(0, len(rows), rows_at_once):
                few = rows[begin : begin + rows_at_once]
                there = self.transferred(ops.cast(source[few], "float32"), genre)
                made[few] = ops.convert_to_numpy(there) > 0
                back[few] = ops.convert_to_numpy(self.transferred(there, 1 - genre)) > 0
        return made, back

    def generator_loss(self, real: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """What the generators are to make small.

        Args:
          real: phrases of either genre, 0 or 1. Shape [batch, steps, pitches, tracks] each.

        Returns:
          `loss`, which is the weighted sum, and two of its parts by name, [batch] each; and the
          phrases made, of genre a and of genre b.
        """
        weights = self.loss_weights
        logits = [self._logits(i, real[1 - i]) for i in (0, 1)]
        fakes = [self._sounding(x) for x in logits]
        ways_back = [self._logits(i, fakes[1 - i]) for i in (0, 1)]
        adversarial = sum(self._adversarial_loss(i, fakes[i]) for i in (0, 1))
        cycle = sum(self._reconstruction_loss(real[i], ways_back[i]) for i in (0, 1))
        loss = adversarial + weights.cycle * cycle
        if weights.identity:
            own = [self._logits(i, real[i]) for i in (0, 1)]
            identity = sum(self._reconstruction_loss(real[i], own[i]) for i in (0, 1))
            loss = loss + weights.identity * identity
        if weights.content:
            lost = sum(
                losses.content_loss(real[1 - i], logits[i], weights.positive) for i in (0, 1)
            )
            loss = loss + weights.content * lost
        return {"loss": loss, "adversarial_loss": adversarial, "cycle_loss": cycle}, fakes

    def discriminator_loss(self, real: list[Any], fakes: list[Any], mixed: Any) -> Any:
        """What the discriminators are to make small; the pools exchange what was made.

        Args:
          real, fakes: phrases of either genre. Shape [batch, steps, pitches, tracks] each.
          mixed: real phrases of all genres, for the extra discriminators.

        Returns:
          Shape [batch].
        """
        loss = 0.0
        for i in (0, 1):
            fake = self._pooled(i, ops.stop_gradient(fakes[i]))
            pairs = [(self.discriminators[i], real[i], 1.0)]
            if self.extra_discriminators:
                pairs.append((self.extra_discriminators[i], mixed, self.loss_weights.gamma))
            for network, truth, weight in pairs:
                both = self._noisy(ops.concatenate([truth, fake], axis=0))
                scores = ops.split(_scores(network, both), 2)  # examples do not touch each other
                loss = loss + weight * losses.discriminator_loss(*scores)
        return loss

    def _logits(self, genre: int, rolls: Any) -> Any:
        return ops.cast(self.generators[genre](rolls, training=True), "float32")

    def _sounding(self, logits: Any) -> Any:
        probabilities = ops.sigmoid(logits)
        return losses.binarized(probabilities) if self.loss_weights.is_binarized else probabilities

    def _adversarial_loss(self, genre: int, fake: Any) -> Any:
        noisy = self._noisy(fake)
        loss = losses.least_squares(_scores(self.discriminators[genre], noisy), 1.0)
        if self.extra_discriminators and self.loss_weights.extra:
            scores = _scores(self.extra_discriminators[genre], noisy)
            loss = loss + self.loss_weights.extra * losses.least_squares(scores, 1.0)
        return loss

    def _reconstruction_loss(self, rolls: Any, logits: Any) -> Any:
        weights = self.loss_weights
        return losses.reconstruction_loss(rolls, logits, weights.reconstruction, weights.positive)

    def _noisy(self, rolls: Any) -> Any:
        """As the authors' code, which adds no negative noise."""
        if not self.loss_weights.noise:
            return rolls
        noise = keras.random.normal(
            ops.shape(rolls), stddev=self.loss_weights.noise, seed=self.seed_generator
        )
        return rolls + ops.abs(noise)

    def _pooled(self, genre: int, fakes: Any) -> Any:
        pool = self.pools[genre]
        if not pool.size:
            return fakes
        places = keras.random.shuffle(ops.arange(pool.size), seed=self.seed_generator)
        draws = keras.random.uniform((ops.shape(fakes)[0],), seed=self.seed_generator)
        return pool(fakes, places, draws < 0.5)


def _scores(network: keras.Model, rolls: Any) -> Any:
    return ops.cast(network(rolls, training=True), "float32")
