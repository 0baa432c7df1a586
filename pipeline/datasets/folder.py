"""Anyone's own files: a directory of MIDI, MusicXML, ABC, kern and sound, packed as folder.zip."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

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


def catalogue(raw: Path, options: Options) -> Iterator[Entry | tuple[str, Rejected]]:
    """Lists the files; a tune book is one entry a tune, "book.abc#1" its first.

    A zip in the folder is read in place: its files are named "songs.zip!a/b.mid".

    Yields:
      In key order: entries, or (file, Rejected) with the reasons not_music (a document such as
      README or LICENSE, a hidden file, or what a file manager left), unknown_suffix, abc_no_tunes,
      damaged_member.
    """
    items: list[tuple[str, Entry | Rejected]] = []
    books = []
    for name in archives.members(raw / ARCHIVE):
        reason = _unusable(name)
        if reason is not None:
            items.append((name, reason))
        elif _suffix(name) in TUNE_BOOKS:
            books.append(name)
        else:
            items.append((name, Entry(name, _group(_stem(name)), (f"{ARCHIVE}!{name}",))))
    damaged = set(books)
    for book, data in archives.read(raw, [f"{ARCHIVE}!{name}" for name in books]):
        name = book.removeprefix(f"{ARCHIVE}!")
        damaged.discard(name)
        items.extend(_tunes(name, data))
    what = Rejected("damaged_member", "its bytes are not those that its archive describes")
    items.extend((name, what) for name in damaged)
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
    repairs: tuple[str, ...] = ()
    if suffix in TUNE_BOOKS:
        tune = _book(data)[entry.attributes["tune"] - 1]
        notes = abc.read(tune).SerializeToString()
    else:
        notes, repairs = _read_score(suffix, data)
    return Example(entry.key, notes, attributes=entry.attributes, repairs=repairs)


@lru_cache(maxsize=1)
def _book(data: bytes) -> list[str]:
    """The tunes of a book, which its entries ask for one after another."""
    return abc.split_tunebook(abc.decode(data))


_DOCUMENT = re.compile(
    r"(readme|licen[cs]e|copying|notice|authors|credits|changelog)\b.*|.*\.(txt|md|rst|pdf|html?)",
    re.IGNORECASE,
)


def _unusable(name: str) -> Rejected | None:
    parts = _parts(name)
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return Rejected("not_music", "a hidden file, or one that a file manager left")
    if _suffix(name) in (*SCORES, *SOUNDS, *TUNE_BOOKS):
        return None
    if _DOCUMENT.fullmatch(parts[-1]):
        return Rejected("not_music", "a document about the files; nothing is to be read from it")
    return Rejected("unknown_suffix", f"suffix={_suffix(name)[:20]!r} has no reader")


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
                group=_group(title or f"{_stem(name)} {index}"),
                members=(f"{ARCHIVE}!{name}",),
                attributes={"tune": index, "title": title},
            ),
        )


def _parts(name: str) -> list[str]:
    """Folders and file; what follows a "!" is within a zip, but "Help!.mid" is a title."""
    return re.split(r"/|(?<=\.zip)!", name, flags=re.IGNORECASE)


def _stem(name: str) -> str:
    return PurePosixPath(_parts(name)[-1]).stem


def _suffix(name: str) -> str:
    return PurePosixPath(_parts(name)[-1]).suffix.lower()


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


def _read_score(suffix: str, data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A serialized NoteSequence, and what was repaired."""
    if suffix in (".xml", ".musicxml", ".mxl"):
        from pipeline.readers import musicxml

        return musicxml.read(data, suffix).SerializeToString(), ()
    if suffix == ".krn":
        from pipeline.readers import kern

        return kern.read(data).SerializeToString(), ()
    from pipeline.readers import midi

    return midi.read_serialized_with_repairs(data)


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
