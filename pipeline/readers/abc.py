"""ABC tunes to NoteSequences, repeats played: note-seq's parser, and music21's for what it lacks.

note-seq's parser is an order of magnitude faster, but refuses rests, tuplets, grace notes, chords,
endings, parts and voices, and silently misreads ties and double broken rhythms; those go to
music21. What neither reads is rejected.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.errors import Rejected
from pipeline.readers import _score

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

# Of one tune; the longest of 12,978 published ones has 2,336 characters and 20 repeats.
MAX_CHARACTERS = 20_000
MAX_COLONS = 500  # note-seq copies a tune for each of its sections
MAX_METER = 64  # music21 divides a measure into its beats, and these again
MAX_BARS = 500  # for music21, which looks for the meter of each in all of them; most have 32
MAX_BAR = 256  # unit notes in a bar of a tune whose meter changes: music21 finds a meter for it
VELOCITY = 90  # mf, as in note-seq's parser

_FIELD = re.compile(r"[ \t]*([A-Za-z]):(?![|:])")
_FILE_HEADER_FIELDS = frozenset("ABCDFGHILMmNORrSUZ")
_NOT_MUSIC = re.compile(
    r'(?m)^[ \t]*[A-Za-z]:(?![|:]).*$|%.*$|"[^"\n]*"|\[[A-Za-z]:[^\]\n]{0,200}\]|![^!\n]*!'
)
_BAR = r"(?:\[?\|[|\]]*:*|::+|:+\|+\]?:*)"
_TOKEN = re.compile(
    r"(?P<kept>^[ \t]*[A-Za-z]:(?![|:]).*$|\[[A-Za-z]:[^\]\n]{0,200}\]|\(\d(?::\d*){1,2})"
    r'|(?P<silent>"[^"\n]*"|![^!\s|]*!|!|\+[a-z]+\+|%.*$|[H-Wh-w~.`]|y\d*|\((?!\d)|\))'
    rf"|(?P<bar>{_BAR}(?:[\s\\]*{_BAR})*)"
    r"|(?P<accidental>[_^=]*)(?P<letter>[A-Ga-g])",
    re.MULTILINE,
)
_MISREAD_BY_NOTE_SEQ = re.compile(r"-|>>|<<|^[ \t]*[A-Ga-g]:[|:]", re.MULTILINE)
_METER = re.compile(r"(?m)(?:^|\[)[ \t]*M:([^\]\n%]{0,40})")
_NOT_ASCII = re.compile(r"[^\t\n\r -~]")
_ABSURD_NUMBER = re.compile(r"\d{4}")


def decode(data: bytes) -> str:
    """Decodes a tune book: UTF-8 as ABC 2.1 demands, else Latin-1, in which most books are."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def split_tunebook(text: str) -> list[str]:
    """Splits a tune book into tunes, one string each, that begin at their X: field.

    The fields of the file header are carried into each tune that does not set them itself. A tune
    ends at the first empty line after its music began, as what follows there is free text.

    Args:
      text: a whole file; one without any X: field but with a K: field is one tune.

    Source: ABC standard 2.1, sections 2.2.2 (file header), 2.2.3 (free text) and 3.
    """
    header: list[str] = []
    tunes: list[list[str]] = []
    for line in text.splitlines():
        if _field(line) == "X":
            tunes.append([])
        (tunes[-1] if tunes else header).append(line)
    if not tunes and any(_field(line) == "K" for line in header):
        return [_text(header)]
    shared = [line for line in header if _field(line) in _FILE_HEADER_FIELDS]
    return [
        _text([tune[0], *_missing(shared, tune), *_without_free_text(tune[1:])]) for tune in tunes
    ]


def title(tune: str) -> str:
    """The first title of a tune, "" where it has none."""
    titles = (line for line in tune.splitlines() if _field(line) == "T")
    return next(titles, "").partition(":")[2].strip()


def read(tune: str) -> NoteSequence:
    """Reads one tune as it is played, each repeat and ending in its turn.

    Args:
      tune: one string of `split_tunebook`.

    Returns:
      Notes, tempo, time and key signatures in seconds, 120 quarters a minute where Q: is not set;
      the title in sequence_metadata. Grace notes, decorations and chord symbols are left out.
      A repeat is played twice, the second time with its second ending; endings beyond that follow
      in their order.

    Raises:
      Rejected: abc_too_long, abc_no_notes, abc_syntax (the text breaks the notation) or
        abc_unsupported (music21 cannot represent it).
    """
    if len(tune) > MAX_CHARACTERS:
        raise Rejected("abc_too_long", f"{len(tune)} characters; the limit is {MAX_CHARACTERS}")
    music = _NOT_MUSIC.sub("", tune)
    if music.count(":") > MAX_COLONS:
        raise Rejected("abc_too_long", f"{music.count(':')} colons; the limit is {MAX_COLONS}")
    if _NOT_ASCII.search(music):  # music21 would take it for a C
        raise Rejected("abc_syntax", "a character that is none of ABC's stands in the music")
    if any(int(n) > MAX_METER for m in _METER.findall(tune) for n in re.findall(r"\d+", m)):
        raise Rejected("abc_syntax", f"a meter with a number beyond {MAX_METER}")
    if _ABSURD_NUMBER.search(music):  # as a length, music21 would fill it with millions of bars
        raise Rejected("abc_syntax", "a number of four digits stands in the music")
    try:
        sequence = _read_with_note_seq(tune, music)
    except Exception as error:  # its parser raises whatever a malformed field leads to
        sequence = _read_with_music21(tune, f"note-seq: {_score.brief(error)}")
    return _score.checked(sequence, "abc")


