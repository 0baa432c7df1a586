"""metrics/memorisation against loops over all pairs of positions, and on planted copies."""

import itertools
import time

import numpy as np
import pytest

from pipeline.metrics.memorisation import (
    intervals_and_durations,
    memorisation_metrics,
    note_symbols,
    overlap,
)
from pipeline.metrics.symbolic import Notes

LENGTHS = (1, 3, 5, 8)


def ngrams(sequence, n):
    rows = [tuple(np.ravel(row)) for row in np.asarray(sequence).tolist()]
    return [tuple(rows[i : i + n]) for i in range(len(rows) - n + 1)]


def looped_longest(sequence, training):
    longest = 0
    for n in range(1, len(sequence) + 1):
        known = {gram for tune in training for gram in ngrams(tune, n)}
        if known & set(ngrams(sequence, n)):
            longest = n
    return longest


def looped_share(sequence, training, n):
    known = {gram for tune in training for gram in ngrams(tune, n)}
    grams = ngrams(sequence, n)
    return np.mean([gram in known for gram in grams]) if grams else np.nan


def looped_nearest(sequence, training, n):
    mine = set(ngrams(sequence, n))
    if not mine:
        return -1, np.nan
    scores = [len(mine & set(ngrams(t, n))) / len(mine | set(ngrams(t, n))) for t in training]
    return int(np.argmax(scores)), max(scores)


def random_tunes(rng, count, num_values, fields=()):
    return [rng.integers(-2, num_values - 2, (rng.integers(0, 40), *fields)) for _ in range(count)]


@pytest.mark.parametrize("fields", [(), (2,)])
@pytest.mark.parametrize("num_values", [2, 3, 30])
def test_equals_loops(num_values, fields):
    rng = np.random.default_rng([num_values, len(fields)])
    training = random_tunes(rng, 12, num_values, fields)
    sequences = random_tunes(rng, 9, num_values, fields)
    sequences[3] = training[5][2:30].copy()
    found = overlap(sequences, training, LENGTHS, nearest_length=3)
    assert found.longest_match.tolist() == [looped_longest(s, training) for s in sequences]
    for n in LENGTHS:
        expected = [looped_share(s, training, n) for s in sequences]
        np.testing.assert_allclose(found.seen_share[n], expected)
    expected = [looped_nearest(s, training, 3) for s in sequences]
    assert found.nearest.tolist() == [index for index, _ in expected]
    np.testing.assert_allclose(found.nearest_jaccard, [score for _, score in expected])


def test_a_whole_copy_is_found_where_it_was_planted():
    rng = np.random.default_rng([0])
    training = [rng.integers(0, 60, 300) for _ in range(20)]
    found = overlap([training[7].copy(), rng.integers(0, 60, 300)], training)
    assert found.longest_match[0] == 300
    assert found.longest_match[1] < 8
    assert (found.nearest[0], found.nearest_jaccard[0]) == (7, 1.0)
    assert [share.tolist() for share in found.seen_share.values()] == [[1.0, 0.0]] * 3


def test_no_match_reaches_from_one_tune_into_the_next():
    training = [np.array([1, 2, 3]), np.array([4, 5, 6])]
    found = overlap([np.array([2, 3, 4, 5])], training, (2, 3), nearest_length=2)
    assert found.longest_match.tolist() == [2]
    assert found.seen_share[2].tolist() == pytest.approx([2 / 3])
    assert found.seen_share[3].tolist() == [0.0]


def test_sequences_do_not_match_one_another():
    same = np.arange(50)
    assert overlap([same, same], [np.array([99, 98])]).longest_match.tolist() == [0, 0]


def test_repetition_longer_than_any_power_of_two_window():
    found = overlap([np.zeros(100, int)], [np.zeros(37, int), np.zeros(61, int)])
    assert found.longest_match.tolist() == [61]


def test_nothing_to_compare():
    found = overlap([np.array([1, 2, 3])], [], (2,), nearest_length=2)
    assert found.longest_match.tolist() == [0]
    assert found.seen_share[2].tolist() == [0.0]
    assert found.nearest.tolist() == [-1]
    empty = overlap([np.array([], int)], [np.array([1, 2, 3])], (2,), nearest_length=2)
    assert empty.longest_match.tolist() == [0]
    assert np.isnan(empty.seen_share[2]).all()
    assert np.isnan(empty.nearest_jaccard).all()
    assert len(overlap([], [np.array([1])]).longest_match) == 0


