"""Notes of many instruments in seconds -> the lines of melody, bass and drums in steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.codecs import _four_four
from pipeline.codecs._trio_drums import drum_bits
from pipeline.codecs._trio_overlap import NO_EVENT, NOTE_OFF

if TYPE_CHECKING:
    from pipeline.readers.note_table import NoteTable

FIRST_PITCH = 2  # class of the lowest pitch; those below are no event and note off

Range = tuple[int, int]
_MELODY, _BASS, _DRUMS, _OTHER = range(4)


class Notes(NamedTuple):
    """Notes of one track, or of several, in steps; each array is int64 [notes].

    Attributes:
      tracks: stretch << 32 | instrument + 2**31, ascending.
      parts: what the program and being a drum make of a note, _MELODY to _OTHER.
      starts: ascending in a track.
      ends, pitches: of the notes.
    """

    tracks: np.ndarray
    parts: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    pitches: np.ndarray

    def within(self, places: slice | np.ndarray) -> Notes:
        return Notes._make(array[places] for array in self)


def stretches(
    notes: NoteTable,
    steps_per_quarter: int,
    programs: tuple[Range, Range],
    problems: dict[str, int],
) -> list[Notes]:
    """The notes of each stretch of one tempo whose bar is four quarters, by time.

    Args:
      notes: in seconds, unquantized.
      steps_per_quarter: steps that a quarter note is divided into.
      programs: lowest and highest MIDI program of melodies, and of basses.
      problems: to be counted up.

    Raises:
      Rejected: negative_duration.
    """
    rows, tracks, starts, ends, _ = _four_four.quantized(notes, steps_per_quarter, problems)
    parts = _parts(notes.programs[rows], notes.is_drum[rows], programs)
    taken = Notes(tracks, parts, starts, ends, notes.pitches[rows])
    return [taken.within(places) for places in _spans(tracks >> 32)]


def part_lines(
    stretch: Notes, pitches: Range, num_bars: int, steps_per_bar: int, max_lines: int
) -> tuple[list[np.ndarray], ...]:
    """The different lines of melody, of bass and of drums, those with most onsets first.

    An instrument whose notes belong to different parts belongs to none.

    Args:
      stretch: from `stretches`.
      pitches: lowest and highest that are heard in melody and bass.
      num_bars: what comes later is left out.
      steps_per_bar: steps of a bar.
      max_lines: of each part.

    Returns:
      For each part, int64 arrays [steps] in classes; none is empty.
    """
    num_steps = num_bars * steps_per_bar
    is_heard = (pitches[0] <= stretch.pitches) & (stretch.pitches <= pitches[1])
    is_heard = np.where(stretch.parts == _DRUMS, drum_bits(stretch.pitches) > 0, is_heard)
    is_heard &= stretch.starts < num_steps
    found: tuple[list[Notes], ...] = ([], [], [])
    for places in _spans(stretch.tracks):
        parts, heard = stretch.parts[places], is_heard[places]
        if parts[0] != _OTHER and (parts == parts[0]).all() and heard.any():
            found[parts[0]].append(stretch.within(places).within(heard))
    for tracks in found:
        tracks.sort(key=lambda track: -len(_spans(track.starts)))  # stable: then by instrument
    melodies, basses, drums = found
    pitched = (num_steps, steps_per_bar, pitches[0])
    return (
        _different((_top_line(track, *pitched) for track in melodies), max_lines),
        _different((_top_line(track, *pitched) for track in basses), max_lines),
        _different((_drum_line(track, num_steps) for track in drums), max_lines),
    )


def top_notes(line: np.ndarray, lowest_pitch: int) -> np.ndarray:
    """The notes of a melody or bass, int64 [notes, 3]: start, end and pitch.

    Args:
      line: any classes, int64 [steps]; its last note may end with it.
      lowest_pitch: of the first class of pitches.
    """
    starts = np.flatnonzero(line != NO_EVENT)
    ends = np.append(starts, len(line))[1:]
    notes = np.stack([starts, ends, line[starts] - FIRST_PITCH + lowest_pitch], axis=1)
    return notes[line[starts] >= FIRST_PITCH]


def _parts(programs: np.ndarray, is_drum: np.ndarray, ranges: tuple[Range, Range]) -> np.ndarray:
    (low, high), (bass_low, bass_high) = ranges
    is_melody = (low <= programs) & (programs <= high)
    is_bass = (bass_low <= programs) & (programs <= bass_high)
    return np.select([is_drum, is_melody, is_bass], [_DRUMS, _MELODY, _BASS], _OTHER)


def _spans(values: np.ndarray) -> list[slice]:
    """Where equal neighbours stand."""
    edges = [*np.flatnonzero(np.diff(values)) + 1, len(values)] if len(values) else []
    return [slice(first, last) for first, last in zip([0, *edges], edges, strict=False)]


def _different(lines: Iterable[np.ndarray], max_lines: int) -> list[np.ndarray]:
    found: dict[bytes, np.ndarray] = {}
    for line in lines:
        found.setdefault(line.tobytes(), line)
        if len(found) == max_lines:
            break
    return list(found.values())


def _top_line(track: Notes, num_steps: int, steps_per_bar: int, lowest_pitch: int) -> np.ndarray:
    """The highest of the notes that start together, each until the next one at most."""
    from pipeline.codecs import _melody_phrases as phrases

    limits = np.array([0, num_steps, 0], np.int64)
    endless = np.array([[0.0, np.inf, steps_per_bar, 1.0]])
    steps, same = np.stack([track.starts, track.ends]), np.zeros(len(track.starts), np.int64)
    counts = np.zeros(6, np.int64)
    _, events = phrases.find(steps, track.pitches, same, endless, limits, np.inf, True, counts)
    first = int(track.starts[0]) // steps_per_bar * steps_per_bar  # of its events
    line = np.full(first + len(events) + 1, NOTE_OFF)
    line[:first] = NO_EVENT
    line[first:-1] = np.where(events < 0, events, events - lowest_pitch) + FIRST_PITCH
    return np.pad(line, (0, max(0, num_steps - len(line))))[:num_steps]


def _drum_line(track: Notes, num_steps: int) -> np.ndarray:
    line = np.zeros(num_steps, np.int64)
    np.bitwise_or.at(line, track.starts, drum_bits(track.pitches))
    return line
