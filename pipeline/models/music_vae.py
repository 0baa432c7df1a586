"""MusicVAE: a latent vector for a whole passage; melody or trio, flat or bar by bar.

Source: Roberts et al. 2018, "A Hierarchical Latent Vector Model for Learning Long-Term Structure in
Music"; magenta models/music_vae/configs.py (cat-mel_2bar, hierdec-mel_16bar, hierdec-trio_16bar).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import PipelineError
from pipeline.models.base import Measure, Recipe, Request, Shards, Training, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Params(Training):
    """What params.yaml sets for a MusicVAE."""

    parts: tuple[Literal["melody", "bass", "drums"], ...] = Field(
        min_length=1,
        description="fields of a record that go through one latent; attributes are the first's",
    )
    num_bars: int = Field(ge=1, description="length of a passage, in bars")
    steps_per_bar: int = Field(ge=1, description="melodies in other metres are left out")
    latent_size: int = Field(ge=1, description="length of the latent vector")
    encoder_sizes: tuple[int, ...] = Field(
        min_length=1, description="units of each direction of each encoder layer, the lowest first"
    )
    conductor_sizes: tuple[int, ...] = Field(description="of layers over bars; [] decodes flat")
    decoder_sizes: tuple[int, ...] = Field(
        min_length=1, description="units of each layer of each part's decoder, the lowest first"
    )
    free_bits: float = Field(ge=0, description="KL of a passage that costs nothing, in bits")
    max_beta: float = Field(ge=0, description="weight of the KL above that, at the end")
    beta_rate: float = Field(ge=0, lt=1, description="weight n: max_beta * (1 - beta_rate^n)")
    scheduled_sampling: Literal["none", "constant", "inverse_sigmoid"] = Field(
        description="how the part of steps grows that are given a sampled history in training"
    )
    sampling_rate: float = Field(gt=0, description="that part, or batches of its slow growth")
    decay_rate: float = Field(gt=0, le=1, description="of the learning rate, a batch")
    min_learning_rate: float = Field(ge=0, lt=1, description="what the learning rate decays to")
    clip_norm: float = Field(gt=0, description="largest global norm of the gradient")
    max_transpose_semitones: int = Field(ge=0, le=12, description="most in training, either way")
    shuffle_window: int = Field(ge=1, description="tunes, then passages, held to be shuffled")
    num_probed: int = Field(ge=2, description="passages to measure interpolation, attributes on")

    @property
    def num_steps(self) -> int:
        return self.num_bars * self.steps_per_bar


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled SequenceVae: classes [batch, steps, parts] -> logits, mean and scale."""
    import keras

    from pipeline.nn.recurrent.decoder import Decoder
    from pipeline.nn.recurrent.encoder import BidirectionalEncoder
    from pipeline.nn.recurrent.latent import DecayToFloor
    from pipeline.nn.recurrent.melody_classes import NUM_CLASSES
    from pipeline.nn.recurrent.vae import SequenceVae

    num_classes = tuple(shards.num_classes.get(part, NUM_CLASSES) for part in params.parts)
    num_segments = params.num_bars if params.conductor_sizes else 1
    model = SequenceVae(
        encoder=BidirectionalEncoder(num_classes, params.encoder_sizes, params.latent_size),
        decoder=Decoder(
            params.latent_size,
            num_classes,
            num_segments,
            params.num_steps // num_segments,
            params.conductor_sizes,
            params.decoder_sizes,
        ),
        latent_size=params.latent_size,
        free_bits=params.free_bits,
        max_beta=params.max_beta,
        beta_rate=params.beta_rate,
        schedule=params.scheduled_sampling,
        sampling_rate=params.sampling_rate,
        name="music_vae",
    )
    rate = DecayToFloor(params.learning_rate, params.decay_rate, params.min_learning_rate)
    model.build((None, params.num_steps, len(params.parts)))
    model.compile(
        optimizer=keras.optimizers.Adam(rate, global_clipnorm=params.clip_norm),
        jit_compile=False,
    )
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of (passages, the same, 1 a passage): classes [batch, steps, parts].

    In training passages begin at every bar, are shuffled and transposed, and follow each other
    without end; in the other splits they do not overlap. Shorter tunes are left out.
    """
    import tensorflow as tf

    from pipeline.models import _batching

    held_out = _passages(read_records(shards, split, _names(shards, params)), shards, params)
    if not list(held_out.take(1)):
        raise _nothing_left(shards, split, params)
    if split != "train":
        return held_out.batch(params.batch_size).map(_as_batch).prefetch(2)
    names = _names(shards, params)
    records = _batching.shuffled_passes(shards, split, names, params.shuffle_window, seed)
    passages = _passages(records, shards, params, hop_bars=1)

    def shuffled(index: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        key = tf.stack([tf.cast(seed, tf.int64), index])
        return _transposed(tf.random.experimental.stateless_shuffle(block, key), params, key)

    blocks = passages.batch(params.shuffle_window).enumerate().map(shuffled)
    return blocks.rebatch(params.batch_size).map(_as_batch).prefetch(2)


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Passages from random latents, around a primer's, or on the way between two endpoints'.

    A primer or endpoint is a melody, cut or held to the passage's length; other parts are silent.

    Raises:
      PipelineError: if a melody cannot be encoded, or an attribute has no vector.
    """
    from pipeline.nn.recurrent.latent import slerp
    from pipeline.nn.recurrent.vae_probes import CompiledVae

    if len(request.endpoints) not in (0, 2) or (request.endpoints and request.primer):
        raise PipelineError(
            f"{len(request.endpoints)} endpoints and a primer of {len(request.primer)} events: "
            "give two endpoints, or a primer, or neither."
        )
    rng = np.random.default_rng(request.seed)
    vae = CompiledVae(model, params.batch_size)
    melodies = request.endpoints or ((request.primer,) if request.primer else ())
    mean, scale = np.zeros((1, params.latent_size)), np.ones((1, params.latent_size))
    if melodies:
        mean, scale = vae.encode(np.stack([_passage_of(events, params) for events in melodies]))
    if request.endpoints:
        fractions = np.linspace(0, 1, request.num)
        latents = np.stack([slerp(mean[0], mean[1], fraction) for fraction in fractions])
    else:
        latents = mean + scale * rng.standard_normal((request.num, params.latent_size))
    latents = latents + model.attribute_vectors.shift(request.attributes)
    passages = vae.sample(latents, request.temperature, rng)
    return [_record(passage, params, codec.features(options)) for passage in passages]


