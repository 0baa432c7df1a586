"""Samples beside references and contrasts, by hand; intervals over what belongs together."""

import math
from types import SimpleNamespace

import note_seq
import numpy as np
import pytest

from pipeline import evaluate, musical_comparison, registry
from pipeline.example import Example
from pipeline.metrics import comparison
from pipeline.models.base import Measure

NAN = float("nan")


class Settings:
    seed = 5

    def evaluate_options(self):
        return SimpleNamespace(num_resamples=500, num_references=3)


def arrays(**sets):
    """Metric "a", "b", ... of each set, as the columns are given."""
    return {
        which: {name: np.array(row, float) for name, row in zip("abcd", rows, strict=False)}
        for which, rows in sets.items()
    }


def test_nearer_is_by_the_distance_of_means_to_trainings():
    values = arrays(
        generated=[[1, 3], [0, 0], [5, 5], [NAN, NAN]],
        held_out=[[9], [9], [9], [9]],
        training=[[2, 4], [1, 1], [5, 5], [1, 1]],
        untrained=[[6, 6], [2, 2], [5, 5], [2, 2]],  # farther; as far; as near; an undefined rival
        shuffled_notes=[[3, 3], [NAN, NAN], [4, 4], [NAN, NAN]],  # nearer; undefined; farther
    )
    assert musical_comparison._nearer(values) == {
        "num_metrics_nearer_than_untrained": 1,
        "num_metrics_nearer_than_shuffled_notes": 2,
        "num_metrics": 4,
    }


def test_nearer_leaves_out_pieces_in_which_a_metric_is_undefined():
    values = arrays(generated=[[NAN, 2]], held_out=[[9]], training=[[1, NAN, 3]], other=[[NAN, 3]])
    assert musical_comparison._nearer(values)["num_metrics_nearer_than_other"] == 1


def test_without_contrasts_nothing_is_counted():
    values = arrays(generated=[[1]], held_out=[[1]], training=[[1]])
    assert musical_comparison._nearer(values) == {}


def test_each_metric_stands_beside_references_and_contrasts():
    rng = np.random.default_rng(0)
    values = arrays(
        generated=[rng.normal(size=30)],
        held_out=[rng.normal(size=20)],
        training=[rng.normal(1, 2, size=25)],
        untrained=[[5, NAN, 7]],
    )
    found = musical_comparison._metrics(Settings(), values)
    generated, held_out, training = (
        values[which]["a"] for which in ("generated", "held_out", "training")
    )
    low, high = comparison.bootstrap_interval(generated, num_resamples=500, seed=5)
    assert found == {
        "a": pytest.approx(generated.mean()),
        "a_low": pytest.approx(low),
        "a_high": pytest.approx(high),
        "a_held_out": pytest.approx(held_out.mean()),
        "a_training": pytest.approx(training.mean()),
        "a_overlapped_area": comparison.overlapped_area(generated, training),
        "a_overlapped_area_held_out": comparison.overlapped_area(held_out, training),
        "a_untrained": 6.0,
    }
    assert low < generated.mean() < high


def test_references_are_as_many_as_asked_and_samples_all():
    sets = {which: list(range(9)) for which in ("generated", "held_out", "training", "untrained")}
    found = musical_comparison._few(Settings(), sets)
    assert {which: len(rows) for which, rows in found.items()} == {
        "generated": 9,
        "held_out": 3,
        "training": 3,
        "untrained": 9,
    }


@pytest.mark.parametrize(
    ("medium", "expected"), [("note_sequence", 9), ("audio", 3), ("picture", 3)]
)
def test_of_what_is_large_no_more_references_are_read_than_asked(medium, expected, monkeypatch):
    read = {"test": 0, "train": 0}

    def rows(shards, split):
        for index in range(9):
            read[split] += 1
            yield index

    codec = SimpleNamespace(medium=medium, decode=lambda record, options: record)
    monkeypatch.setattr(musical_comparison, "codec_of", lambda settings, shards: (codec, None))
    monkeypatch.setattr(musical_comparison, "records", rows)
    settings, recipe = Settings(), SimpleNamespace(references=None, contrasts={})
    settings.recipe_params = lambda name: None
    found = musical_comparison._sets(settings, "m", recipe, None, [*range(9)])
    assert {which: len(own) for which, own in found.items()} == {
        "generated": 9,
        "held_out": expected,
        "training": expected,
    }
    assert read == {"test": expected, "train": expected}


def piece(*pitches, genre=""):
    """A bar in which these pitches sound, a quarter each, on the piano, as long as two bars."""
    sequence = note_seq.NoteSequence(total_time=4.0)
    sequence.tempos.add(qpm=120)
    sequence.time_signatures.add(numerator=4, denominator=4)
    for index, pitch in enumerate(pitches):
        sequence.notes.add(
            pitch=pitch, velocity=80, start_time=0.5 * index, end_time=0.5 * (index + 1)
        )
    attributes = {"genre": genre} if genre else {}
    return Example("k", sequence.SerializeToString(), attributes=attributes)


