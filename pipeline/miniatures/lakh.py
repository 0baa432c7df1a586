"""Lakh in small: tunes of music21's tune books, arranged in six genres, in the published layout.

The tunes are real (see `_tunes` for their provenance and licence), the arrangements are made by
rules (`_arranger`, `_styles`), and the songs' ids and match scores are synthesised. What is hard
about the real archive is in it: one file under two songs, two files of one song, files that are
truncated, have a data byte above 127, or are an HTML page, and songs without a genre. lmd_full has,
beside the files of lmd_matched, one in four tunes in an arrangement that matches no song.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.errors import PipelineError
from pipeline.files import atomic_open
from pipeline.miniatures import _arranger, _tunes
from pipeline.miniatures._archives import write_tar_gz, write_zip
from pipeline.miniatures._styles import STYLES

NOTICE = (
    "A miniature, not the Lakh MIDI dataset: tunes of the tune books in music21's corpus, arranged "
    "by rules in six genres that were drawn at random; song ids and match scores are synthesised. "
    "It has the published layout of lmd_matched. For non-commercial use, as the encodings of some "
    "tunes are."
)
LICENCE = (
    "none of its own: the tunes are out of copyright, their encodings those of music21's corpus, "
    "the Essen collection's for non-commercial use only (see corpus/license.txt of music21)"
)
_CORRUPT_PERIOD = 200
_SHARED_PERIOD = 20
_UNLABELLED_PERIOD = 25
_UNMATCHED_PERIOD = 4  # of lmd_full


class _Labels(NamedTuple):
    """How genres are published.

    Attributes:
      file: the name of the file, in a zip of the same name where zipped.
      names: the miniature's genre -> the label of it there; the same where not named.
    """

    file: str
    is_zipped: bool
    names: Mapping[str, str]


_LABELS = {
    "tagtraum_cd2c": _Labels("msd_tagtraum_cd2c.cls", True, {}),
    "masd": _Labels(
        "msd-MASD-styleAssignment.cls",
        False,
        {
            "Rock": "Rock_College",
            "Pop": "Pop_Contemporary",
            "Country": "Country_Traditional",
            "Jazz": "Jazz_Classic",
            "Electronic": "Electronica",
        },
    ),
    "topmagd": _Labels(
        "msd-topMAGD-genreAssignment.cls", False, {"Rock": "Pop_Rock", "Pop": "Pop_Rock"}
    ),
    "magd": _Labels("msd-MAGD-genreAssignment.cls", False, {"Rock": "Pop_Rock", "Pop": "Pop_Rock"}),
}


class MiniatureOptions(Protocol):
    @property
    def miniature_size(self) -> int: ...

    @property
    def subset(self) -> str: ...

    @property
    def genre_source(self) -> str | None: ...


def build(out: Path, options: MiniatureOptions, seed: int) -> None:
    """Writes the archive of the subset, match_scores.json and the genres of the genre_source.

    Of the songs every 20th shares its file with a second song id, and has a second arrangement;
    every 25th has no genre. One song in 200, two at least, is added whose file is corrupt.

    Args:
      out: the directory for the files; other files in it are left alone.
      options: `miniature_size` is the number of songs with tunes of their own; `subset` and
        `genre_source` say which files are written.
      seed: chooses the tunes, their genres and arrangements; equal seeds give equal bytes.

    Raises:
      PipelineError: if the tune books hold fewer usable tunes than `miniature_size`.
    """
    library = _Library(seed)
    tunes = list(islice(_tunes.tunes(seed), options.miniature_size))
    if len(tunes) < options.miniature_size:
        raise PipelineError(
            f"miniature_size={options.miniature_size} exceeds the {len(tunes)} usable tunes of "
            "music21's tune books (params.yaml, datasets.lakh). Choose a smaller size."
        )
    genres = _balanced_genres(len(tunes), np.random.default_rng([seed, 0]))
    for index, (tune, genre) in enumerate(zip(tunes, genres, strict=True)):
        content = _arrangement(tune, genre, seed, index, version=0)
        label = None if index % _UNLABELLED_PERIOD == _UNLABELLED_PERIOD - 1 else genre
        song = library.add_song(label)
        library.add_file(song, content)
        if index % _SHARED_PERIOD == 0:
            library.add_file(song, _arrangement(tune, genre, seed, index, version=1))
            library.add_file(library.add_song(label), content)
    for index in range(max(2, len(tunes) // _CORRUPT_PERIOD)):
        content = _arrangement(tunes[index], genres[index], seed, index, version=2)
        library.add_file(library.add_song(genres[index]), _corrupted(content, index))
    if options.subset == "lmd_full":
        for index in range(0, len(tunes), _UNMATCHED_PERIOD):
            library.add_unmatched(_arrangement(tunes[index], genres[index], seed, index, version=3))
    library.write(out, options.subset, options.genre_source)


class _Library:
    """The songs, their files and genres, as they are published."""

    def __init__(self, seed: int):
        self._seed = seed
        self._rng = np.random.default_rng([seed, 1])
        self._contents: dict[str, bytes] = {}
        self._places: list[str] = []
        self._scores: dict[str, dict[str, float]] = {}
        self._genres: dict[str, str] = {}

    def add_song(self, genre: str | None) -> str:
        song = msd_id(self._seed, len(self._scores))
        self._scores[song] = {}
        if genre is not None:
            self._genres[song] = genre
        return song

    def add_file(self, song: str, content: bytes) -> None:
        md5 = self.add_unmatched(content)
        self._places.append(f"{'/'.join(song[2:5])}/{song}/{md5}.mid")
        self._scores[song][md5] = round(float(self._rng.uniform(0.5, 1.0)), 6)

    def add_unmatched(self, content: bytes) -> str:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self._contents[md5] = content
        return md5

    def write(self, out: Path, subset: str, genre_source: str | None) -> None:
        places = self._places
        if subset == "lmd_full":
            places = [f"{md5[0]}/{md5}.mid" for md5 in self._contents]
        members = {f"{subset}/{place}": self._contents[place[-36:-4]] for place in places}
        notice = f"{NOTICE}\n".replace("lmd_matched", subset).encode()
        write_tar_gz(out / f"{subset}.tar.gz", {**members, f"{subset}/README": notice})
        with atomic_open(out / "match_scores.json", "w") as file:
            json.dump(self._scores, file, sort_keys=True)
        if genre_source is not None:
            self._write_genres(out, genre_source)

    def _write_genres(self, out: Path, genre_source: str) -> None:
        labels = _LABELS[genre_source]
        genres = {song: labels.names.get(g, g) for song, g in self._genres.items()}
        text = (_tagtraum(genres) if labels.is_zipped else _partition(genres)).encode()
        if labels.is_zipped:
            write_zip(out / f"{labels.file}.zip", {labels.file: text})
            return
        with atomic_open(out / labels.file) as file:
            file.write(text)


def msd_id(seed: int, index: int) -> str:
    """Synthesises the id of a song: TR, five letters, 128F, seven hexadecimal digits."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).hexdigest().upper()
    letters = "".join(chr(ord("A") + int(digest[i : i + 4], 16) % 26) for i in range(0, 20, 4))
    return f"TR{letters}128F{digest[20:27]}"