def references(
    shards: Shards, split: str, params: Params, num_steps: int | None
) -> Iterable[Record]:
    """A split's passages, without overlap, as records."""
    for passage in _held_out(shards, split, params):
        yield _record(passage, params, shards.features)


def measures(
    model: keras.Model, shards: Shards, split: str, params: Params, seed: int
) -> dict[str, Measure]:
    """Reconstruction, information in the latent, interpolation and attribute vectors.

    accuracy and accuracy_zeroed_latent are teacher-forced, from z ~ q(z|x) and from zeros;
    accuracy_sampled is of the decoder's own sample at temperature 1, as in the paper's tables,
    accuracy_greedy of its likeliest. nll_bound, reconstruction and KL, is no less than the nll.
    """
    from pipeline.nn.recurrent.vae_probes import CompiledVae, probes

    rng = np.random.default_rng(seed)
    vae, passages = CompiledVae(model, params.batch_size), _held_out(shards, split, params)
    mean, scale = vae.encode(passages)
    latents = mean + scale * rng.standard_normal(mean.shape)
    nll, right = vae.scores(latents, passages)
    zeroed = vae.scores(np.zeros_like(latents), passages)[1]
    kl = 0.5 * (mean**2 + scale**2 - 1 - 2 * np.log(scale)).sum(axis=1)
    parts = params.parts if len(params.parts) > 1 else ()
    few = min(params.num_probed, len(passages)) // 2 * 2
    training = _held_out(shards, "train", params, 16 * params.num_probed)
    found = {
        "accuracy": right,
        **{f"accuracy_{part}": right[..., i] for i, part in enumerate(parts)},
        "accuracy_zeroed_latent": zeroed,
        "accuracy_margin": right - zeroed,
        "accuracy_sampled": vae.sample(latents, 1.0, rng) == passages,
        "accuracy_greedy": vae.sample(latents, 0.0, rng) == passages,
        "kl_bits": kl / np.log(2),
        **probes(vae, passages[:few], mean[:few], training, params.steps_per_bar, rng),
    }
    bound = Measure(nll.sum(axis=(1, 2)) + kl, np.full(len(nll), nll[0].size))
    return {"nll_bound": bound} | {name: _mean(values) for name, values in found.items()}


RECIPE = Recipe(
    name="music_vae",
    Params=Params,
    build=build,
    batches=batches,
    generate=generate,
    measures=measures,
    references=references,
    accepts=("primer", "endpoints", "attributes", "temperature"),
)


