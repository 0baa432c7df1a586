"""A track as the principal components of librosa's statistics of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.errors import PipelineError
from pipeline.models import _track
from pipeline.models.base import Measure, Recipe, Shards, Training

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FIELD = "track_statistics"


class Params(Training):
    """What params.yaml sets for principal components."""

    vector_size: int = Field(ge=1, description="components that are kept of a track's statistics")


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled Moments: statistics [batch, numbers] -> components [batch, vector_size].

    Raises:
      PipelineError: there are fewer statistics than components, or an epoch is less than a pass.
    """
    import keras

    from pipeline.nn.tracks.moments import Moments

    size = int(shards.features[FIELD].shape[0] or 0)
    if params.vector_size > size:
        raise PipelineError(
            f"vector_size={params.vector_size} exceeds the {size} statistics that corpus "
            f"{shards.corpus} has of a track. Lower it in params.yaml."
        )
    _track.check_pass(params, shards)
    model = Moments(size, params.vector_size, name="track_pca")
    model.compile(keras.optimizers.SGD(params.learning_rate), jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of (statistics, statistics, weights)."""
    return _track.one_pass(shards, split, FIELD, params.batch_size, lambda rows: rows)


def encode(
    model: keras.Model, params: Params, shards: Shards, fields: Mapping[str, np.ndarray]
) -> np.ndarray:
    return _track.moments_encoded(model, fields[FIELD])


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """The share of held-out tracks' variance that the components keep.

    explained_variance_random is that of as many random directions, explained_variance_margin what
    the components keep beyond them.
    """
    size = int(shards.features[FIELD].shape[0] or 0)
    drawn = np.random.default_rng([seed, 7]).normal(size=(size, params.vector_size))
    directions = np.linalg.qr(drawn)[0]
    rows = []
    for statistics, albums in _track.by_batch(shards, split, FIELD, params.batch_size):
        whole, rest = (np.asarray(x) for x in model.squares(statistics))
        random_rest = np.asarray(model.squares(statistics, directions)[1])
        rows.append((whole, rest, random_rest, albums))
    whole, rest, random_rest, albums = (np.concatenate(x) for x in zip(*rows, strict=True))
    return {
        "explained_variance": Measure(whole - rest, whole, albums),
        "explained_variance_random": Measure(whole - random_rest, whole, albums),
        "explained_variance_margin": Measure(random_rest - rest, whole, albums),
    }


RECIPE = Recipe(
    name="track_pca",
    Params=Params,
    build=build,
    batches=batches,
    measures=measures,
    accepts=(),
    encode=encode,
    encoded_fields=(FIELD,),
)
