"""What a module imports of this project, read from the source: which code decides a stage's bytes.

Imports below functions count as those on top; what is only for type checkers does not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


# What cannot alter a stage's bytes: which module a name means, where files lie, how a person is
# spoken to, where numbers are logged, how params.yaml is read (DVC tracks its values), and modules
# that only declare what others fill in.
HARMLESS = frozenset(
    f"pipeline/{module}.py"
    for module in (
        "closure",
        "cluster",
        "codecs/base",
        "__init__",
        "console",
        "datasets/base",
        "errors",
        "fingerprint",
        "options",
        "params",
        "paths",
        "registry",
        "tracking",
    )
)

# What recipes import in `generate` alone: it cannot alter a trained model or its likelihoods.
ONLY_SAMPLING = frozenset(
    f"pipeline/{module}.py"
    for module in (
        "models/_event_sampling",
        "models/_harmonization",
        "nn/cached_decoding",
        "nn/sampling",
    )
)

# Recipes that name nothing but parts which are watched by themselves, and one that leaves to such a
# part what it makes of a picture: where one is the judge of another model's samples, its module
# cannot change a verdict unless its weights change, too.
ONLY_DECLARING = frozenset(
    f"pipeline/models/{module}.py"
    for module in ("mel_classifier", "picture_contrastive", "roll_classifier")
)


def closure(modules: Iterable[str]) -> set[str]:
    """The project's files that decide what these do, themselves included.

    Args:
      modules: dotted names, e.g. "pipeline.shard".

    Returns:
      Paths relative to the repository, e.g. "pipeline/files.py"; empty __init__.py left out.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        path = _path(waiting.pop())
        if path is None or path in found or path in HARMLESS:
            continue
        found.add(path)
        waiting.extend(imports(path))
    return {path for path in found if (_ROOT / path).stat().st_size}


@cache
def imports(path: str) -> frozenset[str]:
    """The dotted names of this project's modules that a file imports."""
    tree = ast.parse((_ROOT / path).read_text(encoding="utf-8"))
    return frozenset(name for name in _imported(tree) if _path(name))


def _imported(node: ast.AST) -> Iterator[str]:
    """Every name an import could mean; `from pipeline import files` may mean pipeline.files."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from _imported(child)


@cache
def _path(name: str) -> str | None:
    """The file of one of this project's modules."""
    if name.partition(".")[0] != "pipeline":
        return None
    stem = name.replace(".", "/")
    candidates = (f"{stem}.py", f"{stem}/__init__.py")
    return next((c for c in candidates if (_ROOT / c).is_file()), None)
