"""The probability of an event under a softmax in which several labels may mean the same event.

An encoding with repeats has a label for "as one bar ago" beside that of the event itself. What is
heard is the event, so its probability is the sum over the labels that mean it. Training on that sum
rather than on one of the labels, and judging by it, makes the encodings comparable with each other
and with an n-gram over events.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class EventNll(keras.losses.Loss):
    """The mean of `event_nll` over the events, padding left out by its weight of 0."""

    def __init__(self) -> None:
        super().__init__(name="event_nll", reduction="mean_with_sample_weight")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return event_nll(y_true, y_pred)


def event_nll(targets: Any, logits: Any) -> Any:
    """-log p of each event, in nats.

    Args:
      targets: the event's own class, then the class of what each label of repeats means there.
        Shape [..., 1 + repeats].
      logits: the labels of repeats come last. Shape [..., classes + repeats].

    Returns:
      Shape [...].
    """
    targets = ops.cast(targets, "int32")
    num_repeats = targets.shape[-1] - 1
    log_p = ops.log_softmax(logits, axis=-1)
    own = ops.one_hot(targets[..., 0], logits.shape[-1], dtype=log_p.dtype)
    log_own = ops.sum(own * log_p, axis=-1)
    if not num_repeats:
        return -log_own
    is_same = targets[..., 1:] == targets[..., :1]
    repeats = ops.where(is_same, log_p[..., -num_repeats:], -1e9)
    return -ops.logsumexp(ops.concatenate([log_own[..., None], repeats], axis=-1), axis=-1)


def is_event_likeliest(targets: Any, logits: Any) -> Any:
    """1.0 where no other event is more probable. Shapes as `event_nll`."""
    targets = ops.cast(targets, "int32")
    num_repeats = targets.shape[-1] - 1
    num_classes = logits.shape[-1] - num_repeats
    p = ops.softmax(logits, axis=-1)
    events = p[..., :num_classes]
    for i in range(num_repeats):
        meant = ops.one_hot(targets[..., 1 + i], num_classes, dtype=p.dtype)
        events = events + meant * p[..., num_classes + i, None]
    return ops.cast(ops.argmax(events, axis=-1) == targets[..., 0], "float32")
