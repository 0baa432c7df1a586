"""A track as the mean and the deviation of its pieces' latent vectors, by an autoencoder.

Source: Hinton & Salakhutdinov 2006; the network is that of spectral_autoencoder, whose latent is
one vector for all of a spectrogram.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.errors import PipelineError
from pipeline.models import _track
from pipeline.models.base import Measure, Recipe, Shards

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Params(_track.SpectrogramParams):
    """What params.yaml sets for an autoencoder of spectrograms."""

    conv_sizes: tuple[int, ...] = Field(
        min_length=1, description="channels of the encoder's layers; each halves bins and frames"
    )
    dense_size: int = Field(ge=1, description="units of the layer on either side of the latent")
    latent_size: int = Field(ge=1, description="of a piece; a track's vector is twice as long")
    num_averaged: int = Field(
        ge=1, description="training tracks that the mean spectrum, to be beaten, is made of"
    )


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled SpectralAutoencoder: pieces [batch, crop_frames, bins, 1] of 0..1, and nothing.

    Raises:
      PipelineError: crop_frames or the corpus's number of bins is no power of 2.
    """
    import keras

    from pipeline.nn.spectral.autoencoder import SpectralAutoencoder, spectrogram_loss

    num_bins = int(shards.features["mel"].shape[1] or 0)
    for name, value in (("crop_frames", params.crop_frames), ("num_mel_bins", num_bins)):
        if value & (value - 1):
            raise PipelineError(
                f"{name}={value} is no power of 2, and every layer of the autoencoder halves it. "
                "Set one, such as 64, in params.yaml."
            )
    shape = (params.crop_frames, num_bins, 1)
    sizes = (params.conv_sizes, params.dense_size, params.latent_size)
    model = SpectralAutoencoder(shape, *sizes, 0, name="track_autoencoder")
    mean_square = spectrogram_loss(num_bins, 1, low_weight=1, cutoff_hz=1, phase_weight=0)
    model.compile(keras.optimizers.Adam(params.learning_rate), loss=mean_square, jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of ((pieces, no pitch), pieces, weights)."""
    import tensorflow as tf

    def prepared(pieces: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        levels = _levels(pieces)
        num_rows = tf.shape(levels)[:1]
        return (levels, tf.zeros(num_rows, tf.int32)), levels, tf.ones(num_rows)

    return _track.crops(shards, split, params, seed).map(prepared)


def encode(
    model: keras.Model, params: Params, shards: Shards, fields: Mapping[str, np.ndarray]
) -> np.ndarray:
    pieces = _pieces(params, fields["mel"])
    num_tracks, num_pieces = pieces.shape[:2]
    flat = pieces.reshape(-1, *pieces.shape[2:])
    latents = _track.by_rows(model.encoder, flat, params.batch_size)
    return _track.mean_and_deviation(latents.reshape(num_tracks, num_pieces, -1))


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """How far a track's first piece is from what its latent gives back, in dB.

    reconstruction_error_mean_db is that of the training tracks' mean spectrum at all times, and
    reconstruction_error_other_db that of another track's latent; reconstruction_margin and
    latent_margin are by how much the model's own is nearer.
    """
    mean = _mean_spectrum(shards, params)
    found: dict[str, list[np.ndarray]] = {"own": [], "other": [], "mean": [], "albums": []}
    for mel, albums in _track.by_batch(shards, split, "mel", params.batch_size):
        pieces = _pieces(params, mel)[:, 0]
        nothing = np.zeros(params.batch_size, np.int32)
        given = _track.by_rows(lambda rows: model([rows, nothing]), pieces, params.batch_size)  # noqa: B023
        for name, levels in (("own", given), ("other", np.roll(given, 1, axis=0)), ("mean", mean)):
            found[name].append(_track.error_db(2 * levels, 2 * pieces))
        found["albums"].append(albums)
    own, other, of_mean, groups = (np.concatenate(x) for x in found.values())
    return {
        "reconstruction_error_db": Measure.mean(own, groups),
        "reconstruction_error_mean_db": Measure.mean(of_mean, groups),
        "reconstruction_error_other_db": Measure.mean(other, groups),
        "reconstruction_margin": Measure.mean(of_mean - own, groups),
        "latent_margin": Measure.mean(other - own, groups),
    }


RECIPE = Recipe(
    name="track_autoencoder",
    Params=Params,
    build=build,
    batches=batches,
    measures=measures,
    accepts=(),
    encode=encode,
    encoded_fields=("mel",),
)


def _levels(pieces: Any) -> Any:
    """Of -1..1 to what a sigmoid gives, with an axis of channels."""
    return (pieces[..., None] + 1) / 2


def _pieces(params: Params, mel: np.ndarray) -> np.ndarray:
    """Consecutive pieces of tracks, a rest left out: [tracks, pieces, crop_frames, bins, 1]."""
    length = params.crop_frames
    num_pieces = mel.shape[1] // length
    levels = np.asarray(_levels(_track.relative(mel)))[:, : num_pieces * length]
    return levels.reshape(len(mel), num_pieces, length, *levels.shape[2:])


def _mean_spectrum(shards: Shards, params: Params) -> np.ndarray:
    """Of the first training tracks, in levels of 0..1: [bins, 1]."""
    total, count = 0.0, 0
    for mel, _ in _track.by_batch(shards, "train", "mel", params.batch_size):
        levels = _pieces(params, mel[: params.num_averaged - count])
        total, count = total + levels.sum(axis=(0, 1, 2)), count + len(levels)
        if count >= params.num_averaged:
            break
    return np.asarray(total / (count * np.prod(levels.shape[1:3])))
