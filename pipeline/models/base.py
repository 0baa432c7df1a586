"""What a model module declares, and what it is given to read.

Model modules import Keras and TensorFlow inside their functions: checking params.yaml or printing
`--help` must not cost the seconds that those imports take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.codecs.base import Codec, Feature, Record
from pipeline.files import read_json
from pipeline.options import Options

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Training(Options):
    """What every recipe's Params has, so that train.py needs to know no recipe."""

    epochs: int = Field(ge=1, description="most epochs")
    steps_per_epoch: int = Field(ge=1, description="batches between two checkpoints")
    patience: int = Field(ge=1, description="epochs without a better loss before it stops")
    batch_size: int = Field(ge=1, description="examples a training step, all devices together")
    learning_rate: float = Field(gt=0, lt=1, description="of the optimizer, at its peak")


@dataclass(frozen=True)
class Shards:
    """A corpus on disk: a TFDS directory with corpus.json, opened without TFDS.

    Attributes:
      path: the directory.
      corpus: its name in params.yaml.
      features: the fields of a record.
      num_classes: classes of each integer feature that has them.
      shard_lengths: examples in each shard, by split.
      options: of the codec, as in params.yaml.
      reads: what the model reads beside its corpus, as models.<name>.reads says; None outside of a
        model's own stages.
    """

    path: Path
    corpus: str
    features: dict[str, Feature]
    num_classes: dict[str, int]
    shard_lengths: dict[str, list[int]]
    options: dict[str, Any]
    reads: Path | None = None

    @classmethod
    def open(cls, path: Path, reads: Path | None = None) -> Shards:
        corpus = read_json(path / "corpus.json")
        features = {
            name: Feature(tuple(f["shape"]), f["dtype"], f["encoding"])
            for name, f in corpus["features"].items()
        }
        lengths = {split: s["shard_lengths"] for split, s in corpus["splits"].items()}
        return cls(
            path, corpus["name"], features, corpus["num_classes"], lengths, corpus["options"], reads
        )

    def num_examples(self, split: str) -> int:
        return sum(self.shard_lengths[split])

    def files(self, split: str) -> list[str]:
        """The TFRecord files of a split, in order."""
        count = len(self.shard_lengths[split])
        return [
            str(self.path / f"{self.corpus}-{split}.tfrecord-{i:05d}-of-{count:05d}")
            for i in range(count)
        ]


@dataclass(frozen=True)
class Vectors:
    """What an encoder makes of each record of a corpus.

    Attributes:
      keys: of the records, by split, in file order.
      values: float32 [records, size], by split, in the same order.
    """

    keys: dict[str, list[str]]
    values: dict[str, np.ndarray]

    FILE = "vectors.npz"

    @classmethod
    def open(cls, folder: Path) -> Vectors:
        with np.load(folder / cls.FILE, allow_pickle=False) as arrays:
            splits = [name.removesuffix("_keys") for name in arrays.files if name.endswith("_keys")]
            keys = {split: arrays[f"{split}_keys"].tolist() for split in splits}
            return cls(keys, {split: arrays[f"{split}_values"] for split in splits})

    def save(self, folder: Path) -> None:
        arrays: dict[str, Any] = {}
        for split, keys in self.keys.items():
            arrays[f"{split}_keys"] = np.array(keys, "U")
            arrays[f"{split}_values"] = np.asarray(self.values[split], np.float32)
        np.savez(folder / self.FILE, **arrays)

    def by_key(self, split: str) -> dict[str, np.ndarray]:
        return dict(zip(self.keys[split], self.values[split], strict=True))


@dataclass(frozen=True)
class Likelihood:
    """What a model gives to held-out examples; one value an example.

    Attributes:
      nll: sum of -log p over the example's events, in nats. Shape [examples].
      num_events: Shape [examples].
      num_correct: events whose most probable class is the right one. Shape [examples].
    """

    nll: np.ndarray
    num_events: np.ndarray
    num_correct: np.ndarray


@dataclass(frozen=True)
class Measure:
    """A ratio of sums over examples, which evaluation gives an interval to.

    Attributes:
      numerators: one an example, e.g. right events. Shape [examples].
      denominators: one an example, e.g. events; ones for a mean over examples. Shape [examples].
      groups: of examples that belong together, as phrases of one song do, and so count as one
        when the interval is made: any values, equal in a group. Shape [examples]; None: each is
        its own.
    """

    numerators: np.ndarray
    denominators: np.ndarray
    groups: np.ndarray | None = None

    @classmethod
    def mean(cls, values: np.ndarray, groups: np.ndarray | None = None) -> Measure:
        """The mean over examples. Shape [examples]."""
        return cls(np.asarray(values, np.float64), np.ones(len(values)), groups)


@dataclass(frozen=True)
class Labelled:
    """Examples of a split with their classes, as a classifier and its baselines see them.

    Attributes:
      inputs: one array an example: piano rolls or mel spectrograms, or what was made of each batch
        of these, as a split of them may be larger than the memory. Shape [examples, ...].
      targets: 0 or 1 a class; exactly one 1 in a row where classes exclude each other. Shape
        [examples, classes].
      groups: the input, e.g. the song, that each example is a part of. Shape [examples].
      names: of the classes.
    """

    inputs: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """What to generate.

    Attributes:
      num: how many.
      num_steps: length of each in the codec's steps, primer included; None: the recipe's own.
      primer: events to go on from, or to vary; empty to start from nothing.
      melody: events of a melody that each sample holds, to be harmonized; empty for none.
      endpoints: two sequences of events, between which the samples lead from one to the other.
      attributes: how far to move each named attribute, in standard deviations of the training data.
      genre: name of the class asked for; "": each in turn.
      sources: records to be made into others, as a transfer between genres does.
      temperature: logits are divided by it; 0 always takes the most probable.
      top_k: classes left to sample from at each step; 0 leaves all.
      top_p: the likeliest classes are left that together have this probability; 1 leaves all.
      beam_size: hypotheses kept by the beam search; 1 samples plainly.
      seed: of the sampling.
    """

    num: int
    num_steps: int | None = None
    primer: tuple[int, ...] = ()
    melody: tuple[int, ...] = ()
    endpoints: tuple[tuple[int, ...], ...] = ()
    attributes: Mapping[str, float] = field(default_factory=dict)
    genre: str = ""
    sources: tuple[Record, ...] = ()
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    beam_size: int = 1
    seed: int = 0


