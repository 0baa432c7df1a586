"""What a dataset gives and a codec takes: one decoded item, whatever its medium."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence


@dataclass(frozen=True)
class Example:
    """One item of a dataset; the fields of other media are None.

    Attributes:
      key: stable and unique in its dataset; the records made of it carry it.
      note_sequence: notes in seconds, unquantized.
      audio: float32 in [-1, 1]. Shape [samples], mono.
      sample_rate: of `audio`, in Hz.
      picture: uint8 RGB. Shape [height, width, 3].
      attributes: JSON values that the dataset publishes beside it (title, genre, pitch, ...).
    """

    key: str
    note_sequence: NoteSequence | None = None
    audio: np.ndarray | None = None
    sample_rate: int | None = None
    picture: np.ndarray | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
