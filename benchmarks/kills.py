"""SIGKILL at random moments of fetch and shard, then `dvc repro`: what is lost, and what comes out.

Usage: python -m benchmarks.kills [--num 30] [--seed 0]

An undisturbed run of Lakh's stages, from a local server, gives the dvc.lock that each killed and
continued one must end with. Finished shards must not be made twice; what is fetched
twice, benchmarks.download counts.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks import scratch_copy
from tests import scratch

TARGET = "shard@lakh_melody"  # one: of several, DVC does not fix the order in dvc.lock
_PORT = 18_765  # the same for every run: the source's URL is in the manifest


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--num", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        clone = scratch.clone(Path(folder) / "clone")
        published = _published(clone, Path(folder) / "published")
        scratch_copy.point(clone, "lakh", published)
        _serve(published)
        scratch.edit(clone, r"(  lakh_melody:[\s\S]*?smoke:\n      num_shards:) \d+", r"\1 8")
        scratch.edit(clone, r"(  lakh:\n    source:) .*", rf"\1 http://127.0.0.1:{_PORT}/")
        started = time.perf_counter()
        scratch.repro(clone, TARGET)
        seconds = time.perf_counter() - started
        undisturbed = (clone / "dvc.lock").read_bytes()
        print(f"Undisturbed: {seconds:.1f} s.\n")
        print("| killed after, s | during | parts done | of these redone | same dvc.lock |")
        print("|---:|---|---:|---:|---|", flush=True)
        num_same = 0
        for _ in range(arguments.num):
            _forget(clone)
            num_same += _trial(clone, rng.uniform(0.5, seconds), undisturbed)
    print(f"\n{num_same} of {arguments.num} end in the undisturbed dvc.lock.")


def _published(clone: Path, folder: Path) -> Path:
    """The miniature's files, as if they were the published ones."""
    scratch.run(clone, "python", "-m", "pipeline.fetch", "lakh")
    shutil.copytree(clone / "data" / "raw" / "lakh", folder)
    return folder


def _serve(folder: Path) -> None:
    handler = partial(_Slow, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", _PORT), handler)
    server.handle_error = lambda *arguments: None  # a killed client hangs up
    threading.Thread(target=server.serve_forever, daemon=True).start()


class _Slow(SimpleHTTPRequestHandler):
    """Some 20 kB/s, so that a kill meets a download too."""

    def copyfile(self, source, outputfile) -> None:  # type: ignore[no-untyped-def]
        while chunk := source.read(16_384):
            outputfile.write(chunk)
            time.sleep(0.8)

    def log_message(self, *arguments: object) -> None:
        pass


def _forget(clone: Path) -> None:
    for path in (".work", ".dvc/cache", ".dvc/tmp", "data/raw", "data/shards"):
        shutil.rmtree(clone / path, ignore_errors=True)
    (clone / "dvc.lock").unlink(missing_ok=True)


def _trial(clone: Path, seconds: float, undisturbed: bytes) -> bool:
    process = subprocess.Popen(
        ["dvc", "repro", TARGET],
        cwd=clone,
        env=scratch.environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(seconds)
    kill_session(process.pid)
    said = process.communicate()[0]
    stages = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    done, killed = _done(clone), time.time()
    scratch.repro(clone, TARGET)
    redone = sum(_is_made_since(killed, sidecar) for sidecar in done)
    lock = (clone / "dvc.lock").read_bytes()
    is_same = lock == undisturbed
    during = stages[-1] if stages else "start"
    print(f"| {seconds:.1f} | {during} | {len(done)} | {redone} | {is_same} |", flush=True)
    if not is_same:
        old, new = (text.decode().splitlines() for text in (undisturbed, lock))
        print("\n".join(difflib.unified_diff(old, new, "undisturbed", "killed", lineterm="")))
    return is_same and not redone


def kill_session(session: int) -> None:
    """Every process of it at once, whatever group it made for itself."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_of_it = os.getsid(int(path.name)) == session
        except ProcessLookupError:
            continue
        if is_of_it:
            os.kill(int(path.name), signal.SIGKILL)


def _done(clone: Path) -> list[Path]:
    """The sidecars whose job Snakemake has seen end."""
    return [
        sidecar
        for sidecar in clone.glob(".work/shard/*/shards/*.json")
        if scratch.is_seen_by_snakemake(sidecar.parent.parent, sidecar)
    ]


def _is_made_since(moment: float, sidecar: Path) -> bool:
    """By its job's log: the files themselves change too when duplicates are taken out of them."""
    log = sidecar.parent.parent / "logs" / f"{sidecar.stem}.log"
    return log.exists() and log.stat().st_mtime > moment


if __name__ == "__main__":
    main()
