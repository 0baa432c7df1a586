"""Fast generation: classes drawn from a decoder with queues, in a compiled loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pipeline.nn.wavenet.decoder import Decoder


class Weights(NamedTuple):
    """A decoder's weights as the loop wants them: float32, one array for all layers."""

    taps: np.ndarray  # float64 [taps]
    amplitudes: np.ndarray  # float64 [classes]
    pairs: np.ndarray  # [classes, 2], companded values and amplitudes
    start: np.ndarray
    start_bias: np.ndarray
    gates: np.ndarray  # [layers, taps * width, 2 * width]
    gate_biases: np.ndarray
    residuals: np.ndarray  # [layers - 1, width, width]
    residual_biases: np.ndarray
    skips: np.ndarray
    skip_bias: np.ndarray
    out: np.ndarray
    out_bias: np.ndarray
    logits: np.ndarray
    logit_bias: np.ndarray


def generated(
    decoder: Decoder,
    embeddings: np.ndarray,
    uniforms: np.ndarray,
    temperature: float = 1.0,
) -> np.ndarray:
    """Draws notes; with the same uniforms the same as with the whole decoder for each sample.

    Args:
      decoder: built.
      embeddings: float32 [notes, frames, embedding_size]; each holds for samples / frames samples.
      uniforms: in [0, 1): at which point of the cumulative distribution each class is drawn. Shape
        [notes, samples]; samples is a multiple of frames.
      temperature: >= 0; logits are divided by it, 0 takes the likeliest class.

    Returns:
      int32 classes [notes, samples].

    Raises:
      ValueError: if an argument is out of its range.
    """
    from pipeline.nn.wavenet import _queues

    if temperature < 0:
        raise ValueError(f"{temperature=} is below 0.")
    if not embeddings.shape[1] or uniforms.shape[1] % embeddings.shape[1]:
        raise ValueError(f"{uniforms.shape[1]} samples are no multiple of {embeddings.shape=}.")
    # Note by note: a product of all at once may round otherwise than one of a single note's.
    kernel = np.asarray(decoder.conditions, np.float32)
    conditions = np.stack([np.asarray(note, np.float32) @ kernel for note in embeddings])
    drawn = np.zeros(uniforms.shape, np.int32)
    _queues.draw_notes(
        tuple(weights_of(decoder)),
        np.array(decoder.dilations, np.int64),
        conditions,
        np.asarray(uniforms, np.float64),
        np.float32(temperature),
        drawn,
    )
    return drawn


def weights_of(decoder: Decoder) -> Weights:
    """A copy of them."""

    def one(variable: Any) -> np.ndarray:
        return np.ascontiguousarray(variable, np.float32)

    def layers(variables: list[Any], *shape: int) -> np.ndarray:
        return np.stack([one(v) for v in variables]) if variables else np.zeros((0, *shape), "f4")

    width = decoder.width
    return Weights(
        taps=np.array(decoder.predictor.taps if decoder.predictor.num_taps else [], np.float64),
        amplitudes=decoder.predictor.amplitudes,
        pairs=one(np.stack([decoder.predictor.companded, decoder.predictor.amplitudes], axis=-1)),
        start=one(decoder.start),
        start_bias=one(decoder.start_bias),
        gates=layers(decoder.gates),
        gate_biases=layers(decoder.gate_biases),
        residuals=layers(decoder.residuals, width, width),
        residual_biases=layers(decoder.residual_biases, width),
        skips=one(decoder.skips),
        skip_bias=one(decoder.skip_bias),
        out=one(decoder.out),
        out_bias=one(decoder.out_bias),
        logits=one(decoder.logits),
        logit_bias=one(decoder.logit_bias),
    )
