"""Music Transformer: a performance event by event, with relative or absolute attention.

Source: Huang et al. 2018, "Music Transformer"; magenta models/score2perf/score2perf_hparams.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from pipeline.models import _performance
from pipeline.models._performance import PerformanceTraining
from pipeline.models.base import Recipe, Shards

if TYPE_CHECKING:
    import keras


class Params(PerformanceTraining):
    """What params.yaml sets for a Music Transformer."""

    attention: Literal["relative", "absolute"] = Field(
        description="relative: by learned vectors of distances; absolute: by sinusoids of positions"
    )
    num_layers: int = Field(ge=1, description="blocks of attention and feed-forward")
    num_heads: int = Field(ge=1, description="of the attention; divides the sizes")
    hidden_size: int = Field(ge=2, description="of the residual stream; even")
    key_size: int = Field(ge=1, description="of queries and keys, all heads together")
    filter_size: int = Field(ge=1, description="units of the feed-forward layers")
    warmup_steps: int = Field(ge=1, description="batches in which the learning rate rises from 0")
    decay_steps: int = Field(
        ge=0,
        description="batches in which it then falls to 0 along a cosine; 0: as 1 / sqrt(step)",
    )
    beta_2: float = Field(gt=0, lt=1, description="of Adam")

    @model_validator(mode="after")
    def _divisible(self) -> Params:
        for name in ("hidden_size", "key_size"):
            if (size := getattr(self, name)) % self.num_heads:
                raise ValueError(f"num_heads={self.num_heads} does not divide {name}={size}")
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size={self.hidden_size} is odd")
        return self


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled functional model: what precedes each event (0, or event + 1) -> its logits."""
    import keras

    from pipeline.nn.transformer.decoder import TransformerDecoder

    decoder = TransformerDecoder(
        num_classes=shards.num_classes["events"],
        window_steps=params.window_steps,
        num_layers=params.num_layers,
        num_heads=params.num_heads,
        hidden_size=params.hidden_size,
        key_size=params.key_size,
        filter_size=params.filter_size,
        # As the reference: distances beyond half of the window share a vector.
        max_distance=params.window_steps // 2 if params.attention == "relative" else 0,
        dropout_rate=params.dropout_rate,
        name="decoder",
    )
    optimizer = keras.optimizers.Adam(_learning_rate(params), beta_2=params.beta_2, epsilon=1e-9)
    name = f"music_transformer_{params.attention}"
    return _performance.compiled_model(decoder, params, optimizer, name)


RECIPE = Recipe(
    name="music_transformer",
    Params=Params,
    build=build,
    batches=_performance.batches,
    generate=_performance.generate,
    likelihood=_performance.likelihood,
    sequences=_performance.sequences,
    baselines=("ngram",),
    controls={"other_history": _performance.other_history},
    references=_performance.references,
    accepts=_performance.ACCEPTS,
)


def _learning_rate(params: Params) -> Any:
    from pipeline.models import _learning_rates

    if params.decay_steps:
        return _learning_rates.warmed_up(
            params.learning_rate, params.warmup_steps, params.decay_steps
        )
    return _learning_rates.InverseSquareRoot(params.learning_rate, params.warmup_steps)
