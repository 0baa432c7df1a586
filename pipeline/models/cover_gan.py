"""GANs that draw album covers, for a track or for none: three ways to train, one to evaluate.

Source: Radford et al. 2016 (DCGAN); Gulrajani et al. 2017 (WGAN-GP); Karras et al. 2020
(StyleGAN2, with adaptive augmentation); Miyato and Koyama 2018 (projection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models import _cover_gan_networks
from pipeline.models._cover_gan_params import Params
from pipeline.models.base import Recipe, Request, Shards, Vectors, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_VALIDATION_ROWS = 256
_SPLITS = ("train", "validation", "test")


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled PictureGan; its condition is fitted to the training tracks' vectors.

    Raises:
      PipelineError: params.yaml asks for a size that the corpus does not allow, or vectors are
        missing.
    """
    import keras

    from pipeline.models._learning_rates import ConstantThenLinear
    from pipeline.nn.pictures.condition import Condition
    from pipeline.nn.pictures.ema import WeightAverage
    from pipeline.nn.pictures.trainer import PictureGan

    # Gradients of gradients: in half precision, as on a GPU, they would overflow.
    keras.config.set_dtype_policy("float32")
    _check_size(params, shards)
    num_steps = params.epochs * params.steps_per_epoch

    def adam(rate: float, steps_a_batch: int) -> keras.optimizers.Optimizer:
        steps = num_steps * steps_a_batch
        schedule = ConstantThenLinear(rate, int(params.decay_begin * steps), steps)
        return keras.optimizers.Adam(schedule, beta_1=params.beta_1, beta_2=params.beta_2)

    condition, condition_size = None, 0
    if params.condition:
        vectors = _vectors(params, shards).values["train"]
        condition_size = min(params.condition_size, vectors.shape[1])
        condition = Condition(vectors.shape[1], condition_size, name="condition")
        condition.fit(vectors)
    generator = _cover_gan_networks.generator(params, condition_size)
    average = None
    if params.ema_half_life:
        copy = _cover_gan_networks.generator(params, condition_size)
        average = WeightAverage(copy, generator, params.ema_half_life, params.ema_ramp)
    model = PictureGan(
        generator=generator,
        discriminator=_cover_gan_networks.discriminator(params, condition_size),
        condition=condition,
        latent_size=params.latent_size,
        loss=params.loss,
        discriminator_optimizer=adam(params.discriminator_learning_rate, params.num_critic_steps),
        num_critic_steps=params.num_critic_steps,
        penalty=params.gradient_penalty,
        mismatch=params.mismatch,
        average=average,
        **_cover_gan_networks.regularisation(params),
        name="cover_gan",
    )
    model.compile(adam(params.learning_rate, 1))
    return model


def _check_size(params: Params, shards: Shards) -> None:
    if (size := shards.options["size"]) % params.size:
        raise PipelineError(
            f"size={params.size} does not divide the size={size} of the corpus's pictures. Choose "
            f"another in models.*.size, or in corpora.{shards.corpus}.*.options (params.yaml)."
        )


def _vectors(params: Params, shards: Shards) -> Vectors:
    """The encoder's vectors of all tracks.

    Raises:
      PipelineError: there is nothing to read, or it is of another corpus.
    """
    if shards.reads is None:
        raise PipelineError(
            f"condition={params.condition}, but there is no `reads`: the model cannot see the "
            f"encoder's vectors. Add `reads: data/samples/{params.condition}` (params.yaml)."
        )
    if not (shards.reads / Vectors.FILE).exists():
        raise PipelineError(
            f"{shards.reads} holds no vectors. Run `dvc repro generate@{params.condition}` first."
        )
    found = Vectors.open(shards.reads)
    for split in _SPLITS:
        if (count := len(found.keys[split])) != shards.num_examples(split):
            raise PipelineError(
                f"{params.condition} has vectors of {count} tracks, and corpus {shards.corpus} has "
                f"{shards.num_examples(split)} in its {split} split: they are of different "
                f"corpora. Run `dvc repro generate@{params.condition}`."
            )
    return found


