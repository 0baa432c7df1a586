"""The state of a training after each epoch, from which a killed one goes on as if undisturbed.

State is every variable (weights, optimizers, generators of random numbers), the best weights so far
and the curves. The order of the data is a function of the seed and the step, so it needs no state.
What a model draws it must draw with `keras.random`: TensorFlow's own generators are not kept.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator

from pipeline import files, replicas, tracking
from pipeline.errors import PipelineError


class Checkpoints(keras.callbacks.Callback):
    """Saves after each epoch, keeps the best weights, and stops when they get no better.

    Args:
      folder: in .work; belongs to one fingerprint.
      patience: epochs without a lower validation loss before training stops.
      is_chief: whether it is this process that saves.
    """

    def __init__(self, folder: Path, patience: int, is_chief: bool = True):
        super().__init__()
        self.is_chief = is_chief
        self.folder = folder
        self.patience = patience
        self.history: list[dict[str, float]] = []
        self.best: list[np.ndarray] = []

    @property
    def num_epochs(self) -> int:
        return len(self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch of the lowest validation loss, from 1; the first of equals, never a NaN."""
        losses = [row["val_loss"] for row in self.history]
        return int(np.argmin([x if math.isfinite(x) else math.inf for x in losses])) + 1

    @property
    def is_finished(self) -> bool:
        return self.num_epochs > 0 and self.num_epochs - self.best_epoch >= self.patience

    def restore(self, model: keras.Model, is_anew: bool = False) -> None:
        """Puts the model where the last checkpoint left it; does nothing where there is none.

        Args:
          model: just built.
          is_anew: to delete the checkpoint, and leave the model as it is.
        """
        variables = _variables(model)
        path = self.folder / "checkpoint.npz"
        if is_anew and self.is_chief:
            shutil.rmtree(self.folder, ignore_errors=True)
        if is_anew or not path.exists():
            return
        with np.load(path, allow_pickle=False) as state:
            self.history = json.loads(str(state["history"]))
            for index, variable in enumerate(variables):
                variable.assign(state[f"variable_{index}"])
            self.best = [state[f"best_{i}"] for i in range(len(model.weights))]

    def use_best(self, model: keras.Model) -> None:
        model.set_weights(self.best)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        row = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(row["loss"]):
            raise PipelineError(
                f"the loss of epoch {epoch + 1} is {row['loss']}: training diverged. Lower the "
                "model's learning_rate or clip_norm in params.yaml."
            )
        self.history.append(row)
        if self.best_epoch == self.num_epochs:
            self.best = self.model.get_weights()
        if self.is_chief:
            self._save()
        if self.is_finished:
            self.model.stop_training = True

    def _save(self) -> None:
        arrays = {f"variable_{i}": v.numpy() for i, v in enumerate(_variables(self.model))}
        arrays |= {f"best_{i}": weight for i, weight in enumerate(self.best)}
        arrays["history"] = np.array(json.dumps(self.history))
        with files.atomic_open(self.folder / "checkpoint.npz") as file:
            np.savez(file, **arrays)


class EpochLogger(keras.callbacks.Callback):
    """Sends each epoch's numbers to the training's run."""

    def __init__(self, run: tracking.Run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.run.log_epoch(epoch + 1, logs or {})


def _variables(model: keras.Model) -> list[keras.Variable]:
    """The state of model, optimizers and generators; not the metrics', which start anew each epoch.

    The global generator is made here if it is not there yet: else it would be made on first use.
    """
    if not model.optimizer.built:  # a loss scale would start anew
        model.optimizer.build(model.trainable_variables)
    metrics = {id(v) for v in model.metrics_variables}
    state = [v for v in model.variables if id(v) not in metrics]
    for optimizer in replicas.optimizers(model):
        if not optimizer.built:
            raise PipelineError(
                f"{model.name}'s optimizer {optimizer.name} has no variables yet, so a checkpoint "
                "could not restore it. The recipe's build must call optimizer.build(variables)."
            )
        state += optimizer.variables
    return [*state, global_seed_generator().state]
