"""DDSP: a network hears a sound's loudness and timbre, and plays it on a harmonic synthesizer.

Here the pitch is the note's label, the latent is one for the whole sound, so that it can be given
to other notes, and the network's amplitudes are relative to the loudness.

Source: Engel et al. 2020, "DDSP: Differentiable Digital Signal Processing"; the numbers are those
of ddsp/training/gin/models/ae.gin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models import _sound
from pipeline.models.base import Measure, Recipe, Request, Shards

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Params(_sound.SoundParams):
    """What params.yaml sets for a harmonic autoencoder."""

    hop_length: int = Field(ge=16, description="between frames of the controls, in samples")
    n_fft: int = Field(ge=64, description="window of loudness and cepstra, a multiple of the hop")
    num_mel_bins: int = Field(ge=4, le=256, description="bands that the cepstra are made of")
    num_mfcc: int = Field(
        ge=1, le=128, description="cepstral coefficients that a timbre is told by"
    )
    latent_size: int = Field(ge=1, description="length of the vector that stands for a timbre")
    hidden_size: int = Field(ge=1, description="features of the fully connected layers")
    num_layers: int = Field(ge=1, description="of each stack of fully connected layers")
    recurrent_size: int = Field(ge=1, description="units of the decoder's GRU")
    num_harmonics: int = Field(ge=1, le=512, description="oscillators at multiples of the pitch")
    num_noise_bands: int = Field(ge=3, le=1025, description="of the filter that the noise goes by")
    fft_sizes: tuple[int, ...] = Field(
        min_length=1, description="windows of the spectral loss, in samples"
    )
    decay_rate: float = Field(gt=0, le=1, description="of the learning rate, each decay_steps")
    decay_steps: int = Field(ge=1, description="training steps")
    clip_norm: float = Field(gt=0, description="largest global norm of the gradient")
    num_measured: int = Field(ge=2, description="held-out notes at most that measures are taken of")
    polyphony: Literal["notes", "f0"] = Field(
        description="of a song that gets another sound: notes are transcribed, and each played by "
        "itself; f0 tracks the pitch of one voice"
    )

    @model_validator(mode="after")
    def _divisible(self) -> Params:
        for name in ("crop_samples", "n_fft"):
            if getattr(self, name) % self.hop_length:
                raise ValueError(
                    f"{name}={getattr(self, name)} is no multiple of hop_length={self.hop_length}"
                )
        if any(n_fft % 4 for n_fft in self.fft_sizes):
            raise ValueError(f"fft_sizes={[*self.fft_sizes]} must be multiples of 4")
        return self


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled HarmonicAutoencoder for the corpus's sample rate."""
    import keras

    from pipeline.audio.filters import mel_filters
    from pipeline.audio.loudness import power_weights
    from pipeline.nn.harmonic.analysis import Analysis
    from pipeline.nn.harmonic.autoencoder import HarmonicAutoencoder
    from pipeline.nn.harmonic.networks import Decoder, TimbreEncoder

    sample_rate = shards.options["sample_rate"]
    bands = mel_filters(sample_rate, params.n_fft, params.num_mel_bins).T
    weights = power_weights(sample_rate, params.n_fft)
    model = HarmonicAutoencoder(
        Analysis(weights, bands, params.num_mfcc, params.hop_length),
        TimbreEncoder(params.hidden_size, params.latent_size),
        Decoder(
            params.hidden_size,
            params.recurrent_size,
            params.num_layers,
            params.num_harmonics,
            params.num_noise_bands,
            sample_rate,
        ),
        sample_rate,
        params.fft_sizes,
        name="harmonic_autoencoder",
    )
    model.build(None)
    rate = keras.optimizers.schedules.ExponentialDecay(
        params.learning_rate, params.decay_steps, params.decay_rate
    )
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=params.clip_norm), jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of ({audio [batch, crop_samples], f0_hz [batch]}, audio, weights [batch]), float32.

    The weight is 1; of a note whose pitch the corpus does not tell, 0.
    """
    import tensorflow as tf

    levels = tf.constant(_sound.waves(shards.options, [{"audio": _codes(shards)}])[0])
    is_classes = "mu" in shards.options

    def prepared(batch: dict[str, tf.Tensor]) -> tuple[Any, tf.Tensor, tf.Tensor]:
        codes = tf.cast(batch["audio"], tf.int32)
        audio = tf.gather(levels, codes if is_classes else codes + 2**15)
        f0_hz = 440 * 2 ** ((tf.cast(batch["pitch"], tf.float32) - 69) / 12)
        is_labelled = tf.cast(batch["pitch"] >= 0, tf.float32)
        return {"audio": audio, "f0_hz": f0_hz}, audio, is_labelled

    return _sound.crops(shards, split, params, seed, ("pitch",)).map(prepared)


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Notes between two instruments: pitch and loudness of the first, the timbres mixed.

    Raises:
      PipelineError: if the request has no sources.
    """
    if not request.sources:
        raise PipelineError("harmonic_autoencoder makes sounds of others: it was given none.")
    settings = options.model_dump()

    def mix(firsts: list[Any], seconds: list[Any], shares: np.ndarray) -> np.ndarray:
        (heard, other) = (_sound.waves(settings, records) for records in (firsts, seconds))
        loudness_db, latents = _encoded(model, params, heard)
        _, others = _encoded(model, params, other)
        latents = latents + shares[:, None] * (others - latents)
        return _played(model, params, firsts, loudness_db, latents, request.seed)

    return _sound.interpolations(params, settings, request.sources, mix)


