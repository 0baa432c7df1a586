"""The Spotify album covers: pictures, 30-second clips and audio features, joined by the track id.

Layout of fostiropoulos/Album-Cover-GAN: audio/<id>.mp3, images/<id>.jpeg, audio_features/<id>.json,
album_information/<id>.json, audio_analysis/<id>.json, where <id> is a track id of 22 characters.
The archive's own name and top folders are not known, so that media are found by extension and
JSON by its folder, under whatever nesting, zips within the archive and several archives included.

The collector checked no HTTP status and did not remove repeated covers: files may be missing or
error bodies, and the tracks of an album share a cover, as do the editions of an album. So a group
is what albums and equal pictures connect.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from pipeline import archives
from pipeline.datasets import _cover_facts, _cover_files
from pipeline.datasets._components import components
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import audio, picture

ARCHIVE = "spotify_covers.zip"
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
_URL = "https://drive.google.com/uc?export=download&id=1nmurIZw8cyrfziCH5d6WOrxRBriT0Oet"
_REQUIRED = ("picture", "audio", "features")


class SpotifyCoversOptions(Options):
    """datasets.spotify_covers"""

    max_albums_per_picture: int | None = Field(
        ge=1,
        description="a picture that more albums share, byte for byte, is a placeholder and left "
        "out; null: off",
    )
    miniature_size: int = Field(ge=12, le=3000, description="tracks of the embedded miniature")


def sources(options: SpotifyCoversOptions) -> tuple[Source, ...]:
    """The shared archive; neither its size nor a checksum is published."""
    return (Source(ARCHIVE, (_URL,)),)


def catalogue(raw: Path, options: SpotifyCoversOptions) -> Iterator[Entry | tuple[str, Rejected]]:
    """The tracks by their ids, and files by their names; pictures are hashed, no medium is decoded.

    Yields:
      In key order: entries, or (track id, Rejected) with the reasons missing_picture,
      missing_audio, missing_features, not_features, undecodable_picture, animated_picture,
      placeholder_picture, damaged_member; or (file, Rejected) with unknown_file, duplicate_file.

    Raises:
      PipelineError: if no archive holds a file named by a track id.
    """
    names = [
        f"{archive}!{name}"
        for archive in _archives(raw)
        for name in archives.members(raw / archive)
    ]
    files = _cover_files.sorted_out(names)
    if not files.tracks:
        raise PipelineError(
            f"{raw} holds no archive with files named by a track id of 22 characters. Put the "
            f"archive as published, or all its part-zips in one zip, there as {ARCHIVE}."
        )
    contents = _contents(raw, files.tracks)
    placeholders = _placeholders(files.tracks, contents, options.max_albums_per_picture)
    groups = _groups(files.tracks, contents, placeholders)
    for key in sorted([*files.tracks, *files.rejected]):
        try:
            if key in files.rejected:
                raise files.rejected[key]
            yield _entry(key, files.tracks[key], contents, placeholders, groups)
        except Rejected as rejected:
            yield key, rejected


def load(entry: Entry, members: Mapping[str, bytes]) -> Example:
    """Decodes the clip and the cover.

    Returns:
      An Example with audio, float32 mono at its own sample_rate, and picture, uint8 RGB.

    Raises:
      Rejected: the reason of readers.audio or readers.picture.
    """
    by_kind = {_cover_files.kind_of(name): members[name] for name in entry.members}
    cover = picture.read(by_kind["picture"])
    waveform, sample_rate = audio.read(by_kind["audio"])
    return Example(
        entry.key,
        audio=waveform,
        sample_rate=sample_rate,
        picture=cover,
        attributes={**entry.attributes, "group": entry.group},
    )


def _archives(raw: Path) -> list[str]:
    """The archive as published, or those that somebody keeps its parts in."""
    return sorted(path.name for path in raw.iterdir() if path.name.lower().endswith(_ARCHIVES))


class _Contents(NamedTuple):
    """What was read, by locator: facts, hashes of pictures, and what is wrong with a file."""

    facts: dict[str, dict[str, Any]]
    hashes: dict[str, str]
    rejected: dict[str, Rejected]


def _contents(raw: Path, tracks: Mapping[str, Mapping[str, str]]) -> _Contents:
    """Reads each archive once, and keeps of each file what is needed: it holds gigabytes."""
    wanted = {
        locator: (track_id, kind)
        for track_id, files in tracks.items()
        for kind, locator in files.items()
        if kind in ("picture", "features", "album")
    }
    contents = _Contents({}, {}, {})
    for locator, data in archives.read(raw, wanted):
        track_id, kind = wanted[locator]
        try:
            if kind == "features":
                contents.facts[locator] = _cover_facts.features(track_id, data)
            elif kind == "album":
                contents.facts[locator] = _cover_facts.album(track_id, data)
            else:
                _check_magic(data)
                contents.hashes[locator] = hashlib.sha256(data).hexdigest()
        except Rejected as rejected:
            contents.rejected[locator] = rejected
    return contents


_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\0", b"MM\0*")


def _check_magic(data: bytes) -> None:
    """An error page that was saved for many covers must not make one group of their albums."""
    if data.startswith((b"GIF87a", b"GIF89a")):
        raise Rejected("animated_picture", "GIF: a placeholder or an animation")
    if not data.startswith(_MAGIC):
        raise Rejected("undecodable_picture", f"{len(data)} bytes begin with {data[:16]!r}")


def _placeholders(
    tracks: Mapping[str, Mapping[str, str]], contents: _Contents, max_albums: int | None
) -> frozenset[str]:
    """The hashes of pictures that more than `max_albums` albums have."""
    if max_albums is None:
        return frozenset()
    albums: dict[str, set[str]] = defaultdict(set)
    for files in tracks.values():
        digest, album = _linked(files, contents)
        if digest and album:
            albums[digest].add(album)
    return frozenset(digest for digest, found in albums.items() if len(found) > max_albums)


def _groups(
    tracks: Mapping[str, Mapping[str, str]], contents: _Contents, placeholders: frozenset[str]
) -> dict[str, str]:
    """ "picture:<hash>" and "album:<id>" -> the smallest album that they are connected with.

    Tracks that lack something connect albums and pictures, too.
    """
    links = []
    for files in tracks.values():
        digest, album = _linked(files, contents)
        if digest and album and digest not in placeholders:
            links.append((f"album:{album}", f"picture:{digest}"))
    return components(links, (album for album, _ in links))


def _linked(files: Mapping[str, str], contents: _Contents) -> tuple[str | None, str | None]:
    album = contents.facts.get(files.get("album", ""), {})
    return contents.hashes.get(files.get("picture", "")), album.get("album_id")


def _entry(
    track_id: str,
    files: Mapping[str, str],
    contents: _Contents,
    placeholders: frozenset[str],
    groups: Mapping[str, str],
) -> Entry:
    missing = [kind for kind in _REQUIRED if kind not in files]
    if missing:
        raise Rejected(f"missing_{missing[0]}", f"{track_id} has no {', no '.join(missing)}")
    for kind, read in (("features", contents.facts), ("picture", contents.hashes)):
        if files[kind] in contents.rejected:
            raise contents.rejected[files[kind]]
        if files[kind] not in read:
            raise Rejected("damaged_member", f"{files[kind]} is not what its archive describes")
    digest, album = _linked(files, contents)
    if digest in placeholders:
        raise Rejected("placeholder_picture", f"{track_id}: many albums have it, sha256={digest}")
    nodes = [f"picture:{digest}", *([f"album:{album}"] if album else [])]
    name = next((groups[node] for node in nodes if node in groups), nodes[-1])
    group = name.partition(":")[2]
    facts = contents.facts.get(files.get("album", ""), {})
    attributes = {"audio_features": contents.facts[files["features"]], **facts}
    return Entry(track_id, group, (files["audio"], files["picture"]), attributes=attributes)


DATASET = Dataset(
    name="spotify_covers",
    title="Spotify album covers (Album-Cover-GAN)",
    version="2019",
    licence="none stated",
    citation=(
        "Nadtochiy, Fostiropoulos, Razak, Goto. Album-Cover-GAN (formerly GoDeepOrGoHome). "
        "University of Southern California, 2019."
    ),
    homepage="https://github.com/fostiropoulos/Album-Cover-GAN",
    sources=sources,
    Options=SpotifyCoversOptions,
    catalogue=catalogue,
    load=load,
    own_files=("*.zip", "*.tar", "*.tar.gz", "*.tgz"),
)
