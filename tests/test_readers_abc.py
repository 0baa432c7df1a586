"""The ABC reader against hand-computed tunes, and its two parsers against each other."""

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import Rejected
from pipeline.readers import abc

TUNES = Path(__file__).parent.parent / "data" / "folder" / "tunes"
HEADER = "X:1\nT:A Tune\nM:2/4\nL:1/8\nQ:1/4=60\nK:C\n"  # an eighth lasts half a second


def notes(music: str, header: str = HEADER) -> list[tuple[float, float, int]]:
    sequence = abc.read(header + music + "\n")
    return [
        (round(n.start_time, 4), round(n.end_time - n.start_time, 4), n.pitch)
        for n in sequence.notes
    ]


def pitches(music: str, header: str = HEADER) -> list[int]:
    return [pitch for _, _, pitch in notes(music, header)]


@pytest.mark.parametrize(
    ("music", "expected"),
    [
        ("C2 D2|", [(0, 1, 60), (1, 1, 62)]),
        ("C2z2|z4|D2z2|", [(0, 1, 60), (4, 1, 62)]),
        ("(3CDE F2|", [(0, 0.3333, 60), (0.3333, 0.3333, 62), (0.6667, 0.3333, 64), (1, 1, 65)]),
        ("(3::2C2D z2|", [(0, 0.6667, 60), (0.6667, 0.3333, 62)]),
        ("{a}G2 {cd}E2|", [(0, 1, 67), (1, 1, 64)]),
        ("A>B c<d|", [(0, 0.75, 69), (0.75, 0.25, 71), (1, 0.25, 72), (1.25, 0.75, 74)]),
        ("A>>B c2|", [(0, 0.875, 69), (0.875, 0.125, 71), (1, 1, 72)]),
        ("A>.B c>~d|", [(0, 0.75, 69), (0.75, 0.25, 71), (1, 0.75, 72), (1.75, 0.25, 74)]),
        ("z2(A>)B|", [(1, 0.75, 69), (1.75, 0.25, 71)]),
        ("C2-C2|D4-|D4|", [(0, 2, 60), (2, 4, 62)]),
        ("[CEG]2 z2|", [(0, 1, 60), (0, 1, 64), (0, 1, 67)]),
        ('"Am"A2 "^slow"z2|', [(0, 1, 69)]),
        ("C3/2D/ E/F//z|", [(0, 0.75, 60), (0.75, 0.25, 62), (1, 0.25, 64), (1.25, 0.125, 65)]),
        ("C2 [Q:1/4=120] D2|E4|", [(0, 1, 60), (1, 0.5, 62), (1.5, 1, 64)]),
        ("V:1\nC4|D4|\nV:2\nE4|F4|", [(0, 2, 60), (0, 2, 64), (2, 2, 62), (2, 2, 65)]),
    ],
)
def test_hand_computed_tunes(music, expected):
    assert notes(music) == expected


@pytest.mark.parametrize(
    ("music", "expected"),
    [
        ("|:C4|z4:|D4|", [60, 60, 62]),
        ("C4|D4:|E4|F4:|", [60, 62, 60, 62, 64, 65, 64, 65]),
        ("|:z2C2|1D4:|2E4|]", [60, 62, 60, 64]),
        ("|:C4|1D4|E4:|2F4|G4||A4|B4:|", [60, 62, 64, 60, 65, 67, 69, 71, 69, 71]),
        ("C4|[1D4:|[2z4||E4:|", [60, 62, 60, 64, 64]),
        ("z4|:C4::D4:|", [60, 60, 62, 62]),
        ("z4|C4|\n::D4:|", [60, 60, 62, 62]),
        ("|:z4|A2B2A:|", [69, 71, 69, 69, 71, 69]),
    ],
)
def test_repeats_are_played(music, expected):
    assert pitches(music) == expected


def test_second_time_through_starts_after_the_rest_that_ends_the_repeat():
    assert [start for start, _, _ in notes("|:C2z2|z4:|E4|")] == [0, 4, 8]


