"""GTZAN: a thousand half-minute clips of music, a hundred in each of ten genres.

Tzanetakis, Cook 2002. One archive holds genres/<genre>/<genre>.<number>.wav, 22,050 Hz mono. Who
plays is not published, so that a clip is a group of its own; artists, and even copies of one
recording, straddle any split that is drawn by chance. The fault-filtered split leaves out the
copies, and keeps artists apart (Sturm 2013; Kereliuk, Sturm, Larsen 2015).

Some archives hold AppleDouble files (._<name>), in some jazz.00054.wav is damaged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline import archives
from pipeline.datasets import _clips
from pipeline.datasets._gtzan_split import fault_filtered
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected

ARCHIVE = "genres.tar.gz"
GENRES = (
    "blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock",
)  # fmt: skip
_CLIP = re.compile(r"genres/(?P<genre>[a-z]+)/(?P<name>(?P=genre)\.[0-9]{5})\.wav")


class GtzanOptions(_clips.ClipOptions):
    """datasets.gtzan"""

    split: Literal["fault_filtered", "by_shares"] = Field(
        description="fault_filtered: 443 clips of train, 197 of validation, 290 of test, the rest "
        "left out; by_shares: all clips, drawn by the corpus's shares"
    )
    miniature_size: int = Field(ge=30, le=1000, description="clips of the embedded miniature")


def sources(options: GtzanOptions) -> tuple[Source, ...]:
    """The archive; the first host is its authors'."""
    urls = (
        f"http://opihi.cs.uvic.ca/sound/{ARCHIVE}",
        f"https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/{ARCHIVE}",
    )
    sha256 = "24347e0223d2ba798e0a558c4c172d9d4a19c00bb7963fe055d183dadb4ef2c6"
    return (Source(ARCHIVE, urls, 1_225_571_541, f"sha256:{sha256}"),)


def catalogue(raw: Path, options: GtzanOptions) -> Iterator[Entry | tuple[str, Rejected]]:
    """The clips by name, e.g. "blues.00000", and other files by theirs.

    Yields:
      In key order: entries, or (key, Rejected) with the reasons not_in_fault_filtered_split,
      apple_double, unexpected_file.

    Raises:
      PipelineError: no member is named as a clip.
    """
    found = {name: _CLIP.fullmatch(name) for name in archives.members(raw / ARCHIVE)}
    items = {match["name"] if match else name: (name, match) for name, match in found.items()}
    if not any(found.values()):
        raise PipelineError(
            f"{raw / ARCHIVE} has no member named as genres/blues/blues.00000.wav. {FETCH_AGAIN}"
        )
    splits = fault_filtered() if options.split == "fault_filtered" else None
    for key in sorted(items):
        name, match = items[key]
        if match is None or match["genre"] not in GENRES:
            yield key, _other(name)
        elif splits is not None and key not in splits:
            yield key, Rejected("not_in_fault_filtered_split", f"{key} is faulty, or repeats one")
        else:
            attributes = {"genre": match["genre"], _clips.MIN_SECONDS: options.min_seconds}
            split = splits[key] if splits is not None else None
            yield Entry(key, key, (f"{ARCHIVE}!{name}",), split, attributes)


def _other(name: str) -> Rejected:
    if name.rpartition("/")[2].startswith("._"):
        return Rejected("apple_double", "what macOS keeps beside a file, not a clip")
    return Rejected("unexpected_file", "the name is not genres/<genre>/<genre>.<number>.wav")


DATASET = Dataset(
    name="gtzan",
    title="GTZAN Genre Collection",
    version="2002",
    licence="none stated; for research, music of others",
    citation=(
        "George Tzanetakis, Perry Cook. Musical Genre Classification of Audio Signals. IEEE "
        "Transactions on Speech and Audio Processing 10 (5), 2002. Split: Corey Kereliuk, Bob L. "
        "Sturm, Jan Larsen. Deep Learning and Music Adversaries. IEEE Transactions on Multimedia "
        "17 (11), 2015."
    ),
    homepage="http://marsyas.info/downloads/datasets.html",
    sources=sources,
    Options=GtzanOptions,
    catalogue=catalogue,
    load=_clips.load,
)
