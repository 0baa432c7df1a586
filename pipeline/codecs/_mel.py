"""Mel spectrograms in decibels, of a fixed number of frames."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from pipeline.audio import features
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options

TOP_DB = 80.0


class MelOptions(Options):
    """What any codec with a mel spectrogram lets a user set."""

    sample_rate: int = Field(ge=1000, le=192_000, description="in Hz; other audio is resampled")
    num_frames: int = Field(ge=2, description="shorter audio is padded with silence, longer cut")
    num_mel_bins: int = Field(ge=1, le=512, description="bands of equal width in mel")
    n_fft: int = Field(ge=16, description="window, in samples")
    hop_length: int = Field(ge=1, description="from one frame to the next, in samples")

    @model_validator(mode="after")
    def _overlapping(self) -> MelOptions:
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length={self.hop_length} exceeds n_fft={self.n_fft}")
        return self


def mel_of(example: Example, options: MelOptions) -> np.ndarray:
    """`mel_db` of what sounds; of a decoded example, which has no audio, its attribute "mel".

    Raises:
      Rejected: no_audio, non_finite, silent.
    """
    audio, key = example.audio, example.key
    if audio is None and "mel" in example.attributes:
        return np.asarray(example.attributes["mel"], np.float32)
    if audio is None or not len(audio) or not example.sample_rate:
        raise Rejected("no_audio", f"the example has no audio ({key})")
    if not np.isfinite(audio).all():
        raise Rejected("non_finite", f"a sample is NaN or infinite ({key})")
    if not audio.any():
        raise Rejected("silent", f"all samples are 0 ({key})")
    return mel_db(audio, example.sample_rate, options)


def mel_db(audio: np.ndarray, sample_rate: int, options: MelOptions) -> np.ndarray:
    """Power in mel bands, in decibels above 1, at most 80 dB below the loudest.

    Args:
      audio: float32 in [-1, 1], mono. Shape [samples].
      sample_rate: of `audio`, in Hz.
      options: of the spectrogram.

    Returns:
      float32. Shape [num_frames, num_mel_bins].

    Source: librosa.feature.melspectrogram and power_to_db: Hann window, centred frames, Slaney's
    mel scale and area-normalised bands.
    """
    audio = heard(audio, sample_rate, options)
    # A centred transform has a frame at each multiple of the hop, both ends included; a window of
    # an odd length reaches a sample less far.
    audio = np.pad(audio, (0, _num_samples(options) - len(audio)))
    power = features.mel(
        audio, options.sample_rate, options.n_fft, options.hop_length, options.num_mel_bins
    )
    return features.power_to_db(power, TOP_DB)


def heard(audio: np.ndarray, sample_rate: int, options: MelOptions) -> np.ndarray:
    """What of a waveform the spectrogram shows, at its sample rate. float32 [samples]."""
    audio = np.asarray(audio, np.float32)
    if sample_rate != options.sample_rate:
        audio = _resampled(audio, sample_rate, options.sample_rate)
    return audio[: _num_samples(options)]


def _num_samples(options: MelOptions) -> int:
    return (options.num_frames - 1) * options.hop_length + options.n_fft % 2


def _resampled(audio: np.ndarray, own_rate: int, sample_rate: int) -> np.ndarray:
    import soxr

    num_samples = -(-len(audio) * sample_rate // own_rate)
    return soxr.resample(audio, own_rate, sample_rate, quality="HQ")[:num_samples]
