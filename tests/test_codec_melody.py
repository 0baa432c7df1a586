"""The melody codec against note-seq: extraction on tunes and noise, encodings event by event."""

import copy
import subprocess
import sys
from pathlib import Path

import music21.corpus
import note_seq
import numpy as np
import pytest
from note_seq import abc_parser, encoder_decoder, melodies_lib, melody_encoder_decoder
from note_seq import sequences_lib as lib
from pydantic import ValidationError

from pipeline.codecs import _melody_encodings
from pipeline.codecs.melody import CODEC, MelodyOptions
from pipeline.errors import Rejected
from pipeline.example import Example

OPTIONS = MelodyOptions(
    steps_per_quarter=4,
    min_bars=7,
    max_steps=512,
    min_unique_pitches=5,
    gap_bars=1.0,
    programs=[[0, 31], [40, 127]],
)
LOOSE = OPTIONS.model_copy(update={"min_bars": 1, "min_unique_pitches": 1, "max_steps": 100})
_ONE_HOT = melody_encoder_decoder.MelodyOneHotEncoding(48, 84)
ORACLES = {
    "basic": encoder_decoder.OneHotEventSequenceEncoderDecoder(_ONE_HOT),
    "mono": encoder_decoder.OneHotEventSequenceEncoderDecoder(
        melody_encoder_decoder.MelodyOneHotEncoding(0, 128)
    ),
    "lookback": encoder_decoder.LookbackEventSequenceEncoderDecoder(_ONE_HOT),
    "attention": melody_encoder_decoder.KeyMelodyEncoderDecoder(48, 84),
}
BOOKS = (  # of tunes, the first so many
    ("airdsAirs/book1.abc", 60),
    ("airdsAirs/book2.abc", 60),
    ("airdsAirs/book3.abc", 40),
    ("oneills1850/0001-0050.abc", 50),
    ("essenFolksong/ballad10.abc", 60),
    ("essenFolksong/han1.abc", 60),
    ("essenFolksong/erk5.abc", 60),
)


@pytest.fixture(scope="module")
def tunes():
    corpus = Path(music21.corpus.__file__).parent
    sequences = []
    for book, num_tunes in BOOKS:
        text = (corpus / book).read_text(encoding="utf-8", errors="replace")
        parts = ["X:" + part for part in ("\n" + text).split("\nX:")[1:]]
        for part in parts[:num_tunes]:
            parsed, _ = abc_parser.parse_abc_tunebook(part)
            sequences += [note_seq.sequences_lib.expand_section_groups(s) for s in parsed.values()]
    return sequences


@pytest.fixture(scope="module")
def records(tunes):
    return [record for tune in tunes for record in encoded(tune, OPTIONS) or []]


def test_tunes_give_the_melodies_and_encodings_of_note_seq(tunes):
    num_melodies = 0
    for tune in tunes:
        found = encoded(tune, OPTIONS) or []
        expected = oracle_melodies(tune, OPTIONS)
        assert [r["melody"].tolist() for r in found] == [list(m) for m in expected]
        for record, melody in zip(found, expected, strict=True):
            assert record["steps_per_bar"] == melody.steps_per_bar
            assert_encodings_equal(record, melody)
        num_melodies += len(found)
    assert num_melodies >= 150


@pytest.mark.parametrize("seed", range(6))
def test_noise_gives_the_melodies_and_encodings_of_note_seq(seed):
    rng = np.random.default_rng([seed, 17])
    num_melodies = 0
    for _ in range(60):
        sequence = random_sequence(rng)
        options = LOOSE.model_copy(
            update={
                "gap_bars": float(rng.choice([0.5, 1.0, 2.0])),
                "steps_per_quarter": int(rng.choice([2, 3, 4])),
            }
        )
        found = encoded(sequence, options) or []
        expected = oracle_melodies(sequence, options)
        assert [r["melody"].tolist() for r in found] == [list(m) for m in expected]
        for record, melody in zip(found, expected, strict=True):
            num_melodies += 1
            if num_melodies % 5 == 0:
                assert_encodings_equal(record, melody)
            again = encoded(CODEC.decode(record, options).note_sequence, options)
            assert_same_records([record], again)
    assert num_melodies > 20


