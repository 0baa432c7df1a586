"""GTZAN and its miniature: layout, the fault-filtered split, and faults counted by their reason."""

import hashlib
import io
import re
import tarfile
from collections import Counter

import numpy as np
import pytest
import soundfile

from pipeline import archives
from pipeline.datasets import _gtzan_split
from pipeline.datasets import gtzan as dataset
from pipeline.datasets.gtzan import DATASET, GtzanOptions
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.miniatures import _archives, _genre_clip, gtzan
from pipeline.miniatures._styled_clip import GENRES as COVER_STYLES
from pipeline.miniatures._styled_clip import composed
from tests import catalogues

OPTIONS = GtzanOptions(min_seconds=5, split="fault_filtered", miniature_size=60)
NAMES = {
    "train": "82df3d4426e1dc8a15f1dece2ed0d89ce240ecbd9818b6f947488a9f5d581c85",
    "validation": "049e4ab67938aa22901cf0c611958fce0b9b9ff14362f658036bde470a37f71d",
    "test": "54cd6cf4ad283da2fba4c6ab3f4733374983708eeef9ee209d7670a575d8d988",
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("gtzan")
    gtzan.build(out, OPTIONS, seed=1)
    return out


@pytest.fixture(scope="module")
def members(raw):
    with tarfile.open(raw / "genres.tar.gz") as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def changed(**values):
    return GtzanOptions(**{**OPTIONS.model_dump(), **values})


def catalogued(raw, options=OPTIONS):
    return catalogues.catalogued(DATASET, raw, options)


def published(raw, members):
    _archives.write_tar_gz(raw / "genres.tar.gz", members)
    return raw


def test_the_split_is_that_of_the_published_lists():
    """The hashes are of torchaudio's lists: names in order, a line each."""
    splits = _gtzan_split.fault_filtered()
    assert Counter(splits.values()) == {"train": 443, "validation": 197, "test": 290}
    for split, sha256 in NAMES.items():
        names = "\n".join(sorted(name for name, own in splits.items() if own == split))
        assert hashlib.sha256(names.encode()).hexdigest() == sha256
    assert {name.partition(".")[0] for name in splits} == set(dataset.GENRES)


def test_archive_is_that_of_the_sources_and_its_members_are_named_as_published(raw, members):
    (source,) = DATASET.sources(OPTIONS)
    assert [f.name for f in raw.iterdir()] == [source.file]
    assert source.urls[0].startswith("http://opihi.cs.uvic.ca/")
    assert (source.num_bytes, len(source.checksum)) == (1_225_571_541, 71)
    clips = set(members) - {gtzan.APPLE_DOUBLE}
    assert len(clips) == OPTIONS.miniature_size
    assert all(re.fullmatch(r"genres/([a-z]+)/\1\.000\d\d\.wav", name) for name in clips)
    genres = Counter(name.split("/")[1] for name in clips)
    assert genres == dict.fromkeys(dataset.GENRES, OPTIONS.miniature_size // 10)


@pytest.mark.parametrize("size", [30, 37, 240, 1000])
def test_names_are_spread_over_the_splits_in_the_published_shares(size):
    names = [f"{genre}.{number:05d}" for genre, number in gtzan._names(size)]
    assert len(set(names)) == size
    assert {gtzan.CUT_OFF, gtzan.LEFT_OUT} <= {*names}
    splits = _gtzan_split.fault_filtered()
    shares = Counter(splits.get(name, "left out") for name in names)
    expected = {"train": 0.443, "validation": 0.197, "test": 0.29, "left out": 0.07}
    for split, share in expected.items():
        assert shares[split] / size == pytest.approx(share, abs=0.12 if size < 100 else 0.03)
        assert shares[split] > 0


def test_catalogue_has_published_splits_and_counts_what_is_left_out(raw, members):
    entries, rejected = catalogued(raw)
    splits = _gtzan_split.fault_filtered()
    assert {key: entry.split for key, entry in entries.items()}.items() <= splits.items()
    assert {entry.split for entry in entries.values()} == {"train", "validation", "test"}
    names = {name.split("/")[2].removesuffix(".wav") for name in members} - {"._blues.00000"}
    assert entries.keys() == names & splits.keys()
    expected = dict.fromkeys(names - splits.keys(), "not_in_fault_filtered_split")
    assert rejected == {**expected, gtzan.APPLE_DOUBLE: "apple_double"}
    assert len(expected) > 0
    assert all(entry.group == key for key, entry in entries.items())
    assert all(e.attributes["genre"] == key.partition(".")[0] for key, e in entries.items())


def test_without_that_split_all_clips_are_taken(raw):
    entries, rejected = catalogued(raw, changed(split="by_shares"))
    assert len(entries) == OPTIONS.miniature_size
    assert {entry.split for entry in entries.values()} == {None}
    assert set(rejected.values()) == {"apple_double"}


def test_all_clips_but_the_one_cut_off_are_read(raw):
    entries, _ = catalogued(raw, changed(split="by_shares"))
    faults = {}
    for key, entry in entries.items():
        try:
            example = DATASET.load(entry, dict(archives.read(raw, entry.members)))
        except Rejected as rejected:
            faults[key] = rejected.reason
            continue
        assert (example.sample_rate, example.audio.shape) == (22_050, (132_300,))
        assert dict(example.attributes) == {"genre": key.partition(".")[0]}
        assert 0.01 < np.abs(example.audio).max() <= 1
    assert faults == {gtzan.CUT_OFF: "undecodable_audio"}


@pytest.mark.parametrize(
    ("num_seconds", "least", "reason"),
    [(6, 6, ""), (5.9, 6, "short_audio"), (0.5, 0, ""), (None, 0, "empty_file")],
)
def test_short_clips_are_counted(num_seconds, least, reason, tmp_path):
    wav = b""
    if num_seconds:
        audio = np.full(round(num_seconds * 22_050), 0.1)
        wav = _genre_clip.sound_file(audio, 22_050, "WAV")
    raw = published(tmp_path, {"genres/jazz/jazz.00001.wav": wav})
    (entry,) = catalogued(raw, changed(min_seconds=least))[0].values()
    found = ""
    try:
        DATASET.load(entry, dict(archives.read(raw, entry.members)))
    except Rejected as rejected:
        found = rejected.reason
    assert found == reason


def test_other_files_are_counted_by_their_names(tmp_path):
    members = [
        "genres/jazz/jazz.00001.wav", "genres/jazz/blues.00001.wav", "genres/jazz/jazz.1.wav",
        "genres/polka/polka.00001.wav", "genres/bextract_single.mf", "genres/jazz/._x", "._genres",
    ]  # fmt: skip
    entries, rejected = catalogued(published(tmp_path, dict.fromkeys(members, b"")))
    assert list(entries) == ["jazz.00001"]
    apple = {"genres/jazz/._x": "apple_double", "._genres": "apple_double"}
    others = dict.fromkeys([members[1], members[2], members[4]], "unexpected_file")
    assert rejected == apple | others | {"polka.00001": "unexpected_file"}


def test_an_archive_without_clips_stops_with_a_remedy(tmp_path):
    raw = published(tmp_path, {"genres/README": b""})
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)):
        catalogued(raw)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"split": "random"}, "'fault_filtered' or 'by_shares'"), ({"min_seconds": -1}, "min_seconds"),
     ({"miniature_size": 29}, "miniature_size")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        changed(**values)


