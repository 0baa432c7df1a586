"""NSynth and its miniature: layout, splits, names, and notes that sound as they are named."""

import io
import json
import re
import tarfile
import wave

import numpy as np
import pytest

from pipeline import archives
from pipeline.datasets.base import Entry
from pipeline.datasets.nsynth import DATASET, NSynthOptions
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.miniatures import _archives, nsynth

FILTERS = ("families", "instrument_sources", "min_pitch", "max_pitch", "velocities")
OPTIONS = NSynthOptions(subset="all", miniature_size=48, **dict.fromkeys(FILTERS))
ARCHIVES = [f"nsynth-{split}.jsonwav.tar.gz" for split in ("train", "valid", "test")]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("nsynth")
    nsynth.build(out, OPTIONS, seed=1)
    return out


@pytest.fixture(scope="module")
def entries(raw):
    return list(DATASET.catalogue(raw, OPTIONS))


def loaded(raw, entry):
    return DATASET.load(entry, dict(archives.read(raw, entry.members)))


def test_archives_are_those_of_the_sources(raw):
    assert sorted(f.name for f in raw.iterdir()) == sorted(s.file for s in DATASET.sources(OPTIONS))


def test_members_have_the_published_names(raw):
    with tarfile.open(raw / ARCHIVES[0]) as tar:
        names = tar.getnames()
    assert "nsynth-train/examples.json" in names
    others = [n for n in names if n != "nsynth-train/examples.json"]
    assert all(n.startswith("nsynth-train/audio/") and n.endswith(".wav") for n in others)


def test_two_builds_are_equal_to_the_byte(raw, tmp_path):
    nsynth.build(tmp_path, OPTIONS, seed=1)
    assert all((raw / a).read_bytes() == (tmp_path / a).read_bytes() for a in ARCHIVES)


def test_another_seed_gives_other_notes(entries, tmp_path):
    nsynth.build(tmp_path, OPTIONS, seed=2)
    assert {e.key for e in DATASET.catalogue(tmp_path, OPTIONS)} != {e.key for e in entries}


def test_catalogue_is_in_key_order_and_of_the_size_asked_for(entries):
    keys = [e.key for e in entries]
    assert keys == sorted(set(keys))
    assert len(keys) == OPTIONS.miniature_size


def test_train_shares_no_instrument(entries):
    instruments = {s: {e.group for e in entries if e.split == s} for s in ("train", "validation")}
    tested = {e.group for e in entries if e.split == "test"}
    assert all((*instruments.values(), tested))
    assert not instruments["train"] & (instruments["validation"] | tested)


def test_fields_are_those_that_are_published(entries):
    entry = entries[0]
    assert set(entry.attributes) == {
        *("note", "note_str", "instrument", "instrument_str", "pitch", "velocity", "sample_rate"),
        *("qualities", "qualities_str", "instrument_family", "instrument_family_str"),
        *("instrument_source", "instrument_source_str"),
    }
    assert len(entry.attributes["qualities"]) == 10
    assert len({e.attributes["note"] for e in entries}) == len(entries)
    assert all(21 <= e.attributes["pitch"] <= 108 for e in entries)
    assert {e.attributes["velocity"] for e in entries} == set(nsynth.VELOCITIES)
    assert len({e.attributes["instrument_family_str"] for e in entries}) == 11


def test_a_note_is_four_seconds_at_16_khz(raw, entries):
    example = loaded(raw, entries[0])
    assert example.sample_rate == 16_000
    assert example.audio.dtype == np.float32
    assert example.audio.shape == (64_000,)
    assert 0 < np.abs(example.audio).max() <= 1
    assert dict(example.attributes) == dict(entries[0].attributes)


def test_harmonics_of_the_notes_are_at_their_pitches(raw, entries):
    """Each note has most of its energy at multiples of the pitch's frequency.

    Bells and organs are left out: theirs is elsewhere by nature. By chance it would be a tenth.
    """
    tuned = [e for e in entries if e.attributes["instrument_family_str"] in ("string", "reed")]
    assert len(tuned) >= 6
    for entry in tuned:
        share = harmonic_share(loaded(raw, entry).audio, entry.attributes["pitch"])
        assert share > 0.8, (entry.key, share)


