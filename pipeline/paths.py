"""Every path, spelled once. All are below the repository's root, which is where stages run."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(os.environ.get("DVC_ROOT", Path(__file__).resolve().parent.parent))
PARAMS = ROOT / "params.yaml"
SCHEMA = ROOT / "params.schema.json"
DVC_LOCK = ROOT / "dvc.lock"
DVC_YAML = ROOT / "dvc.yaml"
SNAKEFILE = ROOT / "Snakefile"
PROFILES = ROOT / "profiles"
WORK = ROOT / ".work"
RAW = ROOT / "data" / "raw"
SHARDS = ROOT / "data" / "shards"
MODELS = ROOT / "data" / "models"
SAMPLES = ROOT / "data" / "samples"
PAIRS = ROOT / "data" / "pairs"
TRANSFERS = ROOT / "data" / "transfers"
MAPS = ROOT / "data" / "maps"
REPORTS = ROOT / "reports"


def raw(dataset: str) -> Path:
    """The archives of a dataset, as published, with manifest.json."""
    return RAW / dataset


def shards(corpus: str) -> Path:
    """The TFDS directory of a corpus, with corpus.json."""
    return SHARDS / corpus


def model(name: str) -> Path:
    """The weights of a trained model, with model.json."""
    return MODELS / name


def samples(name: str) -> Path:
    """MIDI, WAV and PNG files that a model generated, with samples.json."""
    return SAMPLES / name


def transfers(name: str) -> Path:
    """WAV files that a method of style transfer made of the pairs, with transfers.json."""
    return TRANSFERS / name


def report(stage: str, item: str) -> Path:
    """The numbers and plots that a stage leaves of one item."""
    return REPORTS / stage / item


def work(stage: str, item: str) -> Path:
    """What a stage may leave behind half-done, never a DVC out.

    Safe to delete; but without .work/fetch, a fetch that runs again downloads again.
    """
    return WORK / stage / item


def main_root() -> Path:
    """The repository that `dvc exp run --temp` copied from, or ROOT itself."""
    return Path(str(ROOT).split("/.dvc/tmp/exps/")[0])