@pytest.mark.parametrize("rest", ["", "z"])  # without a rest note-seq reads, with one music21
def test_accidentals_hold_until_the_bar_line_in_every_octave(rest):
    header = HEADER.replace("K:C", "K:D")  # F and C sharp
    assert pitches(f"=FGF{rest}|Ff^F|_Bb|{rest}|", header) == [65, 67, 65, 66, 78, 66, 70, 82]


def test_signatures_tempo_and_title():
    for music in ("C4|D4|", "C4|z4|D4|"):
        sequence = abc.read("X:1\nT:Two\nM:C|\nL:1/4\nQ:1/4=90\nK:Edor\n" + music)
        assert sequence.sequence_metadata.title == "Two"
        assert [(t.numerator, t.denominator) for t in sequence.time_signatures] == [(2, 2)]
        assert [round(t.qpm, 6) for t in sequence.tempos] == [90]
        (key,) = sequence.key_signatures
        assert (key.key, key.mode) == (4, key.DORIAN)
        assert sequence.notes[0].end_time == pytest.approx(4 * 60 / 90)


@pytest.mark.parametrize(("meter", "seconds"), [("2/4", 0.125), ("6/8", 0.25), ("none", 0.25)])
@pytest.mark.parametrize("rest", ["", "z"])
def test_unit_note_length_follows_from_the_meter(meter, seconds, rest):
    sequence = abc.read(f"X:1\nM:{meter}\nK:C\nC{rest}|D|")
    assert sequence.notes[0].end_time == pytest.approx(seconds)
    assert sequence.tempos[0].qpm == 120
    assert len(sequence.time_signatures) == (meter != "none")


def test_both_parsers_agree_on_what_note_seq_reads():
    tunes = [t for p in sorted(TUNES.glob("*.abc")) for t in abc.split_tunebook(p.read_text())]
    num_compared = 0
    for tune in tunes:
        try:
            expected = abc._read_with_note_seq(tune, abc._NOT_MUSIC.sub("", tune))
        except Exception:  # what note-seq refuses has no second opinion
            continue
        actual = abc._read_with_music21(tune, "")
        assert [(n.pitch, n.velocity) for n in actual.notes] == [
            (n.pitch, n.velocity) for n in expected.notes
        ], abc.title(tune)
        for field in ("start_time", "end_time"):
            np.testing.assert_allclose(
                [getattr(n, field) for n in actual.notes],
                [getattr(n, field) for n in expected.notes],
                atol=1e-9,
            )
        num_compared += 1
    assert num_compared >= 15


def test_every_committed_tune_is_read():
    for path in sorted(TUNES.glob("*.abc")):
        for tune in abc.split_tunebook(path.read_text()):
            sequence = abc.read(tune)
            assert len(sequence.notes) > 20, abc.title(tune)
            assert all(n.end_time > n.start_time for n in sequence.notes)


def test_split_tunebook_carries_the_file_header_but_no_free_text():
    book = (
        "\ufeff%abc-2.1\nL:1/4\nC:Trad.\nT:The Book\n\nWords before the tunes.\n\n"
        "X:1\nT:One\nK:C\nCD|\n\nWords between them.\n\nX:7\nT:Two\nL:1/8\nK:D\n\nEF|\nGA|\n\nEnd."
    )
    one, two = abc.split_tunebook(book)
    assert one == "X:1\nL:1/4\nC:Trad.\nT:One\nK:C\nCD|\n"
    assert two == "X:7\nC:Trad.\nT:Two\nL:1/8\nK:D\nEF|\nGA|\n"
    assert [abc.title(one), abc.title("K:C\nC")] == ["One", ""]
    assert abc.split_tunebook("K:C\nCDE|\n") == ["K:C\nCDE|\n"]
    assert abc.split_tunebook("A letter, not a tune.") == []


def test_decode_takes_utf_8_and_latin_1():
    assert abc.decode("T:Été".encode()) == abc.decode("T:Été".encode("latin-1")) == "T:Été"
    assert abc.decode(b"\xef\xbb\xbfX:1") == "X:1"


