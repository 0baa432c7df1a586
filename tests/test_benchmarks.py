"""The full-size benchmark's archives: layouts, faults and their rates; what its meter counts."""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import Counter

import mido
import note_seq
import numpy as np
import pytest

from benchmarks import full_size, process_tree
from benchmarks.synthetic import covers, lakh, lakh_faults, nsynth, pool, tar_gz
from pipeline import archives, params, registry
from pipeline.datasets.base import Entry
from pipeline.errors import Rejected
from pipeline.readers import midi

COUNT = 60
FAULT_SHARE = 0.4
NUM_SAMPLES = 400


def options(dataset, **changed):
    return params.load().dataset_options(dataset).model_copy(update=changed)


def outcomes(dataset, raw, opts):
    """key -> None for what can be used, else the reason."""
    found = {}
    module = registry.dataset(dataset)
    for item in module.catalogue(raw, opts):
        if not isinstance(item, Entry):
            found[item[0]] = item[1].reason
            continue
        try:
            module.load(item, dict(archives.read(raw, item.members)))
            found[item.key] = None
        except Rejected as rejected:
            found[item.key] = rejected.reason
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    out = tmp_path_factory.mktemp("full")
    lakh.write(out, COUNT, 1, "lmd_full", FAULT_SHARE)
    return out


@pytest.fixture(scope="module")
def composed():
    """Whole files of the archive in `full`, by number, that are neither damaged nor repeats."""
    planned = lakh.plan(COUNT, 1, 0.0)
    return [
        lakh._file(1, i, i, int(n), -1)
        for i, n in enumerate(planned.num_notes.tolist())
        if planned.music[i] == i
    ]


# -- tar.gz


def test_it_is_one_member_of_gzip_without_name_and_date(full):
    packed = (full / "lmd_full.tar.gz").read_bytes()
    assert packed[3:8] == bytes(5)  # flags and date
    inflate = zlib.decompressobj(31)
    inflate.decompress(packed)
    assert inflate.eof
    assert inflate.unused_data == b""


def test_headers_are_those_of_gnu_tar(tmp_path):
    long_name = "a" * 90 + "/" + "b" * 90
    tar_gz.write(tmp_path / "x.tar.gz", [("d/", b""), ("d/f", b"123"), (long_name, b"4" * 700)])
    with gzip.open(tmp_path / "x.tar.gz") as file:
        tar = file.read()
    assert len(tar) % 10240 == 0
    assert tar[257:265] == b"ustar  \0"
    subprocess.run(["tar", "xf", "-", "-C", str(tmp_path)], input=tar, check=True)
    assert (tmp_path / "d/f").read_bytes() == b"123"
    assert (tmp_path / long_name).read_bytes() == b"4" * 700


# -- Lakh


def test_files_are_named_by_their_md5_in_order(full):
    with tarfile.open(full / "lmd_full.tar.gz") as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
        names, folders = tar.getnames(), [m.name for m in tar if m.isdir()]
    assert list(members) == sorted(members)
    assert names[:2] == ["lmd_full", f"lmd_full/{next(iter(members))[9]}"]
    assert sorted(folders[1:]) == sorted({name[:10] for name in members})
    for name, content in members.items():
        md5 = hashlib.md5(content).hexdigest()
        assert name == f"lmd_full/{md5[0]}/{md5}.mid"


@pytest.mark.parametrize("subset", ["lmd_full", "lmd_matched"])
def test_the_catalogue_accepts_it(full, tmp_path, subset):
    raw = full
    if subset == "lmd_matched":
        raw = tmp_path
        lakh.write(raw, COUNT, 1, subset, FAULT_SHARE)
    found = Counter(outcomes("lakh", raw, options("lakh", subset=subset)).values())
    faults = [
        lakh_faults.FAULTS[list(lakh_faults.FAULTS)[f]]
        for f in lakh.plan(COUNT, 1, FAULT_SHARE).fault
        if f >= 0
    ]
    expected = Counter(reason for reason in faults if reason)
    assert {r: n for r, n in found.items() if r not in (None, "duplicate_file")} == expected
    assert found[None] == COUNT - expected.total()
    assert found["duplicate_file"] == (0 if subset == "lmd_full" else found.total() - COUNT)


