"""The mu-law codec against its formula written as a loop, and against librosa."""

from __future__ import annotations

import doctest
import math

import librosa
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.audio import companding
from pipeline.audio.companding import mu_law_decode, mu_law_encode
from pipeline.codecs._labelled_sound import LABELS
from pipeline.codecs.mu_law import CODEC, MuLawOptions
from pipeline.errors import Rejected
from pipeline.example import Example

OPTIONS = MuLawOptions(sample_rate=16_000, num_samples=1000, mu=255)
NSYNTH = {
    "pitch": 24,
    "velocity": 127,
    "instrument": 656,
    "instrument_family": 0,
    "instrument_source": 1,
    "qualities": [0, 1, 0, 0, 0, 0, 0, 0, 1, 0],
    "note_str": "bass_electronic_018-024-127",
    "instrument_str": "bass_electronic_018",
}


def sine(num_samples: int = 800, amplitude: float = 0.5) -> np.ndarray:
    seconds = np.arange(num_samples) / 16_000
    return (amplitude * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)


def example(audio: np.ndarray | None = None, **attributes) -> Example:
    audio = sine() if audio is None else audio
    return Example("kick.wav", audio=audio, sample_rate=16_000, attributes=attributes)


@pytest.mark.parametrize("mu", [1, 15, 100, 255])
def test_encoding_is_the_formula_of_the_paper(mu):
    audio = np.concatenate([np.linspace(-1, 1, 1001), [1e-9, -1e-9]]).astype(np.float32)
    for value, got in zip(audio.tolist(), mu_law_encode(audio, mu).tolist(), strict=True):
        companded = math.copysign(math.log(1 + mu * abs(value)) / math.log(1 + mu), value)
        position = (companded + 1) / 2 * mu
        assert abs(got - position) <= 0.5 + 1e-9, "it is the nearest class"


@pytest.mark.parametrize("mu", [1, 15, 100, 255])
def test_decoding_is_the_formula_of_the_paper(mu):
    for value, got in enumerate(mu_law_decode(np.arange(mu + 1), mu).tolist()):
        companded = 2 * value / mu - 1
        expected = math.copysign(((1 + mu) ** abs(companded) - 1) / mu, companded)
        assert got == pytest.approx(expected, abs=1e-7)


def test_librosa_companding_is_the_same_and_its_quantization_rounds_up():
    audio = np.random.default_rng([0]).uniform(-1, 1, 20_000)
    position = (librosa.mu_compress(audio, mu=255, quantize=False) + 1) / 2 * 255
    np.testing.assert_array_equal(mu_law_encode(audio), np.floor(position + 0.5))
    theirs = librosa.mu_compress(audio, mu=255, quantize=True) + 128
    np.testing.assert_array_equal(theirs, np.ceil(position))
    is_up = position % 1 >= 0.5
    np.testing.assert_array_equal(mu_law_encode(audio)[is_up], theirs[is_up])
    np.testing.assert_array_equal(mu_law_encode(audio)[~is_up] + 1, theirs[~is_up])


def test_decoding_equals_librosa():
    classes = np.arange(256)
    expected = librosa.mu_expand(2 * classes / 255 - 1, mu=255, quantize=False)
    np.testing.assert_allclose(mu_law_decode(classes), expected, atol=1e-7)


@pytest.mark.parametrize("mu", range(1, 256))
def test_each_class_is_that_of_its_amplitude(mu):
    classes = np.arange(mu + 1)
    amplitudes = mu_law_decode(classes, mu)
    assert np.abs(amplitudes).max() == 1
    np.testing.assert_array_equal(mu_law_encode(amplitudes, mu), classes)
    assert mu_law_encode(np.zeros(1), mu) == (mu + 1) // 2


def test_amplitudes_beyond_one_are_an_error():
    for value in (1.001, -2, math.nan):
        with pytest.raises(ValueError, match="lower the gain"):
            mu_law_encode(np.float32([0, value]))


