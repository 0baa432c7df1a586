"""FMA, a dataset for music analysis: half-minute clips of the Free Music Archive, with genres.

Defferrard et al. 2017. fma_<subset>.zip holds fma_<subset>/<id // 1000>/<id>.mp3, each number
padded with zeros, and fma_metadata.zip a table of all tracks, tracks.csv, whose columns have names
of two levels: two rows of header, and a third that names the index. The small subset has eight
genres of 1,000 clips each, the medium one sixteen, unbalanced, and holds the small one. The
publisher's split keeps the tracks of an artist together.

A few clips are shorter than half a minute, and three of the small subset (99134, 108925, 133297)
are files without sound.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline import archives
from pipeline.datasets import _clips
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected

METADATA = "fma_metadata.zip"
_TRACKS = f"{METADATA}!fma_metadata/tracks.csv"
_URL = "https://os.unil.cloud.switch.ch/fma/"
_SHA1 = {
    "fma_metadata.zip": "f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
    "fma_small.zip": "ade154f733639d52e35e32f5593efe5be76c6d70",
    "fma_medium.zip": "c67b69ea232021025fca9231fc1c7c1a063ab50b",
}
_SUBSETS = {"small": ("small",), "medium": ("small", "medium")}
_SPLITS = {"training": "train", "validation": "validation", "test": "test"}
_COLUMNS = {
    "split": ("set", "split"),
    "subset": ("set", "subset"),
    "genre": ("track", "genre_top"),
    "title": ("track", "title"),
    "licence": ("track", "license"),
    "artist": ("artist", "name"),
    "artist_id": ("artist", "id"),
}
_MAX_FIELD_CHARACTERS = 1 << 20  # biographies are long


class FmaOptions(_clips.ClipOptions):
    """datasets.fma"""

    subset: Literal["small", "medium"] = Field(
        description="small: 8,000 clips of 8 genres, 7 GB; medium: 25,000 of 16, 22 GB"
    )
    miniature_size: int = Field(ge=24, le=2000, description="clips of the embedded miniature")


def sources(options: FmaOptions) -> tuple[Source, ...]:
    """The tables and the clips; of both a SHA-1 is published, no size in bytes."""
    files = (METADATA, f"fma_{options.subset}.zip")
    return tuple(Source(file, (_URL + file,), checksum=f"sha1:{_SHA1[file]}") for file in files)


def catalogue(raw: Path, options: FmaOptions) -> Iterator[Entry | tuple[str, Rejected]]:
    """The tracks of the subset by their ids of six digits; of other subsets nothing is said.

    Yields:
      In key order: entries, or (key, Rejected) with the reasons missing_audio (the table names the
      track, the archive does not have it), not_in_table, no_genre, no_artist, unknown_split,
      duplicate_track; or (file, Rejected) with unexpected_file.

    Raises:
      PipelineError: tracks.csv is not such a table, or names no track of the subset.
    """
    archive = f"fma_{options.subset}.zip"
    found, others = _clip_files(raw / archive, options.subset)
    rows, twice = _rows(raw, _SUBSETS[options.subset])
    for key in sorted({*found, *rows, *others}):
        try:
            if key in others:
                raise Rejected("unexpected_file", "the name is not that of a clip")
            if key not in found:
                raise Rejected("missing_audio", f"{archive} does not have track {key}")
            if key not in rows:
                raise Rejected("not_in_table", f"tracks.csv has no such track of {options.subset}")
            if key in twice:
                raise Rejected("duplicate_track", f"tracks.csv has track {key} twice")
            yield _entry(key, rows[key], f"{archive}!{found[key]}", options)
        except Rejected as rejected:
            yield key, rejected


def _clip_files(archive: Path, subset: str) -> tuple[dict[str, str], set[str]]:
    """The clips by track id, and the names of what is none of them; the lists that belong go."""
    clip = re.compile(rf"fma_{subset}/(\d{{3}})/(\1\d{{3}})\.mp3")
    found, others = {}, set()
    for name in archives.members(archive):
        match = clip.fullmatch(name)
        if match:
            found[match[2]] = name
        elif name not in (f"fma_{subset}/README.txt", f"fma_{subset}/checksums"):
            others.add(name)
    return found, others


def _rows(raw: Path, subsets: tuple[str, ...]) -> tuple[dict[str, dict[str, str]], set[str]]:
    """What `_COLUMNS` names, by track id; and the ids that have two rows."""
    text = archives.read_one(raw, _TRACKS)
    rows: dict[str, dict[str, str]] = {}
    twice = set()
    try:
        for key, row in _table(text.decode("utf-8-sig")):
            if row["subset"] not in subsets:
                continue
            if key in rows:
                twice.add(key)
            rows[key] = row
        if not rows:
            raise ValueError(f"no track is of the subsets {', '.join(subsets)}")
    except (ValueError, csv.Error) as error:
        raise PipelineError(
            f"{raw / _TRACKS} is not FMA's table of tracks ({error}). {FETCH_AGAIN}"
        ) from None
    return rows, twice


def _table(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows below the two of the header and that of the index's name. Raises ValueError."""
    former = csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    try:
        lines = csv.reader(io.StringIO(text, newline=""))
        header = list(zip(next(lines, []), next(lines, []), strict=False))
        missing = [".".join(column) for column in _COLUMNS.values() if column not in header]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        places = {name: header.index(column) for name, column in _COLUMNS.items()}
        if next(lines, [""])[0] != "track_id":
            raise ValueError("its third row does not begin with track_id")
        for line in lines:
            if len(line) != len(header) or not re.fullmatch(r"[0-9]{1,6}", line[0]):
                raise ValueError(f"line {lines.line_num} is no row of a track")
            yield f"{int(line[0]):06d}", {name: line[place] for name, place in places.items()}
    finally:
        csv.field_size_limit(former)


def _entry(key: str, row: dict[str, str], member: str, options: FmaOptions) -> Entry:
    if row["split"] not in _SPLITS:
        raise Rejected("unknown_split", f"split={row['split'][:40]!r}")
    if not row["genre"]:
        raise Rejected("no_genre", "genre_top is empty")
    if not row["artist_id"]:
        raise Rejected("no_artist", "artist.id is empty")
    names = ("genre", "title", "artist", "licence", "subset")
    attributes = {name: row[name] for name in names} | {_clips.MIN_SECONDS: options.min_seconds}
    return Entry(key, row["artist_id"], (member,), _SPLITS[row["split"]], attributes)


DATASET = Dataset(
    name="fma",
    title="FMA: A Dataset For Music Analysis",
    version="rc1",
    licence="CC-BY-4.0 of the tables; of each clip the licence that its artist chose",
    citation=(
        "Michaël Defferrard, Kirell Benzi, Pierre Vandergheynst, Xavier Bresson. FMA: A Dataset "
        "For Music Analysis. ISMIR 2017."
    ),
    homepage="https://github.com/mdeff/fma",
    sources=sources,
    Options=FmaOptions,
    catalogue=catalogue,
    load=_clips.load,
)
