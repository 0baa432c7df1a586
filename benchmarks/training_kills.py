"""SIGKILL at random moments of a training, then `dvc repro`: what is lost, and what comes out.

Usage: python -m benchmarks.training_kills [--num 10] [--seed 0] [--model melody_basic]

An undisturbed `dvc repro` of the train stage, under profile smoke with more and longer epochs,
gives the dvc.lock that each killed and continued one must end with: the same weights, to the byte.
At most the epoch that a kill fell into may be computed again.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import kills
from tests import scratch

EPOCHS, STEPS = 12, 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_kills")
    parser.add_argument("--num", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="melody_basic")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        training = _Training(scratch.clone(Path(folder)), arguments.model)
        print(f"Undisturbed: {training.seconds:.1f} s, {EPOCHS} epochs.\n")
        print("| killed after, s | epochs begun | begun again | same dvc.lock |")
        print("|---:|---:|---:|---|", flush=True)
        moments = [rng.uniform(0.5, training.seconds) for _ in range(arguments.num)]
        num_resumed = sum(training.is_resumed_after(seconds) for seconds in moments)
    print(f"\n{num_resumed} of {arguments.num} end in the undisturbed dvc.lock.")


class _Training:
    """A clone in which one model's training can be run, killed and forgotten."""

    def __init__(self, clone: Path, model: str):
        self.clone, self.model, self.target = clone, model, f"train@{model}"
        for name, value in (("epochs", EPOCHS), ("steps_per_epoch", STEPS)):
            pattern = rf"(  {model}:(?:(?!\n  \w)[\s\S])*?smoke: (?:&\w+ )?{{[^}}]*\b{name}:) \d+"
            scratch.edit(clone, pattern, rf"\1 {value}")
        scratch.repro(clone, self.target)
        self.lock = (clone / "dvc.lock").read_bytes()
        self._forget()
        started = time.perf_counter()
        self._repro()
        self.seconds = time.perf_counter() - started

    def is_resumed_after(self, seconds: float) -> bool:
        self._forget()
        begun = self._repro(killed_after=seconds)
        again = len(set(begun) & set(self._repro()))
        is_same = (self.clone / "dvc.lock").read_bytes() == self.lock
        print(f"| {seconds:.1f} | {len(begun)} | {again} | {is_same} |", flush=True)
        return is_same and again <= 1

    def _forget(self) -> None:
        """As before the training; the run cache would bring its outs back."""
        for path in (".work/train", f"data/models/{self.model}", ".dvc/cache/runs"):
            shutil.rmtree(self.clone / path, ignore_errors=True)
        text = self.lock.decode()
        stage = rf"^  {re.escape(self.target)}:\n(?:    .*\n)*"
        (self.clone / "dvc.lock").write_text(re.sub(stage, "", text, flags=re.M))

    def _repro(self, killed_after: float | None = None) -> list[int]:
        """Runs it, to its end or its killing; gives the epochs that it began."""
        process = subprocess.Popen(
            ["dvc", "repro", "--single-item", self.target],
            cwd=self.clone,
            env=scratch.environment(PYTHONUNBUFFERED="1"),
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if killed_after is not None:
            time.sleep(killed_after)
            kills.kill_session(process.pid)
        said = process.communicate()[0]
        if killed_after is None and process.returncode:
            raise SystemExit(f"{self.target} failed:\n{said[-3000:]}")
        return [int(number) for number in re.findall(r"^Epoch (\d+)/", said, re.M)]


if __name__ == "__main__":
    main()