def reconstruct(
    model: keras.Model, params: Params, shards: Shards, records: list[Record], seed: int
) -> list[Record]:
    """Notes played again from their labelled pitch, their loudness and their latent."""
    audio = _sound.waves(shards.options, records)
    made = _played(model, params, records, *_encoded(model, params, audio), seed)
    return _sound.records_of(shards.options, made, records)


def transfer(
    model: keras.Model, params: Params, shards_options: Mapping[str, Any], request: Any
) -> np.ndarray:
    """A song played in the timbre of another; see nn/harmonic/transfer.py."""
    from pipeline.nn.harmonic import transfer as songs

    player = songs.Player(model, shards_options["sample_rate"], params.hop_length)
    return songs.transfer(player, request, params.polyphony)


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """How far reconstructions are from held-out notes, by spectra in decibels.

    timbre_distance_db is the log-spectral distance; timbre_distance_other_db that with the latent
    of a note of another family; timbre_distance_mean_db that of the training notes' mean spectrum
    at each frame's level. The margins are what the own latent is better than these by. Groups are
    instruments.
    """
    from pipeline.nn.harmonic import spectra

    records = _sound.notes(shards, split, params.num_measured)
    audio = _sound.waves(shards.options, records)
    loudness_db, latents = _encoded(model, params, audio)
    others = latents[_of_other_families(records, seed)]
    made, mistaken = (
        _played(model, params, records, loudness_db, z, seed) for z in (latents, others)
    )
    training = _sound.notes(shards, "train", params.num_measured)
    mean_db = spectra.mean_spectrum_db(_sound.waves(shards.options, training))
    own = np.array([spectra.distance_db(x, y) for x, y in zip(audio, made, strict=True)])
    other = np.array([spectra.distance_db(x, y) for x, y in zip(audio, mistaken, strict=True)])
    mean = np.array([spectra.shape_distance_db(x, mean_db) for x in audio])
    found = {
        "timbre_distance_db": own,
        "timbre_distance_other_db": other,
        "timbre_distance_mean_db": mean,
        "timbre_margin": other - own,
        "mean_spectrum_margin": mean - own,
    }
    groups = np.array([int(record["instrument"]) for record in records])
    return {name: Measure.mean(values, groups) for name, values in found.items()}


RECIPE = Recipe(
    name="harmonic_autoencoder",
    Params=Params,
    build=build,
    batches=batches,
    generate=generate,
    measures=measures,
    reconstruct=reconstruct,
    transfer=transfer,
    sources=_sound.sources,
    accepts=("sources",),
)


def _codes(shards: Shards) -> np.ndarray:
    """All that a sample can be in the corpus, in order."""
    if "mu" in shards.options:
        return np.arange(shards.options["mu"] + 1)
    return np.arange(-(2**15), 2**15).astype(np.int16)


def _encoded(
    model: keras.Model, params: Params, audio: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """-> loudness [notes, frames], latents [notes, latent_size]; a batch at a time."""
    missing = -audio.shape[1] % params.hop_length
    found = [
        model.encode(np.pad(batch, ((0, 0), (0, missing))))
        for batch in _parts(audio, params.batch_size)
    ]
    loudness_db, latents = (
        np.concatenate([np.asarray(x) for x in part]) for part in zip(*found, strict=True)
    )
    return loudness_db, latents


def _played(
    model: keras.Model,
    params: Params,
    records: Sequence[Any],
    loudness_db: np.ndarray,
    latents: np.ndarray,
    seed: int,
) -> np.ndarray:
    """The sounds of notes of labelled pitch. float32 [notes, samples]"""
    pitches = np.array([float(record["pitch"]) for record in records])
    f0_hz = np.repeat(440 * 2 ** ((pitches[:, None] - 69) / 12), loudness_db.shape[1], axis=1)
    num_samples = (loudness_db.shape[1] - 1) * params.hop_length
    noise = np.random.default_rng(seed).uniform(-1, 1, num_samples).astype(np.float32)
    made = [
        np.asarray(model.play(f0, loudness, z, np.tile(noise, (len(f0), 1))))
        for f0, loudness, z in zip(
            *(_parts(x, params.batch_size) for x in (f0_hz, loudness_db, latents)), strict=True
        )
    ]
    return np.concatenate(made)


def _parts(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _of_other_families(records: Sequence[Any], seed: int) -> np.ndarray:
    """For each note the index of one of another family; of itself where there is none."""
    families = np.array([int(record["instrument_family"]) for record in records])
    rng = np.random.default_rng(seed)
    others = [np.flatnonzero(families != family) for family in families]
    return np.array([rng.choice(o) if len(o) else i for i, o in enumerate(others)])
