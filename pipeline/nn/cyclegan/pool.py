"""Generated phrases of earlier steps, which a discriminator sees among the newest."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Pool(keras.layers.Layer):
    """Returns what it is given, or, each with probability 1/2, one of earlier steps in its place.

    The first `size` phrases are kept and returned. After that a phrase either passes, or takes the
    place of a kept one, which is returned instead. Phrases of one batch go to different places.

    What it keeps are variables, so that a training that was killed goes on with them, but no
    weights: they belong to the training, not to the model, and are not in its file. Kept with 8
    bits a cell, which is exact for 0 and 1.

    Args:
      size: phrases kept; 0 passes all.

    Source: Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through
    Adversarial Training", section 2.3; Zhu et al. 2017 (CycleGAN), section 4, with a size of 50.
    """

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = size

    def build(self, shape: tuple[int | None, ...]) -> None:
        state = {"initializer": "zeros", "trainable": False, "aggregation": "only_first_replica"}
        self.kept = self.add_weight((self.size, *shape[1:]), dtype="uint8", name="kept", **state)
        self.num_kept = self.add_weight((), dtype="int32", name="num_kept", **state)
        self.built = True

    @property
    def weights(self) -> list[keras.Variable]:
        """None: see above."""
        return []

    def save_own_variables(self, store: Any) -> None:
        """Leaves the model's file without them."""

    def load_own_variables(self, store: Any) -> None:
        """There are none in it."""

    def call(self, phrases: Any, places: Any, is_swapped: Any) -> Any:
        """Exchanges a batch.

        Args:
          phrases: in [0, 1]. Shape [batch, ...].
          places: a permutation of the numbers below `size`. Shape [size].
          is_swapped: whether a phrase is exchanged, once the pool is full. Shape [batch].

        Returns:
          As phrases; those beyond the size of the pool pass.
        """
        if not self.size:
            return phrases
        num = ops.minimum(self.size, ops.shape(phrases)[0])
        newest, order = phrases[:num], ops.arange(num)
        is_filling = self.num_kept < self.size
        places = ops.where(is_filling, (self.num_kept + order) % self.size, places[:num])
        is_new = order < self.size - self.num_kept
        is_exchanged = ops.logical_and(ops.logical_not(is_filling), is_swapped[:num])
        kept = ops.take(self.kept, places, axis=0)
        stored = ops.cast(ops.round(255.0 * newest), "uint8")
        stored = ops.where(_rows(ops.logical_or(is_new, is_exchanged), stored), stored, kept)
        self.kept.assign(ops.scatter_update(self.kept, places[:, None], stored))
        self.num_kept.assign(ops.minimum(self.size, self.num_kept + num))
        older = ops.cast(kept, phrases.dtype) / 255.0
        exchanged = ops.where(_rows(is_exchanged, newest), older, newest)
        return ops.concatenate([exchanged, phrases[num:]], axis=0)


def _rows(is_row: Any, like: Any) -> Any:
    """bool [batch] with as many axes as another tensor."""
    return ops.reshape(is_row, (-1, *(1 for _ in like.shape[1:])))
