"""What is published beside Lakh's MIDI files: matches to songs, and the songs' genres."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline import archives
from pipeline.datasets import _json
from pipeline.datasets.base import Source
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected

SCORES = "match_scores.json"
MSD_ID = re.compile(r"TR[A-Z0-9]{16}")
MD5 = re.compile(r"[0-9a-f]{32}")

_PARTITIONS = "http://www.ifs.tuwien.ac.at/mir/msd/partitions"
GENRE_SOURCES = {
    "tagtraum_cd2c": "https://www.tagtraum.com/genres/msd_tagtraum_cd2c.cls.zip",
    "masd": f"{_PARTITIONS}/msd-MASD-styleAssignment.cls",
    "topmagd": f"{_PARTITIONS}/msd-topMAGD-genreAssignment.cls",
    "magd": f"{_PARTITIONS}/msd-MAGD-genreAssignment.cls",
}


class Match(NamedTuple):
    """A file's match to a song."""

    msd_id: str
    score: float


class Table(NamedTuple):
    """A published table.

    Attributes:
      rows: md5 -> matches, the best first; or MSD id -> genre.
      problem: what is wrong with some of its rows, to be counted, or None.
    """

    rows: Mapping
    problem: tuple[str, Rejected] | None


def genre_file(genre_source: str) -> Source:
    """Where genres by song are published; the publishers give neither size nor checksum."""
    url = GENRE_SOURCES[genre_source]
    return Source(url.rpartition("/")[2], (url,))


def matches(raw: Path) -> Table:
    """The songs that each file matches, the best first, of equals the first by name.

    Raises:
      PipelineError: match_scores.json is no JSON object, or most of it is not `song: {md5: score}`.
    """
    path = raw / SCORES
    published = _json.table(path.read_bytes(), str(path))
    if not isinstance(published, dict):
        raise PipelineError(f"{path} is no mapping of songs. {FETCH_AGAIN}")
    found: dict[str, list[Match]] = defaultdict(list)
    bad = []
    for song, scores in sorted(published.items()):
        if not MSD_ID.fullmatch(song) or not isinstance(scores, dict):
            bad.append(song)
            continue
        for md5, score in scores.items():
            if MD5.fullmatch(md5) and _json.is_number(score) and 0 <= score <= 1:
                found[md5].append(Match(song, score))
            else:
                bad.append(f"{song}/{md5}")
    for songs in found.values():
        songs.sort(key=lambda match: -match.score)
    num_rows = len(bad) + sum(map(len, found.values()))
    return Table(found, _problem(path, "malformed_match_score", bad, num_rows))


def genres(raw: Path, genre_source: str) -> Table:
    """Gives the genre by song: track id, TAB, majority genre[, TAB, minority]; # is a comment.

    A genre may have spaces ("New Age"); what follows a second TAB is not read. Of two lines for a
    song the first counts.

    Raises:
      PipelineError: the file is a zip without a .cls, or most of its lines are malformed.
    """
    path = raw / genre_file(genre_source).file
    labels: dict[str, str] = {}
    bad, num_rows = [], 0
    for number, line in enumerate(_cls_text(path).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        num_rows += 1
        song, *columns = (column.strip() for column in line.split("\t"))
        if MSD_ID.fullmatch(song) and columns and columns[0]:
            labels.setdefault(song, columns[0])
        else:
            bad.append(f"line {number}")
    return Table(labels, _problem(path, "malformed_genre_line", bad, num_rows))


def _problem(path: Path, reason: str, bad: list[str], num_rows: int) -> tuple[str, Rejected] | None:
    if 2 * len(bad) > num_rows or num_rows == 0:
        raise PipelineError(
            f"{path}: {len(bad)} of {num_rows} rows are malformed; this is not the published "
            f"file. {FETCH_AGAIN}"
        )
    if not bad:
        return None
    return path.name, Rejected(reason, f"{len(bad)} of {num_rows} rows, the first {bad[0][:60]}")


def _cls_text(path: Path) -> str:
    """A .cls file, plain or in a zip."""
    if not zipfile.is_zipfile(path):
        return path.read_bytes().decode("utf-8-sig", "replace")
    labels = [name for name in archives.members(path) if name.endswith(".cls")]
    if len(labels) != 1:
        raise PipelineError(
            f"{path} holds {len(labels)} .cls files, and one is expected. {FETCH_AGAIN}"
        )
    data = archives.read_one(path.parent, f"{path.name}!{labels[0]}")
    return data.decode("utf-8-sig", "replace")
