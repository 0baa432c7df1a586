"""Metrics of sounds: librosa, scipy, signals whose values are known, and copies."""

import librosa
import numpy as np
import pytest

from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.metrics import audio as metrics
from pipeline.metrics._timbre import Sound, summary

RATE = 16_000


def seconds(num_seconds=1.0):
    return np.arange(int(num_seconds * RATE)) / RATE


def tone(hz=440.0, decay=3.0, num_partials=4, seed=0):
    t = seconds()
    weights = np.random.default_rng([seed]).uniform(0.2, 1, num_partials)
    waves = [w * np.sin(2 * np.pi * hz * (k + 1) * t) for k, w in enumerate(weights)]
    return Sound((0.2 * np.exp(-decay * t) * np.sum(waves, axis=0)).astype(np.float32), RATE)


def noise(seed=0, level=0.1, num_seconds=1.0):
    samples = np.random.default_rng([seed]).normal(0, level, int(num_seconds * RATE))
    return Sound(samples.astype(np.float32), RATE)


@pytest.mark.parametrize("sound", [tone(), tone(2000, 0.5), noise()], ids=["low", "high", "noise"])
def test_spectral_descriptors_equal_librosa(sound):
    """None of the frames is more than 60 dB below the loudest, so all count."""
    found = metrics.musical_metrics(sound)
    magnitudes = np.abs(librosa.stft(sound.audio, n_fft=1024, hop_length=256))
    of = {"S": magnitudes, "sr": RATE}
    expected = {
        "spectral_centroid_hz": librosa.feature.spectral_centroid(**of),
        "spectral_spread_hz": librosa.feature.spectral_bandwidth(**of),
        "spectral_rolloff_hz": librosa.feature.spectral_rolloff(**of),
        "spectral_flatness": librosa.feature.spectral_flatness(S=magnitudes),
    }
    for name, values in expected.items():
        assert found[name] == pytest.approx(values.mean(), rel=1e-4), name
    crossings = librosa.zero_crossings(sound.audio, threshold=0, pad=False)
    assert found["zero_crossing_rate"] == pytest.approx(crossings.sum() / (RATE - 1), abs=1e-4)


def test_of_white_noise():
    found = metrics.musical_metrics(noise(num_seconds=10))
    assert found["spectral_flatness"] == pytest.approx(np.exp(-np.euler_gamma), rel=0.02)
    assert found["spectral_centroid_hz"] == pytest.approx(RATE / 4, rel=0.01)
    assert found["spectral_spread_hz"] == pytest.approx(RATE / 2 / np.sqrt(12), rel=0.02)
    assert found["spectral_rolloff_hz"] == pytest.approx(0.85 * RATE / 2, rel=0.01)
    assert found["zero_crossing_rate"] == pytest.approx(0.5, rel=0.01)
    assert found["level_db"] == pytest.approx(-20, abs=0.1)


