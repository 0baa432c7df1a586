"""Descriptors of one sound's timbre, and its summary in cepstral coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.audio import features
from pipeline.audio.stft import checked, power_blocks

N_FFT, HOP_LENGTH = 1024, 256
NUM_MEL_BINS = 40
FIRST_MFCC, LAST_MFCC = 2, 13  # counted from 1; the first is the level
SOUNDING_RANGE_DB = 60.0
_ROLLOFF_SHARE = 0.85
_WINDOW_SECONDS, _STEP_SECONDS = 0.016, 0.004  # of the envelope
_ATTACK_FROM, _ATTACK_TO = 0.1, 0.9
_LEAST_POWER = 1e-10
_RANGE_PERCENTILES = (10, 95)


@dataclass(frozen=True)
class Sound:
    """A waveform.

    Attributes:
      audio: float32, full scale 1. Shape [samples].
      sample_rate: in Hz.
    """

    audio: np.ndarray
    sample_rate: int


def descriptors(sound: Sound) -> dict[str, float]:
    """What `pipeline.metrics.audio.musical_metrics` tells of a sound, by name."""
    audio = checked(sound.audio)
    blocks = list(power_blocks([audio], N_FFT, HOP_LENGTH))
    frames = np.concatenate(blocks).astype(np.float64)
    frames = frames[_is_sounding(frames)]
    if not len(frames):
        return dict.fromkeys([*_SPECTRAL, *_TEMPORAL], float("nan"))
    return _spectral(frames, sound.sample_rate) | _temporal(audio, sound.sample_rate)


def summary(sound: Sound) -> np.ndarray:
    """Means, then standard deviations, over frames of MFCC 2 to 13. float64 [24], in dB."""
    found = features.mfcc(
        sound.audio, sound.sample_rate, N_FFT, HOP_LENGTH, NUM_MEL_BINS, LAST_MFCC
    )
    found = found[:, FIRST_MFCC - 1 :].astype(np.float64)
    return np.concatenate([found.mean(axis=0), found.std(axis=0)])


_SPECTRAL = (
    "spectral_centroid_hz", "spectral_spread_hz", "spectral_rolloff_hz", "spectral_flatness",
    "spectral_flux",
)  # fmt: skip
_TEMPORAL = (
    "zero_crossing_rate", "attack_seconds", "temporal_centroid_seconds", "level_db",
    "level_range_db",
)  # fmt: skip


def _is_sounding(frames: np.ndarray) -> np.ndarray:
    """Whether a frame is within SOUNDING_RANGE_DB of the most powerful. bool [frames]."""
    power = frames.sum(axis=1)
    is_sounding: np.ndarray = (power > 0) & (power >= power.max() * 10 ** (-SOUNDING_RANGE_DB / 10))
    return is_sounding


def _spectral(frames: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Of power spectra [frames, bins] of sounding frames."""
    bins_hz = np.fft.rfftfreq(N_FFT, 1 / sample_rate)
    magnitudes = np.sqrt(frames)
    shares = magnitudes / magnitudes.sum(axis=1, keepdims=True)
    centroids = shares @ bins_hz
    away = (bins_hz - centroids[:, None]) ** 2
    rolloff = bins_hz[(shares.cumsum(axis=1) >= _ROLLOFF_SHARE).argmax(axis=1)]
    floored = np.maximum(frames, _LEAST_POWER)
    flatness = np.exp(np.log(floored).mean(axis=1)) / floored.mean(axis=1)
    unit = magnitudes / np.linalg.norm(magnitudes, axis=1, keepdims=True)
    flux = 1 - (unit[1:] * unit[:-1]).sum(axis=1)
    values = (
        centroids.mean(),
        np.sqrt((shares * away).sum(axis=1)).mean(),
        rolloff.mean(),
        flatness.mean(),
        flux.mean() if len(flux) else np.nan,
    )
    return dict(zip(_SPECTRAL, map(float, values), strict=True))


def _temporal(audio: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Of a waveform that is not silent."""
    is_negative = np.signbit(audio)
    envelope = _envelope(audio, sample_rate)
    seconds = np.arange(len(envelope)) * _STEP_SECONDS
    relative = envelope / envelope.max()
    levels_db = 20 * np.log10(np.maximum(relative, 10 ** (-SOUNDING_RANGE_DB / 20)))
    sounding_db = levels_db[levels_db > -SOUNDING_RANGE_DB]
    low_db, high_db = np.percentile(sounding_db, _RANGE_PERCENTILES)
    energy = envelope**2
    start, end = ((relative >= share).argmax() for share in (_ATTACK_FROM, _ATTACK_TO))
    values = (
        np.mean(is_negative[1:] != is_negative[:-1]) if len(audio) > 1 else np.nan,
        seconds[end] - seconds[start],
        (seconds * energy).sum() / energy.sum(),
        10 * np.log10(np.mean(audio.astype(np.float64) ** 2)),
        high_db - low_db,
    )
    return dict(zip(_TEMPORAL, map(float, values), strict=True))


def _envelope(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Root mean square of windows of 16 ms from each 4 ms on. float64 [steps]."""
    width = max(1, round(_WINDOW_SECONDS * sample_rate))
    energy = np.concatenate([[0], np.cumsum(audio.astype(np.float64) ** 2)])
    step = _STEP_SECONDS * sample_rate
    starts = np.floor(np.arange(np.ceil(len(audio) / step)) * step).astype(np.int64)
    ends = np.minimum(starts + width, len(audio))
    envelope: np.ndarray = np.sqrt(np.maximum(0, energy[ends] - energy[starts]) / width)
    return envelope
