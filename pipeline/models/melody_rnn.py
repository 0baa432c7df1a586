"""Melody RNN: an LSTM that predicts a melody event by event; four encodings, one recipe.

Source: Waite et al. 2016, "Generating long-term structure in songs and stories" (magenta blog);
magenta models/melody_rnn/melody_rnn_model.py and models/shared/events_rnn_graph.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models.base import Likelihood, Recipe, Request, Shards, Training, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Params(Training):
    """What params.yaml sets for a melody RNN."""

    encoding: Literal["basic", "mono", "lookback", "attention"] = Field(
        description="how a melody is shown to the network and what it predicts"
    )
    rnn_layer_sizes: tuple[int, ...] = Field(
        min_length=1, description="units of each LSTM layer, the lowest first"
    )
    dropout_rate: float = Field(ge=0, lt=1, description="of each layer's output, in training")
    clip_norm: float = Field(gt=0, description="largest global norm of the gradient")
    attention_length: int = Field(
        ge=0, description="steps the first layer attends back to; 0 for none"
    )
    window_steps: int = Field(
        ge=0,
        description="training melodies are cut into pieces of this length; 0 leaves them whole",
    )
    warmup_steps: int = Field(ge=0, description="batches in which the learning rate rises from 0")
    decay_steps: int = Field(
        ge=0, description="batches in which it then falls to 0 along a cosine; 0: it stays"
    )
    bucket_steps: int = Field(
        ge=1, description="melodies are batched with others within this many steps of their length"
    )
    shuffle_window: int = Field(ge=1, description="melodies held in memory to be shuffled")


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled functional model: what each step is given -> logits of each step's event."""
    import keras

    from pipeline.models import _learning_rates
    from pipeline.models._event_likelihood import EventNll, is_event_likeliest
    from pipeline.nn.recurrent.stack import RecurrentStack

    inputs, vectors = _input_layers(params, shards)
    outputs = RecurrentStack(
        params.rnn_layer_sizes, params.dropout_rate, params.attention_length, name="recurrent"
    )(vectors)
    num_classes = shards.num_classes[f"{params.encoding}_labels"]
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(outputs)
    model = keras.Model(inputs, logits, name=f"melody_rnn_{params.encoding}")
    rate = _learning_rates.warmed_up(params.learning_rate, params.warmup_steps, params.decay_steps)
    model.compile(
        optimizer=keras.optimizers.Adam(rate, global_clipnorm=params.clip_norm),
        loss=EventNll(),
        weighted_metrics=[keras.metrics.MeanMetricWrapper(is_event_likeliest, name="accuracy")],
        jit_compile=False,  # measured: XLA takes twice as long for these small loops on a CPU
    )
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of melodies of similar length: (inputs, targets, 1 for events and 0 for padding).

    The train split's passes follow each other without a border, so that no batch is short.
    """
    from pipeline.models import _batching

    names = _names(params)
    if split != "train":
        melodies = _melodies(read_records(shards, split, names), params)
        return _bucketed(melodies, params).prefetch(2)
    records = _batching.shuffled_passes(shards, split, names, params.shuffle_window, seed)
    melodies = _melodies(records, params)
    if params.window_steps:
        melodies = _batching.windowed(melodies, params.window_steps)
    return _bucketed(melodies, params).prefetch(2)


def likelihood(model: keras.Model, shards: Shards, split: str, params: Params) -> Likelihood:
    """What the model gives to each melody of a split, in the shards' order."""
    melodies = _melodies(read_records(shards, split, _names(params)), params)
    return _likelihood(model, melodies, params)


def other_history(model: keras.Model, shards: Shards, split: str, params: Params) -> Likelihood:
    """The same, but each melody's history is replaced by that of the next melody of the split."""
    melodies = _melodies(read_records(shards, split, _names(params)), params)
    others = melodies.skip(1).concatenate(melodies.take(1))
    return _likelihood(model, _with_histories_of(melodies, others), params)


