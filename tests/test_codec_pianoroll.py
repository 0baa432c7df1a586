"""The pianoroll codec against note-seq's steps painted in a loop, muspy's rolls, and by hand."""

import subprocess
import sys
import time

import muspy
import note_seq
import numpy as np
import pytest
from note_seq import sequences_lib as lib
from pydantic import ValidationError

from pipeline import tfrecord
from pipeline.codecs.pianoroll import (
    CODEC,
    TRACKS,
    PianorollOptions,
    pack,
    roll_shape,
    track_names,
    unpack,
)
from pipeline.errors import Rejected
from pipeline.example import Example
from tests import lakh_songs

OPTIONS = PianorollOptions(
    steps_per_quarter=4,
    num_bars=4,
    min_pitch=24,
    num_pitches=84,
    tracks="five",
    genres=("Jazz", "Rock"),
    min_notes=1,
    min_tracks=1,
    max_phrases=1000,
)
DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
PROGRAMS = {PIANO: 0, GUITAR: 25, BASS: 33, STRINGS: 48, DRUMS: 0}
GRIDS = [
    {},
    {"steps_per_quarter": 12, "num_bars": 1, "min_notes": 5, "min_tracks": 2},
    {"tracks": "merged", "min_notes": 10, "max_phrases": 3},
    {"min_pitch": 0, "num_pitches": 128, "num_bars": 2, "steps_per_quarter": 3, "max_phrases": 2},
    {"min_pitch": 41, "num_pitches": 13, "steps_per_quarter": 24, "num_bars": 3},
]


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Files of the miniature of Lakh."""
    return lakh_songs.read(tmp_path_factory.mktemp("lakh"))


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng([5, 11])
    return [random_sequence(rng) for _ in range(50)]


@pytest.mark.parametrize("change", GRIDS)
@pytest.mark.parametrize("kind", ["songs", "noise"])
def test_phrases_are_those_of_note_seqs_steps_painted_in_a_loop(kind, change, request):
    options, num_found = changed(**change), 0
    for sequence in request.getfixturevalue(kind):
        expected = oracle(sequence, options)
        found = encoded(sequence, options)
        assert len(found) == len(expected)
        for record, (roll, qpm) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(unpack(record["roll"], options), roll)
            assert record["qpm"] == np.float32(qpm)
        num_found += len(found)
    assert num_found > 25


@pytest.mark.parametrize("change", GRIDS)
@pytest.mark.parametrize("kind", ["songs", "noise"])
def test_phrases_come_back_from_their_notes(kind, change, request):
    options = changed(**change)
    for sequence in request.getfixturevalue(kind)[:25]:
        for record in encoded(sequence, options):
            assert_comes_back(record, options)


@pytest.mark.parametrize("change", GRIDS)
def test_what_a_network_may_draw_comes_back(change):
    rng = np.random.default_rng([len(change), 3])
    options, num_back = changed(**change), 0
    for density in (0.0005, 0.003, 0.05, 0.5, 1.0):
        for _ in range(6):
            record = random_record(rng, options, density)
            statistics = CODEC.statistics(record, options)
            assert all(np.isfinite(value) for value in statistics.values())
            is_whole = statistics["num_notes"] >= options.min_notes
            if is_whole and statistics["num_tracks"] >= options.min_tracks:
                num_back += 1
                assert_comes_back(record, options)
            else:
                with pytest.raises(Rejected, match=r"too_few|no_notes"):
                    CODEC.encode(CODEC.decode(record, options), options)
    assert num_back > 10


@pytest.mark.parametrize("silent_bars", [[0], [0, 1, 2], [3], [1, 2, 3]])
def test_silent_bars_come_back_where_they_were(silent_bars):
    roll = np.random.default_rng(1).random(roll_shape(OPTIONS)) < 0.02
    for bar in silent_bars:
        roll[bar * 16 : bar * 16 + 16] = False
    record = {"roll": pack(roll), "genre": np.int64(0), "qpm": np.float32(97.3)}
    assert_comes_back(record, OPTIONS)
    assert CODEC.decode(record, OPTIONS).note_sequence.total_time == pytest.approx(16 * 60 / 97.3)


def test_a_song_by_hand():
    sequence = song()
    add_note(sequence, PIANO, 60, 0.0, 1.0)
    add_note(sequence, PIANO, 60, 1.0, 0.5)  # touches the one before: one note
    add_note(sequence, GUITAR, 60, 2.0, 0.1)  # shorter than a step: a step
    add_note(sequence, BASS, 24, 3.6, 0.65)  # rounded to 14 .. 17
    add_note(sequence, STRINGS, 107, 15.0, 2.0)  # held into the next phrase
    add_note(sequence, STRINGS, 108, 0.0, 1.0)  # too high
    add_note(sequence, PIANO, 23, 0.0, 1.0)  # too low
    add_note(sequence, DRUMS, 36, 16.0, 0.25)
    first, second = encoded(sequence)
    roll = unpack(first["roll"], OPTIONS)
    assert sounding(roll) == sorted(
        [
            *((step, 36, PIANO) for step in range(6)),
            (8, 36, GUITAR),
            *((step, 0, BASS) for step in (14, 15, 16)),
            *((step, 83, STRINGS) for step in (60, 61, 62, 63)),
        ]
    )
    held = [(step, 83, STRINGS) for step in range(4)]
    assert sounding(unpack(second["roll"], OPTIONS)) == sorted([(0, 12, DRUMS), *held])
    assert first["genre"] == 1
    assert first["genre"].dtype == np.int64
    assert first["qpm"] == np.float32(100.0)


def test_triplets_and_sixteenths_stand_on_the_grid_of_twelve():
    options = changed(steps_per_quarter=12, num_bars=1)
    sequence = song()
    for beat in (0, 1 / 3, 2 / 3):
        add_note(sequence, PIANO, 60, beat, 1 / 6)
    for beat in (1, 1.25, 1.5, 1.75):
        add_note(sequence, PIANO, 62, beat, 1 / 12)
    (record,) = encoded(sequence, options)
    triplets = [(step + held, 36, PIANO) for step in (0, 4, 8) for held in (0, 1)]
    sixteenths = [(step, 38, PIANO) for step in (12, 15, 18, 21)]
    assert sounding(unpack(record["roll"], options)) == sorted(triplets + sixteenths)


def test_a_roll_is_that_of_muspy():
    rng = np.random.default_rng(4)
    options = changed(min_pitch=0, num_pitches=128)
    notes, sequence = [], song(qpm=120)
    for _ in range(60):
        start, length = int(rng.integers(0, 60)), int(rng.integers(1, 8))
        pitch = int(rng.integers(20, 110))
        notes.append(muspy.Note(time=start, duration=min(length, 64 - start), pitch=pitch))
        add_note(sequence, STRINGS, pitch, start / 4, notes[-1].duration / 4)
    music = muspy.Music(resolution=4, tracks=[muspy.Track(program=48, notes=notes)])
    expected = np.zeros((64, 128), bool)
    theirs = muspy.to_pianoroll_representation(music, encode_velocity=False)
    expected[: len(theirs)] = theirs[:64]
    (record,) = encoded(sequence, options)
    np.testing.assert_array_equal(unpack(record["roll"], options)[..., STRINGS], expected)


def test_programs_belong_to_the_tracks_of_lpd_5():
    for program in range(128):
        sequence = song()
        add_note(sequence, PIANO, 60, 0, 1, program=program)
        found = encoded(sequence)
        if lpd_track(program) is None:
            assert not found
        else:
            assert sounding(unpack(found[0]["roll"], OPTIONS))[0][2] == lpd_track(program)
        assert len(encoded(sequence, changed(tracks="merged"))) == len(found)
    assert TRACKS == ("drums", "piano", "guitar", "bass", "strings")


def test_a_bit_stands_at_its_place():
    roll = np.zeros(roll_shape(OPTIONS), bool)
    roll[3, 5, 2] = True
    packed = pack(roll)
    place = (3 * 84 + 5) * 5 + 2
    assert np.flatnonzero(packed).tolist() == [place // 8]
    assert packed[place // 8] == 1 << place % 8
    many = np.random.default_rng(0).random((2, 3, *roll_shape(OPTIONS))) < 0.1
    assert pack(many).shape == (2, 3, 64 * 84 * 5 // 8)
    np.testing.assert_array_equal(unpack(pack(many), OPTIONS), many)
    np.testing.assert_array_equal(unpack(packed.tobytes(), OPTIONS), roll)
    odd = changed(num_pitches=7, num_bars=1, steps_per_quarter=1)  # 4 x 7 x 5 bits: 17.5 bytes
    assert CODEC.features(odd)["roll"].shape == (18,)
    few = np.ones(roll_shape(odd), bool)
    np.testing.assert_array_equal(unpack(pack(few), odd), few)


def test_records_are_as_declared():
    (record,) = encoded(simple_song())
    features = CODEC.features(OPTIONS)
    parsed = tfrecord.parse_example(tfrecord.serialize_example(record, features), features)
    for name, feature in features.items():
        assert record[name].dtype == feature.dtype
        assert record[name].shape == feature.shape
        np.testing.assert_array_equal(parsed[name], record[name])
    assert_comes_back(parsed, OPTIONS)
    assert CODEC.num_classes(OPTIONS, "genre") == 2
    with pytest.raises(KeyError):
        CODEC.num_classes(OPTIONS, "roll")


def test_decoded_notes_by_hand():
    roll = np.zeros(roll_shape(OPTIONS), bool)
    roll[0:4, 36, PIANO] = roll[8:10, 0, BASS] = roll[4, 12, DRUMS] = True
    roll[2, 50, GUITAR] = roll[63, 50, STRINGS] = True
    record = {"roll": pack(roll), "genre": np.int64(0), "qpm": np.float32(60), "key": "a/b"}
    example = CODEC.decode(record, OPTIONS)
    notes = [
        (n.start_time, n.end_time, n.pitch, n.instrument, n.program, n.is_drum, n.velocity)
        for n in sorted(example.note_sequence.notes, key=lambda note: note.start_time)
    ]
    assert notes == [
        (0.0, 1.0, 60, 0, 0, False, 80),
        (0.5, 0.75, 74, 1, 25, False, 80),
        (1.0, 1.25, 36, 9, 0, True, 100),
        (2.0, 2.5, 24, 2, 33, False, 80),
        (15.75, 16.0, 74, 3, 48, False, 80),
    ]
    assert example.key == "a/b"
    assert example.attributes == {"genre": "Jazz"}
    assert example.note_sequence.total_time == 16.0
    assert example.note_sequence.tempos[0].qpm == 60


def test_a_models_record_may_lack_fields_and_have_more():
    roll = np.zeros(roll_shape(OPTIONS), bool)
    roll[0:2, 36, PIANO] = True
    more = {"source_roll": pack(~roll), "cycled_roll": pack(~roll), "source_genre": np.int64(0)}
    example = CODEC.decode({"roll": pack(roll).tobytes(), **more}, OPTIONS)
    assert example.attributes == {}
    assert [(n.start_time, n.end_time) for n in example.note_sequence.notes] == [(0.0, 0.25)]
    assert CODEC.statistics({"roll": pack(roll), **more}, OPTIONS)["qpm"] == 120


def test_the_lead_in_stays_a_phrase_without_an_onset_goes():
    sequence = song()
    add_note(sequence, PIANO, 60, 6.0, 34.0)  # from the second bar into the third phrase
    add_note(sequence, PIANO, 62, 33.0, 1.0)
    first, third = encoded(sequence)
    assert sounding(unpack(first["roll"], OPTIONS))[0] == (24, 36, PIANO)
    assert {cell[0] for cell in sounding(unpack(third["roll"], OPTIONS))} == set(range(32))


def test_equal_phrases_are_one_and_many_are_thinned_evenly():
    sequence = song()
    for phrase in range(10):
        add_note(sequence, PIANO, 60 + min(phrase, 8), 16.0 * phrase, 1.0)
    tones = [sounding(unpack(r["roll"], OPTIONS))[0][1] - 36 for r in encoded(sequence)]
    assert tones == list(range(9))
    few = encoded(sequence, changed(max_phrases=3))
    assert [sounding(unpack(r["roll"], OPTIONS))[0][1] - 36 for r in few] == [0, 3, 6]


def test_a_change_of_time_begins_phrases_anew():
    sequence = song(qpm=120)
    for beat in range(32):
        add_note(sequence, PIANO, 60 + beat, beat, 1.0)
    sequence.tempos.add(qpm=60.0, time=3.0)  # after six quarters
    records = encoded(sequence)
    assert [float(r["qpm"]) for r in records] == [120, 60]
    assert len(sounding(unpack(records[0]["roll"], OPTIONS))) == 6 * 4
    assert sounding(unpack(records[1]["roll"], OPTIONS))[0] == (0, 42, PIANO)


def test_a_note_that_lasts_for_ages_ends_where_the_tempo_changes():
    sequence = song(qpm=120)
    add_note(sequence, PIANO, 60, 0.0, 2e13)
    sequence.tempos.add(qpm=60.0, time=1e13)
    sequence.notes.add(pitch=62, velocity=9, start_time=1e13 + 1, end_time=1e13 + 2)
    sequence.total_time = 1e13 + 4
    first, second = encoded(sequence)
    assert len(sounding(unpack(first["roll"], OPTIONS))) == 64
    cells = sounding(unpack(second["roll"], OPTIONS))
    assert cells == [(step, 38, PIANO) for step in range(4, 8)]


REJECTIONS = {
    "no_genre": {"genre": None},
    "other_genre": {"genre": "Blues"},
    "no_notes": {"num_notes": 0},
    "no_tracks": {"program": 120},
    "too_few_notes": {"change": {"min_notes": 5}},
    "too_few_tracks": {"change": {"min_tracks": 2}},
    "not_four_four": {"signature": (3, 4)},
    "bad_time_signature": {"signature": (4, 6)},
    "bad_tempo": {"qpm": 1e-60},
    "negative_duration": {"is_backwards": True},
}


@pytest.mark.parametrize(("reason", "about"), REJECTIONS.items())
def test_rejections_say_why(reason, about):
    about = {"genre": "Rock", "program": 0, "change": {}, "num_notes": 4, **about}
    sequence = song(about.get("qpm", 120.0), about.get("signature", (4, 4)))
    for beat in range(about["num_notes"]):
        add_note(sequence, PIANO, 60, beat, 0.5, program=about["program"])
    if about.get("is_backwards"):
        sequence.notes[1].end_time = sequence.notes[1].start_time - 1
    with pytest.raises(Rejected) as rejection:
        CODEC.encode(example(sequence, about["genre"]), changed(**about["change"]))
    assert rejection.value.reason == reason
    assert rejection.value.detail


def test_a_rejection_counts_what_was_left_out():
    sequence = simple_song()
    add_note(sequence, PIANO, 10, 0, 1)
    sequence.time_signatures.add(numerator=3, denominator=4, time=5.0)
    sequence.total_time = 9.0
    with pytest.raises(Rejected) as rejection:
        CODEC.encode(example(sequence), changed(min_notes=99))
    assert str(rejection.value) == (
        "too_few_notes: no phrase is left after 1 phrases of fewer than min_notes, 1 notes of no "
        "track, or outside the pitches, 1 stretches whose bar is not four quarters"
    )
    with pytest.raises(Rejected, match="no_notes"):
        CODEC.encode(Example("picture", attributes={"genre": "Jazz"}), OPTIONS)


def test_options_name_what_is_wrong():
    with pytest.raises(ValidationError) as missing:
        PianorollOptions()
    assert len(missing.value.errors()) == len(PianorollOptions.model_fields)
    for text, change in {
        "reach above 127": {"min_pitch": 60, "num_pitches": 69},
        "min_tracks=2, but tracks=merged are 1": {"tracks": "merged", "min_tracks": 2},
        "name one twice": {"genres": ("Jazz", "Jazz")},
        "genres": {"genres": ()},
    }.items():
        with pytest.raises(ValidationError, match=text):
            PianorollOptions(**{**OPTIONS.model_dump(), **change})


def test_statistics_by_hand():
    roll = np.zeros(roll_shape(OPTIONS), bool)
    roll[0:32, 36, PIANO] = roll[0:16, 40, PIANO] = roll[40:48, 36, PIANO] = True
    roll[::8, 12, DRUMS] = True
    roll[0:8, 0, BASS] = roll[0:8, 36, STRINGS] = True  # the piano's C is one pitch with it
    record = {"roll": pack(roll), "genre": np.int64(0), "qpm": np.float32(60)}
    found = CODEC.statistics(record, OPTIONS)
    assert found == {
        "duration_seconds": 16.0,
        "qpm": 60.0,
        "num_notes": 3 + 8 + 1 + 1,
        "num_tracks": 4,
        "polyphony": pytest.approx((8 * 3 + 8 * 2 + 16 + 8) / 40),
        "num_drums_notes": 8,
        "num_piano_notes": 3,
        "num_guitar_notes": 0,
        "num_bass_notes": 1,
        "num_strings_notes": 1,
        "drums_step_ratio": 1 / 8,
        "piano_step_ratio": 40 / 64,
        "guitar_step_ratio": 0,
        "bass_step_ratio": 1 / 8,
        "strings_step_ratio": 1 / 8,
        "drums_pitch_mean": 36,
        "piano_pitch_mean": pytest.approx(184 / 3),
        "guitar_pitch_mean": 0,
        "bass_pitch_mean": 24,
        "strings_pitch_mean": 60,
    }
    silent = CODEC.statistics({"roll": pack(np.zeros_like(roll))}, OPTIONS)
    assert silent["num_notes"] == silent["polyphony"] == 0


def test_absurd_numbers_end_in_phrases_or_a_rejection(noise):
    rng = np.random.default_rng(5)
    odd = [0.0, -1.0, 1e-300, 1e9, 1e300, float("inf"), float("nan")]
    outcomes = set()
    for sequence in noise:
        sequence = note_seq.NoteSequence.FromString(sequence.SerializeToString())
        for message in (*sequence.notes, *sequence.tempos, *sequence.time_signatures):
            fields = [f.name for f, value in message.ListFields() if isinstance(value, float)]
            if fields and rng.random() < 0.02:
                setattr(message, rng.choice(fields), rng.choice(odd))
        for note in sequence.notes[:: int(rng.integers(5, 50))]:
            note.pitch = int(rng.choice([-(2**31), -1, 128, 2**31 - 1]))
            note.program = int(rng.choice([-(2**31), -1, 128, 2**31 - 1]))
        sequence.total_time = rng.choice([sequence.total_time, sequence.total_time, *odd])
        records = encoded(sequence)
        for record in records:
            assert_comes_back(record, OPTIONS)
        outcomes.add(bool(records))
    assert outcomes == {True, False}


def test_endless_notes_and_thousands_of_changes_take_no_time():
    sequence = song(qpm=120)
    for place in range(3000):
        add_note(sequence, PIANO, 24 + place % 84, 16.0 * place, 1e6)
        sequence.tempos.add(qpm=100 + place % 2, time=1e5 + place / 100)
    started = time.perf_counter()
    assert len(encoded(sequence, changed(max_phrases=50))) == 50
    assert time.perf_counter() - started < 3


def test_the_import_is_light():
    code = "import sys, pipeline.codecs.pianoroll; print({'note_seq', 'numba'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def oracle(sequence, options):
    """Every phrase's roll and tempo, painted note by note on note-seq's steps."""
    audible = note_seq.NoteSequence()
    audible.CopyFrom(sequence)
    del audible.notes[:]
    audible.notes.extend(note for note in sequence.notes if note.velocity)
    spq, (num_steps, num_pitches, num_tracks) = options.steps_per_quarter, roll_shape(options)
    found = {}
    for part in lib.split_note_sequence_on_time_changes(audible):
        quantized = lib.quantize_note_sequence(part, spq)
        if lib.steps_per_bar_in_quantized_sequence(quantized) != 4 * spq:
            continue
        last = max((note.quantized_end_step for note in quantized.notes), default=0)
        roll = np.zeros((-(-last // num_steps) * num_steps, num_pitches, num_tracks), bool)
        begun = set()
        for note in quantized.notes:
            track = DRUMS if note.is_drum else lpd_track(note.program)
            if options.tracks == "merged":
                track = None if note.is_drum or track is None else 0
            pitch = note.pitch - options.min_pitch
            if track is not None and 0 <= pitch < num_pitches:
                begun.add(note.quantized_start_step // num_steps)
                roll[note.quantized_start_step : note.quantized_end_step, pitch, track] = True
        for place in sorted(begun):
            phrase = roll[place * num_steps : (place + 1) * num_steps]
            padded = np.pad(phrase, ((1, 0), (0, 0), (0, 0))).astype(int)
            num_notes = (np.diff(padded, axis=0) == 1).sum()
            num_sounding = phrase.any(axis=(0, 1)).sum()
            if num_notes >= options.min_notes and num_sounding >= options.min_tracks:
                qpm = quantized.tempos[0].qpm if quantized.tempos else 120.0
                found.setdefault(phrase.tobytes(), (phrase, qpm))
    found = list(found.values())
    num = min(len(found), options.max_phrases)
    return [found[i * len(found) // num] for i in range(num)]


def lpd_track(program):
    """Source: the Lakh Pianoroll Dataset's page, LPD-5."""
    if 0 <= program < 8:
        return PIANO
    if 24 <= program < 32:
        return GUITAR
    if 32 <= program < 40:
        return BASS
    if program < 96 or 104 <= program < 112:
        return STRINGS
    return None


