"""A copy of the working tree that a benchmark may change and run stages in."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tests import scratch


def make(folder: Path, profile: str, edits: Iterable[tuple[str, str]]) -> Path:
    """Copies what git tracks, or would, and edits params.yaml.

    Args:
      folder: where to; what is there is deleted.
      profile: of the copy.
      edits: a pattern, whose first occurrence in params.yaml the text replaces.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scratch.clone(folder, profile)
    for pattern, text in edits:
        scratch.edit(folder, pattern, text)
    return folder


def point(folder: Path, dataset: str, source: Path) -> None:
    """Makes a folder a dataset's source; its files' checksums replace the published ones.

    Args:
      folder: the copy.
      dataset: its name in params.yaml.
      source: holds the dataset's files under their published names.
    """
    scratch.edit(folder, rf"^(  {dataset}:\n    source:) .*", rf"\1 {source.resolve()}")
    program = (
        "import json; from pipeline import params, registry; "
        f"options = params.load().dataset_options({dataset!r}); "
        f"print(json.dumps([(s.file, s.num_bytes, s.checksum) "
        f"for s in registry.dataset({dataset!r}).sources(options)]))"
    )
    said = scratch.run(folder, sys.executable, "-c", program)
    for file, num_bytes, checksum in json.loads(said.stdout):
        if checksum is not None:
            algorithm, _, published = checksum.partition(":")
            with open(source / file, "rb") as opened:
                actual = hashlib.file_digest(opened, algorithm).hexdigest()
            _replace_constant(folder, published, actual)
        if num_bytes is not None:
            _replace_constant(folder, f"{num_bytes:_}", f"{(source / file).stat().st_size:_}")


def environment(folder: Path) -> dict[str, str]:
    """For a command in the copy; compiled code is kept beside it, where the next copy finds it."""
    return scratch.environment(NUMBA_CACHE_DIR=str(folder.parent / "compiled"))


def _replace_constant(folder: Path, old: str, new: str) -> None:
    for path in sorted((folder / "pipeline" / "datasets").glob("*.py")):
        text = path.read_text()
        if old in text:
            path.write_text(text.replace(old, new))
