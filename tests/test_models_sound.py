"""What models of sound share: crops, pairs, ways from one note to another, records."""

import numpy as np
import pytest

from pipeline.audio.companding import mu_law_decode
from pipeline.codecs import mu_law, waveform
from pipeline.codecs.base import Feature
from pipeline.example import Example
from pipeline.models import _sound
from pipeline.models.base import Shards
from tests import toy_corpus

LENGTH = 1000
OPTIONS = {"sample_rate": 16_000, "num_samples": LENGTH}
FAMILIES, PITCHES = (0, 1, 0, 2, 2), (60, 72, 61, 63, 60)


def record(number):
    """Sample i is number * 1000 + i: it says where it was cut from."""
    labels = dict.fromkeys(_sound.LABELS, np.int64(0))
    labels |= {"instrument_family": np.int64(FAMILIES[number % 5])}
    labels |= {"pitch": np.int64(PITCHES[number % 5])}
    audio = (number * LENGTH + np.arange(LENGTH)).astype(np.int16)
    return {"key": f"note-{number:02d}", "audio": audio, **labels,
            "qualities": np.zeros(10, np.int64)}  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    codec = waveform.CODEC
    folder = tmp_path_factory.mktemp("toy") / "toy"
    features = {"key": Feature(), **codec.features(codec.Options(**OPTIONS))}
    return Shards.open(toy_corpus.write(folder, features, record, {}, OPTIONS))


def params(**changed):
    values = {"epochs": 1, "steps_per_epoch": 1, "patience": 1, "batch_size": 4}
    values |= {"learning_rate": 0.1, "crop_samples": 100, "shuffle_window": 8}
    return _sound.SoundParams(**(values | {"num_pairs": 2, "num_points": 3} | changed))


def test_training_crops_are_pieces_of_notes_that_the_seed_alone_decides(shards):
    def drawn(seed):
        batches = _sound.crops(shards, "train", params(), seed, ("pitch",)).take(8)
        return list(batches.as_numpy_iterator())

    found = drawn(3)
    for batch in found:
        assert batch["audio"].shape == (4, 100)
        steps = np.diff(batch["audio"].astype(int), axis=1)
        assert (steps == 1).all()
        np.testing.assert_array_equal(batch["audio"][:, 0] % LENGTH, batch["start"])
    starts = np.concatenate([batch["start"] for batch in found])
    assert starts.min() >= 0
    assert starts.max() <= LENGTH - 100
    assert len(set(starts.tolist())) > 20
    for own, again in zip(found, drawn(3), strict=True):
        np.testing.assert_array_equal(own["audio"], again["audio"])
    assert any((a["audio"] != b["audio"]).any() for a, b in zip(found, drawn(4), strict=True))


def test_held_out_crops_are_one_pass_over_the_beginnings(shards):
    batches = list(_sound.crops(shards, "test", params(), 3, ()).as_numpy_iterator())
    audio = np.concatenate([batch["audio"] for batch in batches])
    assert len(audio) == shards.num_examples("test")
    assert (audio[:, 0] % LENGTH == 0).all()


def test_pairs_are_of_different_families_and_the_nearest_pitch(shards):
    found = _sound.sources(shards, "test", params(), 64)
    assert len(found) == 4
    keys = [note["key"] for note in found]
    assert len(set(keys)) == 4
    notes = _sound.notes(shards, "test")
    for first, second in zip(found[0::2], found[1::2], strict=True):
        assert first["instrument_family"] != second["instrument_family"]
        distance = abs(first["pitch"] - second["pitch"])
        others = [n for n in notes if n["instrument_family"] != first["instrument_family"]]
        assert first is not found[0] or distance == min(
            abs(first["pitch"] - n["pitch"]) for n in others
        )


def test_a_way_begins_with_the_first_and_ends_with_the_second(shards):
    sources = _sound.sources(shards, "test", params(), 64)

    def mix(firsts, seconds, shares):
        a, b = (_sound.waveforms(OPTIONS, np.stack([n["audio"] for n in x]))
                for x in (firsts, seconds))  # fmt: skip
        return (1 - shares[:, None]) * a + shares[:, None] * b

    made = _sound.interpolations(params(), OPTIONS, sources, mix)
    assert len(made) == 2 * 3
    np.testing.assert_array_equal(made[0]["audio"], sources[0]["audio"])
    np.testing.assert_array_equal(made[2]["audio"], sources[1]["audio"])
    assert made[0]["caption"] == f"{_sound.FAMILIES[sources[0]['instrument_family']]} 100 %"
    assert " 50 %, " in made[1]["caption"]
    assert all(int(r["pitch"]) == int(sources[0]["pitch"]) for r in made[:3])
    np.testing.assert_array_equal(made[5]["source_audio"], sources[2]["audio"])


def test_records_are_what_the_codec_makes_of_the_same_sound():
    audio = np.random.default_rng(1).uniform(-1, 1, LENGTH).astype(np.float32)
    for module, options in ((waveform, OPTIONS), (mu_law, {**OPTIONS, "mu": 255})):
        codec = module.CODEC
        (theirs,) = codec.encode(Example("k", audio=audio, sample_rate=16_000),
                                 codec.Options(**options))  # fmt: skip
        (own,) = _sound.records_of(options, audio[None], [{}])
        np.testing.assert_array_equal(own["audio"], theirs["audio"])
        assert own["audio"].dtype == theirs["audio"].dtype
        decoded = codec.decode(own, codec.Options(**options)).audio
        np.testing.assert_array_equal(_sound.waveforms(options, own["audio"]), decoded)


def test_loud_and_short_sounds_are_clipped_and_padded():
    (own,) = _sound.records_of({**OPTIONS, "mu": 255}, np.full((1, 10), 3.0), [{"pitch": 5}])
    decoded = mu_law_decode(own["audio"])
    assert (decoded[:10] == 1).all()
    assert (own["audio"][10:] == 128).all()
    assert int(own["pitch"]) == 5
