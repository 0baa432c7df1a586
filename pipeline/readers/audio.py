"""WAV, FLAC, OGG and MP3 to a mono waveform."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from pipeline.audio.sound_file import opened
from pipeline.errors import Rejected

MAX_SECONDS = 3600.0
MAX_FRAMES = 180_000_000  # an hour at 50 kHz
SAMPLE_RATES_HZ = (1000, 768_000)
_BLOCK_SAMPLES = 2**20


def read(data: bytes, sample_rate: int | None = None) -> tuple[np.ndarray, int]:
    """Decodes a sound file and mixes its channels down.

    Args:
      data: the file, in any format of libsndfile.
      sample_rate: to resample to, in Hz, with soxr at its high quality; None keeps the file's own.

    Returns:
      (audio, sample_rate): the mean of the channels, float32, full scale 1. Shape [samples]. Files
      of floating point and resampling may exceed 1; nothing is clipped.

    Raises:
      Rejected: undecodable_audio, empty_audio, non_finite_audio, bad_sample_rate or
        too_long_audio, these two from the header, before anything is decoded.
    """
    import soundfile

    try:
        with opened(io.BytesIO(data)) as file:
            own_rate = file.samplerate
            _check(own_rate, file.frames)
            mono = _mixed_down(file)
    except (soundfile.SoundFileError, RuntimeError, TypeError, MemoryError) as error:
        # The whole message names the buffer by its address, which is never the same twice.
        said = getattr(error, "error_string", None) or str(error)
        raise Rejected("undecodable_audio", said[:200]) from error
    if not mono.size:
        raise Rejected("empty_audio", "no samples")
    if sample_rate is None or sample_rate == own_rate:
        return mono, own_rate
    return _resampled(mono, own_rate, sample_rate), sample_rate


def _check(rate_hz: int, num_frames: int) -> None:
    low, high = SAMPLE_RATES_HZ
    if not low <= rate_hz <= high:
        raise Rejected("bad_sample_rate", f"{rate_hz} Hz; the limits are {low} and {high}")
    if num_frames > MAX_FRAMES or num_frames > MAX_SECONDS * rate_hz:
        raise Rejected(
            "too_long_audio",
            f"{num_frames} frames at {rate_hz} Hz; the limits are {MAX_FRAMES}, {MAX_SECONDS} s",
        )


def _mixed_down(file: Any) -> np.ndarray:
    """Decodes block by block: all channels of an hour would not fit into memory beside their mean.

    Raises:
      Rejected: non_finite_audio.
    """
    num_block_frames = max(_BLOCK_SAMPLES // file.channels, 1)
    blocks = []
    while len(block := file.read(num_block_frames, dtype="float32", always_2d=True)):
        if not np.isfinite(block).all():
            raise Rejected("non_finite_audio", "a sample is infinite or not a number")
        is_mono = block.shape[1] == 1
        mixed = block[:, 0] if is_mono else block.mean(axis=1, dtype=np.float64)
        blocks.append(mixed.astype(np.float32, copy=False))
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _resampled(mono: np.ndarray, own_rate: int, sample_rate: int) -> np.ndarray:
    import soxr

    try:
        resampled = soxr.resample(mono, own_rate, sample_rate, quality="HQ").astype(np.float32)
    except (ValueError, RuntimeError) as error:
        raise Rejected("undecodable_audio", f"{own_rate} to {sample_rate} Hz: {error}") from error
    if not np.isfinite(resampled).all():
        raise Rejected("non_finite_audio", "a sample overflows when resampled")
    if not resampled.size:
        raise Rejected(
            "empty_audio", f"{mono.size} samples at {own_rate} Hz are none when resampled"
        )
    return resampled
