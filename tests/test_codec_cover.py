"""The cover codec: picture against Pillow, mel spectrogram against librosa and a loop."""

from __future__ import annotations

import io
import math

import librosa
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.codecs import _track_statistics
from pipeline.codecs._mel import mel_db
from pipeline.codecs._picture import picture_of, settled_jpeg
from pipeline.codecs.cover import AUDIO_FEATURES, CODEC, CoverOptions
from pipeline.errors import Rejected
from pipeline.example import Example

OPTIONS = CoverOptions(
    size=64,
    quality=92,
    num_mel_bins=32,
    hop_length=256,
    n_fft=512,
    sample_rate=16_000,
    num_frames=20,
)
MUSIC = dict(zip(AUDIO_FEATURES, [0.5, 0.75, 7, -6.5, 1, 0.25, 0, 0, 0.125, 1], strict=False))
MUSIC |= {"tempo": 128.5, "duration_ms": 214_973, "time_signature": 4, "type": "audio_features"}


def clip(sample_rate: int = 16_000, num_seconds: float = 1.0) -> np.ndarray:
    seconds = np.arange(int(sample_rate * num_seconds)) / sample_rate
    noise = np.random.default_rng([1]).normal(0, 0.01, len(seconds))
    return (0.5 * np.sin(2 * np.pi * 440 * seconds * (1 + seconds)) + noise).astype(np.float32)


def picture(kind: str, height: int = 64, width: int = 64) -> np.ndarray:
    rng = np.random.default_rng([height, width])
    y, x = np.mgrid[:height, :width] / max(height, width)
    if kind == "noise":
        return rng.integers(0, 256, (height, width, 3), np.uint8)
    if kind == "discs":
        is_in = ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.1)[..., None]
        return np.where(is_in, np.uint8([255, 0, 20]), np.uint8([0, 40, 255]))
    wave = 128 + 127 * np.sin(9 * x + 5 * y)
    return np.stack([255 * x, 255 * y, wave], axis=-1).astype(np.uint8)


def example(**changes) -> Example:
    values = {"picture": picture("gradient", 96, 128), "audio": clip(), "sample_rate": 16_000}
    attributes = {"audio_features": MUSIC, "genre": "jazz", "group": "an album"}
    return Example(
        **{"key": "4iV5W9uYEdYUVa79Axb7Rh", "attributes": attributes, **values, **changes}
    )


def encoded(source: Example, options: CoverOptions = OPTIONS) -> dict:
    (record,) = CODEC.encode(source, options)
    return record


def compress(pixels: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


@pytest.mark.parametrize("quality", [50, 75, 92, 95])
@pytest.mark.parametrize("kind", ["noise", "discs", "gradient"])
@pytest.mark.parametrize("size", [33, 64, 128])
def test_pictures_settle(kind, size, quality):
    source = picture(kind, size, size)
    jpeg = settled_jpeg(source, quality, "k")
    assert compress(picture_of(jpeg), quality) == jpeg
    once, settled = (
        np.mean((picture_of(file) - source.astype(float)) ** 2)
        for file in (compress(source, quality), jpeg)
    )
    # Clipped overshoots at hard edges between saturated colours add up.
    most_db = {"noise": 3, "discs": 5, "gradient": 1}[kind]
    assert 10 * math.log10((settled + 1) / (once + 1)) < most_db


def test_picture_is_the_middle_square_resized():
    source = picture("gradient", 96, 128)
    expected = Image.fromarray(source[:, 16:112]).resize((64, 64), Image.Resampling.LANCZOS)
    got = picture_of(encoded(example())["picture"])
    assert got.shape == (64, 64, 3)
    assert np.abs(got - np.asarray(expected, float)).max() < 16
    assert np.abs(got - np.asarray(expected, float)).mean() < 1.5


def test_jpeg_keeps_full_chroma_resolution():
    from PIL import JpegImagePlugin

    image = Image.open(io.BytesIO(encoded(example())["picture"]))
    assert JpegImagePlugin.get_sampling(image) == 0


def test_mel_equals_librosa():
    audio = clip()[: 19 * 256]
    power = librosa.feature.melspectrogram(y=audio, sr=16_000, n_fft=512, hop_length=256, n_mels=32)
    expected = librosa.power_to_db(power)
    np.testing.assert_allclose(encoded(example())["mel"], expected.T, atol=1e-4)


def test_mel_is_its_formula():
    """One frame as a sum of sines and cosines, one triangle a band, in float64."""
    frame, audio = 6, clip()[: 19 * 256].astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    samples = audio[frame * 256 - 256 : frame * 256 + 256] * window
    power = []
    for k in range(257):
        angle = 2 * np.pi * k * np.arange(512) / 512
        power.append((samples * np.cos(angle)).sum() ** 2 + (samples * np.sin(angle)).sum() ** 2)
    top_mel = 15 + 27 * math.log(8000 / 1000) / math.log(6.4)  # Slaney: 200/3 Hz up to 1 kHz
    mels = [top_mel * i / 33 for i in range(34)]
    edges = [m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27) for m in mels]
    got = mel_db(clip(), 16_000, OPTIONS)[frame]
    floor_db = mel_db(clip(), 16_000, OPTIONS).max() - 80
    for band, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        total = 0.0
        for k in range(257):
            hertz = k * 16_000 / 512
            slope = min((hertz - low) / (middle - low), (high - hertz) / (high - middle))
            total += max(0.0, slope) * 2 / (high - low) * power[k]
        expected = max(10 * math.log10(max(total, 1e-10)), floor_db)
        assert got[band] == pytest.approx(expected, abs=1e-2)


