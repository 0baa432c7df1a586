"""What the readers of scores share: the last checks of a sequence, and an error in brief."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pipeline.errors import Rejected

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

MAX_SECONDS = 8 * 3600.0
DEFAULT_QPM = 120.0
MAX_TIES_TIMES_NOTES = 500_000


def checked(sequence: NoteSequence, notation: str) -> NoteSequence:
    """Gives the sequence back, with a tempo, if it is one.

    Args:
      sequence: as read; where it has no tempo, 120 quarters a minute are added.
      notation: abc, musicxml or kern: the first word of the reason.

    Raises:
      Rejected: <notation>_no_notes, <notation>_too_long or <notation>_syntax (impossible meter or
        tempo).
    """
    if not sequence.notes:
        raise Rejected(f"{notation}_no_notes", "no note with a pitch and a length")
    if not 0 < sequence.total_time <= MAX_SECONDS:
        raise Rejected(
            f"{notation}_too_long", f"{sequence.total_time} s; the limit is {MAX_SECONDS} s"
        )
    for meter in sequence.time_signatures:
        if meter.numerator < 1 or meter.denominator < 1:
            raise Rejected(
                f"{notation}_syntax", f"a meter of {meter.numerator}/{meter.denominator}"
            )
    for tempo in sequence.tempos:
        if not 0 < tempo.qpm < math.inf:
            raise Rejected(f"{notation}_syntax", f"a tempo of {tempo.qpm} quarters a minute")
    if not sequence.tempos:
        sequence.tempos.add(time=0.0, qpm=DEFAULT_QPM)
    return sequence


def check_num_ties(num_ties: int, num_notes: int, notation: str) -> None:
    """Refuses what music21 would take minutes for: it sorts all notes at each tie.

    Raises:
      Rejected: <notation>_too_long.
    """
    if num_ties * num_notes > MAX_TIES_TIMES_NOTES:
        raise Rejected(
            f"{notation}_too_long",
            f"{num_ties} ties among {num_notes} notes; the product may be {MAX_TIES_TIMES_NOTES}",
        )


def brief(error: Exception) -> str:
    """The class of an error and at most 100 characters of its message, on one line."""
    return f"{type(error).__name__} {' '.join(str(error).split())[:100]}".strip()
