"""The parser of notes against protobuf's own: real and random sequences, whole and damaged."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from note_seq.protobuf.music_pb2 import NoteSequence

from pipeline.errors import Rejected
from pipeline.readers import note_table

NOTE, TEMPO, SIGNATURE, SOURCE_INFO, SECTION_GROUPS = 8, 7, 5, 13, 21


def test_random_sequences_are_read_as_protobuf_reads_them():
    rng = np.random.default_rng(1)
    for _ in range(800):
        assert_as_protobuf(random_sequence(rng).SerializeToString())


def test_fields_in_any_order_the_last_scalar_wins():
    rng = np.random.default_rng(2)
    for _ in range(500):
        parts = [fields_of(random_sequence(rng)) for _ in range(2)]
        shuffled = [part for fields in parts for part in fields]
        rng.shuffle(shuffled)
        assert_as_protobuf(b"".join(shuffled))


def test_damaged_bytes_are_read_or_refused_as_protobuf_does():
    rng = np.random.default_rng(3)
    num_refused = 0
    for _ in range(6000):
        data = bytearray(random_sequence(rng, max_notes=6).SerializeToString())
        for _ in range(rng.integers(1, 4)):
            damage(data, rng)
        num_refused += not assert_as_protobuf(bytes(data))
    assert 3000 < num_refused < 5800


def test_random_fields_are_read_or_refused_as_protobuf_does():
    """Well-formed as bytes, but of any number and wire type, in messages and groups."""
    rng = np.random.default_rng(4)
    num_refused = 0
    for _ in range(6000):
        data = b"".join(random_field(rng, 0) for _ in range(rng.integers(1, 8)))
        num_refused += not assert_as_protobuf(data)
    assert 300 < num_refused < 6000


def test_the_edges_of_the_wire_format():
    accepted = {
        "nothing": b"",
        "a varint of ten bytes": varint_field(4, b"\xff" * 9 + b"\x7f"),
        "a tag of five bytes": b"\xa0\x80\x80\x80\x00\x05",
        "the highest number": b"\xf8\xff\xff\xff\x0f\x05",
        "a length of five bytes": b"\x42\x80\x80\x80\x80\x00",
        "groups in each other": b"\xf3\x01" * 100 + b"\xf4\x01" * 100,
        "groups in a note": message(NOTE, b"\xf3\x01" * 99 + b"\xf4\x01" * 99),
        "sections in each other": sections(100),
        "a flag beyond 32 bits": message(NOTE, varint_field(9, b"\x80" * 5 + b"\x01")),
        "an integer beyond 32 bits": message(NOTE, varint_field(1, b"\xff" * 9 + b"\x01")),
        "a number of the other wire type": message(NOTE, varint_field(3, b"\x05")),
        "two sources": message(SOURCE_INFO, varint_field(2, b"\x02")) + message(SOURCE_INFO, b""),
    }
    refused = {
        "a varint of eleven bytes": varint_field(4, b"\xff" * 10 + b"\x01"),
        "a tag of six bytes": b"\xa0\x80\x80\x80\x80\x00\x05",
        "a tag above 32 bits": b"\xa0\x80\x80\x80\x10\x05",
        "number 0": b"\x00\x05",
        "wire type 7": b"\x0f\x05",
        "a length of six bytes": b"\x42\x80\x80\x80\x80\x80\x00",
        "too long for all": b"\x42\xff\xff\xff\xff\x0f",
        "a group left open": b"\xf3\x01",
        "a group not opened": b"\xf4\x01",
        "a group closed by another": b"\xf3\x01\xfc\x01",
        "too many groups": b"\xf3\x01" * 101 + b"\xf4\x01" * 101,
        "too many groups in a note": message(NOTE, b"\xf3\x01" * 100 + b"\xf4\x01" * 100),
        "too many sections": sections(101),
    }
    for name, data in accepted.items():
        assert assert_as_protobuf(data), name
    for name, data in refused.items():
        assert not assert_as_protobuf(data), name


@pytest.mark.parametrize("number", [1, 2, 3])
def test_texts_must_be_utf8(number):
    rng = np.random.default_rng(number)
    edges = ["\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000"]
    assert assert_as_protobuf(message(number, "".join([*edges, "\U0010ffff"]).encode()))
    for bad in (b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf0\x80\x80\x80"):
        assert not assert_as_protobuf(message(number, bad))
        assert not assert_as_protobuf(message(14, message(2, b"a" + bad)))  # of an annotation
        assert assert_as_protobuf(message(14, message(5, bad)))  # unknown
    for _ in range(2000):
        text = rng.choice(_LEAD_BYTES, rng.integers(1, 5)).astype(np.uint8).tobytes()
        assert_as_protobuf(message(number, text))


def test_renaming_sets_the_names_and_nothing_else():
    rng = np.random.default_rng(5)
    for _ in range(300):
        sequence = random_sequence(rng)
        serialized = sequence.SerializeToString()
        names = tuple(pick(rng, ["", "x", "ß" * 70, "y" * 127, "z" * 20_000]) for _ in range(3))
        sequence.id, sequence.filename, sequence.collection_name = names
        renamed = note_table.renamed(serialized, note_table.read(serialized), names)
        assert renamed == sequence.SerializeToString()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_names_after_other_fields_are_not_renamed(number):
    late = varint_field(4, varint(220)) + message(number, b"late")
    assert note_table.read(late).names_end == -1
    with pytest.raises(Rejected, match="unordered_note_sequence"):
        note_table.renamed(late, note_table.read(late), ("a", "b", "c"))
    early = message(number, b"early") + varint_field(4, varint(220))
    assert note_table.renamed(early, note_table.read(early), ("", "", "")) == early[-3:]


def assert_as_protobuf(data):
    """Compares with protobuf's parser; whether it parses."""
    try:
        expected = NoteSequence.FromString(data)
    except DecodeError:
        with pytest.raises(Rejected) as refusal:
            note_table.read(data)
        assert refusal.value.reason == "damaged_note_sequence"
        return False
    table, notes = note_table.read(data), expected.notes
    columns = {
        "starts": [n.start_time for n in notes],
        "ends": [n.end_time for n in notes],
        "pitches": [n.pitch for n in notes],
        "velocities": [n.velocity for n in notes],
        "instruments": [n.instrument for n in notes],
        "programs": [n.program for n in notes],
        "is_drum": [n.is_drum for n in notes],
    }
    for name, column in columns.items():
        np.testing.assert_array_equal(getattr(table, name), column, err_msg=name)
    assert table.is_drum.dtype == bool
    tempos = [(t.time, t.qpm) for t in expected.tempos]
    signatures = [(s.time, s.numerator, s.denominator) for s in expected.time_signatures]
    np.testing.assert_array_equal(table.tempos, np.reshape(tempos, (-1, 2)))
    np.testing.assert_array_equal(table.time_signatures, np.reshape(signatures, (-1, 3)))
    np.testing.assert_array_equal(table.total_seconds, expected.total_time)  # may be no number
    assert table.encoding_type == expected.source_info.encoding_type
    assert table.collection_name == expected.collection_name
    return True


