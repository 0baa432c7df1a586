"""The codec of 16-bit samples: what it keeps, what it refuses, and what a sound model returns."""

import numpy as np
import pytest

from pipeline.codecs.waveform import CODEC
from pipeline.errors import Rejected
from pipeline.example import Example

OPTIONS = CODEC.Options(sample_rate=16_000, num_samples=1000)


def example(audio, sample_rate=16_000, **attributes):
    return Example("k", audio=np.asarray(audio, np.float32), sample_rate=sample_rate,
                   attributes=attributes)  # fmt: skip


def test_samples_are_rounded_to_the_nearest_of_32767_steps():
    audio = np.random.default_rng(0).uniform(-1, 1, 1000)
    (record,) = CODEC.encode(example(audio), OPTIONS)
    assert record["audio"].dtype == np.int16
    errors = np.abs(record["audio"] - np.float32(audio).astype(np.float64) * 32767)
    assert errors.max() <= 0.5 + 1e-9


def test_decoding_and_encoding_again_changes_nothing():
    every = np.arange(-32767, 32768, dtype=np.int16)
    options = CODEC.Options(sample_rate=16_000, num_samples=len(every))
    decoded = CODEC.decode({"audio": every, "pitch": np.int64(60)}, options)
    (again,) = CODEC.encode(decoded, options)
    np.testing.assert_array_equal(again["audio"], every)
    assert int(again["pitch"]) == 60
    assert int(again["velocity"]) == -1


def test_short_sound_is_padded_and_long_sound_cut():
    (short,) = CODEC.encode(example(np.full(10, 0.5)), OPTIONS)
    assert (short["audio"][:10] == 16384).all()
    assert not short["audio"][10:].any()
    (long,) = CODEC.encode(example(np.linspace(0.1, 0.9, 3000)), OPTIONS)
    assert len(long["audio"]) == 1000
    assert CODEC.statistics(short, OPTIONS)["duration_seconds"] == 10 / 16_000


@pytest.mark.parametrize(
    ("audio", "sample_rate", "reason"),
    [
        ([], 16_000, "no_audio"),
        ([0.1], 44_100, "sample_rate"),
        ([np.nan, 0.1], 16_000, "non_finite"),
        ([1.5], 16_000, "clipped"),
        (np.full(10, 1e-6), 16_000, "silent"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_its_reason(audio, sample_rate, reason):
    with pytest.raises(Rejected) as raised:
        CODEC.encode(example(audio, sample_rate), OPTIONS)
    assert raised.value.reason == reason


def test_levels_are_those_of_the_sounding_part():
    audio = np.zeros(1000)
    audio[:400] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(400) / 16_000)
    (record,) = CODEC.encode(example(audio, pitch=69), OPTIONS)
    found = CODEC.statistics(record, OPTIONS)
    assert found["rms_db"] == pytest.approx(10 * np.log10(np.mean(audio[:400] ** 2)), abs=0.05)
    assert found["peak_db"] == pytest.approx(20 * np.log10(np.abs(audio).max()), abs=0.01)
    assert found["pitch"] == 69


def test_what_a_model_mixed_keeps_its_caption():
    record = {"audio": np.ones(1000, np.int16), "caption": "string 75 %, reed 25 %"}
    assert CODEC.decode(record, OPTIONS).attributes["caption"] == "string 75 %, reed 25 %"