def test_equal_seeds_give_equal_archives(full, tmp_path):
    lakh.write(tmp_path, COUNT, 1, "lmd_full", FAULT_SHARE)
    for path in full.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    lakh.write(tmp_path, COUNT, 2, "lmd_full", FAULT_SHARE)
    assert (full / "lmd_full.tar.gz").read_bytes() != (tmp_path / "lmd_full.tar.gz").read_bytes()


def test_workers_write_what_one_process_writes(full, tmp_path, monkeypatch):
    monkeypatch.setattr(lakh, "_CHUNK", 25)
    lakh.write(tmp_path, COUNT, 1, "lmd_full", FAULT_SHARE)
    assert (full / "lmd_full.tar.gz").read_bytes() == (tmp_path / "lmd_full.tar.gz").read_bytes()


def test_scores_and_genres(full):
    """About a quarter of the files match; each song's and each file's, many to many."""
    scores = json.loads((full / "match_scores.json").read_text())
    md5s = {md5 for matches in scores.values() for md5 in matches}
    assert len(md5s) == round(COUNT * 45_129 / 176_581)
    assert all(0.5 <= s <= 1 for matches in scores.values() for s in matches.values())
    with zipfile.ZipFile(full / "msd_tagtraum_cd2c.cls.zip") as zipped:
        lines = zipped.read("msd_tagtraum_cd2c.cls").decode().splitlines()
    assert [line[0] for line in lines[:8]] == [*"#######", "T"]
    assert all(re.fullmatch(r"TR[A-Z]{5}128F[0-9A-F]{7}\t[\w ]+", line) for line in lines[7:])
    assert {line.split("\t")[0] for line in lines[7:]} & set(scores)


def test_rates_at_full_size():
    planned = lakh.plan(176_581, 0)
    assert (planned.fault >= 0).sum() == 2500
    counts = np.bincount(planned.fault[planned.fault >= 0])
    assert counts[-1] == 1  # the empty file
    assert np.ptp(counts[:-1]) <= 1
    repeats = planned.music != np.arange(176_581)
    assert repeats.sum() == 1766
    assert not repeats[planned.music[repeats]].any()
    assert (planned.fault[planned.music[repeats]] == -1).all()
    assert 1450 < planned.num_notes.mean() < 1550
    assert planned.num_notes.min() >= 50
    assert planned.num_notes.max() == 20_000


@pytest.mark.parametrize("fault", lakh_faults.FAULTS)
def test_faults_end_as_said(composed, fault):
    for number, content in enumerate(composed[:20]):
        try:
            midi.read(lakh_faults.damaged(content, fault, number))
            reason = None
        except Rejected as rejected:
            reason = rejected.reason
        assert reason == lakh_faults.FAULTS[fault]


def test_files_are_valid_by_mido_and_note_seq(composed):
    ppqs, running, names = set(), set(), set()
    for content in composed[:25]:
        file = mido.MidiFile(file=io.BytesIO(content))
        assert file.type == 1
        assert len(file.tracks) >= 4
        assert all(track[-1].type == "end_of_track" for track in file.tracks)
        ppqs.add(file.ticks_per_beat)
        running.add(any(m.type == "note_off" for track in file.tracks for m in track))
        names.update(track.name for track in file.tracks[1:])
        channels = {m.channel for t in file.tracks for m in t if m.type == "note_on"}
        assert 9 in channels
        assert len(channels) == len(file.tracks) - 1
    assert len(ppqs) > 3
    assert running == {True, False}
    assert len(names) > 10


def test_files_have_the_notes_that_are_asked_for(composed):
    """The last bar is finished; deviations make some notes of one pitch touch, no more."""
    asked = lakh.plan(COUNT, 1, 0.0)
    asked = asked.num_notes[asked.music == np.arange(COUNT)][:15]
    got = [len(note_seq.midi_to_note_sequence(content).notes) for content in composed[:15]]
    assert 0.97 < sum(got) / sum(asked) < 1.1
    for wanted, found in zip(asked, got, strict=True):
        assert 0.9 * wanted < found < wanted + 200


