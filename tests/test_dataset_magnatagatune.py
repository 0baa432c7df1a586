"""MagnaTagATune and its miniature: a zip in parts, tags by rule, splits by directory, faults."""

import csv
import io
import re
import zipfile
from collections import Counter

import numpy as np
import pytest

from pipeline import archives
from pipeline.datasets.base import Entry
from pipeline.datasets.magnatagatune import DATASET, MagnaTagATuneOptions
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.miniatures import _archives, _genre_clip, magnatagatune
from pipeline.miniatures.magnatagatune import PARTS
from tests import catalogues

OPTIONS = MagnaTagATuneOptions(num_tags=50, min_seconds=5, miniature_size=30)
ANNOTATIONS, CLIP_INFO = "annotations_final.csv", "clip_info_final.csv"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("magnatagatune")
    magnatagatune.build(out, OPTIONS, seed=1)
    return out


def changed(**values):
    return MagnaTagATuneOptions(**{**OPTIONS.model_dump(), **values})


def catalogued(raw, options=OPTIONS):
    return catalogues.catalogued(DATASET, raw, options)


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_files_are_those_of_the_sources(raw):
    sources = DATASET.sources(OPTIONS)
    assert {f.name for f in raw.iterdir()} == {source.file for source in sources}
    assert all(source.urls[0].startswith("https://mirg.city.ac.uk/") for source in sources)
    assert "miniature" in magnatagatune.NOTICE


def test_the_parts_are_one_zip_that_no_part_is(raw):
    whole = b"".join((raw / part).read_bytes() for part in PARTS)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
    assert all(re.fullmatch(r"[0-9a-f]/[a-z0-9_-]+-\d+-\d+\.mp3", name) for name in names)
    assert len(names) == OPTIONS.miniature_size
    for part in PARTS:
        with pytest.raises((zipfile.BadZipFile, OSError)):
            zipfile.ZipFile(raw / part).testzip()


def test_splits_are_by_directory_and_recordings_are_groups(raw):
    entries, rejected = catalogued(raw)
    assert rejected == {}
    assert len(entries) == OPTIONS.miniature_size
    expected = {**dict.fromkeys("0123456789ab", "train"), "c": "validation"}
    expected |= dict.fromkeys("def", "test")
    assert all(entry.split == expected[key[0]] for key, entry in entries.items())
    splits = Counter(entry.split for entry in entries.values())
    assert set(splits) == {"train", "validation", "test"}
    by_group = {(entry.group, key[0]) for key, entry in entries.items()}
    assert len(by_group) == len({group for group, _ in by_group}) < len(entries)
    assert all(key[2:].startswith(f"{entry.group}-") for key, entry in entries.items())


def test_attributes_are_of_both_tables(raw):
    entries, _ = catalogued(raw)
    flags = {row["mp3_path"]: row for row in rows(raw / ANNOTATIONS)}
    info = {row["mp3_path"]: row for row in rows(raw / CLIP_INFO)}
    for key, entry in entries.items():
        tags = sorted(tag for tag in magnatagatune.TAGS if flags[key][tag] == "1")
        about = {name: info[key][name] for name in ("title", "artist", "album")}
        assert dict(entry.attributes) == {"tags": tags, "min_seconds": 5.0, **about}


def test_clips_are_read_and_the_empty_ones_counted(raw):
    entries, _ = catalogued(raw)
    faults = []
    for entry in entries.values():
        try:
            example = DATASET.load(entry, dict(archives.read(raw, entry.members)))
        except Rejected as rejected:
            faults.append(rejected.reason)
            continue
        assert example.sample_rate == 16_000
        assert len(example.audio) / 16_000 == pytest.approx(6, abs=0.2)
        assert set(example.attributes) == {"tags", "title", "artist", "album"}
    assert faults == ["empty_file"] * magnatagatune.NUM_EMPTY


def test_tags_follow_the_rule():
    """By hand: a slow and soft piece of strings, then one with drums, fast and loud."""
    silence = np.full(1000, 10 ** (-31 / 20), np.float32)
    piece = _genre_clip.drawn("classical", ["classical"], [1])._replace(tempo=83.0)
    expected = {"classical", "classic", "violin", "cello", "strings", "slow", "quiet", "soft"}
    assert magnatagatune.tags_of(piece, silence) == {*expected, "no vocals"}
    piece = _genre_clip.drawn("metal", ["metal"], [1])._replace(tempo=125.0)
    loud = magnatagatune.tags_of(piece, 10 * silence)
    assert loud == {"metal", "rock", "guitar", "beat", "drums", "fast", "loud", "no vocals"}
    piece = _genre_clip.drawn("ambient", ["ambient"], [1])._replace(tempo=84.0)
    middle = magnatagatune.tags_of(piece, 2 * silence)
    assert middle == {"ambient", "new age", "electronic", "choir", "synth", "vocal"}


def test_most_tags_that_hold_are_given_and_no_other():
    tags = set(magnatagatune.TAGS)
    given = [magnatagatune._given(tags, [1, i]) for i in range(100)]
    assert all(one <= tags for one in given)
    share = sum(map(len, given)) / (100 * len(tags))
    assert share == pytest.approx(0.9, abs=0.02)


