"""Content and style of a spectrogram, as one layer of random filters sees it, with the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def random_filters(width: int, num_channels: int, num_filters: int, seed: int) -> np.ndarray:
    """He's normal initialization. float32 [width, num_channels, num_filters]."""
    draws = np.random.default_rng(seed).standard_normal(
        (width, num_channels, num_filters), dtype=np.float32
    )
    return draws * np.float32(np.sqrt(2 / (width * num_channels)))


def responses(spectrogram: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Rectified convolution along time, without padding; the bins are channels.

    Args:
      spectrogram: Shape [frames, bins].
      filters: Shape [width, bins, filters].

    Returns:
      At least 0. Shape [frames - width + 1, filters].
    """
    count = len(spectrogram) - len(filters) + 1
    total = spectrogram[:count] @ filters[0]
    for lag in range(1, len(filters)):
        total += spectrogram[lag : lag + count] @ filters[lag]
    return np.maximum(total, 0, out=total)


def gram(features: np.ndarray) -> np.ndarray:
    """What filters respond together, whenever it is: [filters, filters], a mean over frames."""
    return features.T @ features / np.asarray(len(features), features.dtype)


@dataclass(frozen=True)
class TextureLoss:
    """How far a spectrogram is from the content of one song and the style of another.

    Attributes:
      filters: as in `responses`.
      content: responses to the notes' song. Shape [frames, filters].
      style: `gram` of the responses to the sound's song. Shape [filters, filters].
      style_weight: of the style's error; the content's has weight 1. Both errors are squared and
        relative, so that the weight means the same for all songs and numbers of filters.
    """

    filters: np.ndarray
    content: np.ndarray
    style: np.ndarray
    style_weight: float

    def __call__(self, spectrogram: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss, and its gradient: the spectrogram's shape [frames, bins]."""
        features = responses(spectrogram, self.filters)
        away = features - self.content
        unlike = gram(features) - self.style
        of_content = 1 / np.square(self.content).sum(dtype=np.float64)
        of_style = self.style_weight / np.square(self.style).sum(dtype=np.float64)
        loss = of_content * np.vdot(away, away) + of_style * np.vdot(unlike, unlike)
        slope = away * away.dtype.type(2 * of_content)
        slope += (features @ unlike) * away.dtype.type(4 * of_style / len(features))
        slope *= features > 0
        gradient = np.zeros_like(spectrogram)
        for lag, kernel in enumerate(self.filters):
            gradient[lag : lag + len(slope)] += slope @ kernel.T
        return float(loss), gradient