def test_tunes_come_back_from_their_notes(records):
    for record in records:
        again = CODEC.encode(CODEC.decode(record, OPTIONS), OPTIONS)
        assert_same_records([record], again)


def test_records_are_as_declared(records):
    features = CODEC.features(OPTIONS)
    for record in records[:10]:
        assert record.keys() == features.keys()
        for name, feature in features.items():
            assert record[name].dtype == feature.dtype
            assert record[name].ndim == len(feature.shape)
            assert all(w in (None, g) for w, g in zip(feature.shape, record[name].shape))  # noqa: B905
            if record[name].ndim:
                assert len(record[name]) == len(record["melody"])


@pytest.mark.parametrize(("name", "classes"), zip(ORACLES, (38, 130, 40, 40), strict=True))
def test_num_classes(name, classes, records):
    assert CODEC.num_classes(OPTIONS, f"{name}_labels") == classes
    assert ORACLES[name].num_classes == CODEC.encoding(OPTIONS, name).num_classes == classes
    assert max(r[f"{name}_labels"].max() for r in records) < classes
    for other in ("melody", "lookback_inputs", "steps_per_bar"):
        with pytest.raises(KeyError):
            CODEC.num_classes(OPTIONS, other)


@pytest.mark.parametrize("name", ORACLES)
def test_one_step_is_the_same_as_the_whole(name, records):
    view, oracle = CODEC.encoding(OPTIONS, name), ORACLES[name]
    for record in records[:6]:
        events = view.transposed(record["melody"]).tolist()
        labels, rows = record[f"{name}_labels"], record.get(f"{name}_inputs")
        for i in range(0, len(events), 3):
            assert view.label(events, i) == labels[i]
            assert view.event(int(labels[i]), events[:i]) == events[i]
            bits = view.inputs(events[: i + 1])
            assert bits.shape == (view.input_size,)
            assert bits.dtype == np.uint8
            assert view.values(bits).tolist() == oracle.events_to_input(events, i)
            if rows is not None:
                assert np.unpackbits(rows[i])[: view.input_size].tolist() == bits.tolist()


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("length", [0, 3, 15, 16, 17, 31, 32, 40])
def test_a_label_means_the_event_that_note_seq_says(name, length):
    view, oracle = CODEC.encoding(OPTIONS, name), ORACLES[name]
    events = np.random.default_rng(length).integers(48, 84, length).tolist()
    for label in range(view.num_classes):
        assert view.event(label, events) == oracle.class_index_to_event(label, events)


def test_input_sizes():
    sizes = {name: CODEC.encoding(OPTIONS, name).input_size for name in ORACLES}
    assert sizes == {"basic": 38, "mono": 130, "lookback": 121, "attention": 75}
    for name, oracle in ORACLES.items():
        view = CODEC.encoding(OPTIONS, name)
        assert not view.inputs([]).any()
        assert view.values(view.inputs([])).shape == (oracle.input_size,)


def test_events_may_be_read_only_as_tensorflow_gives_them(records):
    melody = records[0]["melody"].copy()
    melody.flags.writeable = False
    for name in ORACLES:
        view = CODEC.encoding(OPTIONS, name)
        events = view.transposed(melody)
        events.flags.writeable = False
        np.testing.assert_array_equal(view.labels(events), records[0][f"{name}_labels"])
        assert view.inputs(events).shape == (view.input_size,)
    assert CODEC.statistics({"melody": melody}, OPTIONS) == CODEC.statistics(records[0], OPTIONS)


