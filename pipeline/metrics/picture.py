"""Metrics of samples that are pictures: their looks one by one, their variety, what is copied.

A metric without a meaning for the picture given (the hue of a grey one, the detail of an even one)
is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.metrics import _distances

MEDIUM = "picture"
THUMBNAIL_SIZE = 16
_EDGE_STEP = 0.1  # of luma in 0..1, from one pixel to the next: what is an edge
_BLOCK_SHARE = 16  # pictures are this many blocks wide; what is smaller than one is fine detail
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def content_of(example: Example, steps_per_beat: int) -> np.ndarray:
    """The picture of an example; it has no grid, so `steps_per_beat` says nothing.

    Raises:
      Rejected: no_picture.
    """
    if example.picture is None:
        raise Rejected("no_picture", f"the example has no picture ({example.key})")
    return example.picture


def musical_metrics(picture: np.ndarray) -> dict[str, float]:
    """What a picture looks like.

    - brightness: mean luma (ITU-R 601), 0..1;
    - contrast: standard deviation of luma, 0..0.5;
    - saturation: mean saturation of HSV, 0..1;
    - colourfulness: Hasler and Suesstrunk's, in levels of 255: 0 is grey, 33 moderately, 82 highly
      colourful;
    - colour_entropy_bits: of the pixels' counts in 4 x 4 x 4 cells of RGB, 0..6;
    - hue_concentration: how far the pixels have one hue, 0..1: length of the mean of their hues'
      directions, weighted by saturation times value; NaN for grey;
    - edge_density: share of the pixels where luma changes by 0.1 or more a pixel (Sobel);
    - fine_detail: share of luma's variance that is lost when each sixteenth of the width and height
      becomes its mean, 0..1; NaN where all is even.

    Args:
      picture: uint8 RGB. Shape [height, width, 3].

    Source: Hasler and Suesstrunk 2003, "Measuring colourfulness in natural images", equation 3;
    Sobel and Feldman 1968.
    """
    luma = picture @ (_LUMA / 255)
    hue_concentration, saturation = _hue_and_saturation(picture)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "saturation": saturation,
        "colourfulness": colourfulness(picture),
        "colour_entropy_bits": _colour_entropy_bits(picture),
        "hue_concentration": hue_concentration,
        "edge_density": float((_gradient(luma) >= _EDGE_STEP).mean()),
        "fine_detail": _fine_detail(luma),
    }


def set_metrics(pictures: Sequence[np.ndarray], genres: Sequence[str]) -> dict[str, float]:
    """How unlike the pictures of a set are.

    Args:
      pictures: uint8 RGB. Shape [height, width, 3] each.
      genres: not looked at.

    Returns:
      pairwise_rmse: the mean over all pairs of the root mean square difference of their thumbnails,
      in levels of 255; low where a GAN draws one picture for all.
    """
    return {"pairwise_rmse": _distances.mean_pairwise(thumbnails(pictures))}


def memorisation(
    generated: Iterable[np.ndarray],
    held_out: Iterable[np.ndarray],
    training: Iterable[np.ndarray],
) -> dict[str, float]:
    """Nothing: a copy of a cover is searched for among those of all albums, not of the references.

    The stage evaluate does so by what its judge sees (nearest_cover_distance), and the report's
    galleries show the nearest by thumbnail.
    """
    return {}


def thumbnails(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Pictures made small, so that Euclidean distance is root mean square difference.

    Args:
      pictures: uint8 RGB, of any size. Shape [height, width, 3] each.

    Returns:
      Each 16 x 16 x 3 levels of 255, area means, divided by the root of their number. float32
      [pictures, 768]: 3 KB a picture.
    """
    from PIL import Image

    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    rows = [
        np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)).reshape(-1)
        for picture in pictures
    ]
    stacked = np.array(rows, np.float32).reshape(len(rows), 3 * THUMBNAIL_SIZE**2)
    return stacked / np.float32(np.sqrt(stacked.shape[1]))


