"""Stage: a dataset through a codec: plan -> Snakemake -> data/shards/<corpus>, a TFDS dataset."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from pipeline import assemble, closure, console, files, params, paths, plan, registry
from pipeline.errors import PipelineError, Rejected


def main(name: str) -> None:
    settings = params.load()
    work = paths.work("shard", name)
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as lock:
        _hold(lock, name)
        shards, rejected = _plan(settings, name, work)
        _fan_out(work, list(shards), lock)
        assemble.main(settings, name, work / "shards", list(shards), rejected)


def _hold(lock: IO[str], name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise PipelineError(
            f"corpora.{name} is being sharded by another process. Wait for it, or stop it."
        ) from None


def _plan(
    settings: params.Params, name: str, work: Path
) -> tuple[dict[str, Any], list[tuple[str, Rejected]]]:
    corpus = settings.corpus(name)
    dataset = registry.dataset(corpus.dataset)
    raw = paths.raw(corpus.dataset)
    catalogue = dataset.catalogue(raw, settings.dataset_options(corpus.dataset))
    shards, rejected = plan.shards_of(catalogue, settings.corpus_options(name))
    manifest = files.read_json(raw / "manifest.json")
    common = {
        "dataset": corpus.dataset,
        "codec": corpus.codec,
        "options": settings.codec_options(name).model_dump(mode="json"),
        "raw": str(raw),
        "archives": {file: about["sha256"] for file, about in manifest["files"].items()},
        "code": _code_digests(corpus),
    }
    plan.write(work / "plan", shards, common)
    return shards, rejected


def _code_digests(corpus: params.CorpusBlock) -> dict[str, str]:
    """The modules that decide a shard's bytes; a change of one makes its jobs run again."""
    plugins = [f"pipeline.datasets.{corpus.dataset}", f"pipeline.codecs.{corpus.codec}"]
    modules = sorted(closure.closure(["pipeline.write_shard", *plugins]))
    return {module: files.sha256_file(paths.ROOT / module) for module in modules}


def _fan_out(work: Path, shards: list[str], lock: IO[str]) -> None:
    """Runs one job a shard that is not there or whose plan changed.

    Snakemake gets the lock's descriptor: were this process killed, an orphaned Snakemake would
    still hold it. Its own lock is left out since it survives a kill.
    """
    files.write_json(work / "config.json", {"shards": shards})
    shutil.rmtree(work / "logs", ignore_errors=True)  # an earlier run's words are not this one's
    profile = os.environ.get("PIPELINE_PROFILE", "default")
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(paths.SNAKEFILE)),
        *("--directory", str(work), "--configfile", str(work / "config.json")),
        *("--workflow-profile", str(paths.PROFILES / profile)),
        *("--nolock", "--rerun-incomplete", "--keep-going"),
        *("--rerun-triggers", "input", "--quiet", "rules", "host", "progress"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(paths.ROOT), "DVC_ROOT": str(paths.ROOT)}
    with open(work / "snakemake.log", "w") as log:
        ended = subprocess.run(
            command, env=environment, pass_fds=[lock.fileno()], stdout=log, stderr=log, check=False
        )
    if ended.returncode:
        raise PipelineError(
            f"a shard job failed: {_last_words(work)}. Logs: {work / 'logs'} and "
            f"{work / 'snakemake.log'}. What is done is kept: run it again to do the rest."
        )


def _last_words(work: Path) -> str:
    """The last line of the first job that said anything, else Snakemake's own."""
    spoken = [p for p in sorted((work / "logs").glob("*.log")) if p.stat().st_size]
    log = (spoken or [work / "snakemake.log"])[0]
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it said nothing"


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.shard", description=__doc__)
    parser.add_argument("corpus", help="a key of `corpora` in params.yaml")
    main(parser.parse_args().corpus)


if __name__ == "__main__":
    console.run(_command)
