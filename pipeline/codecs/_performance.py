"""Notes to performance events and back, without a protocol buffer: arrays in, arrays out."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pipeline.codecs._performance_vocabulary import Vocabulary
from pipeline.codecs._sustain import Notes


def quantize(notes: Notes, steps_per_second: int) -> Notes:
    """Times to the nearest step, one step long at least, ordered by onset in seconds and pitch.

    Source: note-seq, sequences_lib.quantize_note_sequence_absolute.
    """
    notes = notes.take(np.lexsort((notes.pitch, notes.start)))
    start = (notes.start * steps_per_second + 0.5).astype(np.int64)
    end = (notes.end * steps_per_second + 0.5).astype(np.int64)
    return replace(notes, start=start, end=end + (end == start))


def canonical(notes: Notes) -> Notes:
    """The order and the pairing of onsets and offsets that events alone can tell.

    Notes that begin on one step are ordered by pitch, and of several that sound at one pitch, the
    first to begin is the first to end. Note-seq's own decoder, then its encoder, does the same.
    """
    notes = notes.take(np.lexsort((notes.pitch, notes.start)))
    by_onset = np.lexsort((notes.start, notes.pitch))
    by_offset = np.lexsort((notes.end, notes.pitch))
    end = np.empty_like(notes.end)
    end[by_onset] = notes.end[by_offset]
    return replace(notes, end=end)


def cut(notes: Notes, vocabulary: Vocabulary, max_events: int) -> Iterator[np.ndarray]:
    """Events of consecutive runs of whole notes, each as long as max_events allows.

    A run after the first starts with its first note; a note that alone needs more is one run.
    """
    first = 0
    while first < len(notes.start):
        rest = notes.take(slice(first, None))
        origin = rest.start[0] if first else 0
        rest = replace(rest, start=rest.start - origin, end=rest.end - origin)

        def begun(num_notes: int, rest: Notes = rest) -> np.ndarray:
            return events(rest.take(slice(num_notes)), vocabulary)

        num_notes = min(len(rest.start), max_events // 2)  # a note is two events at least
        piece = begun(num_notes)
        if len(piece) > max_events:
            counts = range(1, num_notes)  # one more note never takes fewer events
            num_notes = max(bisect_right(counts, max_events, key=lambda n: len(begun(n))), 1)
            piece = begun(num_notes)
        yield piece
        first += num_notes


def events(notes: Notes, vocabulary: Vocabulary) -> np.ndarray:
    """Event ids of quantized notes, in their order within a step.

    Args:
      notes: in steps; onsets do not decrease.
      vocabulary: pitches outside its range must not occur.

    Returns:
      int64 ids in 0..num_classes - 1. Shape [num_events].

    Source: note-seq, performance_lib.BasePerformance._from_quantized_sequence.
    """
    num = len(notes.start)
    tone = notes.pitch - vocabulary.min_pitch
    ids = np.concatenate([tone, tone + vocabulary.note_off])
    changes = np.full(2 * num, -1)
    if vocabulary.num_velocity_bins:
        bins = (notes.velocity - 1) // vocabulary.velocities_per_bin
        is_new = np.diff(bins, prepend=-1) != 0
        changes[:num][is_new] = bins[is_new]
    steps = np.concatenate([notes.start, notes.end])
    order = np.lexsort((np.tile(np.arange(num), 2), steps))
    ids, changes = ids[order], changes[order]
    gaps = np.diff(steps[order], prepend=0)
    num_shifts = -(-gaps // vocabulary.max_shift_steps)
    has_change = changes >= 0
    position = np.cumsum(num_shifts + has_change + 1) - 1
    result = np.full(2 * num and position[-1] + 1, vocabulary.velocity - 1, np.int64)
    result[position] = ids
    result[position[has_change] - 1] = vocabulary.velocity + changes[has_change]
    has_gap = gaps > 0
    rest = gaps[has_gap] - (num_shifts[has_gap] - 1) * vocabulary.max_shift_steps
    result[(position - has_change - 1)[has_gap]] = vocabulary.shift + rest - 1
    return result


def notes_of(ids: np.ndarray, vocabulary: Vocabulary) -> Notes:
    """Notes in steps, ordered by offset; those left open end with the last event.

    Offs without a note and notes of no duration are left out. Velocity is 100 before any is given.

    Source: note-seq, performance_lib.BasePerformance._to_sequence.
    """
    note_off, shift, loudness = vocabulary.note_off, vocabulary.shift, vocabulary.velocity
    step, velocity = 0, 100
    rows: list[tuple[int, int, int, int, int]] = []
    sounding: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in ids.tolist():
        if event < note_off:
            sounding[event].append((step, velocity))
        elif event < shift:
            opened = sounding[event - note_off]
            if opened:
                start, loud = opened.pop(0)
                rows.append((start, step, event - note_off, loud, 0))
        elif event < loudness:
            step += event - shift + 1
        else:
            velocity = 1 + (event - loudness) * vocabulary.velocities_per_bin
    for tone, opened in sounding.items():
        rows += [(start, step, tone, loud, 0) for start, loud in opened]
    table = np.array([row for row in rows if row[0] < row[1]], np.int64).reshape(-1, 5)
    table[:, 2] += vocabulary.min_pitch
    return Notes(*table.T)