def test_attention_knows_no_direction_up_and_down():
    view = CODEC.encoding(OPTIONS, "attention")
    directions = [
        view.values(view.inputs(e))[39] for e in ([60], [60, 62], [60, 62, 61], [60, 62, 61, 61])
    ]
    assert directions == [0, 1, -1, -1]


def test_encodings_refuse_events_outside_their_range():
    for name in ("basic", "lookback", "attention"):
        with pytest.raises(ValueError, match="48"):
            CODEC.encoding(OPTIONS, name).label([60, 84], 1)
        with pytest.raises(ValueError, match="-3"):
            CODEC.encoding(OPTIONS, name).inputs([60, -3])


@pytest.mark.parametrize("name", ["basic", "mono"])
def test_transposition_is_that_of_note_seq(name):
    view = _melody_encodings.BY_NAME[name]
    rng = np.random.default_rng(3)
    for _ in range(400):
        low = rng.integers(0, 100)
        events = rng.integers(low, rng.integers(low + 1, 129), rng.integers(1, 30)).tolist()
        melody = melodies_lib.Melody(events)
        melody.squash(view.low, view.high, view.key)
        assert view.transposed(events).tolist() == list(melody)
    assert view.transposed([-2, -1]).tolist() == [-2, -1]


REJECTIONS = {
    "no_notes": {},
    "no_allowed_program": {"program": 33},
    "too_short": {"num_notes": 20},
    "too_few_pitches": {"num_pitches": 4},
    "polyphonic": {"chord_at": 30},
    "non_integer_bar": {"signature": (3, 32)},
    "bad_time_signature": {"signature": (4, 6)},
    "bad_tempo": {"qpm": 0.0},
    "negative_duration": {"note_beats": -1.0},
}


@pytest.mark.parametrize(("reason", "change"), REJECTIONS.items())
def test_rejections_say_why(reason, change):
    sequence = scale(**change) if change else scale(num_notes=0)
    with pytest.raises(Rejected) as rejection:
        CODEC.encode(Example("tune", sequence.SerializeToString()), OPTIONS)
    assert rejection.value.reason == reason
    assert rejection.value.detail


def test_a_rejection_counts_what_was_left_out():
    sequence = scale(num_notes=20)  # too short
    for instrument in (1, 2):
        for pitch in (60, 64):
            add_note(sequence, pitch, 2.0, 1.0, instrument=instrument)
    sequence.time_signatures.add(numerator=3, denominator=32, time=4.0)
    sequence.tempos.add(qpm=-1.0, time=4.5)
    with pytest.raises(Rejected) as rejection:
        CODEC.encode(Example("a", sequence.SerializeToString()), OPTIONS)
    assert rejection.value.reason == "too_short"
    assert rejection.value.detail == (
        "no melody is left after 1 melodies shorter than min_bars, 2 tracks where two notes start "
        "on one step, 1 stretches whose bar is no whole number of steps, 1 stretches whose tempo "
        "is not positive"
    )


def test_the_first_note_that_ends_before_it_starts_is_named():
    sequence = scale()
    for start in (30.0, 20.0, 25.0):
        add_note(sequence, 50 + int(start), start, -1.0, instrument=int(start))
    with pytest.raises(Rejected) as rejection:
        CODEC.encode(Example("a", sequence.SerializeToString()), OPTIONS)
    assert rejection.value.detail == "start_time=10.0 end_time=9.5 of pitch=70"
    sequence.tempos.add(qpm=0.0, time=9.0)  # nothing is quantized from there on
    assert CODEC.encode(Example("a", sequence.SerializeToString()), LOOSE)


