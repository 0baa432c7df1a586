"""A trained model as files: equal weights give equal bytes.

Not .keras: that holds a date, zip times and memory addresses, so it is never the same twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import files, hardware, params, paths, registry
from pipeline.errors import PipelineError
from pipeline.models.base import Shards

if TYPE_CHECKING:
    import keras


def save(model: keras.Model, folder: Path) -> None:
    """Writes the weights alone: the optimizer's state is of no use to whom only samples."""
    model.optimizer = None
    model.save_weights(folder / "model.weights.h5")


def trained(settings: params.Params, name: str) -> keras.Model:
    """A built model with its trained weights; it cannot be trained further.

    Raises:
      PipelineError: it is not trained yet, or was trained with other params than now.
    """
    folder = paths.model(name)
    if not (folder / "model.json").exists():
        raise PipelineError(f"{name} is not trained yet. Run `dvc repro train@{name}`.")
    options, block = settings.recipe_params(name), settings.model(name)
    if files.read_json(folder / "model.json")["params"] != options.model_dump(mode="json"):
        raise PipelineError(
            f"models.{name} in params.yaml differs from what {name} was trained with. "
            f"Run `dvc repro train@{name}`, or change it back."
        )
    with hardware.prepare(settings.seed).scope():
        model = registry.recipe(block.recipe).build(options, shards_of(settings, name))
        model.optimizer = None
        model.load_weights(folder / "model.weights.h5")
    return model


def shards_of(settings: params.Params, name: str) -> Shards:
    """The corpus of a model, and the place of what the model reads beside it."""
    block = settings.model(name)
    return Shards.open(paths.shards(block.corpus), paths.ROOT / block.reads)
