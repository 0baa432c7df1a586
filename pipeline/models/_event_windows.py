"""Performance events to windows of one length: random, varied crops to train on, all to judge by.

A recipe's windows all have the same shape, so that nothing is compiled twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.models.base import Likelihood, Shards, read_records

START = 0  # what precedes the first event; event i is given as i + 1


@dataclass(frozen=True)
class Kinds:
    """Where each kind of performance event begins; note-ons begin at 0."""

    note_off: int
    shift: int
    velocity: int
    max_shift_steps: int

    @classmethod
    def of(cls, shards: Shards) -> Kinds:
        options = shards.options
        num_pitches = options["max_pitch"] - options["min_pitch"] + 1
        velocity = 2 * num_pitches + options["max_shift_steps"]
        return cls(num_pitches, 2 * num_pitches, velocity, options["max_shift_steps"])


def performances(shards: Shards, split: str) -> list[np.ndarray]:
    """The events of each record: int32, in the shards' order. A whole MAESTRO is 100 MB."""
    records = read_records(shards, split, ("events",)).as_numpy_iterator()
    return [record["events"].astype(np.int32) for record in records]


def training_batches(
    shards: Shards,
    window_steps: int,
    batch_size: int,
    max_transpose_semitones: int,
    stretches: tuple[float, ...],
    seed: int,
) -> tf.data.Dataset:
    """Random crops for ever: (what precedes each event, events, 1 for events and 0 for padding).

    Each crop is drawn anew: its place, around every event alike, its transposition, as far as its
    pitches stay in the vocabulary, and its stretch. The draw depends on the seed and on the crop's
    number alone.

    Args:
      shards: a corpus of the codec performance.
      window_steps: length of a crop, in events.
      batch_size: crops in a batch.
      max_transpose_semitones: most semitones up or down; 0 for none.
      stretches: factors of time, one of which is drawn; (1.0,) for none.
      seed: of the draws.
    """
    kinds = Kinds.of(shards)
    events = performances(shards, "train")
    lengths = np.array([len(e) for e in events])
    ends = np.cumsum(lengths)

    def crop(number: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([seed, int(number)])
        # The event in a crop's middle, as far as the performance goes: so some begin at its start,
        # as samples do.
        place = int(rng.integers(ends[-1]))
        index = int(np.searchsorted(ends, place, side="right"))
        begin = place - int(ends[index] - lengths[index]) - window_steps // 2
        begin = max(min(begin, int(lengths[index]) - window_steps), 0)
        semitones = int(rng.integers(-max_transpose_semitones, max_transpose_semitones + 1))
        stretch = stretches[int(rng.integers(len(stretches)))]
        # A compressed crop has fewer events: what is more than enough is cut off again.
        margin = window_steps // 8 if stretch < 1 else 0
        own = events[index][max(begin - 1, 0) : begin + window_steps + margin]
        varied = transposed(stretched(own, kinds, stretch), kinds, semitones)
        return _window(varied, window_steps, has_context=begin > 0)

    def row(number: tf.Tensor) -> tf.Tensor:
        window = tf.numpy_function(crop, [number], tf.int32, stateful=False)
        return tf.ensure_shape(window, (2, window_steps))

    rows = tf.data.Dataset.counter().map(
        row, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return rows.batch(batch_size, drop_remainder=True).map(_as_batch)


def held_out_batches(
    shards: Shards, split: str, window_steps: int, batch_size: int
) -> tf.data.Dataset:
    """Every event of a split once, as in `training_batches`; the last batch is filled with padding.

    A performance is cut into windows that overlap by half, and an event counts where half a window
    precedes it, or all that there is.
    """
    windows = np.stack([w for w, _ in _windows(performances(shards, split), window_steps)])
    missing = -len(windows) % batch_size
    filling = np.stack([np.zeros_like(windows[0, 0]), np.full_like(windows[0, 1], -1)])
    windows = np.concatenate([windows, np.repeat(filling[None], missing, axis=0)])
    return tf.data.Dataset.from_tensor_slices(windows).batch(batch_size, True).map(_as_batch)


def likelihood(
    model: Any,
    shards: Shards,
    split: str,
    window_steps: int,
    batch_size: int,
    use_other_history: bool = False,
) -> Likelihood:
    """What a model gives to each performance of a split.

    Args:
      model: ids [batch, window_steps] -> logits.
      shards, split: the performances.
      window_steps, batch_size: as in held_out_batches.
      use_other_history: what precedes each event is taken from the next performance instead.
    """
    events = performances(shards, split)
    histories = [*events[1:], events[0]] if use_other_history else events
    rows = list(_windows(events, window_steps, histories))
    totals = np.zeros((3, len(events)))
    score = _scoring(model)
    for begin in range(0, len(rows), batch_size):
        part = rows[begin : begin + batch_size]
        # Always a full batch: one shape is compiled once.
        filled = [part[i % len(part)][0] for i in range(batch_size)]
        given, targets, weights = _as_batch(tf.constant(np.stack(filled)))
        scores = [x.numpy() for x in score(given, targets, weights)]
        for i, (_, index) in enumerate(part):
            totals[:, index] += [score[i] for score in scores]
    nll, num_events, num_correct = totals
    return Likelihood(nll, num_events.astype(np.int64), num_correct.astype(np.int64))


def stretched(events: np.ndarray, kinds: Kinds, factor: float) -> np.ndarray:
    """The same events with all times multiplied, rounded to steps anew.

    Args:
      events: ids. Shape [events].
      kinds: of the ids.
      factor: 0.95 plays 5 % faster.

    Returns:
      Ids; time-shifts are as few as can be.
    """
    if factor == 1:
        return events
    is_shift = (events >= kinds.shift) & (events < kinds.velocity)
    times = np.cumsum(np.where(is_shift, events - kinds.shift + 1, 0))
    times = np.floor(times * factor + 0.5).astype(np.int64)
    total = times[-1] if len(times) else 0
    kept, times = events[~is_shift], np.append(times[~is_shift], total)
    gaps = np.diff(times, prepend=0)
    num_shifts = -(-gaps // kinds.max_shift_steps)
    ends = np.cumsum(num_shifts + 1) - 1  # where each kept event stands; the last is the total's
    result = np.full(ends[-1] + 1, kinds.velocity - 1, events.dtype)
    result[ends[:-1]] = kept
    rest = gaps - (num_shifts - 1) * kinds.max_shift_steps
    result[(ends - 1)[gaps > 0]] = (kinds.shift + rest - 1)[gaps > 0]
    return result[:-1]


def transposed(events: np.ndarray, kinds: Kinds, semitones: int) -> np.ndarray:
    """The same events higher or lower, as far as all pitches stay in the vocabulary."""
    is_pitch = events < kinds.shift
    pitches = events[is_pitch] % kinds.note_off
    if not len(pitches):
        return events
    semitones = int(np.clip(semitones, -pitches.min(), kinds.note_off - 1 - pitches.max()))
    return np.where(is_pitch, events + semitones, events)


def _windows(
    events: list[np.ndarray], window_steps: int, histories: list[np.ndarray] | None = None
) -> Iterator[tuple[np.ndarray, int]]:
    """(what precedes and events, -1 where an event does not count; performance)."""
    stride = window_steps // 2
    for index, own in enumerate(events):
        history = own if histories is None else np.resize(histories[index], len(own))
        for begin in range(0, max(len(own) - stride, 1), stride):
            part = slice(max(begin - 1, 0), begin + window_steps)
            window = _window(history[part], window_steps, begin > 0)
            targets = own[begin : begin + window_steps].copy()
            targets[: window_steps - stride if begin else 0] = -1
            window[1, : len(targets)] = targets
            window[1, len(targets) :] = -1
            yield window, index


def _window(events: np.ndarray, window_steps: int, has_context: bool) -> np.ndarray:
    """What precedes each event as i + 1, and the events, -1 beyond the end. [2, window_steps]."""
    before, own = (events[:1] + 1, events[1:]) if has_context else (np.array([START]), events)
    own = own[:window_steps]
    window = np.zeros((2, window_steps), np.int32)
    window[1] = -1
    window[0, : len(own)] = np.concatenate([before, own[:-1] + 1])
    window[1, : len(own)] = own
    return window


def _as_batch(windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    given, targets = windows[:, 0], windows[:, 1]
    return given, tf.maximum(targets, 0)[..., None], tf.cast(targets >= 0, tf.float32)


def _scoring(model: Any) -> Any:
    from pipeline.models._event_likelihood import event_nll, is_event_likeliest

    @tf.function
    def score(given: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
        logits = model(given, training=False)
        nll, correct = event_nll(targets, logits), is_event_likeliest(targets, logits)
        return [tf.reduce_sum(x * weights, axis=1) for x in (nll, tf.ones_like(nll), correct)]

    return score
