"""FMA in small: clips of six seconds with its tables, in its layout.

- Tracks: two of an artist, of one genre, in styles that overlap (`_genre_clip`); MP3, 22,050 Hz
  mono. Of ten artists in a row, one is of validation and one of test, as in the publisher's split.
- Subsets: the small one has eight genres, the medium one four more; the table also names tracks
  that are in larger subsets than the archive.
- tracks.csv: the published columns in two rows of header and one of the index; most are empty.
- Faults: the last three tracks, whose ids are FMA's: one has a file with a tag and no sound, one
  no file, one a clip of a second.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.miniatures import _archives, _genre_clip

NOTICE = (
    "This is a miniature of FMA, not FMA: clips of six seconds, rendered in the style of genres "
    "and in its layout. Artists, titles and ids are made up."
)
LICENCE = _genre_clip.LICENCE
# By subset, as published -> its style; whoever comes next, may lend its instruments.
GENRES = {
    "small": {
        "Electronic": "electronic", "Experimental": "experimental", "Folk": "folk",
        "International": "international", "Instrumental": "instrumental", "Pop": "pop",
        "Rock": "rock", "Hip-Hop": "hiphop",
    },
    "medium": {
        "Blues": "blues", "Country": "country", "Jazz": "jazz", "Classical": "classical",
    },
}  # fmt: skip
NO_SOUND, NO_FILE, SHORT = 99134, 108925, 98558
_SHORT_SECONDS = 1
_NUM_ELSEWHERE = 5  # tracks of the table that are not in the archive, and should not be
_LAST_ID = 155_320
_COLUMNS = {
    "album": (
        "comments date_created date_released engineer favorites id information listens producer "
        "tags title tracks type"
    ),
    "artist": (
        "active_year_begin active_year_end associated_labels bio comments date_created favorites "
        "id latitude location longitude members name related_projects tags website wikipedia_page"
    ),
    "set": "split subset",
    "track": (
        "bit_rate comments composer date_created date_recorded duration favorites genre_top genres "
        "genres_all information interest language_code license listens lyricist number publisher "
        "tags title"
    ),
}


class _Track(NamedTuple):
    """A row of the table; two tracks in a row have one artist."""

    track_id: int
    rank: int
    genre: str
    subset: str

    @property
    def artist(self) -> int:
        return self.rank // 2


def build(out: Path, options: Any, seed: int) -> None:
    """Writes fma_metadata.zip and fma_<subset>.zip, equal to the byte for equal arguments.

    Args:
      out: a directory.
      options: with subset, and miniature_size, the number of tracks, those with faults included; at
        least 24.
      seed: draws ids and music.
    """
    tracks = list(_tracks(options.miniature_size, options.subset, seed))
    clips = {f"{t.track_id:06d}": _mp3(t, seed) for t in tracks if t.track_id != NO_FILE}
    paths = {f"{key[:3]}/{key}.mp3": clips[key] for key in sorted(clips)}
    sums = "".join(f"{hashlib.sha1(mp3).hexdigest()}  {path}\n" for path, mp3 in paths.items())
    readme, top = f"{NOTICE}\n".encode(), f"fma_{options.subset}"
    members = {f"{top}/{path}": mp3 for path, mp3 in paths.items()}
    members |= {f"{top}/README.txt": readme, f"{top}/checksums": sums.encode()}
    _archives.write_zip(out / f"{top}.zip", members, compress=False)  # MP3 is packed
    table = _table([*tracks, *_elsewhere(tracks, options.subset)])
    tables = {"fma_metadata/README.txt": readme, "fma_metadata/tracks.csv": table.encode()}
    _archives.write_zip(out / "fma_metadata.zip", tables)


def _tracks(num_tracks: int, subset: str, seed: int) -> Iterator[_Track]:
    """Artists take turns over the genres."""
    subsets = ["small"] if subset == "small" else ["small", "medium"]
    genres = [(genre, name) for name in subsets for genre in GENRES[name]]
    faults = (SHORT, NO_SOUND, NO_FILE)
    rng = np.random.default_rng([seed, 0])
    others = np.setdiff1d(np.arange(2, _LAST_ID), faults)
    drawn = rng.choice(others, num_tracks - len(faults), replace=False)
    for rank, track_id in enumerate([*np.sort(drawn).tolist(), *faults]):
        genre, own_subset = genres[rank // 2 % len(genres)]
        yield _Track(track_id, rank, genre, own_subset)


def _elsewhere(tracks: list[_Track], subset: str) -> Iterator[_Track]:
    """Tracks of the next larger subset, under the ids behind the last."""
    larger = {"small": "medium", "medium": "large"}[subset]
    for number in range(_NUM_ELSEWHERE):
        yield _Track(_LAST_ID + number, len(tracks) + number, "Rock", larger)


def _mp3(track: _Track, seed: int) -> bytes:
    if track.track_id == NO_SOUND:
        return b"ID3\x03\x00\x00\x00\x00\x07\x76" + bytes(1014)  # a tag of 1,024 bytes, and no more
    styles = GENRES[track.subset]
    piece = _genre_clip.drawn(styles[track.genre], list(styles.values()), [seed, 1, track.rank])
    audio = _genre_clip.sounded(piece, [seed, 2, track.rank])
    if track.track_id == SHORT:
        audio = audio[: _SHORT_SECONDS * _genre_clip.SAMPLE_RATE]
    return _genre_clip.sound_file(audio, _genre_clip.SAMPLE_RATE, "MP3")


def _table(tracks: list[_Track]) -> str:
    columns = [(group, name) for group, names in _COLUMNS.items() for name in names.split()]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["", *(group for group, _ in columns)])
    writer.writerow(["", *(name for _, name in columns)])
    writer.writerow(["track_id", *("" for _ in columns)])
    for track in sorted(tracks):
        row = _row(track)
        writer.writerow([track.track_id, *(row.get(column, "") for column in columns)])
    return buffer.getvalue()


def _row(track: _Track) -> dict[tuple[str, str], str]:
    turn = track.artist % 10
    return {
        ("artist", "id"): str(track.artist + 1),
        ("artist", "name"): f"The {track.genre} Miniature, no. {track.artist + 1}",
        ("artist", "bio"): '<p>Plays "in small",\nby rule.</p>',
        ("set", "split"): {8: "validation", 9: "test"}.get(turn, "training"),
        ("set", "subset"): track.subset,
        ("track", "bit_rate"): "64000",
        ("track", "duration"): str(_genre_clip.CLIP_SECONDS),
        ("track", "genre_top"): track.genre,
        ("track", "license"): "Attribution-NonCommercial-ShareAlike 3.0 International",
        ("track", "title"): f"{track.genre}, no. {track.rank + 1}",
    }