def test_strongest_frequency_of_a_sine_like_note_is_its_pitch():
    audio = nsynth._rendered(program=79, pitch=69, velocity=100)  # ocarina
    spectrum = np.abs(np.fft.rfft(audio[:32_000]))
    assert spectrum.argmax() * 16_000 / 32_000 == pytest.approx(440, abs=4)


def test_louder_velocity_is_louder_and_release_ends_the_note():
    soft, loud = (nsynth._rendered(40, 69, velocity) for velocity in (25, 127))
    assert rms(loud) > 4 * rms(soft)
    assert rms(loud[60_000:]) < 0.01 * rms(loud[32_000:48_000])


def harmonic_share(audio, pitch):
    held = audio[1_600:32_000]
    power = np.abs(np.fft.rfft(held * np.hanning(len(held)))) ** 2
    frequency_hz = np.fft.rfftfreq(len(held), 1 / 16_000)
    f0 = 440 * 2 ** ((pitch - 69) / 12)
    harmonic = np.round(frequency_hz / f0)
    near = np.abs(frequency_hz - harmonic * f0) < np.maximum(4, 0.015 * frequency_hz)
    return power[near & (harmonic >= 1)].sum() / power.sum()


def rms(audio):
    return float(np.sqrt(np.mean(audio**2)))


def test_qualities_follow_their_rules():
    """A plucked string dies away, a bowed one does not; only the former is fast_decay."""
    numbered = {i.instrument.program: i for s in nsynth._instruments_by_split().values() for i in s}
    plucked = nsynth._qualities(nsynth._rendered(45, 60, 100), numbered[45])
    bowed = nsynth._qualities(nsynth._rendered(40, 60, 100), numbered[40])
    assert {"fast_decay", "percussive"} <= plucked
    assert not {"fast_decay", "percussive"} & bowed
    assert "distortion" in nsynth._qualities(nsynth._rendered(30, 60, 100), numbered[30])


def changed(**values):
    return NSynthOptions(**{**OPTIONS.model_dump(), **values})


def catalogued(raw, options):
    items = list(DATASET.catalogue(raw, options))
    keys = [item.key if isinstance(item, Entry) else item[0] for item in items]
    assert keys == sorted(keys)
    rejected = {item[0]: item[1].reason for item in items if not isinstance(item, Entry)}
    return {item.key: item for item in items if isinstance(item, Entry)}, rejected


NOTE_FILTERS = [
    ({"families": ("brass", "reed")}, "family_not_wanted",
     lambda f: f["instrument_family_str"] in ("brass", "reed")),
    ({"instrument_sources": ("electronic",)}, "source_not_wanted",
     lambda f: f["instrument_source_str"] == "electronic"),
    ({"min_pitch": 60}, "pitch_not_wanted", lambda f: f["pitch"] >= 60),
    ({"max_pitch": 60}, "pitch_not_wanted", lambda f: f["pitch"] <= 60),
    ({"min_pitch": 0, "max_pitch": 0}, "pitch_not_wanted", lambda f: f["pitch"] == 0),
    ({"velocities": (25, 127)}, "velocity_not_wanted", lambda f: f["velocity"] in (25, 127)),
]  # fmt: skip


@pytest.mark.parametrize(("values", "reason", "is_wanted"), NOTE_FILTERS)
def test_filters_count_what_they_leave_out(values, reason, is_wanted, raw, entries):
    kept, rejected = catalogued(raw, changed(**values))
    assert set(kept) == {e.key for e in entries if is_wanted(e.attributes)}
    assert len(kept) + len(rejected) == OPTIONS.miniature_size
    assert set(rejected.values()) == {reason}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_pitch": 61, "max_pitch": 60}, "min_pitch=61 is more than that"),
        ({"families": ("harp",)}, "bass"),
        ({"velocities": ()}, "at least 1 item"),
    ],
)
def test_options_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        changed(**values)


GANSYNTH = changed(subset="gansynth")
SPLITS = "nsynth-gansynth_splits.csv"


