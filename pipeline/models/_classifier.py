"""Classifiers of genres and tags: what those of piano rolls and of mel spectrograms share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.codecs.base import Record
from pipeline.errors import PipelineError
from pipeline.models import _pianoroll
from pipeline.models.base import (
    Labelled,
    Recipe,
    Shards,
    Summary,
    Training,
    read_records,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Params(Training):
    """What params.yaml sets for a classifier."""

    labels: Literal["one", "many"] = Field(
        description="of an example: one of all, as its genre, or any number, as tags"
    )
    patch: tuple[int, int] = Field(
        description="steps or frames, and pitches or bands, that the first layer takes at once"
    )
    conv_sizes: tuple[int, ...] = Field(
        min_length=1, description="channels of the patches, then of each block of convolution"
    )
    dropout_rate: float = Field(ge=0, lt=1, description="before the last layer, in training")
    shuffle_window: int = Field(ge=1, description="records held in memory to be shuffled")


@dataclass(frozen=True)
class Medium:
    """How one kind of record becomes an input and a target.

    Attributes:
      fields: of a record: what is heard, and what it is.
      names: shards -> the classes.
      shape: shards -> the shape of an input.
      inputs: (shards, what is heard, a batch of it) -> float32 tensor [batch, *shape].
      targets: (shards, what it is, a batch of it) -> float32 tensor [batch, classes].
      is_turned: whether an input may begin anywhere in training, its end put before its beginning:
        so it is with recordings, of which clips are cut.
    """

    fields: tuple[str, str]
    names: Callable[[Shards], tuple[str, ...]]
    shape: Callable[[Shards], tuple[int, ...]]
    inputs: Callable[[Shards, Any], Any]
    targets: Callable[[Shards, Any], Any]
    is_turned: bool
    encoded_fields: tuple[str, ...] = ()


def recipe(name: str, medium: Medium, baselines: tuple[str, ...]) -> Recipe:
    """The recipe of a classifier of one medium."""

    def build(params: Params, shards: Shards) -> keras.Model:
        import keras

        from pipeline.nn.classifier.network import picture_classifier

        _check_labels(params, shards)
        model = picture_classifier(
            medium.shape(shards),
            len(medium.names(shards)),
            params.patch,
            params.conv_sizes,
            params.dropout_rate,
        )
        loss = (
            keras.losses.BinaryCrossentropy(from_logits=True)
            if params.labels == "many"
            else keras.losses.CategoricalCrossentropy(from_logits=True)
        )
        optimizer = keras.optimizers.Adam(params.learning_rate)
        model.compile(optimizer, loss, jit_compile=False)
        return model

    def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
        import tensorflow as tf

        from pipeline.models import _batching

        if split == "train":
            records = _batching.shuffled_passes(
                shards, split, medium.fields, params.shuffle_window, seed
            )
        else:
            records = read_records(shards, split, medium.fields)

        def prepared(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            heard, labels = (batch[field] for field in medium.fields)
            targets = medium.targets(shards, labels)
            return medium.inputs(shards, heard), targets, tf.ones(tf.shape(targets)[:1])

        found = records.batch(params.batch_size).map(prepared)
        if split == "train" and medium.is_turned:
            found = found.enumerate().map(lambda index, batch: _turned(seed, index, *batch))
        return found.prefetch(2)

    def labelled(
        shards: Shards, split: str, params: Params, summary: Summary | None = None
    ) -> Labelled:
        records = read_records(shards, split, ("key", *medium.fields)).batch(params.batch_size)
        heard, labels = medium.fields
        rows = [
            (
                (summary or np.asarray)(medium.inputs(shards, batch[heard]).numpy()),
                medium.targets(shards, batch[labels]).numpy(),
                np.array([_pianoroll.song({"key": key}) for key in batch["key"].numpy()]),
            )
            for batch in records
        ]
        inputs, targets, groups = (np.concatenate(column) for column in zip(*rows, strict=True))
        return Labelled(inputs, targets, groups, medium.names(shards))

    def inputs_of(shards: Shards, records: Iterable[Record]) -> np.ndarray:
        heard = np.stack([np.asarray(record[medium.fields[0]]) for record in records])
        return medium.inputs(shards, heard).numpy()

    return Recipe(
        name=name,
        Params=Params,
        build=build,
        batches=batches,
        baselines=baselines,
        labelled=labelled,
        classify=probabilities,
        inputs=inputs_of,
        accepts=(),
        encode=_encode if medium.encoded_fields else None,
        encoded_fields=medium.encoded_fields,
    )


def _check_labels(params: Params, shards: Shards) -> None:
    are_tags = shards.options.get("label_attribute") == "tags"
    if (params.labels == "many") != are_tags:
        raise PipelineError(
            f"labels={params.labels}, but what {shards.corpus} has of each example is "
            f"{'its tags' if are_tags else 'its genre'}. Write one for a genre, many for tags "
            "(models in params.yaml)."
        )


def probabilities(model: keras.Model, params: Params, inputs: np.ndarray) -> np.ndarray:
    """Of each class, by softmax, or of each tag by itself. float64 [inputs, classes]."""
    from scipy.special import expit, softmax

    logits = model.predict(inputs, batch_size=params.batch_size, verbose=0).astype(np.float64)
    return expit(logits) if params.labels == "many" else softmax(logits, axis=1)


def _encode(
    model: keras.Model, params: Params, shards: Shards, fields: Mapping[str, np.ndarray]
) -> np.ndarray:
    """What the last layer sees of spectrograms: float32 [records, twice the last block's channels].

    Raises:
      PipelineError: their bands are others than those the model was trained on.
    """
    mel, num_bands = fields["mel"], model.input_shape[2]
    if mel.shape[2] != num_bands:
        raise PipelineError(
            f"num_mel_bins={mel.shape[2]} of corpus {shards.corpus} differs from the {num_bands} "
            f"that {model.name} was trained on. Give both corpora the same spectrograms in "
            "params.yaml."
        )
    features = _penultimate(model)
    return features.predict(
        relative(mel).numpy()[..., None], batch_size=params.batch_size, verbose=0
    ).astype(np.float32)


def _penultimate(model: keras.Model) -> keras.Model:
    """The same layers, up to the pooled features, for any number of frames."""
    import keras

    frames = keras.Input((None, *model.input_shape[2:]))
    outputs = {id(model.inputs[0]): frames}
    for layer in model.layers[1:-2]:  # without dropout and logits
        given = [outputs[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
        outputs[id(layer.output)] = result = layer(given if len(given) > 1 else given[0])
    return keras.Model(frames, result)


def _turned(
    seed: int, index: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Inputs from another frame on, the first ones last; drawn by the seed and the batch."""
    import tensorflow as tf

    num_rows, num_frames = tf.shape(inputs)[0], tf.shape(inputs)[1]
    key = tf.stack([tf.cast(seed, tf.int64), index])
    shifts = tf.random.stateless_uniform((num_rows, 1), key, 0, num_frames, tf.int32)
    frames = (tf.range(num_frames) + shifts) % num_frames
    return tf.gather(inputs, frames, batch_dims=1, axis=1), targets, weights


def _roll_targets(shards: Shards, labels: Any) -> Any:
    import tensorflow as tf

    return tf.one_hot(labels, len(_pianoroll.genres(shards)))


ROLLS = Medium(
    fields=("roll", "genre"),
    names=_pianoroll.genres,
    shape=lambda shards: _pianoroll.Geometry.of(shards).shape,
    inputs=lambda shards, heard: _pianoroll.unpacked(heard, _pianoroll.Geometry.of(shards).shape),
    targets=_roll_targets,
    is_turned=False,
)

DB_PER_LEVEL = 40.0  # half of what a mel spectrogram of the codecs spans


def relative(decibels: Any) -> Any:
    """Levels in -1..1 against the clip's loudest band and frame: a clip's gain says nothing.

    Args:
      decibels: mel spectrograms. Shape [clips, frames, bands].

    Returns:
      A float32 tensor of that shape.
    """
    import tensorflow as tf

    decibels = tf.cast(decibels, tf.float32)
    loudest = tf.reduce_max(decibels, axis=(1, 2), keepdims=True)
    return tf.maximum((decibels - loudest) / DB_PER_LEVEL + 1, -1)


def _mel_targets(shards: Shards, labels: Any) -> Any:
    import tensorflow as tf

    return tf.cast(labels, tf.float32)


MELS = Medium(
    fields=("mel", "labels"),
    names=lambda shards: tuple(shards.options["labels"]),
    shape=lambda shards: (*(n or 0 for n in shards.features["mel"].shape), 1),
    inputs=lambda shards, heard: relative(heard)[..., None],
    targets=_mel_targets,
    is_turned=True,
    encoded_fields=("mel",),
)
