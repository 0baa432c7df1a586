"""How much of a generated sequence is copied from the training data.

A number alone says nothing, because music repeats itself: held-out sequences, which cannot have
been copied, stand beside the generated ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics.comparison import mean_ignoring_nan

if TYPE_CHECKING:
    from pipeline.metrics.symbolic import Notes

NGRAM_LENGTHS = (8, 16, 32)
NEAREST_LENGTH = 8

_NOTE_OFF = -1


def memorisation_metrics(
    generated: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    training: Sequence[np.ndarray],
    lengths: tuple[int, ...] = NGRAM_LENGTHS,
) -> dict[str, float]:
    """Overlap of generated and of held-out sequences with the training data, means over sequences.

    Held-out sequences are cut to the length of the longest generated one: the longer a sequence,
    the longer its longest match. Runs of "no event" match trivially; give melody events once as
    they are and once as `intervals_and_durations`, or notes as `note_symbols`: both also find
    transposed copies.

    Args:
      generated: as in `overlap`.
      held_out: as in `overlap`.
      training: as in `overlap`.
      lengths: of the n-grams whose share is taken, in events.

    Returns:
      Of the generated ones longest_match (events, the mean) and longest_match_max,
      nearest_jaccard, and seen_share_<n> for each length; "<metric>_held_out" beside each.
    """
    longest = max((len(sequence) for sequence in generated), default=0)
    held_out = [sequence[:longest] for sequence in held_out]
    # One call for both, because nearly all of its time goes into the training data.
    found = overlap([*generated, *held_out], training, lengths)
    metrics: dict[str, float] = {}
    for suffix, part in {
        "": slice(len(generated)),
        "_held_out": slice(len(generated), None),
    }.items():
        match = found.longest_match[part]
        metrics[f"longest_match{suffix}"] = float(mean_ignoring_nan(match))
        metrics[f"longest_match_max{suffix}"] = float(match.max(initial=0))
        metrics[f"nearest_jaccard{suffix}"] = float(mean_ignoring_nan(found.nearest_jaccard[part]))
        for n, share in found.seen_share.items():
            metrics[f"seen_share_{n}{suffix}"] = float(mean_ignoring_nan(share[part]))
    return metrics


@dataclass(frozen=True)
class Overlap:
    """What sequences share with the training data; one value a sequence.

    Attributes:
      longest_match: events of its longest contiguous run that some training sequence contains.
      seen_share: by length n, the share of its n-grams that occur in training; NaN if it has none.
      nearest: index of the training sequence with the most alike set of n-grams; -1 if it has none.
      nearest_jaccard: n-grams in both sets / in either, of that sequence; NaN if it has none.
    """

    longest_match: np.ndarray
    seen_share: dict[int, np.ndarray]
    nearest: np.ndarray
    nearest_jaccard: np.ndarray


def overlap(
    sequences: Sequence[np.ndarray],
    training: Sequence[np.ndarray],
    lengths: tuple[int, ...] = NGRAM_LENGTHS,
    nearest_length: int = NEAREST_LENGTH,
) -> Overlap:
    """Exact matches of sequences with training sequences; none reaches beyond a sequence's end.

    Args:
      sequences: integer events, [events] each; or several fields an event, [events, fields] each.
      training: as sequences, with the same fields.
      lengths: of the n-grams whose share is taken, in events, 1 or more.
      nearest_length: of the n-grams by which the nearest training sequence is found.

    Source: the ranks are those of a suffix array, Manber and Myers 1993, section 3.
    """
    stream = _stream(sequences, training, max(*lengths, nearest_length))
    nearest, jaccard = _nearest(stream, nearest_length)
    return Overlap(
        longest_match=_longest_match(stream),
        seen_share={n: _seen_share(stream, n) for n in lengths},
        nearest=nearest,
        nearest_jaccard=jaccard,
    )


def intervals_and_durations(events: np.ndarray) -> np.ndarray:
    """The notes of a melody such that a transposed copy gives the same.

    Args:
      events: -2 for no event, -1 for note-off, 0..127 for a note's onset. Shape [steps].

    Returns:
      For each note but the last: semitones up to the next note, and its own duration in steps,
      until a note-off or the next onset. Shape [max(notes - 1, 0), 2].

    Example:
      >>> intervals_and_durations(np.array([60, -2, 62, -1, 64])).tolist()
      [[2, 2], [2, 1]]
    """
    events = np.asarray(events, np.int64)
    onsets = np.flatnonzero(events >= 0)
    ends = np.flatnonzero(events >= _NOTE_OFF)
    # `ends` holds every onset too; the entry after an onset is where its note stops.
    durations = ends[np.searchsorted(ends, onsets[:-1]) + 1] - onsets[:-1]
    return np.stack([np.diff(events[onsets]), durations], axis=1)


def note_symbols(notes: Notes) -> np.ndarray:
    """Notes of any number of voices such that a transposed copy gives the same; no drums.

    Durations are left out: between voices they overlap, and between performances they vary.

    Args:
      notes: on a grid; the notes of one step are taken from the lowest pitch up.

    Returns:
      For each note but the last: semitones up to the next note, and steps to its onset.
      Shape [max(notes - 1, 0), 2].
    """
    is_pitched = ~notes.is_drum
    pitches, starts = notes.pitches[is_pitched], notes.start_steps[is_pitched]
    order = np.lexsort((pitches, starts))
    return np.stack([np.diff(pitches[order]), np.diff(starts[order])], axis=1)


@dataclass(frozen=True)
class _Stream:
    """All sequences in one line, the training ones first, each followed by a symbol of its own.

    `ranks[j]` orders the windows of 2**j events that begin at each position: equal rank, equal
    events. The closing symbols differ, so that no match can reach over one.
    """

    ranks: list[np.ndarray]  # of [positions]
    sequence: np.ndarray  # index of the sequence at each position
    left: np.ndarray  # events from each position to its sequence's end; 0 at the closing symbol
    num_training: int
    num_sequences: int

    @property
    def boundary(self) -> int:
        """The first position that is not training."""
        return int(np.searchsorted(self.sequence, self.num_training))


def _stream(sequences: Sequence[np.ndarray], training: Sequence[np.ndarray], reach: int) -> _Stream:
    everything = [*training, *sequences]
    lengths = np.array([len(events) for events in everything], np.int64)
    ends = np.cumsum(lengths + 1) - 1
    sequence = np.repeat(np.arange(len(everything)), lengths + 1)
    ranks = [_symbols(everything, lengths, ends)]
    longest = max((len(events) for events in sequences), default=0)
    while 2 ** (len(ranks) - 1) < max(longest, reach):
        ranks.append(_doubled(ranks[-1], 2 ** (len(ranks) - 1)))
    left = ends[sequence] - np.arange(len(sequence))
    return _Stream(ranks, sequence, left, len(training), len(sequences))


def _symbols(everything: list[np.ndarray], lengths: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Events as one integer each, whatever their fields; closing symbols stand above them all."""
    rows = [np.asarray(e, np.int64).reshape(len(e), -1) for e in everything if len(e)]
    fields = np.concatenate(rows).T if rows else np.zeros((1, 0), np.int64)
    events = np.zeros(fields.shape[1], np.int64)
    for field in fields:
        values, value = np.unique(field, return_inverse=True)
        events = np.unique(events * max(len(values), 1) + value, return_inverse=True)[1]
    symbols = np.empty(int((lengths + 1).sum()), np.int32)
    is_event = np.ones(len(symbols), bool)
    is_event[ends] = False
    symbols[is_event] = events
    symbols[ends] = events.max(initial=-1) + 1 + np.arange(len(ends))
    return symbols


