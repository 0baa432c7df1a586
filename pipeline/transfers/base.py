"""What a method of style transfer declares: the notes of one song, the sound of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.options import Options


@dataclass(frozen=True)
class Request:
    """Two songs, of which a third is to be made.

    Attributes:
      notes: the song whose notes, rhythm and tempo are kept. float32, mono. Shape [samples].
      sound: the song whose timbre is taken. float32, mono. Shape [samples of its own].
      sample_rate: of both, in Hz.
      strength: 1 is the method at its fullest, 0 as good as the notes' song unchanged.
      seed: of what is drawn.
    """

    notes: np.ndarray
    sound: np.ndarray
    sample_rate: int
    strength: float
    seed: int


@dataclass(frozen=True)
class Method:
    """A method, declared.

    Attributes:
      name: the module's name.
      Params: what a user may set under transfers.<name>.<profile>.
      transfer: (request, params) -> the third song: float32 in [-1, 1], mono, as long as
        request.notes. Raises Rejected where a song cannot be used.
      is_baseline: whether others must be nearer to the truth than it.
    """

    name: str
    Params: type[Options]
    transfer: Callable[[Request, Any], np.ndarray]
    is_baseline: bool = False
