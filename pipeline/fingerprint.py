"""What a training depends on, as one hash: the thread from a model to its MLflow run and back."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

import yaml

from pipeline import closure, files, params, paths
from pipeline.models.base import Vectors


def of_training(settings: params.Params, name: str) -> str:
    """sha256 over the stage, its effective params, its data and its code; no time, host or path."""
    facts = {
        "stage": f"train@{name}",
        "seed": settings.seed,
        "params": settings.recipe_params(name).model_dump(mode="json"),
        "data": corpus_digest(settings.model(name).corpus),
        "reads": _beside(settings.model(name).reads),
        "code": code_digests(settings, name),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def of_transfer(settings: params.Params, name: str) -> str:
    """sha256 over what a method of style transfer made of the pairs, and the pairs."""
    outs = locked_outs()
    made = {path: outs.get(path, "") for path in ("data/pairs", f"data/transfers/{name}")}
    facts = {"stage": f"transfer@{name}", "profile": settings.profile, "outs": made}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def corpus_digest(corpus: str) -> str:
    """The hash under which DVC versions the shards; without DVC, that of their description."""
    recorded = locked_outs().get(f"data/shards/{corpus}")
    return recorded or files.sha256_file(paths.shards(corpus) / "corpus.json")


def _beside(reads: str) -> str:
    """The hash of what a model reads beside its corpus; "" where that is in the corpus itself."""
    if recorded := locked_outs().get(reads):
        return recorded
    vectors = paths.ROOT / reads / Vectors.FILE
    return files.sha256_file(vectors) if vectors.is_file() else ""


def code_digests(settings: params.Params, name: str) -> dict[str, str]:
    """The modules of training, of the recipe, and of what it is built of."""
    recipe = f"pipeline.models.{settings.model(name).recipe}"
    modules = sorted(closure.closure(["pipeline.train", recipe]) - closure.ONLY_SAMPLING)
    return {module: files.sha256_file(paths.ROOT / module) for module in modules}


def locked_outs() -> dict[str, str]:
    """Path -> hash of every out in dvc.lock; while a stage runs, those upstream are fresh."""
    if not paths.DVC_LOCK.exists():
        return {}
    stages: dict[str, Any] = yaml.safe_load(paths.DVC_LOCK.read_text(encoding="utf-8")) or {}
    outs = [out for stage in stages.get("stages", {}).values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if "md5" in out}


def commit() -> tuple[str, bool]:
    """The current commit and whether files differ from it; ("", False) outside git.

    A run's commit is the parent of the one that records its result, so hashes matter more.
    """
    head = _git("rev-parse", "HEAD")
    return head, bool(_git("status", "--porcelain", "--untracked-files=no"))


def commits_recording(digest: str) -> list[str]:
    """One line for each commit in which dvc.lock gained or lost this hash, newest first."""
    return _git("log", "--oneline", f"-S{digest}", "--", "dvc.lock").splitlines()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(paths.ROOT), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
