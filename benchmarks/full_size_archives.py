"""Writes archives in the published layouts, at the published size or any other, for `full_size`.

python -m benchmarks.full_size_archives lakh --count 176581 --seed 0 --out FOLDER
python -m benchmarks.full_size_archives nsynth --count 300000 --seed 0 --out FOLDER
python -m benchmarks.full_size_archives covers --count 50000 --seed 0 --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.synthetic import covers, lakh, nsynth
from pipeline import console


def generate(kind: str, out: Path, count: int, seed: int, **options: Any) -> dict[str, Any]:
    """Writes the archives of one dataset; equal arguments give equal bytes.

    Args:
      kind: "lakh", "nsynth" or "covers".
      out: a directory.
      count: MIDI files, notes, or tracks.
      seed: of everything that is drawn.
      **options: subset of Lakh ("lmd_full" or "lmd_matched"), num_samples of a note of NSynth.

    Returns:
      What was written: num_files, num_bytes (unpacked), archive_bytes.
    """
    write: Any = {"lakh": lakh.write, "nsynth": nsynth.write, "covers": covers.write}[kind]
    return write(out, count, seed, **options)


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_size_archives",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, count in (("lakh", 176_581), ("nsynth", 300_000), ("covers", 50_000)):
        one = kinds.add_parser(kind)
        one.add_argument("--count", type=int, default=count, help="files, notes or tracks")
        one.add_argument("--seed", type=int, default=0)
        one.add_argument("--out", type=Path, required=True, help="a folder")
        if kind == "lakh":
            one.add_argument("--subset", choices=("lmd_full", "lmd_matched"), default="lmd_full")
        if kind == "nsynth":
            one.add_argument("--num-samples", type=int, default=4000, help="of a note, to 64000")
    arguments = vars(parser.parse_args())
    started = time.perf_counter()
    written = generate(**arguments)
    ratio = written["num_bytes"] / written["archive_bytes"]
    written |= {"ratio": round(ratio, 2), "seconds": round(time.perf_counter() - started, 1)}
    print(json.dumps(written))


if __name__ == "__main__":
    console.run(_command)