def _field(line: str) -> str | None:
    match = _FIELD.match(line)
    return match.group(1) if match else None


def _missing(shared: list[str], tune: list[str]) -> list[str]:
    own = {_field(line) for line in tune}
    return [line for line in shared if _field(line) not in own]


def _without_free_text(lines: list[str]) -> list[str]:
    has_key = has_music = False
    kept = []
    for line in lines:
        if has_music and not line.strip():
            break
        has_music = has_music or (has_key and bool(_NOT_MUSIC.sub("", line).strip()))
        has_key = has_key or _field(line) == "K"
        kept.append(line)
    return kept


def _text(lines: list[str]) -> str:
    return "\n".join(line.strip() for line in lines if line.strip()) + "\n"


def _read_with_note_seq(tune: str, music: str) -> NoteSequence:
    from note_seq.abc_parser import ABCParseError, ABCTune
    from note_seq.sequences_lib import expand_section_groups

    if _MISREAD_BY_NOTE_SEQ.search(music):
        raise ABCParseError("ties, double broken rhythms and a note before a colon are misread")
    sequence = expand_section_groups(ABCTune(tune.splitlines()).note_sequence)
    del sequence.text_annotations[:]
    return sequence


def _read_with_music21(tune: str, before: str) -> NoteSequence:
    from music21.abcFormat import ABCFile
    from music21.abcFormat.translate import abcToStreamScore
    from music21.meter import TimeSignature

    from pipeline.readers import _music21

    _check_size(tune)
    try:
        score = abcToStreamScore(ABCFile().readstr(_explicit(tune)))
        meter = _meter(tune)
        if meter:
            score.parts[0].insert(0, TimeSignature(f"{meter[0]}/{meter[1]}"))
        return _music21.note_sequence(score, VELOCITY, is_expanded=True)
    except Exception as error:  # music21 raises twenty kinds, and bare ones on malformed text
        reason = "abc_unsupported" if "cannot handle" in str(error) else "abc_syntax"
        raise Rejected(reason, f"{before}; music21: {_score.brief(error)}") from error


def _check_size(tune: str) -> None:
    """Refuses what music21 would take minutes for, other than by its length."""
    _, _, body = _header_and_music(tune)
    music = _NOT_MUSIC.sub("", body)
    _score.check_num_ties(music.count("-"), len(re.findall(r"[A-Ga-gz]", music)), "abc")
    bars = [bar for bar in music.split("|") if bar.strip()]
    if len(bars) > MAX_BARS:
        raise Rejected("abc_too_long", f"{len(bars)} bars; music21 is given {MAX_BARS} at most")
    for bar in bars if _METER.search(body) else ():
        length = len(re.findall(r"[A-Ga-gxyzXZ]", bar)) + sum(map(int, re.findall(r"\d+", bar)))
        if length > MAX_BAR:
            raise Rejected("abc_too_long", f"a bar of about {length} notes; the limit is {MAX_BAR}")


def _explicit(tune: str) -> str:
    """Spells a tune so that music21 reads it right.

    music21 forgets naturals within their bar, plays a broken rhythm evenly where a decoration,
    slur or string stands beside it, drops some decorated notes, misses repeat signs in a row of
    bar lines or right behind a note, re-bars under a header's meter, and sees no measures without
    two plain bar lines. So carried accidentals are written at their notes (in every octave until
    the bar line, as in ABC 2.1, section 11.3, and in note-seq), bar lines are merged, what has no
    sound is left out, and so is the meter, with the unit note length that it implies in its place;
    two bar lines are appended.
    """
    carried: dict[str, str] = {}

    def spell(match: re.Match[str]) -> str:
        if match["kept"]:
            return match[0]
        if match["bar"]:
            carried.clear()
            return _merged_bar(match["bar"])
        if not match["letter"]:
            return ""
        letter = match["letter"].upper()
        carried[letter] = match["accidental"] or carried.get(letter, "")
        return carried[letter] + match["letter"]

    header, key_field, music = _header_and_music(tune)
    if not re.search(r"^[ \t]*L:", header, re.MULTILINE):
        numerator, denominator = _meter(tune) or (1, 1)
        header += "L:1/16\n" if numerator < 0.75 * denominator else "L:1/8\n"
    return re.sub(r"(?m)^[ \t]*M:.*\n", "", header) + key_field + _TOKEN.sub(spell, music) + "| |\n"


def _header_and_music(tune: str) -> tuple[str, str, str]:
    match = re.search(r"^[ \t]*K:.*\n?", tune, re.MULTILINE)
    return (tune[: match.start()], match[0], tune[match.end() :]) if match else ("", "", tune)


def _meter(tune: str) -> tuple[int, int] | None:
    """The header's time signature: None where it is free; additive ones are summed."""
    match = re.search(r"^[ \t]*M:[ \t]*([^\s%]+)", _header_and_music(tune)[0], re.MULTILINE)
    text = match[1].upper() if match else ""
    fraction = re.fullmatch(r"\(?([\d+]+)\)?/(\d+)", text)
    if fraction is None:
        return {"C": (4, 4), "C|": (2, 2)}.get(text)
    return sum(int(beats) for beats in re.findall(r"\d+", fraction[1])), int(fraction[2])


def _merged_bar(text: str) -> str:
    """One bar line for several: an end and a start of repeats, either, a double bar or a bar."""
    signs = re.findall(_BAR, text)
    is_end = any(sign.startswith(":") for sign in signs)
    is_start = any(sign.endswith(":") for sign in signs)
    if is_end and is_start:
        return " ::"
    if is_end or is_start:
        return " :|" if is_end else " |:"
    return " ||" if any(len(sign) > 1 for sign in signs) else " |"
