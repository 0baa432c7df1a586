"""NoteSequence without note_seq's __init__, which imports librosa, pandas and IPython first.

The generated module registers its descriptor in protobuf's default pool, and protobuf keeps one
class per descriptor: a later `import note_seq` finds the same file there and gets the same classes.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_NAME = "note_seq.protobuf.music_pb2"


def _load() -> ModuleType:
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = importlib.util.find_spec("note_seq")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'note_seq'", name="note_seq")
    path = Path(package.submodule_search_locations[0]) / "protobuf" / "music_pb2.py"
    spec = importlib.util.spec_from_file_location(_NAME, path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {_NAME!r}", name=_NAME)
    # It stays out of sys.modules, so that note_seq's own import runs as if this had not happened.
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


music_pb2 = _load()
NoteSequence = music_pb2.NoteSequence
