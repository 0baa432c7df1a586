"""NSynth's baseline: a convolutional autoencoder of whole notes' log-magnitude spectrograms.

Source: Engel et al. 2017, "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders",
section 2.2; magenta models/nsynth/baseline/models/ae_configs/nfft_1024.py. Levels are against full
scale here and not against each note's loudest bin, so that a note comes back as loud as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.audio.griffin_lim import griffin_lim
from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models import _sound
from pipeline.models.base import Measure, Recipe, Request, Shards

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pipeline.nn.spectral.representation import Representation


class Params(_sound.SoundParams):
    """What params.yaml sets for a spectral autoencoder."""

    n_fft: int = Field(ge=16, description="length of a frame in samples, a power of 2")
    hop_length: int = Field(ge=4, description="samples from one frame to the next")
    range_db: float = Field(
        gt=0, le=200, description="below a full-scale sine; what is softer counts as silence"
    )
    phase: Literal["griffin_lim", "instantaneous_frequency"] = Field(
        description="reconstructed from the magnitudes, or learned as its advance in each bin"
    )
    griffin_lim_iterations: int = Field(ge=0, description="of phase griffin_lim")
    conv_sizes: tuple[int, ...] = Field(
        min_length=1, description="channels of the encoder's layers; each halves bins and frames"
    )
    dense_size: int = Field(ge=1, description="units of the layer on either side of the latent")
    latent_size: int = Field(ge=1, description="length of a note's latent vector")
    pitch_embedding_size: int = Field(
        ge=0, description="of the pitch that the decoder is told; 0: it is not told"
    )
    low_weight: float = Field(ge=1, description="of the error at 0 Hz; it falls to 1 at cutoff_hz")
    cutoff_hz: float = Field(gt=0, description="above it all errors weigh the same")
    phase_weight: float = Field(ge=0, description="of the error of the phase's advance")
    decay_rate: float = Field(gt=0, le=1, description="of the learning rate, a batch")
    beta_1: float = Field(ge=0, lt=1, description="of Adam: decay of the mean gradient")
    num_measured: int = Field(ge=2, description="held-out notes that distances are measured of")
    num_averaged: int = Field(
        ge=1, description="training notes that the mean spectrogram, to be beaten, is made of"
    )


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled SpectralAutoencoder: spectrograms [batch, frames, bins, channels], and pitches.

    Raises:
      PipelineError: if crop_samples is not a whole note, or n_fft no power of 2.
    """
    import keras

    from pipeline.nn.spectral.autoencoder import SpectralAutoencoder, spectrogram_loss

    length = shards.options["num_samples"]
    if params.crop_samples != length:
        raise PipelineError(
            f"crop_samples={params.crop_samples} differs from num_samples={length} of corpus "
            f"{shards.corpus}: one latent stands for a whole note. Set crop_samples to {length}."
        )
    if params.n_fft & (params.n_fft - 1):
        raise PipelineError(f"n_fft={params.n_fft} is no power of 2; set one, such as 1024.")
    shape = _representation(params).shape
    model = SpectralAutoencoder(
        shape,
        params.conv_sizes,
        params.dense_size,
        params.latent_size,
        params.pitch_embedding_size,
        name="spectral_autoencoder",
    )
    loss = spectrogram_loss(
        shape[1],
        shards.options["sample_rate"],
        params.low_weight,
        params.cutoff_hz,
        params.phase_weight,
    )
    rate = keras.optimizers.schedules.ExponentialDecay(params.learning_rate, 1, params.decay_rate)
    optimizer = keras.optimizers.Adam(rate, beta_1=params.beta_1)
    model.compile(optimizer, loss=loss, jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of ((spectrograms, pitches), spectrograms): whole notes."""
    import tensorflow as tf

    representation = _representation(params)
    is_classes = "mu" in shards.options
    classes = np.arange(shards.options["mu"] + 1) if is_classes else np.zeros(0)
    levels = _sound.waveforms(shards.options, classes)

    def prepared(batch: dict[str, tf.Tensor]) -> tuple[Any, tf.Tensor]:
        if is_classes:
            audio = tf.gather(levels, tf.cast(batch["audio"], tf.int32))
        else:
            audio = tf.cast(batch["audio"], tf.float32) / _sound.FULL_SCALE
        spectrograms = representation.of_audio(audio)
        return (spectrograms, _told(batch["pitch"])), spectrograms

    return _sound.crops(shards, split, params, seed, ("pitch",)).map(prepared).prefetch(2)


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Notes between two instruments: their latents mixed, at the pitch of the first.

    Raises:
      PipelineError: if the request has no sources.
    """
    if not request.sources:
        raise PipelineError("spectral_autoencoder makes sounds of others: it was given none.")
    settings = options.model_dump()

    def mix(firsts: list[Any], seconds: list[Any], shares: np.ndarray) -> np.ndarray:
        latents, others = (_encoded(model, params, settings, x) for x in (firsts, seconds))
        mixed = latents + shares[:, None].astype(np.float32) * (others - latents)
        spectrograms = _decoded(model, params, mixed, firsts)
        return _sounded(spectrograms, params, settings["num_samples"], request.seed)

    return _sound.interpolations(params, settings, request.sources, mix)


def reconstruct(
    model: keras.Model, params: Params, shards: Shards, records: list[Record], seed: int
) -> list[Record]:
    """Notes through the latent and back, with their phases made anew."""
    latents = _encoded(model, params, shards.options, records)
    spectrograms = _decoded(model, params, latents, records)
    audio = _sounded(spectrograms, params, shards.options["num_samples"], seed)
    return _sound.records_of(shards.options, audio, records)


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """How far reconstructed spectrograms are from the notes', in decibels.

    lsd_db is the log-spectral distance: over bins the root of the mean square, then the mean over
    frames. lsd_mean_spectrogram_db is that of the training notes' mean spectrogram, of all or of
    the note's pitch, whichever is nearer over the split; lsd_other_latent_db that with the latent
    of another note. reconstruction_margin and latent_margin are what the model is nearer by.
    """
    from pipeline.nn.spectral import measures as nearness

    records = _sound.notes(shards, split, params.num_measured)
    truth = _spectrograms(params, shards.options, records)
    latents = _encoded(model, params, shards.options, records)
    order = np.random.default_rng(seed).permutation(len(records))
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)  # one cycle: none is its own other
    own, other = (
        nearness.distance_db(truth, _decoded(model, params, z, records), params.range_db)
        for z in (latents, latents[others])
    )

    def training() -> Iterator[tuple[int, np.ndarray]]:
        notes = _sound.notes(shards, "train", params.num_averaged)
        for start in range(0, len(notes), params.batch_size):
            few = notes[start : start + params.batch_size]
            yield from zip(_pitches(few), _spectrograms(params, shards.options, few), strict=True)

    mean = nearness.distance_to_mean_db(truth, _pitches(records), training, params.range_db)
    found = {
        "lsd_db": own,
        "lsd_mean_spectrogram_db": mean,
        "lsd_other_latent_db": other,
        "reconstruction_margin": mean - own,
        "latent_margin": other - own,
    }
    groups = np.array([int(record["instrument"]) for record in records])
    return {name: Measure.mean(values, groups) for name, values in found.items()}


