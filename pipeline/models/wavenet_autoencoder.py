"""NSynth's WaveNet autoencoder: an embedding every few hundred samples, and a decoder of samples.

Source: Engel et al. 2017, "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders";
magenta models/nsynth/wavenet/h512_bo16.py, train.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.audio.companding import mu_law_decode, mu_law_encode
from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models import _sound
from pipeline.models.base import Likelihood, Recipe, Request, Shards, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_NUM_FITTED = 128  # training notes that the linear predictor's taps are fitted on
_LEAST_POWER = 1e-7  # of them: 70 dB below full scale, about that of mu-law's rounding


class Params(_sound.SoundParams):
    """What params.yaml sets for a WaveNet autoencoder."""

    encoder_width: int = Field(ge=1, description="channels between the encoder's layers")
    encoder_layers: int = Field(ge=1, description="residual layers, which see both ways")
    embedding_size: int = Field(ge=1, description="numbers that a frame becomes")
    hop_length: int = Field(ge=1, description="samples of a frame")
    decoder_width: int = Field(ge=1, description="channels between the decoder's layers")
    decoder_layers: int = Field(ge=1, description="gated layers, causal")
    skip_width: int = Field(ge=1, description="channels in which these layers add up")
    layers_per_stage: int = Field(ge=1, description="after so many the dilation is 1 again")
    kernel_size: int = Field(ge=1, description="taps of every dilated layer; odd")
    start_kernel_size: int = Field(ge=1, description="taps of the decoder's first convolution")
    num_prediction_taps: int = Field(
        ge=0, description="samples of the linear prediction that logits start from; 0: none"
    )
    later_learning_rates: tuple[tuple[int, float], ...] = Field(
        description="(batch, rate): from which batch on which rate takes the first one's place"
    )
    average_momentum: float = Field(
        ge=0, lt=1, description="of the moving average of weights that is kept; 0: the last weights"
    )
    num_likelihood_samples: int = Field(
        ge=1, description="of a held-out note, from its beginning, that likelihood is measured on"
    )
    num_baseline_notes: int = Field(ge=1, description="training notes that baselines are fitted on")
    num_generated_samples: int = Field(ge=1, description="of a note; the rest of it is silence")
    temperature: float = Field(ge=0, description="of reconstructions and style transfer")


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled WavenetAutoencoder: classes [batch, samples] -> logits.

    The taps of its linear prediction are fitted here, in closed form, to training notes.

    Raises:
      PipelineError: a number of samples is no multiple of the hop.
    """
    from pipeline.nn.wavenet.autoencoder import WavenetAutoencoder
    from pipeline.nn.wavenet.decoder import Decoder
    from pipeline.nn.wavenet.encoder import Encoder

    _check(params, shards)
    num_classes = shards.num_classes["audio"]
    layers = {"layers_per_stage": params.layers_per_stage, "kernel_size": params.kernel_size}
    encoder = Encoder(
        num_classes=num_classes,
        width=params.encoder_width,
        num_layers=params.encoder_layers,
        embedding_size=params.embedding_size,
        hop_length=params.hop_length,
        **layers,
    )
    decoder = Decoder(
        num_classes=num_classes,
        num_taps=params.num_prediction_taps,
        width=params.decoder_width,
        skip_width=params.skip_width,
        num_layers=params.decoder_layers,
        start_kernel_size=params.start_kernel_size,
        embedding_size=params.embedding_size,
        **layers,
    )
    model = WavenetAutoencoder(encoder, decoder, name="wavenet_autoencoder")
    model.build()
    if params.num_prediction_taps:
        model.decoder.predictor.taps.assign(_taps(params, shards))
    model.compile(_optimizer(params), jit_compile=False)
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of (classes, the same, 1 a crop): int32 [batch, crop_samples]."""
    import tensorflow as tf

    def prepared(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        classes = tf.cast(batch["audio"], tf.int32)
        return classes, classes, tf.ones(tf.shape(classes)[:1])

    return _sound.crops(shards, split, params, seed, ()).map(prepared)


def likelihood(model: keras.Model, shards: Shards, split: str, params: Params) -> Likelihood:
    """Of each note's first samples, each given those before it and the embedding of all of them."""
    return _likelihood(model, shards, split, params, lambda embeddings: embeddings)


