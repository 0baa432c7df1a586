"""keras.layers.LSTM with its gradient written out, and its loops compiled.

The gradient that TensorFlow derives of the loop multiplies for dU at each step. Here the backward
loop computes only the gradient of the gates; one matrix product each, over all steps, then gives
those of the weights.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.nn.compiled import compiled, has_gpu


class FastLSTM(keras.layers.LSTM):
    """Equal to keras.layers.LSTM: the same weights, arguments and results.

    What the written-out loop does not cover (masks, dropout inside the cell, other activations,
    going backwards) runs as Keras's own does, and so does all of it on a GPU, by cuDNN. The loop
    is compiled for each new shape: keep batch size and steps the same in training.

    Args:
      units: size of the state and of the output.
      return_sequences: whether the output is that of each step, or only the last one's.
      **kwargs: as keras.layers.LSTM's.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """

    def __init__(self, units: int, return_sequences: bool = True, **kwargs: Any):
        super().__init__(units, return_sequences=return_sequences, **kwargs)

    def step(self, inputs: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """One step: float [batch, size], [h, c] of [batch, units] each -> (h, [h, c])."""
        return self.cell(inputs, state)

    def inner_loop(
        self, sequences: Any, initial_state: list[Any], mask: Any, training: bool = False
    ) -> tuple[Any, Any, list[Any]]:
        """What keras.layers.LSTM.call calls: -> (last output, outputs, [h, c])."""
        if mask is not None or not self._is_plain or has_gpu():
            return super().inner_loop(sequences, initial_state, mask, training)
        by_step = ops.transpose(sequences, (1, 0, 2))
        # Independent loops over halves of the batch keep two cores busy.
        num_rows = sequences.shape[0] or ops.shape(sequences)[0]
        half = (num_rows + 1) // 2
        parts = [slice(None)] if sequences.shape[0] == 1 else [slice(None, half), slice(half, None)]
        runs = [self._run(by_step[:, p], *(x[p] for x in initial_state)) for p in parts]
        outputs, cell = (ops.concatenate(x, axis=-2) for x in zip(*runs, strict=True))
        return outputs[-1], ops.transpose(outputs, (1, 0, 2)), [outputs[-1], cell]

    @property
    def _is_plain(self) -> bool:
        cell, tanh, sigmoid = self.cell, keras.activations.tanh, keras.activations.sigmoid
        has_dropout = cell.dropout or cell.recurrent_dropout
        is_usual = (cell.activation, cell.recurrent_activation) == (tanh, sigmoid)
        return is_usual and cell.use_bias and not has_dropout and not self.go_backwards

    def _run(self, inputs: Any, h: Any, c: Any) -> tuple[Any, Any]:
        """[steps, batch, size] -> outputs [steps, batch, units], the last cell [batch, units]."""
        weights = (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        # Values: variables among its arguments are not what a custom gradient differentiates.
        kernel, recurrent_kernel, bias = (ops.copy(x) for x in weights)
        gates = ops.matmul(inputs, kernel) + bias
        states = lstm(gates, recurrent_kernel, h, c)
        return states[:-1], states[-1]


def lstm(gates: Any, recurrent_kernel: Any, h: Any, c: Any) -> Any:
    """The recurrence of an LSTM.

    Args:
      gates: what inputs and biases add to the gates i, f, g, o. Shape [steps, batch, 4 units].
      recurrent_kernel: Shape [units, 4 units].
      h: output before the first step. Shape [batch, units].
      c: cell before the first step. Shape [batch, units].

    Returns:
      The output of each step, and after them the last step's cell: one tensor, as not every
      backend can give several of a function with its own gradient. Shape [steps + 1, batch, units].
    """

    @ops.custom_gradient
    def run(gates: Any, recurrent_kernel: Any, h: Any, c: Any) -> tuple[Any, Any]:
        # Else an eager tape would differentiate the loop itself as well.
        gates, recurrent_kernel, h, c = map(ops.stop_gradient, (gates, recurrent_kernel, h, c))
        states, cells, activations = _forward(gates, recurrent_kernel, h, c)

        def gradient(*args: Any, upstream: Any = None) -> tuple[Any, ...]:
            if upstream is None:  # PyTorch's comes by name
                (upstream,) = args
            return _backward(upstream, states, cells, activations, recurrent_kernel, h, c)

        return states, gradient

    return run(gates, recurrent_kernel, h, c)


@compiled
def _forward(gates: Any, recurrent_kernel: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """-> states as `lstm`, cells and activations of each step, for _backward."""
    steps, batch, size = ops.shape(gates)
    units = size // 4
    # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2: so one tanh gives all four, g's as it is.
    scale = ops.repeat(ops.convert_to_tensor([0.5, 0.5, 1.0, 0.5], gates.dtype), units)

    def step(t: Any, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        h, c, states, cells, activations = carry
        z = gates[t] + ops.matmul(h, recurrent_kernel)
        activation = scale * ops.tanh(scale * z) + (1 - scale)
        i, f, g, o = ops.split(activation, 4, axis=1)
        c = f * c + i * g
        h = o * ops.tanh(c)
        states, cells = _write(states, t, h), _write(cells, t, c)
        return h, c, states, cells, _write(activations, t, activation)

    shapes = (steps + 1, batch, units), (steps, batch, units), (steps, batch, size)
    empty = [ops.zeros(shape, gates.dtype) for shape in shapes]
    _, c, states, cells, activations = ops.fori_loop(0, steps, step, (h, c, *empty))
    return _write(states, steps, c), cells, activations


@compiled
def _backward(
    upstream: Any, states: Any, cells: Any, activations: Any, recurrent_kernel: Any, h: Any, c: Any
) -> tuple[Any, ...]:
    """Gradients of gates, recurrent_kernel, h and c."""
    steps, _, size = ops.shape(activations)
    transposed = ops.transpose(recurrent_kernel)
    # What each step's gradients are multiplied with, ahead of the loop: a quarter less time.
    i, f, g, o = ops.split(activations, 4, axis=2)
    tanh_c = ops.tanh(cells)
    before = ops.concatenate([c[None], cells[:-1]], axis=0)
    of_c = ops.concatenate([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], axis=2)
    of_h, through = tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c)

    def step(k: Any, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        dh, dc, dgates = carry
        t = steps - 1 - k
        dh = dh + upstream[t]
        dc = dc + dh * through[t]
        dz = ops.concatenate([ops.tile(dc, (1, 3)) * of_c[t], dh * of_h[t]], axis=1)
        return ops.matmul(dz, transposed), dc * f[t], _write(dgates, t, dz)

    first = (ops.zeros_like(h), upstream[-1], ops.zeros_like(activations))
    dh, dc, dgates = ops.fori_loop(0, steps, step, first)
    outputs_before = ops.concatenate([h[None], states[: steps - 1]], axis=0)
    flat = ops.reshape(outputs_before, (-1, size // 4))
    return dgates, ops.matmul(ops.transpose(flat), ops.reshape(dgates, (-1, size))), dh, dc


def _write(array: Any, t: Any, value: Any) -> Any:
    """Puts [batch, n] at step t of [steps, batch, n]; compiled, it does so in place."""
    return ops.slice_update(array, (t, 0, 0), value[None])