def looped_notes(events):
    """Intervals and durations, step by step."""
    notes, sounding = [], False
    for event in events:
        if event >= 0:
            notes.append([event, 1])
            sounding = True
        elif event == -1:
            sounding = False
        elif sounding:
            notes[-1][1] += 1
    return [[b[0] - a[0], a[1]] for a, b in itertools.pairwise(notes)]


@pytest.mark.parametrize("seed", range(5))
def test_intervals_and_durations_equal_a_loop(seed):
    rng = np.random.default_rng([seed])
    events = np.where(rng.random(200) < 0.5, -2, rng.integers(-2, 12, 200))
    events = np.where(events >= 0, events + 60, events)
    assert intervals_and_durations(events).tolist() == looped_notes(events)
    assert len(looped_notes(events)) > 20


@pytest.mark.parametrize("events", [[], [-2, -2], [-1], [60], [-2, 60, -2, -1]])
def test_fewer_than_two_notes_have_no_interval(events):
    assert intervals_and_durations(np.array(events, int)).shape == (0, 2)


def test_a_transposed_copy_is_found_by_its_intervals_alone():
    rng = np.random.default_rng([0])
    training = [np.where(rng.random(200) < 0.5, -2, rng.integers(55, 80, 200)) for _ in range(10)]
    copy = np.where(training[4] >= 0, training[4] + 5, training[4])
    as_events = overlap([copy], training, (8,))
    as_notes = overlap(
        [intervals_and_durations(copy)], [intervals_and_durations(t) for t in training], (8,)
    )
    assert as_events.longest_match[0] < 20
    assert as_notes.longest_match[0] == len(intervals_and_durations(copy))
    assert as_notes.nearest[0] == 4


def make_notes(rows):
    start, pitch, is_drum = np.array(rows, np.int64).reshape(-1, 3).T
    return Notes(start, start + 1, pitch, is_drum.astype(bool), 4, 16)


def test_note_symbols_by_hand():
    # A chord in any order, a drum between, and a note after it.
    rows = [(4, 67, 0), (4, 60, 0), (0, 62, 0), (5, 36, 1), (7, 65, 0)]
    assert note_symbols(make_notes(rows)).tolist() == [[-2, 4], [7, 0], [-2, 3]]
    moved = [(start + 16, pitch if drum else pitch + 3, drum) for start, pitch, drum in rows]
    np.testing.assert_array_equal(note_symbols(make_notes(moved)), note_symbols(make_notes(rows)))
    assert note_symbols(make_notes([])).shape == (0, 2)
    assert note_symbols(make_notes(rows[:1])).shape == (0, 2)


def test_generated_stand_beside_held_out_of_no_greater_length():
    rng = np.random.default_rng([0])
    training = [rng.integers(0, 4, 400) for _ in range(5)]
    generated = [training[1][10:110], rng.integers(0, 4, 100)]
    held_out = [np.concatenate([rng.integers(0, 4, 100), training[0]]) for _ in range(3)]
    metrics = memorisation_metrics(generated, held_out, training, (8,))
    assert sorted(metrics) == sorted(
        f"{metric}{suffix}"
        for suffix in ("", "_held_out")
        for metric in ("longest_match", "longest_match_max", "nearest_jaccard", "seen_share_8")
    )
    assert metrics["longest_match_max"] == 100
    # What the held-out tunes copy lies beyond the length that they are cut to.
    assert metrics["longest_match_max_held_out"] < 20
    found = overlap(generated, training, (8,))
    assert metrics["longest_match"] == found.longest_match.mean()
    assert metrics["seen_share_8"] == found.seen_share[8].mean()
    assert metrics["nearest_jaccard"] == found.nearest_jaccard.mean()


def test_seven_hundred_thousand_events_take_seconds():
    rng = np.random.default_rng([0])
    steps = rng.choice([-2, -2, -2, 60, 62, 64, 65, 67], (3500, 200))
    began = time.process_time()
    overlap(list(rng.choice([-2, -2, 60, 62, 64], (16, 250))), list(steps))
    assert time.process_time() - began < 12  # 1.4 s alone; anything quadratic takes minutes
