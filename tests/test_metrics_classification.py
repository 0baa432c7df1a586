"""Accuracy and ranking against scikit-learn, and what stands in the tables by hand."""

import csv

import numpy as np
import pytest
from sklearn import metrics

from pipeline import classification as stage
from pipeline.metrics import classification
from pipeline.models.base import Labelled, Measure


@pytest.mark.parametrize("seed", range(20))
def test_accuracies_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng([seed])
    num, classes = int(rng.integers(1, 60)), 5
    actual = rng.choice(4, num, p=[0.7, 0.1, 0.1, 0.1])  # one class never occurs
    found = rng.random((num, classes)).round(1)  # with ties
    right = classification.correct(found, np.eye(classes)[actual])
    predicted = found.argmax(axis=1)
    assert set(right) <= {0.0, 1.0}
    assert right.mean() == metrics.accuracy_score(actual, predicted)
    recalls = metrics.recall_score(
        actual, predicted, average=None, labels=np.unique(actual), zero_division=np.nan
    )
    balanced = classification.balanced_accuracy(found, np.eye(classes)[actual])
    assert balanced == pytest.approx(np.mean(recalls))
    if set(predicted) <= set(actual):  # of others scikit-learn warns
        assert balanced == pytest.approx(metrics.balanced_accuracy_score(actual, predicted))


def test_accuracies_by_hand():
    found = np.array([[0.5, 0.5], [0.1, 0.9], [0.6, 0.4], [0.7, 0.3]])  # the first of equals
    targets = np.eye(2)[[0, 1, 1, 0]]
    assert classification.correct(found, targets).tolist() == [1, 1, 0, 1]
    assert classification.balanced_accuracy(found, targets) == (1 + 1 / 2) / 2


@pytest.mark.parametrize("seed", range(10))
def test_rankings_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng([seed, 1])
    targets = (rng.random((40, 6)) < 0.3).astype(int)
    targets[0], targets[1] = 0, 1
    found = (rng.random((40, 6)) + 0.3 * targets).round(1)
    own = classification.ranking(found, targets)
    assert own["roc_auc"] == pytest.approx(metrics.roc_auc_score(targets, found, average="macro"))
    expected = metrics.average_precision_score(targets, found, average="macro")
    assert own["average_precision"] == pytest.approx(expected)


def test_rankings_leave_out_tags_that_all_or_none_have():
    targets = np.array([[0, 1, 0], [1, 1, 0], [0, 1, 0]])
    found = np.array([[0.2, 0.1, 0.3], [0.8, 0.2, 0.9], [0.9, 0.3, 0.1]])
    own = classification.ranking(found, targets)
    assert own == {"roc_auc": 0.5, "average_precision": 0.5}  # second of three
    nothing = classification.ranking(found[:, 1:], targets[:, 1:])
    assert all(np.isnan(value) for value in nothing.values())


def test_by_chance_a_ranking_is_a_half():
    rng = np.random.default_rng(0)
    targets = np.repeat(np.eye(2), [900, 100], axis=0)[:, 1:]
    own = classification.ranking(rng.random((1000, 1)), targets)
    assert own["roc_auc"] == pytest.approx(0.5, abs=0.06)
    assert own["average_precision"] == pytest.approx(0.1, abs=0.05)


# --- the stage's tables --------------------------------------------------------------------------


def labelled(targets):
    groups = np.array([b"a", b"a", b"b", b"c"])[: len(targets)]
    return Labelled(np.zeros(len(targets)), np.asarray(targets), groups, ("Jazz", "Rock"))


def ratio(measure: Measure) -> float:
    return measure.numerators.sum() / measure.denominators.sum()


def test_the_margin_is_over_the_best_baseline_by_hand():
    test = labelled(np.eye(2)[[0, 0, 1, 1]])
    own = np.eye(2)[[0, 0, 1, 0]]  # 3 of 4
    majority, histograms = np.eye(2)[[1, 1, 1, 1]], np.eye(2)[[0, 1, 0, 0]]  # 2 of 4, 1 of 4
    found = stage._accuracies(test, own, {"majority": majority, "roll_histograms": histograms})
    assert {key: value if key == "balanced_accuracy" else ratio(value)
            for key, value in found.items()} == {
        "accuracy": 0.75,
        "accuracy_margin": 0.25,
        "accuracy_above_majority": 0.25,
        "balanced_accuracy": 0.75,
        "accuracy_majority": 0.5,
        "accuracy_roll_histograms": 0.25,
    }  # fmt: skip
    better = {"majority": majority, "roll_histograms": np.eye(2)[[0, 0, 1, 1]]}
    found = stage._accuracies(test, own, better)
    assert ratio(found["accuracy_margin"]) == -0.25
    assert ratio(found["accuracy_above_majority"]) == 0.25
    assert found["accuracy_margin"].numerators.tolist() == [0, 0, 0, -1]
    assert found["accuracy_margin"].groups.tolist() == [b"a", b"a", b"b", b"c"]


def test_rankings_stand_beside_their_baselines():
    test = labelled([[0, 1], [1, 0], [0, 1]])
    own, other = np.array([[0.1, 0.9], [0.9, 0.1], [0.2, 0.8]]), np.full((3, 2), 0.5)
    found = stage._rankings(test, own, {"majority": other})
    assert found == {
        "roc_auc": 1.0,
        "average_precision": 1.0,
        "roc_auc_majority": 0.5,
        "average_precision_majority": pytest.approx((1 / 3 + 2 / 3) / 2),
    }


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_confusion_has_a_row_an_example(tmp_path):
    path = tmp_path / "plots" / "confusion.csv"
    test = labelled(np.eye(2)[[0, 1, 1]])
    stage.write_confusion(path, test, np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]]))
    assert rows(path) == [["actual", "predicted"], ["Jazz", "Jazz"], ["Rock", "Jazz"],
                          ["Rock", "Rock"]]  # fmt: skip
    stage.write_confusion(path, None, np.zeros(0))
    assert rows(path) == [["actual", "predicted"]]


def test_verdicts_have_a_row_a_sample(tmp_path):
    from types import SimpleNamespace

    shards = SimpleNamespace(options={"genres": ["Jazz", "Rock"]})
    path = tmp_path / "verdicts.csv"
    stage.write_verdicts(path, shards, np.array([[0.25, 0.75], [0.99996, 0.00004]]))
    assert rows(path) == [["sample", "heard", "probability"], ["0", "Rock", "0.7500"],
                          ["1", "Jazz", "1.0000"]]  # fmt: skip
    stage.write_verdicts(path, None, np.zeros((0, 0)))
    assert rows(path) == [["sample", "heard", "probability"]]