def _as_batch(passages: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    import tensorflow as tf

    return passages, passages, tf.ones(tf.shape(passages)[:1])


def _mean(values: np.ndarray) -> Measure:
    """The mean of values [examples, ...]."""
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    return Measure(rows.sum(axis=1), np.full(len(rows), rows.shape[1]))


def _names(shards: Shards, params: Params) -> tuple[str, ...]:
    return (*params.parts, "steps_per_bar") if _is_events(shards.features) else params.parts


def _is_events(features: Mapping[str, Feature]) -> bool:
    """Whether records hold events of melodies in any metre, not classes of passages in 4/4."""
    return "steps_per_bar" in features


def _passages(
    records: tf.data.Dataset, shards: Shards, params: Params, hop_bars: int | None = None
) -> tf.data.Dataset:
    """The different passages of each tune, [steps, parts], that have an onset in each part."""
    import tensorflow as tf

    from pipeline.nn.recurrent import melody_classes

    is_events = _is_events(shards.features)
    hop = params.steps_per_bar * (hop_bars or params.num_bars)
    first = tf.constant([1 if p == "drums" else melody_classes.FIRST_PITCH for p in params.parts])

    def of_tune(record: dict[str, tf.Tensor]) -> tf.Tensor:
        tune = tf.stack([tf.cast(record[part], tf.int32) for part in params.parts], axis=-1)
        if is_events:
            tune = melody_classes.classes_of(tune)
        num_starts = tf.maximum(0, tf.shape(tune)[0] - params.num_steps + hop) // hop
        starts = hop * tf.range(num_starts)
        passages = tf.gather(tune, starts[:, None] + tf.range(params.num_steps))
        passages = melody_classes.begun(passages, passages >= first)
        has_onset = tf.reduce_all(tf.reduce_any(passages >= first, axis=1), axis=1)
        is_good = has_onset & tf.reduce_all(passages >= 0, axis=(1, 2))
        unique = tf.raw_ops.UniqueV2(x=passages[is_good], axis=[0]).y
        return tf.ensure_shape(unique, (None, params.num_steps, len(params.parts)))

    if is_events:
        records = records.filter(lambda record: record["steps_per_bar"] == params.steps_per_bar)
    return records.map(of_tune).unbatch()


def _transposed(passages: tf.Tensor, params: Params, key: tf.Tensor) -> tf.Tensor:
    """Each of a block of passages by a random interval."""
    import tensorflow as tf

    from pipeline.nn.recurrent import melody_classes

    most, num = params.max_transpose_semitones, tf.shape(passages)[0]
    intervals = tf.random.stateless_uniform((num,), key, -most, most + 1, dtype=tf.int32)
    is_pitched = tf.constant([part != "drums" for part in params.parts])
    return melody_classes.transposed(passages, intervals, is_pitched)


def _held_out(shards: Shards, split: str, params: Params, most: int = -1) -> np.ndarray:
    """The passages of a split, without overlap: int32 [passages, steps, parts]."""
    passages = _passages(read_records(shards, split, _names(shards, params)), shards, params)
    found = list(passages.take(most).as_numpy_iterator())
    if len(found) < 2:  # measures interpolate between two
        raise _nothing_left(shards, split, params)
    return np.stack(found)


def _nothing_left(shards: Shards, split: str, params: Params) -> PipelineError:
    return PipelineError(
        f"num_bars={params.num_bars} leaves too little of split={split} of {shards.corpus}: no "
        f"tune of {params.steps_per_bar} steps a bar is so long. Lower num_bars, or add tunes."
    )


def _passage_of(events: tuple[int, ...], params: Params) -> np.ndarray:
    """A melody's events as a passage [steps, parts], the other parts silent."""
    from pipeline.nn.recurrent import melody_classes

    if "melody" not in params.parts:
        raise PipelineError(f"parts={[*params.parts]} hold no melody to start from; give none.")
    passage = np.zeros((params.num_steps, len(params.parts)), np.int32)
    melody = melody_classes.classes_of_melody(events, params.num_steps)
    passage[:, params.parts.index("melody")] = melody
    return passage


def _record(passage: np.ndarray, params: Params, features: Mapping[str, Feature]) -> Record:
    """A passage [steps, parts] as what the codec decodes."""
    from pipeline.nn.recurrent import melody_classes

    if _is_events(features):
        passage = np.asarray(melody_classes.events_of(passage))
    return {part: passage[:, i].astype(np.int64) for i, part in enumerate(params.parts)}