def note(instrument, pitch, velocity=100, **changes):
    family, source, _ = instrument.split("_")
    fields = {
        "note": 7, "note_str": f"{instrument}-{pitch:03d}-{velocity:03d}", "instrument": 3,
        "instrument_str": instrument, "pitch": pitch, "velocity": velocity, "sample_rate": 16_000,
        "qualities": [0] * 9 + [1], "qualities_str": ["tempo-synced"],
        "instrument_family": nsynth.FAMILIES.index(family), "instrument_family_str": family,
        "instrument_source": nsynth.SOURCES.index(source), "instrument_source_str": source,
    }  # fmt: skip
    fields.update(changes)
    return {fields["note_str"]: fields}


def published(raw, notes, splits=None, **others):
    """Writes the three archives without sound; train holds `notes`."""
    for split in ("train", "valid", "test"):
        found = notes if split == "train" else others.get(split, {})
        text = found if isinstance(found, str) else json.dumps(found)
        archive = raw / f"nsynth-{split}.jsonwav.tar.gz"
        _archives.write_tar_gz(archive, {f"nsynth-{split}/examples.json": text.encode()})
    if splits is not None:
        (raw / SPLITS).write_text(splits)


def test_gansynth_takes_its_own_split_and_counts_the_rest(tmp_path):
    notes = [("reed_acoustic_001", p) for p in (23, 24, 60, 61, 62, 84, 85)]
    train = {k: v for n in notes for k, v in note(*n).items()} | note("reed_electronic_002", 60)
    valid = note("reed_acoustic_009", 50)
    named = {24: "train", 60: "test", 61: "valid", 84: "validation"}
    rows = [f"reed_acoustic_001-{pitch:03d}-100,{split}" for pitch, split in named.items()]
    rows += ["reed_acoustic_009-050-100,train", "reed_acoustic_099-050-100,train"]
    published(tmp_path, train, "id,split\r\n" + "\r\n".join(rows) + "\r\n", valid=valid)
    kept, rejected = catalogued(tmp_path, GANSYNTH)
    assert {e.attributes["pitch"]: e.split for e in kept.values()} == {
        24: "train", 60: "test", 61: "validation", 84: "validation", 50: "train",
    }  # fmt: skip
    assert all(e.group == e.key for e in kept.values())  # instruments are in all splits
    member = kept["reed_acoustic_009-050-100"].members[0]
    assert member.startswith("nsynth-valid.jsonwav.tar.gz!nsynth-valid/audio/")
    assert rejected == {
        "reed_acoustic_001-023-100": "not_in_gansynth_subset",
        "reed_acoustic_001-085-100": "not_in_gansynth_subset",
        "reed_electronic_002-060-100": "not_in_gansynth_subset",
        "reed_acoustic_001-062-100": "not_in_gansynth_split",
        "reed_acoustic_099-050-100": "missing_note",
    }


@pytest.mark.parametrize(
    "splits",
    ["", "<html>404</html>", "id,split\na,dev\n", "split,id\ntrain\n",
     "id,split\na,train\na,test\n", "id,split\n,train\n", "id,split\na\n"],
)  # fmt: skip
def test_a_wrong_table_of_gansynths_splits_stops_with_a_remedy(splits, tmp_path):
    published(tmp_path, note("reed_acoustic_001", 60), splits)
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)):
        list(DATASET.catalogue(tmp_path, GANSYNTH))


def test_gansynths_miniature_has_its_split(tmp_path):
    nsynth.build(tmp_path, GANSYNTH, seed=1)
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(
        s.file for s in DATASET.sources(GANSYNTH)
    )
    kept, rejected = catalogued(tmp_path, GANSYNTH)
    assert {e.split for e in kept.values()} == {"train", "validation", "test"}
    assert set(rejected.values()) == {"not_in_gansynth_subset", "not_in_gansynth_split"}
    assert len(kept) + len(rejected) == OPTIONS.miniature_size
    splits = (tmp_path / SPLITS).read_bytes()
    assert splits.startswith(b"id,split\n")
    nsynth.build(tmp_path, GANSYNTH, seed=1)
    assert (tmp_path / SPLITS).read_bytes() == splits


