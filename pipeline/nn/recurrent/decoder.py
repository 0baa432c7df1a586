"""A latent -> logits of a sequence's classes, flat or bar by bar, true history given or sampled.

A sequence has one or more parts, each with a core decoder of its own. It is decoded in segments
(bars), each from an embedding: the flat decoder has one segment, embedded by the latent itself; the
hierarchical one has a conductor, an LSTM that leads from the latent to each segment's embedding.

Source: Roberts et al. 2018, section 3.2; magenta models/music_vae/lstm_models.py,
  HierarchicalLstmDecoder, SplitMultiOutLstmDecoder and CategoricalLstmDecoder.
"""

from __future__ import annotations

import itertools
from typing import Any

import keras
from keras import ops

from pipeline.nn.recurrent.lstm import FastLSTM


class Decoder(keras.layers.Layer):
    """Decodes all parts of a sequence from a latent.

    Args:
      latent_size: length of a latent.
      num_classes: of each part.
      num_segments: that a sequence is decoded in; 1 is flat.
      segment_steps: length of a segment.
      conductor_units: of the conductor's layers; () for none, which asks for one segment.
      core_units: of the layers of each part's core decoder.
    """

    def __init__(
        self,
        latent_size: int,
        num_classes: tuple[int, ...],
        num_segments: int,
        segment_steps: int,
        conductor_units: tuple[int, ...],
        core_units: tuple[int, ...],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes = tuple(num_classes)
        self.num_segments, self.segment_steps = num_segments, segment_steps
        self.latent_size = latent_size
        self.conductor = Conductor(num_segments, conductor_units) if conductor_units else None
        embedding_size = conductor_units[-1] if conductor_units else latent_size
        self.cores: Any = [CoreDecoder(n, embedding_size, core_units) for n in num_classes]
        self.samplers = [_loop(SamplingCell(core, dtype="float32")) for core in self.cores]
        self.segment_samplers = [
            _loop(SegmentCell(sampler, segment_steps, dtype="float32")) for sampler in self.samplers
        ]

    def build(self, *_: Any) -> None:
        for layer in filter(None, (self.conductor, *self.cores)):
            layer.build((None, self.latent_size))
        for loop in (*self.samplers, *self.segment_samplers):
            loop.build((None, None, loop.cell.input_size))
        self.built = True

    def call(self, latents: Any, windows: Any) -> list[Any]:
        """Logits where every step is given the true classes before it; all segments at once.

        Args:
          latents: Shape [batch, latent_size].
          windows: int32 classes. Shape [batch, steps, parts].

        Returns:
          For each part float32 [batch, steps, classes].
        """
        batch, steps, parts = ops.shape(windows)[0], windows.shape[1], windows.shape[2]
        embeddings = self._embeddings(latents)
        rows = ops.reshape(embeddings, (-1, embeddings.shape[-1]))  # [batch * segments, size]
        given = ops.pad(windows[:, :-1], ((0, 0), (1, 0), (0, 0)), constant_values=-1)
        given = ops.reshape(given, (-1, self.segment_steps, parts))
        return [
            ops.reshape(core(rows, given[..., i]), (batch, steps, core.num_classes))
            for i, core in enumerate(self.cores)
        ]

    def sample(
        self, latents: Any, noise: list[Any], windows: Any = None, coins: Any = None
    ) -> list[Any]:
        """Logits where steps are given what was sampled before them, one step after the other.

        A step's sample is the class of the largest logit + noise. With standard Gumbel noise that
        draws from the softmax, with T times it at temperature T, with none it is the likeliest.

        Args:
          latents: Shape [batch, latent_size].
          noise: for each part float32 [batch, steps, classes].
          windows: true classes, int32. Shape [batch, steps, parts]. None: never asked for.
          coins: 1.0 where a step is given the sampled class before it, 0.0 where the true one.
            Shape [batch, steps, parts]. None: sampled everywhere.

        Returns:
          For each part float32 [batch, steps, classes].
        """
        embeddings = self._embeddings(latents)
        outputs = []
        for i, draws in enumerate(noise):
            if windows is None or coins is None:
                given, tossed = -ops.ones_like(draws[..., :1]), ops.ones_like(draws[..., :1])
            else:
                given = ops.pad(windows[:, :-1, i], ((0, 0), (1, 0)), constant_values=-1)
                given, tossed = ops.cast(given, "float32")[..., None], coins[..., i, None]
            packed = ops.concatenate([given, tossed, draws], axis=-1)
            outputs.append(self._sampled_part(i, embeddings, packed))
        return outputs

    def _embeddings(self, latents: Any) -> Any:
        """[batch, latent_size] -> [batch, segments, size]."""
        return self.conductor(latents) if self.conductor else latents[:, None]

    def _sampled_part(self, index: int, embeddings: Any, packed: Any) -> Any:
        """Runs a part's cell; over several segments, in a loop around the loop over steps."""
        sampler = self.samplers[index]
        last = -ops.ones_like(packed[:, 0, :1])
        if self.num_segments == 1:
            return sampler(packed, initial_state=sampler.cell.start(embeddings[:, 0], last))
        segments = ops.reshape(
            packed, (-1, self.num_segments, self.segment_steps * packed.shape[-1])
        )
        inputs = ops.concatenate([ops.cast(embeddings, "float32"), segments], axis=-1)
        logits = self.segment_samplers[index](inputs, initial_state=[last])
        return ops.reshape(logits, (-1, packed.shape[1], packed.shape[2] - 2))


def _loop(cell: Any) -> Any:
    return keras.layers.RNN(cell, return_sequences=True, dtype="float32")


class Conductor(keras.layers.Layer):
    """Unfolds a latent to an embedding of each segment: LSTM layers that are given no input.

    Args:
      num_segments: steps of the conductor.
      units: of its layers; the last is the embedding's size.
    """

    def __init__(self, num_segments: int, units: tuple[int, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.num_segments, self.units = num_segments, tuple(units)
        self.start = InitialState(self.units, name="start")
        self.lstms = [FastLSTM(n, name=f"lstm_{i}") for i, n in enumerate(units)]

    def build(self, latent_shape: tuple[int | None, ...]) -> None:
        self.start.build(latent_shape)
        for lstm, size in zip(self.lstms, (1, *self.units), strict=False):
            lstm.build((None, self.num_segments, size))
        self.built = True

    def call(self, latents: Any) -> Any:
        """Maps float [batch, latent_size] to [batch, segments, units[-1]]."""
        states = self.start(latents)
        outputs = ops.zeros((ops.shape(latents)[0], self.num_segments, 1), self.compute_dtype)
        for i, lstm in enumerate(self.lstms):
            outputs = lstm(outputs, initial_state=states[2 * i : 2 * i + 2])
        return outputs


class InitialState(keras.layers.Layer):
    """A vector -> the states [h, c, h, c, ...] that LSTM layers start from.

    Args:
      units: of the LSTM layers.

    Source: magenta models/music_vae/lstm_utils.py, initial_cell_state_from_embedding.
    """

    def __init__(self, units: tuple[int, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes = [n for n in units for _ in "hc"]
        self.dense = keras.layers.Dense(
            sum(self.sizes),
            activation="tanh",
            name="dense",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.dense.build(input_shape)
        self.built = True

    def call(self, inputs: Any) -> list[Any]:
        """Maps float [batch, size] to a list of [batch, units]."""
        states, ends = self.dense(inputs), [sum(self.sizes[:i]) for i in range(len(self.sizes) + 1)]
        return [states[:, a:b] for a, b in itertools.pairwise(ends)]


class CoreDecoder(keras.layers.Layer):
    """LSTM layers that are given the class before each step and, at each step, an embedding.

    Args:
      num_classes: of its part.
      embedding_size: length of an embedding.
      units: of its layers.
    """

    def __init__(
        self, num_classes: int, embedding_size: int, units: tuple[int, ...], **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.num_classes, self.embedding_size, self.units = num_classes, embedding_size, units
        self.start = InitialState(self.units, name="start")
        self.lstms = [FastLSTM(n, name=f"lstm_{i}") for i, n in enumerate(units)]
        self.logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")

    def build(self, *_: Any) -> None:
        self.start.build((None, self.embedding_size))
        sizes = (self.num_classes + self.embedding_size, *self.units)
        for lstm, below in zip(self.lstms, sizes, strict=False):
            lstm.build((None, None, below))
        self.logits.build((None, None, self.units[-1]))
        self.built = True

    def call(self, embeddings: Any, given: Any) -> Any:
        """Maps float [batch, size] and int classes [batch, steps] to logits; -1 is no class yet."""
        repeated = ops.repeat(embeddings[:, None], given.shape[1], axis=1)
        outputs, states = self._inputs(given, repeated), self.start(embeddings)
        for i, lstm in enumerate(self.lstms):
            outputs = lstm(outputs, initial_state=states[2 * i : 2 * i + 2])
        return self.logits(outputs)

    def step(self, embeddings: Any, given: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """One step: [batch, size], int [batch], states -> logits [batch, classes], states."""
        outputs, new_states = self._inputs(given, embeddings), []
        for i, lstm in enumerate(self.lstms):
            outputs, state = lstm.step(outputs, states[2 * i : 2 * i + 2])
            new_states += state
        return self.logits(outputs), new_states

    def _inputs(self, given: Any, embeddings: Any) -> Any:
        one_hot = ops.one_hot(given, self.num_classes, dtype=self.compute_dtype)  # zeros for -1
        return ops.concatenate([one_hot, ops.cast(embeddings, self.compute_dtype)], axis=-1)


class SamplingCell(keras.layers.Layer):
    """One step of a core decoder, given the true class before it or, by a coin, its own sample.

    Inputs are the true class, the coin and the noise of each class, next to each other; the state
    is that of the core, the class sampled last, and the embedding, which stays as it is.

    Args:
      core: a CoreDecoder.
    """

    def __init__(self, core: CoreDecoder, **kwargs: Any):
        super().__init__(**kwargs)
        self.core = core
        self.state_size = [*core.start.sizes, 1, core.embedding_size]
        self.input_size, self.output_size = 2 + core.num_classes, core.num_classes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True  # the core is

    def start(self, embeddings: Any, last: Any) -> list[Any]:
        """The state before the first step: embeddings [batch, size], last class [batch, 1]."""
        return [ops.cast(s, "float32") for s in (*self.core.start(embeddings), last, embeddings)]

    def call(self, inputs: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        *core_states, last, embeddings = states
        given, coin, noise = inputs[:, :1], inputs[:, 1:2], inputs[:, 2:]
        before = ops.cast(ops.where(coin > 0.5, last, given)[:, 0], "int32")
        logits, core_states = self.core.step(embeddings, before, core_states)
        sampled = sampled_classes(logits, noise)[:, None]
        return logits, [ops.cast(s, "float32") for s in (*core_states, sampled, embeddings)]


class SegmentCell(keras.layers.Layer):
    """A whole segment as one step: inputs are its embedding and its steps' inputs, flattened.

    Args:
      sampler: a keras.layers.RNN of a SamplingCell.
      num_steps: of a segment.
    """

    def __init__(self, sampler: Any, num_steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.sampler, self.num_steps = sampler, num_steps
        self.embedding_size = sampler.cell.core.embedding_size
        self.input_size = self.embedding_size + num_steps * sampler.cell.input_size
        self.output_size = num_steps * sampler.cell.output_size
        self.state_size = [1]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True  # the sampler is

    def call(self, inputs: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        split, cell = self.embedding_size, self.sampler.cell
        packed = ops.reshape(inputs[:, split:], (-1, self.num_steps, cell.input_size))
        logits = self.sampler(packed, initial_state=cell.start(inputs[:, :split], states[0]))
        last = sampled_classes(logits[:, -1], packed[:, -1, 2:])[:, None]
        return ops.reshape(logits, (-1, self.output_size)), [ops.cast(last, "float32")]


def sampled_classes(logits: Any, noise: Any) -> Any:
    """The classes that `Decoder.sample` drew at each step, int32, from its logits and noise."""
    return ops.argmax(ops.stop_gradient(logits) + noise, axis=-1)
