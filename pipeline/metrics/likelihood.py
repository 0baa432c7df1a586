"""How probable a model makes held-out events: the numbers every sequence model is compared by."""

from __future__ import annotations

import numpy as np

from pipeline.metrics.comparison import paired_bootstrap_ratio


def likelihood_metrics(
    nll: np.ndarray,
    num_events: np.ndarray,
    num_correct: np.ndarray,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, float]:
    """nll, perplexity and accuracy an event, each with a 95 % bootstrap interval over examples.

    Args:
      nll: sum of -log p over an example's events, in nats, 0 or more. Shape [examples].
      num_events: events of an example. Shape [examples].
      num_correct: its events whose most probable class is the right one. Shape [examples].
      num_resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      "nll" (nats an event), "perplexity" (exp of it, in classes) and "accuracy" (share of events),
      each also with "_low" and "_high"; NaN if there are no events.

    Example:
      >>> metrics = likelihood_metrics(np.array([2.0, 4.0]), np.array([2, 4]), np.array([1, 2]))
      >>> metrics["nll"], metrics["nll_low"], metrics["accuracy_high"]
      (1.0, 1.0, 0.5)
    """
    ends = ("", "_low", "_high")
    ratio = paired_bootstrap_ratio(nll, num_events, 0.95, num_resamples, seed)
    accuracy = paired_bootstrap_ratio(num_correct, num_events, 0.95, num_resamples, seed)
    return {
        **{f"nll{end}": value for end, value in zip(ends, ratio, strict=True)},
        **{f"perplexity{end}": float(np.exp(v)) for end, v in zip(ends, ratio, strict=True)},
        **{f"accuracy{end}": value for end, value in zip(ends, accuracy, strict=True)},
    }
