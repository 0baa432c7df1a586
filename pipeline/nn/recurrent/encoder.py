"""A sequence of classes -> the mean and the scale of a normal distribution over its latent."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.nn.recurrent.lstm import FastLSTM


class BidirectionalEncoder(keras.layers.Layer):
    """Bidirectional LSTM layers, whose last outputs of both directions give mean and scale.

    The reference starts the weights of mean and scale, and those from the latent to the decoder's
    first state, near 0. It then takes hundreds of batches until the decoder listens to the latent.

    Args:
      num_classes: of each part.
      units: of each direction of each layer, the lowest first.
      latent_size: length of mean and scale.

    Source: magenta models/music_vae/lstm_models.py, BidirectionalLstmEncoder, and
      base_model.py, encode.
    """

    def __init__(
        self, num_classes: tuple[int, ...], units: tuple[int, ...], latent_size: int, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.num_classes, self.units = tuple(num_classes), tuple(units)
        self.forwards, self.backwards = (
            [FastLSTM(n, name=f"{direction}_{i}") for i, n in enumerate(units)]
            for direction in ("forwards", "backwards")
        )
        self.mean = keras.layers.Dense(latent_size, dtype="float32", name="mean")
        self.scale = keras.layers.Dense(
            latent_size, activation="softplus", dtype="float32", name="scale"
        )

    def build(self, *_: Any) -> None:
        sizes = [sum(self.num_classes), *(2 * n for n in self.units)]
        for layer, size in zip(self.forwards + self.backwards, 2 * sizes[:-1], strict=True):
            layer.build((None, None, size))
        for dense in (self.mean, self.scale):
            dense.build((None, sizes[-1]))
        self.built = True

    def call(self, windows: Any) -> tuple[Any, Any]:
        """Maps int32 classes [batch, steps, parts] to mean and scale [batch, latent_size]."""
        outputs = ops.concatenate(
            [
                ops.one_hot(windows[..., i], n, dtype=self.compute_dtype)
                for i, n in enumerate(self.num_classes)
            ],
            axis=-1,
        )
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            ahead, back = forwards(outputs), backwards(ops.flip(outputs, axis=1))
            outputs = ops.concatenate([ahead, ops.flip(back, axis=1)], axis=-1)
        last = ops.concatenate([ahead[:, -1], back[:, -1]], axis=-1)
        return self.mean(last), self.scale(last) + 1e-6
