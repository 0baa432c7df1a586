"""The MusicXML and kern readers against hand-computed scores and against music21."""

import contextlib
import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import Rejected
from pipeline.readers import kern, musicxml

CHORALES = Path(__file__).parent.parent / "data" / "folder" / "chorales"
ATTRIBUTES = (
    "<attributes><divisions>2</divisions><key><fifths>2</fifths><mode>major</mode></key>"
    "<time><beats>3</beats><beat-type>4</beat-type></time></attributes>"
)
TEMPO = '<direction><sound tempo="60"/></direction>'


def note(step: str, eighths: int, octave: int = 4, alter: int = 0, inside: str = "") -> str:
    pitch = f"<step>{step}</step><alter>{alter}</alter><octave>{octave}</octave>"
    return f"<note><pitch>{pitch}</pitch><duration>{eighths}</duration>{inside}</note>"


def score(*parts: str, declaration: str = "") -> bytes:
    names = "".join(
        f'<score-part id="P{i}"><part-name>{i}</part-name></score-part>' for i in range(len(parts))
    )
    music = "".join(f'<part id="P{i}">{part}</part>' for i, part in enumerate(parts))
    return (
        f'<?xml version="1.0"?>{declaration}<score-partwise><work><work-title>A Piece</work-title>'
        f"</work><part-list>{names}</part-list>{music}</score-partwise>"
    ).encode()


def measure(*content: str) -> str:
    return f"<measure number='1'>{''.join(content)}</measure>"


def notes(data: bytes) -> list[tuple[float, float, int, int]]:
    return [
        (round(n.start_time, 4), round(n.end_time, 4), n.pitch, n.instrument)
        for n in musicxml.read(data, ".xml").notes
    ]


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_notes_rests_chords_and_parts():
    rest = "<note><rest/><duration>2</duration></note>"
    chord = note("E", 2).replace("<note>", "<note><chord/>")
    upper = measure(ATTRIBUTES, TEMPO, note("C", 2), chord, rest, note("F", 2, alter=1))
    lower = measure(ATTRIBUTES, note("D", 6, octave=3))
    assert notes(score(upper, lower)) == [
        (0, 1, 60, 0),
        (0, 1, 64, 0),
        (0, 3, 50, 1),
        (2, 3, 66, 0),
    ]


def test_ties_are_merged_and_grace_notes_left_out():
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    grace = note("A", 0).replace("<note>", "<note><grace/>").replace("<duration>0</duration>", "")
    first = measure(ATTRIBUTES, TEMPO, grace, note("C", 4), note("D", 2, inside=start))
    second = measure(note("D", 6, inside=stop + start))
    third = measure(note("D", 2, inside=stop), note("D", 2), note("D", 2))
    assert notes(score(first + second + third)) == [
        (0, 2, 60, 0),
        (2, 7, 62, 0),
        (7, 8, 62, 0),
        (8, 9, 62, 0),
    ]


def test_b_sharp_and_c_flat_stay_in_their_octave():
    content = (note("B", 2, 3, 1), note("C", 2, 4, -1), note("C", 2, 4, 0))
    assert [n[2] for n in notes(score(measure(ATTRIBUTES, *content)))] == [60, 59, 60]


def test_transposition_has_octaves():
    transpose = "<transpose><chromatic>-2</chromatic><octave-change>-1</octave-change></transpose>"
    attributes = ATTRIBUTES.replace("</attributes>", f"{transpose}</attributes>")
    assert [n[2] for n in notes(score(measure(attributes, note("C", 6))))] == [46]


@pytest.mark.parametrize(
    ("tempo", "qpm"),
    [
        ("", 120),
        (TEMPO, 60),
        ('<sound tempo="90"/>', 90),
        (
            "<direction><direction-type><metronome><beat-unit>half</beat-unit><beat-unit-dot/>"
            "<per-minute>c. 40</per-minute></metronome></direction-type></direction>",
            120,
        ),
    ],
)
def test_tempo_wherever_it_stands(tempo, qpm):
    sequence = musicxml.read(score(measure(ATTRIBUTES, tempo, note("C", 6))), ".musicxml")
    assert [t.qpm for t in sequence.tempos] == [qpm]
    assert sequence.total_time == pytest.approx(3 * 60 / qpm)


def test_later_parts_follow_the_changes_of_tempo():
    changes = measure(ATTRIBUTES, TEMPO, note("C", 6)) + measure(
        '<direction><sound tempo="120"/></direction>', note("D", 6)
    )
    steady = measure(ATTRIBUTES, note("E", 6)) + measure(note("F", 6))
    assert notes(score(changes, steady)) == [
        (0, 3, 60, 0),
        (0, 3, 64, 1),
        (3, 4.5, 62, 0),
        (3, 4.5, 65, 1),
    ]


