"""Phrases cut into patches: one matrix product in place of a stack of strided convolutions."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Patches(keras.layers.Layer):
    """Cuts rolls into patches that do not overlap, each laid out as one vector.

    A dense layer behind it is a convolution whose stride is its kernel, and on a processor without
    accelerator many times as fast.

    Args:
      patch_steps, patch_pitches: size of a patch; they divide the roll's.
    """

    def __init__(self, patch_steps: int, patch_pitches: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.patch_steps, self.patch_pitches = patch_steps, patch_pitches

    def call(self, rolls: Any) -> Any:
        """[batch, steps, pitches, tracks] -> [batch, rows, columns, cells of a patch]."""
        steps, pitches, tracks = rolls.shape[1:]
        rows, columns = steps // self.patch_steps, pitches // self.patch_pitches
        cells = self.patch_steps * self.patch_pitches * tracks
        if columns > 1:  # else nothing moves, which saves a copy
            axes = (-1, rows, self.patch_steps, columns, self.patch_pitches, tracks)
            rolls = ops.transpose(ops.reshape(rolls, axes), (0, 1, 3, 2, 4, 5))
        return ops.reshape(rolls, (-1, rows, columns, cells))


class Unpatched(keras.layers.Layer):
    """Puts the vectors of `Patches` back in their places.

    Args:
      patch_steps, patch_pitches: size of a patch.
    """

    def __init__(self, patch_steps: int, patch_pitches: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.patch_steps, self.patch_pitches = patch_steps, patch_pitches

    def call(self, vectors: Any) -> Any:
        """[batch, rows, columns, cells of a patch] -> [batch, steps, pitches, tracks]."""
        rows, columns, cells = vectors.shape[1:]
        tracks = cells // (self.patch_steps * self.patch_pitches)
        if columns > 1:
            axes = (-1, rows, columns, self.patch_steps, self.patch_pitches, tracks)
            vectors = ops.transpose(ops.reshape(vectors, axes), (0, 1, 3, 2, 4, 5))
        shape = (-1, rows * self.patch_steps, columns * self.patch_pitches, tracks)
        return ops.reshape(vectors, shape)