def test_a_repeat_has_the_same_notes_and_other_bytes():
    first, second = (lakh._file(1, number, 3, 300, -1) for number in (3, 17))
    assert first != second
    assert _notes(first) == _notes(second)
    assert _notes(first) != _notes(lakh._file(1, 4, 4, 300, -1))


def _notes(content):
    notes = midi.read(content).notes
    return [(n.start_time, n.end_time, n.pitch, n.velocity, n.instrument) for n in notes]


def test_some_texts_are_not_utf_8():
    titles = [lakh._texts(0, number)[0] for number in range(2000)]
    undecodable = sum(_decoded(title) is None for title in titles)
    assert 0.07 < undecodable / len(titles) < 0.13


def _decoded(text):
    try:
        return text.decode()
    except UnicodeDecodeError:
        return None


def test_the_pool_is_of_whole_bars():
    music = lakh._pool(1)
    assert len(music.tunes) == lakh._POOL_TUNES
    assert music.bars[-1] == len(music.notes)
    assert (np.diff(music.bars) >= 0).all()
    assert music.notes[:, pool.ONSET].max() < music.tunes[:, pool.BAR_TICKS].max()
    for row in music.tunes:
        first = row[pool.FIRST_TRACK]
        tracks = music.tracks[first : first + row[pool.NUM_TRACKS]]
        assert set(np.diff(tracks[:, pool.FIRST_BAR])) == {row[pool.NUM_BARS] + 1}
        assert tracks[-1, pool.IS_DRUM] == 1


# -- NSynth


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    out = tmp_path_factory.mktemp("nsynth")
    nsynth.write(out, 40, 1, NUM_SAMPLES)
    return out


def test_notes_are_read(notes):
    module, opts = registry.dataset("nsynth"), options("nsynth")
    entries = list(module.catalogue(notes, opts))
    assert all(isinstance(entry, Entry) for entry in entries)
    assert Counter(e.split for e in entries) == {"train": 37, "validation": 2, "test": 1}
    groups = {split: {e.group for e in entries if e.split == split} for split in ("train", "test")}
    assert not groups["train"] & groups["test"]
    peaks = {}
    for entry in entries:
        example = module.load(entry, dict(archives.read(notes, entry.members)))
        assert example.audio.shape == (NUM_SAMPLES,)
        peaks.setdefault(entry.attributes["velocity"], []).append(np.abs(example.audio).max())
    assert np.median(peaks[127]) > 4 * np.median(peaks[25]) > 0


def test_split_sizes_are_the_published_proportion():
    assert nsynth.split_sizes(305_979) == nsynth.SPLITS
    assert sum(nsynth.split_sizes(300_000).values()) == 300_000
    instruments = nsynth.instruments_of(nsynth.split_sizes(305_979), 0)
    names = [i.name for split in instruments.values() for i in split]
    assert len(set(names)) == len(names)
    assert 1000 < len(names) < 1015


def test_a_few_pitches_are_outside_the_piano():
    split = nsynth.instruments_of({"train": 40_000}, 0)["train"]
    drawn = [nsynth._drawn_notes(i, 304, 0) for i in split]
    assert all(len(n) == 304 == len(set(n)) for n in drawn)
    outside = sum(not 21 <= pitch <= 108 for n in drawn for pitch, _ in n)
    assert 0.0005 < outside / (304 * len(drawn)) < 0.005


def test_examples_come_last(notes):
    with tarfile.open(notes / "nsynth-train.jsonwav.tar.gz") as tar:
        names = tar.getnames()
    assert names[:2] == ["nsynth-train", "nsynth-train/audio"]
    assert names[-1] == "nsynth-train/examples.json"
    assert names[2:-1] == sorted(names[2:-1])


# -- covers


