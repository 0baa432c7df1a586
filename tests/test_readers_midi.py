"""The compiled MIDI reader against its oracle, note_seq, to the byte."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import Rejected
from pipeline.readers import midi
from pipeline.readers._score import MAX_SECONDS

HEADER_BYTES = 14


def varint(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.insert(0, value & 0x7F | 0x80)
    return bytes(groups)


def track(*events: tuple[int, bytes]) -> bytes:
    """A track chunk of (delta ticks, bytes of the event)."""
    body = b"".join(varint(delta) + event for delta, event in events)
    return b"MTrk" + len(body).to_bytes(4, "big") + body


def midi_file(*tracks: bytes, kind: int = 1, division: int = 480) -> bytes:
    numbers = (kind, len(tracks), division)
    return b"MThd\0\0\0\6" + b"".join(n.to_bytes(2, "big") for n in numbers) + b"".join(tracks)


def meta(kind: int, data: bytes = b"") -> bytes:
    return bytes([0xFF, kind]) + varint(len(data)) + data


def sysex(data: bytes, status: int = 0xF0) -> bytes:
    return bytes([status]) + varint(len(data)) + data


def on(pitch: int, velocity: int = 64, channel: int = 0) -> bytes:
    return bytes([0x90 | channel, pitch, velocity])


def off(pitch: int, channel: int = 0) -> bytes:
    return bytes([0x80 | channel, pitch, 0])


def control(number: int, value: int, channel: int = 0) -> bytes:
    return bytes([0xB0 | channel, number, value])


def program(number: int, channel: int = 0) -> bytes:
    return bytes([0xC0 | channel, number])


def bend(value: int, channel: int = 0) -> bytes:
    return bytes([0xE0 | channel, (value + 8192) & 0x7F, (value + 8192) >> 7])


def tempo(microseconds: int) -> bytes:
    return meta(0x51, microseconds.to_bytes(3, "big"))


END = (0, meta(0x2F))
NOTE = ((0, on(60)), (240, off(60)), END)

CASES = {
    "one_note": midi_file(track(*NOTE)),
    "type_0": midi_file(track(*NOTE), kind=0, division=96),
    "type_2": midi_file(track(*NOTE), track(*NOTE), kind=2),
    "no_notes": midi_file(track(END)),
    "velocity_0_ends": midi_file(track((0, on(60)), (9, on(60, 0)), END)),
    "running_status": midi_file(
        track((0, on(60)), (5, b"\x3e\x40"), (5, b"\x3c\x00"), (5, b"\x3e\x00"), END)
    ),
    "running_status_after_meta": midi_file(
        track((0, on(60)), (3, meta(0x01, b"x")), (5, b"\x3c\x00"), END)
    ),
    "running_status_of_sysex": midi_file(
        track((0, on(60)), (0, sysex(b"\x01\xf7")), (4, b"\x05\x02\x01\x02"), (5, off(60)), END)
    ),
    "running_status_of_songpos": midi_file(track((0, b"\xf2\1\2"), (1, b"\3\4"), *NOTE)),
    "overlap": midi_file(
        track((0, on(60, 10)), (10, on(60, 20)), (10, off(60)), (10, off(60)), END)
    ),
    "off_then_on_at_one_tick": midi_file(
        track((0, on(60)), (10, off(60)), (0, on(60, 9)), (10, off(60)), END)
    ),
    "on_then_off_at_one_tick": midi_file(
        track((0, on(60)), (10, on(60, 9)), (0, off(60)), (10, off(60)), END)
    ),
    "two_offs_at_one_tick": midi_file(
        track((0, on(60)), (10, on(60, 9)), (0, off(60)), (0, off(60)), (10, off(60)), END)
    ),
    "zero_length": midi_file(track((0, on(60)), (0, off(60)), (10, off(60)), END)),
    "never_ended": midi_file(track((0, on(60)), (10, on(62)), (5, off(62)), END)),
    "ended_in_another_track": midi_file(track((0, on(60)), END), track((9, off(60)), END)),
    "drums": midi_file(track((0, program(5, 9)), (0, on(36, 99, 9)), (9, off(36, 9)), END)),
    "program_at_end_counts": midi_file(track((0, on(60)), (5, program(40)), (5, off(60)), END)),
    "controls_before_instrument": midi_file(
        track((0, control(7, 100)), (1, bend(-8192)), (1, bend(8191)), (0, bend(0)), *NOTE)
    ),
    "shared_controls": midi_file(
        track(
            *((0, control(7, 1)), (0, program(1)), *NOTE[:2], (0, control(7, 2))),
            *((0, program(2)), (0, control(7, 3)), *NOTE[:2], (0, bend(5))),
            *((0, program(1)), (0, control(0, 0)), (0, program(3)), (0, control(1, 0)), END),
        )
    ),
    "own_then_shared_controls": midi_file(
        track(
            *(*NOTE[:2], (0, control(7, 2)), (0, program(2)), (0, control(7, 3)), *NOTE[:2]),
            *((0, program(3)), *NOTE[:2], (0, bend(77)), END),
        )
    ),
    "controls_without_notes": midi_file(track((0, control(64, 127)), END), track(*NOTE)),
    "tempo_changes": midi_file(
        track(
            *((0, tempo(500000)), (0, tempo(400000)), (10, tempo(400000)), (7, tempo(333333))),
            *((0, tempo(444444)), (13, tempo(444444)), (999, tempo(1)), (50, tempo(0xFFFFFF)), END),
        ),
        track((0, on(1)), (3, on(2)), (7, off(1)), (1000, off(2)), (100, on(3)), (7, off(3)), END),
    ),
    "tempo_in_second_track": midi_file(track(END), track((0, tempo(250000)), *NOTE)),
    "signatures": midi_file(
        track(
            *((0, meta(0x58, b"\4\2\x18\x08")), (9, meta(0x58, b"\xff\x1e\0\0")), (0, tempo(9))),
            *((n + 8, meta(0x59, bytes([n % 256, 0]))) for n in range(-7, 8)),
            *((n + 8, meta(0x59, bytes([n % 256, 1, 99]))) for n in range(-7, 8)),
            *NOTE,
        ),
        track((0, meta(0x58, b"\0\xff\0\0")), *NOTE),
    ),
    "names": midi_file(
        track((0, meta(3, b"Fl\xf6te \xff\xfe\x80\0")), *NOTE),
        track((0, meta(3, b"a" * 126)), *NOTE[:2], (0, meta(3, b"late")), *NOTE),
        track((0, meta(3, b"\xe9" * 300)), (0, program(1)), *NOTE),
        track((0, meta(3, b"cleared")), (0, meta(3)), *NOTE),
        track((0, meta(4, b"not a track name")), *NOTE),
    ),
    "delta_of_unknown_meta_is_lost": midi_file(
        track((0, on(60)), (100, meta(0x60, b"??")), (7, off(60)), (9, meta(0x0A)), END)
    ),
    "long_delta_of_unknown_meta": midi_file(track((1 << 70, meta(0x60)), *NOTE)),
    "padded_varint": midi_file(b"MTrk\0\0\0\x08" + b"\x80\x80\x80\x00\xff\x2f\x80\x00"),
    "other_messages": midi_file(
        track(
            *((0, sysex(b"\xf0\1\2\xf7")), (1, sysex(b"\1\2", 0xF7)), (1, sysex(b""))),
            *((1, sysex(b"\xf0")), (1, sysex(b"\xf7")), (1, b"\xa0\1\2"), (1, b"\xd0\1")),
            *((1, b"\xf1\x7f"), (1, b"\xf3\1"), (1, b"\xf6"), (1, b"\xf8"), (1, b"\xfe")),
            *((1, meta(0, b"\0\1")), (0, meta(0)), (1, meta(0x20, b"\1")), (1, meta(0x21))),
            *((1, meta(0x54, b"\x61\x3b\x3b\xff\x63")), (1, meta(0x7F, b"\xff\xff")), *NOTE),
        )
    ),
    "long_header": b"MThd\0\0\0\x09\0\1\0\1\0\x60abc" + track(*NOTE),
    "bytes_after_last_track": midi_file(track(*NOTE)) + b"MTrk garbage",
    "many_instruments": midi_file(
        *(track((0, program(n)), *NOTE, *((0, control(7, n)),)) for n in range(128)),
        *(track(*((n % 3, on(n, 1, 15)) for n in range(128)), (9, off(5, 15)), END),) * 20,
    ),
    "division_32767": midi_file(track((0, on(60)), (4_000_000, off(60)), END), division=32767),
}


def oracle(data: bytes) -> bytes | str:
    """note_seq's bytes, or the text of its error."""
    import note_seq

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return note_seq.midi_to_note_sequence(data).SerializeToString()
        except note_seq.MIDIConversionError as error:
            return str(error)


