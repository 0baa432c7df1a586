"""What is kept of the JSON beside a cover: audio features and the album, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.datasets import _json
from pipeline.errors import Rejected

NUMBERS = (
    "danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness",
    "instrumentalness", "liveness", "valence", "tempo",
)  # fmt: skip
_MORE_NUMBERS = ("duration_ms", "time_signature")
_TEXTS = ("type", "id", "uri", "track_href", "analysis_url")


def features(track_id: str, data: bytes) -> dict[str, Any]:
    """Spotify's audio features of a track: those of its fields that are what they should be.

    Raises:
      Rejected: not_features: no JSON object (the collector saved error pages, too), another
        track's, or one of the eleven numbers is missing.
    """
    try:
        given = _json.parse(data)
    except ValueError as error:
        raise Rejected("not_features", f"{track_id}: no JSON ({str(error)[:80]})") from None
    if not isinstance(given, dict) or given.get("id") != track_id:
        raise Rejected("not_features", f"{track_id} holds {data[:80]!r}")
    for name in NUMBERS:
        if not _json.is_number(given.get(name)):
            raise Rejected("not_features", f"{track_id}: {name} is no number that a float32 holds")
    numbers = (*NUMBERS, *(n for n in _MORE_NUMBERS if _json.is_number(given.get(n))))
    texts = (name for name in _TEXTS if isinstance(given.get(name), str))
    return {name: given[name] for name in (*numbers, *texts)}


def album(track_id: str, data: bytes) -> dict[str, str]:
    """album_id, album, title, artist and genre: those that Spotify's album object gives; or {}.

    An album is of use for the group and the title only, so that a track without one is kept.
    """
    try:
        given = _json.parse(data)
    except ValueError:  # an HTML page or an empty file, saved unseen
        return {}
    if not isinstance(given, dict) or given.get("type") != "album" or not _text(given.get("id")):
        return {}
    tracks = given.get("tracks")
    items = tracks.get("items") if isinstance(tracks, dict) else None
    own = [item for item in _objects(items) if item.get("id") == track_id]
    genres = given.get("genres")
    facts = {
        "album_id": given["id"],
        "album": given.get("name"),
        "title": own[0].get("name") if own else given.get("name"),
        "artist": _first(given.get("artists")).get("name"),
        "genre": genres[0] if isinstance(genres, list) and genres else None,
    }
    return {name: value for name, value in facts.items() if _text(value)}


def _objects(items: Any) -> list[Mapping[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _first(items: Any) -> Mapping[str, Any]:
    return (_objects(items) or [{}])[0]


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
