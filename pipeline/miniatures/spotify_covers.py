"""The Spotify album covers in small: rendered clips, their audio features, covers drawn after them.

- Tracks: six-second clips at 22,050 Hz in six genres (`_styled_clip`), as MP3; audio features
  by the formulas there, from the notes and the waveform.
- Covers: 640 x 640 JPEG. The rule by which a picture depends on the music is `picture_parameters`
  in `_drawn_cover`; the rest of the picture is chance.
- Albums: of one to three tracks, which share genre, key, mode, tempo and cover, as in the real
  collection; the cover follows the features of the first track.
- Faults: the last six tracks, each an album of its own, have what the real collection has: no mp3,
  an error body saved as features, a truncated picture, a grayscale and a CMYK picture (both
  usable), an mp3 of no bytes.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.miniatures import _archives
from pipeline.miniatures._drawn_cover import drawn, picture_parameters
from pipeline.miniatures._styled_clip import (
    CLIP_SECONDS,
    GENRES,
    SAMPLE_RATE,
    Composition,
    audio_features,
    composed,
    rendered,
)

__all__ = ["FAULTS", "NOTICE", "build", "picture_parameters"]

NOTICE = (
    "This is a miniature of the Spotify album covers, not the collection itself: rendered clips "
    "and drawn covers in its layout. Names, ids and features are made up; the covers depend on the "
    "music by a rule."
)
LICENCE = "none of its own: rendered with TimGM6mb.sf2, which is under the GPL, version 2"
FAULTS = (
    "missing_mp3", "error_body", "truncated_picture", "gray_picture", "cmyk_picture", "empty_mp3",
)  # fmt: skip
ARCHIVE = "spotify_covers.zip"
_TOP = "spotify_covers"
_ERROR_BODY = {"error": {"status": 429, "message": "API rate limit exceeded"}}
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FIRST_WORDS = ("Rock & Roll", "Slow", "L'été", '"Quiet"', "Blue", "Nächte", "5 > 4", "Late")
_LAST_WORDS = ("<Live>", "Rivers", "& Sons", "Machine", "Morning", "100%", "Garden", "Signals")


class _Album(NamedTuple):
    """What the tracks of an album share, and how many they are."""

    genre: str
    key: int
    mode: int
    tempo: float
    title: str
    fault: str | None
    track_ids: list[str]


class _Track(NamedTuple):
    """A track, rendered."""

    track_id: str
    composition: Composition
    audio: np.ndarray
    features: dict[str, Any]


def build(out: Path, options: Any, seed: int) -> None:
    """Writes spotify_covers.zip, equal to the byte for equal arguments.

    Args:
      out: a directory.
      options: with miniature_size, the number of tracks, those with faults included; at least 12.
      seed: draws everything.
    """
    members = {f"{_TOP}/README.txt": f"{NOTICE}\n".encode()}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # filters and MP3s are made outside the GIL
        numbered = enumerate(_albums(options.miniature_size, seed))
        for of_album in pool.map(lambda pair: _members_of(pair[0], pair[1], seed), numbered):
            members.update(of_album)
    _archives.write_zip(out / ARCHIVE, members, compress=False)  # JPEG and MP3 are packed


def _members_of(number: int, album: _Album, seed: int) -> dict[str, bytes]:
    """The files of an album's tracks."""
    tracks = [_track(album, t, [seed, 1, number, i]) for i, t in enumerate(album.track_ids)]
    parameters = picture_parameters(tracks[0].features, album.genre)
    jpeg = _jpeg(drawn(parameters, [seed, 2, number]), album.fault)
    information = _album_information(album, _id(np.random.default_rng([seed, 3, number])))
    found: dict[str, bytes] = {}
    for track in tracks:
        found |= _members(track, album, information, jpeg)
    return found


