"""FMA and its miniature: a table with two rows of header, artists, splits, faults by reason."""

import csv
import hashlib
import io
import re
import zipfile
from collections import Counter

import numpy as np
import pytest

from pipeline import archives
from pipeline.datasets.base import Entry
from pipeline.datasets.fma import DATASET, FmaOptions
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.miniatures import _archives, _genre_clip, fma
from tests import catalogues

OPTIONS = FmaOptions(subset="small", min_seconds=5, miniature_size=40)
FAULTS = {fma.NO_FILE: "missing_audio", fma.NO_SOUND: "undecodable_audio", fma.SHORT: "short_audio"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("fma")
    fma.build(out, OPTIONS, seed=1)
    return out


def changed(**values):
    return FmaOptions(**{**OPTIONS.model_dump(), **values})


def catalogued(raw, options=OPTIONS):
    return catalogues.catalogued(DATASET, raw, options)


def loaded(raw, entry):
    return DATASET.load(entry, dict(archives.read(raw, entry.members)))


@pytest.mark.parametrize("subset", ["small", "medium"])
def test_archives_are_those_of_the_sources(subset, raw, tmp_path):
    options = changed(subset=subset, miniature_size=24)
    fma.build(tmp_path, options, seed=1)
    sources = DATASET.sources(options)
    assert {f.name for f in tmp_path.iterdir()} == {source.file for source in sources}
    assert all(source.checksum.startswith("sha1:") for source in sources)
    entries, rejected = catalogued(tmp_path, options)
    assert len(entries) + len(rejected) == 24  # tracks of larger subsets are not spoken of
    genres = {e.attributes["genre"] for e in entries.values()}
    assert genres <= {g for genres in fma.GENRES.values() for g in genres}
    assert ("Jazz" in genres) == (subset == "medium")
    assert "miniature" in fma.NOTICE


def test_members_and_checksums_are_as_published(raw):
    with zipfile.ZipFile(raw / "fma_small.zip") as archive:
        sums = archive.read("fma_small/checksums").decode().splitlines()
        for line in sums:
            sha1, _, path = line.partition("  ")
            assert re.fullmatch(r"(\d{3})/\1\d{3}\.mp3", path)
            assert hashlib.sha1(archive.read(f"fma_small/{path}")).hexdigest() == sha1
        names = set(archive.namelist()) - {"fma_small/checksums", "fma_small/README.txt"}
    assert len(sums) == len(names) == OPTIONS.miniature_size - 1


def test_the_table_has_the_published_columns(raw):
    """52 of two levels below an index; none of the groups is cut in two."""
    text = archives.read_one(raw, "fma_metadata.zip!fma_metadata/tracks.csv").decode()
    groups, names, index, *rows = csv.reader(io.StringIO(text, newline=""))
    assert len(groups) == len(names) == len(index) == 53
    assert Counter(groups) == {"": 1, "album": 13, "artist": 17, "set": 2, "track": 20}
    assert index == ["track_id"] + [""] * 52
    assert {len(row) for row in rows} == {53}
    assert len(rows) == OPTIONS.miniature_size + 5
    assert ("track", "genre_top") in zip(groups, names, strict=True)


def test_groups_are_artists_and_splits_the_publishers(raw):
    entries, rejected = catalogued(raw)
    assert rejected == {f"{fma.NO_FILE:06d}": "missing_audio"}
    splits = Counter(entry.split for entry in entries.values())
    assert set(splits) == {"train", "validation", "test"}
    assert splits["train"] > splits["validation"] + splits["test"]
    by_artist = {(entry.group, entry.split) for entry in entries.values()}
    assert len(by_artist) == len({group for group, _ in by_artist}) < len(entries)
    assert {e.attributes["genre"] for e in entries.values()} == set(fma.GENRES["small"])
    for key, entry in entries.items():
        assert entry.members == (f"fma_small.zip!fma_small/{key[:3]}/{key}.mp3",)


def test_clips_are_read_and_faults_counted(raw):
    entries, faults = catalogued(raw)
    for key, entry in entries.items():
        try:
            example = loaded(raw, entry)
        except Rejected as rejected:
            faults[key] = rejected.reason
            continue
        assert example.sample_rate == 22_050
        assert len(example.audio) / 22_050 == pytest.approx(6, abs=0.2)
        assert set(example.attributes) == {"genre", "title", "artist", "licence", "subset"}
    assert faults == {f"{track_id:06d}": reason for track_id, reason in FAULTS.items()}


def test_two_builds_are_equal_to_the_byte_and_another_seed_is_other_music(tmp_path):
    small = changed(miniature_size=24)
    digests = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / folder).mkdir()
        fma.build(tmp_path / folder, small, seed)
        files = sorted((tmp_path / folder).iterdir())
        digests.append([hashlib.sha256(f.read_bytes()).hexdigest() for f in files])
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


HEADER = [
    ["", "artist", "artist", "set", "set", "track", "track", "track"],
    ["", "id", "name", "split", "subset", "genre_top", "license", "title"],
    ["track_id", *[""] * 7],
]
ROW = ["5", "7", "Who", "training", "small", "Rock", "CC0", "Song"]


def row(**changes):
    at = dict(zip(["track", *HEADER[1][1:]], range(8), strict=True))
    found = list(ROW)
    for name, value in changes.items():
        found[at[name]] = value
    return found


