"""Events from a decoder that remembers: compiled loops of many steps, or one step at a time.

A decoder is a layer that has
  num_classes;
  window_steps: the most inputs it takes; None for no end;
  initial_state(num_rows, capacity) -> tensors;
  grown(state, capacity) -> the same with more room;
  step(inputs [rows], position, state) -> logits [rows, num_classes], state;
its input 0 stands for the start, and i + 1 for event i. nn/transformer and nn/recurrent have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from pipeline.nn.compiled import compiled
from pipeline.nn.sampling import kept_classes

_MIN_ROWS_HALVED = 8  # from so many on, two loops side by side take less time than one (measured)
_BLOCK = 128  # steps of one compiled loop; the room for events starts with it and is doubled


class CachedDecoder:
    """Rows of events that grow together; where the window is full, its second half is kept.

    So each event is drawn from at least half a window of what precedes it, as held-out events are
    judged (models/_event_windows.py).

    Args:
      decoder: see above.
      num_rows: rows side by side.
    """

    def __init__(self, decoder: Any, num_rows: int):
        self.decoder, self.num_rows = decoder, num_rows
        self.events = np.zeros((num_rows, 0), np.int64)
        self._position = 0  # inputs taken; the next is the event before, or the start
        self._state: Any = None
        self._reset()

    def extend(self, events: np.ndarray) -> None:
        """Goes on with known events. Shape [rows, events]."""
        for begin in range(0, events.shape[1], _BLOCK):
            block = events[:, begin : begin + _BLOCK]
            noise = np.zeros((0, self.num_rows, self.decoder.num_classes), np.float32)
            self._run(block.shape[1], block, noise, 1.0, 0, 1.0)

    def draw(
        self,
        num_events: int,
        temperature: float,
        top_k: int,
        top_p: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Draws events for each row; equal to drawing them from `next_logits` one by one.

        Args:
          num_events: how many.
          temperature: >= 0; 0 takes the most probable classes.
          top_k, top_p: see nn.sampling.kept_classes.
          rng: of the Gumbel noise.

        Returns:
          int64 [rows, num_events].
        """
        begin = self.events.shape[1]
        no_events = np.zeros((self.num_rows, 0), np.int64)
        for done in range(0, num_events, _BLOCK):
            num = min(_BLOCK, num_events - done)
            shape = (num, self.num_rows, self.decoder.num_classes)
            noise = rng.gumbel(size=shape) if temperature else np.zeros(shape)
            self._run(num, no_events, noise, temperature or 1.0, top_k, top_p)
        return self.events[:, begin:]

    def next_logits(self) -> np.ndarray:
        """Logits of the event that `append` will add. Shape [rows, num_classes]."""
        self._make_room(1)
        logits, self._state = _compiled_step(self.decoder)(
            self._inputs(), _scalar(self._position), self._state
        )
        self._position += 1
        return ops.convert_to_numpy(logits)

    def append(self, events: np.ndarray) -> None:
        """Adds an event to each row, whose logits `next_logits` has given. Shape [rows]."""
        self.events = np.concatenate([self.events, events[:, None]], axis=1)

    def reorder(self, parents: np.ndarray) -> None:
        """Makes each row a copy of its parent. Shape [rows]."""
        self.events = self.events[parents]
        self._state = [ops.take(x, parents, axis=0) for x in self._state]

    def _reset(self) -> None:
        self._position = 0
        self._capacity = min(_BLOCK, self.decoder.window_steps or _BLOCK)
        self._state = self.decoder.initial_state(self.num_rows, self._capacity)

    def _run(
        self,
        num_steps: int,
        known: np.ndarray,
        noise: np.ndarray,
        temperature: float,
        top_k: int,
        top_p: float,
    ) -> None:
        """Steps through known events, or draws as many; in parts, where the window ends."""
        while num_steps:
            num = self._make_room(num_steps)
            shape = (_BLOCK, self.num_rows)
            forced = np.full(shape, -1, np.int32)
            forced[: known[:, :num].shape[1]] = known[:, :num].T
            filled = np.zeros((*shape, self.decoder.num_classes), np.float32)
            filled[: len(noise[:num])] = noise[:num]
            found = self._looped(num, forced, filled, temperature, _Kept(top_k, top_p))
            self.events = np.concatenate([self.events, found], axis=1)
            self._position += num
            known, noise, num_steps = known[:, num:], noise[num:], num_steps - num

    def _looped(
        self, num: int, known: np.ndarray, noise: np.ndarray, temperature: float, kept: _Kept
    ) -> np.ndarray:
        """A compiled loop of so many steps: int64 [rows, num]."""
        loop, inputs = _compiled_loop(self.decoder, kept), self._inputs()
        numbers = _scalar(self._position), _scalar(num)
        scale = np.array(1 / temperature, np.float32)

        def run(rows: slice) -> tuple[Any, list[Any]]:
            state = [x[rows] for x in self._state]
            return loop(inputs[rows], *numbers, known[:, rows], noise[:, rows], scale, state)

        half = self.num_rows // 2
        parts = [slice(None)]
        if self.num_rows >= _MIN_ROWS_HALVED and self.num_rows == 2 * half:
            parts = [slice(0, half), slice(half, None)]
        with ThreadPoolExecutor(len(parts)) as threads:
            events, states = zip(*threads.map(run, parts), strict=True)
        self._state = [_joined(part, axis=0) for part in zip(*states, strict=True)]
        return ops.convert_to_numpy(_joined(events, axis=1))[:num].T.astype(np.int64)

    def _inputs(self) -> Any:
        if not self.events.shape[1]:
            return np.zeros(self.num_rows, np.int32)
        return (self.events[:, -1] + 1).astype(np.int32)

    def _make_room(self, num_steps: int) -> int:
        """How many of the steps can be taken as the state then is: 1 or more."""
        window = self.decoder.window_steps
        if window is not None and self._position == window:
            self._slide(window // 2)
        needed = self._position + num_steps
        while self._capacity < min(needed, window or 0):
            self._capacity = min(2 * self._capacity, window)
            self._state = self.decoder.grown(self._state, self._capacity)
        return num_steps if window is None else min(num_steps, window - self._position)

    def _slide(self, num_kept: int) -> None:
        events = self.events
        self.events = events[:, :-num_kept]
        self._reset()
        self.extend(events[:, -num_kept:])


def _scalar(value: int) -> np.ndarray:
    """An array: a plain number would be compiled in, and each other one anew."""
    return np.array(value, np.int32)


@cache
def _compiled_step(decoder: Any) -> Any:
    return compiled(decoder.step)


class _Kept(NamedTuple):
    """See nn.sampling.kept_classes."""

    top_k: int
    top_p: float


def _joined(parts: Sequence[Any], axis: int) -> Any:
    return ops.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]


@cache
def _compiled_loop(decoder: Any, kept: _Kept) -> Any:
    """Up to _BLOCK steps; each takes the known event, or the likeliest after noise."""

    def loop(
        inputs: Any, position: Any, num_steps: Any, known: Any, noise: Any, scale: Any, state: Any
    ) -> tuple[Any, Any]:
        def body(i: Any, inputs: Any, events: Any, *state: Any) -> tuple[Any, ...]:
            logits, new_state = decoder.step(inputs, position + i, list(state))
            log_p = kept_classes(ops.log_softmax(logits * scale, axis=-1), *kept, ops)
            drawn = ops.cast(ops.argmax(log_p + noise[i], axis=-1), "int32")
            event = ops.where(known[i] >= 0, known[i], drawn)
            events = ops.slice_update(events, (i, 0), event[None])
            return (i + 1, event + 1, events, *new_state)

        first = (ops.zeros((), "int32"), inputs, ops.zeros(known.shape, "int32"), *state)
        _, _, events, *state = ops.while_loop(lambda i, *_: i < num_steps, body, first)
        return events, list(state)

    return compiled(loop)
