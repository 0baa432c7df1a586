"""NoteSequences as they are: serialized protocol buffers, named as Magenta names them."""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import Field

from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import note_table

# SourceInfo.encoding_type as Magenta's names; all others are midi to it.
_SOURCE_TYPES = {1: "musicxml", 2: "abc"}


class NoteSequenceOptions(Options):
    magenta_records: bool = Field(
        description="whether bare NoteSequence TFRecords, as Magenta's "
        "convert_dir_to_note_sequences writes them, are left beside the shards"
    )


def features(options: NoteSequenceOptions) -> dict[str, Feature]:
    return {"note_sequence": Feature(shape=(), dtype="string")}


def num_classes(options: NoteSequenceOptions, name: str) -> int:
    raise KeyError(name)  # no field is of classes


def encode(example: Example, options: NoteSequenceOptions) -> list[dict[str, Any]]:
    """Serializes the notes with `id`, `filename` and `collection_name` set; all else is kept.

    Args:
      example: its key becomes the filename; its attribute "collection_name", where there is one,
        the collection's name.

    Returns:
      One record.

    Raises:
      Rejected: no_notes; damaged_note_sequence or unordered_note_sequence, which no reader gives.
    """
    serialized, notes = example.note_sequence_bytes, example.note_table
    if serialized is None or notes is None or not len(notes.starts):
        raise Rejected("no_notes", f"num_notes=0, and there must be one at least ({example.key})")
    collection_name = example.attributes.get("collection_name", notes.collection_name)
    source_type = _SOURCE_TYPES.get(notes.encoding_type, "midi")
    sequence_id = note_sequence_id(example.key, collection_name, source_type)
    names = sequence_id, example.key, collection_name
    return [{"note_sequence": note_table.renamed(serialized, notes, names)}]


def decode(record: Record, options: NoteSequenceOptions) -> Example:
    sequence: Any = Example("", _bytes(record)).note_sequence
    attributes = {"collection_name": sequence.collection_name}
    return Example(sequence.filename, _bytes(record), attributes=attributes)


def statistics(record: Record, options: NoteSequenceOptions) -> dict[str, float]:
    """Counts and means over all notes, but pitch over drums only where there is nothing else."""
    notes = note_table.read(_bytes(record))
    is_counted = ~notes.is_drum if not notes.is_drum.all() else notes.is_drum
    pitches = notes.pitches[is_counted]
    return {
        "num_notes": len(notes.starts),
        "duration_seconds": float(notes.ends.max()),
        "num_instruments": len(set(notes.instruments.tolist())),
        "num_programs": len(set((2 * notes.programs + notes.is_drum).tolist())),
        "pitch_mean": int(pitches.sum()) / len(pitches),
        "velocity_mean": int(notes.velocities.sum()) / len(notes.starts),
    }


def note_sequence_id(filename: str, collection_name: str, source_type: str) -> str:
    """Names a sequence after its file.

    Args:
      filename: path from the collection's root.
      collection_name: Magenta's is the name of the root directory.
      source_type: midi, musicxml or abc.

    Source: Magenta, scripts/convert_dir_to_note_sequences.py, generate_note_sequence_id.

    Example:
      >>> note_sequence_id("a.mid", "lmd", "midi")
      '/id/midi/lmd/d7e0e2b60e4b6b124e635f12edb60e23f3e87903'
    """
    fingerprint = hashlib.sha1(filename.encode()).hexdigest()
    return f"/id/{source_type.lower()}/{collection_name}/{fingerprint}"


def _bytes(record: Record) -> bytes:
    data = record["note_sequence"]
    return data.encode() if isinstance(data, str) else bytes(data)


CODEC = Codec(
    name="note_sequence",
    medium="note_sequence",
    Options=NoteSequenceOptions,
    features=features,
    num_classes=num_classes,
    encode=encode,
    decode=decode,
    statistics=statistics,
)
