"""A recurrent network of events one step at a time: history to input, label to event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.codecs.base import EventEncoding


class EventSampler:
    """The network one step at a time, on rows that each have a history of their own.

    Args:
      model: with a RecurrentStack named "recurrent" under a layer named "logits".
      encoding: what the network is given after a history, and what its labels mean.
      num_rows: histories side by side.
    """

    def __init__(self, model: keras.Model, encoding: EventEncoding, num_rows: int):
        self._stack = model.get_layer("recurrent")
        self._next = _step_function(model)
        self._encoding = encoding
        self._state = self._stack.initial_state(num_rows)
        self._events: list[list[int]] = [[] for _ in range(num_rows)]

    def after_primer(self, primer: Sequence[int]) -> np.ndarray:
        """Logits of the event that follows the primer. Shape [rows, classes]."""
        size = self._stack.input_size
        logits = self._advance(np.zeros((len(self._events), size), np.float32))
        for event in primer:
            logits = self._append([event] * len(self._events))
        return logits

    def next_logits(self, labels: np.ndarray, parents: np.ndarray) -> np.ndarray:
        """Appends a label to each row, which first becomes a copy of its parent."""
        if (parents != np.arange(len(parents))).any():
            self._state = [tf.gather(state, parents) for state in self._state]
            self._events = [list(self._events[parent]) for parent in parents]
        events = [
            self._encoding.event(int(x), y) for x, y in zip(labels, self._events, strict=True)
        ]
        return self._append(events)

    def _append(self, events: list[int]) -> np.ndarray:
        vectors = np.zeros((len(events), self._stack.input_size), np.float32)
        for row, history, event in zip(vectors, self._events, events, strict=True):
            history.append(event)
            row[: self._encoding.input_size] = self._encoding.inputs(history)
        return self._advance(vectors)

    def _advance(self, vectors: np.ndarray) -> np.ndarray:
        logits, self._state = self._next(vectors, self._state)
        return logits.numpy()


def with_labels(encoding: EventEncoding, primer: Sequence[int], labels: np.ndarray) -> np.ndarray:
    """The primer and what the labels mean after it: int64 events."""
    events = list(primer)
    for label in labels:
        events.append(encoding.event(int(label), events))
    return np.array(events, np.int64)


def _step_function(model: keras.Model) -> Callable[..., Any]:
    stack, logits = model.get_layer("recurrent"), model.get_layer("logits")

    @tf.function
    def step(vectors: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        outputs, state = stack.step(vectors, state)
        return logits(outputs), state

    return step
