"""metrics/pianoroll against loops, muspy, and the published code where that is right; by hand."""

import itertools
import math
import time

import muspy
import numpy as np
import pypianoroll.metrics as pypianoroll
import pytest
from note_seq.protobuf import music_pb2

from pipeline.codecs import _pianoroll_notes
from pipeline.codecs.pianoroll import CODEC, PianorollOptions, pack
from pipeline.metrics import memorisation, pianoroll
from pipeline.metrics.pianoroll import TRACKS

DRUMS, PIANO, GUITAR, BASS, STRINGS = range(5)
MIN_PITCH = 24


def random_roll(seed, num_steps=64, num_pitches=84, density=0.01):
    """Notes of some length; a bar of each track and, now and then, a whole track is silent."""
    rng = np.random.default_rng([seed, 7])
    roll = rng.random((num_steps, num_pitches, 5)) < density
    for _ in range(3):
        roll[1:] |= roll[:-1] & (rng.random(roll[1:].shape) < 0.5)
    for track in range(5):
        bar = num_steps // 4 * int(rng.integers(4))
        roll[bar : bar + num_steps // 4, :, track] = False
    roll[..., rng.integers(5)] &= seed % 3 > 0
    return roll


def runs(line):
    """Start and length of each run of a bool line, by a loop."""
    found = []
    for step, is_on in enumerate(line):
        if is_on and (step == 0 or not line[step - 1]):
            found.append([step, 0])
        if is_on:
            found[-1][1] += 1
    return found


def notes_of_track(roll, track):
    """Start, length and pitch of each note."""
    return [
        (start, length, pitch)
        for pitch in range(roll.shape[1])
        for start, length in runs(roll[:, pitch, track])
    ]


def ratio(numerator, denominator):
    return numerator / denominator if denominator else math.nan


def tonal_centroid(weights):
    """Harte et al. 2006, equations 3 and 4, as a loop."""
    centroid = [0.0] * 6
    for place, weight in enumerate(weights):
        for circle, (radius, angle) in enumerate(((1, 7 / 6), (1, 3 / 2), (0.5, 2 / 3))):
            centroid[2 * circle] += radius * math.sin(place * angle * math.pi) * weight
            centroid[2 * circle + 1] += radius * math.cos(place * angle * math.pi) * weight
    return [value / sum(weights) for value in centroid]


def chroma(part, min_pitch):
    """Cells of each pitch class in bool [steps, pitches]."""
    weights = [0] * 12
    for pitch in np.nonzero(part)[1]:
        weights[(pitch + min_pitch) % 12] += 1
    return weights


def oracle(roll, steps_per_beat, min_pitch):
    """Every metric of one roll by loops over bars, beats and notes."""
    found, bar = {}, 4 * steps_per_beat
    bars = [roll[first : first + bar] for first in range(0, len(roll), bar)]
    beats = [roll[first : first + bar // 4] for first in range(0, len(roll), bar // 4)]
    for track, name in enumerate(TRACKS):
        full = [part[..., track] for part in bars if part[..., track].any()]
        found[f"empty_bar_rate_{name}"] = 1 - len(full) / len(bars)
        if track == DRUMS:
            continue
        used = sum(sum(weight > 0 for weight in chroma(part, min_pitch)) for part in full)
        found[f"num_pitch_classes_per_bar_{name}"] = ratio(used, len(full))
        lengths = [length for _, length, _ in notes_of_track(roll, track)]
        least = max(2, math.ceil(steps_per_beat / 8))
        long = sum(length >= least for length in lengths)
        found[f"qualified_note_rate_{name}"] = ratio(long, len(lengths))
    onsets = [start for start, _, _ in notes_of_track(roll, DRUMS)]
    pattern = {4: 2, 8: 2, 12: 3, 24: 6}[steps_per_beat]
    score = sum(
        1 if start % pattern == 0 else 0.1 if start % pattern in (1, pattern - 1) else 0
        for start in onsets
    )
    found["drum_in_pattern_rate"] = ratio(score, len(onsets))
    for one, other in itertools.combinations(range(1, 5), 2):
        shared = [b for b in beats if b[..., one].any() and b[..., other].any()]
        total = sum(
            math.dist(*(tonal_centroid(chroma(b[..., t], min_pitch)) for t in (one, other)))
            for b in shared
        )
        found[f"tonal_distance_{TRACKS[one]}_{TRACKS[other]}"] = ratio(total, len(shared))
    return found


@pytest.mark.parametrize(("steps_per_beat", "min_pitch"), [(4, 24), (4, 0), (8, 41), (12, 29)])
def test_equals_a_loop_over_notes_bars_and_beats(steps_per_beat, min_pitch):
    rolls = np.stack([random_roll(s, 16 * steps_per_beat, 80) for s in range(8)])
    found = pianoroll.roll_metrics(rolls, steps_per_beat, min_pitch)
    for place, roll in enumerate(rolls):
        expected = oracle(roll, steps_per_beat, min_pitch)
        assert {name: values[place] for name, values in found.items()} == pytest.approx(
            expected, rel=1e-9, nan_ok=True
        )
    undefined = np.isnan([*found.values()])
    assert undefined.any()
    assert not undefined.all(axis=1).any()


def test_equals_a_loop_at_the_papers_resolution():
    roll = random_roll(1, 2 * 96, 84, 0.005)
    found = pianoroll.roll_metrics(roll[None], 24, MIN_PITCH)
    expected = oracle(roll, 24, MIN_PITCH)
    assert pianoroll.qualified_steps(24) == 3
    assert {k: v[0] for k, v in found.items()} == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_shares_of_empty_bars_by_hand_where_the_published_code_has_the_opposite():
    roll = np.zeros((64, 84, 5), bool)
    roll[16:20, 36, PIANO] = True
    roll[15:17, 36, BASS] = True  # held over a bar line: two bars
    roll[:, 36, STRINGS] = True
    rates = pianoroll.empty_bar_rate(np.moveaxis(roll, 2, 0), 16)
    assert rates.tolist() == [1.0, 0.75, 1.0, 0.5, 0.0]
    # src/musegan/metrics.py, empty_bar_rate: the mean of "any", not of its opposite.
    theirs = roll.reshape(4, 16, 84, 5).any(axis=(1, 2)).mean(axis=0)
    np.testing.assert_array_equal(theirs, 1 - rates)
    assert pypianoroll.empty_beat_rate(roll[..., PIANO], 16) == 0.25


@pytest.mark.parametrize("seed", range(4))
def test_empty_bars_and_pitch_classes_equal_muspy(seed):
    """A track at a time; muspy counts a bar more when a note ends on a bar line, so none does."""
    roll = random_roll(seed)
    roll[15::16] = False
    roll[62, 40] = True  # the last bar is not empty: muspy's music ends with its last note
    found = pianoroll.roll_metrics(roll[None], 4, MIN_PITCH)
    for track in range(1, 5):
        music = muspy_of(roll, track)
        name = TRACKS[track]
        assert found[f"empty_bar_rate_{name}"][0] == muspy.empty_measure_rate(music, 16)
        bars = [roll[first : first + 16] for first in range(0, 64, 16)]
        used = [muspy.n_pitch_classes_used(muspy_of(bar, track)) for bar in bars]
        expected = np.mean([num for num in used if num])
        assert found[f"num_pitch_classes_per_bar_{name}"][0] == pytest.approx(expected)


def test_pitch_classes_by_hand_where_the_published_code_counts_registers():
    roll = np.zeros((1, 64, 84), bool)
    for pitch in (36, 40, 43, 48):  # C E G and the C above, in the first bar alone
        roll[0, 3:9, pitch] = True
    assert pianoroll.num_pitch_classes_per_bar(roll, 16, MIN_PITCH).tolist() == [3.0]
    assert np.isnan(pianoroll.num_pitch_classes_per_bar(roll[:, 16:], 16)[0])
    # src/musegan/metrics.py and v1/musegan/eval/metrics.py, to_chroma: runs of seven neighbours.
    theirs = roll[0].reshape(64, 12, 7).sum(axis=2).any(axis=0)
    assert theirs.sum() == 2  # 36, 40 | 43, 48
    octave = np.zeros((1, 16, 84), bool)
    octave[0, 0, [0, 12, 24, 36, 48, 60, 72]] = True  # one class, seven registers
    assert pianoroll.num_pitch_classes_per_bar(octave, 16, MIN_PITCH).tolist() == [1.0]
    assert octave[0].reshape(16, 12, 7).sum(axis=2).any(axis=0).sum() == 7
    wide = np.zeros((16, 128), float)
    wide[0, [0, 12, 24]] = 1
    assert pypianoroll.n_pitch_classes_used(wide) == 3  # ten neighbours, 0..9, 10..19, 20..29


def test_a_major_chord_lies_where_harte_puts_it():
    """Its centroid by hand: C E G, equally strong."""
    roll = np.zeros((2, 4, 24), bool)
    roll[0, :, [0, 4, 7]] = roll[1, :2, 0] = True
    centroid = tonal_centroid([1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0])
    fifths = [sum(math.sin(p * 7 / 6 * math.pi) for p in (0, 4, 7)) / 3]
    fifths += [sum(math.cos(p * 7 / 6 * math.pi) for p in (0, 4, 7)) / 3]
    assert centroid[:2] == pytest.approx(fifths)
    distances = pianoroll.tonal_distance(roll, 4)
    assert distances[0, 1] == pytest.approx(math.dist(centroid, [0, 1, 0, 1, 0, 0.5]))
    assert distances[0, 1] == distances[1, 0]
    assert distances[0, 0] == distances[1, 1] == 0


def test_tonal_distance_has_the_space_of_pypianoroll_which_itself_fails():
    rng = np.random.default_rng(2)
    space = pypianoroll._get_tonal_matrix(1.0, 1.0, 0.5)
    for _ in range(20):
        roll = rng.random((2, 4, 24)) < 0.06
        roll[:, 0, rng.integers(24, size=2)] = True
        weights = roll.reshape(2, 8, 12).sum(axis=1)
        mapped = weights / weights.sum(axis=1, keepdims=True) @ space.T
        expected = np.linalg.norm(mapped[0] - mapped[1])
        assert pianoroll.tonal_distance(roll, 4)[0, 1] == pytest.approx(expected)
    with pytest.raises(ValueError, match="core dimension"):
        pypianoroll.tonal_distance(np.ones((8, 128)), np.ones((8, 128)), 4)


def test_tonal_distance_skips_silent_beats_where_the_published_code_is_nan():
    roll = np.zeros((3, 16, 24), bool)
    roll[0, 0:8, 0] = True  # C in the first two beats
    roll[1, 4:12, 6] = True  # F sharp in the second and third
    distances = pianoroll.tonal_distance(roll, 4)
    assert distances[0, 1] == pytest.approx(math.dist(*map(tonal_centroid, np.eye(12)[[0, 6]])))
    assert np.isnan(distances[2]).all()
    with np.errstate(invalid="ignore"):
        beats = roll[:2].reshape(2, 4, 4, 24).sum(axis=2)[..., :12].astype(float)
        theirs = beats / beats.sum(axis=2, keepdims=True)
    assert np.isnan(theirs.mean(axis=1)).all()


def test_harmony_is_nearer_than_chance():
    """Tracks that share their chords lie nearer than the same tracks of another song."""
    rng = np.random.default_rng(0)
    roots = rng.integers(0, 12, (50, 16))
    rolls = np.zeros((50, 64, 84, 5), bool)
    for song, beats in enumerate(roots):
        for beat, root in enumerate(beats):
            part = rolls[song, 4 * beat : 4 * beat + 4]
            part[:, [24 + root, 28 + root, 31 + root], PIANO] = part[:, root, BASS] = True
    own = pianoroll.roll_metrics(rolls, 4)["tonal_distance_piano_bass"]
    rolls[..., BASS] = np.roll(rolls[..., BASS], 1, axis=0)
    other = pianoroll.roll_metrics(rolls, 4)["tonal_distance_piano_bass"]
    assert own.max() < other.min()


def test_qualified_notes_by_hand_where_the_published_code_pairs_different_notes():
    roll = np.zeros((64, 84), bool)
    roll[0:1, 10] = roll[2:4, 10] = roll[14:18, 20] = True  # of 1, 2 and 4 steps, over a bar line
    roll[63, 30] = True
    rates = [float(pianoroll.qualified_note_rate(roll, least)) for least in (1, 2, 3, 5, 100)]
    assert rates == [1.0, 0.5, 0.25, 0.0, 0.0]
    assert np.isnan(pianoroll.qualified_note_rate(roll[20:30], 2))
    # src/musegan/metrics.py and pypianoroll: the next step is 84 places on, so a note of one step
    # counts as one of 84; with a second note, ends are taken from the onsets of the other.
    short = np.zeros((16, 84), np.int8)
    short[0, 10] = 1
    assert pianoroll.qualified_note_rate(short > 0, 2) == 0
    assert pypianoroll.qualified_note_rate(short, 2) == 1
    with pytest.raises(ValueError, match="broadcast"):  # differences of uint8 have no sign
        pypianoroll.qualified_note_rate(short > 0, 2)
    grids = {spb: pianoroll.qualified_steps(spb) for spb in (1, 2, 4, 8, 12, 16, 24, 32)}
    assert grids == {1: 2, 2: 2, 4: 2, 8: 2, 12: 2, 16: 2, 24: 3, 32: 4}


def test_drums_by_hand():
    drums = np.zeros((64, 84), bool)
    drums[[0, 8, 32], 12] = drums[0:4, 14] = True  # on eighths; a long hit is one onset
    assert pianoroll.drum_in_pattern_rate(drums, 4) == 1
    drums[[5, 21, 33, 63], 20] = True  # on sixteenths between them
    assert pianoroll.drum_in_pattern_rate(drums, 4) == pytest.approx((4 + 4 * 0.1) / 8)
    assert pianoroll.drum_in_pattern_rate(drums, 4, tolerance=0) == 0.5
    assert np.isnan(pianoroll.drum_in_pattern_rate(drums, 5))
    assert np.isnan(pianoroll.drum_in_pattern_rate(drums[:0], 4))


@pytest.mark.parametrize("steps_per_beat", [4, 6, 8, 9, 12, 16, 18, 24])
def test_drums_of_a_beat_equal_pypianoroll(steps_per_beat):
    """One beat, which is all it takes, and hits of one step, since it counts steps."""
    rng = np.random.default_rng(steps_per_beat)
    for _ in range(5):
        drums = rng.random((steps_per_beat, 128)) < 0.05
        drums[1:] &= ~np.logical_or.accumulate(drums[:-1])
        theirs = pypianoroll.drum_in_pattern_rate(drums, steps_per_beat)
        assert pianoroll.drum_in_pattern_rate(drums, steps_per_beat) == pytest.approx(theirs)
    with pytest.raises(ValueError, match="broadcast"):
        pypianoroll.drum_in_pattern_rate(np.tile(drums, (2, 1)), steps_per_beat)
    held = np.ones((steps_per_beat, 1), bool)
    assert pianoroll.drum_in_pattern_rate(held, steps_per_beat) == 1
    assert pypianoroll.drum_in_pattern_rate(held, steps_per_beat) < 1


@pytest.mark.parametrize("steps_per_bar", [16, 32, 48, 64, 96])
def test_drums_of_a_bar_equal_the_masks_of_musegan(steps_per_bar):
    """src/musegan/metrics.py, drum_in_pattern_rate, for hits of one step."""
    masks = {
        16: np.tile([1, 0.1], 8),
        32: np.tile([1, 0.1], 16),
        48: np.tile([1, 0.1, 0.1], 16),
        64: np.tile([1, 0.1, 0, 0.1], 16),
        96: np.tile([1, 0.1, 0, 0, 0, 0.1], 16),
    }
    drums = np.random.default_rng(3).random((steps_per_bar, 84)) < 0.02
    drums[1:] &= ~drums[:-1]
    expected = (drums.sum(axis=1) * masks[steps_per_bar]).sum() / drums.sum()
    found = pianoroll.drum_in_pattern_rate(drums, steps_per_bar // 4)
    assert found == pytest.approx(expected)


OPTIONS = PianorollOptions(
    steps_per_quarter=4,
    num_bars=4,
    min_pitch=MIN_PITCH,
    num_pitches=84,
    tracks="five",
    genres=("Jazz",),
    min_notes=1,
    min_tracks=1,
    max_phrases=9,
)


@pytest.mark.parametrize("qpm", [120, 97.3])
def test_a_decoded_phrase_has_the_metrics_of_its_roll(qpm):
    for seed in range(6):
        roll = random_roll(seed)
        roll[48:] = False  # a last bar of silence counts as empty
        record = {"roll": pack(roll), "qpm": np.float32(qpm)}
        notes = pianoroll.notes_of(CODEC.decode(record, OPTIONS).note_sequence, 4)
        painted = pianoroll.roll_of(notes)
        np.testing.assert_array_equal(painted[:, MIN_PITCH : MIN_PITCH + 84], roll)
        expected = pianoroll.roll_metrics(roll[None], 4, MIN_PITCH)
        found = pianoroll.musical_metrics(notes)
        assert list(found) == list(expected)
        assert found == pytest.approx({k: v[0] for k, v in expected.items()}, nan_ok=True)
        assert found["empty_bar_rate_drums"] >= 0.25
        symbols = memorisation.note_symbols(notes)
        assert len(symbols) == np.count_nonzero(~notes.is_drum) - 1


def test_names_and_number_of_the_metrics():
    names = list(pianoroll.roll_metrics(np.zeros((0, 16, 12, 5), bool), 4))
    assert len(names) == len(set(names)) == 5 + 4 + 4 + 1 + 6
    assert "tonal_distance_piano_guitar" in names
    assert "num_pitch_classes_per_bar_drums" not in names


def test_tracks_are_those_of_the_codec():
    sequence = music_pb2.NoteSequence(total_time=1.0)
    for program in range(-1, 130):
        sequence.notes.add(pitch=60, program=program, start_time=0.0, end_time=1.0, velocity=9)
        sequence.notes.add(
            pitch=36, program=program, start_time=0.0, end_time=1.0, velocity=9, is_drum=True
        )
    programs = np.array([note.program for note in sequence.notes])
    is_drum = np.array([note.is_drum for note in sequence.notes])
    expected = _pianoroll_notes.note_tracks(programs, is_drum, _pianoroll_notes.FIVE)
    found = pianoroll.notes_of(sequence, 4)
    np.testing.assert_array_equal(found.tracks, expected[expected >= 0])
    np.testing.assert_array_equal(found.is_drum, is_drum[expected >= 0])
    assert TRACKS == _pianoroll_notes.FIVE


def test_other_measures_and_silence():
    sequence = music_pb2.NoteSequence(total_time=3.0)
    sequence.time_signatures.add(numerator=3, denominator=4)
    sequence.notes.add(pitch=60, start_time=0.0, end_time=1.0, velocity=9)
    notes = pianoroll.notes_of(sequence, 4)
    assert notes.num_bars == 2
    assert pianoroll.musical_metrics(notes)["empty_bar_rate_piano"] == 0.5
    sequence.time_signatures.add(numerator=4, denominator=4, time=1.5)
    notes = pianoroll.notes_of(sequence, 4)
    assert np.isnan([*pianoroll.musical_metrics(notes).values()]).all()
    with pytest.raises(ValueError, match="steps_per_measure"):
        pianoroll.roll_of(notes)
    nothing = pianoroll.notes_of(music_pb2.NoteSequence(), 4)
    assert np.isnan([*pianoroll.musical_metrics(nothing).values()]).all()


@pytest.mark.parametrize("density", [0.0, 0.0005, 0.01, 0.5, 1.0])
def test_shuffled_notes_are_as_many_and_as_long(density):
    roll = np.random.default_rng(1).random((64, 84, 5)) < density
    roll[5:40, 3, 1] |= density > 0
    shuffled = pianoroll.shuffled_notes(roll, np.random.default_rng(2))
    again = pianoroll.shuffled_notes(roll, np.random.default_rng(2))
    np.testing.assert_array_equal(shuffled, again)
    own, other = (
        sorted(length for track in range(5) for _, length, _ in notes_of_track(r, track))
        for r in (roll, shuffled)
    )
    assert own == other
    assert shuffled.shape == roll.shape
    assert shuffled.dtype == bool
    assert (shuffled != roll).any() == (0 < density < 1)


def test_shuffled_notes_are_everywhere_equally_often():
    roll = np.zeros((4, 3, 2), bool)
    roll[0:2, 0, 0] = True  # two steps: three places to start, on six lines
    rng = np.random.default_rng(0)
    starts = np.zeros((3, 3, 2))
    for _ in range(3600):
        shuffled = pianoroll.shuffled_notes(roll, rng)
        step, pitch, track = np.argwhere(shuffled)[0]
        starts[step, pitch, track] += 1
    assert abs(starts - 200).max() < 5 * math.sqrt(200)


def test_shuffled_notes_share_a_line_in_all_ways():
    rng = np.random.default_rng(0)

    def found(steps, num_steps, num_lines=1):
        roll = np.zeros((num_steps, num_lines, 1), bool)
        roll[steps, 0, 0] = True
        drawn = [tuple(np.flatnonzero(pianoroll.shuffled_notes(roll, rng))) for _ in range(600)]
        return {cells: round(drawn.count(cells) / 100) for cells in set(drawn)}

    assert found([0, 2], 4) == {(0, 2): 2, (0, 3): 2, (1, 3): 2}
    assert found([0, 1, 3], 4) == {(0, 1, 3): 3, (0, 2, 3): 3}
    # Of two lines: both notes on one, which they fill, or each at any of three steps of its own.
    both = found([0, 2], 3, num_lines=2)
    assert 1 <= both[(0, 4)] <= 2
    assert 1 <= both[(1, 5)] <= 2


def test_shuffling_takes_the_harmony_and_the_rhythm_away():
    rng = np.random.default_rng(6)
    rolls = np.zeros((30, 64, 84, 5), bool)
    rolls[:, ::4, 12, DRUMS] = True
    for song in rolls:
        for bar in range(4):
            root = int(rng.integers(0, 12))
            song[16 * bar : 16 * bar + 16, [24 + root, 28 + root, 31 + root], PIANO] = True
            song[16 * bar : 16 * bar + 16, root, BASS] = True
    control = np.stack([pianoroll.shuffled_notes(roll, rng) for roll in rolls])
    own, other = pianoroll.roll_metrics(rolls, 4), pianoroll.roll_metrics(control, 4)
    for metric in ("drum_in_pattern_rate", "qualified_note_rate_piano"):
        assert np.nanmean(own[metric]) > np.nanmean(other[metric]) + 0.2
    metric = "tonal_distance_piano_bass"
    assert np.nanmean(own[metric]) < np.nanmean(other[metric])


def test_pairwise_distance_equals_a_loop():
    rng = np.random.default_rng(9)
    rolls = rng.random((7, 5, 6, 3)) < np.array([0, 0, 0.1, 0.2, 0.5, 0.9, 1])[:, None, None, None]
    distances = []
    for one, other in itertools.combinations(rolls, 2):
        a, b = (set(np.flatnonzero(roll)) for roll in (one, other))
        distances.append(1 - len(a & b) / len(a | b) if a | b else 0.0)
    assert pianoroll.pairwise_distance(rolls) == pytest.approx(np.mean(distances))
    assert pianoroll.pairwise_distance(rolls[[3, 3, 3]]) == 0
    assert pianoroll.pairwise_distance(np.eye(70, dtype=bool)) == 1
    assert math.isnan(pianoroll.pairwise_distance(rolls[:1]))


def test_a_thousand_phrases_take_a_second():
    rolls = np.random.default_rng(0).random((1000, 64, 84, 5)) < 0.03
    started = time.perf_counter()
    pianoroll.roll_metrics(rolls, 4, MIN_PITCH)
    pianoroll.pairwise_distance(rolls)
    assert time.perf_counter() - started < 6


def muspy_of(roll, track):
    notes = [
        muspy.Note(time=start, duration=length, pitch=pitch + MIN_PITCH)
        for start, length, pitch in notes_of_track(roll, track)
    ]
    return muspy.Music(resolution=4, tracks=[muspy.Track(notes=notes)])
