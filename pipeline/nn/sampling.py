"""Sequences from a model of the next class: sampling, top-k, and beam search, in one loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# (class chosen last, row it goes on from), each [rows] -> logits of the next class [rows, classes].
NextLogits = Callable[[np.ndarray, np.ndarray], np.ndarray]


def sample_sequences(
    first_logits: np.ndarray,
    next_logits: NextLogits,
    num_steps: int,
    beam_size: int,
    temperature: float,
    top_k: int,
    rng: np.random.Generator,
    top_p: float = 1.0,
) -> np.ndarray:
    """Draws sequences of classes; each is the best of its own beam of hypotheses.

    At each step each hypothesis branches into `beam_size` classes, drawn without replacement from
    softmax(logits / temperature) over the kept classes; of a sequence's branches the `beam_size`
    most probable (by the model itself, at temperature 1) live on. So beam_size 1 is plain sampling,
    and temperature 0 is the usual beam search, which gives the same for every sequence.

    Args:
      first_logits: of the first class. Shape [sequences * beam_size, classes]; the hypotheses of
        one sequence lie next to each other and start equal.
      next_logits: see NextLogits; is called num_steps - 1 times.
      num_steps: classes to draw for each sequence, >= 1.
      beam_size: hypotheses a sequence, 1..classes.
      temperature: >= 0; 0 takes the most probable classes.
      top_k, top_p: see kept_classes.
      rng: of the draws.

    Returns:
      int64 classes. Shape [sequences, num_steps].

    Raises:
      ValueError: if an argument is out of its range.

    Source: beams that branch by sampling, magenta models/shared/events_rnn_model.py and
      common/beam_search.py; without replacement by the Gumbel top-k, Kool et al. 2019, section 2.3.
    """
    rows, num_classes = first_logits.shape
    if num_steps < 1:
        raise ValueError(f"{num_steps=} is below 1.")
    if not 1 <= beam_size <= num_classes or rows % beam_size:
        raise ValueError(f"{beam_size=} does not fit logits of shape {first_logits.shape}.")
    # Equal hypotheses would branch equally: all but the first of each beam start impossible.
    log_probability = np.where(np.arange(rows) % beam_size == 0, 0.0, -np.inf)
    first_row = np.arange(0, rows, beam_size)[:, None]
    history = np.zeros((rows, 0), np.int64)
    logits = first_logits
    while True:
        classes, gains = branches(logits, beam_size, temperature, top_k, rng, top_p)
        scores = (log_probability[:, None] + gains).reshape(-1, beam_size * beam_size)
        # Stable, so that ties fall the same way everywhere.
        kept = np.argsort(-scores, axis=1, kind="stable")[:, :beam_size]
        log_probability = np.take_along_axis(scores, kept, axis=1).reshape(-1)
        parents = (first_row + kept // beam_size).reshape(-1)
        classes = classes[parents, (kept % beam_size).reshape(-1)]
        history = np.concatenate([history[parents], classes[:, None]], axis=1)
        if history.shape[1] == num_steps:
            return history[::beam_size]
        logits = next_logits(classes, parents)


def branches(
    logits: np.ndarray,
    count: int,
    temperature: float,
    top_k: int,
    rng: np.random.Generator,
    top_p: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `count` different classes a row, and tells the model's log-probability of each.

    Args:
      logits: Shape [rows, classes].
      count: 1..classes.
      temperature, top_k, rng, top_p: see sample_sequences.

    Returns:
      classes, int64, and their log-probabilities at temperature 1; -inf for those that are not
      kept. Shape [rows, count] each, the first drawn first.

    Raises:
      ValueError: if an argument is out of its range.
    """
    if temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
        raise ValueError(f"{temperature=} and {top_k=} must not be negative, {top_p=} in (0, 1].")
    gains = _log_softmax(logits.astype(np.float64))
    keys = _log_softmax(gains / temperature) if temperature else gains
    keys = kept_classes(keys, top_k, top_p, np)
    gains = np.where(np.isfinite(keys), gains, -np.inf)
    if temperature:
        keys = keys + rng.gumbel(size=logits.shape)
    drawn = np.argsort(-keys, axis=1, kind="stable")[:, :count]
    return drawn, np.take_along_axis(gains, drawn, axis=1)


def kept_classes(log_p: Any, top_k: int, top_p: float, xp: Any) -> Any:
    """Log-probabilities with -inf for the classes that are not to be drawn.

    Args:
      log_p: at the temperature of the draw. Shape [..., classes].
      top_k: the likeliest so many are kept, and what is as likely as the last; 0 keeps all.
      top_p: the fewest likeliest are kept whose probabilities add up to it, 0 < top_p <= 1.
      xp: numpy, or keras.ops: the same formula for both loops.

    Returns:
      Shape of log_p; not renormalized.

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1.
    """
    num_classes = log_p.shape[-1]
    if not 0 < top_k < num_classes and top_p >= 1:
        return log_p
    descending = -xp.sort(-log_p, axis=-1)
    least = descending[..., min(top_k or num_classes, num_classes) - 1][..., None]
    if top_p < 1:
        p = xp.exp(descending)
        is_needed = xp.cumsum(p, axis=-1) - p < top_p
        least = xp.maximum(least, xp.min(xp.where(is_needed, descending, np.inf), -1)[..., None])
    return xp.where(log_p >= least, log_p, -np.inf)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