def test_two_builds_are_equal_to_the_byte_and_another_seed_is_other_music(raw, members, tmp_path):
    small = changed(miniature_size=30)
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / folder).mkdir()
        gtzan.build(tmp_path / folder, small, seed)
    a, b, c = ((tmp_path / folder / "genres.tar.gz").read_bytes() for folder in "abc")
    assert a == b
    assert a != c
    assert "miniature" in gtzan.NOTICE


def test_styles_overlap_and_yet_differ():
    """One clip in four borrows; key and gain say nothing; the genre's own tempo is kept."""
    genres = gtzan.GENRES
    pieces = [_genre_clip.drawn(g, genres, [1, i]) for g in genres for i in range(100)]
    styles = _genre_clip.STYLES
    borrowed = [p for p in pieces if p.style != styles[p.genre]]
    assert 0.18 < len(borrowed) / len(pieces) < 0.32
    for piece in borrowed:
        lender = styles[genres[(genres.index(piece.genre) + 1) % len(genres)]]
        assert piece.style[:3] == lender[:3]
        assert piece.style[3:] == styles[piece.genre][3:]
    assert all(p.style.tempo[0] <= p.tempo <= p.style.tempo[1] for p in pieces)
    assert {p.key for p in pieces} == set(range(12))
    for genre in genres:
        tempo = styles[genre].tempo
        others = [styles[g].tempo for g in genres if g != genre]
        assert any(low <= tempo[1] and tempo[0] <= high for low, high in others)


def test_a_clip_is_its_notes():
    """A bass note is where and as high as it was composed; a clip of other gain is its multiple."""
    piece = _genre_clip.drawn("classical", gtzan.GENRES, [3])._replace(gain=1.0)
    loud = _genre_clip.sounded(piece, [4])
    assert (loud.shape, loud.dtype) == ((132_300,), np.float32)
    assert 0 < np.abs(loud).max() <= 0.99
    soft = _genre_clip.sounded(piece._replace(gain=0.5), [4])
    np.testing.assert_allclose(soft, 0.5 * loud, atol=1e-6)
    drawn = composed("", piece.key, piece.mode, piece.tempo, [4], piece.style)
    bass = next(n for n in drawn.notes if n.program == piece.style.bass)
    alone = _genre_clip._single_note(bass.program, bass.pitch, False, 22_050)
    power = np.abs(np.fft.rfft(alone * np.hanning(len(alone)))) ** 2
    harmonic = np.fft.rfftfreq(len(alone), 1 / 22_050) / (440 * 2 ** ((bass.pitch - 69) / 12))
    near = np.abs(harmonic - np.round(harmonic)) < 0.15
    assert power[near & (harmonic > 0.5)].sum() / power.sum() > 0.8


def test_the_covers_styles_are_composed_as_before():
    style = COVER_STYLES["jazz"]
    assert composed("jazz", 3, 1, 120.0, [5]) == composed("jazz", 3, 1, 120.0, [5], style)


def test_sound_files_hold_what_was_given():
    audio = _genre_clip.sounded(_genre_clip.drawn("pop", gtzan.GENRES, [1]), [2])
    wav, sample_rate = soundfile.read(io.BytesIO(_genre_clip.sound_file(audio, 22_050, "WAV")))
    assert sample_rate == 22_050
    np.testing.assert_allclose(wav, audio, atol=2 / 32_768)
    mp3, sample_rate = soundfile.read(io.BytesIO(_genre_clip.sound_file(audio, 22_050, "MP3")))
    assert sample_rate == 22_050
    assert np.corrcoef(mp3[: len(audio)], audio)[0, 1] > 0.95