def test_absurd_numbers_end_in_melodies_or_a_rejection():
    rng = np.random.default_rng(5)
    odd = [0.0, -1.0, 1e-300, 1e9, 1e300, float("inf"), float("nan")]
    outcomes = set()
    for _ in range(400):
        sequence = random_sequence(rng)
        sequence.time_signatures.add(numerator=int(rng.choice([-1, 0, 2**31 - 1])), denominator=1)
        for message in (*sequence.notes, *sequence.tempos, *sequence.time_signatures):
            fields = [f.name for f, value in message.ListFields() if isinstance(value, float)]
            if fields and rng.random() < 0.1:
                setattr(message, rng.choice(fields), rng.choice(odd))
        sequence.total_time = rng.choice([sequence.total_time, *odd])
        outcomes.add(encoded(sequence, LOOSE) is None)
    assert outcomes == {True, False}


def test_nothing_but_drums_is_no_notes():
    sequence = scale()
    for note in sequence.notes:
        note.is_drum = True
    with pytest.raises(Rejected, match="no_notes"):
        CODEC.encode(Example("drums", sequence.SerializeToString()), OPTIONS)
    with pytest.raises(Rejected, match="no_notes"):
        CODEC.primer(Example("drums", sequence.SerializeToString()), OPTIONS, "basic")
    with pytest.raises(Rejected, match="no_notes"):
        CODEC.encode(Example("picture"), OPTIONS)


def test_equal_melodies_of_two_tracks_are_one():
    sequence = scale()
    for note in list(sequence.notes):
        sequence.notes.add().CopyFrom(note)
        sequence.notes[-1].instrument = 1
    assert len(CODEC.encode(Example("unison", sequence.SerializeToString()), OPTIONS)) == 1


def test_a_cut_melody_loses_the_silence_at_its_end():
    sequence = scale(num_notes=126)  # ends at step 252
    add_note(sequence, 72, 63.75, 1.0)  # from step 255 on
    cut = OPTIONS.model_copy(update={"max_steps": 255})
    assert (
        len(CODEC.encode(Example("cut", sequence.SerializeToString()), OPTIONS)[0]["melody"]) == 259
    )
    (record,) = CODEC.encode(Example("cut", sequence.SerializeToString()), cut)
    assert len(record["melody"]) == 252
    assert_same_records([record], CODEC.encode(CODEC.decode(record, cut), cut))
    held = CODEC.encode(
        Example("held", sequence.SerializeToString()), cut.model_copy(update={"max_steps": 257})
    )
    assert held[0]["melody"][-3:].tolist() == [-2, 72, -2]


@pytest.mark.parametrize("name", ORACLES)
def test_primer_is_the_longest_top_line_transposed(name):
    sequence = scale(num_notes=6, program=33)
    for beat in range(8):  # chords whose top notes are 76, 77, ...
        for pitch in (64, 76, 70):
            add_note(sequence, pitch + beat, beat, 1.0, instrument=3)
    events = CODEC.primer(Example("chords", sequence.SerializeToString()), OPTIONS, name)
    quantized = lib.quantize_note_sequence(sequence, 4)
    melody = melodies_lib.Melody()
    melody.from_quantized_sequence(quantized, instrument=3, ignore_polyphonic_notes=True)
    view = CODEC.encoding(OPTIONS, name)
    melody.squash(view.low, view.high, view.key)
    assert events == list(melody)
    assert len(events) == 32


def test_primers_of_noise_are_those_of_note_seq():
    rng = np.random.default_rng(11)
    for _ in range(60):
        sequence = random_sequence(rng)
        every = LOOSE.model_copy(update={"min_bars": 0, "programs": ((0, 127),)})
        every = every.model_copy(update={"min_unique_pitches": 0})
        lines = [list(m) for m in oracle_melodies(sequence, every, use_top_line=True)]
        if lines:
            assert CODEC.primer(Example("a", sequence.SerializeToString()), LOOSE, "mono") == max(
                lines, key=len
            )


