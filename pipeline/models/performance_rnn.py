"""Performance RNN: LSTMs that predict a performance event by event.

Source: Oore et al. 2018, "This Time with Feeling"; magenta models/performance_rnn/
performance_model.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.models import _performance
from pipeline.models._performance import PerformanceTraining
from pipeline.models.base import Recipe, Shards

if TYPE_CHECKING:
    import keras


class Params(PerformanceTraining):
    """What params.yaml sets for a Performance RNN."""

    rnn_layer_sizes: tuple[int, ...] = Field(
        min_length=1, description="units of each LSTM layer, the lowest first"
    )
    clip_norm: float = Field(gt=0, description="largest global norm of the gradient")
    decay_steps: int = Field(
        ge=0, description="batches in which the rate falls to 0; 0: it stays, without a warm-up"
    )


def build(params: Params, shards: Shards) -> keras.Model:
    """A compiled functional model: what precedes each event (0, or event + 1) -> its logits."""
    import keras

    from pipeline.models import _learning_rates
    from pipeline.nn.recurrent.event_decoder import RecurrentDecoder

    decoder = RecurrentDecoder(
        shards.num_classes["events"], params.rnn_layer_sizes, params.dropout_rate, name="decoder"
    )
    rate = _learning_rates.warmed_up(params.learning_rate, params.warmup_steps, params.decay_steps)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=params.clip_norm)
    return _performance.compiled_model(decoder, params, optimizer, "performance_rnn")


RECIPE = Recipe(
    name="performance_rnn",
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