def outcome(data: bytes) -> bytes | str:
    """The reader's bytes, or the reason of its rejection."""
    try:
        return midi.read_serialized(data)
    except Rejected as rejected:
        return rejected.reason


def is_too_long(expected: bytes, actual: bytes | str) -> bool:
    from note_seq import NoteSequence

    return actual == "too_long" and NoteSequence.FromString(expected).total_time > MAX_SECONDS


@pytest.mark.parametrize("name", CASES)
def test_equals_note_seq_on_a_case(name):
    expected = oracle(CASES[name])
    assert isinstance(expected, bytes)
    assert outcome(CASES[name]) == expected


def random_event(rng: np.random.Generator, channels: np.ndarray, pitches: np.ndarray) -> bytes:
    channel, pitch = int(rng.choice(channels)), int(rng.choice(pitches))
    events = (
        lambda: on(pitch, int(rng.integers(0, 128)), channel),
        lambda: off(pitch, channel),
        lambda: control(int(rng.integers(0, 128)), int(rng.integers(0, 128)), channel),
        lambda: program(int(rng.integers(0, 4)), channel),
        lambda: bend(int(rng.integers(-8192, 8192)), channel),
        lambda: tempo(int(rng.integers(1, 1 << 24))),
        lambda: meta(0x58, bytes([int(rng.integers(1, 256)), int(rng.integers(0, 29)), 24, 8])),
        lambda: meta(0x59, bytes([int(rng.integers(-7, 8)) % 256, int(rng.integers(0, 2))])),
        lambda: meta(3, rng.bytes(int(rng.integers(0, 200)))),
        lambda: meta(int(rng.choice([1, 2, 4, 5, 6, 7, 8, 9, 10, 0x60, 0x7F])), rng.bytes(9)),
        lambda: sysex(bytes(rng.integers(0, 128, 5).tolist()) + b"\xf7"),
        lambda: bytes([0xA0 | channel, pitch, 1]),
        lambda: bytes([0xD0 | channel, 1]),
    )
    odds = np.array([30, 30, 8, 4, 4, 2, 1, 1, 1, 2, 1, 1, 1], float)
    return events[rng.choice(len(events), p=odds / odds.sum())]()


