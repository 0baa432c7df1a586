"""What recipes of performance events share: their training's settings, data, judgement, sampling.

A recipe adds the network: a functional model of one layer named "decoder", which also steps
(nn/cached_decoding.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.codecs.base import Codec, Record
from pipeline.errors import PipelineError
from pipeline.models.base import Likelihood, Request, Shards, Training, read_records

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

ACCEPTS = ("num_steps", "primer", "melody", "temperature", "top_k", "top_p", "beam_size")


class PerformanceTraining(Training):
    """What params.yaml sets for every recipe of performance events."""

    encoding: Literal["performance"] = Field(description="what it predicts")
    window_steps: int = Field(ge=16, description="events seen at once, in training and sampling")
    dropout_rate: float = Field(ge=0, lt=1, description="in training")
    warmup_steps: int = Field(ge=0, description="batches in which the learning rate rises from 0")
    max_transpose_semitones: int = Field(
        ge=0, le=24, description="training crops are moved by up to so many, up or down"
    )
    stretches: tuple[float, ...] = Field(
        min_length=1, description="factors of time, one of which a training crop is given"
    )


def compiled_model(
    decoder: Any, params: PerformanceTraining, optimizer: Any, name: str
) -> keras.Model:
    """The model of a decoder: what precedes each event (0, or event + 1) -> the event's logits."""
    import keras

    from pipeline.models._event_likelihood import EventNll, is_event_likeliest

    inputs = keras.Input((params.window_steps,), dtype="int32", name="previous")
    model = keras.Model(inputs, decoder(inputs), name=name)
    model.compile(
        optimizer=optimizer,
        loss=EventNll(),
        weighted_metrics=[keras.metrics.MeanMetricWrapper(is_event_likeliest, name="accuracy")],
        jit_compile=False,  # the decoder compiles itself
    )
    return model


def batches(shards: Shards, split: str, params: PerformanceTraining, seed: int) -> tf.data.Dataset:
    """Windows of events: (what precedes each, events, 1 for events and 0 for padding)."""
    from pipeline.models import _event_windows

    if split != "train":
        found = _event_windows.held_out_batches(
            shards, split, params.window_steps, params.batch_size
        )
    else:
        found = _event_windows.training_batches(
            shards,
            params.window_steps,
            params.batch_size,
            params.max_transpose_semitones,
            params.stretches,
            seed,
        )
    return found.prefetch(2)


def likelihood(
    model: keras.Model, shards: Shards, split: str, params: PerformanceTraining
) -> Likelihood:
    """What the model gives to each performance of a split, in the shards' order."""
    from pipeline.models import _event_windows

    return _event_windows.likelihood(model, shards, split, params.window_steps, params.batch_size)


def other_history(
    model: keras.Model, shards: Shards, split: str, params: PerformanceTraining
) -> Likelihood:
    """The same, but what precedes each event is taken from the next performance of the split."""
    from pipeline.models import _event_windows

    return _event_windows.likelihood(
        model, shards, split, params.window_steps, params.batch_size, use_other_history=True
    )


def sequences(shards: Shards, split: str, params: PerformanceTraining) -> list[np.ndarray]:
    """The events of each performance, in the shards' order."""
    return [record["events"] for record in _records(shards, split)]


def references(
    shards: Shards, split: str, params: PerformanceTraining, num_steps: int | None
) -> Iterable[Record]:
    """The beginnings of a split's performances, as long as a sample is."""
    return ({"events": record["events"][:num_steps]} for record in _records(shards, split))


def _records(shards: Shards, split: str) -> Iterable[dict[str, np.ndarray]]:
    return read_records(shards, split, ("events",)).as_numpy_iterator()


def generate(
    model: keras.Model, params: PerformanceTraining, codec: Codec, options: Any, request: Request
) -> list[Record]:
    """Goes on from the primer, or from nothing; or plays below a given melody.

    Returns:
      Records {"events"}, the primer included; with a melody, each is as long as it takes.

    Raises:
      PipelineError: if the primer leaves no step to generate, the beam is too wide, or a melody is
        given with either.
    """
    from pipeline.models import _harmonization
    from pipeline.nn.cached_decoding import CachedDecoder

    if request.melody:
        if codec.encoding is None:
            raise PipelineError(
                f"codec={codec.name} has no encoding of events; set the model's corpus to one of "
                "the codec performance."
            )
        if request.primer or request.beam_size > 1:
            raise PipelineError(
                "a melody to be harmonized goes with no primer and no beam; leave out the primer, "
                "and set beam_size=1."
            )
        vocabulary = codec.encoding(options, params.encoding)
        decoder = CachedDecoder(model.get_layer("decoder"), request.num)
        return [
            {"events": events} for events in _harmonization.harmonized(decoder, request, vocabulary)
        ]
    num_events = _num_events(request)
    if request.beam_size > model.output_shape[-1]:
        raise PipelineError(
            f"beam_size={request.beam_size} is above the {model.output_shape[-1]} classes; "
            "lower beam_size."
        )
    decoder = CachedDecoder(model.get_layer("decoder"), request.num * request.beam_size)
    primer = np.array(request.primer, np.int64)
    decoder.extend(np.tile(primer, (decoder.num_rows, 1)))
    drawn = _drawn(decoder, request, num_events)
    return [{"events": np.concatenate([primer, row])} for row in drawn]


def _num_events(request: Request) -> int:
    num_events = (request.num_steps or 0) - len(request.primer)
    if num_events < 1:
        raise PipelineError(
            f"num_steps={request.num_steps} leaves nothing to generate after a primer of "
            f"{len(request.primer)} events; raise num_steps, or shorten the primer."
        )
    return num_events


def _drawn(decoder: Any, request: Request, num_events: int) -> np.ndarray:
    from pipeline.nn.sampling import sample_sequences

    rng = np.random.default_rng(request.seed)
    if request.beam_size == 1:
        return decoder.draw(num_events, request.temperature, request.top_k, request.top_p, rng)

    def next_logits(events: np.ndarray, parents: np.ndarray) -> np.ndarray:
        decoder.reorder(parents)
        decoder.append(events)
        return decoder.next_logits()

    return sample_sequences(
        decoder.next_logits(), next_logits, num_events, request.beam_size, request.temperature,
        request.top_k, rng, request.top_p,
    )  # fmt: skip