def _dealt_anew(values: np.ndarray, split: str, seed: int) -> np.ndarray:
    """Each track's vector goes to another track, or by chance to itself. The same in all epochs."""
    return values[np.random.default_rng([seed, _SPLITS.index(split)]).permutation(len(values))]


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """(pictures in -1..1, vectors, ones): in training num_critic_steps times batch_size rows."""
    import tensorflow as tf

    from pipeline.models._batching import shuffled_passes

    fields = ("key", "picture")
    if split == "train":
        rows = params.batch_size * params.num_critic_steps
        records = shuffled_passes(shards, split, fields, params.shuffle_window, seed)
        records = records.batch(rows, drop_remainder=True)
    else:
        records = read_records(shards, split, fields).batch(_VALIDATION_ROWS)
    vector_of = _look_up(params, shards, split, seed)
    is_mirrored = params.is_mirrored and split == "train"

    def prepared(index: tf.Tensor, record: dict[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        pictures = _reduced(record["picture"], params.size)
        if is_mirrored:
            chance = tf.random.stateless_uniform(tf.shape(pictures)[:1], [seed, index])
            pictures = tf.where(chance[:, None, None, None] < 0.5, pictures[:, :, ::-1], pictures)
        return pictures, vector_of(record["key"]), tf.ones_like(pictures[:, 0, 0, 0])

    return records.enumerate().map(prepared).prefetch(2)


def _look_up(params: Params, shards: Shards, split: str, seed: int) -> Any:
    """A function of keys, strings [batch], to vectors [batch, size]; to zeros without condition."""
    import tensorflow as tf

    if not params.condition:
        return lambda keys: tf.zeros((tf.shape(keys)[0], 1))
    vectors = _vectors(params, shards)
    values, keys = vectors.values[split], vectors.keys[split]
    if params.is_shuffled:
        values = _dealt_anew(values, split, seed)
    places = tf.lookup.KeyValueTensorInitializer(keys, np.arange(len(keys), dtype=np.int64))
    rows = tf.lookup.StaticHashTable(places, default_value=-1)

    def vectors_of(wanted: tf.Tensor) -> tf.Tensor:
        found = rows.lookup(wanted)
        # A GPU would gather zeros for a row that there is not.
        with tf.control_dependencies([tf.debugging.assert_non_negative(found, "unknown track")]):
            return tf.gather(tf.constant(values), found)

    return vectors_of


def _reduced(pictures: tf.Tensor, size: int) -> tf.Tensor:
    """uint8 [batch, s, s, 3] to means over squares of pixels, -1..1: [batch, size, size, 3]."""
    import tensorflow as tf

    side = pictures.shape[1] // size
    pictures = tf.cast(pictures, tf.float32) / 127.5 - 1
    return tf.nn.avg_pool2d(pictures, side, side, "VALID") if side > 1 else pictures


def sources(shards: Shards, split: str, params: Params, num: int) -> list[Record]:
    """The tracks to draw for: the first of each album of a split, and some training albums'.

    Args:
      shards: a corpus of covers.
      split: of the tracks.
      params: num_train_sources; without a condition there are no sources.
      num: most albums of the split.

    Returns:
      Records of key, group, genre, split, source_picture (uint8), vector (float32 [size]).
    """
    if not params.condition:
        return []
    vectors = _vectors(params, shards)
    held_out = _first_tracks(shards, split, num, vectors)
    return held_out + _first_tracks(shards, "train", params.num_train_sources, vectors)


def _first_tracks(shards: Shards, split: str, num: int, vectors: Vectors) -> list[Record]:
    by_key = vectors.by_key(split)
    found: dict[str, Record] = {}
    records = read_records(shards, split, ("key", "picture", "genre", "group"))
    for record in records.as_numpy_iterator():
        if len(found) == num:
            break
        key, group, genre = (record[name].decode() for name in ("key", "group", "genre"))
        about = {"key": key, "group": group, "genre": genre, "split": split}
        source = {**about, "source_picture": record["picture"], "vector": by_key[key]}
        found.setdefault(group, source)
    return [*found.values()]


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Covers in the size of the corpus: num_latents for each source, of the same noise for each.

    For sources that have no picture, as a track that a person gives, and without a condition,
    request.num of each noise of its own are drawn.
    """
    tracks: tuple[Record, ...] = request.sources if params.condition else ({},)
    is_grid = all("source_picture" in track for track in tracks)
    num_latents = params.num_latents if is_grid else request.num
    rng = np.random.default_rng(request.seed)
    latents = rng.standard_normal((num_latents, params.latent_size), np.float32)
    records: list[Record] = []
    for track in tracks:
        vector = np.asarray(track.get("vector", np.zeros(1)), np.float32)
        about = {"key": "", **{name: track[name] for name in _ABOUT if name in track}}
        for index, picture in enumerate(_drawn(model, latents, vector, options.size)):
            records.append({**about, "latent": np.asarray(index), "picture": picture})
            about.pop("source_picture", None)  # once: it is the same for all
    return records


_ABOUT = ("key", "group", "genre", "split", "source_picture")


def _drawn(
    model: keras.Model, latents: np.ndarray, vector: np.ndarray, size: int
) -> list[np.ndarray]:
    """One cover of each latent for the same vector: uint8 [size, size, 3]."""
    import keras
    from PIL import Image

    rows = np.repeat(vector[None], len(latents), axis=0)
    pictures = keras.ops.convert_to_numpy(model([latents, rows]))
    levels = np.clip(np.round((pictures + 1) * 127.5), 0, 255).astype(np.uint8)
    return [
        np.asarray(Image.fromarray(x).resize((size, size), Image.Resampling.BICUBIC))
        for x in levels
    ]


RECIPE = Recipe(
    name="cover_gan",
    Params=Params,
    build=build,
    batches=batches,
    generate=generate,
    sources=sources,
    accepts=("sources",),
)
