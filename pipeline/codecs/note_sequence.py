"""NoteSequences as they are: serialized protocol buffers, named as Magenta names them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence


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
      Rejected: no_notes.
    """
    source = example.note_sequence
    if source is None or not source.notes:
        raise Rejected("no_notes", f"num_notes=0, and there must be one at least ({example.key})")
    sequence = type(source)()
    sequence.CopyFrom(source)
    sequence.filename = example.key
    sequence.collection_name = example.attributes.get("collection_name", source.collection_name)
    sequence.id = note_sequence_id(
        sequence.filename, sequence.collection_name, _source_type(sequence)
    )
    return [{"note_sequence": sequence.SerializeToString(deterministic=True)}]


def decode(record: Record, options: NoteSequenceOptions) -> Example:
    sequence = _parsed(record)
    attributes = {"collection_name": sequence.collection_name}
    return Example(key=sequence.filename, note_sequence=sequence, attributes=attributes)


def statistics(record: Record, options: NoteSequenceOptions) -> dict[str, float]:
    """Counts and means over all notes, but pitch over drums only where there is nothing else."""
    sequence = _parsed(record)
    notes = sequence.notes
    pitches = [n.pitch for n in notes if not n.is_drum] or [n.pitch for n in notes]
    return {
        "num_notes": len(notes),
        "duration_seconds": max(note.end_time for note in notes),
        "num_instruments": len({note.instrument for note in notes}),
        "num_programs": len({(note.program, note.is_drum) for note in notes}),
        "pitch_mean": sum(pitches) / len(pitches),
        "velocity_mean": sum(note.velocity for note in notes) / len(notes),
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


def _source_type(sequence: NoteSequence) -> str:
    info = sequence.source_info
    return {info.ABC: "abc", info.MUSIC_XML: "musicxml"}.get(info.encoding_type, "midi")


def _parsed(record: Record) -> NoteSequence:
    from note_seq.protobuf import music_pb2

    data = record["note_sequence"]
    return music_pb2.NoteSequence.FromString(data.encode() if isinstance(data, str) else data)


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
