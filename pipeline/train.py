"""Stage: a recipe on a corpus -> data/models/<model>: weights, and what they are weights of."""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path
from typing import Any

from pipeline import (
    console,
    files,
    fingerprint,
    hardware,
    params,
    paths,
    registry,
    tracking,
    weights,
)
from pipeline.models.base import Shards


def main(name: str) -> None:
    settings = params.load()
    block = settings.model(name)
    recipe, options = registry.recipe(block.recipe), settings.recipe_params(name)
    shards = Shards.open(paths.shards(block.corpus))

    strategy = hardware.prepare(settings.seed)
    from pipeline.checkpoints import (
        Checkpoints,
        EpochLogger,
    )  # imports Keras, which hardware sets up

    with strategy.scope():
        model = recipe.build(options, shards)
    digest = fingerprint.of_training(settings, name)
    checkpoints = Checkpoints(paths.work("train", name) / digest, options.patience)
    checkpoints.restore(model)
    done = checkpoints.num_epochs
    run = tracking.Run(settings, name, digest)
    run.start(done)
    if not checkpoints.is_finished:
        batches = recipe.batches(shards, "train", options, settings.seed)
        model.fit(
            batches.skip(done * options.steps_per_epoch),
            validation_data=recipe.batches(shards, "validation", options, settings.seed),
            initial_epoch=done,
            epochs=options.epochs,
            steps_per_epoch=options.steps_per_epoch,
            callbacks=[checkpoints, EpochLogger(run)],
            shuffle=False,  # the recipe's batches are in the order that the seed gives
            verbose=console.keras_verbosity(),
        )
    checkpoints.use_best(model)
    _save(settings, name, model, shards)
    metrics = _report(name, model, checkpoints)
    run.finish(metrics)
    shutil.rmtree(paths.work("train", name), ignore_errors=True)


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