def test_of_a_steady_sine():
    sine = (0.5 * np.sin(2 * np.pi * 1000 * seconds())).astype(np.float32)
    found = metrics.musical_metrics(Sound(sine, RATE))
    assert found["zero_crossing_rate"] == pytest.approx(2000 / RATE, rel=0.01)
    assert found["level_db"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert found["spectral_flux"] < 0.1
    assert found["spectral_flatness"] < 0.01
    assert found["temporal_centroid_seconds"] == pytest.approx(0.49, abs=0.02)


def test_the_attack_of_a_ramp():
    """Up for 0.5 s, then steady: nine tenths less a tenth of half a second."""
    ramp = np.minimum(1, seconds() / 0.5)
    wave = (0.8 * ramp * np.sin(2 * np.pi * 1000 * seconds())).astype(np.float32)
    found = metrics.musical_metrics(Sound(wave, RATE))
    assert found["attack_seconds"] == pytest.approx(0.4, abs=0.01)


def test_level_range_of_an_exponential_decay():
    """The level falls by 40 dB a second: 85 of its hundredths lie between the percentiles."""
    decay = (10 ** (-2 * seconds()) * np.sin(2 * np.pi * 1000 * seconds())).astype(np.float32)
    found = metrics.musical_metrics(Sound(decay, RATE))
    assert found["level_range_db"] == pytest.approx(0.85 * 40, abs=1)
    assert found["attack_seconds"] == 0


def test_the_flux_of_an_alternation_is_a_loop_over_frames():
    t = seconds(0.5)
    sweep = Sound(np.sin(2 * np.pi * (300 + 2000 * t) * t).astype(np.float32), RATE)
    frames = np.abs(librosa.stft(sweep.audio, n_fft=1024, hop_length=256)).T.astype(np.float64)
    angles = [
        1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(frames[1:], frames, strict=False)
    ]
    assert metrics.musical_metrics(sweep)["spectral_flux"] == pytest.approx(np.mean(angles), 1e-4)


def test_silence_around_a_sound_is_not_measured():
    sound = noise()
    padded = Sound(np.pad(sound.audio, (0, 4 * RATE)), RATE)
    alone, within = metrics.musical_metrics(sound), metrics.musical_metrics(padded)
    for name in ("spectral_centroid_hz", "spectral_flatness", "spectral_rolloff_hz"):
        assert within[name] == pytest.approx(alone[name], rel=0.02)


def test_what_has_no_meaning_is_nan():
    silent = metrics.musical_metrics(Sound(np.zeros(RATE, np.float32), RATE))
    assert silent.keys() == metrics.musical_metrics(noise()).keys()
    assert all(np.isnan(value) for value in silent.values())
    click = metrics.musical_metrics(Sound(np.ones(1, np.float32), RATE))
    assert np.isnan(click["spectral_flux"])
    assert np.isnan(click["zero_crossing_rate"])
    assert click["level_db"] == 0


def test_the_content_of_an_example():
    sound = tone()
    example = Example("k", audio=sound.audio, sample_rate=RATE)
    assert metrics.content_of(example, 4).audio is sound.audio
    for changes in ({"audio": None}, {"audio": np.zeros(0, np.float32)}, {"sample_rate": None}):
        with pytest.raises(Rejected, match="no_audio"):
            metrics.content_of(Example(**{**vars(example), **changes}), 4)
    with pytest.raises(Rejected, match="not_mono"):
        metrics.musical_metrics(Sound(np.zeros((2, 50), np.float32), RATE))


def test_a_summary_is_of_librosas_mfcc():
    sound = tone()
    mfcc = librosa.feature.mfcc(
        y=sound.audio, sr=RATE, n_fft=1024, hop_length=256, n_mels=40, n_mfcc=13
    )[1:]
    expected = np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])
    np.testing.assert_allclose(summary(sound), expected, atol=1e-3)


def test_a_copy_is_at_no_distance():
    training = [tone(hz, seed=i) for i, hz in enumerate((200, 300, 400, 500))]
    held_out = [tone(hz, seed=i) for i, hz in enumerate((220, 350, 450), start=9)]
    copied = metrics.memorisation(training[:3], held_out, training)
    assert copied["nearest_training_distance"] == 0
    assert copied["nearest_training_distance_held_out"] > 1
    new = metrics.memorisation([noise(i) for i in range(3)], held_out, training)
    assert new["nearest_training_distance"] > copied["nearest_training_distance_held_out"]
    assert new["frechet_mfcc_distance"] > 3 * new["frechet_mfcc_distance_held_out"] > 0
    assert new.keys() == {
        f"{name}{suffix}"
        for name in ("nearest_training_distance", "frechet_mfcc_distance")
        for suffix in ("", "_held_out")
    }


def test_nearest_distance_is_a_loop():
    sounds = [tone(hz, seed=i) for i, hz in enumerate((200, 300, 410, 520, 600))]
    vectors = [summary(sound) for sound in sounds]
    nearest = [min(np.linalg.norm(vectors[i] - vectors[j]) for j in (2, 3, 4)) for i in (0, 1)]
    found = metrics.memorisation(sounds[:2], sounds[:1], sounds[2:])
    assert found["nearest_training_distance"] == pytest.approx(np.mean(nearest))
    assert found["nearest_training_distance_held_out"] == pytest.approx(nearest[0])
    assert np.isnan(found["frechet_mfcc_distance"])  # of one sound each


def test_variety_is_a_loop_over_pairs():
    sounds = [tone(hz, seed=i) for i, hz in enumerate((200, 300, 410))]
    a, b, c = (summary(sound) for sound in sounds)
    expected = np.mean([np.linalg.norm(a - b), np.linalg.norm(a - c), np.linalg.norm(b - c)])
    assert metrics.set_metrics(sounds, [""] * 3) == {
        "pairwise_mfcc_distance": pytest.approx(expected)
    }
    for few in ([], sounds[:1]):
        assert np.isnan(metrics.set_metrics(few, [""] * len(few))["pairwise_mfcc_distance"])
    assert metrics.set_metrics(sounds[:1] * 3, [""] * 3)["pairwise_mfcc_distance"] == 0


def test_without_training_sounds_nothing_is_known():
    found = metrics.memorisation([tone()], [tone()], [])
    assert all(np.isnan(value) for value in found.values())


def test_rates_are_not_mixed():
    slow = Sound(tone().audio, 8000)
    with pytest.raises(PipelineError, match=r"sample_rate=\[8000, 16000\]"):
        metrics.memorisation([tone()], [slow], [tone()])
    with pytest.raises(PipelineError, match="resample"):
        metrics.set_metrics([tone(), slow], ["", ""])
