"""MusicXML scores to NoteSequences: note-seq's reader, put right where it misreads, then music21's.

Repeats stay as written, as in both readers; ties are merged, grace notes left out.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
import zipfile
import zlib
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from pipeline.errors import Rejected
from pipeline.readers import _score

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

MAX_BYTES = 32 * 2**20  # of the XML text; an orchestral movement has about 20 million
MAX_ELEMENTS = 2_000_000  # each takes 100 bytes, however short its text
MAX_DEPTH = 64  # a published score nests 12 levels
MAX_MUSIC21_NOTES = 20_000  # of which music21 reads some hundreds a second
_LIMITS = {
    **dict.fromkeys(("beats", "beat-type", "actual-notes", "normal-notes", "staves"), 64),
    **dict.fromkeys(("chromatic", "diatonic"), 127),
    **dict.fromkeys(("fifths", "octave", "octave-change"), 12),
    "alter": 6,
    "per-minute": 10_000,
    "multiple-rest": 1000,
    "duration": 10**9,
    "divisions": 10**9,
}
_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(r"[-+]?\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|[-+]?(?i:nan|inf(?:inity)?)")
_QUARTERS = {"whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5, "16th": 0.25}
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
)
VELOCITY = 64  # as in note-seq's reader


def read(data: bytes, suffix: str) -> NoteSequence:
    """Reads a score as it is written.

    Args:
      data: the file.
      suffix: ".xml", ".musicxml" or ".mxl" (a zip archive), in lower case.

    Returns:
      Notes, tempo, time and key signatures in seconds, at sounding pitch; part n is instrument n.
      120 quarters a minute where the score gives no tempo. Time signatures are those printed: an
      upbeat adds none.

    Raises:
      Rejected: musicxml_archive, musicxml_too_large, musicxml_entity, musicxml_syntax,
        musicxml_unsupported (both readers refuse it), musicxml_no_notes or musicxml_too_long.
    """
    text = _unzipped(data) if suffix == ".mxl" else data
    if len(text) > MAX_BYTES:
        raise Rejected("musicxml_too_large", f"{len(text)} bytes; the limit is {MAX_BYTES}")
    root = _parsed(text)
    if root.tag != "score-partwise":
        raise Rejected("musicxml_unsupported", f"its root is {root.tag[:40]!r}, not score-partwise")
    _check_numbers(root)
    try:
        sequence = _read_with_note_seq(root)
    except Exception as error:  # it raises whatever a missing or odd element leads to
        sequence = _read_with_music21(root, f"note-seq: {_score.brief(error)}")
    return _score.checked(sequence, "musicxml")


def _unzipped(data: bytes) -> bytes:
    """The score in a compressed file: the one its container names, else its only XML member."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
            size = sum(info.file_size for info in members.values())
            if size > MAX_BYTES:
                raise Rejected("musicxml_too_large", f"{size} bytes; the limit is {MAX_BYTES}")
            return _member(archive, _score_name(archive, members))
    except Rejected:
        raise
    except _ZIP_ERRORS as error:
        raise Rejected("musicxml_archive", _score.brief(error)) from error


def _score_name(archive: zipfile.ZipFile, members: dict[str, Any]) -> str:
    if "META-INF/container.xml" in members:
        container = _parsed(_member(archive, "META-INF/container.xml"))
        names = [file.get("full-path", "") for file in container.iter("rootfile")]
    else:
        names = sorted(name for name in members if name.endswith((".xml", ".musicxml")))
    if not names or names[0] not in members:
        raise Rejected("musicxml_archive", f"no score among {len(members)} members")
    return names[0]


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        data = file.read(MAX_BYTES + 1)  # a header may declare less than there is
    if len(data) > MAX_BYTES:
        raise Rejected("musicxml_too_large", f"more than {MAX_BYTES} bytes in a member")
    return data


