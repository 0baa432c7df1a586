"""Genre-conditional GANs of piano rolls: four generators under one critic.

Source: Dong et al. 2018, "MuseGAN"; Yang et al. 2017, "MidiNet"; Gulrajani et al. 2017 (WGAN-GP);
Miyato and Koyama 2018 (projection). MuseGAN has no genre: that is what is added here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models import _pianoroll
from pipeline.models._pianoroll import Geometry
from pipeline.models.base import Classify, Measure, Recipe, Request, Shards, Training, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_Sizes = tuple[int, ...]


class Params(Training):
    """What params.yaml sets for a GAN of piano rolls."""

    generator: Literal["convolutional", "midinet", "recurrent", "transformer"] = Field(
        description="MuseGAN's; MidiNet's, bar by bar; LSTM or self-attention over beats"
    )
    latent_size: int = Field(ge=2, description="length of the noise")
    generator_sizes: _Sizes = Field(
        min_length=1,
        description="convolutional, midinet: features of a bar, a beat, an octave; recurrent: "
        "units of each layer; transformer: width of each block",
    )
    generator_private_sizes: _Sizes = Field(
        min_length=1,
        max_length=2,
        description="features of each track's first layer, and of its second at full size, which "
        "may be left out; of convolutional and midinet",
    )
    num_heads: int = Field(ge=1, description="of the transformer's attention")
    critic_private_sizes: tuple[int, int] = Field(
        description="features of each track's two layers in the critic"
    )
    critic_shared_sizes: _Sizes = Field(
        min_length=1, description="features of the critic's layers over all tracks"
    )
    critic_merged_size: int = Field(ge=8, description="features of the phrase in the critic")
    num_critic_steps: int = Field(ge=1, description="of the critic, to one of the generator")
    gradient_penalty: float = Field(gt=0, description="weight of the penalty")
    critic_learning_rate: float = Field(gt=0, lt=1, description="of the critic's optimizer")
    beta_1: float = Field(ge=0, lt=1, description="Adam's, of both")
    beta_2: float = Field(ge=0, lt=1, description="Adam's, of both")
    decay_begin: float = Field(
        ge=0, le=1, description="part of the training after which both rates fall, to 0 at its end"
    )
    is_in_c: bool = Field(
        description="whether it learns, and makes, all phrases on the white keys, as MidiNet does"
    )
    shuffle_window: int = Field(ge=1, description="records held in memory to be shuffled")

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        sizes = self.generator_sizes
        if self.generator in ("convolutional", "midinet") and len(sizes) != 3:
            raise ValueError(f"generator_sizes={[*sizes]}; {self.generator} has three")
        if self.generator == "transformer" and (len({*sizes}) > 1 or sizes[0] % self.num_heads):
            rule = f"its blocks are of one width, a multiple of num_heads={self.num_heads}"
            raise ValueError(f"generator_sizes={[*sizes]}; {rule}")
        return self


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled ConditionalWgan of rolls [batch, steps, pitches, tracks]."""
    import keras

    from pipeline.models._learning_rates import ConstantThenLinear
    from pipeline.nn.adversarial.chords import NUM_CHORDS
    from pipeline.nn.adversarial.critic import critic
    from pipeline.nn.adversarial.wgan_gp import ConditionalWgan

    # The penalty is of a gradient's norm: in half precision, as on a GPU, it would overflow.
    keras.config.set_dtype_policy("float32")
    _check_lowest(shards)
    axes, num_genres = Geometry.of(shards), len(_pianoroll.genres(shards))
    num_steps = params.epochs * params.steps_per_epoch

    def adam(rate: float, steps_a_batch: int) -> keras.optimizers.Optimizer:
        steps = num_steps * steps_a_batch
        schedule = ConstantThenLinear(rate, int(params.decay_begin * steps), steps)
        return keras.optimizers.Adam(schedule, beta_1=params.beta_1, beta_2=params.beta_2)

    generator = _generator(params, axes, num_genres)
    model = ConditionalWgan(
        axes=axes,
        generator=generator,
        critic=critic(
            axes,
            num_genres,
            params.critic_private_sizes,
            params.critic_shared_sizes,
            params.critic_merged_size,
            NUM_CHORDS if len(generator.inputs) == 3 else 0,
        ),
        latent_size=params.latent_size,
        num_genres=num_genres,
        num_critic_steps=params.num_critic_steps,
        penalty=params.gradient_penalty,
        critic_optimizer=adam(params.critic_learning_rate, params.num_critic_steps),
        name="roll_gan",
    )
    model.compile(optimizer=adam(params.learning_rate, 1), jit_compile=False)
    model.optimizer.build(generator.trainable_variables)
    return model


