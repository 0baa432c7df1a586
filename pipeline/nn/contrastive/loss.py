"""The normalised temperature-scaled cross entropy between two views of each example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

_NEVER = -1e9  # a logit that takes no part


def nt_xent(temperature: float) -> Callable[[Any, Any], Any]:
    """The loss by which a view is to find the other view of its example among a batch's views.

    Args:
      temperature: cosines are divided by it.

    Returns:
      (numbers [batch], projections [batch, 2, size]) -> loss an example, nats, [batch]. Examples of
      one number are the same picture: they are no negatives of each other.

    Source: Chen et al. 2020, "A simple framework for contrastive learning of visual
    representations", equation 1.
    """

    def loss(numbers: Any, projections: Any) -> Any:
        projections = ops.cast(projections, "float32")
        size = projections.shape[-1]
        views = ops.reshape(ops.normalize(projections, axis=-1, epsilon=1e-6), (-1, size))
        logits = ops.matmul(views, ops.transpose(views)) / temperature  # [2 batch, 2 batch]
        numbers = ops.repeat(ops.reshape(numbers, (-1,)), 2)
        each = ops.arange(ops.shape(views)[0])
        other = each + 1 - 2 * (each % 2)
        is_positive = ops.equal(each, other[:, None])
        is_same = ops.equal(numbers, numbers[:, None])
        is_left = ops.logical_or(is_positive, ops.logical_not(is_same))
        logits = ops.where(is_left, logits, _NEVER)
        found = ops.sum(ops.where(is_positive, logits, 0.0), axis=1)
        losses = ops.logsumexp(logits, axis=1) - found
        return ops.mean(ops.reshape(losses, (-1, 2)), axis=1)

    return loss
