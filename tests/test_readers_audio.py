"""The sound reader against the waveforms that were written, in each format."""

import contextlib
import io
import struct

import numpy as np
import pytest
import soundfile

from pipeline.errors import Rejected
from pipeline.readers import audio

RATE = 16_000


def encoded(samples: np.ndarray, file_format: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=file_format, subtype=subtype)
    return file.getvalue()


def sine(num_samples: int = RATE, frequency_hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / RATE)).astype("f4")


@pytest.mark.parametrize(
    ("file_format", "subtype", "tolerance"),
    [
        ("WAV", "FLOAT", 0),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_U8", 2**-7),
        ("FLAC", "PCM_24", 2**-23),
        ("OGG", "VORBIS", 0.05),
    ],
)
def test_waveform_survives_its_format(file_format, subtype, tolerance):
    samples, sample_rate = audio.read(encoded(sine(), file_format, subtype))
    assert (samples.dtype, samples.shape, sample_rate) == (np.float32, (RATE,), RATE)
    assert np.abs(samples - sine()).max() <= tolerance


def test_mp3_keeps_the_pitch():
    samples, sample_rate = audio.read(encoded(sine(), "MP3"))
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * sample_rate / samples.size == pytest.approx(440, abs=2)


def test_channels_are_averaged():
    stereo = np.stack([sine(), -0.5 * sine()], axis=1)
    samples, _ = audio.read(encoded(stereo, "WAV", "FLOAT"))
    np.testing.assert_allclose(samples, 0.25 * sine(), atol=1e-7)


def test_resampling_keeps_the_sine():
    samples, sample_rate = audio.read(encoded(sine(), "WAV", "FLOAT"), sample_rate=22_050)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    assert (samples.dtype, samples.shape, sample_rate) == (np.float32, (22_050,), 22_050)
    np.testing.assert_allclose(samples[500:-500], expected[500:-500], atol=1e-3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "undecodable_audio"),
        (b"<html>404 Not Found</html>", "undecodable_audio"),
        (encoded(sine(0), "WAV"), "empty_audio"),
        (encoded(np.array([0.0, np.nan, 0.0]), "WAV", "FLOAT"), "non_finite_audio"),
        (encoded(np.array([0.0, np.inf]), "WAV", "DOUBLE"), "non_finite_audio"),
    ],
    ids=["nothing", "html", "empty", "nan", "inf"],  # a WAV of floats holds the time of day
)
def test_rejections_have_their_reason(data, reason):
    with pytest.raises(Rejected) as rejected:
        audio.read(data)
    assert rejected.value.reason == reason


def wav(rate_hz: int = RATE, num_channels: int = 1, num_data_bytes: int | None = None) -> bytes:
    """A WAV file whose header says what it is told to, before 100 samples of 16 bits."""
    data = bytes(200)
    size = len(data) if num_data_bytes is None else num_data_bytes
    align = 2 * num_channels
    fields = (1, num_channels, rate_hz, rate_hz * align % 2**32, align % 2**16, 16)
    head = b"fmt " + struct.pack("<IHHIIHH", 16, *fields) + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", (36 + size) % 2**32) + b"WAVE" + head + data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wav(rate_hz=999), "bad_sample_rate"),
        (wav(rate_hz=2**31 - 1), "bad_sample_rate"),
        (wav(rate_hz=0), "undecodable_audio"),
        (wav(num_channels=0), "undecodable_audio"),
        (wav(num_channels=60_000), "undecodable_audio"),
        (encoded(np.float32([3e38, -3e38] * 500), "WAV", "FLOAT"), "non_finite_audio"),
    ],
)
def test_what_a_header_claims_is_checked(data, reason):
    with pytest.raises(Rejected) as rejected:
        audio.read(data, sample_rate=22_050)
    assert rejected.value.reason == reason


@pytest.mark.parametrize("num_data_bytes", [2**32 - 1, 2**31, 202])
def test_a_header_that_claims_more_than_there_is_costs_nothing(num_data_bytes):
    samples, sample_rate = audio.read(wav(num_data_bytes=num_data_bytes))
    assert (samples.shape, sample_rate) == ((100,), RATE)


def test_blocks_make_the_whole(monkeypatch):
    rng = np.random.default_rng(5)
    stereo = rng.uniform(-1, 1, (1000, 2)).astype(np.float32)
    data = encoded(stereo, "WAV", "FLOAT")
    whole, _ = audio.read(data)
    monkeypatch.setattr(audio, "_BLOCK_SAMPLES", 14)
    np.testing.assert_array_equal(audio.read(data)[0], whole)
    np.testing.assert_array_equal(whole, stereo.mean(axis=1, dtype=np.float64).astype(np.float32))


def test_length_is_checked_before_decoding(monkeypatch):
    monkeypatch.setattr(audio, "MAX_SECONDS", 0.5)
    monkeypatch.setattr(soundfile.SoundFile, "read", None)  # a call of it would be a TypeError
    with pytest.raises(Rejected, match="too_long_audio"):
        audio.read(encoded(sine(), "FLAC"))


@pytest.mark.parametrize("file_format", ["WAV", "FLAC", "OGG", "MP3"])
def test_mutations_are_read_or_rejected(file_format):
    rng = np.random.default_rng([21, len(file_format)])
    whole = encoded(sine(4000), file_format)
    for _ in range(200):
        mutated = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        head = rng.integers(0, min(200, len(mutated)), rng.integers(0, 6))
        for position in (*head, *rng.integers(0, len(mutated), 3)):
            mutated[position] = rng.integers(0, 256)
        with contextlib.suppress(Rejected):
            samples, sample_rate = audio.read(bytes(mutated), RATE)
            assert samples.ndim == 1
            assert np.isfinite(samples).all()
            assert sample_rate == RATE


def test_a_rejection_says_the_same_each_time():
    """Its text goes into a data report, which must not differ between two runs."""
    said = set()
    for _ in range(3):
        with pytest.raises(Rejected) as caught:
            audio.read(b"RIFF" + bytes(50))
        said.add(str(caught.value))
    assert len(said) == 1
    assert " at 0x" not in said.pop()


def test_a_long_mp3_is_read_without_seams(monkeypatch):
    """In blocks it is what it is as a whole: soundfile's own blocks are wrong after each seam."""
    rng = np.random.default_rng(3)
    tone = 0.4 * np.sin(2 * np.pi * 440 * np.arange(200_000) / 22_050)
    buffer = io.BytesIO()
    soundfile.write(buffer, tone + 0.05 * rng.normal(size=len(tone)), 22_050, format="MP3")
    whole, _ = soundfile.read(io.BytesIO(buffer.getvalue()), dtype="float32")
    monkeypatch.setattr(audio, "_BLOCK_SAMPLES", 2**14)
    found, _ = audio.read(buffer.getvalue())
    np.testing.assert_allclose(found, whole, atol=1e-6)
