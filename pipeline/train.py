"""Stage: a recipe on a corpus -> data/models/<model>: weights, and what they are weights of."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from pipeline import (
    console,
    files,
    fingerprint,
    hardware,
    locks,
    params,
    paths,
    registry,
    tracking,
    weights,
)
from pipeline.models.base import Shards


def main(name: str) -> None:
    settings = params.load()
    strategy = hardware.prepare(settings.seed, is_training=True)
    from pipeline import replicas  # imports Keras, which hardware sets up

    work = paths.work("train", name)
    if not replicas.is_chief(strategy):
        _train(settings, name, strategy, is_chief=False)
        return
    with locks.held(work / "lock", f"models.{name} is being trained"):
        files.clear_leftovers(paths.model(name))
        _train(settings, name, strategy, is_chief=True)


def _train(settings: params.Params, name: str, strategy: Any, is_chief: bool) -> None:
    """Trains from the last checkpoint on; only the chief writes anything."""
    from pipeline import replicas
    from pipeline.checkpoints import Checkpoints, EpochLogger

    block = settings.model(name)
    recipe, options = registry.recipe(block.recipe), settings.recipe_params(name)
    shards = weights.shards_of(settings, name)
    digest = fingerprint.of_training(settings, name)
    folder = paths.work("train", name) / digest
    checkpoints = Checkpoints(folder, options.patience, is_chief)
    with strategy.scope():
        model = recipe.build(options, shards)
        checkpoints.restore(model, is_anew=_is_recorded(folder, name))
    done = checkpoints.num_epochs
    replicas.require_agreement(strategy, f"epoch {done} of fingerprint {digest}")
    run = tracking.Run(settings, name, digest)
    if is_chief:
        run.start(done)
    if not checkpoints.is_finished:
        batches = recipe.batches(shards, "train", options, settings.seed)
        validation = recipe.batches(shards, "validation", options, settings.seed)
        replicas.spread(model, strategy, batches)
        model.fit(
            replicas.parted(batches.skip(done * options.steps_per_epoch), strategy),
            validation_data=replicas.parted(validation, strategy),
            initial_epoch=done,
            epochs=options.epochs,
            steps_per_epoch=options.steps_per_epoch,
            callbacks=[checkpoints, *([EpochLogger(run)] if is_chief else [])],
            shuffle=False,  # the recipe's batches are in the order that the seed gives
            verbose=console.keras_verbosity() if is_chief else 0,
        )
    if is_chief:
        checkpoints.use_best(model)
        _save(settings, name, model, shards)
        run.finish(_report(name, model, checkpoints))
        _leave(folder, name)


def _is_recorded(folder: Path, name: str) -> bool:
    """Whether DVC has what this checkpoint led to: then it is run again to be trained anew."""
    finished = folder / "finished.json"
    recorded = fingerprint.locked_outs().get(f"data/models/{name}")
    return finished.exists() and files.read_json(finished)["out"] == recorded


def _leave(folder: Path, name: str) -> None:
    """Keeps the checkpoint, since DVC has recorded nothing yet; drops those of other params."""
    files.write_json(folder / "finished.json", {"out": _dvc_hash(paths.model(name))})
    for other in sorted(folder.parent.iterdir()):
        if other.is_dir() and other != folder:
            shutil.rmtree(other)


def _dvc_hash(folder: Path) -> str:
    """What DVC will call a directory: the MD5 of the JSON list of its files' MD5s."""
    listed = [
        {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.name}
        for path in sorted(folder.iterdir())
    ]
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode()).hexdigest() + ".dir"


def _save(settings: params.Params, name: str, model: Any, shards: Shards) -> None:
    block = settings.model(name)
    with files.atomic_directory(paths.model(name)) as out:
        weights.save(model, out)
        files.write_json(
            out / "model.json",
            {
                "name": name,
                "recipe": block.recipe,
                "corpus": block.corpus,
                "source": files.read_json(shards.path / "corpus.json")["source"],
                "params": settings.recipe_params(name).model_dump(mode="json"),
            },
        )


def _report(name: str, model: Any, checkpoints: Any) -> dict[str, float]:
    out = paths.report("train", name)
    best = checkpoints.history[checkpoints.best_epoch - 1]
    metrics = {
        "num_epochs": checkpoints.num_epochs,
        "best_epoch": checkpoints.best_epoch,
        "num_parameters": model.count_params(),
        **{key: round(value, 6) for key, value in best.items()},
    }
    files.write_json(out / "metrics.json", metrics)
    _write_curves(out / "plots" / "curves.csv", checkpoints.history)
    return metrics


def _write_curves(path: Path, history: list[dict[str, float]]) -> None:
    with files.atomic_open(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = sorted(history[0])
        writer.writerow(["epoch", *columns])
        for epoch, row in enumerate(history, start=1):
            writer.writerow([epoch, *(f"{row[column]:.6f}" for column in columns)])


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.train", description=__doc__)
    parser.add_argument("model", help="a key of `models` in params.yaml")
    main(parser.parse_args().model)


if __name__ == "__main__":
    console.run(_command)
