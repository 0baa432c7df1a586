"""baselines/ngram against dictionaries and loops, and on sources whose entropy is known."""

from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from note_seq.abc_parser import parse_abc_tunebook_file
from note_seq.melodies_lib import Melody, PolyphonicMelodyError
from note_seq.sequences_lib import quantize_note_sequence

from pipeline.baselines import ngram
from pipeline.errors import PipelineError

BEGIN = "<s>"


class LoopedNgram:
    """The two smoothings as their formulas stand in the paper, one count at a time."""

    def __init__(self, train, num_classes, smoothing, order):
        self.num_classes, self.smoothing, self.order = num_classes, smoothing, order
        raw = {n: Counter() for n in range(1, order + 1)}
        for tune in train:
            padded = [BEGIN] * (order - 1) + [int(event) for event in tune]
            for end in range(order - 1, len(padded)):
                for n in raw:
                    raw[n][tuple(padded[end - n + 1 : end + 1])] += 1
        self.counts = dict(raw)
        if smoothing == "kneser_ney":
            for n in range(1, order):
                before = defaultdict(set)
                for gram in raw[n + 1]:
                    before[gram[1:]].add(gram[0])
                self.counts[n] = {
                    gram: raw[n][gram] if gram[0] == BEGIN else len(before[gram]) for gram in raw[n]
                }

    def probability(self, event, context):
        context = tuple(context)
        lower = self.probability(event, context[1:]) if context else 1 / self.num_classes
        counts = self.counts[len(context) + 1]
        seen = {g[-1]: c for g, c in counts.items() if g[:-1] == context}
        total = sum(seen.values())
        if not total:
            return lower
        if self.smoothing == "witten_bell":
            return (seen.get(event, 0) + len(seen) * lower) / (total + len(seen))
        d = self._discounts(counts)
        kept = max(seen[event] - d[min(seen[event], 3)], 0) if event in seen else 0
        freed = sum(d[min(count, 3)] for count in seen.values())
        return kept / total + freed / total * lower

    def _discounts(self, counts):
        n = [sum(1 for c in counts.values() if c == k) for k in range(5)]
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            d = {k: k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)}
            if min(d.values()) > 0:
                return d
        return {1: 0.5, 2: 1.0, 3: 1.5}


def markov_tunes(rng, count, num_classes, length=30):
    """Tunes of a sparse Markov chain, so that contexts repeat and some are never seen."""
    table = rng.dirichlet(np.full(num_classes, 0.3), num_classes)
    tunes = []
    for _ in range(count):
        tune = [int(rng.integers(num_classes))]
        for _ in range(rng.integers(1, length)):
            tune.append(int(rng.choice(num_classes, p=table[tune[-1]])))
        tunes.append(np.array(tune))
    return tunes


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng([0])
    return markov_tunes(rng, 25, 6), markov_tunes(rng, 4, 6)


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
@pytest.mark.parametrize("order", range(1, 9))
def test_equals_dictionaries_and_loops(toy, smoothing, order):
    train, test = toy
    looped = LoopedNgram(train, 6, smoothing, order)
    for tune in test:
        padded = [BEGIN] * (order - 1) + tune.tolist()
        expected = [
            [looped.probability(event, padded[t : t + order - 1]) for event in range(6)]
            for t in range(len(tune))
        ]
        found = ngram.probabilities(train, tune, 6, smoothing, order)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
@pytest.mark.parametrize("order", [1, 2, 5, 8])
def test_probabilities_sum_to_one_in_seen_and_unseen_contexts(toy, smoothing, order):
    train, _ = toy
    sequences = [train[0], np.arange(200) % 9, np.array([8, 8, 8, 7, 7, 6])]
    for sequence in sequences:
        rows = ngram.probabilities(train, sequence, 9, smoothing, order)  # 6, 7 and 8 are unseen
        np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-13)
        assert rows.min() > 0


def test_the_baseline_is_the_best_of_its_table(toy):
    train, test = toy
    best = ngram.evaluate(train, test, 6)
    assert list(best.table) == [(s, n) for s in ngram.SMOOTHINGS for n in range(1, 9)]
    lowest = min(best.table.values())
    assert best.table[best.smoothing, best.order] == lowest
    assert best.nll.sum() / best.num_events.sum() == pytest.approx(lowest)


def test_values_of_each_example_are_those_of_its_probabilities(toy):
    train, test = toy
    test = [test[0], np.array([], int), *test[1:]]
    best = ngram.evaluate(train, test, 6)
    for i, tune in enumerate(test):
        rows = ngram.probabilities(train, tune, 6, best.smoothing, best.order)
        assert best.nll[i] == pytest.approx(-np.log(rows[np.arange(len(tune)), tune]).sum())
        assert best.num_correct[i] == np.count_nonzero(rows.argmax(axis=1) == tune)
        assert best.num_events[i] == len(tune)
    assert best.num_correct.dtype.kind == "i"


