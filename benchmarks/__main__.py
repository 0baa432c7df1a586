"""Runs every benchmark but `stages`, which wants a fresh clone: python -m benchmarks."""

import runpy
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.stem not in ("__init__", "__main__", "stages"):
        print(f"## {path.stem}\n")
        runpy.run_module(f"benchmarks.{path.stem}", run_name="__main__")
        print()
