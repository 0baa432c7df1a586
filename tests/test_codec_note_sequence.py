"""The NoteSequence codec: what goes in comes out, named as Magenta names it."""

from __future__ import annotations

import doctest
import hashlib

import note_seq
import numpy as np
import pytest
from note_seq.protobuf import music_pb2

from pipeline.codecs import note_sequence
from pipeline.codecs.note_sequence import CODEC, NoteSequenceOptions
from pipeline.errors import Rejected
from pipeline.example import Example
from tests.test_note_table import random_sequence

OPTIONS = NoteSequenceOptions(magenta_records=False)
MAESTRO = {"collection_name": "maestro"}


def sequence() -> note_seq.NoteSequence:
    result = note_seq.NoteSequence(ticks_per_quarter=220, total_time=3.0)
    result.source_info.encoding_type = result.source_info.MIDI
    result.tempos.add(qpm=90)
    result.notes.add(pitch=60, velocity=50, start_time=0, end_time=1, instrument=0, program=1)
    result.notes.add(pitch=64, velocity=70, start_time=1, end_time=2, instrument=1, program=1)
    result.notes.add(
        pitch=36, velocity=90, start_time=0, end_time=2.5, instrument=9, program=1, is_drum=True
    )
    result.control_changes.add(time=1, control_number=64, control_value=127)
    return result


def example() -> Example:
    return Example("2018/a b.midi", sequence().SerializeToString(), attributes=MAESTRO)


def encoded(source: Example) -> music_pb2.NoteSequence:
    (record,) = CODEC.encode(source, OPTIONS)
    return music_pb2.NoteSequence.FromString(record["note_sequence"])


def test_only_the_names_are_added():
    result = encoded(example())
    assert result.filename == "2018/a b.midi"
    assert result.collection_name == "maestro"
    for name in ("id", "filename", "collection_name"):
        result.ClearField(name)
    assert result == sequence()


def test_records_and_statistics_are_those_of_protobuf():
    """Against a copy that protobuf parses, names and serializes, and notes counted one by one."""
    rng = np.random.default_rng(1)
    for number in range(300):
        source = random_sequence(rng)
        source.notes.add(pitch=60, velocity=9, start_time=0.5, end_time=1.5)
        attributes = MAESTRO if number % 2 else {}
        (record,) = CODEC.encode(
            Example("a/é.mid", source.SerializeToString(), attributes=attributes), OPTIONS
        )
        expected = named_by_protobuf(source, "a/é.mid", attributes)
        assert record["note_sequence"] == expected.SerializeToString(deterministic=True)
        assert CODEC.statistics(record, OPTIONS) == counted(expected)


def named_by_protobuf(source, key, attributes):
    result = music_pb2.NoteSequence()
    result.CopyFrom(source)
    result.filename = key
    result.collection_name = attributes.get("collection_name", source.collection_name)
    info = result.source_info
    kind = {info.ABC: "abc", info.MUSIC_XML: "musicxml"}.get(info.encoding_type, "midi")
    sha1 = hashlib.sha1(key.encode()).hexdigest()
    result.id = f"/id/{kind}/{result.collection_name}/{sha1}"
    return result


def counted(sequence):
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


def test_the_example_is_left_as_it_was():
    source = example()
    CODEC.encode(source, OPTIONS)
    assert source.note_sequence == sequence()


@pytest.mark.parametrize(
    ("encoding_type", "source_type"),
    [
        ("MIDI", "midi"),
        ("MUSIC_XML", "musicxml"),
        ("ABC", "abc"),
        ("UNKNOWN_ENCODING_TYPE", "midi"),
    ],
)
def test_id_is_that_of_magenta(encoding_type, source_type):
    named = sequence()
    info = named.source_info
    info.encoding_type = info.EncodingType.Value(encoding_type)
    source = Example("2018/a b.midi", named.SerializeToString(), attributes=MAESTRO)
    fingerprint = hashlib.sha1(b"2018/a b.midi").hexdigest()
    assert encoded(source).id == f"/id/{source_type}/maestro/{fingerprint}"


def test_decoding_and_encoding_again_changes_nothing():
    for source in (example(), Example("k", sequence().SerializeToString())):
        (record,) = CODEC.encode(source, OPTIONS)
        assert CODEC.encode(CODEC.decode(record, OPTIONS), OPTIONS) == [record]


def test_statistics_by_hand():
    (record,) = CODEC.encode(example(), OPTIONS)
    assert CODEC.statistics(record, OPTIONS) == {
        "num_notes": 3,
        "duration_seconds": 2.5,
        "num_instruments": 3,
        "num_programs": 2,
        "pitch_mean": 62.0,
        "velocity_mean": 70.0,
    }


def test_drums_alone_have_a_mean_pitch():
    source = sequence()
    del source.notes[:2]
    (record,) = CODEC.encode(Example("k", source.SerializeToString()), OPTIONS)
    assert CODEC.statistics(record, OPTIONS)["pitch_mean"] == 36


@pytest.mark.parametrize("source", [None, b""])
def test_no_notes_are_rejected(source):
    with pytest.raises(Rejected) as error:
        CODEC.encode(Example("k", source), OPTIONS)
    assert error.value.reason == "no_notes"


def test_docstring():
    assert doctest.testmod(note_sequence) == doctest.TestResults(failed=0, attempted=1)
