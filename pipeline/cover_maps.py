"""Maps by t-SNE: what lies near each other there was alike before. Pure functions of vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics.probe import NUM_NEIGHBOURS

if TYPE_CHECKING:
    from openTSNE import TSNEEmbedding

MIN_POINTS = 8
_PLACING_ITERATIONS = 250
_PLACING_PERPLEXITY = 5
_COLOUR_BINS = (4, 8, 8)  # of lightness, green to red, blue to yellow
_COLOUR_RANGES = ((0.0, 100.0), (-100.0, 100.0), (-110.0, 100.0))  # all of sRGB lies within


def embedded(
    vectors: np.ndarray,
    num_dimensions: int,
    perplexity: float,
    num_iterations: int,
    early_exaggeration_iterations: int,
    seed: int,
) -> TSNEEmbedding:
    """Fits a t-SNE map; equal input gives equal bytes, as one thread computes all of it.

    Args:
      vectors: what is near there is to be near here; Euclidean. Shape [points, size].
      num_dimensions: of the map, 2 or 3.
      perplexity: about as many neighbours count, above 1; lowered to a third of the points.
      num_iterations: of the descent.
      early_exaggeration_iterations: before these, in which what is alike is drawn together more.
      seed: of the initial places, which are those of the principal components.

    Returns:
      float64 [points, num_dimensions], which `placed` can put further points into.

    Raises:
      ValueError: there are fewer than 8 points, or a vector is not finite.

    Source: van der Maaten and Hinton 2008; gradients by Barnes and Hut (van der Maaten 2014), as
    interpolation by FFT is not there in three dimensions.
    """
    import openTSNE

    if len(vectors) < MIN_POINTS or not np.isfinite(vectors).all():
        raise ValueError(f"points={len(vectors)}: a map needs {MIN_POINTS}, and finite vectors.")
    return openTSNE.TSNE(
        n_components=num_dimensions,
        perplexity=min(perplexity, (len(vectors) - 1) / 3),
        early_exaggeration_iter=early_exaggeration_iterations,
        n_iter=num_iterations,
        neighbors="exact",
        negative_gradient_method="bh",
        n_jobs=1,
        random_state=seed,
    ).fit(_wide(vectors))


def placed(embedding: TSNEEmbedding, vectors: np.ndarray) -> np.ndarray:
    """Puts new points into a map that stays as it is; each goes where its nearest lie.

    Args:
      embedding: from `embedded`.
      vectors: of the same kind as those that the map was made of. Shape [points, size].

    Returns:
      float64 [points, dimensions of the map].

    Source: Poličar, Stražar and Zupan 2021, Embedding to reference t-SNE space.
    """
    found = embedding.transform(
        _wide(vectors), perplexity=_PLACING_PERPLEXITY, n_iter=_PLACING_ITERATIONS
    )
    return np.asarray(found)


def placed_agreement(
    points: np.ndarray, labels: np.ndarray, others: np.ndarray, other_labels: np.ndarray
) -> tuple[float, float]:
    """How often the points nearest to placed ones have their label, and how often any point has.

    Args:
      points: of a map. Shape [points, dimensions].
      labels: of these; "" where it is not known, which is then no neighbour. Shape [points].
      others: placed among them. Shape [others, dimensions].
      other_labels: that these should have; "" leaves one out. Shape [others].

    Returns:
      Shares in 0..1: of the NUM_NEIGHBOURS nearest, and of all; NaN where nothing has a label.
    """
    points, labels = points[labels != ""], labels[labels != ""]
    others, other_labels = others[other_labels != ""], other_labels[other_labels != ""]
    if not len(points) or not len(others):
        return float("nan"), float("nan")
    same = other_labels[:, None] == labels
    nearest = [
        np.argsort(((points - other) ** 2).sum(1), kind="stable")[:NUM_NEIGHBOURS]
        for other in others
    ]
    share = np.take_along_axis(same, np.stack(nearest), axis=1).mean()
    return float(share), float(same.mean())


def colour_vector(picture: np.ndarray) -> np.ndarray:
    """How much of a picture has which colour, wherever it stands.

    A histogram over CIE L*a*b*, in which a colour counts for the eight bins around it by nearness;
    roots are taken, so that Euclidean distances are Hellinger's.

    Args:
      picture: uint8 sRGB. Shape [height, width, 3].

    Returns:
      float64 [256], of length 1.
    """
    colours = lab(picture).reshape(-1, 3)
    counts = np.zeros(_COLOUR_BINS)
    low, high = np.array(_COLOUR_RANGES).T
    bins = np.array(_COLOUR_BINS)
    places = np.clip((colours - low) / (high - low), 0, 1) * (bins - 1)
    floors = np.minimum(np.floor(places).astype(int), bins - 2)
    for corner in np.ndindex(2, 2, 2):
        weights = np.abs(1 - np.array(corner) - (places - floors)).prod(1)
        np.add.at(counts, tuple((floors + corner).T), weights)
    return np.sqrt(counts.reshape(-1) / len(colours))


def lab(picture: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of sRGB under D65.

    Args:
      picture: uint8. Shape [..., 3].

    Returns:
      float64: L* in 0..100, a* in -86..98, b* in -108..95. Same shape.

    Source: IEC 61966-2-1 for the curve and the matrix; CIE 15, section 8.2.1.
    """
    share = picture / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ_OF_RGB.T / _XYZ_OF_RGB.sum(1)  # white is 1, 1, 1
    bent = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(bent, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


_XYZ_OF_RGB = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def _wide(vectors: np.ndarray) -> np.ndarray:
    """With zeros up to three columns: principal components are the map's initial places."""
    return np.pad(vectors.astype(np.float64), ((0, 0), (0, max(0, 3 - vectors.shape[1]))))
