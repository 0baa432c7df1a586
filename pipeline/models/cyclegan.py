"""CycleGAN: phrases of one genre made into another's, learned without pairs.

Source: Brunner et al. 2018, "Symbolic Music Genre Transfer with CycleGAN", and the authors' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models import _pianoroll
from pipeline.models._pianoroll import Geometry
from pipeline.models.base import Classify, Measure, Recipe, Request, Shards, Training

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Params(Training):
    """What params.yaml sets for a CycleGAN."""

    genre_a: str = Field(description="one of corpora.<corpus>.options.genres")
    genre_b: str = Field(description="another; phrases of each are made into the other's")
    num_seeds: int = Field(
        ge=1, description="CycleGANs trained side by side, alike but for what they draw"
    )
    num_filters: int = Field(
        ge=1, description="of the outermost convolutions; four times as many further in"
    )
    num_residual_blocks: int = Field(ge=0, description="of a generator")
    patch_steps: int = Field(
        ge=1, description="height of the patches that phrases are cut into; 1: strided convolutions"
    )
    patch_pitches: int = Field(ge=1, description="width of these patches, 1 if patch_steps is")
    copy_logit: float = Field(
        ge=0, description="how much a generator begins as a copy of its source, in logits; 0: not"
    )
    extra_discriminators: Literal["none", "partial", "full"] = Field(
        description="that tell what is made from real phrases of no genre, both, or all"
    )
    gamma: float = Field(ge=0, description="weight of the extra discriminators' own loss")
    extra_weight: float = Field(ge=0, description="of what they say in the generators' loss")
    cycle_weight: float = Field(ge=0, description="lambda, of the way there and back")
    identity_weight: float = Field(ge=0, description="of leaving the target's own phrases alone")
    reconstruction: Literal["l1", "cross_entropy"] = Field(description="how these two are measured")
    content_weight: float = Field(
        ge=0, description="of sounding the source's pitches, on whatever track but the drums'"
    )
    positive_weight: float = Field(
        ge=1, description="of sounding cells in all three, for a silent's 1"
    )
    noise: float = Field(ge=0, description="sigma_D, on what discriminators see")
    is_binarized: bool = Field(description="whether these, and the way back, are given 0 or 1")
    pool_size: int = Field(ge=0, description="earlier phrases kept for each discriminator")
    discriminator_learning_rate: float = Field(gt=0, lt=1, description="of their optimizer")
    beta_1: float = Field(ge=0, lt=1, description="of both optimizers")
    decay_begin: float = Field(
        ge=0, le=1, description="part of the training after which both rates fall, to 0 at its end"
    )
    shuffle_window: int = Field(ge=1, description="phrases held in memory to be shuffled")

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if self.genre_a == self.genre_b:
            raise ValueError(f"genre_a and genre_b are both {self.genre_a!r}")
        if self.patch_steps == 1 and self.patch_pitches > 1:
            raise ValueError(f"patch_pitches={self.patch_pitches} needs a patch_steps above 1")
        return self


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled CycleGan of num_seeds copies."""
    import keras

    from pipeline.models._learning_rates import ConstantThenLinear
    from pipeline.nn.cyclegan.cycle import LossWeights
    from pipeline.nn.cyclegan.networks import Sizes
    from pipeline.nn.cyclegan.trainer import CycleGan

    geometry = Geometry.of(shards)
    _check_patches(params, geometry)
    sizes = Sizes(
        geometry.shape,
        params.num_filters,
        params.num_residual_blocks,
        params.patch_steps,
        params.patch_pitches,
        params.copy_logit,
    )
    loss_weights = LossWeights(
        cycle=params.cycle_weight,
        identity=params.identity_weight,
        content=params.content_weight,
        gamma=params.gamma,
        extra=params.extra_weight,
        positive=params.positive_weight,
        reconstruction=params.reconstruction,
        noise=params.noise,
        is_binarized=params.is_binarized,
    )
    model = CycleGan(
        sizes,
        loss_weights,
        has_extra=params.extra_discriminators != "none",
        pool_size=params.pool_size,
        num_copies=params.num_seeds,
        steps_per_bar=geometry.steps_per_bar,
        name="cyclegan",
    )
    num_steps = params.epochs * params.steps_per_epoch

    def adam(peak: float) -> keras.optimizers.Optimizer:
        rate = ConstantThenLinear(peak, int(params.decay_begin * num_steps), num_steps)
        return keras.optimizers.Adam(rate, beta_1=params.beta_1)

    model.compile(adam(params.learning_rate), adam(params.discriminator_learning_rate))
    return model


def batches(shards: Shards, split: str, params: Params, seed: int) -> tf.data.Dataset:
    """Batches of (phrases, genres, 1 a row); see CycleGan for what a row is.

    In training each seed has phrases of its own, all genres equally often, without end. Of the
    other splits each phrase comes once, with one of the other genre, of which those that there are
    fewer of come again.
    """
    from pipeline.models import _genre_pairs

    classes = _classes(params, shards)
    if split != "train":
        return _genre_pairs.held_out(shards, split, classes)
    every = list(range(len(_pianoroll.genres(shards))))
    mixed = {"none": [], "partial": classes, "full": every}[params.extra_discriminators]
    return _genre_pairs.training(
        shards, classes, mixed, params.batch_size, params.num_seeds, params.shuffle_window, seed
    )


