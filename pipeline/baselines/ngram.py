"""Interpolated n-grams of orders 1 to 8: what a model of event sequences must beat.

Every order is one line, p(w | h) = discounted(h w) + backoff(h) p(w | h without its first symbol),
down to the uniform distribution; the smoothings differ in those two terms only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import PipelineError

SMOOTHINGS = ("witten_bell", "kneser_ney")
MAX_ORDER = 8

# When the counts of counts cannot give discounts (too little data): those of KenLM's lmplz.
_FALLBACK_DISCOUNTS = np.array([0.5, 1.0, 1.5])
_PROBABILITIES_AT_ONCE = 2**22  # 32 MB of float64


@dataclass(frozen=True)
class Baseline:
    """The best of the n-grams on the test split.

    Attributes:
      smoothing: "witten_bell" or "kneser_ney".
      order: 1..8; the number of events before the one predicted, plus one.
      nll: sum of -log p over a test example's events, in nats. Shape [examples].
      num_events: Shape [examples].
      num_correct: events whose most probable class (the lowest of equals) is right. [examples].
      table: mean nll of an event on the test split, in nats: table[smoothing, order].
    """

    smoothing: str
    order: int
    nll: np.ndarray
    num_events: np.ndarray
    num_correct: np.ndarray
    table: dict[tuple[str, int], float]


def evaluate(train: list[np.ndarray], test: list[np.ndarray], num_classes: int) -> Baseline:
    """Trains both smoothings at every order, and keeps the one that is best on the TEST split.

    Choosing on the test split is generous to the baseline on purpose: a model that beats it has
    beaten every one of them. Each tune begins after begin-of-sequence symbols, which are never
    predicted; its end is not modelled. The vocabulary is closed: no class has probability 0.

    Args:
      train: class ids in 0..num_classes - 1, one array a tune. Shape [events] each.
      test: as train; at least one event.
      num_classes: size of the vocabulary; 512 and more are fine.

    Raises:
      PipelineError: if a class is out of range, or the test split has no events.

    Source: Chen and Goodman 1998 (TR-10-98), sections 2.5 (Witten-Bell), 3 (modified Kneser-Ney).
    """
    stream = _stream(train, test, num_classes)
    if not len(stream.test):
        raise PipelineError(
            f"test={len(test)} tunes without an event; an n-gram baseline is measured on at least "
            "one. Give the corpus more items, or its test split a larger share."
        )
    nll = _event_nll(stream)
    table = {choice: float(values.mean()) for choice, values in nll.items()}
    smoothing, order = min(table, key=lambda choice: table[choice])
    is_correct = _predictions(stream, smoothing, order) == stream.symbols[stream.test]
    return Baseline(
        smoothing=smoothing,
        order=order,
        nll=_per_example(stream, nll[smoothing, order]),
        num_events=np.array([len(tune) for tune in test], np.int64),
        num_correct=_per_example(stream, is_correct).astype(np.int64),
        table=table,
    )


def probabilities(
    train: list[np.ndarray],
    sequence: np.ndarray,
    num_classes: int,
    smoothing: str,
    order: int,
) -> np.ndarray:
    """What one n-gram expects at each event of a sequence, given those before it.

    Args:
      train: class ids in 0..num_classes - 1, one array a tune.
      sequence: class ids. Shape [events].
      num_classes: size of the vocabulary.
      smoothing: "witten_bell" or "kneser_ney".
      order: 1..8.

    Returns:
      float64, each row sums to 1. Shape [events, num_classes].
    """
    stream = _stream(train, [sequence], num_classes)
    rows = list(_distributions(stream, smoothing, order))
    return np.concatenate(rows) if rows else np.zeros((0, num_classes))


@dataclass(frozen=True)
class _Stream:
    """All tunes in one line, each after MAX_ORDER - 1 begin-of-sequence symbols.

    `ids[n]` names the n symbols that end at each position: equal id, equal symbols. Ids are given
    order by order, from (id of n - 1 symbols, symbol), so that no key can overflow, whatever the
    order and the number of classes.
    """

    symbols: np.ndarray  # [positions]
    ids: list[np.ndarray]  # [MAX_ORDER + 1] of [positions]
    train: np.ndarray  # positions of the training events
    test: np.ndarray
    example: np.ndarray  # of each test event
    num_examples: int
    num_classes: int

    def context(self, order: int, positions: np.ndarray) -> np.ndarray:
        """Ids of the order - 1 symbols before each position."""
        return self.ids[order - 1][positions - 1]


@dataclass(frozen=True)
class _Level:
    """One order of one model, as trained; grams are in order of their contexts.

    Attributes:
      gram: id of each gram seen in training. Shape [grams].
      symbol: its last symbol. Shape [grams].
      first: first gram of each context; those of context c are first[c]:first[c + 1].
      discounted: what the gram adds to the probability of its last symbol. Shape [grams].
      backoff: weight of the next lower order; 1 for an unseen context. Shape [contexts].
    """

    gram: np.ndarray
    symbol: np.ndarray
    first: np.ndarray
    discounted: np.ndarray
    backoff: np.ndarray


def _stream(train: list[np.ndarray], test: list[np.ndarray], num_classes: int) -> _Stream:
    tunes = [np.asarray(tune, np.int64) for tune in (*train, *test)]
    begin = np.full(MAX_ORDER - 1, num_classes)
    symbols = np.concatenate([part for tune in tunes for part in (begin, tune)] or [begin])
    lengths = np.array([len(tune) for tune in tunes], np.int64)
    tune_of = np.repeat(np.arange(len(tunes)), lengths)
    # An event's position is its index among all events, plus the begin symbols put in before it.
    positions = np.arange(len(tune_of)) + (tune_of + 1) * len(begin)
    events = symbols[positions]
    if len(events) and not 0 <= events.min() <= events.max() < num_classes:
        raise PipelineError(
            f"class ids {events.min()}..{events.max()} leave 0..num_classes - 1 "
            f"(num_classes={num_classes}) in the sequences of the n-gram baseline. Give the "
            "codec's num_classes for this feature."
        )
    num_train = int(lengths[: len(train)].sum())
    return _Stream(
        symbols=symbols,
        ids=_suffix_ids(symbols, num_classes + 1),
        train=positions[:num_train],
        test=positions[num_train:],
        example=tune_of[num_train:] - len(train),
        num_examples=len(test),
        num_classes=num_classes,
    )


def _suffix_ids(symbols: np.ndarray, num_symbols: int) -> list[np.ndarray]:
    ids = [np.zeros(len(symbols), np.int64), symbols]
    for _ in range(2, MAX_ORDER + 1):
        # The first n - 1 positions wrap around; they are begin symbols, which nobody predicts.
        key = np.roll(ids[-1], 1) * num_symbols + symbols
        ids.append(np.unique(key, return_inverse=True)[1])
    return ids


def _event_nll(stream: _Stream) -> dict[tuple[str, int], np.ndarray]:
    """-log p of each test event, for each smoothing and order."""
    uniform = np.full(len(stream.test), 1 / stream.num_classes)
    nll = {}
    for smoothing in SMOOTHINGS:
        lower = uniform
        for order in range(1, MAX_ORDER + 1):
            top = _of_events(stream, order, _level(stream, smoothing, order, True), lower)
            nll[smoothing, order] = -np.log(top)
            if smoothing == "witten_bell":
                lower = top
            elif order < MAX_ORDER:
                lower = _of_events(stream, order, _level(stream, smoothing, order, False), lower)
    return nll


def _of_events(stream: _Stream, order: int, level: _Level, lower: np.ndarray) -> np.ndarray:
    """Probabilities of the test events, given those of the next lower order."""
    discounted = np.zeros(stream.ids[order].max() + 1)
    discounted[level.gram] = level.discounted
    backoff = level.backoff[stream.context(order, stream.test)]
    return discounted[stream.ids[order][stream.test]] + backoff * lower


def _level(stream: _Stream, smoothing: str, order: int, is_top: bool) -> _Level:
    """Counts one order and discounts it; only Kneser-Ney treats a lower order otherwise."""
    gram, at, count = np.unique(
        stream.ids[order][stream.train], return_index=True, return_counts=True
    )
    at = stream.train[at]
    if smoothing == "kneser_ney" and not is_top:
        count = _continuations(stream, order, gram, at, count)
    context = stream.context(order, at)
    by_context = np.argsort(context, kind="stable")
    gram, at, count, context = (v[by_context] for v in (gram, at, count, context))
    num_contexts = int(stream.ids[order - 1].max()) + 1
    kept, freed = _smoothed(smoothing, count, context, num_contexts)
    total = np.bincount(context, count, num_contexts) + (
        freed if smoothing == "witten_bell" else 0.0
    )
    backoff = np.divide(freed, total, out=np.ones(num_contexts), where=total > 0)
    first = np.searchsorted(context, np.arange(num_contexts + 1))
    return _Level(gram, stream.symbols[at], first, kept / total[context], backoff)


def _continuations(
    stream: _Stream, order: int, gram: np.ndarray, at: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """How many different symbols stand before each gram: Kneser-Ney's count of a lower order.

    Before a gram that begins with the begin symbol nothing else can stand; it keeps its count, as
    in SRILM and KenLM.
    """
    longer = np.unique(stream.ids[order + 1][stream.train], return_index=True)[1]
    shorter = stream.ids[order][stream.train[longer]]
    different = np.bincount(shorter, minlength=gram.max(initial=-1) + 1)[gram]
    return np.where(stream.symbols[at - order + 1] == stream.num_classes, count, different)


def _smoothed(
    smoothing: str, count: np.ndarray, context: np.ndarray, num_contexts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Counts that the grams keep [grams], and those freed for the lower order [contexts]."""
    if smoothing == "witten_bell":
        return count.astype(float), np.bincount(context, minlength=num_contexts).astype(float)
    if smoothing == "kneser_ney":
        discount = _discounts(count)[np.minimum(count, 3) - 1]
        return count - discount, np.bincount(context, discount, num_contexts)
    raise PipelineError(f"smoothing={smoothing!r} is none of {', '.join(SMOOTHINGS)}.")


