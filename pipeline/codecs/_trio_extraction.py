"""Melodies, basses and drums that play together, from the notes of a NoteSequence in seconds.

Gives what the windows of Magenta's TrioConverter are cut from, as long as it goes on, without
annotating the protos. Four rules differ:

- Whether a part plays in a bar is read off its own line, not off all notes of its instrument, and
  again after it was cut, since a trio must come back from its own notes unchanged. So no bar is
  taken that Magenta does not take, but a few that it takes are left out.
- Notes of velocity 0 are taken out first, not last.
- A record does not begin with the end of a note that is not in it.
- Of many instruments, those with most onsets are taken; Magenta draws windows from all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from pipeline.codecs import _trio_lines
from pipeline.codecs._trio_overlap import overlaps
from pipeline.errors import Rejected

if TYPE_CHECKING:
    from pipeline.readers.note_table import NoteTable

# Each has come further than those after it; what went wrong last says most about the input.
_REASONS = {
    "no_overlap": "stretches whose parts never play min_bars together",
    "no_drums": "stretches without drums",
    "no_bass": "stretches without bass",
    "no_melody": "stretches without melody",
    "too_short": "stretches shorter than min_bars",
    "not_four_four": "stretches whose bar is not four quarters",
    "bad_time_signature": "stretches whose time signature is no n/2^k",
    "bad_tempo": "stretches whose tempo is not positive",
}


def extract_trios(
    notes: NoteTable,
    *,
    steps_per_quarter: int,
    min_bars: int,
    max_bars: int,
    gap_bars: int,
    melody_programs: _trio_lines.Range,
    bass_programs: _trio_lines.Range,
    min_pitch: int,
    max_pitch: int,
    max_combinations: int,
) -> list[np.ndarray]:
    """Finds the trios between two changes of tempo or time signature.

    Args:
      notes: in seconds, unquantized.
      steps_per_quarter: steps that a quarter note is divided into.
      min_bars: shorter trios are left out.
      max_bars: what comes later in a stretch is left out.
      gap_bars: bars of silence that a part may have on either side of those in which it plays.
      melody_programs, bass_programs: lowest and highest MIDI program of their instruments.
      min_pitch, max_pitch: lower and higher notes of melody and bass are left out.
      max_combinations: of a melody, a bass and drums that are tried in one stretch.

    Returns:
      Melody, bass and drums in classes, int64 [3, steps of whole bars]; by stretch, then
      combination, then time; of equal ones only the first.

    Raises:
      Rejected: if none is left (the reason is the last rule that left one out), or if a note ends
        before it starts.

    Source: Magenta, `music_vae.data.TrioConverter`; note-seq, `melodies_lib.Melody` with
    `ignore_polyphonic_notes` and without `gap_bars`, and `drums_lib.DrumTrack`.
    """
    problems = dict.fromkeys(_REASONS, 0)
    steps_per_bar = 4 * steps_per_quarter
    programs, pitches = (melody_programs, bass_programs), (min_pitch, max_pitch)
    trios: dict[bytes, np.ndarray] = {}
    for stretch in _trio_lines.stretches(notes, steps_per_quarter, programs, problems):
        num_bars = min(-(-int(stretch.ends.max()) // steps_per_bar), max_bars)
        if num_bars < min_bars:
            problems["too_short"] += 1
            continue
        lines = _trio_lines.part_lines(stretch, pitches, num_bars, steps_per_bar, max_combinations)
        found = [
            trio
            for parts in _combinations(lines, max_combinations)
            for trio in overlaps(parts, steps_per_bar, gap_bars, min_bars)
        ]
        trios.update((trio.tobytes(), trio) for trio in found)
        if not found:
            problems[_missing(lines)] += 1
    if not trios:
        raise _nothing_found(problems)
    return list(trios.values())


def _combinations(
    lines: tuple[list[np.ndarray], ...], max_combinations: int
) -> Iterator[np.ndarray]:
    """Melody, bass and drums, int64 [3, steps]; the melody changes first, the drums last."""
    for parts in islice(product(*reversed(lines)), max_combinations):
        yield np.stack(parts[::-1])


def _missing(lines: tuple[list[np.ndarray], ...]) -> str:
    for reason, found in zip(("no_melody", "no_bass", "no_drums"), lines, strict=True):
        if not found:
            return reason
    return "no_overlap"


def _nothing_found(problems: dict[str, int]) -> Rejected:
    for reason in _REASONS:
        if problems[reason]:
            counts = [f"{problems[key]} {text}" for key, text in _REASONS.items() if problems[key]]
            return Rejected(reason, f"no trio is left after {', '.join(counts)}")
    return Rejected("no_notes", "no note of any velocity starts between 0 s and total_time")
