"""An archive like the Spotify covers': any number of tracks of five files each.

Laid out as `zip -r` does it: kind by kind, in the order in which the tracks were collected, JSON
deflated, pictures and sound stored. Each album has a cover of its own, one of the miniature's drawn
ones moved and tinted, which all its tracks repeat; sounds are 192 cuts of rendered clips, of 1.5
seconds, no two of an album alike. The collector's faults, at `FAULTS`' rates, are a track's own;
1 % of the covers are grayscale, 0.2 % CMYK.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.files import atomic_open
from pipeline.miniatures import _styled_clip as clips
from pipeline.miniatures._archives import FIRST_ZIP_DATE
from pipeline.miniatures._drawn_cover import drawn, picture_parameters
from pipeline.miniatures.spotify_covers import ARCHIVE

# Per track, each with the reason for which the track is refused.
FAULTS = {
    "missing_audio": (0.012, "missing_audio"),
    "missing_features": (0.004, "missing_features"),
    "missing_picture": (0.004, "missing_picture"),
    "error_features": (0.005, "not_features"),
    "error_picture": (0.003, "undecodable_picture"),
    "error_audio": (0.004, "undecodable_audio"),
    "truncated_picture": (0.003, "truncated_picture"),
}
KINDS = {
    "album_information": "json", "audio": "mp3", "audio_analysis": "json",
    "audio_features": "json", "images": "jpeg",
}  # fmt: skip
_TOP = "spotify"
_NUM_CLIPS, _CUTS = 48, 4
_CUT_SECONDS = clips.CLIP_SECONDS / _CUTS
_GRAY_SHARE, _CMYK_SHARE = 0.01, 0.002
_ERROR = b'{"error": {"status": 429, "message": "API rate limit exceeded"}}'
_BASE62 = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", np.uint8)


class Track(NamedTuple):
    """One track, before its files are made.

    Attributes:
      id, album_id: 22 characters.
      album: its number, which decides the cover.
      position: within the album, from 0.
      fault: a key of FAULTS, or "".
    """

    id: str
    album_id: str
    album: int
    position: int
    fault: str


def write(out: Path, count: int, seed: int, fault_scale: float = 1.0) -> dict[str, Any]:
    """Writes spotify_covers.zip.

    Args:
      out: a directory.
      count: tracks, those with faults included.
      seed: equal seeds give equal archives.
      fault_scale: times the rates of FAULTS, 0 to 28.

    Returns:
      num_files, num_bytes (unpacked), archive_bytes.
    """
    tracks = plan(count, seed, fault_scale)
    num_files = num_bytes = 0
    with atomic_open(out / ARCHIVE) as file, zipfile.ZipFile(file, "w") as archive:
        for folder, suffix in KINDS.items():
            archive.writestr(_info(f"{_TOP}/{folder}/"), b"")
            stored = zipfile.ZIP_DEFLATED if suffix == "json" else zipfile.ZIP_STORED
            for track, content in _contents(folder, tracks, seed):
                name = f"{_TOP}/{folder}/{track.id}.{suffix}"
                archive.writestr(_info(name), content, stored, compresslevel=6)
                num_files, num_bytes = num_files + 1, num_bytes + len(content)
    archive_bytes = (out / ARCHIVE).stat().st_size
    return {"num_files": num_files, "num_bytes": num_bytes, "archive_bytes": archive_bytes}


def plan(count: int, seed: int, fault_scale: float = 1.0) -> list[Track]:
    """Draws albums of one to five tracks, and which tracks are at fault."""
    rng = np.random.default_rng([seed, 0])
    shares = fault_scale * np.array([share for share, _ in FAULTS.values()])
    faults = rng.choice(len(FAULTS) + 1, count, p=[*shares, 1 - shares.sum()])
    ids = _BASE62[rng.integers(62, size=(count, 44))]
    tracks: list[Track] = []
    album = 0
    while len(tracks) < count:
        size = min(int(rng.choice([1, 1, 1, 2, 3, 5])), count - len(tracks))
        album_id = ids[len(tracks), 22:].tobytes().decode("ascii")
        for position in range(size):
            number = len(tracks)
            fault = (*FAULTS, "")[int(faults[number])]
            track_id = ids[number, :22].tobytes().decode()
            tracks.append(Track(track_id, album_id, album, position, fault))
        album += 1
    return tracks


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, FIRST_ZIP_DATE)
    info.create_system = 3
    info.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else 0o100644 << 16
    return info


def _contents(folder: str, tracks: list[Track], seed: int) -> Iterator[tuple[Track, bytes]]:
    """One kind's files, of the tracks that have it, in the order of the tracks."""
    if folder == "images":
        yield from _images(tracks, seed)
        return
    for number, track in enumerate(tracks):
        if folder == "audio" and track.fault != "missing_audio":
            clip = (track.album * 7 + track.position) % (_NUM_CLIPS * _CUTS)
            yield track, _ERROR if track.fault == "error_audio" else _sounds(seed)[clip]
        elif folder == "audio_features" and track.fault != "missing_features":
            features = _features(track, number, seed)
            yield track, _ERROR if track.fault == "error_features" else _json(features)
        elif folder == "album_information":
            yield track, _json(_album(track, number))
        elif folder == "audio_analysis":
            yield track, _json(_analysis(track))


