"""A model's weights as a file: equal weights give equal bytes.

Not .keras: that holds a date, zip times and memory addresses, so it is never the same twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def save(model: keras.Model, folder: Path) -> None:
    """Writes the weights alone: the optimizer's state is of no use to whom only samples."""
    model.optimizer = None
    model.save_weights(folder / "model.weights.h5")


def load(model: keras.Model, folder: Path) -> None:
    """Puts saved weights into a model of the same build; it cannot be trained further."""
    model.optimizer = None
    model.load_weights(folder / "model.weights.h5")