_INTS = [0, 1, 60, 127, 128, 300, 2**31 - 1, -1, -(2**31)]
_TIMES = [0.0, 0.5, 1e-9, 12.25, -1.0, 1e300, float("inf"), float("nan")]
_LEAD_BYTES = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0]
_LEAD_BYTES += [0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]


def random_sequence(rng, max_notes=30):
    """Of all kinds of fields, those that are not stored included."""
    sequence = NoteSequence(ticks_per_quarter=pick(rng, _INTS), total_time=pick(rng, _TIMES))
    sequence.id, sequence.collection_name = pick(rng, ["", "a", "é" * 80]), pick(rng, ["", "lmd"])
    sequence.source_info.encoding_type = rng.integers(0, 5)
    for _ in range(rng.integers(0, max_notes)):
        note = sequence.notes.add(is_drum=bool(rng.integers(2)))
        for name in ("pitch", "velocity", "instrument", "program", "voice"):
            is_usual = rng.random() < 0.8
            setattr(note, name, int(rng.integers(128)) if is_usual else pick(rng, _INTS))
        note.start_time, note.end_time = pick(rng, _TIMES), rng.random()
    for _ in range(rng.integers(0, 4)):
        sequence.tempos.add(time=pick(rng, _TIMES), qpm=pick(rng, _TIMES))
        sequence.time_signatures.add(
            time=pick(rng, _TIMES), numerator=pick(rng, _INTS), denominator=4
        )
        sequence.key_signatures.add(time=1.0, key=3)
        sequence.control_changes.add(time=2.0, control_number=64, control_value=100)
        sequence.text_annotations.add(text="Ünter", time=1.0)
        sequence.instrument_infos.add(instrument=1, name="Flöte")
        sequence.sequence_metadata.artist = "ß"
        group = sequence.section_groups.add(num_times=2)
        group.sections.add(section_id=1)
        group.sections.add().section_group.sections.add(section_id=2)
    return sequence


def pick(rng, values):
    return values[rng.integers(len(values))]


def damage(data, rng):
    kind = rng.integers(4)
    place = int(rng.integers(len(data))) if data else 0
    if kind == 0 and data:
        data[place] = rng.integers(256)
    elif kind == 1 and data:
        data[place] ^= 1 << rng.integers(8)
    elif kind == 2:
        del data[place : place + rng.integers(1, 4)]
    else:
        data.insert(place, rng.integers(256))


def fields_of(sequence):
    """The serialized top-level fields, each apart."""
    fields = []
    for descriptor, value in sequence.ListFields():
        for item in value if descriptor.is_repeated else [value]:
            one = NoteSequence()
            if descriptor.is_repeated:
                getattr(one, descriptor.name).add().CopyFrom(item)
            elif descriptor.message_type:
                getattr(one, descriptor.name).CopyFrom(item)
            else:
                setattr(one, descriptor.name, item)
            fields.append(one.SerializeToString())
    return fields


def random_field(rng, depth):
    number, wire_type = int(rng.integers(1, 26)), rng.integers(6)
    if wire_type == 0:
        return varint_field(number, varint(int(rng.integers(0, 2 ** int(rng.integers(1, 63))))))
    if wire_type in (1, 5):
        return varint(number << 3 | wire_type) + rng.bytes(8 if wire_type == 1 else 4)
    inner = [random_field(rng, depth + 1) for _ in range(rng.integers(0, 4 - min(depth, 3)))]
    if wire_type == 3:
        return varint(number << 3 | 3) + b"".join(inner) + varint(number << 3 | 4)
    if wire_type == 4 and rng.random() < 0.1:
        return varint(number << 3 | 4)
    return message(number, b"".join(inner) if rng.random() < 0.9 else rng.bytes(3))


def message(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint_field(number, payload):
    return varint(number << 3) + payload


def sections(depth):
    """So many messages in each other: section_groups { sections { section_group { ..."""
    data = b""
    for level in reversed(range(depth)):
        data = message(SECTION_GROUPS if level == 0 else 2 - level % 2, data)
    return data


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
