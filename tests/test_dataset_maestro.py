"""MAESTRO and its miniature: layout, splits, shapes of JSON, scores and how they are played."""

import csv
import io
import itertools
import json
import re
import zipfile

import numpy as np
import pretty_midi
import pytest
import soundfile

from pipeline import archives
from pipeline.datasets.base import Entry
from pipeline.datasets.maestro import DATASET, MaestroOptions
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.miniatures import _pianist, _scores, maestro
from pipeline.miniatures._archives import write_zip
from pipeline.miniatures._tunes import corpus

OPTIONS = MaestroOptions(version="v3.0.0", audio=False, miniature_size=10)
ARCHIVE = "maestro-v3.0.0-midi.zip"
TABLE = "maestro-v3.0.0/maestro-v3.0.0"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("maestro")
    maestro.build(out, OPTIONS, seed=1)
    return out


@pytest.fixture(scope="module")
def members(raw):
    with zipfile.ZipFile(raw / ARCHIVE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def rows(members):
    return list(csv.DictReader(io.StringIO(members[f"{TABLE}.csv"].decode())))


@pytest.fixture(scope="module")
def entries(raw):
    return list(DATASET.catalogue(raw, OPTIONS))


def test_members_have_the_published_layout(raw, members, rows):
    assert [f.name for f in raw.iterdir()] == [s.file for s in DATASET.sources(OPTIONS)]
    fixed = {f"{TABLE}.csv", f"{TABLE}.json", "maestro-v3.0.0/README", "maestro-v3.0.0/LICENSE"}
    assert set(members) == fixed | {f"maestro-v3.0.0/{row['midi_filename']}" for row in rows}
    assert len(rows) == OPTIONS.miniature_size
    for row in rows:
        assert re.fullmatch(r"20\d\d/[\w.-]+\.midi", row["midi_filename"])
        assert row["audio_filename"] == row["midi_filename"].replace(".midi", ".wav")
        assert row["midi_filename"].startswith(row["year"])


def test_miniature_says_that_it_is_one(members):
    assert b"not the MAESTRO dataset" in members["maestro-v3.0.0/README"]
    assert b"This is not MAESTRO" in members["maestro-v3.0.0/LICENSE"]


def test_two_builds_are_equal_to_the_byte_and_another_seed_differs(raw, tmp_path):
    maestro.build(tmp_path / "again", OPTIONS, seed=1)
    maestro.build(tmp_path / "other", OPTIONS, seed=2)
    assert (tmp_path / "again" / ARCHIVE).read_bytes() == (raw / ARCHIVE).read_bytes()
    assert (tmp_path / "other" / ARCHIVE).read_bytes() != (raw / ARCHIVE).read_bytes()


def test_archive_holds_no_date(raw):
    with zipfile.ZipFile(raw / ARCHIVE) as archive:
        assert {m.date_time for m in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_entries_are_the_rows_in_key_order(entries, rows):
    assert [e.key for e in entries] == sorted(row["midi_filename"] for row in rows)
    by_key = {row["midi_filename"]: row for row in rows}
    for entry in entries:
        row = by_key[entry.key]
        assert entry.split == row["split"]
        assert entry.members == (f"{ARCHIVE}!maestro-v3.0.0/{entry.key}",)
        assert entry.attributes == {
            "canonical_composer": row["canonical_composer"],
            "canonical_title": row["canonical_title"],
            "year": int(row["year"]),
            "duration": float(row["duration"]),
        }


def test_compositions_stay_in_one_split_and_some_are_played_twice(entries):
    splits = {}
    for entry in entries:
        composition = (
            entry.attributes["canonical_composer"],
            entry.attributes["canonical_title"],
        )
        assert splits.setdefault(composition, (entry.group, entry.split)) == (
            entry.group,
            entry.split,
        )
    assert len({group for group, _ in splits.values()}) == len(splits) == 8
    assert {split for _, split in splits.values()} == {"train", "validation", "test"}


def test_split_has_the_official_proportions():
    splits = maestro._splits(1021, 1276)
    plays = [splits[i % 1021] for i in range(1276)]
    for split, official in maestro.OFFICIAL_COUNTS.items():
        assert abs(plays.count(split) - official) <= 2


def test_duration_is_the_end_of_the_midi_file(entries, members):
    for entry in entries:
        midi = pretty_midi.PrettyMIDI(io.BytesIO(members[f"maestro-v3.0.0/{entry.key}"]))
        assert midi.get_end_time() == pytest.approx(entry.attributes["duration"], abs=1e-6)


def test_examples_are_piano_only(entries, raw):
    for entry in entries:
        data = dict(archives.read(raw, entry.members))
        example = DATASET.load(entry, data)
        assert (example.key, example.attributes) == (entry.key, entry.attributes)
        assert {(n.program, n.is_drum) for n in example.note_sequence.notes} == {(0, False)}
        assert {n.pitch for n in example.note_sequence.notes} <= set(range(21, 109))
        assert [t.qpm for t in example.note_sequence.tempos] == [120]


@pytest.mark.parametrize("shape", ["columns", "records"])
def test_both_shapes_of_json_are_read_without_the_csv(shape, members, entries, tmp_path):
    table = json.loads(members[f"{TABLE}.json"])
    assert set(table) == set(maestro.COLUMNS)
    if shape == "records":
        numbers = table["split"]
        table = [{name: column[n] for name, column in table.items()} for n in numbers]
    rest = {k: v for k, v in members.items() if k != f"{TABLE}.csv"}
    write_zip(tmp_path / ARCHIVE, {**rest, f"{TABLE}.json": json.dumps(table).encode()})
    assert list(DATASET.catalogue(tmp_path, OPTIONS)) == entries


def test_an_archive_without_a_table_is_refused(tmp_path):
    write_zip(tmp_path / ARCHIVE, {"maestro-v3.0.0/2004/a.midi": b""})
    with pytest.raises(PipelineError, match=r"neither maestro-v3\.0\.0\.csv"):
        list(DATASET.catalogue(tmp_path, OPTIONS))


def test_a_damaged_table_is_not_taken_for_an_empty_one(tmp_path):
    write_zip(tmp_path / ARCHIVE, {f"{TABLE}.csv": b"split,year\n"})
    packed = bytearray((tmp_path / ARCHIVE).read_bytes())
    packed[30 + len(f"{TABLE}.csv")] ^= 0xFF  # the first byte behind the local header
    (tmp_path / ARCHIVE).write_bytes(packed)
    with pytest.raises(PipelineError, match="damaged"):
        list(DATASET.catalogue(tmp_path, OPTIONS))


def test_rows_that_cannot_be_used_are_rejected(members, rows, tmp_path):
    first, second = sorted(row["midi_filename"] for row in rows)[:2]
    table = members[f"{TABLE}.csv"].decode()
    line = next(line for line in table.splitlines() if second in line)
    changed = re.sub(",(train|validation|test),", ",dev,", line)
    rest = {k: v for k, v in members.items() if k != f"maestro-v3.0.0/{first}"}
    rest[f"{TABLE}.csv"] = table.replace(line, changed).encode()
    write_zip(tmp_path / ARCHIVE, rest)
    missing, unknown, *others = DATASET.catalogue(tmp_path, OPTIONS)
    assert (missing[0], missing[1].reason) == (first, "missing_member")
    assert (unknown[0], unknown[1].reason) == (second, "unknown_split")
    assert all(isinstance(other, Entry) for other in others)


def test_audio_is_read_beside_the_midi(members, tmp_path):
    options = MaestroOptions(version="v3.0.0", audio=True, miniature_size=10)
    row = next(csv.DictReader(io.StringIO(members[f"{TABLE}.csv"].decode())))
    sound = io.BytesIO()
    waveform = np.sin(np.arange(4800) / 20) / 2
    soundfile.write(sound, np.stack([waveform, waveform], 1), 48000, "PCM_16", format="WAV")
    table = "\n".join([",".join(row), ",".join(row.values())])
    content = {
        f"{TABLE}.csv": table.encode(),
        f"maestro-v3.0.0/{row['midi_filename']}": members[f"maestro-v3.0.0/{row['midi_filename']}"],
        f"maestro-v3.0.0/{row['audio_filename']}": sound.getvalue(),
    }
    (source,) = DATASET.sources(options)
    assert source.file == "maestro-v3.0.0.zip"
    write_zip(tmp_path / source.file, content)
    (entry,) = DATASET.catalogue(tmp_path, options)
    example = DATASET.load(entry, dict(archives.read(tmp_path, entry.members)))
    assert example.sample_rate == 48000
    assert example.note_sequence.notes
    np.testing.assert_allclose(example.audio, waveform, atol=1e-4)


ROW = dict(
    zip(
        maestro.COLUMNS,
        ("Antonín Dvořák", "Humoresque № 7", "train", "2008", "2008/a.midi", "2008/a.wav", "61.5"),
        strict=True,
    )
)


def published(raw, rows, options=OPTIONS, members=("2008/a.midi",), form="csv"):
    """Writes an archive by hand, with a table in one of its three forms."""
    top = f"maestro-{options.version}"
    content = {f"{top}/{name}": b"" for name in members}
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, maestro.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        content[f"{top}/{top}.csv"] = text.getvalue().encode()
    else:
        table = rows
        if form == "columns":
            names = {name for row in rows for name in row}
            table = {n: {str(i): r[n] for i, r in enumerate(rows) if n in r} for n in names}
        content[f"{top}/{top}.json"] = json.dumps(table).encode()
    write_zip(raw / DATASET.sources(options)[0].file, content)
    items = list(DATASET.catalogue(raw, options))
    keys = [item.key if isinstance(item, Entry) else item[0] for item in items]
    assert keys == sorted(set(keys))
    return {k: i if isinstance(i, Entry) else i[1] for k, i in zip(keys, items, strict=True)}


@pytest.mark.parametrize("form", ["csv", "columns", "records"])
def test_a_row_is_read_in_every_form_with_its_letters(form, tmp_path):
    row = ROW if form == "csv" else ROW | {"year": 2008, "duration": 61.5}
    (entry,) = published(tmp_path, [row], form=form).values()
    assert entry.group == "Antonín Dvořák: Humoresque № 7"
    assert entry.attributes == {
        "canonical_composer": "Antonín Dvořák",
        "canonical_title": "Humoresque № 7",
        "year": 2008,
        "duration": 61.5,
    }


BAD = [
    ("year", ""), ("year", "MMVIII"), ("year", "nan"), ("year", "2008.5"), ("year", "-1"),
    ("duration", ""), ("duration", "inf"), ("duration", "1:02"), ("duration", "9" * 400),
    ("midi_filename", ""), ("canonical_composer", " "), ("canonical_title", ""), ("split", ""),
]  # fmt: skip
BAD_VALUES = [
    ("year", None), ("year", True), ("year", [2008]), ("duration", {}), ("duration", 10**400),
    ("midi_filename", ["2008/a.midi"]), ("midi_filename", {}), ("canonical_title", 5),
    ("split", None), ("split", ["train"]), ("canonical_composer", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_row_of_the_csv_is_counted(name, value, tmp_path):
    good = ROW | {"midi_filename": "2008/b.midi"}
    members = ("2008/a.midi", "2008/b.midi")
    items = published(tmp_path, [ROW | {name: value}, good], members=members)
    assert isinstance(items.pop("2008/b.midi"), Entry)
    reasons = sorted(item.reason for item in items.values())
    assert reasons == (["bad_row", "not_listed"] if name == "midi_filename" else ["bad_row"])


@pytest.mark.parametrize("form", ["columns", "records"])
@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_of_the_json_is_counted(name, value, form, tmp_path):
    good = ROW | {"midi_filename": "2008/b.midi", "year": 2008, "duration": 9}
    members = ("2008/a.midi", "2008/b.midi")
    items = published(tmp_path, [ROW | {name: value}, good], members=members, form=form)
    assert isinstance(items.pop("2008/b.midi"), Entry)
    assert "bad_row" in {item.reason for item in items.values()}


def test_rows_without_a_column_and_odd_records_are_counted(tmp_path):
    lacking = {name: value for name, value in ROW.items() if name != "year"}
    second = ROW | {"midi_filename": "2008/b.midi"}
    members = ("2008/a.midi", "2008/b.midi")
    items = published(tmp_path, [lacking, second, 5, None], members=members, form="records")
    assert {k: getattr(i, "reason", "") for k, i in items.items()} == {
        "2008/a.midi": "bad_row", "2008/b.midi": "",
        "None (row 3)": "bad_row", "None (row 4)": "bad_row",
    }  # fmt: skip


def test_duplicate_rows_and_files_that_no_row_names_are_counted(tmp_path):
    rows = [ROW, ROW | {"split": "test"}]
    members = ("2008/a.midi", "2009/c.midi", "2009/d.MID", "2009/e.wav", "README")
    items = published(tmp_path, rows, members=members)
    assert items.pop("2008/a.midi").split == "train"  # of two rows the first counts
    assert {key: item.reason for key, item in items.items()} == {
        "2008/a.midi (row 2)": "duplicate_row",
        "2009/c.midi": "not_listed",
        "2009/d.MID": "not_listed",
    }


def test_with_audio_missing_and_unlisted_recordings_are_counted(tmp_path):
    options = MaestroOptions(version="v3.0.0", audio=True, miniature_size=10)
    members = ("2008/a.midi", "2009/e.wav")
    items = published(tmp_path, [ROW], options, members)
    assert {key: item.reason for key, item in items.items()} == {
        "2008/a.midi": "missing_member",
        "2009/e.wav": "not_listed",
    }


@pytest.mark.parametrize(
    "table",
    [
        ("csv", b""), ("csv", b"<html>404</html>"), ("csv", b"\xff\xfe"), ("csv", b"a,b\n1,2\n"),
        ("csv", b"split,year\n" + b"x" * 200_000 + b",1\n"),
        ("json", b""), ("json", b"7"), ("json", b"{}"), ("json", b"[" * 100_000), ("json", b"[]"),
        ("json", b'{"split": NaN}'), ("json", b'{"split": {"0": 1, "0": 2}}'),
        ("json", b'{"split": ["train"]}'), ("json", b'[{"year": ' + b"9" * 5000 + b"}]"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_stops_with_a_remedy(table, tmp_path):
    suffix, content = table
    write_zip(tmp_path / ARCHIVE, {f"{TABLE}.{suffix}": content})
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)):
        list(DATASET.catalogue(tmp_path, OPTIONS))


def test_the_csv_is_preferred_to_the_json(tmp_path):
    table = ",".join(maestro.COLUMNS) + "\n" + ",".join(ROW.values()) + "\n"
    content = {f"{TABLE}.csv": table.encode(), f"{TABLE}.json": b"<html>"}
    write_zip(tmp_path / ARCHIVE, content | {"maestro-v3.0.0/2008/a.midi": b""})
    (entry,) = DATASET.catalogue(tmp_path, OPTIONS)
    assert entry.key == "2008/a.midi"


@pytest.mark.parametrize("version", ["v1.0.0", "v2.0.0", "v3.0.0"])
def test_miniature_of_every_version_is_as_published(version, tmp_path, entries):
    options = MaestroOptions(version=version, audio=False, miniature_size=10)
    maestro.build(tmp_path, options, seed=1)
    (source,) = DATASET.sources(options)
    assert source.file == f"maestro-{version}-midi.zip"
    assert source.urls[0].endswith(f"/maestro/{version}/{source.file}")
    assert source.checksum.startswith("sha256:")
    found = list(DATASET.catalogue(tmp_path, options))
    assert [(e.key, e.split, e.attributes) for e in found] == [
        (e.key, e.split, e.attributes) for e in entries
    ]
    top = f"{source.file}!maestro-{version}"
    table = json.loads(archives.read_one(tmp_path, f"{top}/maestro-{version}.json"))
    assert isinstance(table, dict if version == "v3.0.0" else list)
    assert source.file in archives.read_one(tmp_path, f"{top}/README").decode()


def test_miniature_with_audio_sounds_as_its_midi(tmp_path, monkeypatch):
    monkeypatch.setattr(maestro, "_SAMPLE_RATES", (8_000, 16_000))  # to be quick
    options = MaestroOptions(version="v3.0.0", audio=True, miniature_size=8)
    maestro.build(tmp_path, options, seed=1)
    assert [f.name for f in tmp_path.iterdir()] == [s.file for s in DATASET.sources(options)]
    entries = list(DATASET.catalogue(tmp_path, options))
    assert len(entries) == 8
    rates = set()
    for entry in entries[:1] + entries[-1:]:
        example = DATASET.load(entry, dict(archives.read(tmp_path, entry.members)))
        rates.add(example.sample_rate)
        assert 0.1 < np.abs(example.audio).max() < 1
        notes = example.note_sequence
        seconds = len(example.audio) / example.sample_rate
        assert 0.9 < seconds - notes.total_time < 3  # the pedal holds the last notes, too
        # Where a lone note begins there is more sound than just before it.
        first = min(note.start_time for note in notes.notes)
        at = int(first * example.sample_rate)
        loud = np.abs(example.audio[at : at + example.sample_rate // 4]).max()
        assert loud > 10 * np.abs(example.audio[: max(1, at - 100)]).max()
    assert rates == {8_000, 16_000}


NOTE = "<note>{extra}<pitch><step>{step}</step><octave>{octave}</octave></pitch>{rest}</note>"


def note(step, octave, duration, extra="", rest=""):
    rest = f"<duration>{duration}</duration>{rest}"
    return NOTE.format(extra=extra, step=step, octave=octave, rest=rest)


def test_score_is_read_with_ties_chords_voices_and_fermatas():
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    fermata = "<notations><fermata/></notations>"
    first = [
        "<attributes><divisions>2</divisions></attributes>",
        '<direction><sound tempo="66"/></direction>',
        note("C", 4, 2),
        note("E", 4, 2, extra="<chord/>"),
        note("G", 4, 2, rest=start),
        "<backup><duration>4</duration></backup>",
        note("C", 3, 4),
    ]
    second = [
        note("A", 5, 0, extra="<grace/>").replace("<duration>0</duration>", ""),
        note("G", 4, 1, rest=stop),
        "<forward><duration>1</duration></forward>",
        note("B", 4, 2, rest=fermata),
    ]
    horn_key = "<attributes><transpose><chromatic>-7</chromatic></transpose></attributes>"
    horn = ["<attributes><divisions>1</divisions></attributes>", horn_key, note("C", 5, 2)]
    filler = [note("F", 4, 4)] * 80
    parts = [[first, second, filler], [horn, [note("D", 5, 2)]]]
    xml = "".join(
        f"<part>{''.join(f'<measure>{chr(10).join(m)}</measure>' for m in part)}</part>"
        for part in parts
    )
    score = _scores.read(f"<score-partwise>{xml}</score-partwise>".encode())
    notes = zip(score.onsets.tolist(), score.pitches.tolist(), score.lengths.tolist(), strict=True)
    # The horn sounds a fifth lower than written; the tie makes one g of a quarter and an eighth.
    assert list(notes)[:8] == [
        (0, 48, 2),
        (0, 60, 1),
        (0, 64, 1),
        (0, 65, 2),
        (1, 67, 1.5),
        (2, 67, 2),
        (3, 71, 1),
        (4, 65, 2),
    ]
    assert score.bars.tolist() == [0, 2, 4]
    assert score.fermatas.tolist() == [4]
    assert score.qpm == 66


def test_score_equals_music21s_reading():
    import music21

    path = corpus() / "schumann_clara" / "polonaise_op1n2.mxl"
    stream = music21.converter.parseFile(path, forceSource=True).stripTies().flatten()
    expected = sorted(
        (round(float(element.offset), 3), pitch.midi, round(float(element.quarterLength), 3))
        for element in stream.notes
        if not element.duration.isGrace
        for pitch in element.pitches
    )
    score = _scores.read(path.read_bytes())
    columns = (score.onsets.round(3), score.pitches, score.lengths.round(3))
    assert sorted(zip(*(c.tolist() for c in columns), strict=True)) == expected


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (b"<score-timewise/>", "not_partwise"),
        (b"<score-partwise><part/></score-partwise>", "bad_length"),
    ],
)
def test_unfit_scores_are_rejected(xml, reason):
    with pytest.raises(Rejected, match=reason):
        _scores.read(xml)


CHORALE = corpus() / "bach" / "bwv269.mxl"


@pytest.fixture(scope="module")
def score():
    return _scores.read(CHORALE.read_bytes())


@pytest.fixture(scope="module")
def performance(score):
    content, _ = _pianist.perform(score, np.random.default_rng(4))
    return pretty_midi.PrettyMIDI(io.BytesIO(content))


def test_performance_has_the_notes_of_the_score(score, performance):
    (piano,) = performance.instruments
    in_score = {(round(o * 24), p) for o, p in zip(score.onsets, score.pitches, strict=True)}
    assert len(piano.notes) == len(in_score)  # unisons are struck once
    assert sorted(n.pitch for n in piano.notes) == sorted(p for _, p in in_score)
    assert performance.resolution == 480


def test_a_key_is_never_struck_while_it_is_down(performance):
    notes = sorted((n.pitch, n.start, n.end) for n in performance.instruments[0].notes)
    same_key = [(a, b) for a, b in itertools.pairwise(notes) if a[0] == b[0]]
    assert all(a[2] <= b[1] for a, b in same_key)
    assert min(end - start for _, start, end in notes) >= 0.025


def test_highest_notes_are_louder_and_lead(score):
    is_top, _ = _pianist._outer_voices(score)
    louder, earlier = [], []
    for seed in range(8):
        content, _ = _pianist.perform(score, np.random.default_rng(seed))
        notes = pretty_midi.PrettyMIDI(io.BytesIO(content)).instruments[0].notes
        tops = set(score.pitches[is_top].tolist()) - set(score.pitches[~is_top].tolist())
        inner = set(score.pitches[~is_top].tolist()) - set(score.pitches[is_top].tolist())
        high = [n for n in notes if n.pitch in tops]
        low = [n for n in notes if n.pitch in inner]
        louder.append(np.mean([n.velocity for n in high]) - np.mean([n.velocity for n in low]))
        gaps = [a.start - min((b.start for b in low), key=lambda s: abs(s - a.start)) for a in high]
        earlier.append(np.median(gaps))
    assert np.mean(louder) > 8
    assert -0.03 < np.mean(earlier) < -0.005


def test_ritardando_follows_its_formula():
    left = np.array([8.0, 6.0, 3.0, 0.0])
    expected = [1.0, 1.0, (1 + (0.5**3 - 1) * 0.5) ** (1 / 3), 0.5]
    np.testing.assert_allclose(_pianist._ritardando(left, over=6, to=0.5), expected)


def test_tempo_wanders_and_slows_down_at_the_end(score):
    clocks = [
        _pianist._clock(score, _pianist._phrase_ends(score), np.random.default_rng(seed))
        for seed in range(16)
    ]
    steps = np.array([np.diff(seconds) for _, seconds in clocks])
    end = int((score.onsets + score.lengths).max() / _pianist._GRID)
    assert (steps > 0).all()
    assert (steps[:, end - 2] / np.median(steps, axis=1)).mean() > 1.4
    assert 0.03 < (steps[:, : end // 2].std(1) / steps[:, : end // 2].mean(1)).mean() < 0.2


def test_wander_is_stationary_with_its_deviation_and_relaxation():
    values = np.array([_pianist._wander(60, 2.0, 5, np.random.default_rng(s)) for s in range(4000)])
    assert values.std(0) == pytest.approx(np.full(60, 2.0), rel=0.08)
    correlation = np.corrcoef(values[:, 20], values[:, 25])[0, 1]
    assert correlation == pytest.approx(np.exp(-1), abs=0.05)


def test_pedal_is_lifted_and_pressed_in_turn_and_ends_up(performance):
    changes = performance.instruments[0].control_changes
    assert {c.number for c in changes} == {64}
    times = [c.time for c in changes]
    assert times == sorted(times)
    is_down = [c.value > 0 for c in changes]
    assert is_down == [i % 2 == 0 for i in range(len(changes))]
    assert all(64 <= c.value <= 127 for c in changes if c.value)
    assert changes[-1].value == 0
    assert len(changes) > 10