def _parsed(text: bytes) -> ET.Element:
    """Parses XML that declares no entity: nested ones grow without bound when they are read."""
    checker = expat.ParserCreate()
    checker.EntityDeclHandler = _refuse_entity
    shape = _Shape()
    checker.StartElementHandler = shape.open
    checker.EndElementHandler = shape.close
    try:
        checker.Parse(text, True)
        return ET.fromstring(text)
    except Rejected:
        raise
    except (expat.ExpatError, ET.ParseError, ValueError, LookupError) as error:
        raise Rejected("musicxml_syntax", _score.brief(error)) from error


def _refuse_entity(name: str, *_: object) -> None:
    raise Rejected("musicxml_entity", f"the document declares the entity {name[:40]!r}")


class _Shape:
    """Counts elements while they are parsed, before any is kept."""

    def __init__(self) -> None:
        self.num_elements = self.depth = 0

    def open(self, *_: object) -> None:
        self.num_elements += 1
        self.depth += 1
        if self.num_elements > MAX_ELEMENTS or self.depth > MAX_DEPTH:
            raise Rejected(
                "musicxml_too_large",
                f"element {self.num_elements} at level {self.depth}; the limits are "
                f"{MAX_ELEMENTS}, {MAX_DEPTH}",
            )

    def close(self, *_: object) -> None:
        self.depth -= 1


def _check_numbers(root: ET.Element) -> None:
    """Refuses what no score has: music21 counts up to such numbers."""
    for element in root.iter():
        limit = _LIMITS.get(element.tag)
        if limit is None:
            continue
        # Where beats are added ("3+2"), music21 takes each run of digits for a number.
        pattern = _DIGITS if element.tag in ("beats", "beat-type") else _NUMBER
        for number in pattern.findall(element.text or ""):
            if not abs(float(number)) <= limit:
                raise Rejected("musicxml_syntax", f"{element.tag}={number[:20]} is beyond {limit}")


def _read_with_note_seq(root: ET.Element) -> NoteSequence:
    from note_seq.musicxml_parser import MusicXMLDocument, MusicXMLParseError
    from note_seq.musicxml_reader import musicxml_to_sequence_proto

    class ParsedDocument(MusicXMLDocument):
        """Takes what is parsed already, where note-seq opens a path."""

        _get_score = staticmethod(lambda score: score)

    _show_tempos(root)
    _fold_octave_changes(root)
    num_tempos = len({sound.get("tempo") for sound in root.iter("sound") if sound.get("tempo")})
    if num_tempos > 1 and len(root.findall("part")) > 1:
        raise MusicXMLParseError("later parts are read at the tempo at which the first part ends")
    document = ParsedDocument(root)
    sequence = musicxml_to_sequence_proto(document)
    written = [
        note.xml_note
        for part in document.parts
        for measure in part.measures
        for note in measure.notes
        if not note.is_rest
    ]
    _put_right_notes(sequence, written)
    _put_right_time_signatures(sequence, document)
    work = root.findtext("work/work-title") or root.findtext("movement-title") or ""
    sequence.sequence_metadata.title = work.strip()
    sequence.total_time = max((note.end_time for note in sequence.notes), default=0.0)
    return sequence


def _show_tempos(root: ET.Element) -> None:
    """Puts tempos where note-seq looks, into a direction's sound.

    They also stand in a sound of the measure's own, or only in a printed metronome mark.
    """
    for measure in root.iter("measure"):
        for index, child in enumerate(measure):
            if child.tag == "sound":
                measure[index] = ET.Element("direction")
                measure[index].append(child)
    for direction in root.iter("direction"):
        metronome = direction.find("direction-type/metronome")
        if metronome is None or direction.find("sound[@tempo]") is not None:
            continue
        quarters = _QUARTERS.get(metronome.findtext("beat-unit", ""))
        per_minute = re.search(r"\d+(\.\d+)?", metronome.findtext("per-minute", ""))
        if quarters and per_minute and len(metronome.findall("beat-unit")) == 1:
            quarters *= 2 - 0.5 ** len(metronome.findall("beat-unit-dot"))
            ET.SubElement(direction, "sound", tempo=str(float(per_minute[0]) * quarters))


