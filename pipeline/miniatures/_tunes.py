"""Melodies of the tune books in music21's wheel, by note-seq's ABC parser, on a grid of sixteenths.

Four collections: James Aird's "Selection of Airs" (Jack Campin's transcription), the Essen folk
song collection (encoded under Helmut Schaffrath, later Ewa Dahlig-Turek; ABC by Seymour Shlien),
O'Neill's "Music of Ireland" of 1850 tunes, Ryan's "Mammoth Collection" (1883). Of their 12,762
tunes 9,031 are usable and different.

Licence: the music is out of copyright. music21's corpus/license.txt: the encodings are distributed
with the permission of the encoders, "some encodings may not be used for commercial uses". Its
essenFolksong/license.txt: the status of the Essen database "is unclear, as the data has been input
by many people"; permission was given "for non-commercial distribution and use". So the tunes are
read where they are installed, none of them is part of this repository, and what is built of them
is for non-commercial use.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.errors import PipelineError, Rejected
from pipeline.readers import abc

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

COLLECTIONS = ("airdsAirs", "essenFolksong", "oneills1850", "ryansMammoth")
MIN_BARS, MAX_BARS = 8, 64
MIN_PITCH_CLASSES = 5
METRES = frozenset(
    [(2, 4), (3, 4), (4, 4), (6, 4), (2, 2), (3, 2), (4, 2), (3, 8), (6, 8), (9, 8), (12, 8)]
)


class Tune(NamedTuple):
    """A melody as it is written (repeats are not played), one note at a time.

    Attributes:
      title: ASCII.
      metre: numerator and denominator; constant.
      scale: pitch classes of the seven degrees, the tonic first.
      is_minor: whether the third of the scale is minor.
      onsets_steps: sixteenths from the start of the bar in which the tune begins; an upbeat stands
        at the end of that bar. Shape [notes].
      lengths_steps: sixteenths. Shape [notes].
      pitches: MIDI pitches. Shape [notes].
    """

    title: str
    metre: tuple[int, int]
    scale: tuple[int, ...]
    is_minor: bool
    onsets_steps: np.ndarray
    lengths_steps: np.ndarray
    pitches: np.ndarray

    @property
    def bar_steps(self) -> int:
        return 16 * self.metre[0] // self.metre[1]

    @property
    def num_bars(self) -> int:
        end = int(self.onsets_steps[-1] + self.lengths_steps[-1])
        return -(-end // self.bar_steps)


def corpus() -> Path:
    """The directory of music21's corpus, found without importing music21.

    Raises:
      PipelineError: if music21 is not installed, or without its corpus.
    """
    spec = importlib.util.find_spec("music21")
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location) / "corpus"
        if all((path / name).is_dir() for name in COLLECTIONS):
            return path
    raise PipelineError(
        "package=music21: its corpus is what the miniatures are made of, and it is not installed. "
        "Run `make .venv`, which installs it from requirements.lock."
    )


def tunes(seed: int) -> Iterator[Tune]:
    """Yields each usable, different tune once, in an order that the seed decides."""
    texts = [
        text
        for collection in COLLECTIONS
        for book in sorted((corpus() / collection).glob("*.abc"))
        for text in abc.split_tunebook(abc.decode(book.read_bytes()))
    ]
    seen = set()
    for index in np.random.default_rng([seed, len(texts)]).permutation(len(texts)):
        try:
            tune = read_tune(texts[index])
        except Rejected:
            continue  # the books hold twice as many as are needed
        melody = (tune.pitches.tobytes(), tune.lengths_steps.tobytes())
        if melody not in seen:
            seen.add(melody)
            yield tune


def read_tune(text: str) -> Tune:
    """Reads one tune of a book with note-seq's parser.

    Rests, which that parser refuses, are given to it as notes of pitch 0 and taken out again;
    grace notes and backticks are left out.

    Args:
      text: one string of `abc.split_tunebook`.

    Raises:
      Rejected: unparsed (the parser refuses it, or would misread its ties and double broken
        rhythms), no_constant_metre, off_grid (not on sixteenths), bad_length (not of 8-64 bars),
        few_pitches (fewer than 5 pitch classes).
    """
    fields, music = _cleaned(text)
    sequence = _parsed(fields + music)
    metres = {(m.numerator, m.denominator) for m in sequence.time_signatures}
    if len(metres) != 1 or not metres <= METRES or len(sequence.key_signatures) > 1:
        raise Rejected("no_constant_metre", f"metres={sorted(metres)}")
    (metre,) = metres
    bar_steps = 16 * metre[0] // metre[1]
    starts, ends, pitches = _grid(sequence)
    upbeat_steps = _upbeat_steps(fields, music, bar_steps)
    is_note = pitches > 0
    scale, is_minor = _scale(sequence)
    tune = Tune(
        title=_ascii(sequence.sequence_metadata.title),
        metre=metre,
        scale=scale,
        is_minor=is_minor,
        onsets_steps=(starts + (bar_steps - upbeat_steps) % bar_steps)[is_note],
        lengths_steps=(ends - starts)[is_note],
        pitches=pitches[is_note],
    )
    if not is_note.any() or not MIN_BARS <= tune.num_bars <= MAX_BARS:
        raise Rejected("bad_length", f"{len(tune.pitches)} notes; {MIN_BARS}-{MAX_BARS} bars")
    if len(set((tune.pitches % 12).tolist())) < MIN_PITCH_CLASSES:
        raise Rejected("few_pitches", f"pitches={sorted(set(tune.pitches.tolist()))}")
    return tune


_REST = "=C,,,,,"  # pitch 0, which no tune has
_MUSIC_LINE = re.compile(r"(?!\s*[A-Za-z]:)")
_IGNORED = re.compile(r'%.*|\{[^}]*\}|`|"[^"]*"|![^!]*!')
_MISREAD = re.compile(r"-|>>|<<")
_FIRST_BAR = re.compile(r"[\s|:\[\]]*([^|:\]]*)")


def _cleaned(text: str) -> tuple[list[str], list[str]]:
    """Splits a tune into the lines of its fields up to K:, and the lines that follow."""
    lines = text.splitlines()
    key = next((i for i, line in enumerate(lines) if line.startswith("K:")), len(lines))
    music = [
        re.sub("[zx]", _REST, _IGNORED.sub("", line)) if _MUSIC_LINE.match(line) else line
        for line in lines[key + 1 :]
    ]
    if any(_MISREAD.search(line) for line in music if _MUSIC_LINE.match(line)):
        raise Rejected("unparsed", "ties and double broken rhythms")
    return lines[: key + 1], music


def _parsed(lines: list[str]) -> NoteSequence:
    from note_seq.abc_parser import ABCParseError, ABCTune

    try:
        return ABCTune(lines).note_sequence
    except (ABCParseError, ValueError, KeyError, ZeroDivisionError) as error:
        raise Rejected("unparsed", f"{type(error).__name__}: {error}") from error


def _grid(sequence: NoteSequence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if len(sequence.tempos) > 1:
        raise Rejected("off_grid", f"{len(sequence.tempos)} tempos")
    steps_per_second = (sequence.tempos[0].qpm if sequence.tempos else 120.0) / 60 * 4
    times = np.array([(n.start_time, n.end_time) for n in sequence.notes]).reshape(-1, 2)
    steps = np.rint(times * steps_per_second).astype(np.int64)
    if not np.allclose(times * steps_per_second, steps, atol=1e-6):
        raise Rejected("off_grid", "an onset or a length is not a multiple of a sixteenth")
    return steps[:, 0], steps[:, 1], np.array([n.pitch for n in sequence.notes], np.int64)


def _upbeat_steps(fields: list[str], music: list[str], bar_steps: int) -> int:
    """Gives the length of what stands before the first bar line, if that is less than a bar."""
    match = _FIRST_BAR.match(" ".join(line for line in music if _MUSIC_LINE.match(line)))
    if match is None or not match[1].strip():
        return 0
    first = _parsed([*fields, match[1]])
    if not first.notes:
        return 0
    ends = _grid(first)[1]
    return int(ends[-1]) % bar_steps if ends[-1] < bar_steps else 0


def _scale(sequence: NoteSequence) -> tuple[tuple[int, ...], bool]:
    """Gives the scale of the key signature and its mode; C major where there is none."""
    key = sequence.key_signatures[0] if sequence.key_signatures else None
    intervals = _MODES[key.mode if key else 0]
    tonic = key.key if key else 0
    return tuple((tonic + i) % 12 for i in intervals), intervals[2] == 3


# By the numbers of NoteSequence.KeySignature.Mode: major, minor, unspecified, mixolydian, dorian,
# phrygian, lydian, locrian.
_MODES = {
    0: (0, 2, 4, 5, 7, 9, 11),
    1: (0, 2, 3, 5, 7, 8, 10),
    2: (0, 2, 4, 5, 7, 9, 11),
    3: (0, 2, 4, 5, 7, 9, 10),
    4: (0, 2, 3, 5, 7, 9, 10),
    5: (0, 1, 3, 5, 7, 8, 10),
    6: (0, 2, 4, 6, 7, 9, 11),
    7: (0, 1, 3, 5, 6, 8, 10),
}


def _ascii(text: str) -> str:
    """Spells a title without accents: MIDI's text events have no encoding."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore")
    return " ".join(plain.decode("ascii").split())[:80] or "Untitled"
