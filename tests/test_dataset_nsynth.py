"""NSynth and its miniature: layout, splits, names, and notes that sound as they are named."""

import io
import json
import tarfile
import wave

import numpy as np
import pytest

from pipeline import archives
from pipeline.datasets.nsynth import DATASET, NSynthOptions
from pipeline.errors import Rejected
from pipeline.miniatures import _archives, nsynth

OPTIONS = NSynthOptions(miniature_size=48, families=None)
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


def test_families_filter(raw):
    only = list(DATASET.catalogue(raw, NSynthOptions(miniature_size=48, families=("brass",))))
    assert only
    assert {e.attributes["instrument_family_str"] for e in only} == {"brass"}


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
