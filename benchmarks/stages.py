"""What each stage costs: seconds and peak memory, of one `dvc repro` from nothing.

Run it in a fresh clone: python -m benchmarks.stages. What is up to date is not measured.
"""

from __future__ import annotations

import os
import subprocess
import time

from pipeline.paths import ROOT


def main() -> None:
    listed = subprocess.run(
        ["dvc", "stage", "list", "--name-only"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    print("| stage | seconds | peak memory, MiB |")
    print("|---|---:|---:|")
    total, most = 0.0, 0.0
    for stage in listed.stdout.split():
        seconds, mebibytes = measured(["dvc", "repro", "--quiet", "--single-item", stage])
        total, most = total + seconds, max(most, mebibytes)
        print(f"| {stage} | {seconds:.1f} | {mebibytes:.0f} |", flush=True)
    print(f"| all | {total:.1f} | {most:.0f} |")


def measured(command: list[str]) -> tuple[float, float]:
    """Seconds, and the peak resident memory in MiB of the largest process it started."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
