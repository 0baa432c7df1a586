"""The networks that have a twin: shapes, both sides' builders, and what a step computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_CLASSES = 388  # of performance events over all 128 pitches; the corpus has 308
CHUNK = 128  # of the transformer's queries, as in pipeline/nn/transformer/attention.py


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes:
      batch_size: sequences.
      num_steps: events of each.
      keras: -> a built model of ids.
      twins: by name, the Keras model -> a torch module.
      flops: (model) -> floating-point operations that a step's matrix products need.
    """

    batch_size: int
    num_steps: int
    keras: Callable[[], Any]
    twins: dict[str, Callable[[Any], Any]]
    flops: Callable[[Any], float]


def networks() -> dict[str, Network]:
    """By name; imports torch."""
    from benchmarks.twins.lstm import LstmLm
    from benchmarks.twins.transformer import RelativeTransformer

    def lstm(units: int, num_layers: int, batch_size: int, num_steps: int) -> Network:
        return Network(
            batch_size,
            num_steps,
            lambda: _lstm_lm(units, num_layers, batch_size, num_steps),
            {"torch": LstmLm},
            lambda model: 6.0 * batch_size * num_steps * _matrix_weights(model),
        )

    return {
        "lstm_2x128": lstm(128, 2, 64, 128),
        "lstm_3x512": lstm(512, 3, 16, 256),
        "transformer": Network(
            8,
            512,
            lambda: transformer(512),
            {
                "torch, no chunks": lambda m: RelativeTransformer(m.get_layer("decoder")),
                f"torch, chunks of {CHUNK}": lambda m: RelativeTransformer(
                    m.get_layer("decoder"), CHUNK
                ),
            },
            _transformer_flops,
        ),
    }


def _lstm_lm(units: int, num_layers: int, batch_size: int, num_steps: int) -> Any:
    import keras

    from pipeline.nn.recurrent.lstm import FastLSTM

    ids = keras.Input((num_steps,), batch_size=batch_size, dtype="int32")
    x = keras.layers.Embedding(NUM_CLASSES + 1, units)(ids)
    for _ in range(num_layers):
        x = FastLSTM(units)(x)
    return keras.Model(ids, keras.layers.Dense(NUM_CLASSES)(x))


def transformer(num_steps: int) -> Any:
    """A model of the layer "decoder": relative attention over `num_steps` events."""
    import keras

    from pipeline.nn.transformer.decoder import TransformerDecoder

    ids = keras.Input((num_steps,), dtype="int32")
    decoder = TransformerDecoder(
        num_classes=NUM_CLASSES,
        window_steps=num_steps,
        num_layers=4,
        num_heads=4,
        hidden_size=128,
        key_size=128,
        filter_size=512,
        max_distance=num_steps // 2,
        dropout_rate=0.0,
        name="decoder",
    )
    return keras.Model(ids, decoder(ids))


def _matrix_weights(model: Any) -> int:
    """Weights that each event is multiplied with: all but embeddings and biases."""
    return sum(
        int(np.prod(v.shape))
        for v in model.trainable_variables
        if len(v.shape) == 2 and "embedding" not in v.path
    )


def _transformer_flops(model: Any, batch_size: int = 8, num_steps: int = 512) -> float:
    """Of one step; of the attention's squares (Q K, Q R, weights V) the half that is not masked."""
    decoder = model.get_layer("decoder")
    blocks = decoder.blocks
    dense = _matrix_weights(model) + NUM_CLASSES * decoder.hidden_size
    attention = sum(2 * b.key_size + b.hidden_size for b in blocks) * num_steps / 2
    return 6.0 * batch_size * num_steps * (dense + attention)
