"""What the networks of the CycleGAN are trained by, and what tells how far they came.

Source: Brunner et al. 2018, equations 1 to 8; Mao et al. 2017 (least-squares GAN).
"""

from __future__ import annotations

from typing import Any

from keras import ops


def least_squares(scores: Any, target: float) -> Any:
    """Mean of (score - target)^2 of each example: float32 [batch, patches] -> [batch]."""
    return ops.mean(ops.square(scores - target), axis=-1)


def discriminator_loss(real: Any, fake: Any) -> Any:
    """Half the sum of what real phrases fall short of 1 and generated ones of 0. Shape [batch]."""
    return 0.5 * (least_squares(real, 1.0) + least_squares(fake, 0.0))


def reconstruction_loss(rolls: Any, logits: Any, kind: str, positive_weight: float) -> Any:
    """How far a roll is from what was to give it again.

    Args:
      rolls: 0 or 1. Shape [batch, steps, pitches, tracks].
      logits: same shape.
      kind: "l1", of probabilities, as in the paper; or "cross_entropy", in nats, whose gradient
        does not vanish where the generator is sure and wrong.
      positive_weight: of cells that sound in `rolls`; few of all cells do, so that with 1 silence
        is nearly as good as the right notes.

    Returns:
      The weighted mean over cells. Shape [batch].
    """
    if kind == "l1":
        errors = ops.abs(ops.sigmoid(logits) - rolls)
    else:
        errors = ops.softplus(logits) - rolls * logits
    weights = 1.0 + (positive_weight - 1.0) * rolls
    return ops.mean(weights * errors, axis=(1, 2, 3))


def content_loss(rolls: Any, logits: Any, positive_weight: float) -> Any:
    """How far what the pitched tracks sound together is from what they sounded before.

    Who plays a note, and all that the drums do, is left to the genre.

    Args:
      rolls: of the source, 0 or 1; the drums are the first of several tracks. Shape [batch, steps,
        pitches, tracks].
      logits: of what is made of it, same shape.
      positive_weight: see reconstruction_loss.

    Returns:
      The cross-entropy in nats of whether any track sounds a pitch, weighted mean. Shape [batch].
    """
    first = int(rolls.shape[-1] > 1)
    sounded = ops.max(rolls[..., first:], axis=-1)
    silence = ops.maximum(ops.sum(ops.softplus(logits[..., first:]), axis=-1), 1e-6)
    errors = positive_weight * sounded * -ops.log(-ops.expm1(-silence)) + (1 - sounded) * silence
    return ops.mean(errors, axis=(1, 2))


def binarized(probabilities: Any) -> Any:
    """0 or 1 at the threshold of 0.5, with the gradient of what was given.

    Source: Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons",
    section 4 (straight-through).
    """
    hard = ops.cast(probabilities > 0.5, probabilities.dtype)
    return probabilities + ops.stop_gradient(hard - probabilities)


def profile(rolls: Any, steps_per_bar: int) -> Any:
    """What a phrase is like: how much sounds at which step of a bar, and how high.

    Args:
      rolls: 0 or 1. Shape [batch, steps, pitches, tracks].
      steps_per_bar: of its steps.

    Returns:
      For each track the number of pitches at each step of a bar, the mean of its bars, and the
      part of the phrase for which each pitch sounds, in steps of a bar.
      Shape [batch, (steps_per_bar + pitches) * tracks].
    """
    steps, pitches, tracks = rolls.shape[1:]
    by_step = ops.reshape(
        ops.sum(rolls, axis=2), (-1, steps // steps_per_bar, steps_per_bar * tracks)
    )
    by_pitch = ops.reshape(ops.mean(rolls, axis=1), (-1, pitches * tracks))
    return ops.concatenate([ops.mean(by_step, axis=1), steps_per_bar * by_pitch], axis=-1)


def energy_distance(first: Any, second: Any, weights: Any) -> Any:
    """How far two samples' distributions are apart: 2 E|x - y| - E|x - x'| - E|y - y'|, 0 or more.

    Args:
      first, second: float32 [examples, features].
      weights: of the examples of both. Shape [examples].

    Source: Szekely and Rizzo 2013, "Energy statistics", section 2.
    """
    shares = weights / ops.maximum(1e-6, ops.sum(weights))  # a device may have but filling
    return (
        2 * _mean_distance(first, second, shares)
        - _mean_distance(first, first, shares)
        - _mean_distance(second, second, shares)
    )


def cell_error(rolls: Any, others: Any, weights: Any) -> Any:
    """The number of cells in which rolls of 0 and 1 differ, for each that sounds in the first.

    Args:
      rolls, others: float32 [batch, steps, pitches, tracks].
      weights: of the phrases. Shape [batch].
    """
    axes = (1, 2, 3)
    wrong = ops.sum(weights * ops.sum(ops.abs(rolls - others), axis=axes))
    return wrong / ops.maximum(1.0, ops.sum(weights * ops.sum(rolls, axis=axes)))


def _mean_distance(first: Any, second: Any, shares: Any) -> Any:
    squares = ops.sum(ops.square(first[:, None] - second[None]), axis=-1)
    return ops.sum(shares[:, None] * shares[None] * ops.sqrt(squares))
