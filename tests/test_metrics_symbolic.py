"""metrics/symbolic against muspy where muspy is right, and by hand where it is not."""

import math

import muspy
import numpy as np
import pytest
from note_seq.protobuf import music_pb2
from note_seq.sequences_lib import quantize_note_sequence

from pipeline.errors import PipelineError, Rejected
from pipeline.metrics import symbolic
from pipeline.metrics.symbolic import Notes

STEPS_PER_BEAT = 12
STEPS_PER_MEASURE = 48


def make_notes(rows, steps_per_beat=4, steps_per_measure=16):
    """Notes of rows (start, end, pitch) or (start, end, pitch, is_drum)."""
    rows = [(*row, False)[:4] for row in rows]
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Notes(*columns[:3], columns[3].astype(bool), steps_per_beat, steps_per_measure)


def random_notes(seed):
    """No note ends on a beat: there muspy is right about beats and measures."""
    rng = np.random.default_rng([seed])
    start = np.sort(rng.integers(0, 400, 60))
    end = start + rng.integers(1, 20, 60)
    end += end % STEPS_PER_BEAT == 0
    pitches = np.where(rng.random(60) < 0.5, rng.integers(40, 90, 60), 60)
    rows = zip(start, end, pitches, rng.random(60) < 0.3, strict=True)
    return make_notes(rows, STEPS_PER_BEAT, STEPS_PER_MEASURE)


def muspy_of(notes):
    rows = list(zip(notes.start_steps, notes.end_steps, notes.pitches, notes.is_drum, strict=True))
    tracks = [
        muspy.Track(
            is_drum=is_drum,
            notes=[
                muspy.Note(time=int(s), duration=int(e - s), pitch=int(p), velocity=64)
                for s, e, p, d in rows
                if d == is_drum
            ],
        )
        for is_drum in (False, True)
    ]
    return muspy.Music(
        resolution=notes.steps_per_beat, tracks=[track for track in tracks if track.notes]
    )


@pytest.mark.parametrize("seed", range(5))
def test_equals_muspy(seed):
    notes = random_notes(seed)
    music = muspy_of(notes)
    expected = {
        "num_pitches_used": muspy.n_pitches_used(music),
        "num_pitch_classes_used": muspy.n_pitch_classes_used(music),
        "pitch_range": muspy.pitch_range(music),
        "empty_beat_rate": muspy.empty_beat_rate(music),
        "empty_measure_rate": muspy.empty_measure_rate(music, STEPS_PER_MEASURE),
        "polyphony": muspy.polyphony(music),
        "polyphony_rate": muspy.polyphony_rate(music, threshold=1),
        "scale_consistency": muspy.scale_consistency(music),
        "pitch_entropy": muspy.pitch_entropy(music),
        "pitch_class_entropy": muspy.pitch_class_entropy(music),
        "groove_consistency": muspy.groove_consistency(music, STEPS_PER_MEASURE),
    }
    found = symbolic.musical_metrics(notes)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-12)
    assert 0 < found["empty_beat_rate"] < 1
    assert 0 < found["polyphony_rate"] < 1


@pytest.mark.parametrize("steps_per_beat", [1, 3, 4, 6, 12, 24])
def test_drums_and_scales_equal_muspy(steps_per_beat):
    base = random_notes(7)
    notes = Notes(
        base.start_steps, base.end_steps, base.pitches, base.is_drum, steps_per_beat, None
    )
    music = muspy_of(notes)
    for meter in ("duple", "triple"):
        assert symbolic.drum_in_pattern_rate(notes, meter) == muspy.drum_in_pattern_rate(
            music, meter
        )
    assert symbolic.drum_pattern_consistency(notes) == muspy.drum_pattern_consistency(music)
    for mode in ("major", "minor"):
        for root in range(12):
            ours = symbolic.pitch_in_scale_rate(notes, root, mode)
            assert ours == pytest.approx(muspy.pitch_in_scale_rate(music, root, mode))


def test_polyphony_rate_of_three_is_muspys_default():
    notes = random_notes(3)
    expected = muspy.polyphony_rate(muspy_of(notes))
    assert symbolic.polyphony_rate(notes, min_pitches=3) == pytest.approx(expected)


def test_a_fifth_held_throughout_is_polyphonic_in_every_step():
    notes = make_notes([(0, 16, 60), (0, 16, 67)])
    assert symbolic.polyphony_rate(notes) == 1
    assert symbolic.polyphony(notes) == 2
    assert muspy.polyphony_rate(muspy_of(notes)) == 0


def test_overlapping_notes_of_one_pitch_are_one_pitch():
    notes = make_notes([(0, 10, 60), (5, 16, 60)])
    assert symbolic.polyphony(notes) == 1


def test_identical_measures_have_groove_one_where_muspy_has_less():
    measure = [(0, 4, 60), (4, 8, 62), (8, 12, 64), (12, 16, 65)]
    notes = make_notes([(s + 16 * m, e + 16 * m, p) for m in range(4) for s, e, p in measure])
    assert symbolic.groove_consistency(notes) == 1.0
    assert muspy.groove_consistency(muspy_of(notes), 16) < 1


def test_groove_of_two_different_measures_by_hand():
    # Onsets at 0, 4, 8, 12 against 0, 2: steps 2, 4, 8 and 12 of 16 differ.
    notes = make_notes(
        [(0, 4, 60), (4, 8, 60), (8, 12, 60), (12, 16, 60), (16, 18, 60), (18, 32, 60)]
    )
    assert symbolic.groove_consistency(notes) == 1 - 4 / 16


def test_groove_of_one_measure_is_undefined():
    assert math.isnan(symbolic.groove_consistency(make_notes([(0, 16, 60)])))


