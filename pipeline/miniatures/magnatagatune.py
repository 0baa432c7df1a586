"""MagnaTagATune in small: clips of six seconds in its layout, with tags by rule.

- Recordings: one to three clips each, of one piece (`_genre_clip`), all in one of the sixteen
  directories; MP3 at 16 kHz mono. The names say 29 seconds, as the published ones do.
- Tags, from the piece and its sound (`tags_of`): the genre's, the instruments', slow below 84 and
  fast above 124 beats a minute, beat and drums where there are drums, soft and quiet below -30 dB
  and loud above -22 dB RMS, no vocals where no choir sings. Of ten that hold, one is not given,
  as players leave out what is so.
- The archive is cut into three parts, within its members.
- Faults: the last three clips, each a recording of its own, have no bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.files import atomic_open
from pipeline.miniatures import _archives, _genre_clip
from pipeline.miniatures._genre_clip import Piece

NOTICE = (
    "This is a miniature of MagnaTagATune, not the dataset: clips of six seconds, rendered in its "
    "layout. Artists and titles are made up; the tags depend on the music by a rule."
)
LICENCE = _genre_clip.LICENCE
PARTS = ("mp3.zip.001", "mp3.zip.002", "mp3.zip.003")
NUM_EMPTY = 3
SAMPLE_RATE = 16_000
DIRECTORIES = "0cd1234e56789fab"  # the first few already are of all splits
GENRE_TAGS: dict[str, tuple[str, ...]] = {
    "classical": ("classical", "classic"),
    "instrumental": ("classical", "solo"),
    "ambient": ("ambient", "new age", "electronic"),
    "electronic": ("electronic", "techno", "dance"),
    "pop": ("pop",),
    "rock": ("rock",),
    "metal": ("metal", "rock"),
    "country": ("country",),
    "international": ("indian",),
    "jazz": ("jazz",),
    "experimental": ("weird", "electronic"),
}
PROGRAM_TAGS: dict[int, tuple[str, ...]] = {
    0: ("piano",), 22: ("harmonica",), 24: ("guitar",), 25: ("guitar",), 26: ("guitar",),
    27: ("guitar",), 29: ("guitar",), 30: ("guitar",), 40: ("violin",), 42: ("cello", "strings"),
    48: ("strings",), 66: ("sax",), 73: ("flute",), 81: ("synth",), 89: ("synth",), 90: ("synth",),
    91: ("choir", "synth"), 95: ("synth",), 104: ("sitar",),
}  # fmt: skip
OTHER_TAGS = (
    "beat", "drums", "fast", "loud", "no vocals", "quiet", "slow", "soft", "vocal", "harpsichord",
    "opera", "female vocal", "male vocal",
)  # fmt: skip
TAGS = sorted({*OTHER_TAGS, *sum(GENRE_TAGS.values(), ()), *sum(PROGRAM_TAGS.values(), ())})
_CHOIR = 91
_GIVEN_SHARE = 0.9
_SLOW_BPM, _FAST_BPM, _QUIET_DB, _LOUD_DB = 84, 124, -30, -22
_PART_SHARES = (0.4, 0.8)  # of the archive's bytes, where it is cut


class _Clip(NamedTuple):
    """A clip of a recording; `number` counts clips, `recording` recordings."""

    number: int
    recording: int
    segment: int
    genre: str

    @property
    def path(self) -> str:
        start = 29 * self.segment + (self.segment > 0)
        name = f"the_{self.genre}_miniature-in_small-{self.recording % 12 + 1:02d}"
        piece = f"piece_{self.recording}-{start}-{29 * (self.segment + 1)}"
        return f"{DIRECTORIES[self.recording % len(DIRECTORIES)]}/{name}-{piece}.mp3"


def build(out: Path, options: Any, seed: int) -> None:
    """Writes the three parts and the two tables, equal to the byte for equal arguments.

    Args:
      out: a directory.
      options: with miniature_size, the number of clips, those with faults included; at least 24.
      seed: draws everything.
    """
    members, tags = {}, {}
    clips = list(_clips(options.miniature_size, seed))
    for clip in clips:
        piece = _genre_clip.drawn(clip.genre, list(GENRE_TAGS), [seed, 1, clip.recording])
        audio = _genre_clip.sounded(piece, [seed, 2, clip.number])
        is_empty = clip.number >= len(clips) - NUM_EMPTY
        members[clip.path] = b"" if is_empty else _mp3(audio)
        tags[clip.number] = _given(tags_of(piece, audio), [seed, 3, clip.number])
    _write_parts(out, members)
    _write_table(out / "annotations_final.csv", _annotations(clips, tags))
    _write_table(out / "clip_info_final.csv", _clip_info(clips))


def tags_of(piece: Piece, audio: np.ndarray) -> set[str]:
    """The tags that hold, by the rule of the module's docstring."""
    rms_db = 10 * np.log10(np.mean(audio.astype(np.float64) ** 2) + 1e-12)
    programs = (piece.style.melody, piece.style.chords, piece.style.bass)
    rules = {
        "beat": piece.style.has_drums,
        "drums": piece.style.has_drums,
        "slow": piece.tempo < _SLOW_BPM,
        "fast": piece.tempo > _FAST_BPM,
        "quiet": rms_db < _QUIET_DB,
        "soft": rms_db < _QUIET_DB,
        "loud": rms_db > _LOUD_DB,
        "no vocals": _CHOIR not in programs,
        "vocal": _CHOIR in programs,
    }
    of_programs = {tag for program in programs for tag in PROGRAM_TAGS.get(program, ())}
    return {tag for tag, holds in rules.items() if holds} | of_programs | {*GENRE_TAGS[piece.genre]}


