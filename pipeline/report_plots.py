"""A part of the stage report: what was measured, as drawings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import charts, report_results
from pipeline.report_inputs import SPLITS, input_file, rows_of
from pipeline.wording import words


def curves(name: str, train: Mapping[str, Any]) -> str:
    """Losses of a model by epoch."""
    rows = rows_of(input_file("train", name, "plots/curves.csv"))
    known = {"loss": "training loss", "val_loss": "validation loss"}
    series = {
        known.get(loss, words(loss)): [(float(row["epoch"]), float(row[loss])) for row in rows]
        for loss in rows[0]
        if loss.endswith("loss")
    }
    mark = ("best epoch", float(train["best_epoch"]))
    title = f"Training of {name}: {' and '.join(series)} by epoch"
    return charts.curves(series, title, "epoch", "loss", mark=mark)


def baselines(name: str, metrics: Mapping[str, Any]) -> str:
    """What n-grams of each order reach, and the model."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows_of(input_file("evaluate", name, "plots/baselines.csv")):
        point = float(row["order"]), float(row["nll"])
        series.setdefault(words(row["baseline"]), []).append(point)
    own = [metrics[key] for key in ("nll", "nll_low", "nll_high")]
    level = None if None in own else ("this model", *own)
    title = f"nll of the baselines by order, and that of {name}"
    x_label, y_label = "order of the n-gram (events)", "nll (nats an event)"
    return charts.curves(series, title, x_label, y_label, level)


def histogram(metric: str, values: Mapping[str, Mapping[str, Any]]) -> str:
    """Of a metric, by set of pieces."""
    found = charts.bins({words(which): own[metric] for which, own in values.items()})
    return charts.histogram(found, f"Histogram of {words(metric)}: {', '.join(found[1])}")


def margins(models: list[dict[str, Any]]) -> str | None:
    """Of all models of events, with their intervals; None without any."""
    keys = ("nll_margin", "nll_margin_low", "nll_margin_high")
    of_events = [model for model in models if report_results.kind(model["metrics"]) == "nll"]
    rows = [(model["name"], *(model["metrics"].get(key) for key in keys)) for model in of_events]
    rows = [row for row in rows if None not in row]
    label = "margin (nats an event)"
    return (
        charts.intervals(rows, "Margin of each model, with its interval", label) if rows else None
    )


def distributions(name: str) -> dict[str, str]:
    """Of a corpus, by statistic."""
    found: dict[str, dict[str, list[dict[str, str]]]] = {}
    for row in rows_of(input_file("describe", name, "plots/distributions.csv")):
        own = found.setdefault(row["statistic"], {split: [] for split in SPLITS})
        own[row["split"]].append(row)
    drawn: dict[str, str] = {}
    for statistic, own in found.items():
        bins = next(rows for rows in own.values() if rows)
        edges = [*(float(row["low"]) for row in bins), float(bins[-1]["high"])]
        shares = {split: [float(row["share"]) for row in rows] for split, rows in own.items()}
        title = f"Histogram of {words(statistic)}: {', '.join(shares)}"
        drawn[statistic] = charts.histogram((edges, shares), title)
    return drawn
