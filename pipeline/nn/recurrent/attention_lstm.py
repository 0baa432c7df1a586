"""The loop of an LSTM that attends to its own past outputs, with its gradient written out.

TensorFlow's own gradient of such a loop keeps a copy of the whole window for each step, and moves
it at each step: ten times the time and memory. Here the window is a ring written in place, and the
backward pass computes it again from the outputs, so that what is kept is a few vectors a step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class Weights(NamedTuple):
    """Of the recurrence; u is the number of units.

    Attributes:
      recurrent: what [a, h] of the step before adds to the gates i, f, g, o. Shape [2 u, 4 u].
      query: from [c, h]. Shape [2 u, u].
      query_bias: Shape [u].
      key: from an output. Shape [u, u].
      score: Shape [u].
      output: from [h, a]. Shape [2 u, u].
      output_bias: Shape [u].
    """

    recurrent: Any
    query: Any
    query_bias: Any
    key: Any
    score: Any
    output: Any
    output_bias: Any


def attention_lstm(gates: tf.Tensor, weights: Weights, length: int) -> tf.Tensor:
    """Runs the recurrence of AttentionCell from a state of zeros.

    Args:
      gates: what the inputs and the biases add to the gates i, f, g, o of each step. Shape
        [batch, steps, 4 u].
      weights: see Weights.
      length: outputs that each step attends to.

    Returns:
      The outputs. Shape [batch, steps, u].
    """

    @tf.custom_gradient
    def run(gates: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, Any]:
        # Else an eager tape would differentiate the loop itself as well.
        w = Weights(*(tf.stop_gradient(x) for x in weights))
        num_steps = tf.shape(gates)[1]
        saved, rings = _forward(_filled(tf.stop_gradient(gates)), num_steps, w, length)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            upstream = _filled(upstream)
            by_step = _backward(upstream, num_steps, saved, rings, w, length)
            return _of_arguments(by_step, saved, num_steps)

        return _batch_first(saved.outputs, num_steps), gradient

    # Values: variables among its arguments are not what tf.custom_gradient differentiates.
    return run(gates, *(tf.identity(x) for x in weights))


# XLA compiles anew for each shape, for a second or two: so few different ones are given to it.
_STEPS = 256


def _filled(values: tf.Tensor) -> tf.Tensor:
    """[batch, steps, n] -> [steps, batch, n], with zeros up to a multiple of _STEPS."""
    values = tf.transpose(values, (1, 0, 2))
    return tf.pad(values, ((0, -tf.shape(values)[0] % _STEPS), (0, 0), (0, 0)))


def _batch_first(values: tf.Tensor, num_steps: tf.Tensor) -> tf.Tensor:
    return tf.transpose(values[:num_steps], (1, 0, 2))


class _Saved(NamedTuple):
    """What the backward pass needs of each step. Shape [steps, batch, ...]."""

    activations: Any  # i, f, g, o after their nonlinearities: [.., 4 u]
    cells: Any
    hidden: Any
    attended: Any
    queries: Any
    attention: Any  # [.., length], by slot of the ring
    outputs: Any
    keys: Any


@tf.function(jit_compile=True)
def _forward(
    gates: tf.Tensor, num_steps: tf.Tensor, w: Weights, length: int
) -> tuple[_Saved, tuple[tf.Tensor, tf.Tensor]]:
    max_steps, batch = tf.unstack(tf.shape(gates)[:2])
    dtype, units = gates.dtype, gates.shape[2] // 4

    def step(t: tf.Tensor, h: Any, c: Any, a: Any, ring: Any, key_ring: Any, saved: Any) -> Any:
        z = gates[t] + tf.concat([a, h], 1) @ w.recurrent
        i, f, g, o = tf.split(z, 4, axis=1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        h = o * tf.tanh(c)
        q = tf.concat([c, h], 1) @ w.query + w.query_bias
        e = tf.tanh(key_ring + q[:, None])
        attention = tf.nn.softmax(_scores(e, w.score))
        a = tf.squeeze(attention[:, None] @ ring, 1)
        y = tf.concat([h, a], 1) @ w.output + w.output_bias
        k = y @ w.key
        slot = t % length
        ring, key_ring = _write(ring, slot, y), _write(key_ring, slot, k)
        values = (tf.concat([i, f, g, o], 1), c, h, a, q, attention, y, k)
        saved = tuple(x.write(t, value) for x, value in zip(saved, values, strict=True))
        return t + 1, h, c, a, ring, key_ring, saved

    zeros = tf.zeros((batch, units), dtype)
    ring = tf.zeros((batch, length, units), dtype)
    sizes = (4 * units, units, units, units, units, length, units, units)
    arrays = tuple(tf.TensorArray(dtype, max_steps, element_shape=(None, n)) for n in sizes)
    *_, ring, key_ring, arrays = tf.while_loop(
        lambda t, *_: t < num_steps,
        step,
        (tf.constant(0), zeros, zeros, zeros, ring, ring, arrays),
    )
    return _Saved(*(array.stack() for array in arrays)), (ring, key_ring)


@tf.function(jit_compile=True)
def _backward(
    upstream: tf.Tensor,
    num_steps: tf.Tensor,
    s: _Saved,
    rings: tuple[tf.Tensor, tf.Tensor],
    w: Weights,
    length: int,
) -> tuple[tf.Tensor, ...]:
    """Gradients of gates, queries, keys, outputs at each step, and of the score."""
    max_steps, batch = tf.unstack(tf.shape(upstream)[:2])
    dtype, units = upstream.dtype, upstream.shape[2]
    zeros = tf.zeros((batch, units), dtype)
    before = lambda array, t: tf.where(t > 0, array[tf.maximum(t - 1, 0)], zeros)  # noqa: E731

    def step(t: Any, dh: Any, dc: Any, da: Any, rings: Any, dscore: Any, saved: Any) -> Any:
        ring, key_ring, dring, dkey_ring = rings
        slot = t % length
        # The gradient of this step's output is complete: all windows that hold it are done.
        dk = dkey_ring[:, slot]
        dy = upstream[t] + dring[:, slot] + tf.matmul(dk, w.key, transpose_b=True)
        # The slot goes back to the output that was overwritten by this step's.
        old = tf.maximum(t - length, 0)
        ring = _write(ring, slot, tf.where(t >= length, s.outputs[old], zeros))
        key_ring = _write(key_ring, slot, tf.where(t >= length, s.keys[old], zeros))
        others = tf.cast(tf.range(length) != slot, dtype)[:, None]

        dh_y, da_y = tf.split(tf.matmul(dy, w.output, transpose_b=True), 2, axis=1)
        da, dh = da + da_y, dh + dh_y
        attention = s.attention[t]
        dattention = tf.squeeze(ring @ da[:, :, None], 2)
        ds = attention * (dattention - tf.reduce_sum(attention * dattention, axis=1, keepdims=True))
        e = tf.tanh(key_ring + s.queries[t][:, None])
        slope = (1 - e * e) * w.score
        dring = dring * others + attention[:, :, None] * da[:, None]
        dkey_ring = dkey_ring * others + ds[:, :, None] * slope
        dscore += tf.linalg.matvec(tf.reshape(e, (-1, units)), tf.reshape(ds, [-1]), True)
        dq = tf.squeeze(ds[:, None] @ slope, 1)
        dc_q, dh_q = tf.split(tf.matmul(dq, w.query, transpose_b=True), 2, axis=1)

        i, f, g, o = tf.split(s.activations[t], 4, axis=1)
        tanh_c = tf.tanh(s.cells[t])
        dh += dh_q
        dc += dc_q + dh * o * (1 - tanh_c * tanh_c)
        dz = tf.concat(
            [
                dc * g * i * (1 - i),
                dc * before(s.cells, t) * f * (1 - f),
                dc * i * (1 - g * g),
                dh * tanh_c * o * (1 - o),
            ],
            axis=1,
        )
        da, dh = tf.split(tf.matmul(dz, w.recurrent, transpose_b=True), 2, axis=1)
        saved = tuple(x.write(t, v) for x, v in zip(saved, (dz, dq, dk, dy), strict=True))
        return t - 1, dh, dc * f, da, (ring, key_ring, dring, dkey_ring), dscore, saved

    arrays = tuple(
        tf.TensorArray(dtype, max_steps, element_shape=(None, n))
        for n in (4 * units, units, units, units)
    )
    all_rings = (*rings, tf.zeros_like(rings[0]), tf.zeros_like(rings[1]))
    *_, dscore, arrays = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (num_steps - 1, zeros, zeros, zeros, all_rings, tf.zeros((units,), dtype), arrays),
    )
    return (*(array.stack() for array in arrays), dscore)


def _of_arguments(
    by_step: tuple[tf.Tensor, ...], s: _Saved, num_steps: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """Gradients of gates and Weights, from those at each step: a product each, not one a step."""
    *arrays, dscore = by_step
    dz, dq, dk, dy = (x[:num_steps] for x in arrays)
    s = _Saved(*(x[:num_steps] for x in s))
    before = [tf.pad(x[:-1], ((1, 0), (0, 0), (0, 0))) for x in (s.attended, s.hidden)]
    return (
        tf.transpose(dz, (1, 0, 2)),
        _outer(before, dz),
        _outer([s.cells, s.hidden], dq),
        tf.reduce_sum(dq, axis=(0, 1)),
        _outer([s.outputs], dk),
        dscore,
        _outer([s.hidden, s.attended], dy),
        tf.reduce_sum(dy, axis=(0, 1)),
    )


def _outer(inputs: list[tf.Tensor], gradients: tf.Tensor) -> tf.Tensor:
    """Sum over steps and batch of inputs^T gradients."""
    flat = [tf.reshape(x, (-1, x.shape[-1])) for x in (*inputs, gradients)]
    return tf.concat([tf.matmul(x, flat[-1], transpose_a=True) for x in flat[:-1]], axis=0)


def _scores(e: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
    """[batch, length, u] . [u] -> [batch, length]; as one matrix product, XLA's fastest."""
    _, length, units = e.shape
    return tf.reshape(tf.linalg.matvec(tf.reshape(e, (-1, units)), score), (-1, length))


def _write(ring: tf.Tensor, slot: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Puts [batch, u] into a slot of [batch, length, u]; XLA does it in place."""
    from tensorflow.compiler.tf2xla.python import xla

    return xla.dynamic_update_slice(ring, value[:, None], (0, slot, 0))
