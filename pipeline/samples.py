"""Generated records as one file of arrays: what evaluation reads, before any rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.codecs.base import Record


def save(records: list[Record], folder: Path) -> None:
    """Writes records.npz, an array for each field of each record."""
    arrays: dict[str, Any] = {
        f"{index:05d}/{field}": np.asarray(value)
        for index, record in enumerate(records)
        for field, value in sorted(record.items())
    }
    np.savez(folder / "records.npz", **arrays)


def load(folder: Path) -> list[dict[str, np.ndarray]]:
    """The records, in the order in which they were generated."""
    records: dict[str, dict[str, np.ndarray]] = {}
    with np.load(folder / "records.npz", allow_pickle=False) as arrays:
        for key in arrays.files:
            index, _, field = key.partition("/")
            records.setdefault(index, {})[field] = arrays[key]
    return [records[index] for index in sorted(records)]
