"""WAV, FLAC, OGG and MP3 to a mono waveform."""

from __future__ import annotations

import io

import numpy as np

from pipeline.errors import Rejected

MAX_SECONDS = 3600.0
MAX_FRAMES = 2**28  # an hour at 74 kHz; whatever the header says of the rate


def read(data: bytes, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Decodes a sound file and mixes its channels down.

    Args:
      data: the file, in any format of libsndfile.
      sample_rate: to resample to, in Hz, with soxr at its high quality; None keeps the file's own.

    Returns:
      (audio, sample_rate): the mean of the channels, float32, full scale 1. Shape [samples]. Files
      of floating point and resampling may exceed 1; nothing is clipped.

    Raises:
      Rejected: undecodable_audio, empty_audio, non_finite_audio or too_long_audio, this one from
        the header, before anything is decoded.
    """
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            own_rate, num_channels = file.samplerate, file.channels
            _check_length(file.frames * num_channels, file.frames / max(own_rate, 1))
            audio = file.read(MAX_FRAMES // num_channels, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError, MemoryError) as error:
        # The whole message names the buffer by its address, which is never the same twice.
        said = getattr(error, "error_string", None) or str(error)
        raise Rejected("undecodable_audio", said[:200]) from error
    if not audio.size:
        raise Rejected("empty_audio", "no samples")
    if not np.isfinite(audio).all():
        raise Rejected("non_finite_audio", "a sample is infinite or not a number")
    mono = audio.mean(axis=1, dtype=np.float64).astype(np.float32)
    if sample_rate is None or sample_rate == own_rate:
        return mono, own_rate
    return _resampled(mono, own_rate, sample_rate), sample_rate


def _check_length(num_samples: int, seconds: float) -> None:
    if num_samples > MAX_FRAMES or seconds > MAX_SECONDS:
        raise Rejected(
            "too_long_audio",
            f"{num_samples} samples, {seconds:.0f} s; the limits are {MAX_FRAMES}, {MAX_SECONDS} s",
        )


def _resampled(mono: np.ndarray, own_rate: int, sample_rate: int) -> np.ndarray:
    import soxr

    try:
        resampled = soxr.resample(mono, own_rate, sample_rate, quality="HQ").astype(np.float32)
    except (ValueError, RuntimeError) as error:
        raise Rejected("undecodable_audio", f"{own_rate} to {sample_rate} Hz: {error}") from error
    if not resampled.size:
        raise Rejected(
            "empty_audio", f"{mono.size} samples at {own_rate} Hz are none when resampled"
        )
    return resampled