def sequences(shards: Shards, split: str, params: Params) -> list[np.ndarray]:
    """The class of each event of each melody, without repeats: [events], in the shards' order."""
    name = _target_name(params)
    records = read_records(shards, split, (name,)).as_numpy_iterator()
    return [record[name] if record[name].ndim == 1 else record[name][:, 0] for record in records]


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Goes on from the primer, or from nothing: records {"melody": events, primer included}.

    Raises:
      PipelineError: if the primer leaves no step to generate, or the beam is too wide.
    """
    from pipeline.models._event_sampling import EventSampler, with_labels
    from pipeline.nn.sampling import sample_sequences

    if codec.encoding is None:
        raise PipelineError(
            f"codec={codec.name} has no encoding of events, which melody_rnn samples by; "
            "set the model's corpus to one of the codec melody."
        )
    encoding = codec.encoding(options, params.encoding)
    num_steps = (request.num_steps or 0) - len(request.primer)
    if num_steps < 1:
        raise PipelineError(
            f"num_steps={request.num_steps} leaves nothing to generate after a primer of "
            f"{len(request.primer)} events; raise num_steps, or shorten the primer."
        )
    if request.beam_size > encoding.num_classes:
        raise PipelineError(
            f"beam_size={request.beam_size} is above the {encoding.num_classes} classes of "
            f"encoding={params.encoding}; lower beam_size."
        )
    sampler = EventSampler(model, encoding, request.num * request.beam_size)
    labels = sample_sequences(
        first_logits=sampler.after_primer(request.primer),
        next_logits=sampler.next_logits,
        num_steps=num_steps,
        beam_size=request.beam_size,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        rng=np.random.default_rng(request.seed),
    )
    return [{"melody": with_labels(encoding, request.primer, row)} for row in labels]


RECIPE = Recipe(
    name="melody_rnn",
    Params=Params,
    build=build,
    batches=batches,
    generate=generate,
    likelihood=likelihood,
    sequences=sequences,
    baselines=("ngram",),
    controls={"other_history": other_history},
)


def _has_bits(params: Params) -> bool:
    """Whether a step's input is a vector of bits in the record, not its label's one-hot."""
    return params.encoding in ("lookback", "attention")


def _names(params: Params) -> tuple[str, ...]:
    target = _target_name(params)
    return (target, f"{params.encoding}_inputs") if _has_bits(params) else (target,)


def _target_name(params: Params) -> str:
    """The field that says which labels mean each event; without repeats, the label itself."""
    return f"{params.encoding}_{'targets' if _has_bits(params) else 'labels'}"


def _input_layers(params: Params, shards: Shards) -> tuple[Any, Any]:
    """A step is given the event before it: as its label + 1, or as packed bits; 0 at the start.

    Bits are 0 or 1, where note-seq's binary counters are -1 or 1: an affine change of the inputs,
    which the first layer's weights and bias absorb.
    """
    import keras
    from keras import ops

    from pipeline.nn.recurrent.stack import UnpackBits

    if _has_bits(params):
        num_bytes = shards.features[f"{params.encoding}_inputs"].shape[-1]
        inputs = keras.Input((None, num_bytes), dtype="uint8", name="packed")
        return inputs, UnpackBits(name="bits")(inputs)
    num_classes = shards.num_classes[f"{params.encoding}_labels"]
    inputs = keras.Input((None,), dtype="int32", name="previous")
    return inputs, ops.one_hot(inputs - 1, num_classes)  # zeros for -1


def _melodies(records: tf.data.Dataset, params: Params) -> tf.data.Dataset:
    """Records -> (what each step is given, targets), both one step long an event."""
    import tensorflow as tf

    def shifted(record: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        targets = tf.cast(record[_target_name(params)], tf.int32)
        if _has_bits(params):
            given = record[f"{params.encoding}_inputs"]
            return tf.concat([tf.zeros_like(given[:1]), given[:-1]], axis=0), targets
        return tf.concat([[0], targets[:-1] + 1], axis=0), targets[:, None]

    return records.map(shifted)


def _bucketed(melodies: tf.data.Dataset, params: Params) -> tf.data.Dataset:
    """Batches of (given, targets, weights, ...)."""
    import tensorflow as tf

    from pipeline.models import _batching

    weighted = melodies.map(
        lambda given, targets, *rest: (
            *(given, targets, tf.ones_like(targets[:, 0], tf.float32)),
            *rest,
        )
    )
    return _batching.bucketed(weighted, params.batch_size, params.bucket_steps)


def _with_histories_of(melodies: tf.data.Dataset, others: tf.data.Dataset) -> tf.data.Dataset:
    """Each melody's targets with another's inputs, cut or filled with zeros to its length."""
    import tensorflow as tf

    def swapped(own: Any, other: Any) -> tuple[tf.Tensor, tf.Tensor]:
        targets, given = own[1], other[0][: tf.shape(own[1])[0]]
        missing = tf.shape(targets)[0] - tf.shape(given)[0]
        padding = [[0, missing]] + [[0, 0]] * (given.shape.rank - 1)
        return tf.pad(given, padding), targets

    return tf.data.Dataset.zip(melodies, others).map(swapped)


def _likelihood(model: keras.Model, melodies: tf.data.Dataset, params: Params) -> Likelihood:
    import tensorflow as tf

    from pipeline.models._event_likelihood import event_nll, is_event_likeliest

    @tf.function(reduce_retracing=True)
    def scores(given: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
        logits = model(given, training=False)
        nll, correct = event_nll(targets, logits), is_event_likeliest(targets, logits)
        return [tf.reduce_sum(x * weights, axis=1) for x in (nll, tf.ones_like(nll), correct)]

    numbered = melodies.enumerate().map(lambda index, melody: (*melody, index))
    rows = [
        (index.numpy(), *(x.numpy() for x in scores(given, targets, weights)))
        for given, targets, weights, index in _bucketed(numbered, params).prefetch(2)
    ]
    index, nll, num_events, num_correct = (
        np.concatenate(column) for column in zip(*rows, strict=True)
    )
    order = np.argsort(index)
    return Likelihood(
        nll[order], num_events[order].astype(np.int64), num_correct[order].astype(np.int64)
    )