@pytest.mark.parametrize("smoothing", ngram.SMOOTHINGS)
def test_table_is_the_mean_of_the_probabilities(toy, smoothing):
    train, test = toy
    table = ngram.evaluate(train, test, 6).table
    for order in range(1, 9):
        rows = [ngram.probabilities(train, tune, 6, smoothing, order) for tune in test]
        nll = [-np.log(row[np.arange(len(t)), t]) for row, t in zip(rows, test, strict=True)]
        assert table[smoothing, order] == pytest.approx(np.concatenate(nll).mean(), rel=1e-12)


def test_reaches_the_entropy_of_a_known_source():
    rng = np.random.default_rng([1])
    num_classes = 5
    table = rng.dirichlet(np.ones(num_classes), (num_classes, num_classes))
    events = [0, 0]
    draws = rng.random(60_000)
    cumulative = table.cumsum(axis=-1)
    for draw in draws:
        row = cumulative[events[-2], events[-1]]
        events.append(min(int(np.searchsorted(row, draw)), num_classes - 1))
    sequence = np.array(events)
    train, test = sequence[:50_000], sequence[50_000:]
    truth = -np.log(table[test[:-2], test[1:-1], test[2:]]).mean()
    best = ngram.evaluate([train], [test], num_classes)
    assert best.order == 3
    assert best.table["kneser_ney", 3] == pytest.approx(truth, rel=0.01)
    assert best.table["witten_bell", 3] == pytest.approx(truth, rel=0.01)


def abc_melodies(books):
    """Melodies of a folk tune collection as classes 0..37, in one key."""
    folder = Path(find_spec("music21").origin).parent / "corpus" / "airdsAirs"
    tunes = []
    for book in books:
        for _, tune in sorted(parse_abc_tunebook_file(str(folder / book))[0].items()):
            melody = Melody()
            try:
                melody.from_quantized_sequence(quantize_note_sequence(tune, 4), gap_bars=1000)
            except PolyphonicMelodyError:
                continue
            if len(melody):
                melody.squash(48, 84, 0)
                events = np.array(list(melody))
                tunes.append(np.where(events < 0, events + 2, events - 46))
    return tunes


def test_longer_contexts_help_on_real_tunes():
    tunes = abc_melodies(["book1.abc", "book2.abc"])
    assert len(tunes) > 80
    best = ngram.evaluate(tunes[::2], tunes[1::2], 38)
    nll = [best.table["kneser_ney", order] for order in (1, 3, 5)]
    assert np.log(38) > nll[0] > nll[1] > nll[2]
    assert best.order >= 5
    always_no_event = np.mean(np.concatenate(tunes[1::2]) == 0)
    assert best.num_correct.sum() / best.num_events.sum() > always_no_event


def test_a_tune_begins_after_nothing_but_its_own_beginning():
    # All tunes begin with 1, although 0 is by far the most frequent class.
    train = [np.array([1] + [0] * 30)] * 20
    rows = ngram.probabilities(train, np.array([1, 0]), 3, "witten_bell", 4)
    assert rows[0].argmax() == 1
    assert rows[1].argmax() == 0
    together = ngram.evaluate(train, [np.array([1, 0]), np.array([1, 0])], 3)
    assert together.nll[0] == together.nll[1]


def test_without_training_data_every_class_is_as_probable():
    best = ngram.evaluate([], [np.array([0, 3, 1])], 4)
    assert best.nll[0] == pytest.approx(3 * np.log(4))


def test_512_classes_at_order_8_do_not_overflow():
    rng = np.random.default_rng([2])
    motif = rng.integers(0, 512, 40)
    train = [np.concatenate([motif, rng.integers(0, 512, 20)]) for _ in range(30)]
    rows = ngram.probabilities(train, motif, 512, "kneser_ney", 8)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)
    assert (rows.argmax(axis=1) == motif).all()


def test_blocks_of_events_change_nothing(toy, monkeypatch):
    train, test = toy
    whole = ngram.probabilities(train, test[0], 6, "kneser_ney", 4)
    monkeypatch.setattr(ngram, "_PROBABILITIES_AT_ONCE", 20)
    np.testing.assert_array_equal(ngram.probabilities(train, test[0], 6, "kneser_ney", 4), whole)


def test_mistakes_are_named(toy):
    train, test = toy
    with pytest.raises(PipelineError, match="num_classes=5"):
        ngram.evaluate(train, test, 5)
    with pytest.raises(PipelineError, match="without an event"):
        ngram.evaluate(train, [np.array([], int)], 6)
    with pytest.raises(PipelineError, match="katz"):
        ngram.probabilities(train, test[0], 6, "katz", 2)