HOSTILE = [
    ("velocity", None), ("velocity", "100"), ("pitch", True), ("instrument", 10**30),
    ("instrument_family", 11), ("instrument_source", -1), ("sample_rate", 16_000.0),
    ("qualities", [0] * 9), ("qualities", [0] * 9 + [2]), ("qualities", "0000000000"),
    ("qualities", [0] * 9 + [{}]), ("qualities_str", [1]), ("qualities_str", None),
    ("instrument_str", ["reed"]), ("instrument_family_str", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_hostile_fields_are_rejected(name, value, tmp_path):
    notes = note("reed_acoustic_001", 60)
    notes["reed_acoustic_001-060-100"][name] = value
    published(tmp_path, notes | {"no note": 5})
    assert catalogued(tmp_path, OPTIONS) == (
        {}, {"reed_acoustic_001-060-100": "incomplete_fields", "no note": "incomplete_fields"},
    )  # fmt: skip


def test_fields_that_are_not_published_are_not_kept(tmp_path):
    notes = note("reed_acoustic_001", 60, extra={"nested": [1] * 100})
    published(tmp_path, notes)
    (entry,) = catalogued(tmp_path, OPTIONS)[0].values()
    del notes[entry.key]["extra"]
    assert entry.attributes == notes[entry.key]


def test_pitches_beyond_the_documented_range_are_kept_until_an_option_says_otherwise(tmp_path):
    published(tmp_path, note("reed_acoustic_001", 9) | note("reed_acoustic_001", 119))
    assert len(catalogued(tmp_path, OPTIONS)[0]) == 2
    assert len(catalogued(tmp_path, changed(min_pitch=21, max_pitch=108))[0]) == 0


def test_a_note_in_two_archives_is_counted(tmp_path):
    notes = note("reed_acoustic_001", 60)
    published(tmp_path, notes, valid=notes)
    (entry, duplicate) = DATASET.catalogue(tmp_path, OPTIONS)
    assert (entry.split, duplicate[1].reason) == ("train", "duplicate_note")


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "[]", "7", "[" * 100_000, '{"a": NaN}', '{"a": 1, "a": 2}', "9" * 5000,
     '{"a": "\\udc00"}', '{"a": -1e999}'],
)  # fmt: skip
def test_examples_that_are_not_json_stop_with_a_remedy(text, tmp_path):
    published(tmp_path, text)
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)):
        list(DATASET.catalogue(tmp_path, OPTIONS))


def test_an_archive_without_examples_stops_with_its_name(tmp_path):
    published(tmp_path, note("reed_acoustic_001", 60))
    _archives.write_tar_gz(tmp_path / "nsynth-valid.jsonwav.tar.gz", {"README": b""})
    with pytest.raises(PipelineError, match=r"nsynth-valid/examples\.json"):
        list(DATASET.catalogue(tmp_path, OPTIONS))


def test_faulty_descriptions_are_rejected_with_their_reason(raw, tmp_path):
    with tarfile.open(raw / ARCHIVES[0]) as tar:
        examples = json.load(tar.extractfile("nsynth-train/examples.json"))
    first, second, third, *_ = sorted(examples)
    examples[first]["pitch"] += 1
    del examples[second]["velocity"]
    for split in ("train", "valid", "test"):
        notes = json.dumps(examples if split == "train" else {}).encode()
        archive = tmp_path / f"nsynth-{split}.jsonwav.tar.gz"
        _archives.write_tar_gz(archive, {f"nsynth-{split}/examples.json": notes})
    items = dict(
        item if isinstance(item, tuple) else (item.key, item)
        for item in DATASET.catalogue(tmp_path, OPTIONS)
    )
    assert items[first].reason == "name_mismatch"
    assert items[second].reason == "incomplete_fields"
    assert items[third].split == "train"


def test_faulty_sounds_are_rejected_with_their_reason(entries):
    entry = entries[0]
    (member,) = entry.members
    with pytest.raises(Rejected, match="wrong_sample_rate"):
        DATASET.load(entry, {member: wav(np.zeros(64_000), 44_100)})
    with pytest.raises(Rejected):
        DATASET.load(entry, {member: b"<html>404</html>"})


def wav(audio, sample_rate):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, sample_rate, len(audio), "NONE", ""))
        file.writeframes(np.asarray(audio * 32_767, "<i2").tobytes())
    return buffer.getvalue()


def test_miniature_says_that_it_is_one():
    assert "miniature" in nsynth.NOTICE
