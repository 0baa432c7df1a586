"""MIDI -> NoteSequence: the compiled reader beside note_seq and mido, in one run.

Usage: python -m benchmarks.midi_reader [folder of MIDI files]

Without a folder it reads the MIDI files that the music21 package carries, and the miniatures'
performances and arrangements, in two sets: files of 1,000 notes and more, and smaller ones. Each
round reads all of a set once with each reader in turn; the first table gives medians over rounds,
the second what a process pays before its first file, as the median over fresh processes.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace

NUM_ROUNDS = 5
NUM_PROCESSES = 3
NUM_PERFORMANCES = 60
NUM_ARRANGEMENTS = 120
LARGE_NOTES = 1000


def main() -> None:
    warnings.simplefilter("ignore")
    print("| files | reader | files/s | notes/s | times note_seq |\n|---|---|---:|---:|---:|")
    for name, files in sets_of_files().items():
        if files:
            print_rows(name, files)
    print("\n| before the first file, fresh process | seconds |\n|---|---:|")
    for name, value in start_up_seconds().items():
        print(f"| {name} | {value:.2f} |")


def sets_of_files() -> dict[str, list[bytes]]:
    from pipeline.readers import midi

    if len(sys.argv) > 1:
        paths = Path(sys.argv[1]).rglob("*")
        kept = sorted(path for path in paths if path.suffix.lower() in (".mid", ".midi"))
        files = [path.read_bytes() for path in kept]
    else:
        files = [*package_files(), *performances(), *arrangements()]
    large, small = [], []
    for data in files:
        is_large = len(midi.read(data).notes) >= LARGE_NOTES
        (large if is_large else small).append(data)
    return {f"{LARGE_NOTES:,} notes and more": large, f"fewer than {LARGE_NOTES:,} notes": small}


def package_files() -> list[bytes]:
    spec = importlib.util.find_spec("music21")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    return [path.read_bytes() for path in sorted(folder.rglob("*.mid"))]


def performances() -> list[bytes]:
    """MAESTRO in small: one piano track with its pedal."""
    from pipeline.miniatures import maestro

    with tempfile.TemporaryDirectory() as folder:
        options = SimpleNamespace(miniature_size=NUM_PERFORMANCES, audio=False, version="v3.0.0")
        maestro.build(Path(folder), options, seed=0)
        (path,) = Path(folder).glob("*.zip")
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith((".mid", ".midi"))]
            return [archive.read(name) for name in names]


def arrangements() -> list[bytes]:
    """Lakh in small, without its corrupt files: several tracks and drums."""
    from pipeline.errors import Rejected
    from pipeline.miniatures import lakh
    from pipeline.readers import midi

    with tempfile.TemporaryDirectory() as folder:
        size = NUM_ARRANGEMENTS
        options = SimpleNamespace(miniature_size=size, subset="lmd_matched", genre_source=None)
        lakh.build(Path(folder), options, seed=0)
        files = []
        with tarfile.open(Path(folder) / "lmd_matched.tar.gz") as archive:
            for member in archive.getmembers():
                if not member.name.endswith(".mid"):
                    continue
                data = archive.extractfile(member).read()  # type: ignore[union-attr]
                try:
                    _, repairs = midi.read_serialized_with_repairs(data)
                except Rejected:
                    continue
                if not repairs:
                    files.append(data)
    return files


def print_rows(set_name: str, files: list[bytes]) -> None:
    import mido
    import note_seq

    from pipeline.readers import midi

    readers: dict[str, Callable[[bytes], object]] = {
        "note_seq": lambda data: note_seq.midi_to_note_sequence(data).SerializeToString(),
        "mido, parse alone": lambda data: mido.MidiFile(file=io.BytesIO(data)),
        "read_serialized": midi.read_serialized,
        "read": midi.read,
    }
    num_equal = sum(readers["note_seq"](data) == midi.read_serialized(data) for data in files)
    num_notes = sum(len(midi.read(data).notes) for data in files)
    seconds = median_seconds(readers, files)
    title = f"{set_name}: {len(files)} files, {num_notes:,} notes, {num_equal} equal to the byte"
    for name, value in seconds.items():
        ratio = seconds["note_seq"] / value
        rates = f"{len(files) / value:,.0f} | {num_notes / value:,.0f}"
        print(f"| {title} | {name} | {rates} | {ratio:.1f} |")
        title = ""


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