def test_empty_rates_by_hand_where_notes_end_on_beats():
    # Measures 0 and 2 of four sound, in beats 0 and 8; the last note closes measure 3.
    notes = make_notes([(0, 4, 60), (32, 36, 60), (60, 64, 60)])
    assert symbolic.empty_beat_rate(notes) == 13 / 16
    assert symbolic.empty_measure_rate(notes) == 1 / 4
    full = make_notes([(0, 16, 60)])
    assert symbolic.empty_beat_rate(full) == 0
    assert symbolic.empty_measure_rate(full) == 0


def test_without_notes_numbers_are_zero_and_the_rest_is_nan():
    metrics = symbolic.musical_metrics(make_notes([]))
    numbers = ("num_pitches_used", "num_pitch_classes_used", "pitch_range")
    assert all(metrics.pop(name) == 0 for name in numbers)
    assert all(math.isnan(value) for value in metrics.values())
    assert math.isnan(symbolic.drum_pattern_consistency(make_notes([])))


def test_drums_alone_have_no_pitch():
    metrics = symbolic.musical_metrics(make_notes([(0, 4, 36, True), (20, 24, 38, True)]))
    assert metrics["pitch_range"] == 0
    assert math.isnan(metrics["polyphony"])
    assert math.isnan(metrics["pitch_entropy"])
    assert metrics["polyphony_rate"] == 0
    assert metrics["empty_measure_rate"] == 0


def test_entropies_by_hand():
    notes = make_notes([(0, 1, 60), (1, 2, 72), (2, 3, 62), (3, 4, 62)])
    assert symbolic.pitch_entropy(notes) == pytest.approx(1.5)
    assert symbolic.pitch_class_entropy(notes) == pytest.approx(1.0)
    one = symbolic.pitch_entropy(make_notes([(0, 1, 60)]))
    assert one == 0
    assert math.copysign(1, one) == 1


def test_unknown_mode_and_meter_are_refused():
    notes = make_notes([(0, 1, 60)])
    with pytest.raises(PipelineError, match="dorian"):
        symbolic.pitch_in_scale_rate(notes, 0, "dorian")
    with pytest.raises(PipelineError, match="quintuple"):
        symbolic.drum_in_pattern_rate(notes, "quintuple")


def make_sequence(qpm=None, meters=(), seed=0):
    rng = np.random.default_rng([seed])
    sequence = music_pb2.NoteSequence(ticks_per_quarter=220)
    if qpm:
        sequence.tempos.add(time=0, qpm=qpm)
    for time, numerator, denominator in meters:
        sequence.time_signatures.add(time=time, numerator=numerator, denominator=denominator)
    for start, length in zip(rng.uniform(0, 20, 80), rng.exponential(0.2, 80), strict=True):
        sequence.notes.add(
            pitch=int(rng.integers(30, 90)), velocity=80, start_time=start, end_time=start + length
        )
    sequence.total_time = max(note.end_time for note in sequence.notes)
    return sequence


@pytest.mark.parametrize(("qpm", "steps_per_beat"), [(None, 4), (97.3, 12), (180, 24)])
def test_notes_are_quantized_as_by_note_seq(qpm, steps_per_beat):
    sequence = make_sequence(qpm, [(0, 4, 4)])
    quantized = quantize_note_sequence(sequence, steps_per_beat).notes
    notes = symbolic.notes_of(sequence, steps_per_beat)
    assert notes.start_steps.tolist() == [note.quantized_start_step for note in quantized]
    assert notes.end_steps.tolist() == [note.quantized_end_step for note in quantized]
    assert notes.pitches.tolist() == [note.pitch for note in quantized]
    assert notes.steps_per_measure == 4 * steps_per_beat


def test_steps_follow_tempo_changes():
    sequence = music_pb2.NoteSequence()
    # In any order: 120 qpm for 2 s are 4 beats, 60 qpm for 3 s are 3 beats.
    sequence.tempos.add(time=2, qpm=60)
    sequence.tempos.add(time=0, qpm=120)
    sequence.notes.add(pitch=60, velocity=80, start_time=1, end_time=5)
    notes = symbolic.notes_of(sequence, 4)
    assert (notes.start_steps.tolist(), notes.end_steps.tolist()) == ([8], [28])


def test_tempo_before_the_first_is_120():
    sequence = music_pb2.NoteSequence()
    sequence.tempos.add(time=1, qpm=60)
    sequence.notes.add(pitch=60, velocity=80, start_time=1, end_time=2)
    notes = symbolic.notes_of(sequence, 4)
    assert (notes.start_steps.tolist(), notes.end_steps.tolist()) == ([8], [12])


def test_a_tempo_of_zero_is_rejected():
    sequence = make_sequence()
    sequence.tempos.add(time=0, qpm=0)
    with pytest.raises(Rejected) as rejection:
        symbolic.notes_of(sequence, 4)
    assert rejection.value.reason == "tempo_not_positive"


@pytest.mark.parametrize(
    ("meters", "expected"),
    [
        ([], 16),
        ([(0, 6, 8)], 12),
        ([(0, 4, 4), (3, 2, 2)], 16),
        ([(0, 4, 4), (3, 3, 4)], None),
        ([(0, 5, 64)], None),
    ],
)
def test_measures_are_the_time_signatures(meters, expected):
    notes = symbolic.notes_of(make_sequence(120, meters), 4)
    assert notes.steps_per_measure == expected
    assert math.isnan(symbolic.groove_consistency(notes)) == (expected is None)
    assert math.isnan(symbolic.empty_measure_rate(notes)) == (expected is None)


def test_an_empty_sequence_has_no_notes():
    notes = symbolic.notes_of(music_pb2.NoteSequence(), 4)
    assert notes.num_steps == 0
    assert symbolic.musical_metrics(notes)["num_pitches_used"] == 0
