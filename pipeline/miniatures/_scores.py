"""Scores of music21's wheel (MusicXML), with what a performer looks at: bars, ties, fermatas.

Of Bach mostly chorales (Margaret Greentree's encodings, "used by permission"), of Haydn, Mozart and
Robert Schumann string quartets, madrigals of Monteverdi, piano pieces of Clara Schumann (typeset
for IMSLP under CC BY-SA 4.0), Joplin, C. P. E. Bach and others. The compositions are out of
copyright; corpus/license.txt says that "some encodings included in the corpus may not be used for
commercial uses". They are read where they are installed.

readers.musicxml gives seconds, as a NoteSequence does; a performer needs quarters, bars and
fermatas. So the scores are read here directly, in 10 ms each.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from pipeline.errors import Rejected

COMPOSERS = {
    "bach": "Johann Sebastian Bach",
    "corelli": "Arcangelo Corelli",
    "cpebach": "Carl Philipp Emanuel Bach",
    "handel": "George Frideric Handel",
    "haydn": "Joseph Haydn",
    "johnson_j_r": "J. Rosamond Johnson",
    "joplin": "Scott Joplin",
    "liliuokalani": "Liliʻuokalani",
    "monteverdi": "Claudio Monteverdi",
    "mozart": "Wolfgang Amadeus Mozart",
    "schubert": "Franz Schubert",
    "schumann_robert": "Robert Schumann",
    "verdi": "Giuseppe Verdi",
}
MIN_NOTES, MAX_NOTES = 80, 2500
LOWEST_PITCH, HIGHEST_PITCH = 21, 108
_MAX_XML_BYTES = 32 * 1024**2
_SUFFIXES = (".mxl", ".xml", ".musicxml")


class Score(NamedTuple):
    """Notes of all parts; positions in quarters from the start; repeats are not played.

    Attributes:
      onsets, lengths: in quarters, ascending by onset; tied notes are one. Shape [notes].
      pitches: MIDI pitches, 21-108. Shape [notes].
      bars: where each bar starts. Shape [bars].
      fermatas: where the notes that carry one end, each once. Shape [fermatas].
      qpm: the first tempo mark, or None.
    """

    onsets: np.ndarray
    lengths: np.ndarray
    pitches: np.ndarray
    bars: np.ndarray
    fermatas: np.ndarray
    qpm: float | None


def paths(corpus: Path) -> Iterator[tuple[str, str, Path]]:
    """Yields composer, title and file of each score, sorted by folder and name."""
    for folder, composer in COMPOSERS.items():
        files = (f for f in (corpus / folder).rglob("*") if f.suffix in _SUFFIXES)
        for file in sorted(files, key=lambda f: f.relative_to(corpus).as_posix()):
            yield composer, _title(file.relative_to(corpus / folder)), file


def read(data: bytes) -> Score:
    """Reads a MusicXML score, compressed or not; grace notes are left out.

    Raises:
      Rejected: not_partwise, bad_length (not of 80-2500 notes).
    """
    root = ElementTree.fromstring(_xml(data))
    parts = [_Part(part) for part in root.findall("part")]
    if root.tag != "score-partwise" or not parts:
        raise Rejected("not_partwise", f"root={root.tag}, {len(parts)} parts")
    bars, start = [], 0.0
    for measures in zip_longest(*(part.measures for part in parts)):
        bars.append(start)
        read_parts = (p.read(m, start) for p, m in zip(parts, measures, strict=True) if m)
        start = max(read_parts, default=start)
    notes = np.array(sorted(note for part in parts for note in part.notes())).reshape(-1, 3)
    notes = notes[(notes[:, 1] >= LOWEST_PITCH) & (notes[:, 1] <= HIGHEST_PITCH)]
    if not MIN_NOTES <= len(notes) <= MAX_NOTES:
        raise Rejected("bad_length", f"{len(notes)} notes, not {MIN_NOTES}-{MAX_NOTES}")
    marks = root.find(".//sound[@tempo]")
    return Score(
        onsets=notes[:, 0],
        lengths=notes[:, 2],
        pitches=notes[:, 1].astype(np.int64),
        bars=np.array(bars),
        fermatas=np.array(sorted({f for part in parts for f in part.fermatas})),
        qpm=None if marks is None else float(marks.attrib["tempo"]),
    )


class _Part:
    """One part, read measure by measure."""

    def __init__(self, part: ElementTree.Element):
        self.measures = part.findall("measure")
        self.fermatas: list[float] = []
        self._divisions = 1.0
        self._transposition = 0
        self._ended: list[list[float]] = []  # onset, pitch, length
        self._tied: dict[int, list[float]] = {}

    def read(self, measure: ElementTree.Element, start: float) -> float:
        """Reads a measure that starts at `start` quarters; gives where it ends."""
        now = end = onset = start
        for element in measure:
            if element.tag == "attributes":
                self._read_attributes(element)
            length = float(element.findtext("duration") or 0) / self._divisions
            if element.tag == "note" and element.find("grace") is None:
                if element.find("chord") is None:
                    onset, now = now, now + length
                self._read_note(element, onset, length)
            elif element.tag == "backup":
                now -= length
            elif element.tag == "forward":
                now += length
            end = max(end, now)
        return end

    def notes(self) -> list[tuple[float, float, float]]:
        """Gives onset, pitch and length of every note that sounds."""
        return [(o, p, n) for o, p, n in self._ended if n > 0]

    def _read_attributes(self, attributes: ElementTree.Element) -> None:
        self._divisions = float(attributes.findtext("divisions") or self._divisions)
        transpose = attributes.find("transpose")
        if transpose is not None:
            octaves = int(transpose.findtext("octave-change") or 0)
            self._transposition = int(transpose.findtext("chromatic") or 0) + 12 * octaves

    def _read_note(self, element: ElementTree.Element, onset: float, length: float) -> None:
        if element.find("notations/fermata") is not None:
            self.fermatas.append(onset + length)
        pitch = element.find("pitch")
        if pitch is None:
            return
        number = (
            "C D EF G A B".index(pitch.findtext("step") or "C")
            + round(float(pitch.findtext("alter") or 0))
            + 12 * (int(pitch.findtext("octave") or 4) + 1)
            + self._transposition
        )
        ties = {tie.get("type") for tie in element.findall("tie")}
        tied = self._tied.pop(number, None)
        if "stop" in ties and tied is not None and abs(tied[0] + tied[2] - onset) < 1e-6:
            tied[2] += length
            note = tied
        else:
            note = [onset, number, length]
            self._ended.append(note)
        if "start" in ties:
            self._tied[number] = note


def _xml(data: bytes) -> bytes:
    """Gives the score of a compressed file, the first .xml outside META-INF; else the bytes."""
    if data[:2] != b"PK":
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            is_score = member.filename.endswith((".xml", ".musicxml"))
            if is_score and not member.filename.startswith("META-INF"):
                if member.file_size > _MAX_XML_BYTES:
                    raise Rejected("too_large_member", f"{member.file_size} bytes of XML")
                return archive.read(member)
    raise Rejected("not_partwise", "the .mxl holds no .xml")


def _title(path: Path) -> str:
    """Spells a title after a file: mozart/k155/movement1.mxl is "K 155, movement 1"."""
    words = ", ".join([*path.parent.parts, path.stem]).replace("_", " ")
    words = re.sub(r"(?<=\d)no(?=\d)", " no ", words)
    words = re.sub(r"(?<=[a-z])\.?(?=\d)", " ", words)
    return words.replace("bwv", "BWV") if "bwv" in words else words[:1].upper() + words[1:]
