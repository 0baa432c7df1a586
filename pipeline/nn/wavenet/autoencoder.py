"""Encoder and decoder as one model, trained by what the decoder gives to each sample."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.nn.compiled import compiled
from pipeline.nn.wavenet.decoder import Decoder
from pipeline.nn.wavenet.encoder import Encoder


class WavenetAutoencoder(keras.Model):
    """Classes [batch, samples] -> logits [batch, samples, classes] of the same samples.

    Loss and gradients are one compiled program: Keras itself compiles nothing where operations must
    be deterministic, and that costs this network half its speed (docs/performance.md).

    Where the optimizer averages the weights, validation and `get_weights`, and so the best weights
    that a checkpoint keeps, are of the averages.

    Args:
      encoder: classes -> embeddings.
      decoder: classes and embeddings -> logits.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, **kwargs: Any):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        self.compiled_gradients = compiled(self._gradients)
        self.compiled_scores = compiled(self._scores)

    def build(self, *_: Any) -> None:
        self.encoder.build()
        self.decoder.build()
        self.built = True

    def call(self, classes: Any) -> Any:
        return self.decoder(classes, self.encoder(classes))

    def train_step(self, data: Any) -> dict[str, Any]:
        classes = keras.utils.unpack_x_y_sample_weight(data)[0]
        loss, gradients = self.compiled_gradients(classes)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self._logged(classes, loss)

    def test_step(self, data: Any) -> dict[str, Any]:
        classes = keras.utils.unpack_x_y_sample_weight(data)[0]
        nll, _ = self.compiled_scores(classes, self.encoder(classes))
        return self._logged(classes, ops.mean(nll))

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As Keras's, with the averages of the weights."""
        own = super().get_weights()
        self.set_weights(self.get_weights())
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self.set_weights(own)

    def get_weights(self) -> list[np.ndarray]:
        """The weights, or what the optimizer has as their moving averages."""
        optimizer = self.optimizer
        if optimizer is None or not optimizer.use_ema or int(optimizer.iterations) == 0:
            return super().get_weights()
        averages = optimizer._model_variables_moving_average
        found = {id(v): a for v, a in zip(self.trainable_variables, averages, strict=True)}
        return [np.array(found.get(id(v), v)) for v in self.weights]

    def embeddings(self, classes: np.ndarray, batch_size: int) -> np.ndarray:
        """What notes are encoded as.

        Args:
          classes: integers. Shape [notes, samples].
          batch_size: notes encoded at once.

        Returns:
          float32 [notes, frames, embedding_size]; the last frame is filled up with silence.
        """
        missing = -classes.shape[1] % self.encoder.hop_length
        silence = self.decoder.num_classes // 2
        filled = np.pad(classes.astype(np.int32), ((0, 0), (0, missing)), constant_values=silence)
        rows = [self.encoder(filled[i : i + batch_size]) for i in range(0, len(filled), batch_size)]
        return np.concatenate([np.asarray(row, np.float32) for row in rows])

    def note_scores(
        self, classes: np.ndarray, embeddings: np.ndarray, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums of -log p over each note's samples, in nats, and how many are the likeliest.

        Args:
          classes: integers. Shape [notes, samples].
          embeddings: Shape [notes, frames, embedding_size]; samples is a multiple of frames.
          batch_size: notes at once; the last ones are repeated up to it, since each number of
            notes would be compiled for itself.

        Returns:
          float64 [notes] each.
        """
        found = []
        for first in range(0, len(classes), batch_size):
            rows = first + np.arange(batch_size)
            rows = rows[rows < len(classes)]
            padded = np.resize(rows, batch_size)
            given = classes[padded].astype(np.int32), embeddings[padded].astype(np.float32)
            scores = self.compiled_scores(*given)
            found.append([np.asarray(s, np.float64)[: len(rows)].sum(axis=1) for s in scores])
        nll, right = (np.concatenate(column) for column in zip(*found, strict=True))
        return nll, right

    def _gradients(self, classes: Any) -> tuple[Any, list[Any]]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            nll = _nll(classes, self.call(classes))
            loss = ops.mean(nll)
            scaled = self.optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, self.trainable_variables)

    def _scores(self, classes: Any, embeddings: Any) -> tuple[Any, Any]:
        logits = self.decoder(classes, embeddings)
        is_right = ops.cast(ops.argmax(logits, axis=-1), "int32") == ops.cast(classes, "int32")
        return _nll(classes, logits), ops.cast(is_right, "float32")

    def _logged(self, classes: Any, loss: Any) -> dict[str, Any]:
        self._loss_tracker.update_state(loss, sample_weight=ops.shape(classes)[0])
        return self.get_metrics_result()


def _nll(classes: Any, logits: Any) -> Any:
    """float32 [batch, samples]. Not by one_hot, and so without a scatter in its gradient."""
    return keras.losses.sparse_categorical_crossentropy(classes, logits, from_logits=True)