def _balanced_genres(num_songs: int, rng: np.random.Generator) -> list[str]:
    """Draws genres that are equally frequent, as nearly as the number allows."""
    names = list(STYLES)
    return [names[i] for i in rng.permutation(np.arange(num_songs) % len(names))]


def _arrangement(tune: _tunes.Tune, genre: str, seed: int, index: int, version: int) -> bytes:
    return _arranger.arrange(tune, genre, np.random.default_rng([seed, 2, index, version]))


def _corrupted(content: bytes, index: int) -> bytes:
    """Breaks a MIDI file as files of the real archive are broken: three ways in turn."""
    if index % 3 == 0:
        return content[: len(content) * 2 // 3]
    if index % 3 == 1:
        velocity = _first_note(content) + 2
        return content[:velocity] + b"\xff" + content[velocity + 1 :]
    return f"<!DOCTYPE html><html><body>404 Not Found ({index})</body></html>\n".encode()


def _first_note(content: bytes) -> int:
    """Finds the status byte of the first note: after a track's name, its program and a delay."""
    name = content.index(b"\xff\x03")
    place = name + 3 + content[name + 2] + 3  # a delay of 0, the status and the program
    while content[place] > 0x7F:
        place += 1
    return place + 1


def _tagtraum(genres: Mapping[str, str]) -> str:
    """Writes genres as tagtraum does: seven lines of comment, then song TAB genre."""
    comment = [
        "# MSD tagtraum genre annotations, CD2C layout",
        "# ------------------------------------------",
        *(f"# {sentence}" for sentence in _wrapped(NOTICE, 4)),
        "# trackId<TAB>majority genre",
    ]
    rows = [f"{song}\t{genre}" for song, genre in sorted(genres.items())]
    return "\n".join([*comment, *rows]) + "\n"


def _partition(genres: Mapping[str, str]) -> str:
    """Writes genres as MAGD, topMAGD and MASD are: song TAB label, no comment that says more."""
    rows = [f"{song}\t{genre}" for song, genre in sorted(genres.items())]
    return "\n".join([f"# {NOTICE}", *rows]) + "\n"


def _wrapped(text: str, num_lines: int) -> list[str]:
    words = text.split()
    size = -(-len(words) // num_lines)
    return [" ".join(words[i : i + size]) for i in range(0, len(words), size)]
