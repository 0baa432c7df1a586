"""MIDI -> NoteSequence: the compiled reader beside note_seq and mido, in one run.

Usage: python benchmarks/midi_reader.py [folder of MIDI files]

Without a folder it reads the MIDI files that the music21 package carries. Each round reads all of
them once with each reader in turn; the first table gives the median over rounds, the second what a
process pays before its first file, as the median over fresh processes.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

NUM_ROUNDS = 7
NUM_PROCESSES = 3


def main() -> None:
    warnings.simplefilter("ignore")
    import mido
    import note_seq

    from pipeline.readers import midi

    files = [path.read_bytes() for path in midi_paths()]
    readers: dict[str, Callable[[bytes], object]] = {
        "note_seq": lambda data: note_seq.midi_to_note_sequence(data).SerializeToString(),
        "mido, parse alone": lambda data: mido.MidiFile(file=io.BytesIO(data)),
        "read_serialized": midi.read_serialized,
        "read": midi.read,
    }
    expected = [readers["note_seq"](data) for data in files]
    num_equal = sum(
        midi.read_serialized(data) == e for data, e in zip(files, expected, strict=True)
    )
    num_notes = sum(len(midi.read(data).notes) for data in files)
    seconds = median_seconds(readers, files)
    print(f"{len(files)} files, {num_notes} notes, {sum(map(len, files))} bytes; ", end="")
    print(f"{num_equal} of {len(files)} equal to note_seq to the byte.\n")
    print("| reader | files/s | notes/s | times note_seq |\n|---|---|---|---|")
    for name, value in seconds.items():
        ratio = seconds["note_seq"] / value
        rates = f"{len(files) / value:,.0f} | {num_notes / value:,.0f}"
        print(f"| {name} | {rates} | {ratio:.1f} |")
    print("\n| before the first file, fresh process | seconds |\n|---|---|")
    for name, value in start_up_seconds().items():
        print(f"| {name} | {value:.2f} |")


def midi_paths() -> list[Path]:
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
    else:
        spec = importlib.util.find_spec("music21")
        assert spec is not None
        assert spec.submodule_search_locations
        folder = Path(spec.submodule_search_locations[0])
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi"))


def median_seconds(
    readers: dict[str, Callable[[bytes], object]], files: list[bytes]
) -> dict[str, float]:
    rounds: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(NUM_ROUNDS):
        for name, read in readers.items():
            start = time.perf_counter()
            for data in files:
                read(data)
            rounds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in rounds.items()}


def start_up_seconds() -> dict[str, float]:
    """What a fresh process needs to be ready to read, less that of an empty one."""
    from_cache = "from pipeline.readers import midi; midi.read({data!r})"
    data = bytes.fromhex("4d546864000000060000000100604d54726b0000000400ff2f00")
    texts = {
        "import numba": "import numba",
        "import note_seq": "import note_seq",
        "read, compiled before": from_cache.format(data=data),
        "read, compiling": from_cache.format(data=data),
    }
    rounds: dict[str, list[float]] = {name: [] for name in ["", *texts]}
    for _ in range(NUM_PROCESSES):
        rounds[""].append(process_seconds("import numpy"))
        for name, text in texts.items():
            with tempfile.TemporaryDirectory() as folder:
                cache = {"NUMBA_CACHE_DIR": folder} if name.endswith("compiling") else {}
                rounds[name].append(process_seconds(text, cache))
    empty = median(rounds.pop(""))
    return {name: median(values) - empty for name, values in rounds.items()}


def process_seconds(text: str, environment: dict[str, str] | None = None) -> float:
    root = str(Path(__file__).resolve().parent.parent)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        env={**os.environ, "PYTHONPATH": root, **(environment or {})},
        check=True,
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
