"""Where shard jobs run: the profile that PIPELINE_PROFILE chooses, and whether it can work here.

Nothing of it can alter a shard's bytes.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import yaml

from pipeline import paths
from pipeline.errors import PipelineError

_BUILT_IN = ("local", "dryrun", "touch")
_KUBERNETES_VARIABLES = ("PIPELINE_IMAGE", "PIPELINE_VOLUME")
_SLURM_COMMANDS = ("sbatch", "squeue", "scancel", "sinfo")
_SECONDS_TO_END = 120  # SLURM's KillWait is 30 s, and a busy controller takes its time


def ready_profile(work: Path) -> Path:
    """The directory of Snakemake's profile, once what it needs is there and nothing else runs.

    Args:
      work: where Snakemake is about to run; its lock is held.

    Raises:
      PipelineError: there is no such profile, or this machine lacks what it submits jobs with.
    """
    name = os.environ.get("PIPELINE_PROFILE") or "default"
    profile = paths.PROFILES / name  # an absolute path takes the place of all before it
    config = profile / "config.yaml"
    if not config.is_file():
        known = ", ".join(sorted(path.name for path in paths.PROFILES.iterdir()))
        raise PipelineError(
            f"PIPELINE_PROFILE={name}: {config} is not there. Name one of {known}, or the absolute "
            "path of a directory that holds a config.yaml for Snakemake."
        )
    text = config.read_text(encoding="utf-8")
    executor = yaml.safe_load(text).get("executor", "local")
    if executor not in _BUILT_IN:
        _require_package(f"snakemake-executor-plugin-{executor}", name)
    if executor == "slurm":
        _require_commands(_SLURM_COMMANDS, name)
        _end_orphans(work)
    if executor == "kubernetes":
        _require_package("snakemake-storage-plugin-fs", name)
        _require_commands(("rsync",), name)
        _require_variables(text, name)
    return profile


def _require_package(package: str, profile: str) -> None:
    if importlib.util.find_spec(package.replace("-", "_")):
        return
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = [r for r in project["optional-dependencies"]["cluster"] if r.startswith(package)]
    raise PipelineError(
        f"PIPELINE_PROFILE={profile}: the package {package} is not installed. Run "
        f"`{sys.executable} -m pip install {(pinned or [package])[0]}`."
    )


def _require_commands(commands: tuple[str, ...], profile: str) -> None:
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        raise PipelineError(
            f"PIPELINE_PROFILE={profile}: this machine's PATH has no {', '.join(missing)}. Run it "
            "where jobs are submitted, usually a login node, or leave PIPELINE_PROFILE unset to "
            "use the cores of this machine."
        )


def _require_variables(config: str, profile: str) -> None:
    """What the shipped profile asks for; a copy with its own values in place need not set them."""
    missing = [
        name for name in _KUBERNETES_VARIABLES if name in config and not os.environ.get(name)
    ]
    if missing:
        raise PipelineError(
            f"PIPELINE_PROFILE={profile}: {' and '.join(missing)} must be set: the image of the "
            "pods, and the claim of the shared volume with its path (docs/cluster.md)."
        )


def _end_orphans(work: Path) -> None:
    """Ends jobs that a killed run left in SLURM: one that failed would remove a new job's files."""
    orphans = _jobs_in(work)
    if not orphans:
        return
    _slurm("scancel", *orphans)
    end = time.monotonic() + _SECONDS_TO_END
    while orphans and time.monotonic() < end:
        time.sleep(1)
        orphans = _jobs_in(work)
    if orphans:
        raise PipelineError(
            f"SLURM jobs {', '.join(orphans)} of an earlier run in {work} were cancelled and still "
            "run. Wait until `squeue --me` lists them no more, then run it again."
        )


def _jobs_in(work: Path) -> list[str]:
    """The user's jobs that wait, run or end with this working directory."""
    rows = _slurm("squeue", "--me", "--noheader", "--format=%i|%Z").splitlines()
    pairs = [row.partition("|") for row in rows]
    return [job for job, _, folder in pairs if folder == str(work.resolve())]


def _slurm(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        words = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise PipelineError(
            f"{command[0]}: {words[-1]}. SLURM's controller must answer: try `sinfo` here, or "
            "leave PIPELINE_PROFILE unset to use the cores of this machine."
        )
    return ended.stdout