def _check_lowest(shards: Shards) -> None:
    if (lowest := shards.options["min_pitch"]) % 12:
        raise PipelineError(
            f"min_pitch={lowest}: chords and keys are read off rolls whose lowest pitch is a C. "
            f"Choose {lowest - lowest % 12} (corpora.{shards.corpus}.*.options in params.yaml)."
        )


def _generator(params: Params, axes: Geometry, num_genres: int) -> keras.Model:
    from pipeline.nn.adversarial import generators
    from pipeline.nn.adversarial.losses import binarize

    common = (axes, num_genres, params.latent_size, params.generator_sizes)
    match params.generator:
        case "convolutional":
            return generators.convolutional(*common, params.generator_private_sizes)
        case "midinet":
            return generators.midinet(*common, params.generator_private_sizes, binarize)
        case "recurrent":
            return generators.recurrent(*common)
        case "transformer":
            return generators.transformer(*common, params.num_heads)


def batches(
    shards: Shards, split: str, params: Params, seed: int, is_endless: bool = True
) -> tf.data.Dataset:
    """(rolls, genres, ones): in training num_critic_steps times batch_size rows, genres in turn."""
    import tensorflow as tf

    shape = Geometry.of(shards).shape
    if split == "train" and is_endless:
        rows = params.batch_size * params.num_critic_steps
        classes = list(range(len(_pianoroll.genres(shards))))
        pairs = _pianoroll.balanced_batches(shards, classes, rows, params.shuffle_window, seed)
    else:
        # Large batches: what is compared are means over them.
        records = read_records(shards, split, ("roll", "genre")).batch(_VALIDATION_ROWS)
        pairs = records.map(lambda r: (_pianoroll.unpacked(r["roll"], shape), r["genre"]))

    def prepared(rolls: tf.Tensor, genres: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        moved = _pianoroll.transposed_to_c(rolls) if params.is_in_c else rolls
        return moved, genres, tf.ones_like(rolls[:, 0, 0, 0])

    return pairs.map(prepared).prefetch(2)


_VALIDATION_ROWS = 256


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Phrases of a genre, or of each in turn; chords, where it takes them, from its own chain.

    Raises:
      PipelineError: a genre that the corpus does not have.
    """
    return _phrases(model, params, _classes(request, tuple(options.genres)), request.seed)


def untrained(shards: Shards, params: Params, num: int, seed: int) -> list[Record]:
    """Samples of the same generator before it has learned anything."""
    import keras

    keras.utils.set_random_seed(seed)
    classes = _classes(Request(num=num), _pianoroll.genres(shards))
    return _phrases(build(params, shards), params, classes, seed)


def marginal(shards: Shards, params: Params, num: int, seed: int) -> list[Record]:
    """Cells that sound as often as they do in the training phrases of the genre, each by itself.

    What a model must add to that, is how cells belong together.
    """
    shape, rng = Geometry.of(shards).shape, np.random.default_rng(seed)
    names = _pianoroll.genres(shards)
    sums, counts = np.zeros((len(names), *shape)), np.zeros(len(names))
    for rolls, genres, _ in _one_pass(shards, params):
        for genre in np.unique(genres):
            sums[genre] += rolls[genres == genre].sum(axis=0)
            counts[genre] += (genres == genre).sum()
    classes = _classes(Request(num=num), names)
    found = rng.random((num, *shape)) < (sums / np.maximum(counts, 1)[:, None, None, None])[classes]
    return [
        {"roll": _pianoroll.packed(roll), "genre": np.asarray(genre, np.int64)}
        for roll, genre in zip(found, classes, strict=True)
    ]


def _one_pass(shards: Shards, params: Params) -> Iterable[tuple[np.ndarray, ...]]:
    return batches(shards, "train", params, 0, is_endless=False).as_numpy_iterator()


def references(
    shards: Shards, split: str, params: Params, num_steps: int | None
) -> list[dict[str, Any]]:
    """A split's phrases, of each genre equally many where there are enough, as of the samples."""
    return _pianoroll.balanced(_pianoroll.all_records(shards, split))


def _classes(request: Request, names: tuple[str, ...]) -> np.ndarray:
    if request.genre and request.genre not in names:
        raise PipelineError(
            f"--genre={request.genre}: this model knows {', '.join(names)}. Name one of them."
        )
    if request.genre:
        return np.full(request.num, names.index(request.genre), np.int32)
    return (np.arange(request.num) % len(names)).astype(np.int32)


def _phrases(model: keras.Model, params: Params, classes: np.ndarray, seed: int) -> list[Record]:
    import keras

    rng = np.random.default_rng(seed)
    inputs = [rng.standard_normal((len(classes), params.latent_size), np.float32), classes]
    if model.chord_table is not None:
        inputs.append(model.chord_table.sample(classes, model.axes.num_bars, rng))
    records: list[Record] = []
    for start in range(0, len(classes), params.batch_size):
        batch = [x[start : start + params.batch_size] for x in inputs]
        rolls = keras.ops.convert_to_numpy(model(batch, training=False)) > 0
        genres = classes[start : start + params.batch_size]
        records += [
            {"roll": _pianoroll.packed(roll), "genre": np.asarray(genre, np.int64)}
            for roll, genre in zip(rolls, genres, strict=True)
        ]
    return records


def judged(
    samples: list[Record], classify: Classify, shards: Shards, params: Params, seed: int
) -> dict[str, Measure]:
    """Whether a classifier hears the genre that was asked for.

    condition_accuracy: the share of samples that it assigns to it; condition_accuracy_shuffled:
    the same with the conditions of all samples permuted, the mean of all permutations;
    condition_margin: their difference. condition_accuracy_held_out is of real phrases.
    """
    asked = np.array([int(sample["genre"]) for sample in samples])
    heard = classify(samples).argmax(axis=1)
    right = (heard == asked).astype(float)
    # A permutation gives a sample any one's condition, its own too, with the same probability.
    counts = np.bincount(asked, minlength=len(_pianoroll.genres(shards)))
    shuffled = counts[heard] / len(asked)
    real: list[Record] = [*_pianoroll.balanced(_pianoroll.all_records(shards, "test"))]
    true = np.array([int(record["genre"]) for record in real])
    songs = np.array([_pianoroll.song(record) for record in real])
    found = (classify(real).argmax(axis=1) == true).astype(float)
    by_genre = {
        f"condition_accuracy_{name.lower()}": Measure(right * (asked == i), (asked == i) * 1.0)
        for i, name in enumerate(_pianoroll.genres(shards))
        if counts[i]
    }
    return {
        "condition_margin": Measure.mean(right - shuffled),
        "condition_accuracy": Measure.mean(right),
        "condition_accuracy_shuffled": Measure.mean(shuffled),
        "condition_accuracy_held_out": Measure.mean(found, songs),
        **by_genre,
    }


RECIPE = Recipe(
    name="roll_gan",
    Params=Params,
    build=build,
    batches=batches,
    generate=generate,
    references=references,
    contrasts={"untrained": untrained, "marginal": marginal},
    judged=judged,
    accepts=("genre",),
)