def test_decode_writes_the_notes_of_the_events():
    events = np.array([-2, 60, -2, -1, -2, 62, 64, -2])
    sequence = CODEC.decode({"melody": events}, OPTIONS).note_sequence
    notes = [(n.pitch, n.start_time, n.end_time, n.velocity, n.program) for n in sequence.notes]
    assert notes == [
        (60, 0.125, 0.375, 100, 0),
        (62, 0.625, 0.75, 100, 0),
        (64, 0.75, 1.0, 100, 0),
    ]
    assert sequence.total_time == 1.0
    assert [t.qpm for t in sequence.tempos] == [120]
    assert [(s.numerator, s.denominator) for s in sequence.time_signatures] == [(4, 4)]


def test_statistics_by_hand():
    events = np.array([-2, 60, -2, -1, -2, 62, 64, -2])
    assert CODEC.statistics({"melody": events}, OPTIONS) == {
        "num_events": 8,
        "num_notes": 3,
        "num_unique_pitches": 3,
        "duration_seconds": 1.0,
        "pitch_mean": 62,
        "pitch_range_semitones": 4,
        "note_density_hz": 3,
        "rest_ratio": 3 / 8,
    }
    silent = CODEC.statistics({"melody": np.full(4, -2)}, OPTIONS)
    assert silent["num_notes"] == silent["pitch_mean"] == 0
    assert silent["rest_ratio"] == 1


def test_options_have_no_defaults_and_name_what_is_wrong():
    with pytest.raises(ValidationError) as missing:
        MelodyOptions()
    assert len(missing.value.errors()) == len(MelodyOptions.model_fields)
    for programs in ([[31, 0]], [[0, 128]], [], [[1]]):
        with pytest.raises(ValidationError, match="programs"):
            MelodyOptions(**{**OPTIONS.model_dump(), "programs": programs})