def nearest(own: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest known vector to each own one: its index, the first of equals, and how far.

    Args:
      own: Shape [own, dimensions].
      known: Shape [known, dimensions].

    Returns:
      int64 [own], and float64 [own], NaN where nothing is known.
    """
    if not len(known):
        return np.zeros(len(own), np.int64), np.full(len(own), np.nan)
    indices = np.zeros(len(own), np.int64)
    for rows, distances in _distances.blocks(own, known):
        indices[rows] = distances.argmin(axis=1)
    # Of each nearest pair exactly: a copy is at a distance of 0, not of what rounding leaves.
    difference = np.asarray(own, np.float64) - known[indices]
    return indices, np.linalg.norm(difference, axis=1)


def colourfulness(picture: np.ndarray) -> float:
    """How colourful a picture is seen to be; arguments and source as `musical_metrics`."""
    red, green, blue = np.moveaxis(picture.astype(np.float64), -1, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    deviation = np.sqrt((opponents.std(axis=(1, 2)) ** 2).sum())
    mean = np.sqrt((opponents.mean(axis=(1, 2)) ** 2).sum())
    return float(deviation + 0.3 * mean)


def _shuffled_pixels(picture: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Pixels moved about within the picture: its colours stay, its shapes are gone."""
    shuffled = rng.permutation(picture.reshape(-1, 3)).reshape(picture.shape)
    return musical_metrics(shuffled)


def _blurred(picture: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Each sixteenth of the width and height its mean: blobs, as of a GAN that draws no more."""
    rows, columns = (_blocks_of(length) for length in picture.shape[:2])
    means = _block_means(picture.astype(np.float64), rows, columns)
    return musical_metrics(np.rint(means[np.ix_(rows, columns)]).astype(np.uint8))


CONTRASTS: dict[str, Callable[[np.ndarray, np.random.Generator], dict[str, float]]] = {
    "shuffled_pixels": _shuffled_pixels,
    "blurred": _blurred,
}


def _hue_and_saturation(picture: np.ndarray) -> tuple[float, float]:
    """hue_concentration and saturation; the chroma is saturation times value of HSV."""
    levels = picture.astype(np.float64)
    high, chroma = levels.max(axis=-1), np.ptp(levels, axis=-1)
    saturation = np.divide(chroma, high, out=np.zeros_like(high), where=high > 0)
    red, green, blue = np.moveaxis(levels, -1, 0)
    safe = np.where(chroma > 0, chroma, 1)
    sextants = np.select(
        [high == red, high == green],
        [(green - blue) / safe, 2 + (blue - red) / safe],
        4 + (red - green) / safe,
    )
    directions = chroma * np.exp(1j * np.pi / 3 * sextants)
    total = chroma.sum()
    concentration = abs(directions.sum()) / total if total else np.nan
    return float(concentration), float(saturation.mean())


def _colour_entropy_bits(picture: np.ndarray) -> float:
    cells = (picture.reshape(-1, 3) // 64) @ np.array([16, 4, 1])
    shares = np.bincount(cells, minlength=64) / len(cells)
    return float(-sum(share * np.log2(share) for share in shares[shares > 0]))


def _gradient(luma: np.ndarray) -> np.ndarray:
    """Change of luma a pixel; the border is continued by its own values. Shape as `luma`."""
    padded = np.pad(luma, 1, mode="edge")
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:] - padded[:-2]
    x = (across[:-2] + 2 * across[1:-1] + across[2:]) / 8
    y = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 8
    return np.hypot(x, y)


def _fine_detail(luma: np.ndarray) -> float:
    variance = luma.var()
    if variance < 1e-12:  # rounding leaves this much of an even picture
        return float("nan")
    rows, columns = (_blocks_of(length) for length in luma.shape)
    means = _block_means(luma[..., None], rows, columns)[np.ix_(rows, columns)][..., 0]
    return float(((luma - means) ** 2).mean() / variance)


def _blocks_of(length: int) -> np.ndarray:
    """Number of the block that each pixel of an axis lies in. Shape [length]."""
    return np.arange(length) * min(_BLOCK_SHARE, length) // length


def _block_means(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Shape [height, width, channels] -> [blocks down, blocks across, channels]."""
    for axis, numbers in enumerate((rows, columns)):
        starts = np.searchsorted(numbers, np.arange(numbers[-1] + 1))
        counts = np.bincount(numbers)
        sums = np.add.reduceat(values, starts, axis=axis)
        values = sums / np.expand_dims(counts, [i for i in range(3) if i != axis])
    return values