def assert_comes_back(record, options):
    (again,) = CODEC.encode(CODEC.decode(record, options), options)
    assert again.keys() == {"roll", "genre", "qpm"}
    for name, value in again.items():
        np.testing.assert_array_equal(value, record[name], err_msg=name)


def random_record(rng, options, density):
    """Cells by chance, or notes by chance, with silence here and there."""
    roll = rng.random(roll_shape(options)) < density
    if rng.random() < 0.5:  # longer notes
        for _ in range(int(rng.integers(1, 12))):
            roll[1:] |= roll[:-1] & (rng.random(roll[1:].shape) < 0.7)
    if rng.random() < 0.5:
        roll[: int(rng.integers(0, len(roll)))] = False
    if rng.random() < 0.3:
        roll[..., int(rng.integers(0, len(track_names(options))))] = False
    qpm = np.float32(rng.choice([31.7, 96, 120, 133.33, 299.99]))
    return {"roll": pack(roll), "genre": np.int64(rng.integers(0, 2)), "qpm": qpm}


def random_sequence(rng):
    """Instruments of all kinds off the grid; held notes, repeated notes, changes of time."""
    sequence = song(qpm=float(rng.choice([60, 97.3, 120, 181])))
    for instrument in range(int(rng.integers(1, 7))):
        program, jitter = int(rng.integers(0, 128)), rng.choice([0, 0.02, 0.2])
        beat, is_drum = float(rng.integers(0, 40)), rng.random() < 0.2
        for _ in range(int(rng.integers(1, 80))):
            start = max(0.0, beat + rng.normal() * jitter)
            length = float(rng.choice([0.05, 0.25, 1 / 3, 1, 3, 20]))
            pitch = int(rng.integers(20, 112)) if rng.random() < 0.5 else 60
            add_note(sequence, PIANO, pitch, start, length, program=program)
            note = sequence.notes[-1]
            note.is_drum, note.instrument = bool(is_drum), instrument
            note.velocity = 0 if rng.random() < 0.03 else 90
            beat += float(
                rng.choice([0, 0.25, 1 / 3, 0.5, 2, 17], p=[0.3, 0.3, 0.1, 0.2, 0.08, 0.02])
            )
    for _ in range(int(rng.integers(0, 3))):
        at = float(rng.random() * sequence.total_time)
        numerator, denominator = [(3, 4), (4, 4), (6, 8), (2, 2)][rng.integers(4)]
        sequence.time_signatures.add(numerator=numerator, denominator=denominator, time=at)
    if rng.random() < 0.5:
        sequence.tempos.add(qpm=140.0, time=float(rng.random() * sequence.total_time))
    return sequence