def _images(tracks: list[Track], seed: int) -> Iterator[tuple[Track, bytes]]:
    _pictures(seed)  # before the fork, so that the workers share it
    with ProcessPoolExecutor(mp_context=get_context("fork")) as workers:
        jobs = ((album, seed) for album in range(tracks[-1].album + 1))
        jpegs = enumerate(workers.map(_jpeg_job, jobs, chunksize=64))
        album, jpeg = next(jpegs)
        for track in tracks:
            while album < track.album:
                album, jpeg = next(jpegs)
            if track.fault == "error_picture":
                yield track, _ERROR
            elif track.fault == "truncated_picture":
                yield track, jpeg[: len(jpeg) // 2]
            elif track.fault != "missing_picture":
                yield track, jpeg


def _jpeg_job(job: tuple[int, int]) -> bytes:
    """One album's cover: 640 x 640, quality 85."""
    from PIL import Image

    album, seed = job
    rng = np.random.default_rng([seed, 1, album])
    pixels = _pictures(seed)[int(rng.integers(_NUM_CLIPS))]
    shift = rng.integers(640, size=2)
    pixels = np.roll(pixels, shift, (0, 1))[
        :: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))
    ]
    pixels = pixels[..., rng.permutation(3)]
    levels = (np.arange(256) * rng.uniform(0.6, 1.0, (3, 1))).astype(np.uint8)
    tinted = np.stack([levels[c][pixels[..., c]] for c in range(3)], -1)
    drawn_share = rng.random()
    mode = "L" if drawn_share < _GRAY_SHARE else "RGB"
    mode = "CMYK" if _GRAY_SHARE <= drawn_share < _GRAY_SHARE + _CMYK_SHARE else mode
    buffer = io.BytesIO()
    Image.fromarray(tinted).convert(mode).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def _pictures(seed: int) -> list[np.ndarray]:
    """uint8 RGB. Each of shape [640, 640, 3]."""
    genres = list(clips.GENRES)
    made = []
    for number in range(_NUM_CLIPS):
        features = _drawn_features(np.random.default_rng([seed, 2, number]))
        parameters = picture_parameters(features, genres[number % len(genres)])
        made.append(np.asarray(drawn(parameters, [seed, 3, number]).convert("RGB")))
    return made


@lru_cache(maxsize=1)
def _sounds(seed: int) -> list[bytes]:
    """MP3, mono, 22,050 Hz: each clip cut in four."""
    import soundfile

    genres = list(clips.GENRES)
    size = round(_CUT_SECONDS * clips.SAMPLE_RATE)
    sounds = []
    for number in range(_NUM_CLIPS):
        genre = genres[number % len(genres)]
        composed = clips.composed(genre, number % 12, number % 2, 80.0 + number, [seed, 4, number])
        audio = clips.rendered(composed)
        for cut in range(_CUTS):
            buffer = io.BytesIO()
            part = audio[cut * size : (cut + 1) * size]
            soundfile.write(buffer, part, clips.SAMPLE_RATE, format="MP3", compression_level=0.5)
            sounds.append(buffer.getvalue())
    return sounds


def _features(track: Track, number: int, seed: int) -> dict[str, Any]:
    """What Spotify's audio-features answered, drawn at random."""
    return {
        **_drawn_features(np.random.default_rng([seed, 5, number])),
        "type": "audio_features",
        "id": track.id,
        "uri": f"spotify:track:{track.id}",
        "track_href": f"https://api.spotify.com/v1/tracks/{track.id}",
        "analysis_url": f"https://api.spotify.com/v1/audio-analysis/{track.id}",
        "duration_ms": 180_000 + 7 * number % 90_000,
        "time_signature": 4,
    }


def _drawn_features(rng: np.random.Generator) -> dict[str, Any]:
    shares = dict(zip(_SHARES, rng.random(len(_SHARES)).round(4).tolist(), strict=True))
    loudness, tempo = float(rng.uniform(-24, -3)), float(rng.uniform(60, 190))
    whole = {"key": int(rng.integers(12)), "mode": int(rng.integers(2))}
    return {**shares, **whole, "loudness": round(loudness, 3), "tempo": round(tempo, 3)}


_SHARES = (
    "danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness",
    "valence",
)  # fmt: skip


def _album(track: Track, number: int) -> dict[str, Any]:
    """Spotify's album object, as far as it is of use; genres are empty, as in the collection."""
    item = {"id": track.id, "name": f"Track {number}", "track_number": track.position + 1}
    return {
        "album_type": "album",
        "artists": [{"name": f"Artist {track.album % 9000}", "type": "artist"}],
        "genres": [],
        "id": track.album_id,
        "images": [{"height": 640, "width": 640}],
        "name": f"Album {track.album}",
        "tracks": {"items": [item], "total": 1},
        "type": "album",
        "uri": f"spotify:album:{track.album_id}",
    }


def _analysis(track: Track) -> dict[str, Any]:
    beats = [{"start": round(0.5 * i, 5), "duration": 0.5, "confidence": 0.7} for i in range(60)]
    return {"bars": beats[::4], "beats": beats, "track": {"duration": 30.0, "id": track.id}}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