def sources(shards: Shards, split: str, params: Params, num: int) -> list[Record]:
    """Phrases of the two genres in turn, `num` or the next number below that is even."""
    records = _pianoroll.all_records(shards, split)
    pair = [
        _pianoroll.spread([r for r in records if r["genre"] == genre], max(1, num // 2))
        for genre in _classes(params, shards)
    ]
    return [record for both in zip(*pair, strict=False) for record in both]


def generate(
    model: keras.Model, params: Params, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Makes the sources into the genre asked for, or, asked for none, each into the other one.

    In the second case all seeds do so, one after the other, else the first one alone. A source of
    any other genre is taken for one of the genre that is not asked for. A cell sounds whose
    probability is above 0.5.

    Returns:
      Records with source_roll, source_genre and source_key; cycled_roll, the way back; and
      seed_index.

    Raises:
      PipelineError: there is no source, or the genre is neither of the two.
    """
    names = (params.genre_a, params.genre_b)
    if not request.sources:
        raise PipelineError(
            "a cyclegan makes phrases of others, and there is none: give a MIDI file in 4/4."
        )
    if request.genre and request.genre not in names:
        raise PipelineError(
            f"genre={request.genre!r}: this model makes {names[0]} or {names[1]}. Ask for one."
        )
    shape = tuple(model.copies[0].sizes.shape)
    classes = [options.genres.index(name) for name in names]
    targets = [_target(record, request.genre, names, classes) for record in request.sources]
    source = _pianoroll.rolls(request.sources, shape)
    copies = model.copies[:1] if request.genre else model.copies
    return [
        _record(origin, classes[target], rolls, seed_index)
        for seed_index, copy in enumerate(copies)
        for origin, target, *rolls in zip(
            request.sources, targets, *copy.both_ways(source, targets), strict=True
        )
    ]


def references(
    shards: Shards, split: str, params: Params, num_steps: int | None
) -> list[dict[str, Any]]:
    """A split's phrases of the two genres, equally many of each."""
    classes = _classes(params, shards)
    records = _pianoroll.all_records(shards, split)
    return _pianoroll.balanced([record for record in records if record["genre"] in classes])


def judged(
    samples: list[Record], classify: Classify, shards: Shards, params: Params, seed: int
) -> dict[str, Measure | float]:
    """Transfer strength, as the paper has it, and what is left of the source; see transfer.py.

    transfer_strength_margin is the mean of both directions and all seeds. Phrases of one song count
    as one in its interval.
    """
    from pipeline.nn.cyclegan import transfer

    geometry = Geometry.of(shards)
    classes = _classes(params, shards)
    fields = {"source": "source_roll", "made": "roll", "cycled": "cycled_roll"}
    rolls = {name: _pianoroll.rolls(samples, geometry.shape, f) for name, f in fields.items()}
    probabilities = {
        name: transfer.restricted(
            classify([{**record, "roll": record[field]} for record in samples]), classes
        )
        for name, field in fields.items()
    }
    found = transfer.Transfers(
        target=np.array([classes.index(int(record["genre"])) for record in samples]),
        seed=np.array([int(record["seed_index"]) for record in samples]),
        song=np.array([_pianoroll.song({"key": record["source_key"]}) for record in samples]),
        probabilities=probabilities,
        rolls=rolls,
    )
    genres = (params.genre_a, params.genre_b)
    measured = transfer.strengths(found, genres) | transfer.contents(
        found, geometry.steps_per_beat, seed
    )
    return {
        name: value if isinstance(value, float) else Measure.mean(*value)
        for name, value in measured.items()
    }


RECIPE = Recipe(
    name="cyclegan",
    Params=Params,
    build=build,
    batches=batches,
    sources=sources,
    generate=generate,
    references=references,
    judged=judged,
    accepts=("sources", "genre"),
)


def _check_patches(params: Params, geometry: Geometry) -> None:
    """Patches must cover a phrase; strided convolutions halve it twice."""
    folds = (params.patch_steps, params.patch_pitches) if params.patch_steps > 1 else (4, 4)
    for name, length, fold in zip(("steps", "pitches"), geometry.shape[:2], folds, strict=True):
        if length % fold:
            raise PipelineError(
                f"patch_{name}={getattr(params, f'patch_{name}')}: the {length} {name} of a phrase "
                f"are no multiple of {fold}. Change it under models.<name> in params.yaml."
            )


def _classes(params: Params, shards: Shards) -> list[int]:
    """The ids of genre a and b in a corpus."""
    names = _pianoroll.genres(shards)
    for name in (params.genre_a, params.genre_b):
        if name not in names:
            raise PipelineError(
                f"genre={name!r} is none of {shards.corpus}: {', '.join(names)}. Change genre_a or "
                "genre_b in params.yaml, or the genres of the corpus."
            )
    return [names.index(params.genre_a), names.index(params.genre_b)]


def _target(record: Record, genre: str, names: tuple[str, str], classes: list[int]) -> int:
    """0 or 1: which of the two genres a source is made into."""
    if genre:
        return names.index(genre)
    own = int(record.get("genre", -1))
    if own not in classes:
        raise PipelineError(
            f"a source is neither {names[0]} nor {names[1]}: say with --genre which to make of it."
        )
    return 1 - classes.index(own)


def _record(source: Record, genre: int, rolls: list[np.ndarray], seed_index: int) -> Record:
    made, cycled = (_pianoroll.packed(roll) for roll in rolls)
    key, qpm = source.get("key", ""), np.array(source.get("qpm", 120), np.float32)
    known = {"source_genre": np.array(source["genre"], np.int64)} if "genre" in source else {}
    return {
        "roll": made,
        "genre": np.array(genre, np.int64),
        "qpm": qpm,
        "source_qpm": qpm,
        "seed_index": np.array(seed_index, np.int64),
        "cycled_roll": cycled,
        "source_roll": np.asarray(source["roll"], np.uint8),
        **known,
        "source_key": key.decode() if isinstance(key, bytes) else str(key),
    }
