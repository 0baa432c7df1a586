"""The songs of the miniature of Lakh, in its smoke size."""

from pipeline import archives, params, registry
from pipeline.datasets.base import Entry
from pipeline.errors import Rejected
from pipeline.paths import ROOT


def read(folder):
    """Builds it in a folder; -> the NoteSequences of the files that can be read."""
    settings = params.load(ROOT / "params.yaml").model_copy(update={"profile": "smoke"})
    options = settings.dataset_options("lakh")
    registry.miniature("lakh").build(folder, options, settings.seed)
    dataset, found = registry.dataset("lakh"), []
    entries = [e for e in dataset.catalogue(folder, options) if isinstance(e, Entry)]
    blobs = dict(archives.read(folder, {m for e in entries for m in e.members}))
    for entry in entries:
        try:
            found.append(dataset.load(entry, {m: blobs[m] for m in entry.members}).note_sequence)
        except Rejected:
            continue
    return found