def random_file(seed: int, max_events: int = 200) -> bytes:
    rng = np.random.default_rng([20, seed])
    tracks = []
    for _ in range(rng.integers(1, 6)):
        channels = rng.integers(0, 16, 3)
        pitches = rng.integers(0, 128, 4)
        events, status = [], None
        for _ in range(rng.integers(0, max_events)):
            event = random_event(rng, channels, pitches)
            is_running = event[0] == status and rng.random() < 0.8
            if event[0] != 0xFF:
                status = event[0] if event[0] < 0xF0 else None
            delta = int(rng.choice([0, 0, 1, 3, 120, 1000]))
            events.append((delta, event[1:] if is_running else event))
        tracks.append(track(*events, END))
    division = int(rng.choice([1, 24, 96, 220, 480, 960, 32767]))
    return midi_file(*tracks, kind=int(rng.integers(0, 3)), division=division)


def test_equals_note_seq_on_random_files():
    for seed in range(300):
        data = random_file(seed)
        expected, actual = oracle(data), outcome(data)
        assert isinstance(expected, bytes)
        assert actual == expected or is_too_long(expected, actual), seed


def package_directory(name: str) -> Path:
    return Path(importlib.util.find_spec(name).submodule_search_locations[0])


def test_equals_note_seq_on_published_files():
    files = sorted(package_directory("music21").rglob("*.mid"))
    assert len(files) >= 20
    for file in files:
        expected = oracle(file.read_bytes())
        assert isinstance(expected, bytes)
        assert outcome(file.read_bytes()) == expected, file.name


