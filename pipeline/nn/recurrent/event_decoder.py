"""LSTM layers over events: a whole window at once, or an event at a time."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.nn.recurrent.lstm import FastLSTM


class RecurrentDecoder(keras.layers.Layer):
    """Events to logits of the events that follow them.

    The first layer is given a learned vector of an event, not its one-hot.

    Args:
      num_classes: of the events; the input 0 stands for the start, i + 1 for event i.
      units: of each LSTM layer, the lowest first.
      dropout_rate: part of each layer's outputs that is set to 0 in training, anew at each step.

    Source: magenta, performance_rnn/performance_model.py, `performance_with_dynamics`.
    """

    window_steps = None  # the state forgets by itself; nothing ends

    def __init__(
        self, num_classes: int, units: tuple[int, ...], dropout_rate: float, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.num_classes, self.units = num_classes, tuple(units)
        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(num_classes + 1, self.units[0], dtype=policy)
        self.layers = [
            FastLSTM(n, dtype=policy, name=f"lstm_{i}") for i, n in enumerate(self.units)
        ]
        self.dropout = keras.layers.Dropout(dropout_rate)
        self.logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embedding.build(input_shape)
        for size, layer in zip((self.units[0], *self.units), self.layers, strict=False):
            layer.build((None, None, size))
        self.logits.build((None, None, self.units[-1]))
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Maps ids [batch, steps] (0: the start, i + 1: event i) to logits of each event.

        Returns:
          float32 [batch, steps, num_classes].
        """
        x = self.embedding(inputs)
        for layer in self.layers:
            x = self.dropout(layer(x), training=training)
        return self.logits(x)

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        return keras.KerasTensor((*inputs.shape, self.num_classes), dtype="float32")

    def initial_state(self, num_rows: int, capacity: int) -> list[Any]:
        """Zeros: h and c of each layer, [rows, units]; as large for any number of events."""
        return [ops.zeros((num_rows, n), self.compute_dtype) for n in self.units for _ in range(2)]

    def step(self, inputs: Any, position: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """One event for each row.

        Args:
          inputs: ids as in `call`. Shape [rows].
          position: not needed; see nn/cached_decoding.py.
          state: of initial_state or the step before.

        Returns:
          Logits [rows, num_classes] and the new state.
        """
        x, new_state = self.embedding(inputs), []
        for i, layer in enumerate(self.layers):
            x, own = layer.step(x, state[2 * i : 2 * i + 2])
            new_state += own
        return self.logits(x), new_state
