"""What a codec module declares: examples to arrays in a record, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from pipeline.example import Example
from pipeline.options import Options

Record = Mapping[str, np.ndarray | bytes | str]


@dataclass(frozen=True)
class Feature:
    """One field of a record.

    Attributes:
      shape: None for each axis whose length varies; () for a scalar or a string.
      dtype: a NumPy integer or float name, or "string" (str or bytes).
      encoding: "values" (an int64 or float list), "bytes" (the array's memory, little-endian; all
        axes fixed), or "jpeg" (the value is the bytes of a JPEG file).
    """

    shape: tuple[int | None, ...] = ()
    dtype: str = "string"
    encoding: Literal["values", "bytes", "jpeg"] = "values"


class EventEncoding(Protocol):
    """How a model sees a sequence of events one step at a time; what sampling needs of a codec.

    Attributes:
      num_classes: number of labels.
      input_size: length of an input vector.
    """

    num_classes: int
    input_size: int

    def inputs(self, events: Sequence[int]) -> np.ndarray:
        """What the model is given after these events: uint8 0 or 1. Shape [input_size]."""

    def label(self, events: Sequence[int], position: int) -> int:
        """The class of events[position], given those before it."""

    def event(self, label: int, events: Sequence[int]) -> int:
        """The event that a label means after these events."""


@dataclass(frozen=True)
class Codec:
    """A codec, declared. Law: encode(decode(record)) gives the same record's arrays again.

    Attributes:
      name: the module's name.
      medium: which field of an Example it encodes.
      Options: what a user may set under corpora.<name>.options.
      features: options -> the fields of a record. "key" is added by the shard writer.
      num_classes: (options, feature name) -> number of classes of an integer feature.
      encode: (example, options) -> its records, one or more; raises Rejected, never returns none.
      decode: (record, options) -> Example.
      statistics: (record, options) -> numbers that the data report adds up and plots, the same
        names for each record; units as suffixes (num_notes, duration_seconds, ...).
      encoding: (options, its name) -> step-by-step view; None where records are not events.
      primer: (example, options, encoding name) -> the events that a continuation starts from.
      passages: (example, options) -> all of a piece as records, in order and without what only a
        dataset knows of it, for a transfer or to be encoded; raises Rejected. None: there is no
        such view.
      plain_encoding: the encoding whose events are the record's own.
    """

    name: str
    medium: Literal["note_sequence", "audio", "picture"]
    Options: type[Options]
    features: Callable[[Any], dict[str, Feature]]
    num_classes: Callable[[Any, str], int]
    encode: Callable[[Example, Any], list[dict[str, Any]]]
    decode: Callable[[Record, Any], Example]
    statistics: Callable[[Record, Any], dict[str, float]]
    encoding: Callable[[Any, str], EventEncoding] | None = None
    primer: Callable[[Example, Any, str], list[int]] | None = None
    passages: Callable[[Example, Any], list[dict[str, Any]]] | None = None
    plain_encoding: str = ""