def test_an_upbeat_adds_no_time_signature():
    sequence = musicxml.read(
        score(measure(ATTRIBUTES, note("C", 2)) + measure(note("D", 6))), ".xml"
    )
    assert [(t.numerator, t.denominator) for t in sequence.time_signatures] == [(3, 4)]
    assert [(k.key, k.mode) for k in sequence.key_signatures] == [(2, 0)]  # D major
    assert sequence.sequence_metadata.title == "A Piece"


@pytest.mark.parametrize("path", sorted(CHORALES.glob("*.mxl")), ids=lambda path: path.stem)
def test_chorales_equal_music21_s_reading(path):
    data = path.read_bytes()
    sequence = musicxml.read(data, ".mxl")
    expected = musicxml._read_with_music21(musicxml._parsed(musicxml._unzipped(data)), "")

    def summary(read):
        return sorted(
            (round(n.start_time, 3), n.pitch, round(n.end_time, 3), n.part) for n in read.notes
        )

    assert summary(sequence) == summary(expected)
    assert len(sequence.notes) > 100
    assert {n.instrument for n in sequence.notes} >= {0, 1, 2, 3}


BOMB = (
    '<!DOCTYPE score-partwise [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>'
)
PLAIN = score(measure(ATTRIBUTES, note("C", 6)))


@pytest.mark.parametrize(
    ("data", "suffix", "reason"),
    [
        (b"", ".xml", "musicxml_syntax"),
        (PLAIN[:200], ".xml", "musicxml_syntax"),
        (b"<html><body>404</body></html>", ".xml", "musicxml_unsupported"),
        (score(measure(ATTRIBUTES)), ".xml", "musicxml_no_notes"),
        (score(measure(ATTRIBUTES, note("Q", 6))), ".xml", "musicxml_unsupported"),
        (score(measure(note("C", 6)), declaration=BOMB), ".xml", "musicxml_entity"),
        (
            score(measure(note("C", 6)), declaration=BOMB)
            .decode()
            .replace('version="1.0"', 'version="1.0" encoding="UTF-16"')
            .encode("utf-16"),
            ".xml",
            "musicxml_entity",
        ),
        (PLAIN, ".mxl", "musicxml_archive"),
        (zipped({"score.txt": PLAIN}), ".mxl", "musicxml_archive"),
        (zipped({"score.xml": PLAIN})[:-30], ".mxl", "musicxml_archive"),
        (zipped({"score.xml": bytes(musicxml.MAX_BYTES + 1)}), ".mxl", "musicxml_too_large"),
    ],
)
def test_rejections_have_their_reason(data, suffix, reason):
    with pytest.raises(Rejected) as rejected:
        musicxml.read(data, suffix)
    assert rejected.value.reason == reason


METER = "<time><beats>3</beats><beat-type>4</beat-type></time>"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<fifths>2</fifths>", "<fifths>99999999</fifths>", "musicxml_syntax"),
        ("<fifths>2</fifths>", "<fifths>-13</fifths>", "musicxml_syntax"),
        ("<fifths>2</fifths>", "<fifths>NaN</fifths>", "musicxml_syntax"),
        (METER, METER.replace(">3<", ">65536<"), "musicxml_syntax"),
        (METER, METER.replace(">3<", ">-1e-300<"), "musicxml_syntax"),  # read as 300
        (METER, METER.replace(">3<", f">{'9' * 5000}<"), "musicxml_syntax"),
        ("<alter>0</alter>", "<alter>1e308</alter>", "musicxml_syntax"),
        ("<octave>4</octave>", "<octave>400</octave>", "musicxml_syntax"),
        ("<duration>6</duration>", f"<duration>{10**10}</duration>", "musicxml_syntax"),
        ("<duration>6</duration>", f"<duration>{10**8}</duration>", "musicxml_too_long"),
        ("<divisions>2</divisions>", "<divisions>0</divisions>", "musicxml_unsupported"),
        ("<measure number='1'>", "<a>" * 100 + "</a>" * 100 + "<measure>", "musicxml_too_large"),
    ],
)
def test_numbers_that_no_score_has_are_refused_at_once(old, new, reason):
    text = PLAIN.decode()
    assert old in text
    started = time.process_time()
    with pytest.raises(Rejected) as rejected:
        musicxml.read(text.replace(old, new).encode(), ".xml")
    assert rejected.value.reason == reason
    assert time.process_time() - started < 5


def test_elements_are_counted_before_any_is_kept(monkeypatch):
    monkeypatch.setattr(musicxml, "MAX_ELEMENTS", 25)
    monkeypatch.setattr(musicxml.ET, "fromstring", None)  # a call of it would be a TypeError
    with pytest.raises(Rejected, match="musicxml_too_large"):
        musicxml.read(score(measure(ATTRIBUTES, note("C", 6) * 9)), ".xml")