def _discounts(count: np.ndarray) -> np.ndarray:
    """Discounts of counts 1, 2 and 3 or more. Source: Chen and Goodman 1998, section 3."""
    n1, n2, n3, n4 = np.bincount(count, minlength=5)[1:5]
    if not (n1 and n2 and n3):
        return _FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    discounts = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    # One of 0 or less would free nothing, and leave unseen classes without probability.
    return discounts if discounts.min() > 0 else _FALLBACK_DISCOUNTS


def _predictions(stream: _Stream, smoothing: str, order: int) -> np.ndarray:
    rows = _distributions(stream, smoothing, order)
    return np.concatenate([row.argmax(axis=1) for row in rows])


def _distributions(stream: _Stream, smoothing: str, order: int) -> Iterator[np.ndarray]:
    """Probabilities of all classes at the test events, a block of events at a time."""
    levels = [_level(stream, smoothing, n, n == order) for n in range(1, order + 1)]
    size = max(1, _PROBABILITIES_AT_ONCE // stream.num_classes)
    for begin in range(0, len(stream.test), size):
        yield _block(stream, levels, stream.test[begin : begin + size])


def _block(stream: _Stream, levels: Sequence[_Level], positions: np.ndarray) -> np.ndarray:
    block = np.full((len(positions), stream.num_classes), 1 / stream.num_classes)
    for order, level in enumerate(levels, start=1):
        context = stream.context(order, positions)
        block *= level.backoff[context, None]
        begin, num = level.first[context], np.diff(level.first)[context]
        row = np.repeat(np.arange(len(positions)), num)
        entry = np.arange(len(row)) + np.repeat(begin - (np.cumsum(num) - num), num)
        block[row, level.symbol[entry]] += level.discounted[entry]  # no pair occurs twice
    return block


def _per_example(stream: _Stream, values: np.ndarray) -> np.ndarray:
    return np.bincount(stream.example, values, stream.num_examples)