def published(raw, rows, tracks=(5,), header=None, others=(), subset="small"):
    """The two archives; the clips are no sound."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([*(HEADER if header is None else header), *rows])
    table = {"fma_metadata/tracks.csv": text.getvalue().encode()}
    _archives.write_zip(raw / "fma_metadata.zip", table)
    names = [f"fma_{subset}/{t // 1000:03d}/{t:06d}.mp3" for t in tracks]
    _archives.write_zip(raw / f"fma_{subset}.zip", dict.fromkeys((*names, *others), b"mp3"))
    return raw


def test_a_row_becomes_an_entry(tmp_path):
    biography = row(track="6", title='by "Who",\nlive', split="test")
    entries, rejected = catalogued(published(tmp_path, [ROW, biography], (5, 6)))
    assert rejected == {}
    assert entries["000005"] == Entry(
        "000005", "7", ("fma_small.zip!fma_small/000/000005.mp3",), "train",
        {"genre": "Rock", "title": "Song", "artist": "Who", "licence": "CC0", "subset": "small",
         "min_seconds": 5.0},
    )  # fmt: skip
    assert entries["000006"].attributes["title"] == 'by "Who",\nlive'
    assert entries["000006"].split == "test"


ROWS = [
    ([row(split="")], "unknown_split"), ([row(split="train")], "unknown_split"),
    ([row(genre_top="")], "no_genre"), ([row(id="")], "no_artist"),
    ([ROW, row(title="again")], "duplicate_track"), ([row(track="9")], "not_in_table"),
    ([ROW, row(track="9")], ""),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "reason"), ROWS)
def test_faulty_rows_are_counted(rows, reason, tmp_path):
    entries, rejected = catalogued(published(tmp_path, rows))
    assert rejected.get("000005", "") == reason
    assert ("000005" in entries) == (reason == "")
    assert rejected.get("000009", "missing_audio") == "missing_audio"


def test_the_medium_subset_holds_the_small_one_and_no_larger(tmp_path):
    rows = [ROW, row(track="6", subset="medium"), row(track="7", subset="large")]
    published(tmp_path, rows, (5, 6), subset="medium")
    entries, rejected = catalogued(tmp_path, changed(subset="medium"))
    assert (list(entries), rejected) == (["000005", "000006"], {})
    published(tmp_path, rows, (5, 6))
    assert catalogued(tmp_path)[1] == {"000006": "not_in_table"}


def test_other_files_are_counted_by_their_names(tmp_path):
    others = ["fma_small/README.txt", "fma_small/checksums", "fma_small/001/000005.mp3",
              "fma_large/000/000006.mp3", "fma_small/000/000006.wav"]  # fmt: skip
    _, rejected = catalogued(published(tmp_path, [ROW], others=others))
    assert rejected == dict.fromkeys(others[2:], "unexpected_file")


TABLES = [
    [],
    [["<html>404</html>"]],
    [HEADER[0], HEADER[1], ["5", *ROW[1:]]],
    [[*HEADER[0][:-1], "album"], HEADER[1], HEADER[2]],
    [*HEADER, ROW[:-1]],
    [*HEADER, [*ROW, "more"]],
    [*HEADER, ["five", *ROW[1:]]],
    [*HEADER, row(subset="huge")],
    [*HEADER, row(title="x" * (1 << 21))],
]


@pytest.mark.parametrize("table", TABLES)
def test_a_wrong_table_stops_with_a_remedy(table, tmp_path):
    limit = csv.field_size_limit()
    published(tmp_path, table, header=[])
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)) as error:
        catalogued(tmp_path)
    assert "tracks.csv is not FMA's table" in str(error.value)
    assert csv.field_size_limit() == limit


def test_bzip2_as_published_is_read_and_another_compression_named(tmp_path):
    """The published archives are compressed by bzip2, which many tools do not read."""
    published(tmp_path, [ROW])
    _compressed_anew(tmp_path, zipfile.ZIP_BZIP2)
    assert list(catalogued(tmp_path)[0]) == ["000005"]
    _compressed_anew(tmp_path, zipfile.ZIP_LZMA)
    with pytest.raises(PipelineError, match=r"fma_small\.zip.* by method 14; read are"):
        catalogued(tmp_path)


def _compressed_anew(raw, method):
    for name in ("fma_metadata.zip", "fma_small.zip"):
        with zipfile.ZipFile(raw / name) as archive:
            members = {n: archive.read(n) for n in archive.namelist()}
        with zipfile.ZipFile(raw / name, "w", method) as archive:
            for member, data in members.items():
                archive.writestr(member, data)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"subset": "large"}, "'small' or 'medium'"), ({"min_seconds": None}, "min_seconds"),
     ({"miniature_size": 8}, "miniature_size")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        changed(**values)


def test_clips_of_one_genre_sound_alike_more_than_others():
    """Mean spectra of two clips: nearer within a genre than between two, though a few borrow."""
    styles = ["electronic", "folk", "rock"]
    spectra = {s: [_spectrum(s, i) for i in range(6)] for s in styles}
    within = [
        _distance(spectra[s][i], spectra[s][j]) for s in styles for i in range(6) for j in range(i)
    ]
    between = [_distance(a, b) for a in spectra["folk"] for b in spectra["electronic"]]
    assert np.mean(within) < 0.8 * np.mean(between)


def _spectrum(style, number):
    piece = _genre_clip.drawn(style, ["electronic", "folk", "rock"], [9, number])
    audio = _genre_clip.sounded(piece, [8, number])
    power = np.abs(np.fft.rfft(audio)) ** 2
    bands = np.array_split(power[200:60_000], 40)
    levels = 10 * np.log10(np.array([band.mean() for band in bands]) + 1e-9)
    return levels - levels.mean()


def _distance(a, b):
    return float(np.abs(a - b).mean())
