"""Which pieces a corpus of notes takes: by length, density of notes, programs and metre.

A filter is judged on the NoteSequence, in a shard's job; so that the job knows it, each entry
carries the filters that are on, and none if all are off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from pipeline.errors import Rejected
from pipeline.options import Options

Count = int | None
Metre = tuple[int, int]


class NoteFilters(Options):
    """Options of a dataset of notes; null leaves a filter off."""

    min_notes: Count = Field(ge=1, description="drums' included; null: off")
    max_notes: Count = Field(ge=1, description="drums' included; null: off")
    min_seconds: float | None = Field(ge=0, description="length of a piece; null: off")
    max_seconds: float | None = Field(gt=0, description="length of a piece; null: off")
    min_programs: Count = Field(
        ge=1, le=129, description="different programs with notes; drums are one more; null: off"
    )
    max_programs: Count = Field(ge=1, le=129, description="as min_programs; null: off")
    time_signatures: tuple[Metre, ...] | None = Field(
        min_length=1,
        description="[numerator, denominator] each; pieces with another are left out, and one "
        "that names none is in 4/4; null: off",
    )

    @field_validator("max_notes", "max_seconds", "max_programs")
    @classmethod
    def _check_order(cls, high: float | None, info: ValidationInfo) -> float | None:
        name = str(info.field_name).replace("max_", "min_")
        low = info.data.get(name)
        if low is not None and high is not None and low > high:
            raise ValueError(f"{name}={low} is more than that")
        return high


def chosen(options: NoteFilters) -> dict[str, Any]:
    """The filters that are on, as JSON values by the name of their option."""
    values = options.model_dump(mode="json", include=set(NoteFilters.model_fields))
    return {name: value for name, value in values.items() if value is not None}


def check(serialized: bytes, filters: Mapping[str, Any]) -> None:
    """Judges a piece; compiled code reads the sequence, so that this takes microseconds.

    Args:
      serialized: a NoteSequence.
      filters: from `chosen`.

    Raises:
      Rejected: too_few_notes, too_many_notes, too_short, too_long, too_few_programs,
        too_many_programs or other_time_signature; the first that applies.
    """
    from pipeline.readers import note_table

    notes = note_table.read(serialized)
    _check_range("notes", len(notes.starts), filters, "too_few_notes", "too_many_notes")
    _check_range("seconds", float(notes.total_seconds), filters, "too_short", "too_long")
    if "min_programs" in filters or "max_programs" in filters:
        programs = np.where(notes.is_drum, _DRUMS, notes.programs)
        num_programs = len(set(programs.tolist()))
        _check_range("programs", num_programs, filters, "too_few_programs", "too_many_programs")
    if "time_signatures" in filters:
        metres = set(map(tuple, notes.time_signatures[:, 1:].tolist())) or {(4.0, 4.0)}
        others = sorted(metres.difference(map(tuple, filters["time_signatures"])))
        if others:
            numerator, denominator = others[0]
            raise Rejected("other_time_signature", f"{numerator:.0f}/{denominator:.0f}")


_DRUMS = -1


def _check_range(
    what: str, value: float, filters: Mapping[str, Any], below: str, above: str
) -> None:
    low, high = filters.get(f"min_{what}"), filters.get(f"max_{what}")
    if low is not None and value < low:
        raise Rejected(below, f"{what}={value:g} < min_{what}={low}")
    if high is not None and value > high:
        raise Rejected(above, f"{what}={value:g} > max_{what}={high}")
