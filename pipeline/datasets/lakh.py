"""The Lakh MIDI dataset, its part that is matched to the Million Song Dataset.

MIDI <-> song is many-to-many: one file may match several songs, one song several files. So a file
is one entry, under the song that it matches best, and a whole connected component of files and
songs is one group. A file's name is the md5 of its content; a few thousand are known to be corrupt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from pipeline import archives
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import midi

ARCHIVE = "lmd_matched.tar.gz"
SCORES = "match_scores.json"
GENRES = "msd_tagtraum_cd2c.cls.zip"
_TOP = "lmd_matched/"
_LAYOUT = re.compile(r"([A-Z])/([A-Z])/([A-Z])/(TR\1\2\3[A-Z0-9]{13})/([0-9a-f]{32})\.mid")


class LakhOptions(Options):
    subset: Literal["lmd_matched"] = Field(
        description="the part of Lakh; lmd_matched are the files matched to songs of the MSD"
    )
    min_match_score: float = Field(
        ge=0,
        le=1,
        description="files whose best match is below are left out; all published ones are > 0.5",
    )
    miniature_size: int = Field(
        ge=8, le=8000, description="songs with tunes of their own in the embedded miniature"
    )


def sources(options: LakhOptions) -> tuple[Source, ...]:
    """The archive, the scores of its matches, and genres by song (tagtraum CD2C)."""
    del options  # lmd_matched is the only subset
    base = "http://hog.ee.columbia.edu/craffel/lmd"
    return (
        Source(
            ARCHIVE,
            (f"{base}/{ARCHIVE}",),
            1_407_072_670,
            "sha256:621ff830aed771f469e5bfa13dc12a33c6ed69090adeda63d0b5c47783af0191",
        ),
        Source(SCORES, (f"{base}/{SCORES}", f"https://colinraffel.com/projects/lmd/{SCORES}")),
        Source(GENRES, (f"https://www.tagtraum.com/genres/{GENRES}",)),
    )


def catalogue(raw: Path, options: LakhOptions) -> Iterator[Entry | tuple[str, Exception]]:
    """Lists the MIDI files; each content is one entry, under the song that it matches best.

    Args:
      raw: the directory of the three published files.
      options: `min_match_score` is used.

    Yields:
      In key order, the key being the path below lmd_matched: entries, or (key, Rejected) with
      the reasons unexpected_path, no_match_score, duplicate_file, low_match_score.
    """
    scores = json.loads((raw / SCORES).read_text(encoding="utf-8"))
    genres = _genres(raw / GENRES)
    paths = sorted(
        name.removeprefix(_TOP)
        for name in archives.members(raw / ARCHIVE)
        if name.startswith(_TOP) and name.endswith(".mid")
    )
    files = [file for path in paths if (file := _File.parse(path, scores))]
    groups = _groups(files)
    best: dict[str, _File] = {}
    for file in files:
        if file.score is not None and file.beats(best.get(file.md5)):
            best[file.md5] = file
    by_path = {file.path: file for file in files}
    for path in paths:
        rejection = _rejection(by_path.get(path), best, options.min_match_score)
        if rejection:
            yield path, rejection
            continue
        song, score = by_path[path].msd_id, by_path[path].score
        attributes = {"msd_id": song, "match_score": score, "genre": genres.get(song)}
        yield Entry(path, groups[song], (f"{ARCHIVE}!{_TOP}{path}",), attributes=attributes)


def load(entry: Entry, data: Mapping[str, bytes]) -> Example:
    """Reads one MIDI file.

    Raises:
      Rejected: checksum_mismatch if the content is not what its name says, or what the MIDI
        reader finds wrong with it.
    """
    content = data[entry.members[0]]
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != Path(entry.key).stem:
        raise Rejected("checksum_mismatch", f"md5={md5} differs from the name of {entry.key}")
    return Example(entry.key, note_sequence=midi.read(content), attributes=entry.attributes)


class _File(NamedTuple):
    path: str
    msd_id: str
    md5: str
    score: float | None

    @classmethod
    def parse(cls, path: str, scores: Mapping[str, Mapping[str, float]]) -> _File | None:
        match = _LAYOUT.fullmatch(path)
        if match is None:
            return None
        msd_id, md5 = match[4], match[5]
        return cls(path, msd_id, md5, scores.get(msd_id, {}).get(md5))

    def beats(self, other: _File | None) -> bool:
        """Whether it matches better; of equals the first by name stays."""
        return other is None or (self.score or 0) > (other.score or 0)


def _rejection(file: _File | None, best: Mapping[str, _File], minimum: float) -> Rejected | None:
    if file is None:
        return Rejected("unexpected_path", "the name is not A/B/C/TRABC.../<md5>.mid")
    if file.score is None:
        return Rejected("no_match_score", f"{SCORES} has no score of it for {file.msd_id}")
    winner = best[file.md5]
    if winner is not file:
        return Rejected("duplicate_file", f"the same content matches better as {winner.path}")
    if file.score < minimum:
        return Rejected("low_match_score", f"match_score={file.score} < min_match_score={minimum}")
    return None


def _groups(files: Iterable[_File]) -> dict[str, str]:
    """Gives for each song the smallest song of its connected component (union-find)."""
    parents: dict[str, str] = {}

    def root(node: str) -> str:
        parents.setdefault(node, node)
        while parents[node] != node:
            parents[node] = parents[parents[node]]
            node = parents[node]
        return node

    # An md5 has lower-case letters and digits only, a song's id begins with TR: no two collide.
    for file in files:
        parents[root(file.msd_id)] = root(file.md5)
    smallest: dict[str, str] = {}
    songs = sorted({file.msd_id for file in files})
    for song in songs:
        smallest.setdefault(root(song), song)
    return {song: smallest[root(song)] for song in songs}


def _genres(path: Path) -> dict[str, str]:
    """Gives the genre by song: track id, TAB, majority genre[, TAB, minority]; # is a comment."""
    labels = [name for name in archives.members(path) if name.endswith(".cls")]
    if len(labels) != 1:
        raise PipelineError(
            f"{path} holds {len(labels)} .cls files, and one is expected. Delete it and run "
            "`dvc repro` to fetch it again."
        )
    text = archives.read_text(path.parent, f"{path.name}!{labels[0]}")
    rows = (line.split("\t") for line in text.splitlines() if line and line[0] != "#")
    return {row[0]: row[1].strip() for row in rows if len(row) > 1}


DATASET = Dataset(
    name="lakh",
    title="The Lakh MIDI Dataset",
    version="0.1",
    licence="CC-BY-4.0",
    citation=(
        "Colin Raffel. Learning-Based Methods for Comparing Sequences, with Applications to "
        "Audio-to-MIDI Alignment and Matching. PhD thesis, Columbia University, 2016. "
        "Genre labels: Hendrik Schreiber. Improving Genre Annotations for the Million Song "
        "Dataset. ISMIR 2015."
    ),
    homepage="https://colinraffel.com/projects/lmd/",
    sources=sources,
    Options=LakhOptions,
    catalogue=catalogue,
    load=load,
)