def test_the_import_is_light():
    code = (
        "import sys, pipeline.codecs.melody; print({'note_seq', 'tensorflow'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def encoded(sequence, options):
    try:
        return CODEC.encode(Example("tune", sequence.SerializeToString()), options)
    except Rejected:
        return None


def assert_same_records(expected, found):
    assert found is not None
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def assert_encodings_equal(record, melody):
    for name, oracle in ORACLES.items():
        view = CODEC.encoding(OPTIONS, name)
        squashed = copy.deepcopy(melody)
        squashed.squash(view.low, view.high, view.key)
        labels = [oracle.events_to_label(squashed, i) for i in range(len(squashed))]
        assert record[f"{name}_labels"].tolist() == labels, name
        if f"{name}_inputs" in record:
            bits = np.unpackbits(record[f"{name}_inputs"], axis=1)
            assert not bits[:, view.input_size :].any()
            values = [oracle.events_to_input(squashed, i) for i in range(len(squashed))]
            np.testing.assert_array_equal(view.values(bits[:, : view.input_size]), values, name)
            assert_targets_mean_what_labels_mean(record[f"{name}_targets"], oracle, list(squashed))


def assert_targets_mean_what_labels_mean(targets, oracle, events):
    """The event's own class, and for each class of repeats the class of the event it stands for."""
    num_events = oracle.num_classes - 2
    assert targets.max() < num_events
    for i, (own, *repeats) in enumerate(targets.tolist()):
        before = events[:i]
        assert oracle.class_index_to_event(own, before) == events[i]
        for repeat, stands_for in enumerate(repeats):
            meant = oracle.class_index_to_event(num_events + repeat, before)
            assert oracle.class_index_to_event(stands_for, before) == meant


def oracle_melodies(sequence, options, use_top_line=False):
    """Magenta's melody_rnn pipeline up to the melodies, written with note-seq's parts.

    Source: Magenta, melody_pipelines.extract_melodies.
    """
    allowed = note_seq.NoteSequence()
    allowed.CopyFrom(sequence)
    del allowed.notes[:]
    for note in sequence.notes:
        if note.velocity and any(low <= note.program <= high for low, high in options.programs):
            allowed.notes.add().CopyFrom(note)
    melodies = []
    for part in lib.split_note_sequence_on_time_changes(allowed):
        quantized = lib.quantize_note_sequence(part, options.steps_per_quarter)
        for instrument in sorted({note.instrument for note in quantized.notes}):
            melodies += oracle_track(quantized, instrument, options, use_top_line)
    different = []
    for melody in melodies:
        if list(melody) not in [list(m) for m in different]:
            different.append(melody)
    return different


def oracle_track(quantized, instrument, options, use_top_line):
    melodies, search_start_step = [], 0
    while True:
        melody = melodies_lib.Melody()
        try:
            melody.from_quantized_sequence(
                quantized,
                search_start_step=search_start_step,
                instrument=instrument,
                gap_bars=options.gap_bars,
                ignore_polyphonic_notes=use_top_line,
            )
        except (melodies_lib.PolyphonicMelodyError, note_seq.NonIntegerStepsPerBarError):
            return melodies
        if not len(melody):
            return melodies
        search_start_step = melody.end_step + -melody.end_step % melody.steps_per_bar
        if len(melody) > options.max_steps:
            melody.set_length(options.max_steps)
            if max(melody) < 0:
                continue
            _, last_off = melody._get_last_on_off_events()
            melody.set_length(last_off)
        if len(melody) < melody.steps_per_bar * options.min_bars:
            continue
        if np.count_nonzero(melody.get_note_histogram()) >= options.min_unique_pitches:
            melodies.append(melody)


def scale(
    num_notes=64, num_pitches=7, program=0, signature=(4, 4), qpm=120.0, note_beats=1.0, chord_at=0
):
    """Eighths of half a second a beat; a second voice joins at note `chord_at`, if any."""
    sequence = note_seq.NoteSequence()
    sequence.time_signatures.add(numerator=signature[0], denominator=signature[1])
    sequence.tempos.add(qpm=qpm)
    for i in range(num_notes):
        add_note(sequence, 60 + i % num_pitches, i / 2, note_beats / 2, program=program)
        if chord_at and i >= chord_at:
            add_note(sequence, 50, i / 2, note_beats / 2, program=program)
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


def random_sequence(rng):
    """Some tracks with overlaps, rests, chords, drums, off the grid, through changes of time."""
    sequence = note_seq.NoteSequence()
    moves = [0.25, 0.5, 1.0, 3.0, 4.0, 6.0]
    for instrument in range(rng.integers(1, 5)):
        program = int(rng.choice([0, 5, 33, 60]))
        is_drum = bool(rng.random() < 0.15)
        jitter = rng.choice([0, 0.02, 0.2])
        low = int(rng.integers(0, 100))
        beat = float(rng.integers(0, 8)) / 2
        for _ in range(rng.integers(1, 80)):
            start = max(0.0, beat + rng.normal() * jitter)
            beats = float(rng.choice([0.0, 0.1, 0.25, 0.5, 1.0, 2.5]))
            pitch = int(rng.integers(low, min(low + 26, 128)))
            add_note(sequence, pitch, start, beats, instrument, program, is_drum)
            sequence.notes[-1].velocity = 0 if rng.random() < 0.02 else 90
            beat += float(rng.choice(moves, p=[0.3, 0.4, 0.15, 0.1, 0.03, 0.02]))
            if rng.random() < 0.01:
                beat -= 0.25  # may start with the note before: polyphonic
    seconds = sequence.total_time
    for _ in range(rng.integers(0, 4)):
        numerator, denominator = [(3, 4), (4, 4), (6, 8), (5, 4), (5, 16), (3, 32)][rng.integers(6)]
        time = float(rng.choice([0.0, 1.0, seconds / 2, rng.random() * seconds * 1.2]))
        sequence.time_signatures.add(numerator=numerator, denominator=denominator, time=time)
    for _ in range(rng.integers(0, 4)):
        time = float(rng.choice([0.0, 1.0, seconds / 2, rng.random() * seconds * 1.2]))
        sequence.tempos.add(qpm=float(rng.choice([60, 90, 120, 133.7])), time=time)
    return sequence