def song(qpm=100.0, signature=(4, 4)):
    sequence = note_seq.NoteSequence()
    sequence.tempos.add(qpm=qpm)
    sequence.time_signatures.add(numerator=signature[0], denominator=signature[1])
    return sequence


def simple_song():
    sequence = song(qpm=120)
    for beat in range(4):
        add_note(sequence, PIANO, 60 + beat, beat, 0.5)
    return sequence


def add_note(sequence, track, pitch, beat, num_beats, program=None):
    """Adds a note at the sequence's first tempo."""
    seconds = 60 / sequence.tempos[0].qpm
    sequence.notes.add(
        pitch=pitch,
        velocity=90,
        start_time=beat * seconds,
        end_time=(beat + num_beats) * seconds,
        instrument=track,
        program=PROGRAMS[track] if program is None else program,
        is_drum=track == DRUMS,
    )
    sequence.total_time = max(sequence.total_time, sequence.notes[-1].end_time)


def example(sequence, genre="Rock"):
    return Example("song", sequence.SerializeToString(), attributes={"genre": genre})


def encoded(sequence, options=OPTIONS):
    try:
        return CODEC.encode(example(sequence), options)
    except Rejected:
        return []


def changed(**change):
    return PianorollOptions(**{**OPTIONS.model_dump(), **change})


def sounding(roll):
    """Step, pitch above the lowest and track of each cell that sounds, in order."""
    return sorted(tuple(cell) for cell in np.argwhere(roll).tolist())
