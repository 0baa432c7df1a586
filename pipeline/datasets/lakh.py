"""The Lakh MIDI dataset: all of it, or its part that is matched to the Million Song Dataset.

MIDI <-> song is many-to-many: one file may match several songs, one song several files. So a file
is one entry, under the song that it matches best, and a whole connected component of files and
songs is one group, of the same name in both subsets. A file's name is the md5 of its content; a few
thousand are known to be corrupt.

A file's genre is that of the best matching of its songs that has a label. The MSD lists many a
recording more than once, and those who labelled it labelled some of these: the next song of a file
is nearly always the same music under another id, so its label is the file's, too.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from pipeline import archives
from pipeline.datasets import _lakh_tables, _note_filters
from pipeline.datasets._components import components
from pipeline.datasets._lakh_tables import SCORES, Match
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.readers import midi

_LAYOUTS = {
    "lmd_matched": re.compile(
        r"([A-Z])/([A-Z])/([A-Z])/(?P<song>TR\1\2\3[A-Z0-9]{13})/(?P<md5>[0-9a-f]{32})\.mid"
    ),
    "lmd_full": re.compile(r"([0-9a-f])/(?P<md5>\1[0-9a-f]{31})\.mid"),
}
_DOCUMENT = re.compile(r"(README|LICEN[CS]E)(\.\w+)?", re.IGNORECASE)


class LakhOptions(_note_filters.NoteFilters):
    """datasets.lakh"""

    subset: Literal["lmd_matched", "lmd_full"] = Field(
        description="lmd_matched: the 45,129 files matched to songs of the MSD; lmd_full: all "
        "176,581, most of them without song and genre"
    )
    min_match_score: float = Field(
        ge=0,
        le=1,
        description="matches below do not count: lmd_matched leaves such a file out, lmd_full "
        "keeps it without song and genre; all published ones are > 0.5",
    )
    genre_source: Literal["tagtraum_cd2c", "masd", "topmagd", "magd"] | None = Field(
        description="whose genres of songs; null: none are fetched"
    )
    genres: tuple[str, ...] | None = Field(
        min_length=1,
        description="only files of these genres, as genre_source spells them; null: all, and "
        "those without a genre",
    )
    miniature_size: int = Field(
        ge=8, le=8000, description="songs with tunes of their own in the embedded miniature"
    )

    @field_validator("genres")
    @classmethod
    def _check_genres(
        cls, genres: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if genres is not None and info.data.get("genre_source") is None:
            raise ValueError("genres need a genre_source")
        return genres


def sources(options: LakhOptions) -> tuple[Source, ...]:
    """The archive, the scores of its matches, and genres by song."""
    base = "http://hog.ee.columbia.edu/craffel/lmd"
    num_bytes, sha256 = {
        "lmd_matched": (
            1_407_072_670,
            "621ff830aed771f469e5bfa13dc12a33c6ed69090adeda63d0b5c47783af0191",
        ),
        "lmd_full": (
            1_768_163_879,
            "6fcfe2ac49ca08f3f214cec86ab138d4fc4dabcd7f27f491a838dae6db45a12b",
        ),
    }[options.subset]
    file = _archive(options)
    mirrors = (f"{base}/{SCORES}", f"https://colinraffel.com/projects/lmd/{SCORES}")
    needed = (
        Source(file, (f"{base}/{file}",), num_bytes, f"sha256:{sha256}"),
        Source(SCORES, mirrors),
    )
    if options.genre_source is None:
        return needed
    return (*needed, _lakh_tables.genre_file(options.genre_source))


def catalogue(raw: Path, options: LakhOptions) -> Iterator[Entry | tuple[str, Rejected]]:
    """Lists the MIDI files; each content is one entry, under the song that it matches best.

    Args:
      raw: the directory of the published files.
      options: filters of notes are left to `load`, all others are applied here.

    Yields:
      In key order, the key being the path below the archive's top: entries, or (key, Rejected)
      with the reasons unexpected_path, no_match_score, duplicate_file, low_match_score, no_genre,
      genre_not_wanted; for a table with bad rows (its name, malformed_match_score or
      malformed_genre_line).

    Raises:
      PipelineError: a table is not what is published, or a genre is wanted that it does not have.
    """
    matches, labels, problems = _tables(raw, options)
    paths = sorted(set(_paths(archives.members(raw / _archive(options)), options.subset)))
    files = {path: file for path in paths if (file := _File.parse(path, options.subset))}
    groups = _groups(files.values(), matches)
    best = _best(files.values(), matches)
    filters = _note_filters.chosen(options)
    for path in sorted([*paths, *problems]):
        file = files.get(path)
        if file is None:
            yield path, problems.get(path) or Rejected("unexpected_path", _EXPECTED[options.subset])
            continue
        match = best.get(file.md5)
        found = matches.get(file.md5, ())
        genre = _genre(found, labels, options.min_match_score)
        rejection = _rejection(file, match, found, genre, options)
        if rejection is not None:
            yield path, rejection
            continue
        if match is not None and match.score < options.min_match_score:
            match = None
        attributes: dict[str, Any] = {
            "msd_id": match and match.msd_id,
            "match_score": match and match.score,
            "genre": genre,
        }
        if filters:
            attributes[_FILTERS] = filters
        group = groups.get(file.md5, file.md5)
        yield Entry(
            path, group, (f"{_archive(options)}!{options.subset}/{path}",), None, attributes
        )


def load(entry: Entry, data: Mapping[str, bytes]) -> Example:
    """Reads one MIDI file.

    Raises:
      Rejected: checksum_mismatch if the content is not what its name says, what the MIDI reader
        finds wrong with it, or the reason of a filter.
    """
    content = data[entry.members[0]]
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != Path(entry.key).stem:
        raise Rejected("checksum_mismatch", f"md5={md5} differs from the name of {entry.key}")
    notes, repairs = midi.read_serialized_with_repairs(content)
    attributes = entry.attributes
    if _FILTERS in attributes:
        _note_filters.check(notes, attributes[_FILTERS])
        attributes = {name: value for name, value in attributes.items() if name != _FILTERS}
    return Example(entry.key, note_sequence_bytes=notes, attributes=attributes, repairs=repairs)


_FILTERS = "filters"  # a job knows only its entries; this attribute is not the example's
_EXPECTED = {
    "lmd_matched": "the name is not A/B/C/TRABC.../<md5>.mid",
    "lmd_full": "the name is not <first digit of md5>/<md5>.mid",
}


def _archive(options: LakhOptions) -> str:
    return f"{options.subset}.tar.gz"


def _tables(
    raw: Path, options: LakhOptions
) -> tuple[Mapping[str, list[Match]], Mapping[str, str], dict[str, Rejected]]:
    """Matches by md5, genres by song, and the tables with bad rows."""
    tables = [_lakh_tables.matches(raw)]
    labels: Mapping[str, str] = {}
    if options.genre_source is not None:
        tables.append(_lakh_tables.genres(raw, options.genre_source))
        labels = tables[1].rows
        known = sorted(set(labels.values()))
        for genre in options.genres or ():
            if genre not in known:
                near = difflib.get_close_matches(genre, known, n=1) or known[:30]
                raise PipelineError(
                    f"datasets.lakh.*.genres: {genre!r} is no genre of {options.genre_source}; "
                    f"did you mean {' or '.join(map(repr, near))}? Change it in params.yaml."
                )
    return tables[0].rows, labels, dict(t.problem for t in tables if t.problem)


def _paths(names: Iterable[str], subset: str) -> Iterator[str]:
    """The files below the archive's top, but for what documents it; others by their whole name."""
    for name in names:
        path = name.removeprefix(f"{subset}/")
        if not _DOCUMENT.fullmatch(path):
            yield path