Summary = Callable[[np.ndarray], np.ndarray]
Classify = Callable[[list[Record]], np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """A model family, declared.

    Attributes:
      name: the module's name.
      Params: what a user may set under models.<name>.<profile>; a subclass of Training.
      build: (params, shards) -> a compiled Keras model.
      batches: (shards, split, params, seed) -> tf.data of (inputs, targets, weights). The train
        split never ends, and its order depends on the seed alone; the others are one pass.
      likelihood: (model, shards, split, params) -> Likelihood; None for what has none.
      sequences: (shards, split, params) -> the class ids that a baseline is trained on.
      generate: (model, params, codec, codec options, request) -> records for codec.decode; fields
        of a record that begin with source_ are those of the record that it was made from. None for
        a recipe that only judges.
      baselines: names of modules in baselines/, each given `sequences`, or `labelled`.
      controls: by name, as `likelihood`, but with something taken away that must matter.
      measures: (model, shards, split, params, seed) -> what else is told of it, by name; a name
        that ends in _margin must lie above 0 for the model to count.
      references: (shards, split, params, num_steps) -> records as long as a sample is, that the
        samples' musical metrics are compared with; None: the corpus's own records.
      accepts: the fields of a Request, beside num and seed, that `generate` heeds.
      labelled: (shards, split, params, what to make of each batch of inputs, or None) -> Labelled;
        for classifiers.
      classify: (model, params, inputs) -> the probability of each class for inputs as in Labelled.
      inputs: (shards, records) -> what classify takes of a judge's own kind of records.
      sources: (shards, split, params, num) -> the records that the stage generate starts from.
      contrasts: by name, (shards, params, num, seed) -> records that samples must be nearer to the
        training data than, by their musical metrics: of an untrained model, of shuffled notes.
      judged: (samples, classify, shards, params, seed) -> what an independent classifier says of
        samples, by name, as `measures`, or plain numbers; classify: records -> probabilities
        [records, classes].
      reconstruct: (model, params, shards, records, seed) -> each record as the model gives it back;
        for models of sound.
      transfer: (model, params, codec options as a mapping, request) -> a third song of two, as
        transfers.base has it; request.sample_rate is the codec's.
      encode: (model, params, shards, fields of records stacked) -> a vector of each, float32
        [records, size]; the shards are those of the records, and need not be the recipe's own.
      encoded_fields: the fields of a record that `encode` is given.
    """

    name: str
    Params: type[Training]
    build: Callable[[Any, Shards], keras.Model]
    batches: Callable[[Shards, str, Any, int], tf.data.Dataset]
    generate: Callable[[keras.Model, Any, Codec, Any, Request], list[Record]] | None = None
    likelihood: Callable[[keras.Model, Shards, str, Any], Likelihood] | None = None
    sequences: Callable[[Shards, str, Any], list[np.ndarray]] | None = None
    baselines: tuple[str, ...] = ()
    controls: Mapping[str, Callable[[keras.Model, Shards, str, Any], Likelihood]] = field(
        default_factory=dict
    )
    measures: Callable[[keras.Model, Shards, str, Any, int], dict[str, Measure]] | None = None
    references: Callable[[Shards, str, Any, int | None], Iterable[Record]] | None = None
    accepts: tuple[str, ...] = (
        *("num_steps", "primer", "temperature", "top_k", "top_p", "beam_size"),
    )
    labelled: Callable[[Shards, str, Any, Summary | None], Labelled] | None = None
    classify: Callable[[keras.Model, Any, np.ndarray], np.ndarray] | None = None
    inputs: Callable[[Shards, list[Record]], np.ndarray] | None = None
    sources: Callable[[Shards, str, Any, int], list[Record]] | None = None
    contrasts: Mapping[str, Callable[[Shards, Any, int, int], list[Record]]] = field(
        default_factory=dict
    )
    judged: (
        Callable[[list[Record], Classify, Shards, Any, int], Mapping[str, Measure | float]] | None
    ) = None
    reconstruct: Callable[[keras.Model, Any, Shards, list[Any], int], list[Record]] | None = None
    transfer: Callable[[keras.Model, Any, Mapping[str, Any], Any], np.ndarray] | None = None
    encode: Callable[[keras.Model, Any, Shards, Mapping[str, np.ndarray]], np.ndarray] | None = None
    encoded_fields: tuple[str, ...] = ()


def read_records(shards: Shards, split: str, names: tuple[str, ...]) -> tf.data.Dataset:
    """Parsed records of a split in file order, one an element; variable axes as they are.

    Parsing a batch at a time is six times faster than one by one (docs/performance.md).
    """
    import tensorflow as tf

    from pipeline.models import _parse

    files = tf.data.Dataset.from_tensor_slices(shards.files(split))
    records = files.flat_map(tf.data.TFRecordDataset)
    spec = {name: shards.features[name] for name in names}
    return _parse.parsed(records, spec)
