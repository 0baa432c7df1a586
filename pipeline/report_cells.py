"""A part of the stage report: what stands in a cell of its tables of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipeline.wording import number, words

Model = Mapping[str, Any]  # its name, block of params.yaml, metrics, verdict and control


class Line(NamedTuple):
    """A line of a cell.

    Attributes:
      text: what stands there.
      kind: "note" for what is quiet, or a verdict's class.
      model: the name of a model whose section it leads to.
    """

    text: str
    kind: str = ""
    model: str = ""


Cell = Callable[[Model], list[Line]]


def value(key: str, digits: int = 3, sign: str = "") -> Cell:
    """A measure, and its interval on a line of its own."""

    def cell(model: Model) -> list[Line]:
        found = [model["metrics"].get(f"{key}{end}") for end in ("", "_low", "_high")]
        own, low, high = (number(v, digits, sign) for v in found)
        return [Line(own), *([] if None in found else [Line(f"[{low}, {high}]", "note")])]

    return cell


def first(*keys: str, digits: int = 3, sign: str = "") -> Cell:
    """The first of some measures that a model has, its name below it."""

    def cell(model: Model) -> list[Line]:
        found = [key for key in keys if model["metrics"].get(key) is not None]
        key = found[0] if found else keys[0]
        return [*value(key, digits, sign)(model), Line(words(key), "note")]

    return cell


def plain(key: str, digits: int = 3) -> Cell:
    """A measure alone."""
    return lambda model: [Line(number(model["metrics"].get(key), digits))]


def beside(key: str, reference: str, label: str) -> Cell:
    """A measure, and below it what it is to be compared with."""

    def cell(model: Model) -> list[Line]:
        own, other = (number(model["metrics"].get(k)) for k in (key, reference))
        return [Line(own), Line(f"{label} {other}", "note")]

    return cell


def corpus(model: Model) -> list[Line]:
    """What it was trained on."""
    return [Line(model["block"].corpus)]


def verdict(model: Model) -> list[Line]:
    """Whether it does what it must."""
    return [Line(model["verdict"].words, model["verdict"].kind)]


def verdict_and_control(model: Model) -> list[Line]:
    """That, and whether its control fails."""
    return [*verdict(model), Line(model["control"].words, model["control"].kind)]


def verdict_and_judge(model: Model) -> list[Line]:
    """That, and which classifier said so."""
    judge = model["block"].judge
    return [*verdict(model), Line(f"judge: {judge}", "note", judge)]


def baselines(measure: str) -> Cell:
    """Each baseline of a classifier by its name, the best one first."""
    prefix, is_other = f"{measure}_", ("margin", "above_majority", "low", "high")

    def cell(model: Model) -> list[Line]:
        found = [
            (v, key.removeprefix(prefix))
            for key, v in model["metrics"].items()
            if key.startswith(prefix)
            and key.removeprefix(prefix) not in is_other
            and not key.endswith(("_low", "_high"))
            and v is not None
        ]
        lines = []
        for own, name in sorted(found, key=lambda row: (-row[0], row[1])):
            lines += [Line(number(own)), Line(words(name), "note")]
        return lines or [Line(number(None))]

    return cell


def spread(model: Model) -> list[Line]:
    """How much a transfer's strength differs between seeds."""
    metrics, prefix = model["metrics"], "transfer_strength_seed_"
    num = sum(key.startswith(prefix) and key.endswith("_low") for key in metrics)
    found = metrics.get("transfer_strength_spread")
    return [
        Line(f"{'±' if found is not None else ''}{number(found)}"),
        Line(f"{num} seed{'s' if num != 1 else ''}", "note"),
    ]


def nearer(model: Model) -> list[Line]:
    """In how many metrics samples are nearer to the training data than each contrast is."""
    metrics, prefix = model["metrics"], "num_metrics_nearer_than_"
    lines = []
    for key in sorted((key for key in metrics if key.startswith(prefix)), reverse=True):
        lines.append(Line(f"{metrics[key]} of {metrics['num_metrics']}"))
        lines.append(Line(f"than {words(key.removeprefix(prefix))}", "note"))
    return lines or [Line(number(None))]
