"""Stage: a dataset through a codec: plan -> Snakemake -> data/shards/<corpus>, a TFDS dataset."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

from pipeline import (
    assemble,
    closure,
    cluster,
    console,
    disk,
    files,
    locks,
    params,
    paths,
    plan,
    registry,
    shard_files,
)
from pipeline.errors import PipelineError, Rejected


def main(name: str) -> None:
    settings = params.load()
    work = paths.work("shard", name)
    what = f"corpora.{name}"
    with disk.explained(what), locks.held(work / "lock", f"{what} is being sharded") as lock:
        parts, rejected = _plan(settings, name, work)
        sidecars, dropped = _built(work, parts, lock)
        assemble.main(settings, name, work / "shards", sidecars, dropped, rejected)


def _built(
    work: Path, parts: list[str], lock: IO[str]
) -> tuple[dict[str, shard_files.Sidecar], dict[str, str]]:
    """Runs the jobs that are needed; gives the parts' sidecars, and the duplicates among them."""
    shards = work / "shards"
    shard_files.remove_damaged(shards, parts)
    while True:
        _fan_out(work, parts, lock)
        sidecars = {part: files.read_json(shard_files.sidecar_path(shards, part)) for part in parts}
        dropped = shard_files.duplicates(sidecars)
        if not shard_files.remove_other_cuts(shards, sidecars, dropped):
            return sidecars, dropped


def _plan(
    settings: params.Params, name: str, work: Path
) -> tuple[list[str], list[tuple[str, Rejected]]]:
    corpus, options = settings.corpus(name), settings.corpus_options(name)
    raw = paths.raw(corpus.dataset)
    catalogue = registry.dataset(corpus.dataset).catalogue(
        raw, settings.dataset_options(corpus.dataset)
    )
    entries, rejected = plan.sorted_out(catalogue)
    places = plan.places_of(raw, entries)
    parts = plan.parts_of(entries, places, options.num_shards)
    manifest = files.read_json(raw / "manifest.json")
    common = {
        "dataset": corpus.dataset,
        "codec": corpus.codec,
        "options": settings.codec_options(name).model_dump(mode="json"),
        "drop_duplicates": options.drop_duplicates,
        "raw": str(raw),
        "archives": {file: about["sha256"] for file, about in manifest["files"].items()},
        "code": _code_digests(corpus),
    }
    plan.write(work / "plan", parts, places, options, common)
    return list(parts), rejected


def _code_digests(corpus: params.CorpusBlock) -> dict[str, str]:
    """The modules that decide a shard's bytes; a change of one makes its jobs run again."""
    plugins = [f"pipeline.datasets.{corpus.dataset}", f"pipeline.codecs.{corpus.codec}"]
    modules = sorted(closure.closure(["pipeline.write_shard", *plugins]))
    return {module: files.sha256_file(paths.ROOT / module) for module in modules}


def _fan_out(work: Path, parts: list[str], lock: IO[str]) -> None:
    """Runs one job a part that is not there or whose plan changed.

    Snakemake gets the lock's descriptor: were this process killed, an orphaned Snakemake would
    still hold it. Its own lock is left out since it survives a kill.
    """
    profile = cluster.ready_profile(work)
    files.write_json(work / "config.json", {"parts": parts})
    shutil.rmtree(work / "logs", ignore_errors=True)  # an earlier run's words are not this one's
    shutil.copyfile(paths.SNAKEFILE, work / "Snakefile")  # a pod gets what lies in its directory
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(work / "Snakefile")),
        *("--directory", str(work), "--configfile", str(work / "config.json")),
        *("--workflow-profile", str(profile)),
        *("--nolock", "--rerun-incomplete", "--keep-going", "--rerun-triggers", "input"),
    ]
    root = str(paths.ROOT)
    places = {"PYTHONPATH": root, "DVC_ROOT": root, "PIPELINE_WORK": str(work)}
    with open(work / "snakemake.log", "w") as log:
        snakemake = subprocess.Popen(
            command, env=os.environ | places, pass_fds=[lock.fileno()], stdout=log, stderr=log
        )
        try:
            snakemake.wait()
        except KeyboardInterrupt:
            snakemake.wait()  # the terminal told it, too: it takes its jobs back from a cluster
            raise
    if snakemake.returncode:
        raise PipelineError(
            f"a shard job failed: {_last_words(work, parts)}. Logs: {work / 'logs'} and "
            f"{work / 'snakemake.log'}. What is done is kept: run it again to do the rest."
        )


def _last_words(work: Path, parts: list[str]) -> str:
    """What the first job without shards said last; else what is known about its end."""
    for part in parts:
        log = work / "logs" / f"{part}.log"
        if log.exists() and not shard_files.sidecar_path(work / "shards", part).exists():
            spoken = log.read_text(encoding="utf-8", errors="replace").strip()
            if spoken:
                return f"{part}: {spoken.splitlines()[-1].strip().rstrip('.')}"
    text = (work / "snakemake.log").read_text(encoding="utf-8", errors="replace").strip()
    about = r"^ *message: (?!None|For further)(.+?)(?:\. Detailed |\.?For further |\.?$)"
    told = re.search(about, text, re.M)
    return told[1] if told else text.rpartition("\n")[2].strip().rstrip(".") or "it said nothing"


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.shard", description=__doc__)
    parser.add_argument("corpus", help="a key of `corpora` in params.yaml")
    main(parser.parse_args().corpus)


if __name__ == "__main__":
    console.run(_command)