def _fold_octave_changes(root: ET.Element) -> None:
    """Adds a transposition's octaves to its semitones, the only part that note-seq reads."""
    for transpose in root.iter("transpose"):
        octaves, chromatic = transpose.find("octave-change"), transpose.find("chromatic")
        if octaves is not None and chromatic is not None:
            transpose.remove(octaves)
            chromatic.text = str(int(chromatic.text or 0) + 12 * int(octaves.text or 0))


def _put_right_notes(sequence: NoteSequence, written: list[ET.Element]) -> None:
    """Merges ties, drops grace notes, moves B sharp and C flat into their octave.

    A part is an instrument; note-seq takes the MIDI channel, by default 0 for all.
    """
    open_ties: dict[tuple[int, int], Any] = {}
    kept = []
    for note, element in zip(sequence.notes, written, strict=True):
        if element.find("grace") is not None or note.end_time <= note.start_time:
            continue
        note.instrument = note.part
        note.pitch += _octave_error(element)
        if not 0 <= note.pitch <= 127:
            raise ValueError(f"pitch={note.pitch} is outside MIDI's range")
        ties = {
            tie.get("type") for path in ("tie", "notations/tied") for tie in element.findall(path)
        }
        voice = (note.part, note.pitch)
        tied = open_ties.pop(voice, None)  # whether or not a stop is written, as many omit it
        if tied is not None and abs(tied.end_time - note.start_time) < 1e-6:
            tied.end_time = note.end_time
        else:
            tied = note
            kept.append(note)
        if "start" in ties:
            open_ties[voice] = tied
    kept = sorted(kept, key=lambda note: (note.start_time, note.part, note.pitch, note.end_time))
    copies = [type(note).FromString(note.SerializeToString()) for note in kept]
    del sequence.notes[:]
    sequence.notes.extend(copies)


def _octave_error(element: ET.Element) -> int:
    """Semitones to add: note-seq wraps step + alter into the octave of the step."""
    pitch_class = "C D EF G A B".index(element.findtext("pitch/step", "").strip())
    return 12 * ((pitch_class + int(float(element.findtext("pitch/alter") or 0))) // 12)


def _put_right_time_signatures(sequence: NoteSequence, document: Any) -> None:
    """Keeps the signatures that are printed; note-seq adds one for every incomplete measure."""
    del sequence.time_signatures[:]
    for measure in document.parts[0].measures if document.parts else ():
        for printed in measure.xml_measure.findall("attributes/time"):
            sequence.time_signatures.add(
                time=measure.start_time_position,
                numerator=int(printed.findtext("beats", "")),
                denominator=int(printed.findtext("beat-type", "")),
            )


def _read_with_music21(root: ET.Element, before: str) -> NoteSequence:
    num_notes = sum(1 for _ in root.iter("note"))
    num_parts, num_ties = len(root.findall("part")) or 1, sum(1 for _ in root.iter("tie"))
    _score.check_num_ties(num_ties // num_parts, num_notes // num_parts, "musicxml")
    if num_notes > MAX_MUSIC21_NOTES:
        rule = f"music21 is given {MAX_MUSIC21_NOTES} notes at most"
        raise Rejected("musicxml_too_large", f"{before}; {num_notes} notes, and {rule}")
    from music21.musicxml.xmlToM21 import MusicXMLImporter

    from pipeline.readers import _music21

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd layout elements, one line each
            importer = MusicXMLImporter()
            importer.xmlRootToScore(root, importer.stream)
            return _music21.note_sequence(importer.stream, VELOCITY, is_expanded=False)
    except Exception as error:  # music21 raises many kinds, and bare ones on malformed scores
        raise Rejected(
            "musicxml_unsupported", f"{before}; music21: {_score.brief(error)}"
        ) from error