class _File(NamedTuple):
    path: str
    md5: str
    msd_id: str | None  # under which it lies; lmd_full names no songs

    @classmethod
    def parse(cls, path: str, subset: str) -> _File | None:
        match = _LAYOUTS[subset].fullmatch(path)
        if match is None:
            return None
        found = match.groupdict()
        return cls(path, found["md5"], found.get("song"))


def _groups(files: Iterable[_File], matches: Mapping[str, list[Match]]) -> dict[str, str]:
    """Gives for each md5 that has songs the smallest song of its connected component."""
    links = [(file.msd_id, file.md5) for file in files if file.msd_id is not None]
    links += [(match.msd_id, md5) for md5, found in matches.items() for match in found]
    return components(links, (song for song, _ in links))


def _best(files: Iterable[_File], matches: Mapping[str, list[Match]]) -> dict[str, Match]:
    """Each md5's best match, among the songs under which it lies where it lies under songs."""
    songs: dict[str, set[str]] = {}
    for file in files:
        if file.msd_id is not None:
            songs.setdefault(file.md5, set()).add(file.msd_id)
    best = {}
    for md5, found in matches.items():
        listed = [m for m in found if md5 not in songs or m.msd_id in songs[md5]]
        if listed:
            best[md5] = listed[0]
    return best


def _genre(found: Iterable[Match], labels: Mapping[str, str], min_match_score: float) -> str | None:
    scored = (match for match in found if match.score >= min_match_score)
    return next((labels[match.msd_id] for match in scored if match.msd_id in labels), None)


def _rejection(
    file: _File,
    match: Match | None,
    found: Iterable[Match],
    genre: str | None,
    options: LakhOptions,
) -> Rejected | None:
    if file.msd_id is not None:
        if match is None or all(other.msd_id != file.msd_id for other in found):
            return Rejected("no_match_score", f"{SCORES} has no score of it for {file.msd_id}")
        if match.msd_id != file.msd_id:
            return Rejected("duplicate_file", f"the same content matches {match.msd_id} better")
        if match.score < options.min_match_score:
            rule = f"min_match_score={options.min_match_score}"
            return Rejected("low_match_score", f"match_score={match.score} < {rule}")
    if options.genres is not None:
        if genre is None:
            return Rejected("no_genre", f"{options.genre_source} has no label for its songs")
        if genre not in options.genres:
            return Rejected("genre_not_wanted", f"genre={genre!r} is not in genres")
    return None


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
