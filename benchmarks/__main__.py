"""Runs every benchmark that takes minutes: python -m benchmarks.

Left out are `stages`, which wants a fresh clone, and `full_size`, which wants an hour and disk.
"""

import runpy
from pathlib import Path

_LEFT_OUT = (
    "__init__", "__main__", "stages", "full_size", "full_size_archives", "process_tree",
    "scratch_copy",
)  # fmt: skip

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.stem not in _LEFT_OUT:
        print(f"## {path.stem}\n")
        runpy.run_module(f"benchmarks.{path.stem}", run_name="__main__")
        print()