def _doubled(rank: np.ndarray, width: int) -> np.ndarray:
    """Ranks of windows twice as wide; beyond the last position stands what is below everything."""
    second = np.zeros(len(rank), np.int64)
    second[: max(len(rank) - width, 0)] = rank[width:] + 1
    key = rank.astype(np.int64) * (len(rank) + 1) + second
    return np.unique(key, return_inverse=True)[1].astype(np.int32)


def _longest_match(stream: _Stream) -> np.ndarray:
    """The neighbours of a window in sorted order are its longest matches."""
    order = np.argsort(stream.ranks[-1], kind="stable")
    place = np.arange(len(order))
    is_training = order < stream.boundary
    before = np.maximum.accumulate(np.where(is_training, place, -1))
    after = np.minimum.accumulate(np.where(is_training, place, len(order))[::-1])[::-1]
    longest = np.zeros(stream.num_sequences, np.int64)
    for neighbour in (before, after):
        asked = ~is_training & (neighbour >= 0) & (neighbour < len(order))
        position = order[asked]
        match = _common_prefix(stream.ranks, position, order[neighbour[asked]])
        np.maximum.at(longest, stream.sequence[position] - stream.num_training, match)
    return longest


def _common_prefix(ranks: list[np.ndarray], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many events from position a on equal those from b on."""
    common = np.zeros(len(a), np.int64)
    for j in reversed(range(len(ranks))):
        common += np.where(ranks[j][a + common] == ranks[j][b + common], 2**j, 0)
    return common


def _grams(stream: _Stream, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions at which an n-gram begins, in order, and which n-gram it is. Shape [grams] each."""
    at = np.flatnonzero(stream.left >= n)
    j = n.bit_length() - 1
    if n == 2**j:
        return at, stream.ranks[j][at].astype(np.int64)
    # Two windows of 2**j events that overlap cover exactly n.
    key = stream.ranks[j][at].astype(np.int64) * len(stream.left)
    key += stream.ranks[j][at + n - 2**j]
    return at, np.unique(key, return_inverse=True)[1]


def _seen_share(stream: _Stream, n: int) -> np.ndarray:
    at, gram = _grams(stream, n)
    num_training = np.searchsorted(at, stream.boundary)
    is_seen = np.zeros(gram.max(initial=-1) + 1, bool)
    is_seen[gram[:num_training]] = True
    owner = stream.sequence[at[num_training:]] - stream.num_training
    num = np.bincount(owner, minlength=stream.num_sequences)
    num_seen = np.bincount(owner, is_seen[gram[num_training:]], stream.num_sequences)
    return np.divide(num_seen, num, out=np.full(len(num), np.nan), where=num > 0)


def _nearest(stream: _Stream, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Index and Jaccard similarity of the training sequence that shares the most n-grams."""
    at, gram = _grams(stream, n)
    num_grams = int(gram.max(initial=-1)) + 1
    owner, gram = np.divmod(np.unique(stream.sequence[at] * num_grams + gram), max(num_grams, 1))
    num_training = np.searchsorted(owner, stream.num_training)
    size = np.bincount(owner, minlength=stream.num_training + stream.num_sequences)
    nearest = np.full(stream.num_sequences, -1)
    jaccard = np.full(stream.num_sequences, np.nan)
    for i in range(stream.num_sequences if num_training else 0):
        index = stream.num_training + i
        mine = np.zeros(num_grams, bool)
        mine[gram[slice(*np.searchsorted(owner, [index, index + 1]))]] = True
        both = np.bincount(owner[:num_training], mine[gram[:num_training]], stream.num_training)
        if size[index]:
            similarity = both / (size[: stream.num_training] + size[index] - both)
            nearest[i], jaccard[i] = similarity.argmax(), similarity.max()
    return nearest, jaccard
