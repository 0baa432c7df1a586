"""A plug-in by its name: the file's existence registers it, and nothing is imported before use."""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.codecs.base import Codec
    from pipeline.datasets.base import Dataset
    from pipeline.models.base import Recipe
    from pipeline.transfers.base import Method

_PACKAGE = Path(__file__).parent


def dataset(name: str) -> Dataset:
    return _plugin("datasets", name).DATASET


def codec(name: str) -> Codec:
    return _plugin("codecs", name).CODEC


def recipe(name: str) -> Recipe:
    return _plugin("models", name).RECIPE


def transfer(name: str) -> Method:
    """A method of style transfer."""
    return _plugin("transfers", name).METHOD


def baseline(name: str) -> Any:
    """The module of a baseline; each has `evaluate`."""
    return _plugin("baselines", name)


def metrics(name: str) -> Any:
    """The module of metrics for one medium."""
    return _plugin("metrics", name)


def miniature(name: str) -> Any:
    """The module that builds a dataset in small; each has `build`."""
    return _plugin("miniatures", name)


@cache
def names(folder: str) -> tuple[str, ...]:
    """The plug-ins of a folder, files or packages, e.g. names("codecs")."""
    found = [f for f in (_PACKAGE / folder).iterdir() if f.suffix == ".py" or f.is_dir()]
    return tuple(sorted(f.stem for f in found if f.stem != "base" and not f.stem.startswith("_")))


def _plugin(folder: str, name: str) -> Any:
    if name not in names(folder):
        near = difflib.get_close_matches(name, names(folder), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names(folder))}."
        raise PipelineError(f"{folder}: no plug-in is named {name!r}; {hint}")
    return importlib.import_module(f"pipeline.{folder}.{name}")
