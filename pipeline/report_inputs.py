"""A part of the stage report: the files that other stages left."""

from __future__ import annotations

import csv
from pathlib import Path

from pipeline import paths
from pipeline.errors import PipelineError

SPLITS = ("train", "validation", "test")


def input_file(stage: str, item: str, file: str) -> Path:
    """A file that another stage left.

    Raises:
      PipelineError: it is not there; names the stage to run.
    """
    folder = paths.samples(item) if stage == "generate" else paths.report(stage, item)
    if not (folder / file).is_file():
        where = (folder / file).relative_to(paths.ROOT)
        raise PipelineError(f"{where} is missing. Run `dvc repro {stage}@{item}` first.")
    return folder / file


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
