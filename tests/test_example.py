"""What an Example gives of its notes, and by what it is told from others."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from note_seq.protobuf.music_pb2 import NoteSequence

from pipeline.errors import Rejected
from pipeline.example import Example


def tune(seed=0, num_notes=60):
    """Tracks of notes on a grid of 62.5 ms, half of whose times are half a millisecond off."""
    rng = np.random.default_rng(seed)
    sequence = NoteSequence(ticks_per_quarter=220)
    sequence.tempos.add(qpm=120)
    for i in range(num_notes):
        start = 0.0625 * (i // 2 + rng.integers(2))
        sequence.notes.add(
            pitch=int(rng.integers(30, 100)),
            velocity=80,
            start_time=start,
            end_time=start + 0.2,
            instrument=i % 3,
            program=5 * (i % 3),
            is_drum=i % 3 == 2,
        )
    sequence.total_time = 10
    return sequence


def fingerprint(sequence):
    return Example("a", sequence.SerializeToString()).fingerprint()


def test_note_sequence_is_parsed_once_and_only_if_there_is_one():
    example = Example("a", tune().SerializeToString())
    assert example.note_sequence == tune()
    assert example.note_sequence is example.note_sequence
    assert example.note_table is example.note_table
    assert Example("a").note_sequence is None
    assert Example("a").note_table is None
    with pytest.raises(FrozenInstanceError):
        example.key = "b"


def test_the_music_alone_decides():
    sequence, other = tune(), NoteSequence()
    other.CopyFrom(tune())
    other.id, other.ticks_per_quarter, other.total_time = "other", 480, 99.0
    other.tempos[0].qpm = 60
    other.tempos.add(time=3, qpm=90)
    other.time_signatures.add(numerator=3, denominator=4)
    del other.notes[:]
    for i in np.random.default_rng(1).permutation(len(sequence.notes)):
        note = other.notes.add()
        note.CopyFrom(sequence.notes[i])
        note.instrument, note.program, note.velocity = 3 - note.instrument, 40, 1 + i
        note.end_time += 0.1 * i
        note.start_time += 7.25
    assert fingerprint(other) == fingerprint(sequence)
    assert len(fingerprint(sequence)) == 32


def test_the_last_bits_of_times_do_not_decide():
    sequence, rng = tune(), np.random.default_rng(2)
    expected = fingerprint(sequence)
    for _ in range(50):
        shift = rng.random() * 1e3
        other = tune()
        for note in other.notes:
            note.start_time = note.start_time + shift + 1e-6 * rng.random()
        assert fingerprint(other) == expected


@pytest.mark.parametrize("index", [0, 1, 7, 59])
def test_every_note_counts(index):
    found = {"as it is": fingerprint(tune())}
    for seconds in (0.002, -0.002, 0.0011, 1.0):
        other = tune()
        other.notes[index].start_time += seconds
        found[f"moved by {seconds}"] = fingerprint(other)
    for name in ("transposed", "struck", "left out", "doubled"):
        other = tune()
        note = other.notes[index]
        if name == "transposed":
            note.pitch += 1
        elif name == "struck":
            note.is_drum = not note.is_drum
        elif name == "left out":
            del other.notes[index]
        else:
            other.notes.add().CopyFrom(note)
        found[name] = fingerprint(other)
    assert len(set(found.values())) == len(found), found


def test_no_notes_and_odd_times_have_fingerprints_too():
    nothing = fingerprint(NoteSequence(total_time=3))
    assert nothing == fingerprint(NoteSequence()) != Example("a").fingerprint()
    odd = NoteSequence()
    for seconds in (0.0, -5.0, 1e300, float("inf"), float("nan")):
        odd.notes.add(start_time=seconds, pitch=-1)
    assert fingerprint(odd) not in (nothing, fingerprint(tune()))
    with pytest.raises(Rejected, match="damaged_note_sequence"):
        Example("a", b"\x42\x05\x08").fingerprint()


def test_sound_and_picture_count():
    rng = np.random.default_rng(3)
    sound, picture = rng.random(100, np.float32), rng.integers(0, 255, (4, 6, 3), np.uint8)
    other_sound, other_picture = sound.copy(), picture.copy()
    other_sound[7] += 0.01
    other_picture[1, 2, 0] ^= 1
    notes = tune().SerializeToString()
    different = [
        Example("a", None, sound, 100),
        Example("a", None, sound, 200),
        Example("a", None, other_sound, 100),
        Example("a", picture=picture),
        Example("a", picture=other_picture),
        Example("a", picture=picture.reshape(6, 4, 3)),
        Example("a", None, sound, 100, picture),
        Example("a", notes, sound, 100),
        Example("a", notes),
    ]
    prints = [example.fingerprint() for example in different]
    assert len(set(prints)) == len(prints)
    same = Example("b", None, sound.copy(), 100, picture[:, ::-1][:, ::-1], {"title": "x"})
    assert same.fingerprint() == prints[6]


def test_the_import_is_light():
    code = "import sys, pipeline.example; print({'numba', 'note_seq', 'google'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"
