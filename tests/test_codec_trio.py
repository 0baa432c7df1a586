"""The trio codec against note-seq's melodies and drums, and Magenta's windows, note by note."""

import itertools
import subprocess
import sys
import time

import note_seq
import numpy as np
import pytest
from note_seq import drums_encoder_decoder, drums_lib, melodies_lib, melody_encoder_decoder
from note_seq import sequences_lib as lib
from pydantic import ValidationError

from pipeline.codecs import _trio_drums, _trio_lines
from pipeline.codecs.trio import CODEC, PARTS, TrioOptions
from pipeline.errors import Rejected
from pipeline.example import Example
from tests import lakh_songs

OPTIONS = TrioOptions(
    steps_per_quarter=4,
    min_bars=4,
    max_bars=1024,
    gap_bars=2,
    melody_programs=(0, 31),
    bass_programs=(32, 39),
    min_pitch=21,
    max_pitch=108,
    max_combinations=1000,
)
BAR = 16
# Of random notes, in beats, with their probabilities.
LENGTHS = [0.1, 0.25, 0.5, 1.0, 2.5, 30.0], None, True, [0.2, 0.3, 0.2, 0.15, 0.13, 0.02]
MOVES = [0.25, 0.5, 1.0, 4.0, 14.0, 40.0], None, True, [0.3, 0.35, 0.2, 0.1, 0.03, 0.02]
KITS = drums_encoder_decoder.MultiDrumOneHotEncoding()
PITCHES = melody_encoder_decoder.MelodyOneHotEncoding(21, 109)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Files of the miniature of Lakh."""
    return lakh_songs.read(tmp_path_factory.mktemp("lakh"))


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng([4, 11])
    return [random_sequence(rng) for _ in range(80)]


@pytest.mark.parametrize(("kind", "least"), [("songs", 90), ("noise", 300)])
def test_lines_are_the_melodies_and_drum_tracks_of_note_seq(kind, least, request):
    num_lines = 0
    for sequence in request.getfixturevalue(kind):
        parts, found = regular_parts(sequence), stretches(sequence)
        for stretch, part in zip(found, parts, strict=True):
            num_bars = -(-part.total_quantized_steps // BAR)
            lines = _trio_lines.part_lines(stretch, (21, 108), num_bars, BAR, 1000)
            for own, other in zip(lines, oracle_lines(part, num_bars).values(), strict=True):
                different = {tuple(line) for line in other.values()}
                assert sorted(tuple(line.tolist()) for line in own) == sorted(different)
                num_lines += len(own)
    assert num_lines > least


@pytest.mark.parametrize(("kind", "least_share"), [("songs", 1.0), ("noise", 0.6)])
def test_windows_are_those_of_magenta(kind, least_share, request):
    """None that is not, and few missing: noise has many held notes and chords that are cut."""
    num_found = num_expected = 0
    for sequence in request.getfixturevalue(kind):
        expected = oracle_windows(sequence)
        found = {
            window(record, first)
            for record in encoded(sequence)
            for first in range(0, len(record["drums"]) - 4 * BAR + 1, BAR)
        }
        assert found <= expected
        num_found, num_expected = num_found + len(found), num_expected + len(expected)
    assert num_found >= least_share * num_expected > 100


@pytest.mark.parametrize("kind", ["songs", "noise"])
def test_trios_come_back_from_their_notes(kind, request):
    num_records = 0
    for sequence in request.getfixturevalue(kind):
        records = encoded(sequence)
        for record in records:
            assert_whole(record)
            assert_same_records([record], CODEC.encode(CODEC.decode(record, OPTIONS), OPTIONS))
        num_records += len(records)
    assert num_records > 30


@pytest.mark.parametrize("steps_per_quarter", [1, 2, 3, 6, 12, 24])
def test_trios_come_back_on_any_grid(steps_per_quarter, noise):
    options = OPTIONS.model_copy(update={"steps_per_quarter": steps_per_quarter, "gap_bars": 1})
    records = [record for sequence in noise[:40] for record in encoded(sequence, options)]
    assert records
    for record in records:
        assert len(record["melody"]) % (4 * steps_per_quarter) == 0
        assert_same_records([record], CODEC.encode(CODEC.decode(record, options), options))


@pytest.mark.parametrize("gap_bars", [0, 1, 2, 50])
def test_what_a_network_may_sample_becomes_notes_that_come_back(gap_bars):
    rng = np.random.default_rng([gap_bars, 3])
    options = OPTIONS.model_copy(update={"gap_bars": gap_bars, "min_bars": 1})
    num_records = 0
    for _ in range(150):
        sampled = random_record(rng)
        decoded = CODEC.decode(sampled, options)
        assert_valid(decoded.note_sequence, len(sampled["melody"]) * 0.125)
        for record in encoded(decoded.note_sequence, options):
            num_records += 1
            again = CODEC.decode(record, options)
            assert_valid(again.note_sequence, len(record["melody"]) * 0.125)
            assert_same_records([record], CODEC.encode(again, options))
            once_more = CODEC.decode(CODEC.encode(again, options)[0], options)
            assert once_more.note_sequence_bytes == again.note_sequence_bytes
    assert num_records > 50


def test_decoded_notes_are_those_of_note_seq():
    rng = np.random.default_rng(8)
    for _ in range(40):
        record = random_record(rng)
        events = [PITCHES.decode_event(int(c)) for c in record["melody"]]
        melody = melodies_lib.Melody(events).to_sequence(velocity=80)
        kits = [KITS.decode_event(int(kit)) for kit in record["drums"]]
        drums = drums_lib.DrumTrack(kits).to_sequence(velocity=80)
        found = CODEC.decode(record, OPTIONS).note_sequence
        assert heard(found, 0) == heard(melody, 0)
        assert heard(found, 9) == heard(drums, 9)


def test_drums_are_the_bits_of_note_seq():
    assert [list(g) for g in _trio_drums.DRUM_GROUPS.values()] == (
        drums_encoder_decoder.DEFAULT_DRUM_TYPE_PITCHES
    )
    bits = _trio_drums.drum_bits(np.arange(-3, 140)).tolist()
    assert bits == [KITS.encode_event([pitch]) for pitch in range(-3, 140)]
    assert CODEC.num_classes(OPTIONS, "drums") == KITS.num_classes == 512
    notes = _trio_drums.drum_notes(np.arange(512))
    assert (notes[:, 1] == notes[:, 0] + 1).all()
    for kit in range(512):
        hit = notes[notes[:, 0] == kit, 2]
        assert set(hit.tolist()) == KITS.decode_event(kit)


def test_classes_are_those_of_note_seq():
    for part in ("melody", "bass"):
        assert CODEC.num_classes(OPTIONS, part) == PITCHES.num_classes == 90
    with pytest.raises(KeyError):
        CODEC.num_classes(OPTIONS, "chords")
    assert CODEC.features(OPTIONS).keys() == set(PARTS)


def test_a_song_by_hand():
    sequence = song(num_bars=4)
    add_note(sequence, 65, 1.0, 0.5)  # above the 60 that starts with it
    add_note(sequence, 20, 2.0, 0.5)  # too low to be heard
    add_note(sequence, 35, 0.25, 0.1, 2, is_drum=True)  # another kick
    add_note(sequence, 99, 0.25, 0.1, 2, is_drum=True)  # no drum of the nine groups
    (record,) = encoded(sequence)
    bar = [2 + 60 - 21, 0, 1, 0]  # an eighth, an eighth of rest
    assert record["melody"][:8].tolist() == [*bar, 2 + 65 - 21, 0, 1, 0]
    assert record["melody"][8:].tolist() == bar * 14
    assert record["bass"].tolist() == [2 + 36 - 21, *[0] * 15] * 4
    assert record["drums"].tolist() == [5, 1, *[0] * 6, *[5, *[0] * 7] * 7]


def test_a_record_begins_and_ends_where_the_three_play_together():
    sequence = note_seq.NoteSequence()
    add_bars(sequence, "melody", range(20))
    add_bars(sequence, "bass", range(5, 20))
    add_bars(sequence, "drums", range(12))
    (record,) = encoded(sequence)
    assert len(record["melody"]) == (14 - 3) * BAR  # two bars more on either side
    assert not record["bass"][: 2 * BAR].any()
    assert not record["drums"][-2 * BAR :].any()
    tight = OPTIONS.model_copy(update={"gap_bars": 0})
    assert len(encoded(sequence, tight)[0]["melody"]) == (12 - 5) * BAR
    add_bars(sequence, "drums", range(16, 20))
    assert len(encoded(sequence)[0]["melody"]) == (20 - 3) * BAR
    assert [len(r["melody"]) // BAR for r in encoded(sequence, tight)] == [7, 4]


def test_a_note_that_began_before_the_record_is_not_in_it():
    sequence = note_seq.NoteSequence()
    add_bars(sequence, "bass", range(20))
    add_bars(sequence, "drums", range(10, 20))
    add_note(sequence, 60, 0, 4 * 14)  # bars 0 to 14
    add_bars(sequence, "melody", range(14, 20))
    (record,) = encoded(sequence)
    assert len(record["melody"]) == 8 * BAR  # 12 to 20; two bars before the melody's first note
    assert not record["melody"][: 2 * BAR].any()


def test_silence_behind_is_left_out():
    sequence = song(num_bars=5)
    expected = encoded(sequence)
    sequence.total_time = 100.0
    assert_same_records(expected, encoded(sequence))
    record = {part: np.append(expected[0][part], np.zeros(BAR, int)) for part in PARTS}
    record["melody"][-BAR] = record["bass"][-BAR] = 1  # note off; one of them goes unheard
    assert_same_records(expected, CODEC.encode(CODEC.decode(record, OPTIONS), OPTIONS))


def test_instruments_are_combined_up_to_the_limit():
    sequence = song(num_bars=4)
    for place, pitch in enumerate((62, 64, 62)):  # the last doubles the first
        add_bars(sequence, "melody", range(4), pitch, 10 + place)
    add_bars(sequence, "bass", range(4), 40, 20)
    add_note(sequence, 41, 1.0, 0.5, 20, 33)  # so it has one onset more than the other bass
    tones = [(r["melody"][0] + 19, r["bass"][0] + 19) for r in encoded(sequence)]
    assert tones == [(m, b) for b in (40, 36) for m in (60, 62, 64)]
    limited = encoded(sequence, OPTIONS.model_copy(update={"max_combinations": 4}))
    assert_same_records(encoded(sequence)[:4], limited)


def test_a_song_is_cut_at_max_bars_and_where_its_time_changes():
    sequence = song(num_bars=12)
    cut = OPTIONS.model_copy(update={"max_bars": 7})
    assert [len(r["melody"]) // BAR for r in encoded(sequence, cut)] == [7]
    sequence.tempos.add(qpm=119, time=2.0 * 7)
    sequence.notes[-1].pitch += 1
    assert [len(r["melody"]) // BAR for r in encoded(sequence)] == [7, 5]
    sequence.time_signatures.add(numerator=3, denominator=4, time=2.0 * 7)
    assert [len(r["melody"]) // BAR for r in encoded(sequence)] == [7]


def test_equal_stretches_are_one_record():
    sequence = song(num_bars=12)
    sequence.tempos.add(qpm=120.0, time=0)
    sequence.tempos.add(qpm=100.0, time=2.0 * 4)
    sequence.tempos.add(qpm=120.0, time=2.0 * 8)
    found = encoded(sequence)
    assert len(found) == 2  # bars 4 to 8 are another rhythm at 100 qpm
    assert_same_records(found[:1], encoded(song(num_bars=4)))


REJECTIONS = {
    "no_notes": {"num_bars": 0},
    "no_melody": {"parts": ("bass", "drums")},
    "no_bass": {"parts": ("melody", "drums")},
    "no_drums": {"parts": ("melody", "bass")},
    "no_overlap": {"silence_bars": 9},
    "too_short": {"num_bars": 3},
    "not_four_four": {"signature": (3, 4)},
    "bad_time_signature": {"signature": (4, 6)},
    "bad_tempo": {"qpm": 0.0},
    "negative_duration": {"is_backwards": True},
}


@pytest.mark.parametrize(("reason", "change"), REJECTIONS.items())
def test_rejections_say_why(reason, change):
    with pytest.raises(Rejected) as rejection:
        CODEC.encode(Example("song", song(**change).SerializeToString()), OPTIONS)
    assert rejection.value.reason == reason
    assert rejection.value.detail


def test_a_rejection_counts_what_was_left_out():
    sequence = song(num_bars=20, parts=("melody", "drums"))
    sequence.time_signatures.add(numerator=3, denominator=32, time=20.0)
    sequence.time_signatures.add(numerator=4, denominator=4, time=30.0)
    sequence.tempos.add(qpm=-1.0, time=36.0)
    with pytest.raises(Rejected) as rejection:
        CODEC.encode(Example("a", sequence.SerializeToString()), OPTIONS)
    assert str(rejection.value) == (
        "no_bass: no trio is left after 1 stretches without bass, 1 stretches shorter than "
        "min_bars, 1 stretches whose bar is not four quarters, 1 stretches whose tempo is not "
        "positive"
    )
    with pytest.raises(Rejected, match="no_notes"):
        CODEC.encode(Example("picture"), OPTIONS)


def test_an_instrument_of_two_parts_is_none():
    sequence = song(num_bars=4)
    sequence.notes[-1].program = 60
    assert sequence.notes[-1].is_drum
    assert encoded(sequence)  # a drum has no program
    sequence.notes[0].program = 33
    with pytest.raises(Rejected, match="no_melody"):
        CODEC.encode(Example("a", sequence.SerializeToString()), OPTIONS)


def test_absurd_numbers_end_in_trios_or_a_rejection(noise):
    rng = np.random.default_rng(5)
    odd = [0.0, -1.0, 1e-300, 1e9, 1e300, float("inf"), float("nan")]
    outcomes = set()
    for sequence in noise:
        sequence = note_seq.NoteSequence.FromString(sequence.SerializeToString())
        sequence.time_signatures.add(numerator=int(rng.choice([-1, 0, 4])), denominator=4, time=9.0)
        for message in (*sequence.notes, *sequence.tempos, *sequence.time_signatures):
            fields = [f.name for f, value in message.ListFields() if isinstance(value, float)]
            if fields and rng.random() < 0.02:
                setattr(message, rng.choice(fields), rng.choice(odd))
        for note in sequence.notes[:: int(rng.integers(5, 50))]:
            note.pitch = int(rng.choice([-(2**31), -1, 128, 2**31 - 1]))
        sequence.total_time = rng.choice([sequence.total_time, sequence.total_time, *odd])
        records = encoded(sequence)
        for record in records:
            assert_whole(record)
        outcomes.add(bool(records))
    assert outcomes == {True, False}


def test_thousands_of_changes_and_instruments_take_no_time():
    sequence = song(num_bars=40)
    for place in range(4000):
        sequence.tempos.add(qpm=100 + place % 2, time=40 + place / 100)
    for instrument in range(3000):
        add_note(sequence, 60, instrument % 60, 0.5, 20 + instrument)
        add_note(sequence, 36, instrument % 50, 0.5, 4000 + instrument, is_drum=True)
    limited = OPTIONS.model_copy(update={"max_combinations": 5})
    example = Example("song", sequence.SerializeToString())
    started = time.perf_counter()
    assert CODEC.encode(example, limited)
    assert time.perf_counter() - started < 3


def test_statistics_by_hand():
    melody = np.array([0, 41, 0, 1, 0, 43, 45, 0])
    record = {"melody": melody, "bass": np.array([0, 1, 17, 0, 0, 0, 0, 0])}
    record["drums"] = np.array([3, 0, 0, 0, 511, 0, 0, 1])
    assert CODEC.statistics(record, OPTIONS) == {
        "num_bars": 0.5,
        "duration_seconds": 1.0,
        "num_notes": 3 + 1 + 12,
        "num_melody_notes": 3,
        "num_bass_notes": 1,
        "num_drum_hits": 12,
        "melody_pitch_mean": 62,
        "bass_pitch_mean": 36,
        "melody_step_ratio": 5 / 8,
        "bass_step_ratio": 6 / 8,
        "drums_step_ratio": 3 / 8,
    }
    for num_steps in (0, 16):
        silent = CODEC.statistics(dict.fromkeys(PARTS, np.zeros(num_steps, int)), OPTIONS)
        assert silent["num_notes"] == silent["melody_pitch_mean"] == silent["drums_step_ratio"] == 0


def test_a_bass_keeps_to_its_programs():
    record = encoded(song(num_bars=4))[0]
    for programs, written in (((32, 39), 33), ((34, 39), 34), ((32, 32), 32)):
        options = OPTIONS.model_copy(update={"bass_programs": programs})
        decoded = CODEC.decode(record, options)
        assert {n.program for n in decoded.note_sequence.notes if n.instrument == 1} == {written}
        assert_same_records([record], CODEC.encode(decoded, options))


def test_arrays_may_be_read_only_and_narrow_as_networks_give_them():
    record = encoded(song(num_bars=4))[0]
    narrow = {part: record[part].astype(np.int32) for part in PARTS}
    for line in narrow.values():
        line.flags.writeable = False
    assert CODEC.decode(narrow, OPTIONS) == CODEC.decode(record, OPTIONS)
    assert CODEC.statistics(narrow, OPTIONS) == CODEC.statistics(record, OPTIONS)


def test_options_have_no_defaults_and_name_what_is_wrong():
    with pytest.raises(ValidationError) as missing:
        TrioOptions()
    assert len(missing.value.errors()) == len(TrioOptions.model_fields)
    wrong = {
        "min_bars=9 exceeds max_bars=8": {"min_bars": 9, "max_bars": 8},
        "min_pitch=60 exceeds": {"min_pitch": 60, "max_pitch": 40},
        "lower end first": {"melody_programs": (31, 0)},
        "overlap": {"bass_programs": (31, 39)},
        "bass_programs": {"bass_programs": (32, 128)},
    }
    for text, change in wrong.items():
        with pytest.raises(ValidationError, match=text):
            TrioOptions(**{**OPTIONS.model_dump(), **change})


def test_the_import_is_light():
    code = "import sys, pipeline.codecs.trio; print({'note_seq', 'numba'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def assert_same_records(expected, found):
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys() == set(PARTS)
        for part in PARTS:
            np.testing.assert_array_equal(one[part], other[part], err_msg=part)


def assert_whole(record):
    lines = [record[part] for part in PARTS]
    assert all(line.dtype == np.int64 and len(line) == len(lines[0]) for line in lines)
    assert len(lines[0]) % BAR == 0
    assert len(lines[0]) >= OPTIONS.min_bars * BAR
    for part, line in record.items():
        assert 0 <= line.min() <= line.max() < CODEC.num_classes(OPTIONS, part)
        assert line.max() > (part != "drums")


def assert_valid(sequence, total_seconds):
    assert sequence.total_time == total_seconds
    assert [t.qpm for t in sequence.tempos] == [120]
    assert [(s.numerator, s.denominator) for s in sequence.time_signatures] == [(4, 4)]
    for note in sequence.notes:
        assert 0 <= note.start_time < note.end_time <= total_seconds
        assert 0 <= note.pitch <= 127
        assert note.velocity == 80
        assert (note.instrument, note.program, note.is_drum) in (
            *((0, 0, False), (1, 33, False)),
            (9, 0, True),
        )
    lib.quantize_note_sequence(sequence, 4)


def heard(sequence, instrument):
    return sorted(
        (n.start_time, n.end_time, n.pitch, n.velocity, n.is_drum)
        for n in sequence.notes
        if n.instrument == instrument
    )


def random_record(rng):
    """Any classes, of any number of steps; silent here and there."""
    num_steps = int(rng.choice([0, 1, 15, 16, 17, 64, 100, 256]))
    share = rng.choice([0.02, 0.3, 1.0])
    record = {
        part: np.where(rng.random(num_steps) < share, rng.integers(0, classes, num_steps), 0)
        for part, classes in zip(PARTS, (90, 90, 512), strict=True)
    }
    for line in record.values():
        if rng.random() < 0.2:
            line[rng.integers(0, num_steps + 1) :] = 0
    return record


def oracle_lines(quantized, num_bars):
    """Of each part, the line of each instrument, as Magenta's two converters give it.

    Source: Magenta, music_vae.data.OneHotMelodyConverter, DrumsConverter, with pad_to_total_time.
    """
    instruments = {}
    for note in quantized.notes:
        kind = 2 if note.is_drum else np.searchsorted([31, 39], note.program)
        instruments.setdefault(note.instrument, set()).add(3 if note.program > 39 else int(kind))
    lines = {0: {}, 1: {}, 2: {}}
    for instrument, kinds in sorted(instruments.items()):
        kind = kinds.pop()
        if kinds or kind == 3:
            continue
        alone = note_seq.NoteSequence()
        alone.CopyFrom(quantized)
        del alone.notes[:]
        for note in quantized.notes:
            is_heard = 21 <= note.pitch <= 108 or kind == 2
            if note.instrument == instrument and is_heard:
                alone.notes.add().CopyFrom(note)
        line = oracle_drums(alone, num_bars) if kind == 2 else oracle_melody(alone, num_bars)
        if any(line):
            lines[kind][instrument] = line
    return lines


def oracle_melody(quantized, num_bars):
    melody = melodies_lib.Melody()
    instrument = quantized.notes[0].instrument if quantized.notes else 0
    melody.from_quantized_sequence(
        *(quantized, 0, instrument, float("inf")), ignore_polyphonic_notes=True, pad_end=True
    )
    if not len(melody):
        return []
    melody.set_length(len(melody) + melody.start_step, from_left=True)
    melody.set_length(num_bars * BAR)
    return [PITCHES.encode_event(event) for event in melody]


def oracle_drums(quantized, num_bars):
    known = {pitch for group in drums_encoder_decoder.DEFAULT_DRUM_TYPE_PITCHES for pitch in group}
    notes = [note for note in quantized.notes if note.pitch in known]
    del quantized.notes[:]
    quantized.notes.extend(notes)
    track = drums_lib.DrumTrack()
    track.from_quantized_sequence(quantized, gap_bars=float("inf"), pad_end=True)
    if not len(track):
        return []
    track.set_length(len(track) + track.start_step, from_left=True)
    track.set_length(num_bars * BAR)
    return [KITS.encode_event(event) for event in track]


def oracle_windows(sequence, slice_bars=4, gap_bars=2):
    """What Magenta would train on, without note offs before the first note.

    Source: Magenta, music_vae.data.TrioConverter._to_tensors.
    """
    windows = set()
    for part in regular_parts(sequence):
        total_bars = -(-part.total_quantized_steps // BAR)
        lines = oracle_lines(part, total_bars)
        played = {i: np.zeros(total_bars, bool) for i in range(20)}
        for note in part.notes:
            last = -(-note.quantized_end_step // BAR)
            played[note.instrument][note.quantized_start_step // BAR : last] = True
        covered = {
            i: [any(bars[max(0, j - gap_bars) : j + gap_bars + 1]) for j in range(total_bars)]
            for i, bars in played.items()
        }
        for group in itertools.product(*lines.values()):
            coverage = np.array([covered[i] for i in group])
            common = coverage.all(axis=0)
            common[:gap_bars] = coverage[:, :gap_bars].any()
            common[-gap_bars:] = coverage[:, -gap_bars:].any()
            record = {
                name: np.array(lines[kind][i])
                for kind, (name, i) in enumerate(zip(PARTS, group, strict=True))
            }
            for j in range(total_bars - slice_bars + 1):
                if common[j : j + slice_bars].all():
                    windows.add(window(record, j * BAR, slice_bars))
    return windows


def window(record, first, num_bars=4):
    cut = np.stack([record[part] for part in PARTS])[:, first : first + num_bars * BAR].copy()
    for line in cut[:2]:
        line[np.cumsum(line > 1) == 0] = 0
    return cut.tobytes()


def regular_parts(sequence):
    """The quantized stretches of 16 sixteenths a bar that have notes."""
    audible = note_seq.NoteSequence()
    audible.CopyFrom(sequence)
    del audible.notes[:]
    audible.notes.extend(note for note in sequence.notes if note.velocity)
    found = []
    for part in lib.split_note_sequence_on_time_changes(audible):
        quantized = lib.quantize_note_sequence(part, 4)
        if quantized.notes and lib.steps_per_bar_in_quantized_sequence(quantized) == BAR:
            found.append(quantized)
    return found


def stretches(sequence):
    notes = Example("song", sequence.SerializeToString()).note_table
    problems = dict.fromkeys(("bad_time_signature", "bad_tempo", "not_four_four"), 0)
    return _trio_lines.stretches(notes, 4, ((0, 31), (32, 39)), problems)


def encoded(sequence, options=OPTIONS):
    try:
        return CODEC.encode(Example("song", sequence.SerializeToString()), options)
    except Rejected:
        return []


def song(
    num_bars=4,
    parts=PARTS,
    silence_bars=0,
    signature=(4, 4),
    qpm=120.0,
    is_backwards=False,
):
    """Melody, then bass, then drums, every bar the same; silence between one and the next."""
    sequence = note_seq.NoteSequence()
    sequence.time_signatures.add(numerator=signature[0], denominator=signature[1])
    sequence.tempos.add(qpm=qpm)
    for place, part in enumerate(parts):
        first = place * silence_bars
        add_bars(sequence, part, range(first, first + num_bars))
    if is_backwards:
        sequence.notes[3].end_time = sequence.notes[3].start_time - 1
    return sequence


def add_bars(sequence, part, bars, pitch=None, instrument=None):
    """Eighths on each beat, a whole note, or a kick with a hi-hat on each half beat."""
    place = PARTS.index(part)
    instrument = place if instrument is None else instrument
    for beat in range(bars[0] * 4, bars[-1] * 4 + 4) if len(bars) else ():
        if part == "melody":
            add_note(sequence, pitch or 60, beat, 0.5, instrument)
        elif part == "bass" and beat % 4 == 0:
            add_note(sequence, pitch or 36, beat, 4.0, instrument, 33)
        elif part == "drums" and beat % 2 == 0:
            add_note(sequence, 36, beat, 0.25, instrument, is_drum=True)
            add_note(sequence, 42, beat, 0.25, instrument, is_drum=True)


def random_sequence(rng):
    """A few instruments that come and go: chords, rests, held notes, changes of time."""
    sequence = note_seq.NoteSequence()
    for instrument in range(rng.integers(3, 8)):
        part = instrument % 3 if instrument < 5 else int(rng.integers(0, 4))
        program = [0, 33, 0, 60][part] + int(rng.integers(0, 3))
        jitter, beat = rng.choice([0, 0.02, 0.2]), float(rng.integers(0, 24)) / 2
        low = int(rng.integers(0, 100))
        for _ in range(rng.integers(1, 90)):
            for _ in range(1 + int(rng.random() < 0.3)):
                start = max(0.0, beat + rng.normal() * jitter)
                beats = float(rng.choice(*LENGTHS))
                pitch = int(rng.integers(low, min(low + 26, 128)))
                if part == 2 and rng.random() < 0.8:
                    pitch = int(rng.choice([36, 38, 42, 46, 49]))
                add_note(sequence, pitch, start, beats, instrument, program, part == 2)
                sequence.notes[-1].velocity = 0 if rng.random() < 0.02 else 90
            beat += float(rng.choice(*MOVES))
    if rng.random() < 0.1:
        sequence.notes[0].program = int(rng.choice([0, 5, 33, 60]))
    for _ in range(rng.integers(0, 3)):
        numerator, denominator = [(3, 4), (4, 4), (6, 8), (2, 2), (3, 32)][rng.integers(5)]
        time = float(rng.choice([0.0, rng.random() * sequence.total_time]))
        sequence.time_signatures.add(numerator=numerator, denominator=denominator, time=time)
    for _ in range(rng.integers(0, 2)):
        time = float(rng.choice([0.0, rng.random() * sequence.total_time]))
        sequence.tempos.add(qpm=float(rng.choice([60, 90, 120, 133.7])), time=time)
    return sequence


def add_note(sequence, pitch, start, beats, instrument=0, program=0, is_drum=False):
    """Adds a note; times are in beats at 120 qpm."""
    sequence.notes.add(
        pitch=pitch,
        velocity=80,
        start_time=start / 2,
        end_time=(start + beats) / 2,
        instrument=instrument,
        program=program,
        is_drum=is_drum,
    )
    sequence.total_time = max(sequence.total_time, (start + beats) / 2)