RECIPE = Recipe(
    name="spectral_autoencoder",
    Params=Params,
    build=build,
    batches=batches,
    generate=generate,
    measures=measures,
    reconstruct=reconstruct,
    sources=_sound.sources,
    accepts=("sources",),
)


def _representation(params: Params) -> Representation:
    """Of whole notes; the frames are filled up to a power of 2, which halves without a rest."""
    from pipeline.nn.spectral.representation import Representation

    has_phase = params.phase == "instantaneous_frequency"
    filled = 1 << (_num_frames(params) - 1).bit_length()
    return Representation(params.n_fft, params.hop_length, filled, params.range_db, has_phase)


def _num_frames(params: Params) -> int:
    """Of a note, without filling."""
    return 1 + params.crop_samples // params.hop_length


def _told(pitches: Any) -> Any:
    """Pitches as the decoder is told them; one that the corpus does not tell is 0."""
    import tensorflow as tf

    return tf.cast(tf.maximum(pitches, 0), tf.int32)


def _pitches(records: Sequence[Any]) -> list[int]:
    return [int(record["pitch"]) for record in records]


def _spectrograms(params: Params, options: Any, records: Sequence[Any]) -> np.ndarray:
    """Of notes, without the frames of filling: [records, frames, bins, channels]."""
    made = _by_rows(params, _representation(params).of_audio, _sound.waves(options, records))
    return made[:, : _num_frames(params)]


def _encoded(
    model: keras.Model, params: Params, options: Any, records: Sequence[Any]
) -> np.ndarray:
    """Latents of notes: float32 [records, latent_size]."""
    made = _representation(params).of_audio
    waves = _sound.waves(options, records)
    return _by_rows(params, lambda rows: model.encoder(made(rows), training=False), waves)


def _decoded(
    model: keras.Model, params: Params, latents: np.ndarray, records: Sequence[Any]
) -> np.ndarray:
    """Spectrograms of latents at the records' pitches, without the frames of filling."""
    made = _by_rows(
        params,
        lambda z, told: model.decoder([z, _told(told)], training=False),
        latents,
        np.array(_pitches(records)),
    )
    return made[:, : _num_frames(params)]


def _by_rows(params: Params, function: Any, *arrays: np.ndarray) -> np.ndarray:
    """A function of tensors, applied to as many rows at once as a batch has."""
    import tensorflow as tf

    compiled, size = tf.function(function, reduce_retracing=True), params.batch_size
    starts = range(0, len(arrays[0]), size)
    return np.concatenate(
        [np.asarray(compiled(*(x[start : start + size] for x in arrays))) for start in starts]
    )


def _sounded(spectrograms: np.ndarray, params: Params, num_samples: int, seed: int) -> np.ndarray:
    """float32 [records, samples]; a learned phase is taken as it is, without iterations."""
    representation = _representation(params)
    magnitudes, phases = representation.magnitudes(spectrograms), None
    num_iterations = params.griffin_lim_iterations
    if representation.has_phase:
        phases, num_iterations = representation.phases(spectrograms), 0
    return np.stack(
        [
            griffin_lim(
                magnitudes[i],
                params.hop_length,
                num_samples,
                num_iterations,
                seed,
                None if phases is None else phases[i],
            )
            for i in range(len(magnitudes))
        ]
    )
