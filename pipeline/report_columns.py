"""A part of the stage report: what a table of results is."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report_cells import Cell


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
      heading: what stands at its top.
      cell: of a model.
      meaning: what it is, in plain words; stands above the table.
      is_number: whether its cells are aligned to the right.
    """

    heading: str
    cell: Cell
    meaning: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Table:
    """The models of one kind, side by side.

    Attributes:
      marker: a measure; a model stands in the first table whose marker it has.
      heading: of the section.
      about: what the models do, and on what that was measured.
      columns: beside the models' names.
    """

    marker: str
    heading: str
    about: str
    columns: tuple[Column, ...]
