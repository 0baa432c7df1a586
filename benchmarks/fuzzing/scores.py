"""Scores to damage, and their readers: MIDI, MusicXML, ABC and kern."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import Rejected


def midi_seeds() -> list[bytes]:
    from tests.test_readers_midi import CASES, random_file

    return [*CASES.values(), *(random_file(seed, max_events=60) for seed in range(20))]


def read_midi(data: bytes, _: Path) -> None:
    from pipeline.readers import midi

    serialized, repairs = midi.read_serialized_with_repairs(data)
    assert serialized
    assert set(repairs) <= set(midi.REPAIRS)


def compare_with_note_seq(data: bytes, _: Path) -> None:
    """What note_seq reads must be read alike; what it refuses, rejected or said to be repaired."""
    import note_seq
    import pretty_midi

    from pipeline.readers import midi
    from tests.test_readers_midi import is_too_long, oracle

    assert note_seq
    # pretty_midi makes an array over all ticks: gigabytes, where a delta time is damaged.
    pretty_midi.pretty_midi.MAX_TICK = 1e6
    expected = oracle(data)
    try:
        actual, repairs = midi.read_serialized_with_repairs(data)
    except Rejected as rejected:
        is_negative = int.from_bytes(data[12:14], "big") >= 0x8000  # an SMPTE division, misread
        is_exempt = rejected.reason == "too_large" or is_negative
        if isinstance(expected, str) or is_exempt or is_too_long(expected, rejected.reason):
            raise
        raise AssertionError(f"note_seq reads it; {rejected}") from None
    if isinstance(expected, bytes):
        assert "smpte_division" in repairs or (actual == expected and not repairs)
    else:
        assert repairs or "largest tick" in expected, expected


def xml_seeds() -> list[bytes]:
    from tests import test_readers_musicxml as t

    rest = "<note><rest/><duration>2</duration></note>"
    chord = t.note("E", 2).replace("<note>", "<note><chord/>")
    change = "<direction><sound tempo='90'/></direction>"
    back = "<backup><duration>6</duration></backup><forward><duration>2</duration></forward>"
    transposed = t.ATTRIBUTES.replace(
        "</attributes>", "<transpose><chromatic>-2</chromatic></transpose></attributes>"
    )
    tuplet = "<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes>"
    triplet = t.note("G", 2, inside=f"<type>quarter</type>{tuplet}</time-modification>")
    ties = t.note("D", 2, inside='<tie type="start"/>') + t.note(
        "D", 2, inside='<tie type="stop"/>'
    )
    first = t.measure(t.ATTRIBUTES, t.TEMPO, t.note("C", 2), chord, rest, t.note("F", 2, alter=1))
    second = t.measure(change, t.note("A", 6), back, t.note("C", 4), '<barline location="right">'
                       '<repeat direction="backward"/></barline>')  # fmt: skip
    third = t.measure(transposed, triplet, ties, "<note><grace/><pitch><step>B</step><octave>5"
                      "</octave></pitch></note>")  # fmt: skip
    return [t.score(first), t.score(first + second), t.score(first + second, third + second)]


def read_xml(data: bytes, _: Path) -> None:
    from pipeline.readers import musicxml

    assert musicxml.read(data, ".xml").notes


def read_mxl(data: bytes, _: Path) -> None:
    from pipeline.readers import musicxml

    assert musicxml.read(data, ".mxl").notes


def abc_seeds() -> list[bytes]:
    head = "X:1\nT:A Tune\nM:6/8\nL:1/8\nQ:1/4=60\nK:Ador\n"
    tunes = (
        "|:A2B c>d e|^f2g a2z|1 (3bag f2e:|2 {d}c3 B3||",
        "[CEG]2 z2|C2-C2|D/E/F//G3/2|[K:D]A>>B c<d|[1 A4:|[2 B4|]",
        '"Am"A2 !trill!B2|~c2 (de) f2|[Q:1/4=90] g2 [M:3/4]a2 b2|w: la la',
        "V:1\nC4|D4|\nV:2\nE4|z4|",
    )
    return [f"{head}{tune}\n\nX:2\n{head[4:]}{tune}\n".encode() for tune in tunes]


def read_abc(data: bytes, _: Path) -> None:
    from pipeline.readers import abc

    rejected = []
    for tune in abc.split_tunebook(abc.decode(data))[:3]:
        abc.title(tune)
        try:
            assert abc.read(tune).notes
        except Rejected as error:
            rejected.append(error)
    if rejected:
        raise rejected[0]


def kern_seeds() -> list[bytes]:
    from tests.test_readers_musicxml import KERN

    split = "**kern\n*k[f#]\n*M4/4\n4c\n*^\n4d\t4e\n8f 8a\t4g\n*v\t*v\n(4c#)\n==\n*-\n"
    return [KERN.encode(), split.encode(), KERN.replace("4C", "12C").encode()]


def read_kern(data: bytes, _: Path) -> None:
    from pipeline.readers import kern

    assert kern.read(data).notes