def test_sets_are_measured_by_their_pairs():
    sets = {
        "generated": [piece(60, 62, genre="Jazz"), piece(60, 62, genre="Jazz"),
                      piece(60, 64, genre="Rock")],
        "held_out": [piece(60), piece(72)],
        "training": [piece(60, genre="Jazz")],
    }  # fmt: skip
    found = musical_comparison._of_sets(registry.metrics("pianoroll"), sets, 4)
    # Two of three pairs share a quarter of three that sound in either.
    expected = {
        "pairwise_distance": (0 + 2 / 3 + 2 / 3) / 3,
        "pairwise_distance_within_genre": 0,  # the pair of Jazz
        "pairwise_distance_held_out": 1,
        "pairwise_distance_within_genre_held_out": 1,  # of no genre, both
        "pairwise_distance_training": NAN,
        "pairwise_distance_within_genre_training": NAN,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, nan_ok=True), name
    assert musical_comparison._of_sets(registry.metrics("symbolic"), sets, 4) == {}


def test_values_hold_each_metric_of_each_piece_and_of_shuffled_notes():
    judge = registry.metrics("pianoroll")
    sets = {
        "generated": [piece(60)],
        "held_out": [piece(60, 62)],
        "training": [piece(60), piece(67)],
    }
    found = musical_comparison._values(Settings(), judge, sets, 4)
    assert list(found) == ["generated", "held_out", "training", "shuffled_notes"]
    assert [len(rows["empty_bar_rate_piano"]) for rows in found.values()] == [1, 1, 2, 2]
    assert found["training"]["empty_bar_rate_piano"].tolist() == [0.5, 0.5]
    assert found["held_out"]["num_pitch_classes_per_bar_piano"].tolist() == [2.0]
    again = musical_comparison._values(Settings(), judge, sets, 4)
    for which, rows in found.items():
        for name, row in rows.items():
            np.testing.assert_array_equal(row, again[which][name])


def test_what_is_undefined_becomes_null():
    assert [comparison.plain(x) for x in (NAN, math.inf, 1 / 3, 2, "x")] == [
        None, None, 0.333333, 2, "x",
    ]  # fmt: skip


# --- intervals -----------------------------------------------------------------------------------


def test_what_belongs_together_is_resampled_together():
    """As a loop over draws of whole songs does; by phrases the interval would be too narrow."""
    rng = np.random.default_rng(1)
    songs = np.repeat([b"c", b"a", b"b", b"d", b"e", b"f"], [1, 9, 4, 2, 8, 6])
    right = np.concatenate([np.full(n, x) for n, x in zip([1, 9, 4, 2, 8, 6], [1, 1, 0, 1, 0, 1],
                                                          strict=True)]).astype(float)  # fmt: skip
    order = rng.permutation(len(songs))
    measure = Measure.mean(right[order], songs[order])
    found = evaluate._ratios(Settings(), {"accuracy": measure})
    assert found["accuracy"] == pytest.approx(right.mean())
    names = np.unique(songs)
    sums, counts = (np.array([f(songs == name) for name in names]) for f in
                    (lambda own: right[own].sum(), lambda own: own.sum()))  # fmt: skip
    draws = np.random.default_rng([Settings.seed]).integers(0, 6, (500, 6))
    ratios = [sums[draw].sum() / counts[draw].sum() for draw in draws]
    assert found["accuracy_low"] == pytest.approx(np.quantile(ratios, 0.025))
    assert found["accuracy_high"] == pytest.approx(np.quantile(ratios, 0.975))
    alone = evaluate._ratios(Settings(), {"accuracy": Measure.mean(right)})
    width, narrow = (x["accuracy_high"] - x["accuracy_low"] for x in (found, alone))
    assert alone["accuracy"] == pytest.approx(found["accuracy"])
    assert width > 1.5 * narrow


def test_groups_add_numerators_and_denominators():
    measure = Measure(np.array([1.0, 2, 4]), np.array([1.0, 1, 3]), np.array(["b", "a", "b"]))
    numerators, denominators = evaluate._by_group(measure)
    assert (numerators.tolist(), denominators.tolist()) == ([2, 5], [1, 4])
    plain = Measure(measure.numerators, measure.denominators)
    assert evaluate._by_group(plain) == (plain.numerators, plain.denominators)


def test_plain_numbers_have_no_interval():
    found = evaluate._ratios(Settings(), {"x": 0.25, "y": Measure.mean(np.ones(3))})
    assert found == {"x": 0.25, "y": 1.0, "y_low": 1.0, "y_high": 1.0}
