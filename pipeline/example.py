"""What a dataset gives and a codec takes: one decoded item, whatever its medium."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

    from pipeline.readers.note_table import NoteTable


@dataclass(frozen=True)
class Example:
    """One item of a dataset; the fields of other media are None.

    Attributes:
      key: stable and unique in its dataset; the records made of it carry it.
      note_sequence_bytes: a NoteSequence as protobuf serializes it, its fields in order: notes in
        seconds, unquantized.
      audio: float32 in [-1, 1]. Shape [samples], mono.
      sample_rate: of `audio`, in Hz.
      picture: uint8 RGB. Shape [height, width, 3].
      attributes: JSON values that the dataset publishes beside it (title, genre, pitch, ...).
      repairs: what its reader had to mend, one fixed word each; the data report counts them.
    """

    key: str
    note_sequence_bytes: bytes | None = None
    audio: np.ndarray | None = None
    sample_rate: int | None = None
    picture: np.ndarray | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()

    @cached_property
    def note_sequence(self) -> NoteSequence | None:
        """The parsed `note_sequence_bytes`."""
        if self.note_sequence_bytes is None:
            return None
        from pipeline.readers._note_sequence_proto import NoteSequence

        return NoteSequence.FromString(self.note_sequence_bytes)

    @cached_property
    def note_table(self) -> NoteTable | None:
        """The notes of `note_sequence_bytes` as arrays, at a fraction of what parsing takes.

        Raises:
          Rejected: damaged_note_sequence.
        """
        if self.note_sequence_bytes is None:
            return None
        from pipeline.readers import note_table

        return note_table.read(self.note_sequence_bytes)

    def fingerprint(self) -> str:
        """What is heard and seen, as 32 hex digits; neither its name nor how it is written down.

        Of notes: the onset after the first, in milliseconds, the pitch, and whether it is a drum,
        whatever their order, ends, velocities, programs and tracks. Onsets are rounded down after
        adding 1/pi ms: notes are often half a millisecond off a whole one (a 32nd at 120 qpm takes
        62.5 ms), never 1 - 1/pi, so the last bits of a time do not decide. A note that moves by a
        millisecond or more against the first one always changes it. Of sound: rate and samples.
        Of a picture: its pixels.

        Raises:
          Rejected: damaged_note_sequence.
        """
        digest = hashlib.blake2b(digest_size=16)
        if self.note_table is not None:
            digest.update(b"notes" + _heard(self.note_table).tobytes())
        if self.audio is not None:
            digest.update(b"audio" + repr((self.sample_rate, self.audio.shape)).encode())
            digest.update(np.ascontiguousarray(self.audio, "<f4").tobytes())
        if self.picture is not None:
            digest.update(b"picture" + repr(self.picture.shape).encode())
            digest.update(self.picture.tobytes())
        return digest.hexdigest()


_MAX_ONSET_MS = 2.0**30 - 1  # twelve days


def _heard(notes: NoteTable) -> np.ndarray:
    """A sorted number a note: onset in ms, pitch (32 bits) and is_drum. int64, shape [notes]."""
    if not len(notes.starts):
        return np.zeros(0, "<i8")
    onsets_ms = (notes.starts - np.fmin.reduce(notes.starts)) * 1e3 + 1 / np.pi
    steps = np.fmin(onsets_ms, _MAX_ONSET_MS).astype("<i8")
    numbers = steps << 33 | (notes.pitches & 0xFFFFFFFF) << 1 | notes.is_drum
    return np.sort(numbers, kind="stable")  # fast on what is nearly sorted, as tracks are