def sequences(shards: Shards, split: str, params: Params) -> list[np.ndarray]:
    """The same samples of each note, for baselines."""
    most = params.num_baseline_notes if split == "train" else -1
    return list(_beginnings(shards, split, params, most))


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Notes that lead from one instrument to another, by embeddings between theirs."""
    rng = np.random.default_rng(request.seed)

    def mix(firsts: list[Any], seconds: list[Any], shares: np.ndarray) -> np.ndarray:
        own, other = (
            model.embeddings(np.stack([note["audio"] for note in notes]), params.batch_size)
            for notes in (firsts, seconds)
        )
        weights = shares[:, None, None]
        mixed = (1 - weights) * own + weights * other
        return _decoded(model, params, mixed, rng, request.temperature)

    return _sound.interpolations(params, options.model_dump(), request.sources, mix)


def reconstruct(
    model: keras.Model, params: Params, shards: Shards, records: list[Any], seed: int
) -> list[Record]:
    """Each note from its own embedding."""
    audio = np.stack([record["audio"] for record in records])
    embeddings = model.embeddings(audio, params.batch_size)
    rng = np.random.default_rng(seed)
    audio = _decoded(model, params, embeddings, rng, params.temperature)
    return _sound.records_of(shards.options, audio, records)


def transfer(
    model: keras.Model, params: Params, options: Mapping[str, Any], request: Any
) -> np.ndarray:
    """The notes' song from its embeddings, given mean and spread of those of the sound's song.

    Args:
      model: trained.
      params: its own.
      options: of the corpus's codec.
      request: see transfers.base; at strength 0 the notes' song is only reconstructed.

    Returns:
      float32 in [-1, 1], as long as the notes' song.
    """
    songs = [np.clip(song, -1, 1) for song in (request.notes, request.sound)]
    notes, sound = (model.embeddings(mu_law_encode(s, options["mu"])[None], 1) for s in songs)
    spread = sound.std(axis=1, keepdims=True) / (notes.std(axis=1, keepdims=True) + 1e-6)
    moved = (notes - notes.mean(axis=1, keepdims=True)) * spread + sound.mean(axis=1, keepdims=True)
    mixed = (1 - request.strength) * notes + request.strength * moved
    rng = np.random.default_rng(request.seed)
    whole = params.model_copy(update={"num_generated_samples": notes.shape[1] * params.hop_length})
    return _decoded(model, whole, mixed, rng, params.temperature)[0, : len(request.notes)]


def _of_another_note(model: keras.Model, shards: Shards, split: str, params: Params) -> Likelihood:
    """With the embedding of the note that is half the split away."""

    def moved(embeddings: np.ndarray) -> np.ndarray:
        return np.roll(embeddings, max(1, len(embeddings) // 2), axis=0)

    return _likelihood(model, shards, split, params, moved)


def _of_zeros(model: keras.Model, shards: Shards, split: str, params: Params) -> Likelihood:
    """With embeddings of zeros."""
    return _likelihood(model, shards, split, params, np.zeros_like)


RECIPE = Recipe(
    name="wavenet_autoencoder",
    Params=Params,
    build=build,
    batches=batches,
    generate=generate,
    likelihood=likelihood,
    sequences=sequences,
    baselines=("marginal", "linear_prediction"),
    controls={"embedding_of_another_note": _of_another_note, "zeroed_embedding": _of_zeros},
    accepts=("sources", "temperature"),
    sources=_sound.sources,
    reconstruct=reconstruct,
    transfer=transfer,
)


def _check(params: Params, shards: Shards) -> None:
    if "mu" not in shards.options:
        raise PipelineError(
            f"corpus={shards.corpus} holds no mu-law classes, which a WaveNet is a softmax over. "
            "Give the model a corpus of codec mu_law in params.yaml."
        )
    for name in ("crop_samples", "num_likelihood_samples", "num_generated_samples"):
        if (value := getattr(params, name)) % params.hop_length:
            raise PipelineError(
                f"{name}={value} is no multiple of hop_length={params.hop_length}; every embedding "
                "is of a whole frame. Change one of them in params.yaml."
            )
        if value > shards.options["num_samples"]:
            raise PipelineError(
                f"{name}={value} exceeds the {shards.options['num_samples']} samples of a note in "
                f"{shards.corpus}. Lower it in params.yaml."
            )


def _taps(params: Params, shards: Shards) -> np.ndarray:
    from pipeline.audio.autoregression import coefficients, mean_autocorrelation

    records = read_records(shards, "train", ("audio",)).take(_NUM_FITTED)
    notes = (_sound.waveforms(shards.options, r["audio"]) for r in records.as_numpy_iterator())
    order = params.num_prediction_taps
    return coefficients(mean_autocorrelation(notes, order, _LEAST_POWER), order)


def _optimizer(params: Params) -> Any:
    import keras

    rate: Any = params.learning_rate
    if params.later_learning_rates:
        steps, rates = zip(*params.later_learning_rates, strict=True)
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([*steps], [rate, *rates])
    is_averaged = params.average_momentum > 0
    momentum = {"use_ema": True, "ema_momentum": params.average_momentum} if is_averaged else {}
    return keras.optimizers.Adam(rate, **momentum)


def _beginnings(shards: Shards, split: str, params: Params, most: int = -1) -> np.ndarray:
    """uint8 [notes, num_likelihood_samples]."""
    records = read_records(shards, split, ("audio",)).take(most)
    found = [r["audio"][: params.num_likelihood_samples] for r in records.as_numpy_iterator()]
    return np.stack(found)


def _likelihood(
    model: keras.Model,
    shards: Shards,
    split: str,
    params: Params,
    conditioned: Callable[[np.ndarray], np.ndarray],
) -> Likelihood:
    classes = _beginnings(shards, split, params)
    embeddings = conditioned(model.embeddings(classes, params.batch_size))
    nll, right = model.note_scores(classes, embeddings, params.batch_size)
    num_events = np.full(len(classes), classes.shape[1])
    return Likelihood(nll, num_events, right.astype(np.int64))


def _decoded(
    model: keras.Model,
    params: Params,
    embeddings: np.ndarray,
    rng: np.random.Generator,
    temperature: float,
) -> np.ndarray:
    """Amplitudes drawn from embeddings: float32 [notes, num_generated_samples]."""
    from pipeline.nn.wavenet.sampling import generated

    num_samples = params.num_generated_samples
    kept = embeddings[:, : num_samples // params.hop_length]
    uniforms = rng.random((len(kept), num_samples))
    drawn = generated(model.decoder, kept, uniforms, temperature)
    return mu_law_decode(drawn, model.decoder.num_classes - 1)