@pytest.mark.parametrize(
    ("tune", "reason"),
    [
        (HEADER + "z4|z4|\n", "abc_no_notes"),
        ("", "abc_no_notes"),
        (HEADER + "C99999|D|\n", "abc_syntax"),
        (HEADER + "C" * abc.MAX_CHARACTERS, "abc_too_long"),
        (HEADER.replace("2/4", "2/0") + "C2|\n", "abc_syntax"),
        (HEADER + "z [CE D2|\n", "abc_syntax"),
        (HEADER + "(0ABC|D2|\n", "abc_unsupported"),
    ],
)
def test_rejections_have_their_reason(tune, reason):
    with pytest.raises(Rejected) as rejected:
        abc.read(tune)
    assert rejected.value.reason == reason


HOSTILE = {  # what a backtracking pattern, or a parser that counts, would take minutes for
    "spaces_in_a_title": (HEADER.replace("A Tune", "A" + " " * 19_000 + "B") + "C|", None),
    "empty_lines": (HEADER + "\n" * 19_000 + "C|", None),
    "inline_fields_without_end": (HEADER + "[A:" * 6000, "abc_too_long"),
    "quotes": (HEADER + '"' * 19_000, "abc_no_notes"),
    "bar_lines": (HEADER + "|" * 19_000 + "C|", None),
    "colons": (HEADER + "CDEF" + ":" * 19_000 + "|", "abc_too_long"),
    "repeats": (HEADER + "|:C:|" * 3800, "abc_too_long"),
    "repeats_in_the_limit": (HEADER + "|:C:|" * 240, None),
    "ties": (HEADER + "C-C" * 6000, "abc_too_long"),
    "ties_in_the_limit": (HEADER + "C-C" * 400, None),
    "bars": (HEADER + "{d}c3z|" * 2500, "abc_too_long"),
    "bars_in_the_limit": (HEADER + "{d}c3z|" * 499, None),
    "a_bar_to_be_divided": (HEADER + "[M:3/4]" + "z999" * 9 + "|C4|", "abc_too_long"),
    "not_ascii": (HEADER + "C2\xff|C2z|", "abc_syntax"),
    "long_meter": (HEADER.replace("2/4", "65536/8") + "Cz|", "abc_syntax"),
    "long_added_meter": (HEADER.replace("2/4", "(3+99)/8") + "Cz|", "abc_syntax"),
    "long_inline_meter": (HEADER + "Cz|[M:512/1]Cz|", "abc_syntax"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tunes_take_no_longer_than_others(name):
    text, reason = HOSTILE[name]
    abc.read(HEADER + "Cz|C2|")  # imports
    started = time.process_time()
    (tune,) = abc.split_tunebook(text)
    abc.title(tune)
    if reason is None:
        assert abc.read(tune).notes
    else:
        with pytest.raises(Rejected, match=reason):
            abc.read(tune)
    assert time.process_time() - started < 5


def test_a_title_keeps_its_inner_spaces_and_loses_the_outer():
    assert abc.title("X:1\nT: \tThe  Tune \t\nT:Other\nK:C\n") == "The  Tune"


def test_a_year_in_a_title_is_no_meter():
    assert abc.read(HEADER.replace("A Tune", "M: 1999, M:2000") + "C2|").notes


def test_mutations_are_read_or_rejected():
    rng = np.random.default_rng([20, 1])
    book = (TUNES / "ryan_jigs.abc").read_bytes()[:900]
    for _ in range(200):
        mutated = bytearray(book)
        for position in rng.integers(0, len(mutated), rng.integers(1, 12)):
            mutated[position] = rng.integers(0, 256)
        for tune in abc.split_tunebook(abc.decode(bytes(mutated[: rng.integers(200, 900)]))):
            with contextlib.suppress(Rejected):
                assert abc.read(tune).notes


def test_random_bytes_are_no_tunes():
    rng = np.random.default_rng([20, 2])
    for _ in range(50):
        for tune in abc.split_tunebook("X:1\nK:C\n" + abc.decode(rng.bytes(300))):
            with contextlib.suppress(Rejected):
                assert abc.read(tune).notes
