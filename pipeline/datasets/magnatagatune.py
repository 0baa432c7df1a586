"""MagnaTagATune: half-minute clips of Magnatune's music, with the tags that players of a game gave.

Law et al. 2009. The clips are one zip, cut into mp3.zip.001, .002 and .003, which holds
<directory>/<artist>-<album>-<track>-<title>-<start>-<end>.mp3 in sixteen directories, 0 to f.
annotations_final.csv has a row of 188 flags a clip, clip_info_final.csv what it is cut from; both
are separated by tabs. The usual split is by directory: 0 to b train, c validation, d to f test; the
clips of a recording are in one directory.

Three of the files have no bytes.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from pipeline import archives
from pipeline.datasets import _clips
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected

ARCHIVE = "mp3.zip.001"
PARTS = (ARCHIVE, "mp3.zip.002", "mp3.zip.003")
ANNOTATIONS, CLIP_INFO = "annotations_final.csv", "clip_info_final.csv"
_URL = "https://mirg.city.ac.uk/datasets/magnatagatune/"
_SPLITS = {
    **dict.fromkeys("0123456789ab", "train"),
    "c": "validation",
    **dict.fromkeys("def", "test"),
}
_CLIP = re.compile(r"(?P<directory>[0-9a-f])/(?P<recording>.+)-[0-9]+-[0-9]+\.mp3")
_INFO = ("title", "artist", "album")


class MagnaTagATuneOptions(_clips.ClipOptions):
    """datasets.magnatagatune"""

    num_tags: int = Field(
        ge=1, le=188, description="the most frequent ones of all annotations; others do not count"
    )
    miniature_size: int = Field(ge=24, le=2000, description="clips of the embedded miniature")


def sources(options: MagnaTagATuneOptions) -> tuple[Source, ...]:
    """The parts of the archive, about 2.8 GB, and the two tables; no checksum is published."""
    return tuple(Source(file, (_URL + file,)) for file in (*PARTS, ANNOTATIONS, CLIP_INFO))


def catalogue(raw: Path, options: MagnaTagATuneOptions) -> Iterator[Entry | tuple[str, Rejected]]:
    """The clips by their paths, e.g. "f/<artist>-<album>-01-<title>-30-59.mp3".

    Yields:
      In key order: entries, or (path, Rejected) with the reasons missing_audio (the annotations
      name it, the archive does not have it), no_annotation, unexpected_file, duplicate_clip.

    Raises:
      PipelineError: a table is not what is published, or the archive lacks a part.
    """
    annotated = _annotations(raw)
    wanted = frozenset(_most_frequent(annotated.tags.values(), options.num_tags))
    info = _info(raw)
    found = set(archives.members(raw / ARCHIVE))
    for path in sorted(found | annotated.tags.keys()):
        match = _CLIP.fullmatch(path)
        try:
            if match is None:
                raise Rejected("unexpected_file", "the name is not that of a clip")
            if path not in found:
                raise Rejected("missing_audio", f"{ANNOTATIONS} names it, no archive has it")
            if path not in annotated.tags:
                raise Rejected("no_annotation", f"{ANNOTATIONS} does not name it")
            if path in annotated.twice:
                raise Rejected("duplicate_clip", f"{ANNOTATIONS} names it twice")
            attributes = {
                **info.get(path, {}),
                "tags": sorted(wanted & annotated.tags[path]),
                _clips.MIN_SECONDS: options.min_seconds,
            }
            split = _SPLITS[match["directory"]]
            yield Entry(path, match["recording"], (f"{ARCHIVE}!{path}",), split, attributes)
        except Rejected as rejected:
            yield path, rejected


class _Annotations(NamedTuple):
    """The tags of each clip, by path; and the paths that have two rows."""

    tags: dict[str, frozenset[str]]
    twice: frozenset[str]


def _annotations(raw: Path) -> _Annotations:
    """Raises PipelineError."""
    tags: dict[str, frozenset[str]] = {}
    twice = set()
    for row in _rows(raw / ANNOTATIONS, ("clip_id", "mp3_path")):
        path = row.pop("mp3_path")
        del row["clip_id"]
        if set(row.values()) - {"0", "1"}:
            raise _not_the_table(raw / ANNOTATIONS, f"a flag of {path[:80]} is neither 0 nor 1")
        if path in tags:
            twice.add(path)
        tags[path] = frozenset(tag for tag, flag in row.items() if flag == "1")
    return _Annotations(tags, frozenset(twice))


def _most_frequent(annotations: Iterable[frozenset[str]], num_tags: int) -> list[str]:
    """In descending order; of equally frequent ones the first by name comes first."""
    counts = Counter(tag for tags in annotations for tag in tags)
    return sorted(counts, key=lambda tag: (-counts[tag], tag))[:num_tags]


def _info(raw: Path) -> dict[str, dict[str, str]]:
    """Title, artist and album by path. Raises PipelineError."""
    rows = _rows(raw / CLIP_INFO, ("mp3_path", *_INFO))
    return {row["mp3_path"]: {name: row[name] for name in _INFO} for row in rows}


def _rows(table: Path, needed: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a table separated by tabs; what a row lacks at its end is "".

    Raises PipelineError.
    """
    try:
        text = table.read_bytes().decode("utf-8-sig")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
        header = next(rows, [])
        if missing := [name for name in needed if name not in header]:
            raise ValueError(f"it has no column {missing[0]}")
        for row in rows:
            if len(row) > len(header):
                raise ValueError(f"line {rows.line_num} has {len(row)} of {len(header)} columns")
            if row:
                yield dict(zip_longest(header, row, fillvalue=""))
    except FileNotFoundError:
        raise PipelineError(f"{table} is not there. Run `dvc repro` to fetch it.") from None
    except (ValueError, csv.Error) as error:
        raise _not_the_table(table, str(error)) from None


def _not_the_table(table: Path, problem: str) -> PipelineError:
    return PipelineError(f"{table} is not MagnaTagATune's table ({problem}). {FETCH_AGAIN}")


DATASET = Dataset(
    name="magnatagatune",
    title="MagnaTagATune",
    version="final",
    licence="CC-BY-NC-SA-3.0",
    citation=(
        "Edith Law, Kris West, Michael Mandel, Mert Bay, J. Stephen Downie. Evaluation of "
        "Algorithms Using Games: The Case of Music Tagging. ISMIR 2009."
    ),
    homepage="https://mirg.city.ac.uk/codeapps/the-magnatagatune-dataset",
    sources=sources,
    Options=MagnaTagATuneOptions,
    catalogue=catalogue,
    load=_clips.load,
)
