"""How well classes are told apart: accuracy where there is one, ranking where there are many."""

from __future__ import annotations

import numpy as np


def correct(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Whether the most probable class is the right one, the first of equals.

    Args:
      probabilities: Shape [examples, classes].
      targets: exactly one 1 in a row. Shape [examples, classes].

    Returns:
      float64, 0 or 1. Shape [examples].
    """
    return (probabilities.argmax(axis=1) == targets.argmax(axis=1)).astype(np.float64)


def balanced_accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """The mean over the classes that occur of the share of each that is found.

    Args:
      probabilities: Shape [examples, classes].
      targets: exactly one 1 in a row. Shape [examples, classes].
    """
    found, counts = correct(probabilities, targets) @ targets, targets.sum(axis=0)
    return float((found[counts > 0] / counts[counts > 0]).mean())


def ranking(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Means over the tags that some examples have and others have not.

    Args:
      probabilities: Shape [examples, tags].
      targets: 0 or 1. Shape [examples, tags].

    Returns:
      roc_auc: that an example with the tag stands above one without it. 0.5 by chance.
      average_precision: the area under precision by recall; by chance the share with the tag.
      Both NaN where there is no such tag.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    both = [i for i, share in enumerate(targets.mean(axis=0)) if 0 < share < 1]
    scores = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}
    return {
        name: float(np.mean([score(targets[:, i], probabilities[:, i]) for i in both]))
        if both
        else float("nan")
        for name, score in scores.items()
    }