@pytest.mark.parametrize("name", ["bach/bwv66.6.mxl", "bach/bwv281.mxl", "bach/bwv438.mxl"])
def test_equals_note_seq_on_rendered_scores(name):
    import note_seq

    score = package_directory("music21") / "corpus" / name
    sequence = note_seq.musicxml_file_to_sequence_proto(str(score))
    file = io.BytesIO()
    note_seq.note_sequence_to_pretty_midi(sequence).write(file)
    expected = oracle(file.getvalue())
    assert isinstance(expected, bytes)
    assert len(midi.read(file.getvalue()).notes) == len(sequence.notes) > 100
    assert outcome(file.getvalue()) == expected


def mutated_file(seed: int) -> bytes:
    """A small random file with some bytes replaced, removed, doubled, or cut off."""
    rng = np.random.default_rng([21, seed])
    data = bytearray(random_file(int(rng.integers(0, 10_000)), max_events=40))
    for _ in range(rng.integers(1, 4)):
        # Mostly past the headers, where a change is more than "not a MIDI file".
        place = int(rng.integers(0 if rng.random() < 0.1 else HEADER_BYTES + 8, len(data)))
        match rng.choice(["replace", "remove", "double", "cut"], p=[0.85, 0.05, 0.05, 0.05]):
            case "replace":
                data[place] = int(rng.integers(0, 256))
            case "remove":
                del data[place]
            case "double":
                data.insert(place, data[place])
            case "cut":
                del data[max(place, HEADER_BYTES + 9) :]
    return bytes(data)


def test_mutated_files_are_equal_repaired_or_rejected(monkeypatch):
    import note_seq  # sets MAX_TICK, so it comes first
    import pretty_midi

    assert note_seq.NoteSequence
    # pretty_midi makes an array over all ticks: gigabytes, where a delta time is mutated.
    monkeypatch.setattr(pretty_midi.pretty_midi, "MAX_TICK", 1e6)
    counts = {"equal": 0, "both fail": 0, "repaired": 0, "read more": 0}
    for seed in range(1000):
        data = mutated_file(seed)
        expected, actual = oracle(data), outcome(data)
        if isinstance(expected, bytes):
            assert actual == expected or is_too_long(expected, actual), seed
            counts["equal"] += 1
        elif isinstance(actual, str):
            assert actual in midi.REASONS
            counts["both fail"] += 1
        elif midi.read_serialized_with_repairs(data)[1]:
            counts["repaired"] += 1
        else:
            assert "largest tick" in expected, seed  # more than this test lets pretty_midi have
            counts["read more"] += 1
    assert counts["equal"] > 200, counts
    assert counts["both fail"] > 200, counts
    assert counts["repaired"] > 50, counts
    assert counts["read more"] < 100, counts


