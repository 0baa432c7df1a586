"""The Spotify album covers: pictures, 30-second clips and audio features, joined by the track id.

Layout of fostiropoulos/Album-Cover-GAN: audio/<id>.mp3, images/<id>.jpeg, audio_features/<id>.json,
album_information/<id>.json, audio_analysis/<id>.json, where <id> is a track id of 22 characters.
The archive's own name and top folders are not known, so that media are found by extension and
JSON by its folder, under whatever nesting. Its collector checked no HTTP status and did not remove
repeated covers: files may be missing or error bodies, and the tracks of an album share a cover.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from pipeline import archives
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import audio, picture

ARCHIVE = "spotify_covers.zip"
_URL = "https://drive.google.com/uc?export=download&id=1nmurIZw8cyrfziCH5d6WOrxRBriT0Oet"
_TRACK_ID = re.compile(r"[0-9A-Za-z]{22}")
_MEDIA = {".mp3": "audio", ".jpeg": "picture", ".jpg": "picture"}
_JSON = {"audio_features": "features", "album_information": "album"}
_REQUIRED = ("picture", "audio", "features")
_FEATURES = (
    "danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness",
    "instrumentalness", "liveness", "valence", "tempo",
)  # fmt: skip


class SpotifyCoversOptions(Options):
    """datasets.spotify_covers"""

    miniature_size: int = Field(ge=12, le=3000, description="tracks of the embedded miniature")


def sources(options: SpotifyCoversOptions) -> tuple[Source, ...]:
    """The shared archive; neither its size nor a checksum is published."""
    return (Source(ARCHIVE, (_URL,)),)


def catalogue(raw: Path, options: SpotifyCoversOptions) -> Iterator[Entry | tuple[str, Exception]]:
    """The tracks in the order of their ids; only JSON is parsed.

    The group is the album's id, or the hash of the cover where no album object is there.

    Raises:
      PipelineError: if the archive holds no track at all.
    """
    tracks = _tracks(raw / ARCHIVE)
    if not tracks:
        raise PipelineError(
            f"{raw / ARCHIVE} holds no file named by a track id of 22 characters. If it holds "
            "further archives, unzip it and give the inner one as datasets.spotify_covers.source."
        )
    jsons = [files[kind] for files in tracks.values() for kind in _JSON.values() if kind in files]
    facts = {locator: _facts(locator, text) for locator, text in archives.read(raw, jsons)}
    orphans = [
        files["picture"]
        for files in tracks.values()
        if "picture" in files and not facts.get(files.get("album", ""))
    ]
    hashes = {
        locator: hashlib.sha256(data).hexdigest() for locator, data in archives.read(raw, orphans)
    }
    for track_id in sorted(tracks):
        try:
            yield _entry(track_id, tracks[track_id], facts, hashes)
        except Rejected as rejected:
            yield track_id, rejected


def load(entry: Entry, members: Mapping[str, bytes]) -> Example:
    """Decodes the clip and the cover.

    Returns:
      An Example with audio, float32 mono at its own sample_rate, and picture, uint8 RGB.

    Raises:
      Rejected: the reason of readers.audio or readers.picture.
    """
    by_kind = {_MEDIA[PurePosixPath(name).suffix.lower()]: members[name] for name in entry.members}
    cover = picture.read(by_kind["picture"])
    waveform, sample_rate = audio.read(by_kind["audio"])
    return Example(
        entry.key,
        audio=waveform,
        sample_rate=sample_rate,
        picture=cover,
        attributes=dict(entry.attributes),
    )


def _tracks(archive: Path) -> dict[str, dict[str, str]]:
    """track id -> {picture, audio, features, album: locator}; the first name counts if two fit."""
    tracks: dict[str, dict[str, str]] = defaultdict(dict)
    for name in sorted(archives.members(archive)):
        path = PurePosixPath(name)
        kind = _MEDIA.get(path.suffix.lower())
        if path.suffix.lower() == ".json":
            kind = _JSON.get(path.parent.name)
        if _TRACK_ID.fullmatch(path.stem) and kind is not None:
            tracks[path.stem].setdefault(kind, f"{archive.name}!{name}")
    return dict(tracks)


def _facts(locator: str, text: bytes) -> dict[str, Any]:
    """What is kept of a JSON file; album objects are large, and there are 50,000 of them."""
    try:
        value = json.loads(text)
    except ValueError:  # an HTML page or an empty file, saved unseen
        value = {}
    value = value if isinstance(value, dict) else {}
    path = PurePosixPath(locator.partition("!")[2])
    return value if _JSON[path.parent.name] == "features" else _described(path.stem, value)


def _described(track_id: str, album: Mapping[str, Any]) -> dict[str, Any]:
    """album_id, album, title, artist, genre: those that the album object gives."""
    tracks, artists = album.get("tracks"), album.get("artists")
    items = tracks.get("items") if isinstance(tracks, dict) else None
    is_album = album.get("type") == "album" and isinstance(album.get("id"), str)
    if not (is_album and _are_objects(items or []) and _are_objects(artists or [{}])):
        return {}
    names = {t.get("id"): t.get("name") for t in items or []}
    genres = album.get("genres") or [None]
    given = {
        "album_id": album["id"],
        "album": album.get("name"),
        "title": names.get(track_id) or album.get("name"),
        "artist": (artists or [{}])[0].get("name"),
        "genre": genres[0],
    }
    return {name: value for name, value in given.items() if value is not None}


def _are_objects(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) for item in items)


def _entry(
    track_id: str,
    files: Mapping[str, str],
    facts: Mapping[str, dict[str, Any]],
    hashes: Mapping[str, str],
) -> Entry:
    missing = [kind for kind in _REQUIRED if kind not in files]
    if missing:
        raise Rejected(f"missing_{missing[0]}", f"{track_id} has no {', no '.join(missing)}")
    features = facts[files["features"]]
    if features.get("id") != track_id:
        raise Rejected("not_features", f"{track_id} holds {json.dumps(features)[:80]}")
    for name in _FEATURES:
        if not isinstance(features.get(name), int | float):
            raise Rejected(
                "not_features", f"{track_id}: {name}={features.get(name)!r} is no number"
            )
    album = facts.get(files.get("album", ""), {})
    group = album["album_id"] if album else hashes[files["picture"]]
    attributes = {"audio_features": features, **album}
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
)
