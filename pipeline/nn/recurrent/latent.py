"""Latent variables: what training asks of them, how that changes with the step, paths between."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def kl_divergence(mean: Any, scale: Any) -> Any:
    """KL(N(mean, scale^2) || N(0, 1)), in nats.

    Args:
      mean: Shape [batch, size].
      scale: standard deviations, > 0. Shape [batch, size].

    Returns:
      Shape [batch].

    Source: Kingma & Welling 2014, appendix B.
    """
    return 0.5 * ops.sum(ops.square(mean) + ops.square(scale) - 1 - 2 * ops.log(scale), axis=-1)


def excess_kl(kl: Any, free_bits: float) -> Any:
    """The part of each example's KL, in nats, that is above its free bits.

    Source: magenta models/music_vae/base_model.py, _compute_model_loss.
    """
    return ops.maximum(kl - free_bits * np.log(2), 0.0)


def annealed_beta(step: Any, max_beta: float, beta_rate: float) -> Any:
    """The weight of the KL at a step: max_beta (1 - beta_rate^step).

    Source: magenta models/music_vae/base_model.py, _compute_model_loss.
    """
    return max_beta * (1 - ops.power(beta_rate, ops.cast(step, "float32")))


def sampling_probability(step: Any, schedule: str, rate: float) -> Any:
    """How likely a step is given what was sampled, not what was there.

    Args:
      step: of the optimizer.
      schedule: "constant" (the rate), "inverse_sigmoid" (1 - k / (k + exp(step / k)), k the rate)
        or "none" (0).
      rate: see schedule.

    Source: Bengio et al. 2015, section 2.4; magenta models/music_vae/lstm_utils.py,
      get_sampling_probability.
    """
    if schedule == "none":
        return 0.0
    if schedule == "constant":
        return rate
    # As a sigmoid, since exp(step / rate) overflows.
    return ops.sigmoid(ops.cast(step, "float32") / rate - float(np.log(rate)))


class DecayToFloor(keras.optimizers.schedules.LearningRateSchedule):
    """floor + (initial - floor) rate^step.

    Source: magenta models/music_vae/base_model.py, build.
    """

    def __init__(self, initial: float, rate: float, floor: float):
        self.initial, self.rate, self.floor = initial, rate, floor

    def __call__(self, step: Any) -> Any:
        decayed = ops.power(self.rate, ops.cast(step, "float32"))
        return self.floor + (self.initial - self.floor) * decayed

    def get_config(self) -> dict[str, float]:
        return {"initial": self.initial, "rate": self.rate, "floor": self.floor}


def slerp(first: np.ndarray, second: np.ndarray, fraction: float) -> np.ndarray:
    """Spherical interpolation: turns from one vector to the other at a constant pace.

    Args:
      first, second: float. Shape [..., size].
      fraction: 0 gives the first, 1 the second.

    Returns:
      Shape [..., size].

    Source: Shoemake 1985; magenta models/music_vae/trained_model.py, interpolate.
    """
    norms = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (first, second)]
    dot = np.sum(first * second, axis=-1, keepdims=True)
    angle = np.arccos(np.clip(dot / np.maximum(norms[0] * norms[1], 1e-12), -1, 1))
    is_straight = np.sin(angle) < 1e-6  # parallel vectors do not say which way to turn
    sine = np.where(is_straight, 1.0, np.sin(angle))
    turned = (
        np.sin((1 - fraction) * angle) / sine * first + np.sin(fraction * angle) / sine * second
    )
    return np.where(is_straight, (1 - fraction) * first + fraction * second, turned)
