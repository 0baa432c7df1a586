"""The codecs of notes beside note-seq, on one set of music, in one run.

The other side is what the tests compare with: note-seq's functions, combined as Magenta does. The
second table follows one file of Lakh's size and kind from its bytes to its serialized records.
"""

from __future__ import annotations

import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import note_seq
from note_seq.protobuf.music_pb2 import NoteSequence

from benchmarks.synthetic import lakh
from pipeline import registry, tfrecord
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.readers import midi, note_table
from pipeline.write_shard import KEY
from tests import test_codec_melody as melody_oracle
from tests import test_codec_note_sequence as plain_oracle
from tests import test_codec_performance as performance_oracle

NUM_ROUNDS = 5
NUM_TUNES = 100
NUM_PERFORMANCES = 20
NUM_FILES = 60
NUM_SLOW = 10  # files that note-seq's melodies and encodings are timed on


def main() -> None:
    warnings.simplefilter("ignore")
    tunes = melody_oracle.tunes.__wrapped__()[:NUM_TUNES]
    performances = performance_oracle.performances.__wrapped__()[:NUM_PERFORMANCES]
    melody, performance = registry.codec("melody"), registry.codec("performance")
    rows = [
        (
            f"melody, 4 encodings, {len(tunes)} tunes",
            seconds(lambda t: _encoded(melody, t, melody_oracle.LOOSE), tunes),
            seconds(lambda t: _note_seq_melody(t, melody_oracle.LOOSE), tunes),
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
    print()
    files = _files()
    tables = [note_table.read(midi.read_serialized(data)) for data in files]
    num_notes = sum(len(table.starts) for table in tables) / len(files)
    print(f"{len(files)} files of {num_notes:.0f} notes on average.\n")
    print("| step, a file | ours, ms | note_seq, ms | times note_seq |\n|---|---:|---:|---:|")
    for name, ours, theirs in _steps(files):
        beside = f"{1e3 * theirs:.1f} | {theirs / ours:.0f}" if theirs else "- | -"
        print(f"| {name} | {1e3 * ours:.3f} | {beside} |")


def _files() -> list[bytes]:
    """MIDI files of several tracks, undamaged."""
    with tempfile.TemporaryDirectory() as folder:
        lakh.write(Path(folder), NUM_FILES, 1, "lmd_full", fault_share=0.0)
        (path,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(path) as archive:
            members = [archive.extractfile(member) for member in archive if member.isfile()]
            return [member.read() for member in members if member is not None]


def _steps(files: list[bytes]) -> Iterator[tuple[str, float, float]]:
    """The name of a step, and what it takes for one file: ours and note_seq's, in seconds."""
    serialized = [midi.read_serialized(data) for data in files]
    sequences = [NoteSequence.FromString(data) for data in serialized]
    examples = [("a.mid", data) for data in serialized]
    melody, plain = registry.codec("melody"), registry.codec("note_sequence")
    plain_options = plain.Options(magenta_records=False)
    steps: list[tuple[str, Any, Any, Any, Any]] = [
        ("MIDI to NoteSequence", midi.read_serialized, files, _note_seq_read, files),
        (
            "NoteSequence to arrays",
            note_table.read,
            serialized,
            NoteSequence.FromString,
            serialized,
        ),
        ("fingerprint", lambda e: Example(*e).fingerprint(), examples, None, []),
        (
            "note_sequence: record, statistics, serialized",
            lambda e: _serialized(plain, Example(*e), plain_options),
            examples,
            lambda s: plain_oracle.counted(plain_oracle.named_by_protobuf(s, "a.mid", {})),
            sequences,
        ),
        (
            "melody: records, statistics, serialized",
            lambda e: _serialized(melody, Example(*e), melody_oracle.OPTIONS),
            examples,
            lambda s: _note_seq_melody(s, melody_oracle.OPTIONS),
            sequences[:NUM_SLOW],
        ),
    ]
    for name, ours, our_items, theirs, their_items in steps:
        seconds_ours = seconds(ours, our_items) / len(our_items)
        yield name, seconds_ours, seconds(theirs, their_items) / len(their_items) if theirs else 0


def _note_seq_read(data: bytes) -> bytes:
    serialized: bytes = note_seq.midi_to_note_sequence(data).SerializeToString()
    return serialized


def _walked(serialized: bytes) -> list[tuple[float, ...]]:
    notes = NoteSequence.FromString(serialized).notes
    return [
        (n.start_time, n.end_time, n.pitch, n.velocity, n.instrument, n.program, n.is_drum)
        for n in notes
    ]


def _serialized(codec: Any, example: Example, options: Any) -> None:
    features = {"key": KEY, **codec.features(options)}
    try:
        records = codec.encode(example, options)
    except Rejected:
        return
    for record in records:
        tfrecord.serialize_example({"key": example.key, **record}, features)
        codec.statistics(record, options)


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
    try:
        return codec.encode(Example("x", sequence.SerializeToString()), options)
    except Rejected:
        return None


def _note_seq_melody(sequence: Any, options: Any) -> None:
    for melody in melody_oracle.oracle_melodies(sequence, options):
        for name, oracle in melody_oracle.ORACLES.items():
            view = melody_oracle.CODEC.encoding(options, name)
            melody.squash(view.low, view.high, view.key)
            oracle.encode(melody)


def _note_seq_performance(sequence: Any) -> None:
    options = performance_oracle.OPTIONS
    performance_oracle.oracle_ids(performance_oracle.oracle(sequence, options), options)


if __name__ == "__main__":
    main()