REJECTED = {
    "not_midi": [b"", b"MTh", b"<html>", b"RIFF\0\0\0\0RMID", bytes(100)],
    "truncated_midi": [
        b"MThd",
        CASES["one_note"][:13],
        CASES["one_note"][:20],
        CASES["one_note"][:-5],
        b"MThd\0\0\0\5" + CASES["one_note"][8:],
        b"MThd\xff\xff\xff\xff" + CASES["one_note"][8:],
        midi_file(track(*NOTE), track(*NOTE))[: -len(track(*NOTE))],
        midi_file(track(*NOTE[:2], (300, meta(0x2F))))[:-5],  # 0 b0 7 and an end would fit, too
        midi_file(track(*NOTE[:2], (0, program(5))))[:-1],
        midi_file(track(*NOTE[:2], (0, program(5))))[:-2],
    ],
    "no_tracks": [midi_file(), b"MThd\0\0\0\6\0\1\xff\xff\1\xe0" + track(*NOTE)],
    "bad_division": [
        *(midi_file(track(*NOTE), division=d) for d in (0, 0xE700, 0xE600, 0x8028, 0xFF28)),
    ],
    "bad_track": [
        CASES["one_note"].replace(b"MTrk", b"XTrk"),
        midi_file(track(*NOTE), b"junk" + b"\0" * 4),
    ],
    "bad_midi_event": [
        midi_file(track((0, b"\x3c\x40"))),
        midi_file(track((0, b"\xf4"))),
        midi_file(track((0, b"\xf8"), (0, b"\x01"))),
        midi_file(track((0, b"\x90\x40"))),
        midi_file(track((0, b"\xc0"))),
        midi_file(track((0, b""))),
        midi_file(track((0, b"\xff"))),
        midi_file(track((0, b"\xff\x01"))),
        midi_file(track((0, b"\xff\x01\x05abcd"))),
        midi_file(track((0, b"\xf0\x05\1"))),
        midi_file(track((0, meta(1, bytes(1_000_001))))),
        midi_file(track((0, sysex(bytes(1_000_001))))),
        midi_file(track((0, b"\xff\x01" + b"\xff" * 30))),
    ],
    "too_long": [
        midi_file(track((10_000_000_000, off(1)))),
        midi_file(track((1 << 70, off(1)))),
        midi_file(track((10_000_000_000 * 960 // 480, off(1))), division=960),
    ],
}


@pytest.mark.parametrize("reason", REJECTED)
def test_rejects_what_note_seq_cannot_read(reason):
    for data in REJECTED[reason]:
        assert outcome(data) == reason
        assert isinstance(oracle(data), str)


def test_rejects_a_file_that_repeats_its_controls_without_end():
    controls = [(0, control(7, 100))] * 60_000
    notes = [event for n in range(128) for event in ((0, program(n)), *NOTE[:2])]
    assert outcome(midi_file(track(*controls, *notes))) == "too_large"


def test_rejects_a_file_that_sounds_for_more_than_8_hours():
    """What is quantized needs memory by its length."""
    for seconds, expected in ((28_800, bytes), (28_801, str)):
        data = midi_file(track((0, on(60)), (seconds * 960, off(60)), END))
        assert isinstance(outcome(data), expected)
    assert outcome(data) == "too_long"


def test_rejects_a_huge_file_unread():
    with pytest.raises(Rejected, match="too_large"):
        midi.read_serialized(midi_file(track(*NOTE)) + bytes(midi.MAX_FILE_BYTES))


def chunk(body: bytes) -> bytes:
    return midi_file(b"MTrk" + len(body).to_bytes(4, "big") + body)


def worst_files(num_bytes: int = 2**20) -> dict[str, bytes]:
    """Files of about as many bytes that make this reader, or note_seq, take most for each byte."""
    names = (0, meta(3, b"\xff" * (num_bytes // 8)))
    keys = [event for c in range(16) for event in ((0, on(60, 1, c)), (1, off(60, c)))]
    controls = [(0, control(7, 1))] * (num_bytes // 4)
    programs = [((0, program(n)), *NOTE[:2]) for n in range(128)]
    return {
        "notes": chunk(b"\0\x90\x3c\0" + b"\0\x3c\x40\1\x3c\0" * (num_bytes // 6)),
        "closed_at_once": chunk(b"\0\x90" + b"\x3c\x40\0" * (num_bytes // 3) + b"\x3e\1\1\x3c\0"),
        "closed_in_vain": chunk(b"\0\x90\x3c\x40" + b"\0\x3c\x40\0\x3c\0" * (num_bytes // 6)),
        "programs": chunk(b"\0\xc0\1" + b"\0\1" * (num_bytes // 2)),
        "controls": chunk(b"\0\xb0\1\1" + b"\0\1\2" * (num_bytes // 3)),
        "tempos": chunk(b"\1\xff\x51\3\0\0\1\1\xff\x51\3\0\0\2" * (num_bytes // 14)),
        "long_deltas": chunk(b"\xbf\xff\xff\x7f\x90\x3c\x40" * (num_bytes // 7)),
        "tracks": midi_file(*[track((0, on(60)), (1, off(60)))] * 32_767),
        "empty_tracks": midi_file(*[track()] * 32_767),
        "names": midi_file(*[track(names, *keys)] * 8),
        "shared": midi_file(track(*controls, *(e for p in programs[:4] for e in p))),
        "shared_too_often": midi_file(track(*controls, *(e for p in programs for e in p))),
    }


def test_memory_is_bounded_by_the_size_of_the_file():
    text = (
        "import resource, test_readers_midi as t\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "files = t.worst_files(); t.outcome(t.CASES['one_note']); before = peak()\n"
        "for name, data in files.items():\n"
        "    result = t.outcome(data); bound = 240 * len(data) + 40_000_000\n"
        "    print(name, peak() - before < bound, isinstance(result, str) and result)\n"
    )
    lines = dict(line.split(" ", 1) for line in run_python(text).splitlines())
    rejected = {"long_deltas": "too_long", "shared_too_often": "too_large"}
    assert lines == {name: f"True {rejected.get(name, False)}" for name in worst_files(999)}


def test_time_grows_with_the_size_of_the_file_only():
    """A quadratic step would take minutes for these; the bound leaves room for a busy machine."""
    for name, data in worst_files().items():
        started = time.process_time()
        outcome(data)
        assert time.process_time() - started < 2, name


def test_every_reason_is_tested():
    assert {*REJECTED, "too_large"} == set(midi.REASONS)


MARK = meta(1, b"nothing")
DROPPED = {  # (repair, what note_seq refuses): without it, it reads the rest
    ("dropped_message", on(200, 64)),
    ("dropped_message", on(128, 255)),
    ("dropped_message", off(128)),
    ("dropped_message", control(128, 1)),
    ("dropped_tempo", tempo(0)),
    ("dropped_tempo", meta(0x51, b"\1\1")),
    ("dropped_time_signature", meta(0x58, b"\0\2\0\0")),
    ("dropped_time_signature", meta(0x58, b"\4\x1d\0\0")),
    ("dropped_time_signature", meta(0x58, b"\4\x1f\0\0")),
    ("dropped_time_signature", meta(0x58, b"\4\xff\0\0")),
    ("dropped_time_signature", meta(0x58, b"\4\2\0")),
    ("dropped_key_signature", meta(0x59, b"\x08\0")),
    ("dropped_key_signature", meta(0x59, b"\xf8\0")),
    ("dropped_key_signature", meta(0x59, b"\0\2")),
    ("dropped_key_signature", meta(0x59, b"\0")),
    ("dropped_meta_event", meta(0x00, b"\1")),
    ("dropped_meta_event", meta(0x20)),
    ("dropped_meta_event", meta(0x54, b"\0\0\0\0")),
    ("dropped_meta_event", meta(0x54, b"\x80\0\0\0\0")),
    ("dropped_meta_event", meta(0x54, b"\0\x3c\0\0\0")),
    ("dropped_meta_event", meta(0x54, b"\0\0\x3c\0\0")),
    ("dropped_meta_event", meta(0x54, b"\0\0\0\0\x64")),
}
ANY_TRACK = ("dropped_message", "dropped_key_signature", "dropped_meta_event")


def test_denominators_are_dropped_in_later_tracks_where_mido_refuses_them():
    """It takes their logarithms, and 51 of 256 do not come out even."""
    num_dropped = 0
    for exponent in range(256):
        data = midi_file(track(END), track((0, meta(0x58, bytes([4, exponent, 0, 0]))), *NOTE))
        expected, (actual, repairs) = oracle(data), midi.read_serialized_with_repairs(data)
        assert repairs == (("dropped_time_signature",) if isinstance(expected, str) else ())
        assert isinstance(expected, str) or actual == expected
        num_dropped += len(repairs)
    assert num_dropped == 51


@pytest.mark.parametrize(("repair", "event"), sorted(DROPPED))
def test_what_note_seq_refuses_is_dropped_and_its_delta_time_kept(repair, event):
    def between(what: bytes, *before: bytes) -> bytes:
        events = ((0, tempo(400_000)), (0, on(60)), (5, what), (7, off(60)), *NOTE)
        return midi_file(*before, track(*events))

    befores = ((), (track(*NOTE),)) if repair in ANY_TRACK else ((),)
    for before in befores:
        assert isinstance(oracle(between(event, *before)), str)
        expected = oracle(between(MARK, *before))
        assert midi.read_serialized_with_repairs(between(event, *before)) == (expected, (repair,))


@pytest.mark.parametrize(
    ("event", "clipped"),
    [
        (on(60, 200), on(60, 127)),
        (b"\x90\x3c\xff", on(60, 127)),
        (b"\x80\x3c\x80", off(60)),
        (control(64, 128), control(64, 127)),
        (program(128), program(127)),
        (b"\xe0\x80\x90", b"\xe0\x7f\x7f"),
        (b"\xa0\x80\x90", b"\xa0\x7f\x7f"),
        (b"\xf2\x80\x90", b"\xf2\x7f\x7f"),
        (sysex(b"\x80\xf7"), sysex(b"\x7f\xf7")),
    ],
)
def test_data_bytes_over_127_count_as_127(event, clipped):
    data, expected = (midi_file(track((5, e), *NOTE[:2], (9, off(60)))) for e in (event, clipped))
    assert isinstance(oracle(data), str)
    assert midi.read_serialized_with_repairs(data) == (oracle(expected), ("clipped_data_byte",))


@pytest.mark.parametrize(("delta", "lengths"), [(0, (1, 2, 3, 4)), (300, (1, 2, 3, 4))])
def test_a_cut_end_of_track_is_no_loss(delta, lengths):
    whole = midi_file(track(*NOTE[:2], (delta, meta(0x2F))))
    for length in lengths:
        serialized, repairs = midi.read_serialized_with_repairs(whole[:-length])
        assert isinstance(oracle(whole[:-length]), str)
        assert (serialized, repairs) == (oracle(whole), ("cut_end_of_track",))


def test_empty_tracks_are_skipped():
    data = midi_file(track(), track(*NOTE), track())
    assert isinstance(oracle(data), str)
    expected = oracle(midi_file(track(END), track(*NOTE), track(END)))
    assert midi.read_serialized_with_repairs(data) == (expected, ("empty_track",))


@pytest.mark.parametrize(
    ("division", "ticks_per_second", "division_of_quarter"),
    [
        (0xE728, 1000, 500),  # 25 frames of 40 ticks: milliseconds
        (0xE850, 1920, 960),
        (0xE250, 2400, 1200),
        (0xE350, 80 * 30_000 / 1001, 1199),  # 29: 30 frames in 1.001 seconds
        (0xE701, 25, 12),
    ],
)
def test_smpte_time_is_of_seconds_whatever_the_tempo(
    division, ticks_per_second, division_of_quarter
):
    events = ((0, tempo(250_000)), (1000, on(60)), (500, tempo(1)), (2000, off(60)), END)
    serialized, repairs = midi.read_serialized_with_repairs(
        midi_file(track(*events), division=division)
    )
    sequence = midi.read(midi_file(track(*events), division=division))
    assert sequence.SerializeToString() == serialized
    assert repairs == ("smpte_division",)
    assert sequence.notes[0].start_time == pytest.approx(1000 / ticks_per_second, rel=1e-12)
    assert sequence.total_time == pytest.approx(3500 / ticks_per_second, rel=1e-12)
    (made_up,) = sequence.tempos
    assert sequence.ticks_per_quarter == division_of_quarter
    assert made_up.qpm * division_of_quarter / 60 == pytest.approx(ticks_per_second, rel=1e-12)
    assert made_up.qpm == pytest.approx(120, rel=0.05)


def test_many_ticks_of_a_fine_division_are_no_length():
    start, length = 40_000_000_000, 32_767
    events = ((0, tempo(1)), (start, tempo(250_000)), (0, on(60)), (length, off(60)), END)
    data = midi_file(track(*events), division=32_767)
    assert midi.read_serialized_with_repairs(data)[1] == ("many_ticks",)
    assert midi.read(data).total_time == pytest.approx(start / length / 1e6 + 0.25)


def test_riff_is_unwrapped():
    data = CASES["tempo_changes"]
    chunks = b"RMIDinfo\3\0\0\0abc\0data" + len(data).to_bytes(4, "little") + data
    wrapped = b"RIFF" + len(chunks).to_bytes(4, "little") + chunks
    assert isinstance(oracle(wrapped), str)
    expected = (oracle(data), ("unwrapped_riff",))
    assert midi.read_serialized_with_repairs(wrapped) == expected


def test_every_repair_is_tested():
    tested = {
        *(repair for repair, _ in DROPPED),
        *("clipped_data_byte", "cut_end_of_track", "empty_track", "smpte_division", "many_ticks"),
        "unwrapped_riff",
    }
    assert tested == set(midi.REPAIRS)


def test_what_note_seq_reads_needs_no_repair():
    for data in CASES.values():
        assert midi.read_serialized_with_repairs(data)[1] == ()


def test_read_gives_note_seq_class_without_importing_note_seq():
    program_text = (
        "import sys\n"
        "from pipeline.readers import midi\n"
        "assert not {'numba', 'note_seq', 'google.protobuf'} & set(sys.modules)\n"
        f"sequence = midi.read({CASES['one_note']!r})\n"
        "assert 'note_seq' not in sys.modules and 'librosa' not in sys.modules\n"
        "import note_seq\n"
        "from note_seq.protobuf import music_pb2\n"
        "assert type(sequence) is note_seq.NoteSequence is music_pb2.NoteSequence\n"
        "assert type(sequence.notes[0]) is note_seq.protobuf.music_pb2.NoteSequence.Note\n"
        "quantized = note_seq.quantize_note_sequence(sequence, 4)\n"
        "copy = note_seq.NoteSequence(); copy.CopyFrom(sequence); assert copy == sequence\n"
        "print(quantized.notes[0].quantized_end_step)\n"
    )
    assert run_python(program_text) == "2"


def test_a_process_that_compiles_afresh_with_bounds_checked_agrees(tmp_path):
    """A read or write outside a table would raise IndexError instead of going unseen."""
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_BOUNDSCHECK": "1"}
    text = "import test_readers_midi as t; print(t.digest_of_outcomes())"
    assert run_python(text, environment) == digest_of_outcomes()
    assert list(tmp_path.rglob("*.nbi"))


def digest_of_outcomes() -> str:
    files = [*CASES.values(), *(data for reason in REJECTED.values() for data in reason)]
    files += [midi_file(track(*NOTE[:2], (1, event), *NOTE)) for _, event in sorted(DROPPED)]
    files += [CASES["signatures"][:-n] for n in range(1, 60)]
    files += [random_file(seed) for seed in range(20)]
    files += [mutated_file(seed) for seed in range(600)]
    digest = hashlib.sha256()
    for data in files:
        result = outcome(data)
        digest.update(result.encode() if isinstance(result, str) else result)
    return digest.hexdigest()


def run_python(text: str, environment: dict[str, str] | None = None) -> str:
    here = Path(__file__).parent
    search = os.pathsep.join([str(here.parent), str(here)])
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        env={**os.environ, "PYTHONPATH": search, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()
