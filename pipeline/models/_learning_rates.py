"""Learning rates as functions of the step alone, which a resumed training goes on with."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def warmed_up(peak: float, warmup_steps: int, decay_steps: int) -> Any:
    """Rises from 0 to its peak, then falls to 0 along a cosine, or stays.

    Args:
      peak: the highest rate.
      warmup_steps: batches in which it rises; 0: it begins at its peak.
      decay_steps: batches in which it then falls; 0: it stays, and there is no rise.
    """
    if not decay_steps:
        return peak
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=decay_steps,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """Stays, then falls linearly to 0.

    Args:
      peak: the rate at first.
      begin: the step at which it begins to fall.
      end: the step at which it is 0; after `begin`.
    """

    def __init__(self, peak: float, begin: int, end: int):
        self.peak, self.begin, self.end = peak, begin, end

    def __call__(self, step: Any) -> Any:
        left = (self.end - ops.cast(step, "float32")) / max(1, self.end - self.begin)
        return self.peak * ops.clip(left, 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "begin": self.begin, "end": self.end}


class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to its peak, then falls as 1 / sqrt(step).

    Args:
      peak: the highest rate, reached at step `warmup_steps`.
      warmup_steps: 1 or more.

    Source: Vaswani et al. 2017, section 5.3.
    """

    def __init__(self, peak: float, warmup_steps: int):
        self.peak, self.warmup_steps = peak, warmup_steps

    def __call__(self, step: Any) -> Any:
        share = (ops.cast(step, "float32") + 1) / self.warmup_steps
        return self.peak * ops.minimum(share, ops.rsqrt(share))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}