def _albums(num_tracks: int, seed: int) -> Iterator[_Album]:
    rng = np.random.default_rng([seed, 0])
    left, number = num_tracks - len(FAULTS), 0
    while left > 0:
        size = min(left, int(rng.choice([1, 1, 1, 2, 3])))
        yield _album(rng, number, size, None)
        left, number = left - size, number + 1
    for fault in FAULTS:
        yield _album(rng, number, 1, fault)
        number += 1


def _album(rng: np.random.Generator, number: int, size: int, fault: str | None) -> _Album:
    genre = list(GENRES)[number % len(GENRES)]
    style = GENRES[genre]
    words = rng.integers(len(_FIRST_WORDS)), rng.integers(len(_LAST_WORDS))
    return _Album(
        genre=genre,
        key=int(rng.integers(12)),
        mode=int(rng.random() >= style.minor_share),
        tempo=float(rng.integers(style.tempo[0], style.tempo[1] + 1)),
        title=f"{_FIRST_WORDS[words[0]]} {_LAST_WORDS[words[1]]}",
        fault=fault,
        track_ids=[_id(rng) for _ in range(size)],
    )


def _id(rng: np.random.Generator) -> str:
    return "".join(_BASE62[i] for i in rng.integers(62, size=22))


def _track(album: _Album, track_id: str, seed: list[int]) -> _Track:
    composition = composed(album.genre, album.key, album.mode, album.tempo, seed)
    audio = rendered(composition)
    return _Track(track_id, composition, audio, audio_features(composition, audio, track_id))


def _members(
    track: _Track, album: _Album, information: dict[str, Any], jpeg: bytes
) -> dict[str, bytes]:
    """The five files of a track, with the fault of its album."""
    features = _ERROR_BODY if album.fault == "error_body" else track.features
    of_track = {
        f"album_information/{track.track_id}.json": _json(information),
        f"audio_analysis/{track.track_id}.json": _json(_analysis(track)),
        f"audio_features/{track.track_id}.json": _json(features),
        f"images/{track.track_id}.jpeg": jpeg,
    }
    if album.fault != "missing_mp3":
        mp3 = b"" if album.fault == "empty_mp3" else _mp3(track.audio)
        of_track[f"audio/{track.track_id}.mp3"] = mp3
    return {f"{_TOP}/{name}": content for name, content in of_track.items()}


def _album_information(album: _Album, album_id: str) -> dict[str, Any]:
    """Spotify's album object, as far as it is of use."""
    items = [
        {"id": track_id, "name": f"{album.title}, no. {number}", "track_number": number}
        for number, track_id in enumerate(album.track_ids, 1)
    ]
    return {
        "album_type": "album" if len(items) > 1 else "single",
        "artists": [{"name": f"The {album.genre.title()} Miniature", "type": "artist"}],
        "genres": [album.genre],
        "id": album_id,
        "images": [{"height": 640, "width": 640}],
        "name": album.title,
        "total_tracks": len(items),
        "tracks": {"items": items, "total": len(items)},
        "type": "album",
        "uri": f"spotify:album:{album_id}",
    }


def _analysis(track: _Track) -> dict[str, Any]:
    beat = 60 / track.composition.tempo
    starts = np.arange(0, CLIP_SECONDS, beat)
    beats = [{"start": round(s, 5), "duration": round(beat, 5)} for s in starts.tolist()]
    return {
        "bars": [{"start": b["start"], "duration": round(4 * beat, 5)} for b in beats[::4]],
        "beats": beats,
        "track": {"duration": CLIP_SECONDS, "tempo": track.composition.tempo},
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _mp3(audio: np.ndarray) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, audio, SAMPLE_RATE, format="MP3", compression_level=0.5)
    return buffer.getvalue()


def _jpeg(picture: Any, fault: str | None) -> bytes:
    mode = {"gray_picture": "L", "cmyk_picture": "CMYK"}.get(fault or "", "RGB")
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, "JPEG", quality=85)
    jpeg = buffer.getvalue()
    return jpeg[: len(jpeg) // 2] if fault == "truncated_picture" else jpeg