def test_what_note_seq_refuses_goes_to_music21_only_if_it_is_small(monkeypatch):
    tempos = '<direction><sound tempo="90"/></direction>'
    parts = [measure(ATTRIBUTES, TEMPO, note("C", 6)) + measure(tempos, note("D", 6))] * 2
    assert len(notes(score(*parts))) == 4
    monkeypatch.setattr(musicxml, "MAX_MUSIC21_NOTES", 3)
    with pytest.raises(Rejected, match="musicxml_too_large"):
        musicxml.read(score(*parts), ".xml")


def test_ties_are_counted_before_music21_merges_them(monkeypatch):
    tempos = '<direction><sound tempo="90"/></direction>'
    tied = note("C", 3, inside='<tie type="start"/>') + note("C", 3)
    parts = [measure(ATTRIBUTES, TEMPO, tied) + measure(tempos, note("D", 6))] * 2
    assert len(notes(score(*parts))) == 4
    monkeypatch.setattr(musicxml._score, "MAX_TIES_TIMES_NOTES", 2)
    with pytest.raises(Rejected, match="musicxml_too_long"):
        musicxml.read(score(*parts), ".xml")


def test_external_entities_are_refused():
    declaration = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    with pytest.raises(Rejected, match="musicxml_entity"):
        musicxml.read(score(measure(note("C", 6)), declaration=declaration), ".xml")


def test_a_published_doctype_is_no_entity():
    declaration = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 1.1" "partwise.dtd">'
    data = score(measure(ATTRIBUTES, note("C", 6)), declaration=declaration)
    assert len(musicxml.read(data, ".xml").notes) == 1


@pytest.mark.parametrize("suffix", [".mxl", ".xml"])
def test_mutations_are_read_or_rejected(suffix):
    rng = np.random.default_rng([23, len(suffix)])
    four_bars = measure(ATTRIBUTES, TEMPO, note("C", 2), note("D", 4)) * 4
    whole = score(four_bars, four_bars)
    whole = zipped({"score.xml": whole}) if suffix == ".mxl" else whole
    for index in range(200):
        mutated = bytearray(whole)
        for position in rng.integers(0, len(whole), rng.integers(1, 4)):
            # Half of the XML mutations are digits and letters, so that some stay well-formed.
            mutated[position] = rng.integers(0, 256) if index % 2 else rng.choice(list(b"0129AZ"))
        with contextlib.suppress(Rejected):
            assert musicxml.read(bytes(mutated), suffix).notes


KERN = (
    "**kern\t**kern\n*M3/4\t*M3/4\n*MM60\t*MM60\n=1\t=1\n4C\t4e\n4D\t8f\n.\t8g\n[4E\t4r\n"
    "=2\t=2\n2E]\t2.cc\n4GG\t.\n==\t==\n*-\t*-\n"
)


def test_kern_is_read():
    sequence = kern.read(KERN.encode())
    found = [(n.start_time, n.end_time, n.pitch) for n in sequence.notes]
    assert sorted(found) == [
        (0, 1, 48),
        (0, 1, 64),
        (1, 1.5, 65),
        (1, 2, 50),
        (1.5, 2, 67),
        (2, 5, 52),
        (3, 6, 72),
        (5, 6, 43),
    ]
    assert [(t.numerator, t.denominator) for t in sequence.time_signatures] == [(3, 4)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "kern_syntax"),
        (b"**kern\n*-\n", "kern_no_notes"),
        (b"**kern\n" + bytes(kern.MAX_BYTES), "kern_too_long"),
        (b"**kern\n" + b"4c\n" * kern.MAX_TOKENS, "kern_too_long"),
        (b"**kern\n" + b"[4c\n4c]\n" * 2000, "kern_too_long"),
        (b"**kern\n" + b"*MM60\n4c\n" * 2000, "kern_too_long"),
        (KERN.replace("*M3/4", "*M65536/4").encode(), "kern_syntax"),
        (KERN.replace("*M3/4", "*M3/4096").encode(), "kern_syntax"),
    ],
)
def test_kern_rejections_have_their_reason(data, reason):
    with pytest.raises(Rejected) as rejected:
        kern.read(data)
    assert rejected.value.reason == reason


def test_kern_mutations_are_read_or_rejected():
    rng = np.random.default_rng(24)
    for _ in range(200):
        mutated = bytearray(KERN.encode())
        for position in rng.integers(0, len(mutated), rng.integers(1, 5)):
            mutated[position] = rng.integers(0, 256)
        with contextlib.suppress(Rejected):
            assert kern.read(bytes(mutated)).notes
