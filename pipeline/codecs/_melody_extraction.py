"""Monophonic melodies in steps from the notes of a NoteSequence in seconds.

Gives the melodies of Magenta's melody_rnn pipeline (time-change splitter, quantizer, melody
extractor) without copying or annotating the protos. Three rules differ, each because a melody must
come back from its own notes unchanged:

- Drums and notes of velocity 0 are taken out before the first bar is sought, not after.
- A melody cut at `max_steps` loses the silence that then ends it.
- A melody must have `min_bars` after that cut, not only before it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from pipeline.errors import Rejected

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

NO_EVENT = -2
NOTE_OFF = -1

# Each has come further than those after it; what went wrong last says most about the input.
_REASONS = {
    "too_few_pitches": "melodies with fewer pitch classes than min_unique_pitches",
    "too_short": "melodies shorter than min_bars",
    "polyphonic": "tracks where two notes start on one step",
    "non_integer_bar": "stretches whose bar is no whole number of steps",
    "bad_time_signature": "stretches whose time signature is no n/2^k",
    "bad_tempo": "stretches whose tempo is not positive",
}

ProgramRanges = tuple[tuple[int, int], ...]
Note = tuple[int, int, int]  # start step, pitch, end step


@dataclass(frozen=True)
class Melody:
    """A melody that starts on a bar line and ends where its last note ends.

    Attributes:
      events: a pitch 0..127 where a note starts, NOTE_OFF where silence starts, NO_EVENT elsewhere.
      steps_per_bar: of its time signature.
    """

    events: tuple[int, ...]
    steps_per_bar: int


def extract_melodies(
    sequence: NoteSequence,
    *,
    steps_per_quarter: int,
    min_bars: int,
    max_steps: int,
    min_unique_pitches: int,
    gap_bars: float,
    programs: ProgramRanges,
    use_top_line: bool = False,
) -> list[Melody]:
    """Finds the melodies of each track between two changes of tempo or time signature.

    Args:
      sequence: notes in seconds, unquantized.
      steps_per_quarter: steps that a quarter note is divided into.
      min_bars: shorter melodies are left out.
      max_steps: longer melodies are cut.
      min_unique_pitches: melodies with fewer pitch classes are left out, 1..12.
      gap_bars: bars of silence that end a melody.
      programs: ranges, both ends included, of the MIDI programs whose notes are heard.
      use_top_line: takes the highest of the notes that start on one step; otherwise the rest of a
        track is left out from the first such step on.

    Returns:
      One or more, by time, then by instrument; of equal ones only the first.

    Raises:
      Rejected: if none is left (the reason is the last rule that left one out), or if a note ends
        before it starts.

    Source: Magenta, `melody_pipelines.extract_melodies`; note-seq, `sequences_lib.
    split_note_sequence_on_time_changes`, `quantize_note_sequence` and
    `melodies_lib.Melody.from_quantized_sequence`.
    """
    notes = _audible_notes(sequence, programs)
    problems: Counter[str] = Counter()
    found: dict[tuple[int, ...], Melody] = {}
    for stretch in _stretches(sequence):
        problem = stretch.problem(steps_per_quarter)
        if problem is not None:
            problems[problem] += 1
            continue
        steps_per_bar = int(stretch.steps_per_bar(steps_per_quarter))
        tracks = _quantized_tracks(notes, stretch, steps_per_quarter)
        for phrase in _phrases(tracks, steps_per_bar, gap_bars, use_top_line):
            if phrase is None:
                problems["polyphonic"] += 1
                continue
            events = _events(phrase, steps_per_bar, max_steps)
            problem = _problem(events, min_bars * steps_per_bar, min_unique_pitches)
            if problem is None:
                found.setdefault(events, Melody(events, steps_per_bar))
            else:
                problems[problem] += 1
    if not found:
        raise _nothing_found(problems)
    return list(found.values())


def _nothing_found(problems: Counter[str]) -> Rejected:
    for reason in _REASONS:
        if problems[reason]:
            counts = [f"{problems[key]} {text}" for key, text in _REASONS.items() if problems[key]]
            return Rejected(reason, f"no melody is left after {', '.join(counts)}")
    return Rejected("no_notes", "no note starts between 0 s and total_time")


def _audible_notes(
    sequence: NoteSequence, programs: ProgramRanges
) -> list[tuple[float, float, int, int]]:
    """(start_time, end_time, pitch, instrument) of the notes to hear, by start time."""
    pitched = [note for note in sequence.notes if not note.is_drum and note.velocity]
    if not pitched:
        raise Rejected("no_notes", f"none of {len(sequence.notes)} notes has pitch and velocity")
    allowed = {program for low, high in programs for program in range(low, high + 1)}
    fields = attrgetter("start_time", "end_time", "pitch", "instrument")
    notes = [fields(note) for note in pitched if note.program in allowed]
    if not notes:
        used = sorted({note.program for note in pitched})
        raise Rejected("no_allowed_program", f"programs={used} are outside {list(programs)}")
    notes.sort(key=itemgetter(0))
    return notes


@dataclass(frozen=True)
class _Stretch:
    """A stretch of one tempo and one time signature; times in seconds, the end excluded."""

    start: float
    end: float
    numerator: int
    denominator: int
    qpm: float

    def steps_per_bar(self, steps_per_quarter: int) -> float:
        return steps_per_quarter * (4.0 / self.denominator * self.numerator)

    def problem(self, steps_per_quarter: int) -> str | None:
        denominator = self.denominator
        if self.numerator < 1 or denominator < 1 or denominator & (denominator - 1):
            return "bad_time_signature"
        if not 0 < self.qpm < math.inf:
            return "bad_tempo"
        return None if self.steps_per_bar(steps_per_quarter) % 1 == 0 else "non_integer_bar"


def _stretches(sequence: NoteSequence) -> list[_Stretch]:
    """Splits 0..total_time at each change; before the first, 4/4 at 120 qpm holds."""
    total = sequence.total_time
    changes = [(s.time, (s.numerator, s.denominator), None) for s in sequence.time_signatures]
    changes += [(t.time, None, t.qpm) for t in sequence.tempos]  # type: ignore[misc]
    signature, qpm = (4, 4), 120.0
    starts = [(0.0, signature, qpm)]
    for time, new_signature, new_qpm in sorted(changes, key=itemgetter(0)):
        if time >= total:
            break
        state = (new_signature or signature, qpm if new_qpm is None else new_qpm)
        if state == (signature, qpm):
            continue
        signature, qpm = state
        if time > starts[-1][0]:
            starts.append((time, *state))
        else:
            starts[-1] = (starts[-1][0], *state)
    ends = [time for time, _, _ in starts[1:]] + [total]
    return [
        _Stretch(start, end, *signature, qpm)
        for (start, signature, qpm), end in zip(starts, ends, strict=True)
    ]


def _quantized_tracks(
    notes: list[tuple[float, float, int, int]], stretch: _Stretch, steps_per_quarter: int
) -> list[list[Note]]:
    """The notes that start in a stretch, on its steps: a list an instrument, by start and pitch."""
    steps_per_second = steps_per_quarter * stretch.qpm / 60.0
    tracks: dict[int, list[Note]] = {}
    first = bisect_left(notes, stretch.start, key=itemgetter(0))
    last = bisect_left(notes, stretch.end, key=itemgetter(0))
    for start_time, end_time, pitch, instrument in notes[first:last]:
        end_time = end_time if end_time < stretch.end else stretch.end
        start = int((start_time - stretch.start) * steps_per_second + 0.5)
        end = int((end_time - stretch.start) * steps_per_second + 0.5)
        if end < start:
            raise Rejected("negative_duration", f"{start_time=} {end_time=} of {pitch=}")
        note = (start, pitch, end if end > start else start + 1)
        tracks.setdefault(instrument, []).append(note)
    for track in tracks.values():
        track.sort(key=lambda note: (note[0], -note[1]))
    return [tracks[instrument] for instrument in sorted(tracks)]


def _phrases(
    tracks: list[list[Note]], steps_per_bar: int, gap_bars: float, use_top_line: bool
) -> Iterator[list[Note] | None]:
    """Cuts tracks where they rest for `gap_bars`; None ends one at two notes on one step."""
    for track in tracks:
        phrase: list[Note] = []
        next_bar = 0
        for note in track:
            start = note[0]
            if phrase:
                if start == phrase[-1][0]:
                    if use_top_line:
                        continue
                    phrase = []
                    yield None
                    break
                last_end = phrase[-1][2]
                if start - last_end >= gap_bars * steps_per_bar:
                    yield phrase
                    phrase = []
                    next_bar = -(-last_end // steps_per_bar) * steps_per_bar
            if start >= next_bar:
                phrase.append(note)
        if phrase:
            yield phrase


def _events(phrase: list[Note], steps_per_bar: int, max_steps: int) -> tuple[int, ...]:
    """The events of a phrase from the bar line before it, each note cut by the next one."""
    first_step = phrase[0][0] // steps_per_bar * steps_per_bar
    kept = [note for note in phrase if note[0] < first_step + max_steps]
    if not kept:
        return ()
    events = [NO_EVENT] * min(kept[-1][2] - first_step, max_steps)
    previous_end = phrase[0][0]
    for start, pitch, end in kept:
        if previous_end < start:
            events[previous_end - first_step] = NOTE_OFF
        events[start - first_step] = pitch
        previous_end = end
    return tuple(events)


def _problem(events: tuple[int, ...], min_steps: int, min_unique_pitches: int) -> str | None:
    if len(events) < max(1, min_steps):
        return "too_short"
    if len({event % 12 for event in events if event >= 0}) < min_unique_pitches:
        return "too_few_pitches"
    return None
