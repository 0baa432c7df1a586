"""An accompaniment below a given melody, by sampling only what leaves the melody as it is.

At each event the classes that would miss, move or cover a note of the melody are taken out; where a
note of it is due, its events are set. So any model of performance events harmonizes, without being
trained to, and each sample holds the melody note for note.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.models.base import Request
from pipeline.nn.sampling import branches

_MAX_VOICES = 5  # that sound at once below the melody


def harmonized(decoder: Any, request: Request, vocabulary: Any) -> list[np.ndarray]:
    """The melody with an accompaniment drawn from a model.

    Args:
      decoder: a CachedDecoder of `request.num` rows.
      request: `melody` holds performance events; temperature, top_k, top_p, seed as usual.
      vocabulary: of the events: note_off, shift, velocity (first ids), max_shift_steps.

    Returns:
      For each row its events; the melody's notes and times are those of `request.melody`.
    """
    rng = np.random.default_rng(request.seed)
    rows = [_Row(request.melody, vocabulary) for _ in range(request.num)]
    while not all(row.is_done for row in rows):
        allowed = np.stack([row.allowed() for row in rows])
        logits = np.where(allowed, decoder.next_logits(), -np.inf)
        events, _ = branches(logits, 1, request.temperature, request.top_k, rng, request.top_p)
        taken = [row.take(int(event)) for row, event in zip(rows, events[:, 0], strict=True)]
        decoder.append(np.array(taken, np.int64))
    return [np.array(row.events, np.int64) for row in rows]


class _Row:
    """One sample in the making: what sounds, what is due, and so what may follow."""

    def __init__(self, melody: Sequence[int], vocabulary: Any):
        self.v = vocabulary
        self.due = _timed(melody, vocabulary)
        self.num_classes = vocabulary.num_classes
        self.events: list[int] = []
        self.is_done = not self.due
        self._began: dict[int, int] = {}  # accompanying pitch -> step of its onset
        self._melody_pitches: list[int] = []  # one may sound twice
        self._step, self._velocity = 0, -1
        self._ended_now: set[int] = set()

    def allowed(self) -> np.ndarray:
        """Which events may come next. Shape [classes]."""
        mask = np.zeros(self.num_classes, bool)
        if self.is_done:  # other rows go on; what is drawn here is not kept
            mask[self.v.shift] = True
            return mask
        forced = self._forced()
        if forced is not None:
            mask[forced] = True
            return mask
        v = self.v
        # Too long ones as well, for `take` cuts them: without them the rest is drawn far too often.
        mask[v.shift : v.velocity] = True
        for pitch, began in self._began.items():
            mask[v.note_off + pitch] = began < self._step
        if len(self._began) < _MAX_VOICES:
            mask[: self._ceiling()] = True
            mask[[*self._began, *self._melody_pitches, *self._ended_now]] = False
        is_new_velocity = not self.events or self.events[-1] < v.velocity
        if is_new_velocity and mask[: v.note_off].any():
            mask[v.velocity :] = True
        return mask

    def take(self, event: int) -> int:
        """Takes the event that was drawn, a shift only up to what is due; gives what it took."""
        if self.is_done:
            return event
        v, is_forced = self.v, self._forced() is not None
        if v.shift <= event < v.velocity:
            event = min(event, v.shift + self.due[0][0] - self._step - 1)
        self.events.append(event)
        if event >= v.velocity:
            self._velocity = event
        elif event >= v.shift:
            self._step += event - v.shift + 1
            self._ended_now.clear()
        elif event - v.note_off in self._began:
            del self._began[event - v.note_off]
            self._ended_now.add(event - v.note_off)
        elif is_forced:
            self._take_melody(event)
        else:
            self._began[event] = self._step
        self.is_done = not self.due and not self._began
        return event

    def _forced(self) -> int | None:
        """The event that must come now, if one must."""
        v = self.v
        if not self.due:  # the melody has ended: what still sounds is ended with it
            return v.note_off + next(iter(self._began))
        step, event, velocity = self.due[0]
        if step > self._step:
            return None
        if event < v.note_off:
            for pitch in self._began:
                if pitch >= event:  # the accompaniment gives way
                    return v.note_off + pitch
            if velocity >= 0 and velocity != self._velocity:
                return velocity
        return event

    def _take_melody(self, event: int) -> None:
        self.due.popleft()
        if event < self.v.note_off:
            self._melody_pitches.append(event)
        elif event - self.v.note_off in self._melody_pitches:
            self._melody_pitches.remove(event - self.v.note_off)

    def _ceiling(self) -> int:
        """Accompanying pitches stay below what the melody sounds, or sounds next."""
        coming = [event for _, event, _ in self.due if event < self.v.note_off][:1]
        return min([*self._melody_pitches, *coming], default=0)


def _timed(melody: Sequence[int], v: Any) -> deque[tuple[int, int, int]]:
    """(step, note-on or note-off, velocity event in force or -1) of a melody, in its order."""
    timed: deque[tuple[int, int, int]] = deque()
    step, velocity = 0, -1
    for event in melody:
        if event >= v.velocity:
            velocity = event
        elif event >= v.shift:
            step += event - v.shift + 1
        else:
            timed.append((step, event, velocity))
    return timed
