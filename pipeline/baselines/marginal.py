"""How often each class is, whatever came before: the least that a model of sequences must beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.errors import PipelineError


@dataclass(frozen=True)
class Baseline:
    """What the marginal gives to the test split.

    Attributes:
      nll: sum of -log p over a test example's events, in nats. Shape [examples].
      num_events: Shape [examples].
      num_correct: events of the most frequent class. Shape [examples].
      table: mean nll of an event, in nats, by (smoothing, order); the order is 1.
    """

    nll: np.ndarray
    num_events: np.ndarray
    num_correct: np.ndarray
    table: dict[tuple[str, int], float]


def evaluate(train: list[np.ndarray], test: list[np.ndarray], num_classes: int) -> Baseline:
    """Counts the classes of the training split, and measures them on the test split.

    Args:
      train: class ids in 0..num_classes - 1, one array an example. Shape [events] each.
      test: as train; at least one event.
      num_classes: size of the vocabulary.

    Raises:
      PipelineError: the test split has no events.
    """
    if not sum(map(len, test)):
        raise PipelineError(
            f"test={len(test)} examples without an event; a marginal is measured on at least one. "
            "Give the corpus more items, or its test split a larger share."
        )
    p = probabilities(train, num_classes)
    nll = np.array([-np.log(p)[example].sum() for example in test])
    lengths = np.array([len(example) for example in test], np.int64)
    right = np.array([(example == p.argmax()).sum() for example in test], np.int64)
    return Baseline(nll, lengths, right, {("plus one", 1): float(nll.sum() / lengths.sum())})


def probabilities(train: list[np.ndarray], num_classes: int) -> np.ndarray:
    """Relative frequencies, each class counted once more than it occurs. Shape [num_classes].

    Source: Laplace's rule of succession.
    """
    counts = np.ones(num_classes)
    for example in train:
        counts += np.bincount(example, minlength=num_classes)
    return counts / counts.sum()
