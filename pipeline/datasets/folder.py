"""Anyone's own files: a directory of MIDI, MusicXML, ABC, kern and sound, packed as folder.zip."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline import archives
from pipeline.datasets.base import Dataset, Entry
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import abc

ARCHIVE = "folder.zip"
SCORES = (".mid", ".midi", ".kar", ".xml", ".musicxml", ".mxl", ".krn")
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
TUNE_BOOKS = (".abc",)


def catalogue(raw: Path, options: Options) -> Iterator[Entry | tuple[str, Exception]]:
    """Lists the files; a tune book is one entry a tune, "book.abc#1" its first."""
    items: list[tuple[str, Entry | Rejected]] = []
    for name in archives.members(raw / ARCHIVE):
        reason = _unusable(name)
        if reason is not None:
            items.append((name, reason))
        elif _suffix(name) in TUNE_BOOKS:
            ((_, data),) = archives.read(raw, [f"{ARCHIVE}!{name}"])
            items.extend(_tunes(name, data))
        else:
            group = _group(PurePosixPath(name).stem)
            items.append((name, Entry(name, group, (f"{ARCHIVE}!{name}",))))
    for key, item in sorted(items, key=lambda pair: pair[0]):
        yield (key, item) if isinstance(item, Rejected) else item


def load(entry: Entry, blobs: Mapping[str, bytes]) -> Example:
    """Reads a file, or one tune of its book, with the reader of its suffix."""
    (member,) = entry.members
    suffix, data = _suffix(member), blobs[member]
    if suffix in SOUNDS:
        from pipeline.readers import audio

        waveform, sample_rate = audio.read(data)
        return Example(
            entry.key, audio=waveform, sample_rate=sample_rate, attributes=entry.attributes
        )
    if suffix in TUNE_BOOKS:
        tune = _book(data)[entry.attributes["tune"] - 1]
        return Example(entry.key, note_sequence=abc.read(tune), attributes=entry.attributes)
    return Example(entry.key, note_sequence=_read_score(suffix, data), attributes=entry.attributes)


@lru_cache(maxsize=1)
def _book(data: bytes) -> list[str]:
    """The tunes of a book, which its entries ask for one after another."""
    return abc.split_tunebook(abc.decode(data))


def _unusable(name: str) -> Rejected | None:
    if any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts):
        return Rejected("not_music", "a hidden file, or one that a file manager left")
    if _suffix(name) not in (*SCORES, *SOUNDS, *TUNE_BOOKS):
        return Rejected("unknown_suffix", f"suffix={_suffix(name)!r} has no reader")
    return None


def _tunes(name: str, data: bytes) -> Iterator[tuple[str, Entry | Rejected]]:
    tunes = abc.split_tunebook(abc.decode(data))
    if not tunes:
        yield name, Rejected("abc_no_tunes", "neither an X: nor a K: field")
    for index, tune in enumerate(tunes, start=1):
        title = abc.title(tune)
        yield (
            f"{name}#{index}",
            Entry(
                key=f"{name}#{index}",
                group=_group(title or f"{PurePosixPath(name).stem} {index}"),
                members=(f"{ARCHIVE}!{name}",),
                attributes={"tune": index, "title": title},
            ),
        )


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _group(title: str) -> str:
    """One name for the versions of a piece, e.g. "Acrobat's -- Hornpipe", "acrobats hornpipe (2)".

    Example:
      >>> {_group(title) for title in ("My Song (1)", "my_song_v2", "My song - copy", "MY-SONG")}
      {'my song'}
    """
    text = unicodedata.normalize("NFKD", title).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c)).replace("'", "")
    words = re.sub(r"[\W_]+", " ", _VERSION.sub("", text)).strip()
    return words or title


_VERSION = re.compile(
    r"(\s*\(\d+\)|[\s_-]+v(er(sion)?)?[\s_.]*\d+|[\s_-]+copy(\s*\(?\d+\)?)?)+\s*$"
)


def _read_score(suffix: str, data: bytes) -> Any:
    if suffix in (".xml", ".musicxml", ".mxl"):
        from pipeline.readers import musicxml

        return musicxml.read(data, suffix)
    if suffix == ".krn":
        from pipeline.readers import kern

        return kern.read(data)
    from pipeline.readers import midi

    return midi.read(data)


DATASET = Dataset(
    name="folder",
    title="Your own files",
    version="1.0.0",
    licence="whatever your own files carry",
    citation="The authors of the files.",
    homepage="data/folder/README.md",
    sources=lambda options: (),
    Options=Options,
    catalogue=catalogue,
    load=load,
)