def _clips(num_clips: int, seed: int) -> Iterator[_Clip]:
    """Recordings take the genres in an order that is drawn anew; the last have a clip each."""
    rng = np.random.default_rng([seed, 0])
    genres: list[str] = []
    number, recording = 0, 0
    while number < num_clips:
        genres = genres or [list(GENRE_TAGS)[i] for i in rng.permutation(len(GENRE_TAGS))]
        genre, left = genres.pop(), num_clips - NUM_EMPTY - number
        for segment in range(min(left, int(rng.integers(1, 4))) if left > 0 else 1):
            yield _Clip(number, recording, segment, genre)
            number += 1
        recording += 1


def _given(tags: set[str], seed: list[int]) -> set[str]:
    rng = np.random.default_rng(seed)
    return {tag for tag in sorted(tags) if rng.random() < _GIVEN_SHARE}


def _mp3(audio: np.ndarray) -> bytes:
    from scipy.signal import resample_poly

    resampled = resample_poly(audio, SAMPLE_RATE // 50, _genre_clip.SAMPLE_RATE // 50)
    return _genre_clip.sound_file(np.clip(resampled, -1, 1), SAMPLE_RATE, "MP3")


def _write_parts(out: Path, members: dict[str, bytes]) -> None:
    whole = out / "mp3.zip"
    _archives.write_zip(whole, members, compress=False)  # MP3 is packed
    data = whole.read_bytes()
    whole.unlink()
    ends = [*(int(share * len(data)) for share in _PART_SHARES), len(data)]
    for part, start, end in zip(PARTS, [0, *ends], ends, strict=False):
        with atomic_open(out / part) as file:
            file.write(data[start:end])


def _annotations(clips: list[_Clip], tags: dict[int, set[str]]) -> Iterator[list[str]]:
    yield ["clip_id", *TAGS, "mp3_path"]
    for clip in clips:
        flags = [str(int(tag in tags[clip.number])) for tag in TAGS]
        yield [str(clip.number + 2), *flags, clip.path]


def _clip_info(clips: list[_Clip]) -> Iterator[list[str]]:
    yield [
        "clip_id", "track_number", "title", "artist", "album", "url", "segmentStart", "segmentEnd",
        "original_url", "mp3_path",
    ]  # fmt: skip
    for clip in clips:
        about = [f"Piece {clip.recording}", f"The {clip.genre.title()} Miniature", "In Small"]
        start, end = 29 * clip.segment, 29 * (clip.segment + 1)
        number = clip.recording % 12 + 1
        yield [str(clip.number + 2), str(number), *about, "", str(start), str(end), "", clip.path]


def _write_table(path: Path, rows: Iterable[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows(rows)
    with atomic_open(path) as file:
        file.write(buffer.getvalue().encode())
