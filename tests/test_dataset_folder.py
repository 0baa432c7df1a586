"""The folder dataset on the files that stand in data/folder."""

import collections
import doctest
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import archives
from pipeline.datasets import folder
from pipeline.datasets.base import Entry
from pipeline.errors import Rejected

FILES = Path(__file__).parent.parent / "data" / "folder"
DATASET = folder.DATASET
TUNE = "X:1\nT:{}\nL:1/4\nK:C\nCDEF|\n"


def packed(raw: Path, members: dict[str, bytes]) -> Path:
    raw.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(raw / "folder.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return raw


def catalogued(raw: Path):
    items = list(DATASET.catalogue(raw, DATASET.Options()))
    entries = {item.key: item for item in items if isinstance(item, Entry)}
    rejected = {item[0]: item[1].reason for item in items if not isinstance(item, Entry)}
    keys = [item.key if isinstance(item, Entry) else item[0] for item in items]
    assert keys == sorted(set(keys))
    return entries, rejected


def loaded(raw: Path, entry: Entry):
    return DATASET.load(entry, dict(archives.read(raw, entry.members)))


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    paths = (path for path in FILES.rglob("*") if path.is_file())
    members = {path.relative_to(FILES).as_posix(): path.read_bytes() for path in paths}
    return packed(tmp_path_factory.mktemp("raw"), members)


def test_committed_files_are_read_but_for_the_two_bad_ones(raw):
    entries, rejected = catalogued(raw)
    assert rejected == {"README.md": "not_music"}
    outcomes = collections.Counter()
    for entry in entries.values():
        try:
            example = loaded(raw, entry)
        except Rejected as error:
            outcomes[entry.key, error.reason] += 1
            continue
        assert example.key == entry.key
        outcomes["notes" if example.note_sequence is not None else "sound"] += 1
    assert outcomes == {
        "notes": 70,
        "sound": 2,
        ("midi/not_found.mid", "not_midi"): 1,
        ("midi/truncated.mid", "truncated_midi"): 1,
    }


def test_committed_files_are_small_and_name_no_place():
    paths = [path for path in FILES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < 400_000
    for path in paths:
        data = path.read_bytes()
        if path.suffix == ".mxl":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                data = b"".join(archive.read(name) for name in archive.namelist())
        assert not any(place in data for place in (b"/home/", b"/Users/", b"/work/", b"/tmp/"))


def test_a_tune_of_a_book_keeps_its_title_and_its_music(raw):
    entries, _ = catalogued(raw)
    entry = entries["tunes/ryan_reels.abc#1"]
    assert entry.members == ("folder.zip!tunes/ryan_reels.abc",)
    assert entry.attributes == {"tune": 1, "title": "After the Hare -- Reel"}
    assert entry.group == "after the hare reel"
    example = loaded(raw, entry)
    assert example.note_sequence.sequence_metadata.title == "After the Hare -- Reel"
    assert [n.pitch for n in example.note_sequence.notes][:4] == [64, 69, 73, 69]  # E A c A


def test_sound_is_mono_at_the_rate_of_its_file(raw):
    entries, _ = catalogued(raw)
    example = loaded(raw, entries["sound/d_major_arpeggio_stereo.flac"])
    expected, sample_rate = soundfile.read(FILES / "sound" / "d_major_arpeggio_stereo.flac")
    assert example.sample_rate == sample_rate == 22_050
    np.testing.assert_allclose(example.audio, expected.mean(axis=1), atol=1e-6)


def test_midi_keeps_what_was_rendered_from(raw):
    entries, _ = catalogued(raw)
    score = loaded(raw, entries["chorales/bwv66.6.mxl"]).note_sequence
    midi = loaded(raw, entries["midi/bwv66_6_winds.mid"]).note_sequence
    assert sorted(n.pitch for n in midi.notes) == sorted(n.pitch for n in score.notes)
    assert {n.program for n in midi.notes} == {70, 71, 73}


def test_suffixes_in_capitals_and_files_that_are_none_of_ours(tmp_path):
    book = TUNE.format("One").encode()
    members = {
        "A/TUNE.ABC": book,
        "A/._TUNE.ABC": b"\x00\x05\x16\x07",
        "__MACOSX/A/TUNE.ABC": book,
        ".hidden/tune.abc": book,
        "empty.abc": b"",
        "letter.docx": b"",
        "noext": b"",
        "song.MID": (FILES / "midi" / "acacia_reel.mid").read_bytes(),
        "song.kar": (FILES / "midi" / "acacia_reel.mid").read_bytes(),
    }
    entries, rejected = catalogued(packed(tmp_path, members))
    assert sorted(entries) == ["A/TUNE.ABC#1", "song.MID", "song.kar"]
    assert rejected == {
        "A/._TUNE.ABC": "not_music",
        "__MACOSX/A/TUNE.ABC": "not_music",
        ".hidden/tune.abc": "not_music",
        "empty.abc": "abc_no_tunes",
        "letter.docx": "unknown_suffix",
        "noext": "unknown_suffix",
    }
    for entry in entries.values():
        assert loaded(tmp_path, entry).note_sequence.notes


def test_keys_are_in_order_and_point_at_their_tune(tmp_path):
    book = "\n".join(TUNE.format(f"Tune {i}").replace("CDEF", f"C{i}") for i in range(1, 13))
    entries, _ = catalogued(packed(tmp_path, {"b.abc": book.encode(), "b.abc .mid": b""}))
    for index in range(1, 13):
        entry = entries[f"b.abc#{index}"]
        assert entry.attributes == {"tune": index, "title": f"Tune {index}"}
        assert loaded(tmp_path, entry).note_sequence.total_time == pytest.approx(index * 0.5)


def test_versions_of_a_piece_share_their_group(tmp_path):
    members = {
        "a.abc": TUNE.format("The Acrobat's -- Hornpipe").encode(),
        "b.abc": TUNE.format("The acrobats hornpipe (2)").encode(),
        "untitled.abc": TUNE.format("").encode() * 2,
        "x/The_Acrobats_Hornpipe_v3.mid": b"",
        "x/Other.mid": b"",
    }
    entries, _ = catalogued(packed(tmp_path, members))
    groups = {key: entry.group for key, entry in entries.items()}
    assert groups == {
        "a.abc#1": "the acrobats hornpipe",
        "b.abc#1": "the acrobats hornpipe",
        "untitled.abc#1": "untitled 1",
        "untitled.abc#2": "untitled 2",
        "x/The_Acrobats_Hornpipe_v3.mid": "the acrobats hornpipe",
        "x/Other.mid": "other",
    }


def test_zips_in_the_folder_are_read_in_place(tmp_path):
    tune = TUNE.format("In a zip").encode()
    midi = (FILES / "midi" / "acacia_reel.mid").read_bytes()
    inner = io.BytesIO()
    held = {"a/My Song (2).MID": midi, "b.abc": tune, "c.mid": midi, ".x/d.mid": midi, "e.doc": b""}
    with zipfile.ZipFile(inner, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    entries, rejected = catalogued(packed(tmp_path, {"Songs.ZIP": inner.getvalue()}))
    assert {key: entry.group for key, entry in entries.items()} == {
        "Songs.ZIP!a/My Song (2).MID": "my song",
        "Songs.ZIP!b.abc#1": "in a zip",
        "Songs.ZIP!c.mid": "c",
    }
    assert rejected == {"Songs.ZIP!.x/d.mid": "not_music", "Songs.ZIP!e.doc": "unknown_suffix"}
    for entry in entries.values():
        assert loaded(tmp_path, entry).note_sequence.notes


def test_an_exclamation_mark_in_a_title_is_no_zip(tmp_path):
    midi = (FILES / "midi" / "acacia_reel.mid").read_bytes()
    entries, rejected = catalogued(packed(tmp_path, {"Help!.mid": midi, "x!/Hey! Jude.mid": midi}))
    assert not rejected
    assert [entry.group for entry in entries.values()] == ["help", "hey jude"]
    for entry in entries.values():
        assert loaded(tmp_path, entry).note_sequence.notes


def test_documents_are_not_music_and_said_to_be_documents(tmp_path):
    names = ["README", "x/LICENSE", "LICENCE.txt", "notes.md", "about.html", "Copying", "a.pdf"]
    entries, rejected = catalogued(packed(tmp_path, dict.fromkeys([*names, "readmes.bin"], b"")))
    assert not entries
    assert rejected == {**dict.fromkeys(names, "not_music"), "readmes.bin": "unknown_suffix"}
    items = dict(i for i in DATASET.catalogue(tmp_path, DATASET.Options()) if isinstance(i, tuple))
    assert "document" in items["README"].detail


def test_a_damaged_book_is_counted(tmp_path):
    book = TUNE.format("Whole").encode()
    raw = packed(tmp_path, {"a.abc": book, "b.abc": book.replace(b"Whole", b"Other")})
    archive = raw / "folder.zip"
    archive.write_bytes(archive.read_bytes().replace(b"Other", b"OTHER"))
    entries, rejected = catalogued(raw)
    assert list(entries) == ["a.abc#1"]
    assert rejected == {"b.abc": "damaged_member"}


def test_examples_in_docstrings_hold():
    assert doctest.testmod(folder).failed == 0


def test_declaration():
    assert DATASET.name == "folder"
    assert DATASET.sources(DATASET.Options()) == ()
