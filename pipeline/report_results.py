"""A part of the stage report: the tables of results, one for each kind of model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import report_cover_tables, report_tables
from pipeline.report_cells import Line, Model
from pipeline.report_columns import Table

CLASSIFIERS = ("balanced_accuracy", "roc_auc")  # measures of models that make no music
*_COMPARED, _LAST = report_tables.TABLES
TABLES = (*_COMPARED, *report_cover_tables.TABLES, _LAST)  # in the order of the page
# An encoder may be a classifier, too: where it stands is decided by the first marker that it has.
_BY_MARKER = (*report_cover_tables.TABLES, *report_tables.TABLES)


def kind(metrics: Mapping[str, Any]) -> str:
    """The marker of the table that a model stands in; "" in that of those compared with nothing."""
    return next((table.marker for table in _BY_MARKER if table.marker in metrics), "")


def tables(models: Sequence[Model]) -> list[tuple[Table, list[tuple[str, list[list[Line]]]]]]:
    """The tables that have rows, each with them: a model's name and cells."""
    found = []
    for table in TABLES:
        own = [model for model in models if kind(model["metrics"]) == table.marker]
        rows = [(model["name"], [column.cell(model) for column in table.columns]) for model in own]
        found += [(table, rows)] if rows else []
    return found
