"""GTZAN in small: clips of six seconds in its layout, named by numbers of its hundred a genre.

- Clips: 22,050 Hz mono, 16-bit, in ten styles that overlap (`_genre_clip`), as many of each genre.
- Names: numbers that are spread evenly over 0 to 99, so that the fault-filtered split takes and
  leaves out the published shares; the music behind a number is another than GTZAN's.
- Faults: jazz.00054.wav is cut off in its header, and blues has an AppleDouble file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.miniatures import _archives, _genre_clip

NOTICE = (
    "This is a miniature of GTZAN, not GTZAN: clips of six seconds, rendered in the style of its "
    "genres and in its layout. Names are GTZAN's, the music is not."
)
LICENCE = _genre_clip.LICENCE
ARCHIVE = "genres.tar.gz"
GENRES = (
    "blues", "country", "rock", "metal", "disco", "pop", "hiphop", "reggae", "jazz", "classical",
)  # fmt: skip
CUT_OFF, _NUM_BYTES_LEFT = "jazz.00054", 30
LEFT_OUT = "pop.00015"  # by the fault-filtered split
APPLE_DOUBLE = "genres/blues/._blues.00000.wav"
_NUM_PUBLISHED = 100  # of a genre


def build(out: Path, options: Any, seed: int) -> None:
    """Writes genres.tar.gz, equal to the byte for equal arguments.

    Args:
      out: a directory.
      options: with miniature_size, the number of clips, the one that is cut off included; 30 to
        1,000.
      seed: draws the music.
    """
    members = {APPLE_DOUBLE: b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(58)}
    for genre, number in _names(options.miniature_size):
        where = [GENRES.index(genre), number]
        piece = _genre_clip.drawn(genre, GENRES, [seed, 0, *where])
        audio = _genre_clip.sounded(piece, [seed, 1, *where])
        name = f"{genre}.{number:05d}"
        wav = _genre_clip.sound_file(audio, _genre_clip.SAMPLE_RATE, "WAV")
        members[f"genres/{genre}/{name}.wav"] = wav[:_NUM_BYTES_LEFT] if name == CUT_OFF else wav
    _archives.write_tar_gz(out / ARCHIVE, members)


def _names(num_clips: int) -> Iterator[tuple[str, int]]:
    """Numbers at equal distances; CUT_OFF and LEFT_OUT are always among them."""
    named = {genre: int(number) for genre, number in (n.split(".") for n in (CUT_OFF, LEFT_OUT))}
    for rank, genre in enumerate(GENRES):
        num = num_clips // len(GENRES) + (rank < num_clips % len(GENRES))
        start = named.get(genre, 7 * rank)
        for i in range(num):
            yield genre, (start + i * _NUM_PUBLISHED // num) % _NUM_PUBLISHED
