"""A decoder-only transformer: a whole window at once, or an event at a time with a cache."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.nn.compiled import compiled
from pipeline.nn.transformer.attention import causal_attention, distance_vectors

_EPSILON = 1e-6
_MASKED = -1e9


class TransformerDecoder(keras.layers.Layer):
    """Events to logits of the events that follow them.

    Normalization comes before each sub-layer and once at the end; the embedding, multiplied by
    sqrt(hidden_size), is also the output projection. With relative attention each layer and head
    has a vector for each distance; without it, sinusoids are added to the embedding.

    Args:
      num_classes: of the events; the input 0 stands for the start, i + 1 for event i.
      window_steps: events that are seen at once; the positions that training has shown.
      num_layers: blocks of attention and feed-forward.
      num_heads: divides key_size and hidden_size.
      hidden_size: of the residual stream; even.
      key_size: of the queries and keys of all heads together.
      filter_size: units of the feed-forward layers.
      max_distance: distances that relative attention tells apart; 0 for absolute positions.
      dropout_rate: of embeddings, attention weights, feed-forward units and sub-layers' outputs.

    Source: Huang et al. 2018 (Music Transformer); tensor2tensor's transformer (pre-norm, tied
      embedding), magenta score2perf_hparams.py.
    """

    def __init__(
        self,
        num_classes: int,
        window_steps: int,
        num_layers: int,
        num_heads: int,
        hidden_size: int,
        key_size: int,
        filter_size: int,
        max_distance: int,
        dropout_rate: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.window_steps = num_classes, window_steps
        self.hidden_size, self.is_relative = hidden_size, max_distance > 0
        self.dropout = keras.layers.Dropout(dropout_rate)
        sizes = (num_heads, hidden_size, key_size, filter_size, max_distance, dropout_rate)
        policy = self.dtype_policy
        self.blocks = [_Block(*sizes, dtype=policy, name=f"block_{i}") for i in range(num_layers)]
        self.norm = keras.layers.LayerNormalization(epsilon=_EPSILON, dtype=policy)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embedding = self.add_weight(
            shape=(self.num_classes + 1, self.hidden_size),
            initializer=keras.initializers.RandomNormal(stddev=self.hidden_size**-0.5),
            name="embedding",
        )
        for block in self.blocks:
            block.build((None, None, self.hidden_size))
        self.norm.build((None, None, self.hidden_size))
        self._compiled = compiled(self._logits_of_window)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Maps ids [batch, steps] (0: the start, i + 1: event i) to float32 logits.

        Args:
          inputs: what precedes each event; `steps` is static, at most window_steps.
          training: whether dropout is applied.

        Returns:
          Logits of each event. Shape [batch, steps, num_classes].
        """
        return self._compiled(inputs, training)

    def _logits_of_window(self, inputs: Any, training: bool) -> Any:
        x = self._embedded(inputs)
        if not self.is_relative:
            x = x + ops.cast(_sinusoids(inputs.shape[1], self.hidden_size), x.dtype)
        x = self.dropout(x, training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return self._logits(self.norm(x))

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        return keras.KerasTensor((*inputs.shape, self.num_classes), dtype="float32")

    def initial_state(self, num_rows: int, capacity: int) -> list[Any]:
        """Empty caches for so many events: keys [rows, heads, d, capacity], values, a block each.

        Values are laid out as [rows, heads, capacity, d].
        """
        return [
            ops.zeros(shape, self.compute_dtype)
            for block in self.blocks
            for shape in block.cache_shapes(num_rows, capacity)
        ]

    def grown(self, state: list[Any], capacity: int) -> list[Any]:
        """The same caches with room for more events."""
        return [
            ops.pad(cache, _padding(cache, 3 - i % 2, capacity)) for i, cache in enumerate(state)
        ]

    def step(self, inputs: Any, position: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        """One event for each row.

        Args:
          inputs: ids as in `call`. Shape [rows].
          position: how many events came before: a scalar, the same for all rows, below the
            capacity of the caches.
          state: of initial_state, grown, or the step before.

        Returns:
          Logits [rows, num_classes] and the new state.
        """
        x = self._embedded(inputs)
        if not self.is_relative:
            table = _sinusoids(self.window_steps, self.hidden_size)
            x = x + ops.cast(ops.take(table, position, axis=0), x.dtype)
        new_state = []
        for i, block in enumerate(self.blocks):
            x, caches = block.step(x, position, state[2 * i : 2 * i + 2])
            new_state += caches
        return self._logits(self.norm(x)), new_state

    def _embedded(self, inputs: Any) -> Any:
        table = ops.cast(self.embedding, self.compute_dtype)
        return ops.take(table, inputs, axis=0) * self.hidden_size**0.5

    def _logits(self, x: Any) -> Any:
        table = ops.cast(ops.convert_to_tensor(self.embedding)[1:], x.dtype)
        return ops.cast(ops.matmul(x, ops.transpose(table)), "float32")


class _Block(keras.layers.Layer):
    """Attention, then two dense layers, each normalized before and added to what it is given."""

    def __init__(
        self,
        num_heads: int,
        hidden_size: int,
        key_size: int,
        filter_size: int,
        max_distance: int,
        dropout_rate: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.hidden_size, self.key_size = num_heads, hidden_size, key_size
        self.filter_size, self.max_distance = filter_size, max_distance
        policy = self.dtype_policy
        self.dropout = keras.layers.Dropout(dropout_rate)
        self.norm = keras.layers.LayerNormalization(epsilon=_EPSILON, dtype=policy)
        self.filter_norm = keras.layers.LayerNormalization(epsilon=_EPSILON, dtype=policy)
        dense = lambda units, name, **kw: keras.layers.Dense(  # noqa: E731
            units, dtype=policy, name=name, **kw
        )
        self.project = dense(2 * key_size + hidden_size, "project", use_bias=False)
        self.combine = dense(hidden_size, "combine", use_bias=False)
        self.expand = dense(filter_size, "expand", activation="relu")
        self.contract = dense(hidden_size, "contract")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        whole = (None, None, self.hidden_size)
        for layer in (self.norm, self.filter_norm, self.project, self.combine, self.expand):
            layer.build(whole)
        self.contract.build((None, None, self.filter_size))
        self.relative = None
        if self.max_distance:
            self.relative = self.add_weight(
                shape=(self.num_heads, self.max_distance, self.key_size // self.num_heads),
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                name="relative",
            )
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        dropout = (lambda y: self.dropout(y, training=training)) if training else (lambda y: y)
        queries, keys, values = (self._by_head(y) for y in self._projected(x))
        attended = causal_attention(
            queries, keys, values, self._relative(), dropout=dropout if training else None
        )
        merged = ops.reshape(
            ops.transpose(attended, (0, 2, 1, 3)), (-1, x.shape[1], self.hidden_size)
        )
        x = x + dropout(self.combine(merged))
        return x + dropout(self.contract(dropout(self.expand(self.filter_norm(x)))))

    def cache_shapes(self, num_rows: int, capacity: int) -> tuple[tuple[int, ...], ...]:
        d, v = self.key_size // self.num_heads, self.hidden_size // self.num_heads
        return (num_rows, self.num_heads, d, capacity), (num_rows, self.num_heads, capacity, v)

    def step(self, x: Any, position: Any, caches: list[Any]) -> tuple[Any, list[Any]]:
        """One step [rows, hidden_size] -> the same, and its caches with the step in them."""
        queries, key, value = (
            ops.reshape(y, (-1, self.num_heads, y.shape[-1] // self.num_heads))
            for y in self._projected(x)
        )
        queries = queries * queries.shape[-1] ** -0.5
        keys = ops.slice_update(caches[0], (0, 0, 0, position), key[..., None])
        values = ops.slice_update(caches[1], (0, 0, position, 0), value[:, :, None])
        capacity = keys.shape[-1]
        logits = _product(queries, keys)
        distances = position - ops.arange(capacity)
        if self.relative is not None:
            logits = logits + self._relative_step(queries, position, capacity)
        logits = ops.where(distances >= 0, logits, _MASKED)
        weights = ops.softmax(logits, axis=-1)
        attended = _product(weights, values)
        x = x + self.combine(ops.reshape(attended, (-1, self.hidden_size)))
        return x + self.contract(self.expand(self.filter_norm(x))), [keys, values]

    def _relative_step(self, queries: Any, position: Any, capacity: int) -> Any:
        """q . r_(position - j) for each slot j of the cache. Shape [rows, heads, capacity]."""
        vectors = distance_vectors(self._relative(), capacity)[:, ::-1]  # furthest first
        products = ops.swapaxes(
            ops.matmul(ops.swapaxes(queries, 0, 1), ops.swapaxes(vectors, 1, 2)), 0, 1
        )
        # Slot j takes the product of distance position - j, which lies at capacity - 1 - it. Not by
        # a slice from there: XLA would compile it anew for each position.
        empty = ops.zeros((*products.shape[:2], 2 * capacity - 1), products.dtype)
        return ops.slice_update(empty, (0, 0, position), products)[..., capacity - 1 :]

    def _relative(self) -> Any:
        if self.relative is None:
            return None
        return ops.cast(ops.convert_to_tensor(self.relative), self.compute_dtype)

    def _projected(self, x: Any) -> tuple[Any, Any, Any]:
        """Queries, keys and values of all heads; one product for all three."""
        merged = self.project(self.norm(x))
        ends = self.key_size, 2 * self.key_size
        return merged[..., : ends[0]], merged[..., ends[0] : ends[1]], merged[..., ends[1] :]

    def _by_head(self, x: Any) -> Any:
        """[batch, steps, n] -> [batch, heads, steps, n / heads]."""
        split = ops.reshape(x, (-1, x.shape[1], self.num_heads, x.shape[2] // self.num_heads))
        return ops.transpose(split, (0, 2, 1, 3))


def _product(vectors: Any, matrices: Any) -> Any:
    """[rows, heads, m] . [rows, heads, m, n] -> [rows, heads, n], as is fastest on a CPU.

    For one row the sum of products takes half of the time, for more the product of matrices takes a
    quarter (measured).
    """
    if vectors.shape[0] == 1:
        return ops.sum(vectors[..., None] * matrices, axis=2)
    return ops.squeeze(ops.matmul(vectors[:, :, None], matrices), axis=2)


def _sinusoids(num_steps: int, size: int) -> np.ndarray:
    """Sines, then cosines, of wavelengths from 2 pi to 20,000 pi. Shape [num_steps, size].

    Source: Vaswani et al. 2017, section 3.5, in tensor2tensor's layout.
    """
    rates = 10_000.0 ** -(np.arange(size // 2) / max(size // 2 - 1, 1))
    angles = np.arange(num_steps)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _padding(cache: Any, axis: int, capacity: int) -> list[list[int]]:
    padding = [[0, 0] for _ in cache.shape]
    padding[axis][1] = capacity - cache.shape[axis]
    return padding