def test_tracks_end_as_their_faults_say(tmp_path, monkeypatch):
    monkeypatch.setattr(covers, "_NUM_CLIPS", 6)
    covers._pictures.cache_clear()
    covers._sounds.cache_clear()
    covers.write(tmp_path, 40, 1, fault_scale=18)
    tracks = covers.plan(40, 1, fault_scale=18)
    opts = options("spotify_covers")
    found = outcomes("spotify_covers", tmp_path, opts)
    expected = {t.id: covers.FAULTS[t.fault][1] if t.fault else None for t in tracks}
    assert found == expected
    assert len(set(found.values())) > 5
    with zipfile.ZipFile(tmp_path / covers.ARCHIVE) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        images = {t: archive.read(f"spotify/images/{t.id}.jpeg") for t in tracks if not t.fault}
    folders = [name.split("/")[1] for name in names]
    assert folders == sorted(folders)  # kind by kind
    for track, image in images.items():
        for other in images:
            assert (track.album == other.album) == (image == images[other])


def test_rates_of_covers_at_full_size():
    tracks = covers.plan(50_000, 0)
    faults = Counter(track.fault for track in tracks)
    for fault, (rate, _) in covers.FAULTS.items():
        assert 0.7 * rate < faults[fault] / 50_000 < 1.3 * rate
    albums = Counter(track.album for track in tracks)
    assert 2 < len(tracks) / len(albums) < 2.3
    assert len({track.id for track in tracks}) == 50_000


# -- what measures


def test_memory_of_grandchildren_counts(tmp_path):
    """Two processes of 60 MiB at once: the tree has both, the largest process one."""
    grandchild = "import time; b = bytearray(60 << 20); b[::4096] = bytes(15360); time.sleep(1.5)"
    child = (
        "import subprocess as s, sys; command = [sys.executable, '-c', sys.argv[1]]; "
        "[p.wait() for p in [s.Popen(command), s.Popen(command)]]"
    )
    command = [sys.executable, "-c", child, grandchild]
    taken = process_tree.measured(command, tmp_path, os.environ)
    assert 60 < taken.process_mib < 110
    assert 120 < taken.tree_mib < 220
    assert 1.5 < taken.seconds < 30
    assert taken.disk_bytes == 0


def test_cpu_seconds_are_those_of_the_tree(tmp_path):
    busy = "import time; end = time.process_time() + 0.7\nwhile time.process_time() < end: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}], check=True)"
    taken = process_tree.measured([sys.executable, "-c", child], tmp_path, os.environ)
    assert 0.7 < taken.cpu_seconds < 2


def test_disk_counts_hard_links_once_and_follows_the_peak(tmp_path):
    watched = tmp_path / "data"
    (watched / "deep").mkdir(parents=True)
    (watched / "a").write_bytes(os.urandom(1 << 20))
    os.link(watched / "a", watched / "deep" / "b")
    assert process_tree.disk_bytes([watched, tmp_path / "absent"]) == 1 << 20
    program = (
        "import os, time; f = open('data/c', 'wb'); f.write(os.urandom(1 << 20)); f.flush(); "
        "os.fsync(f.fileno()); time.sleep(1); os.unlink('data/c')"
    )
    command = [sys.executable, "-c", program]
    taken = process_tree.measured(command, tmp_path, os.environ, [watched])
    assert taken.disk_bytes == 2 << 20


def test_a_failure_shows_what_was_said(tmp_path):
    with pytest.raises(SystemExit, match=r"failed \(3\):\nout of luck"):
        process_tree.measured(
            [sys.executable, "-c", "print('out of luck'); exit(3)"], tmp_path, os.environ
        )


def test_tables():
    taken = process_tree.Taken(20.0, 30.0, 100.0, 200.0, 2000)
    rows = [
        full_size.Row(1000, "shard x", 1, taken, 1000, 5.0, 8.0),
        full_size.Row(1000, "shard x", 2, taken._replace(seconds=10.0), 1000, 5.0, 8.0),
    ]
    assert full_size.table(rows).splitlines()[2] == (
        "| 1,000 | shard x | 1 | 20.0 | 20.00 | 30.0 | 100 | 200 | 2.00 | 4.0 | 2.5 |"
    )
    assert full_size.speed_ups(rows).splitlines()[2] == "| 1,000 | shard x | 1 → 2 | 2.00 |"
