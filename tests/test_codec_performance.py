"""The performance codec against note-seq: events, pedal, quantization and decoding."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import music21
import note_seq
import numpy as np
import pytest
from note_seq import musicxml_reader
from note_seq.performance_encoder_decoder import PerformanceOneHotEncoding
from note_seq.performance_lib import Performance
from pydantic import ValidationError

from pipeline.codecs._performance import cut, events, quantize
from pipeline.codecs._sustain import apply_sustain, read_notes
from pipeline.codecs.performance import CODEC, PerformanceOptions
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.miniatures import maestro
from pipeline.readers import midi

CORPUS = Path(music21.__file__).parent / "corpus"
OPTIONS = PerformanceOptions(
    steps_per_second=100,
    max_shift_steps=100,
    num_velocity_bins=32,
    min_pitch=0,
    max_pitch=127,
    min_events=1,
    max_events=1_000_000,
)
PIANO = OPTIONS.model_copy(update={"min_pitch": 21, "max_pitch": 108})


def perform(sequence: note_seq.NoteSequence, seed: int) -> note_seq.NoteSequence:
    """Plays a score: rubato, uneven chords and velocities, pedal, a few overlaps of one pitch."""
    rng = np.random.default_rng([seed])
    result = note_seq.NoteSequence(ticks_per_quarter=220)
    for note in sequence.notes:
        start = max(0.0, note.start_time * 1.1 + rng.normal(0, 0.02))
        length = (note.end_time - note.start_time) * rng.uniform(0.4, 1.6) + 0.004
        velocity = int(np.clip(rng.normal(70, 20), 1, 127))
        instrument = note.instrument if seed % 3 else 0
        result.notes.add(
            start_time=start,
            end_time=start + length,
            pitch=note.pitch,
            velocity=velocity,
            instrument=instrument,
        )
    end_seconds = max(note.end_time for note in result.notes)
    for time in np.sort(rng.uniform(0, end_seconds, rng.integers(0, 40))):
        instrument, value = int(rng.integers(0, 2)), int(rng.integers(0, 128))
        result.control_changes.add(
            time=time, control_number=64, control_value=value, instrument=instrument
        )
    result.total_time = end_seconds
    return result


def random_sequence(seed: int) -> note_seq.NoteSequence:
    """Few pitches on a coarse grid, so that ties, repeated pitches and equal notes abound."""
    rng = np.random.default_rng([seed, 7])
    sequence = note_seq.NoteSequence()
    for _ in range(rng.integers(1, 60)):
        start = rng.integers(0, 40) / 8
        sequence.notes.add(
            start_time=start,
            end_time=start + rng.integers(1, 12) / 8,
            pitch=int(rng.integers(60, 64)),
            velocity=int(rng.integers(1, 128)),
            instrument=int(rng.integers(0, 2)),
            is_drum=bool(rng.random() < 0.05),
        )
    for _ in range(rng.integers(0, 12)):
        sequence.control_changes.add(
            time=rng.integers(0, 56) / 8,
            control_number=int(rng.choice([64, 64, 64, 67])),
            control_value=int(rng.choice([0, 63, 64, 127])),
            instrument=int(rng.integers(0, 3)),
        )
    return sequence


@cache
def performances() -> list[note_seq.NoteSequence]:
    """110 chorales, quartet movements and a rag, performed."""
    files = [*sorted((CORPUS / "bach").glob("*.mxl"))[:106], CORPUS / "joplin/maple_leaf_rag.mxl"]
    files += sorted((CORPUS / "schumann_clara").glob("polonaise*.mxl"))[:3]
    scores = [musicxml_reader.musicxml_file_to_sequence_proto(str(file)) for file in files]
    return [perform(score, seed) for seed, score in enumerate(scores)]


@cache
def miniature() -> list[note_seq.NoteSequence]:
    """200 performances of the miniature of MAESTRO, read from their MIDI files."""
    _, members = maestro._performances(200, seed=7)
    return [midi.read(data) for data in members.values()]


def pitched(sequence: note_seq.NoteSequence, options: PerformanceOptions) -> note_seq.NoteSequence:
    kept = [n for n in sequence.notes if not n.is_drum]
    kept = [n for n in kept if options.min_pitch <= n.pitch <= options.max_pitch]
    result = note_seq.NoteSequence(control_changes=sequence.control_changes)
    result.notes.extend(kept)
    return result


def oracle(sequence: note_seq.NoteSequence, options: PerformanceOptions) -> Performance:
    sequence = note_seq.apply_sustain_control_changes(pitched(sequence, options))
    sequence = note_seq.quantize_note_sequence_absolute(sequence, options.steps_per_second)
    return Performance(
        sequence,
        num_velocity_bins=options.num_velocity_bins,
        max_shift_steps=options.max_shift_steps,
    )


def one_hot(options: PerformanceOptions) -> PerformanceOneHotEncoding:
    return PerformanceOneHotEncoding(
        options.num_velocity_bins, options.max_shift_steps, options.min_pitch, options.max_pitch
    )


def oracle_ids(performance: Performance, options: PerformanceOptions) -> list[int]:
    return [one_hot(options).encode_event(event) for event in performance]


def record(sequence: note_seq.NoteSequence, options: PerformanceOptions = OPTIONS) -> np.ndarray:
    (result,) = CODEC.encode(Example("k", sequence.SerializeToString()), options)
    return result["events"]


def as_played(sequence: note_seq.NoteSequence, options: PerformanceOptions) -> list[int]:
    """The events before they are made canonical."""
    notes = apply_sustain(read_notes(pitched(sequence, options)), sequence)
    return events(quantize(notes, options.steps_per_second), options.vocabulary).tolist()


def test_events_equal_note_seq_on_real_performances():
    for sequence in performances():
        assert as_played(sequence, OPTIONS) == oracle_ids(oracle(sequence, OPTIONS), OPTIONS)
    assert len(performances()) >= 100
    assert sum(len(sequence.control_changes) for sequence in performances()) > 1000


def test_events_and_records_equal_note_seq_on_200_performances_of_the_miniature():
    num_notes, num_events = 0, 0
    for sequence in miniature():
        played = oracle(sequence, PIANO)
        ids = oracle_ids(played, PIANO)
        assert as_played(sequence, PIANO) == ids
        round_trip = oracle_ids(oracle(played.to_sequence(), PIANO), PIANO)
        assert record(sequence, PIANO).tolist() == round_trip
        num_notes, num_events = num_notes + len(sequence.notes), num_events + len(ids)
    assert len(miniature()) == 200
    assert num_notes > 50_000
    assert num_events > 200_000


@pytest.mark.parametrize("num_velocity_bins", [0, 1, 7, 32, 127])
@pytest.mark.parametrize("max_shift_steps", [1, 13, 100])
def test_events_equal_note_seq_on_random_notes(num_velocity_bins, max_shift_steps):
    update = {"num_velocity_bins": num_velocity_bins, "max_shift_steps": max_shift_steps}
    options = PIANO.model_copy(update={**update, "steps_per_second": 31})
    for seed in range(60):
        sequence = random_sequence(seed + 1000 * num_velocity_bins)
        assert as_played(sequence, options) == oracle_ids(oracle(sequence, options), options)


def test_records_equal_note_seq_after_one_round_trip_of_its_own():
    for sequence in [*performances(), *map(random_sequence, range(500))]:
        round_trip = oracle(oracle(sequence, OPTIONS).to_sequence(), OPTIONS)
        assert record(sequence).tolist() == oracle_ids(round_trip, OPTIONS)


def test_decoding_and_encoding_again_changes_nothing():
    for options in (OPTIONS, PIANO, OPTIONS.model_copy(update={"max_events": 100})):
        for sequence in [*performances()[:40], *map(random_sequence, range(200))]:
            for piece in CODEC.encode(Example("k", sequence.SerializeToString()), options):
                again = CODEC.encode(CODEC.decode(piece, options), options)
                assert [a["events"].tolist() for a in again] == [piece["events"].tolist()]


def test_decoding_equals_note_seq_on_any_events():
    rng = np.random.default_rng([3])
    kinds = [np.arange(60, 66), np.arange(60, 66) + 128, [256, 260, 355], [356, 371, 387]]
    for num_events in range(1, 200):
        ids = np.array([rng.choice(kinds[rng.integers(4)]) for _ in range(num_events)])
        performance = Performance(steps_per_second=100, num_velocity_bins=32)
        for event in ids.tolist():
            performance.append(one_hot(OPTIONS).decode_event(event))
        assert CODEC.decode({"events": ids}, OPTIONS).note_sequence == performance.to_sequence()


def test_vocabulary_is_that_of_the_papers():
    assert CODEC.num_classes(OPTIONS, "events") == one_hot(OPTIONS).num_classes == 388
    assert CODEC.num_classes(PIANO, "events") == one_hot(PIANO).num_classes == 308


def test_longer_performances_are_cut_into_whole_notes():
    sequence = performances()[-1]
    options = OPTIONS.model_copy(update={"max_events": 300})
    records = CODEC.encode(Example("k", sequence.SerializeToString()), options)
    whole, pieces = record(sequence), [r["events"] for r in records]
    assert max(map(len, pieces)) <= 300 < len(whole)
    # One more note, two events, a velocity and two shifts, must not have fitted.
    assert min(map(len, pieces[:-1])) > 300 - 2 * 5
    is_on = [(piece < 128) for piece in pieces]
    np.testing.assert_array_equal(
        np.concatenate([p[on] for p, on in zip(pieces, is_on, strict=True)]), whole[whole < 128]
    )
    assert all(p[0] >= 356 for p in pieces[1:]), "a later piece starts with its first note"


def test_cut_takes_as_many_notes_as_a_linear_search():
    notes = quantize(read_notes(performances()[0]), 100)
    for max_events in (20, 50, 111):
        pieces = list(cut(notes, OPTIONS.vocabulary, max_events))
        first = next(
            n
            for n in range(len(notes.start))
            if len(events(notes.take(slice(n + 1)), OPTIONS.vocabulary)) > max_events
        )
        expected = events(notes.take(slice(first)), OPTIONS.vocabulary)
        np.testing.assert_array_equal(pieces[0], expected)


def test_statistics_by_hand():
    sequence = note_seq.NoteSequence()
    sequence.notes.add(start_time=0, end_time=1, pitch=60, velocity=1)
    sequence.notes.add(start_time=1, end_time=2.5, pitch=64, velocity=9)
    assert record(sequence).tolist() == [356, 60, 355, 188, 358, 64, 355, 305, 192]
    assert CODEC.statistics({"events": record(sequence)}, OPTIONS) == {
        "num_notes": 2,
        "num_events": 9,
        "duration_seconds": 2.5,
        "events_per_second": 3.6,
        "velocity_mean": 5.0,
        "pitch_mean": 62.0,
    }


def test_step_by_step_view():
    view = CODEC.encoding(OPTIONS, "performance")
    primer = CODEC.primer(
        Example("k", performances()[0].SerializeToString()), OPTIONS, "performance"
    )
    assert primer == record(performances()[0]).tolist()
    assert view.input_size == view.num_classes == 388
    assert view.inputs([]).sum() == 0
    assert np.flatnonzero(view.inputs(primer[:3])).tolist() == [primer[2]]
    assert view.event(view.label(primer, 5), primer[:5]) == primer[5]
    with pytest.raises(PipelineError, match="melody"):
        CODEC.encoding(OPTIONS, "melody")


@pytest.mark.parametrize(
    ("reason", "note", "update"),
    [
        ("no_notes", {"pitch": 60, "velocity": 9, "end_time": 1, "is_drum": True}, {}),
        ("no_notes", {"pitch": 20, "velocity": 9, "end_time": 1}, {"min_pitch": 21}),
        ("negative_time", {"pitch": 60, "velocity": 9, "start_time": -1, "end_time": 1}, {}),
        ("negative_time", {"pitch": 60, "velocity": 9, "start_time": 2, "end_time": 1}, {}),
        ("velocity_out_of_range", {"pitch": 60, "velocity": 0, "end_time": 1}, {}),
        ("too_few_events", {"pitch": 60, "velocity": 9, "end_time": 1}, {"min_events": 9}),
        ("note_too_long", {"pitch": 60, "velocity": 9, "end_time": 99}, {"max_events": 16}),
    ],
)
def test_rejections(reason, note, update):
    sequence = note_seq.NoteSequence()
    sequence.notes.add(**note)
    with pytest.raises(Rejected) as error:
        CODEC.encode(Example("k", sequence.SerializeToString()), OPTIONS.model_copy(update=update))
    assert error.value.reason == reason


def test_options_must_be_in_order():
    with pytest.raises(ValidationError, match="min_pitch=60 exceeds max_pitch=50"):
        PerformanceOptions(**{**OPTIONS.model_dump(), "min_pitch": 60, "max_pitch": 50})
