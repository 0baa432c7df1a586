"""Which file of a covers' archive is what, found by name under whatever nesting."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.errors import Rejected

_TRACK_ID = re.compile(r"[0-9A-Za-z]{22}")
_MEDIA = {
    **dict.fromkeys((".jpeg", ".jpg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"), "picture"),
    **dict.fromkeys((".mp3", ".wav", ".ogg", ".flac"), "audio"),
}
_JSON = {
    "audio_features": "features",
    "album_information": "album",
    "audio_analysis": "analysis",  # beats and segments: known, large, and of no use here
}


class Files(NamedTuple):
    """What an archive holds.

    Attributes:
      tracks: track id -> {picture, audio, features, album, analysis: locator}.
      rejected: locator -> what is no file of a track, or is there twice.
    """

    tracks: dict[str, dict[str, str]]
    rejected: dict[str, Rejected]


def sorted_out(locators: Iterable[str]) -> Files:
    """Assigns files to tracks; of two of a kind the first by name counts.

    Args:
      locators: "<archive>!<member>"; zips within the archive are part of the name.
    """
    tracks: dict[str, dict[str, str]] = defaultdict(dict)
    rejected = {}
    for locator in sorted(locators):
        stem, kind = _described(locator)
        if not _TRACK_ID.fullmatch(stem) or kind is None:
            rejected[locator] = Rejected("unknown_file", "no medium or table of a track")
        elif kind in tracks[stem]:
            first = tracks[stem][kind]
            rejected[locator] = Rejected("duplicate_file", f"{kind} of {stem} is {first}")
        else:
            tracks[stem][kind] = locator
    return Files(dict(tracks), rejected)


def kind_of(locator: str) -> str | None:
    """picture, audio, features, album or analysis."""
    return _described(locator)[1]


def _described(locator: str) -> tuple[str, str | None]:
    """The stem of a file's name, and its kind: a medium by its suffix, JSON by its folder.

    Example:
      >>> _described("covers.zip!audio_features_part2.zip!4uLU6hMCjMI75M1A2tKUQC.json")
      ('4uLU6hMCjMI75M1A2tKUQC', 'features')
    """
    *folders, name = re.split(r"[/!\\]", locator)
    stem, dot, suffix = name.rpartition(".")
    if not dot or "__MACOSX" in folders:
        return "", None
    if suffix.lower() != "json":
        return stem, _MEDIA.get(f".{suffix.lower()}")
    for folder in reversed(folders):
        for table, kind in _JSON.items():
            if folder.lower().startswith(table):
                return stem, kind
    return stem, None