def test_shorter_audio_is_padded_and_longer_cut():
    (short,) = CODEC.encode(example(sine(800)), OPTIONS)
    np.testing.assert_array_equal(short["audio"][:800], mu_law_encode(sine(800)))
    assert (short["audio"][800:] == 128).all()
    (long,) = CODEC.encode(example(sine(3000)), OPTIONS)
    np.testing.assert_array_equal(long["audio"], mu_law_encode(sine(3000)[:1000]))


def test_labels_of_nsynth_are_kept_and_missing_ones_marked():
    (record,) = CODEC.encode(example(**NSYNTH), OPTIONS)
    assert {name: np.asarray(record[name]).tolist() for name in record if name != "audio"} == {
        name: NSYNTH[name] for name in NSYNTH if not name.endswith("_str")
    }
    (bare,) = CODEC.encode(example(instrument="kick"), OPTIONS)
    assert [int(bare[name]) for name in LABELS] == [-1] * 5
    assert bare["qualities"].tolist() == [0] * 10


def test_records_are_as_declared():
    (record,) = CODEC.encode(example(**NSYNTH), OPTIONS)
    features = CODEC.features(OPTIONS)
    assert record.keys() == features.keys()
    for name, feature in features.items():
        assert (np.shape(record[name]), record[name].dtype) == (feature.shape, feature.dtype)
        if not name.startswith("qualities"):
            assert np.all(record[name] < CODEC.num_classes(OPTIONS, name))


@pytest.mark.parametrize("mu", [3, 254, 255])
def test_decoding_and_encoding_again_changes_nothing(mu):
    options = OPTIONS.model_copy(update={"mu": mu})
    noise = np.random.default_rng([mu]).uniform(-1, 1, 900).astype(np.float32)
    for source in (example(**NSYNTH), example(noise), example(sine(1000, 1e-2 + 1 / mu))):
        (record,) = CODEC.encode(source, options)
        (again,) = CODEC.encode(CODEC.decode(record, options), options)
        assert {k: v.tobytes() for k, v in again.items()} == {
            k: v.tobytes() for k, v in record.items()
        }


def test_statistics_by_hand():
    (record,) = CODEC.encode(example(sine(800, 0.5), pitch=69), OPTIONS)
    values = CODEC.statistics(record, OPTIONS)
    assert values["duration_seconds"] == pytest.approx(0.05, abs=2 / 16_000)
    assert values["peak_db"] == pytest.approx(20 * math.log10(0.5), abs=0.2)
    assert values["rms_db"] == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.2)
    assert values["pitch"] == 69


def test_statistics_of_generated_silence_are_numbers():
    record = {"audio": np.full(1000, 128, np.uint8)}
    assert np.isfinite(list(CODEC.statistics(record, OPTIONS).values())).all()


@pytest.mark.parametrize(
    ("reason", "audio"),
    [
        ("no_audio", np.zeros(0, np.float32)),
        ("non_finite", np.float32([0.1, np.nan])),
        ("non_finite", np.float32([0.1, np.inf])),
        ("clipped", np.float32([0.1, -1.01])),
        ("silent", np.zeros(500, np.float32)),
        ("silent", np.concatenate([np.zeros(1000), sine()]).astype(np.float32)),
    ],
)
def test_rejections(reason, audio):
    with pytest.raises(Rejected) as error:
        CODEC.encode(example(audio), OPTIONS)
    assert error.value.reason == reason
    assert "kick.wav" in error.value.detail


def test_another_sample_rate_is_rejected_with_the_remedy():
    source = Example("kick.wav", audio=sine(), sample_rate=44_100)
    with pytest.raises(Rejected) as error:
        CODEC.encode(source, OPTIONS)
    assert error.value.reason == "sample_rate"
    assert error.value.detail == (
        "sample_rate=44100 differs from options.sample_rate=16000 (kick.wav). Resample the file, "
        "or change the value in params.yaml."
    )


def test_mu_must_fit_a_byte():
    with pytest.raises(ValidationError):
        MuLawOptions(sample_rate=16_000, num_samples=1000, mu=256)


def test_docstrings():
    assert doctest.testmod(companding).failed == 0
    assert doctest.testmod(companding).attempted == 2
