"""Stacks of LSTM layers in one loop, with attention over the recent past where wanted."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.nn.recurrent.attention_lstm import Weights, attention_lstm


class RecurrentStack(keras.layers.Layer):
    """LSTM layers on top of each other, dropout on each one's output at each step.

    Layers without attention run in one loop, so that a layer's step t can overlap step t + 1 of the
    one below. With `attention_length` the first layer is an AttentionCell around the LSTM.

    Args:
      units: of each layer, the lowest first.
      dropout_rate: part of each layer's outputs that is set to 0 in training, anew at each step.
      attention_length: outputs of the first layer that it attends to; 0 for none.

    Source: magenta, models/shared/events_rnn_graph.py, make_rnn_cell.
    """

    def __init__(
        self,
        units: tuple[int, ...],
        dropout_rate: float = 0.0,
        attention_length: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = tuple(units)
        self.dropout_rate = dropout_rate
        self.seed_generator = keras.random.SeedGenerator()
        policy = self.dtype_policy
        cells = [
            keras.layers.LSTMCell(n, dtype=policy, name=f"lstm_{i}")
            for i, n in enumerate(self.units)
        ]
        self.attention: Any = None
        self.rnn: Any = None
        if attention_length:
            self.attention = AttentionCell(cells.pop(0), attention_length, dtype=policy)
        if cells:
            self.rnn = keras.layers.RNN(
                StackCell(cells, dtype=policy), return_sequences=True, dtype=policy
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.input_size = size = input_shape[-1]
        if self.attention:
            self.attention.build((None, size))
            size = self.units[0]
        if self.rnn:
            self.rnn.build((None, None, size))
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Maps float [batch, steps, size] to the top layer's outputs [batch, steps, units[-1]]."""
        masks = []
        if training and self.dropout_rate:
            masks = self._dropout_masks(inputs)
        if not self.attention:
            return self._above(inputs, masks)
        # Independent loops over halves of the batch keep two cores busy.
        num_rows = ops.shape(inputs)[0]
        half = (num_rows + 2 * _ROWS - 1) // (2 * _ROWS) * _ROWS
        filled = [_with_rows(x, 2 * half) for x in (inputs, *masks)]
        outputs = []
        for part in (slice(None, half), slice(half, None)):
            below, *above = (x[part] for x in filled)
            below = self.attention.sequence(below)
            if masks:
                below *= above.pop(0)
            outputs.append(self._above(below, above) if self.rnn else below)
        return ops.concatenate(outputs, axis=0)[:num_rows]

    def step(self, inputs: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """One step without dropout: float [batch, size], state -> [batch, units[-1]], state."""
        below: list[Any] = []
        if self.attention:
            count = len(self.attention.state_size)
            inputs, below = self.attention(inputs, state[:count])
            state = state[count:]
        if self.rnn:
            inputs, state = self.rnn.cell(inputs, state)
        return inputs, [*below, *state]

    def initial_state(self, batch_size: int) -> list[Any]:
        """The state before the first event, all zeros: a list of tensors [batch, ...]."""
        below = self.attention.get_initial_state(batch_size) if self.attention else []
        return [*below, *(self.rnn.cell.get_initial_state(batch_size) if self.rnn else [])]

    def _above(self, inputs: Any, masks: list[Any]) -> Any:
        """The layers without attention; a mask for each."""
        if not masks:
            return self.rnn(inputs)
        return self.rnn(ops.concatenate([inputs, *masks[:-1]], axis=-1)) * masks[-1]

    def _dropout_masks(self, inputs: Any) -> list[Any]:
        """For each layer 0 or 1 / (1 - rate), [batch, steps, units]."""
        shape = (*ops.shape(inputs)[:2], sum(self.units))
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.dropout_rate
        masks = ops.cast(kept, inputs.dtype) / (1 - self.dropout_rate)
        ends = [sum(self.units[: i + 1]) for i in range(len(self.units))]
        return [masks[..., end - n : end] for n, end in zip(self.units, ends, strict=True)]


# The attention loop is compiled anew for each number of rows: few different ones must occur.
_ROWS = 8


def _with_rows(values: Any, num_rows: Any) -> Any:
    missing = num_rows - ops.shape(values)[0]
    return ops.pad(values, ((0, missing), (0, 0), (0, 0)))


class UnpackBits(keras.layers.Layer):
    """Maps uint8 [..., bytes] to its bits as 0.0 or 1.0 [..., 8 * bytes]; undoes np.packbits."""

    def call(self, inputs: Any) -> Any:
        shifts = ops.arange(7, -1, -1, dtype="int32")
        bits = ops.bitwise_and(ops.right_shift(ops.cast(inputs, "int32")[..., None], shifts), 1)
        shape = ops.shape(inputs)
        return ops.cast(ops.reshape(bits, (*shape[:-1], 8 * shape[-1])), self.compute_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        shape = (*inputs.shape[:-1], 8 * inputs.shape[-1])
        return keras.KerasTensor(shape, dtype=self.compute_dtype)


class StackCell(keras.layers.Layer):
    """Recurrent cells on top of each other as one cell.

    Inputs may carry, after their own values, a mask to multiply each but the last cell's output
    with: drawing all masks before the loop costs a fraction of drawing them in it.

    Args:
      cells: the lowest first.
    """

    def __init__(self, cells: list[Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.cells = cells
        self.state_size = [size for cell in cells for size in cell.state_size]
        self.output_size = cells[-1].output_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        size = self.input_size = input_shape[-1]
        for cell in self.cells:
            cell.build((None, size))
            size = cell.output_size
        self.built = True

    def call(self, inputs: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        has_masks = inputs.shape[-1] > self.input_size
        outputs, start = inputs[:, : self.input_size], self.input_size
        states, new_states = list(states), []
        for cell in self.cells:
            num_states = len(cell.state_size)
            outputs, new = cell(outputs, states[:num_states])
            new_states += new
            states = states[num_states:]
            if has_masks and cell is not self.cells[-1]:
                outputs *= inputs[:, start : start + cell.output_size]
                start += cell.output_size
        return outputs, new_states

    def get_initial_state(self, batch_size: int) -> list[Any]:
        return [s for cell in self.cells for s in cell.get_initial_state(batch_size)]


class AttentionCell(keras.layers.Layer):
    """An LSTM cell that attends to its own last outputs at each step.

        x'_t = A [x_t, a_{t-1}] + b_A                         size of x
        c_t, h_t = LSTM(x'_t)
        s_i = v . tanh(W o_i + Q [c_t, h_t] + b_Q)            i = t - length .. t - 1
        a_t = sum_i softmax(s)_i o_i                          o_i = 0 before the first step
        o_t = O [h_t, a_t] + b_O                              the output

    The keys W o_i are kept in the state: each is computed once, not `length` times. The window is
    a ring: the softmax's sum does not ask for order. A and O begin as [1, 0], so that training
    starts from the bare LSTM; from random ones it first takes hundreds of steps to let it through.

    Args:
      cell: a keras.layers.LSTMCell.
      length: how many outputs it attends to.

    Source: tf.contrib.rnn.AttentionCellWrapper (TensorFlow 1.15), after Bahdanau et al. 2014,
      section 3.1.
    """

    def __init__(self, cell: Any, length: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.cell, self.length = cell, length
        self.output_size = units = cell.units
        self.state_size = [*cell.state_size, units, (length, units), (length, units)]
        dense, policy = keras.layers.Dense, self.dtype_policy
        self.query_projection = dense(units, dtype=policy, name="query_projection")
        self.key_projection = dense(units, use_bias=False, dtype=policy, name="key_projection")
        self.output_projection = dense(
            units, kernel_initializer="identity", dtype=policy, name="output_projection"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        size, units = input_shape[-1], self.output_size
        self.input_projection = keras.layers.Dense(
            size,
            kernel_initializer="identity",
            dtype=self.dtype_policy,
            name="input_projection",
        )
        self.input_projection.build((None, size + units))
        self.cell.build((None, size))
        self.query_projection.build((None, 2 * units))
        self.key_projection.build((None, units))
        self.output_projection.build((None, 2 * units))
        self.score = self.add_weight(shape=(units,), initializer="glorot_uniform", name="score")
        self.built = True

    def call(self, inputs: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        h, c, attended, window, keys = states
        mixed = self.input_projection(ops.concatenate([inputs, attended], axis=-1))
        h, (h, c) = self.cell(mixed, [h, c])
        query = self.query_projection(ops.concatenate([c, h], axis=-1))
        scores = ops.matmul(ops.tanh(keys + query[:, None]), self.score[:, None])
        weights = ops.softmax(scores, axis=1)  # [batch, length, 1]
        attended = ops.sum(weights * window, axis=1)
        outputs = self.output_projection(ops.concatenate([h, attended], axis=-1))
        window = ops.concatenate([window[:, 1:], outputs[:, None]], axis=1)
        key = self.key_projection(outputs)
        keys = ops.concatenate([keys[:, 1:], key[:, None]], axis=1)
        return outputs, [h, c, attended, window, keys]

    def sequence(self, inputs: Any) -> Any:
        """All steps from a state of zeros: float [batch, steps, size] -> [batch, steps, units].

        The input projection is linear, so its part of the gates is computed for all steps at once,
        and its part for the attended vector is folded into the recurrent weights.
        """
        size = inputs.shape[-1]
        projection = ops.convert_to_tensor(self.input_projection.kernel)
        kernel = ops.convert_to_tensor(self.cell.kernel)
        mixed = ops.matmul(inputs, projection[:size]) + self.input_projection.bias
        weights = Weights(
            recurrent=ops.concatenate(
                [ops.matmul(projection[size:], kernel), self.cell.recurrent_kernel], axis=0
            ),
            query=self.query_projection.kernel,
            query_bias=self.query_projection.bias,
            key=self.key_projection.kernel,
            score=self.score,
            output=self.output_projection.kernel,
            output_bias=self.output_projection.bias,
        )
        weights = Weights(*(ops.convert_to_tensor(x) for x in weights))
        return attention_lstm(ops.matmul(mixed, kernel) + self.cell.bias, weights, self.length)

    def get_initial_state(self, batch_size: int) -> list[Any]:
        state = self.cell.get_initial_state(batch_size)
        units = self.output_size
        shapes = [(units,), (self.length, units), (self.length, units)]
        zeros = [ops.zeros((batch_size, *shape), state[0].dtype) for shape in shapes]
        return [*state, *zeros]
