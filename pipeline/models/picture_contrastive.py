"""A judge of pictures trained on the covers themselves, without labels: SimCLR in small.

Its features are what Fréchet and kernel distances, neighbours and predictors of the condition are
computed of. Distances of its features cannot be compared with published FIDs, which are of an
Inception network's.

Two views of a cover are crops of it. Colours are not distorted, against the source: they are what
covers tell of the music, and a network that is trained to overlook them could not judge that.

Source: Chen et al. 2020, "A simple framework for contrastive learning of visual representations".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.models.base import Measure, Recipe, Shards, Training, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_ASPECTS = (3 / 4, 4 / 3)  # width over height of a crop, as the source's
_HISTOGRAM_LEVELS = 4  # a channel
_THUMBNAIL_SIZE = 8


class Params(Training):
    """What params.yaml sets for a network that judges pictures."""

    view_size: int = Field(ge=16, le=512, description="what the network sees, in pixels")
    conv_sizes: tuple[int, ...] = Field(
        min_length=1, description="channels of each layer; every one halves width and height"
    )
    feature_size: int = Field(ge=2, description="length of the vector that stands for a picture")
    projection_size: int = Field(ge=2, description="of what the loss compares")
    temperature: float = Field(gt=0, description="cosines are divided by it")
    min_area: float = Field(gt=0, le=1, description="smallest share of a cover that a crop shows")
    is_mirrored: bool = Field(description="whether half the views are mirrored: lettering, too")
    shuffle_window: int = Field(ge=1, description="records held in memory to be shuffled")
    num_measured: int = Field(
        ge=2, description="held-out covers at most that measures are taken of"
    )


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled ContrastiveNetwork; its rate falls along a cosine over all epochs."""
    import keras

    from pipeline.models import _learning_rates
    from pipeline.nn.contrastive.loss import nt_xent
    from pipeline.nn.contrastive.network import ContrastiveNetwork

    model = ContrastiveNetwork(
        params.view_size,
        params.conv_sizes,
        params.feature_size,
        params.projection_size,
        name="picture_contrastive",
    )
    num_steps = params.epochs * params.steps_per_epoch
    rate = _learning_rates.warmed_up(params.learning_rate, 0, num_steps)
    model.compile(keras.optimizers.Adam(rate), nt_xent(params.temperature), jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of (views [batch, 2, view_size, view_size, 3], numbers [batch], weights [batch]).

    The views are float32 in -1..1. Covers that are the same picture, as an album's tracks have,
    have the same number. The views of held-out covers are the same in each epoch.
    """
    import tensorflow as tf

    from pipeline.models import _batching
    from pipeline.nn.contrastive.network import resized

    if split == "train":
        records = _batching.shuffled_passes(
            shards, split, ("picture",), params.shuffle_window, seed
        )
    else:
        records = read_records(shards, split, ("picture",))

    def prepared(index: tf.Tensor, batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        key = tf.stack([tf.cast(seed, tf.int64), index])
        small = resized(batch["picture"], params.view_size)
        numbers = _numbers(small)
        return _views(small, params, key), numbers, tf.ones(tf.shape(numbers))

    numbered = records.batch(params.batch_size).enumerate()
    return numbered.map(prepared, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def encode(
    model: keras.Model, params: Params, shards: Shards, arrays: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Features of whole covers: those of the layer before the projection head.

    Args:
      model: as `build`.
      params: its params.
      shards: not looked at.
      arrays: picture, uint8 RGB [covers, size, size, 3] of any size.

    Returns:
      float32 [covers, feature_size].
    """
    found: np.ndarray = model.features(arrays["picture"])
    return found


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """How often a crop of a held-out cover leads to another crop of it: it is the nearest of all.

    view_accuracy by the network's features, view_accuracy_thumbnail by 8 x 8 pixels, and
    view_accuracy_margin what the network is better by. view_accuracy_histogram, by counts of
    4 x 4 x 4 colours, stands beside them: where each cover has colours of its own, as the
    miniature's, they alone tell all apart, but nothing of what is drawn. Covers that are the same
    picture count once.
    """
    from pipeline.nn.contrastive.network import resized

    small = resized(_distinct(shards, split, params.num_measured), params.view_size)
    views = np.moveaxis(_views(small, params, np.array([seed, 0])).numpy(), 1, 0)
    found = {
        "view_accuracy": _found([_features(model, params, x) for x in views]),
        "view_accuracy_histogram": _found([_histograms(x) for x in views]),
        "view_accuracy_thumbnail": _found([_thumbnails(x) for x in views]),
    }
    found["view_accuracy_margin"] = found["view_accuracy"] - found["view_accuracy_thumbnail"]
    return {name: Measure.mean(values) for name, values in found.items()}


RECIPE = Recipe(
    name="picture_contrastive",
    Params=Params,
    build=build,
    batches=batches,
    measures=measures,
    encode=encode,
    encoded_fields=("picture",),
    accepts=(),
)


def _numbers(small: tf.Tensor) -> tf.Tensor:
    """Index of the first picture in the batch that each is equal to. float32 [batch]"""
    import tensorflow as tf

    # Sums with random factors: to compare all pixels of all pairs would take gigabytes.
    levels = tf.cast(tf.round((small + 1) * 127.5), tf.int64)
    flat = tf.reshape(levels, [tf.shape(levels)[0], -1])
    factors = tf.random.stateless_uniform(tf.shape(flat)[1:], [0, 0], 0, 2**40, tf.int64)
    sums = tf.reduce_sum(flat * factors, axis=1)
    is_same = tf.cast(sums[:, None] == sums, tf.int32)
    return tf.cast(tf.argmax(is_same, axis=1), tf.float32)


def _views(small: tf.Tensor, params: Params, key: Any) -> tf.Tensor:
    """Two crops of each picture, drawn by the key; size = view_size.

    float32 [batch, size, size, 3] -> [batch, 2, size, size, 3]
    """
    import tensorflow as tf

    num = 2 * tf.shape(small)[0]
    drawn = tf.unstack(tf.random.stateless_uniform([5, num], key))
    area = params.min_area + (1 - params.min_area) * drawn[0]
    log_low, log_high = np.log(_ASPECTS)
    aspect = tf.exp(log_low + (log_high - log_low) * drawn[1])
    height, width = tf.minimum(1.0, tf.sqrt(area / aspect)), tf.minimum(1.0, tf.sqrt(area * aspect))
    top, left = drawn[2] * (1 - height), drawn[3] * (1 - width)
    right = left + width
    if params.is_mirrored:
        is_mirrored = drawn[4] < 0.5
        left, right = tf.where(is_mirrored, right, left), tf.where(is_mirrored, left, right)
    boxes = tf.stack([top, left, top + height, right], axis=1)
    size = params.view_size
    crops = tf.image.crop_and_resize(small, boxes, tf.range(num) // 2, (size, size))
    return tf.reshape(crops, (-1, 2, size, size, 3))


def _distinct(shards: Shards, split: str, num: int) -> np.ndarray:
    """The first so many different pictures of a split, in file order. uint8 [num, s, s, 3]"""
    found: dict[bytes, np.ndarray] = {}
    for record in read_records(shards, split, ("picture",)).as_numpy_iterator():
        found.setdefault(record["picture"].tobytes(), record["picture"])
        if len(found) == num:
            break
    return np.stack(list(found.values()))


def _features(model: keras.Model, params: Params, views: np.ndarray) -> np.ndarray:
    features: np.ndarray = model.encoder.predict(views, batch_size=params.batch_size, verbose=0)
    return _unit(features - features.mean(axis=0))


def _histograms(views: np.ndarray) -> np.ndarray:
    """Roots of shares, whose cosine is Bhattacharyya's coefficient. Shape [views, 64]"""
    levels = _HISTOGRAM_LEVELS
    cells = np.clip((views + 1) / 2 * levels, 0, levels - 1).astype(np.int64)
    numbers = (cells @ levels ** np.arange(3)).reshape(len(views), -1)
    counts = np.stack([np.bincount(row, minlength=levels**3) for row in numbers])
    return _unit(np.sqrt(counts))


def _thumbnails(views: np.ndarray) -> np.ndarray:
    """Shape [views, 192]"""
    import tensorflow as tf

    small = tf.image.resize(views, (_THUMBNAIL_SIZE, _THUMBNAIL_SIZE), "area").numpy()
    flat = small.reshape(len(views), -1)
    return _unit(flat - flat.mean(axis=0))


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def _found(vectors: list[np.ndarray]) -> np.ndarray:
    """Whether each first vector's nearest second one, by cosine, is its own. float64 [views]"""
    first, second = vectors
    return ((first @ second.T).argmax(axis=1) == np.arange(len(first))).astype(np.float64)
