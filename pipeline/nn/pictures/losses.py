"""What generators of pictures and their discriminators are told, and what tells how far they are.

All are plain functions of tensors, on any backend of Keras.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def of_discriminator(kind: str, of_real: Any, of_fake: Any) -> Any:
    """The discriminator's loss, a scalar.

    Args:
      kind: "logistic": cross-entropy in nats, of real and of drawn pictures each; "wasserstein":
        minus the difference of their mean logits.
      of_real, of_fake: logits. Shape [batch].

    Source: Goodfellow et al. 2014, equation 1; Arjovsky et al. 2017, equation 2.
    """
    if kind == "wasserstein":
        return ops.mean(of_fake) - ops.mean(of_real)
    return ops.mean(ops.softplus(-of_real)) + ops.mean(ops.softplus(of_fake))


def of_generator(kind: str, of_fake: Any) -> Any:
    """The generator's loss, a scalar; "logistic" is the non-saturating one.

    Source: Goodfellow et al. 2014, section 3; Arjovsky et al. 2017, algorithm 1.
    """
    return -ops.mean(of_fake) if kind == "wasserstein" else ops.mean(ops.softplus(-of_fake))


def thumbnails(pictures: Any) -> Any:
    """Means over the cells of a grid of 8 by 8: [batch, size, size, 3] to [batch, 192]."""
    size = pictures.shape[1]
    cells = ops.reshape(pictures, (-1, _CELLS, size // _CELLS, _CELLS, size // _CELLS, 3))
    return ops.reshape(ops.mean(cells, axis=(2, 4)), (-1, 3 * _CELLS**2))


_CELLS = 8


def energy_scores(real: Any, first: Any, second: Any) -> Any:
    """|first - real| / 2 + |second - real| / 2 - |first - second| / 2, of each row.

    Its expectation over independent draws is the energy score of the distribution drawn from.

    Args:
      real: what came. Shape [batch, features].
      first, second: two draws for the same condition, same shape.

    Returns:
      Shape [batch].

    Source: Gneiting and Raftery 2007, equation 22.
    """
    norms = [
        ops.sqrt(ops.sum(ops.square(a - b), axis=-1))
        for a, b in ((first, real), (second, real), (first, second))
    ]
    return 0.5 * (norms[0] + norms[1] - norms[2])