def test_audio_of_another_rate_is_resampled():
    options = OPTIONS.model_copy(update={"num_frames": 60})
    seconds = np.arange(48_000) / 48_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    expected = mel_db(tone[::3], 16_000, options)[5:55]
    got = mel_db(tone, 48_000, options)[5:55]
    assert np.argmax(got, axis=1).tolist() == np.argmax(expected, axis=1).tolist()
    np.testing.assert_allclose(got.max(axis=1), expected.max(axis=1), atol=0.05)


@pytest.mark.parametrize("num_seconds", [0.1, 1.0])
def test_shorter_audio_is_padded_and_longer_cut(num_seconds):
    mel = encoded(example(audio=clip(num_seconds=num_seconds)))["mel"]
    assert (mel.shape, mel.dtype) == ((20, 32), np.float32)
    assert (mel.std(axis=1)[-1] == 0) == (num_seconds == 0.1), "silence is flat"


def test_records_are_as_declared():
    record, features = encoded(example()), CODEC.features(OPTIONS)
    assert record.keys() == features.keys()
    for name in ("mel", "track_statistics", "audio_features"):
        assert record[name].shape == features[name].shape
        assert record[name].dtype == features[name].dtype
    assert (
        record["audio_features"].tolist() == np.float32([MUSIC[n] for n in AUDIO_FEATURES]).tolist()
    )
    assert record["genre"] == "jazz"
    assert record["group"] == "an album"
    bare = encoded(example(attributes={"audio_features": MUSIC, "genre": None, "group": None}))
    assert (bare["genre"], bare["group"]) == ("", example().key)


@pytest.mark.parametrize("kind", ["noise", "discs", "gradient"])
def test_decoding_and_encoding_again_changes_nothing(kind):
    record = encoded(example(picture=picture(kind, 150, 97)))
    again = encoded(CODEC.decode(record, OPTIONS))
    assert again.keys() == record.keys()
    for name in ("mel", "track_statistics", "audio_features"):
        assert again[name].dtype == record[name].dtype
        assert again[name].tobytes() == record[name].tobytes()
    for name in ("picture", "genre", "group"):
        assert again[name] == record[name]


def test_passages_are_what_a_record_holds_of_the_sound():
    """Of a file that has neither cover nor Spotify's features: so a person's track is heard."""
    record = encoded(example())
    (heard,) = CODEC.passages(Example("song", audio=clip(), sample_rate=16_000), OPTIONS)
    assert heard.keys() == {"mel", "track_statistics"}
    for name, values in heard.items():
        np.testing.assert_array_equal(values, record[name])
    for audio, reason in ((None, "no_audio"), (np.zeros(100, np.float32), "silent")):
        with pytest.raises(Rejected) as error:
            CODEC.passages(Example("song", audio=audio, sample_rate=16_000), OPTIONS)
        assert error.value.reason == reason


def test_track_statistics_are_of_what_the_mel_spectrogram_shows():
    """What is cut off is not heard; silence that pads a short track is not counted."""
    audio = clip()
    record = encoded(example(audio=audio))
    other = np.concatenate([audio[:8000], np.float32([0.5, -0.5] * 4000)])
    again = encoded(example(audio=other))
    np.testing.assert_array_equal(again["mel"], record["mel"])
    np.testing.assert_array_equal(again["track_statistics"], record["track_statistics"])
    short = encoded(example(audio=audio[:3000]))["track_statistics"]
    np.testing.assert_array_equal(short, _track_statistics.track_statistics(audio[:3000], 16_000))
    assert not np.array_equal(short, record["track_statistics"])


def test_a_generated_record_may_hold_the_picture_alone():
    decoded = CODEC.decode({"picture": encoded(example())["picture"]}, OPTIONS)
    assert decoded.picture.shape == (64, 64, 3)
    assert decoded.attributes == {}


def test_statistics_by_hand():
    red = np.zeros((64, 64, 3), np.uint8) + np.uint8([254, 0, 0])
    values = CODEC.statistics(encoded(example(picture=red)), OPTIONS)
    assert values["brightness_mean"] == pytest.approx(0.299, abs=0.003)
    assert values["saturation_mean"] == pytest.approx(1, abs=0.01)
    assert values["tempo_bpm"] == 128.5
    assert values["energy"] == 0.75
    assert values["duration_seconds"] == pytest.approx(214.973)


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("no_picture", {"picture": None}),
        ("picture_too_small", {"picture": picture("noise", 63, 100)}),
        ("no_audio", {"audio": None}),
        ("non_finite", {"audio": np.float32([0.5, np.nan])}),
        ("silent", {"audio": np.zeros(100, np.float32)}),
        ("no_audio_features", {"attributes": {}}),
        ("no_audio_features", {"attributes": {"audio_features": {**MUSIC, "tempo": None}}}),
    ],
)
def test_rejections(reason, changes):
    with pytest.raises(Rejected) as error:
        CODEC.encode(example(**changes), OPTIONS)
    assert error.value.reason == reason


def test_frames_must_overlap():
    with pytest.raises(ValidationError, match="hop_length=600 exceeds n_fft=512"):
        CoverOptions(**{**OPTIONS.model_dump(), "hop_length": 600})
