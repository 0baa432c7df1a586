"""The melody and performance codecs beside note-seq, on one set of music, in one run.

The other side is what the tests compare with: note-seq's functions, combined as Magenta does.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from pipeline import registry
from pipeline.example import Example
from tests import test_codec_melody as melody_oracle
from tests import test_codec_performance as performance_oracle

NUM_ROUNDS = 5
NUM_TUNES = 100
NUM_PERFORMANCES = 20


def main() -> None:
    warnings.simplefilter("ignore")
    tunes = melody_oracle.tunes.__wrapped__()[:NUM_TUNES]
    performances = performance_oracle.performances.__wrapped__()[:NUM_PERFORMANCES]
    melody, performance = registry.codec("melody"), registry.codec("performance")
    rows = [
        (
            f"melody, 4 encodings, {len(tunes)} tunes",
            seconds(lambda t: _encoded(melody, t, melody_oracle.LOOSE), tunes),
            seconds(_note_seq_melody, tunes),
        ),
        (
            f"performance, {len(performances)} scores",
            seconds(lambda p: _encoded(performance, p, performance_oracle.OPTIONS), performances),
            seconds(_note_seq_performance, performances),
        ),
    ]
    print("| codec | ours, ms | note_seq, ms | times note_seq |\n|---|---:|---:|---:|")
    for name, ours, theirs in rows:
        print(f"| {name} | {1e3 * ours:.0f} | {1e3 * theirs:.0f} | {theirs / ours:.1f} |")


def seconds(encode: Callable[[Any], object], items: Sequence[Any]) -> float:
    """The median over rounds of encoding all the items once."""
    taken = []
    for _ in range(NUM_ROUNDS):
        started = time.perf_counter()
        for item in items:
            encode(item)
        taken.append(time.perf_counter() - started)
    return median(taken)


def _encoded(codec: Any, sequence: Any, options: Any) -> Any:
    from pipeline.errors import Rejected

    try:
        return codec.encode(Example("x", note_sequence=sequence), options)
    except Rejected:
        return None


def _note_seq_melody(sequence: Any) -> None:
    for melody in melody_oracle.oracle_melodies(sequence, melody_oracle.LOOSE):
        for name, oracle in melody_oracle.ORACLES.items():
            view = melody_oracle.CODEC.encoding(melody_oracle.LOOSE, name)
            melody.squash(view.low, view.high, view.key)
            oracle.encode(melody)


def _note_seq_performance(sequence: Any) -> None:
    options = performance_oracle.OPTIONS
    performance_oracle.oracle_ids(performance_oracle.oracle(sequence, options), options)


if __name__ == "__main__":
    main()