def test_two_builds_are_equal_to_the_byte_and_another_seed_is_other_music(tmp_path):
    small = changed(miniature_size=24)
    contents = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / folder).mkdir()
        magnatagatune.build(tmp_path / folder, small, seed)
        contents.append([f.read_bytes() for f in sorted((tmp_path / folder).iterdir())])
    assert contents[0] == contents[1]
    assert all(a != c for a, c in zip(contents[0], contents[2], strict=True))


INFO = ["clip_id", "track_number", "title", "artist", "album", "mp3_path"]
SONG = "0/who-lp-01-song-0-29.mp3"


def published(raw, tags, clips=(SONG,), info=(), header=None):
    """Tables of the tags of each path, and an archive in parts of the clips, which are no sound.

    Args:
      tags: (path, flags) of each row; header: the names of the tags.
    """
    header = ["b", "a", "c"] if header is None else header
    annotations = [["clip_id", *header, "mp3_path"]]
    annotations += [[str(i), *flags, path] for i, (path, flags) in enumerate(tags)]
    _write(raw / ANNOTATIONS, annotations)
    _write(raw / CLIP_INFO, [INFO, *info])
    _archives.write_zip(raw / "mp3.zip", dict.fromkeys(clips, b"mp3"))
    data = (raw / "mp3.zip").read_bytes()
    (raw / "mp3.zip").unlink()
    for part, start in zip(PARTS, (0, 40, 80), strict=True):
        (raw / part).write_bytes(data[start : start + 40] if part != PARTS[2] else data[start:])
    return raw


def _write(path, lines):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(lines)


def test_the_most_frequent_tags_are_kept(tmp_path):
    """Of equally frequent ones the first by name; tags of clips without sound count, too."""
    flags = {"0/w-l-01-x-0-29.mp3": "110", "0/w-l-01-x-29-58.mp3": "011", SONG: "111"}
    published(tmp_path, [(path, list(f)) for path, f in flags.items()], list(flags))
    for num, kept in ((1, "a"), (2, "ab"), (3, "abc"), (188, "abc")):
        entries, _ = catalogued(tmp_path, changed(num_tags=num))
        for path, entry in entries.items():
            given = {tag for tag, flag in zip("bac", flags[path], strict=True) if flag == "1"}
            assert entry.attributes["tags"] == sorted(given & set(kept))


def test_what_is_missing_or_superfluous_is_counted(tmp_path):
    others = ["1/who-lp-02-x-0-29.mp3", "2/who-lp-03-x-0-29.mp3", "3/who-lp-04-x-0-29.mp3"]
    tags = [(SONG, "100"), (others[0], "100"), (others[2], "100"), (others[2], "010")]
    clips = [SONG, *others[1:], "readme.txt", "g/who-lp-01-x-0-29.mp3", "0/x.mp3"]
    info = [["1", "1", "Song", "Who", "LP", SONG], ["2"], ["3", "1", "X", "Y", "Z", ""]]
    published(tmp_path, tags, clips, info)
    entries, rejected = catalogued(tmp_path)
    assert entries == {
        SONG: Entry(
            SONG, "who-lp-01-song", (f"mp3.zip.001!{SONG}",), "train",
            {"title": "Song", "artist": "Who", "album": "LP", "tags": ["b"], "min_seconds": 5.0},
        )
    }  # fmt: skip
    assert rejected == {
        others[0]: "missing_audio", others[1]: "no_annotation", others[2]: "duplicate_clip",
        **dict.fromkeys(clips[3:], "unexpected_file"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        (ANNOTATIONS, []),
        (ANNOTATIONS, [["<html>404</html>"]]),
        (ANNOTATIONS, [["clip_id", "a", "mp3_path"], ["1", "2", SONG]]),
        (ANNOTATIONS, [["clip_id", "a", "mp3_path"], ["1", "1", SONG, "more"]]),
        (ANNOTATIONS, [["clip_id", "mp3_path", "a"], ["1", SONG]]),
        (CLIP_INFO, [INFO[:-1]]),
        (CLIP_INFO, [INFO, ["1"] * 7]),
    ],
)
def test_a_wrong_table_stops_with_a_remedy(table, lines, tmp_path):
    published(tmp_path, [(SONG, "100")])
    _write(tmp_path / table, lines)
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)) as error:
        catalogued(tmp_path)
    assert f"{table} is not MagnaTagATune's table" in str(error.value)


def test_a_table_that_is_not_there_is_named(tmp_path):
    published(tmp_path, [(SONG, "100")])
    (tmp_path / CLIP_INFO).unlink()
    with pytest.raises(PipelineError, match=r"clip_info_final\.csv is not there.*dvc repro"):
        catalogued(tmp_path)


def test_a_part_that_is_not_there_stops_with_a_remedy(raw, tmp_path):
    for file in raw.iterdir():
        if file.name != PARTS[1]:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)):
        catalogued(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"num_tags": 0}, "num_tags"), ({"num_tags": 189}, "num_tags"),
     ({"miniature_size": 8}, "miniature_size")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        changed(**values)
