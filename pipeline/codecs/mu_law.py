"""Waveforms of fixed length as mu-law classes, with what NSynth tells about each note."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options

# Number of classes, as NSynth publishes them; a record has -1 where its dataset gives none.
LABELS = {
    "pitch": 128,
    "velocity": 128,
    "instrument": 1006,
    "instrument_family": 11,
    "instrument_source": 3,
}
NUM_QUALITIES = 10


class MuLawOptions(Options):
    sample_rate: int = Field(ge=1000, le=192_000, description="in Hz; other rates are rejected")
    num_samples: int = Field(ge=1, description="shorter audio is padded with silence, longer cut")
    mu: int = Field(ge=1, le=255, description="companding strength; 255 gives 8 bits")


def features(options: MuLawOptions) -> dict[str, Feature]:
    return {
        "audio": Feature(shape=(options.num_samples,), dtype="uint8", encoding="bytes"),
        **{name: Feature(shape=(), dtype="int64") for name in LABELS},
        "qualities": Feature(shape=(NUM_QUALITIES,), dtype="int64"),
    }


def num_classes(options: MuLawOptions, name: str) -> int:
    return {**LABELS, "audio": options.mu + 1, "qualities": 2}[name]


def encode(example: Example, options: MuLawOptions) -> list[dict[str, Any]]:
    """Companded audio and NSynth's labels; labels missing are -1, qualities missing all 0.

    Raises:
      Rejected: no_audio, sample_rate, non_finite, clipped, silent.
    """
    audio = _checked(example, options)
    silence = (options.mu + 1) // 2
    classes = np.full(options.num_samples, silence, np.uint8)
    kept = audio[: options.num_samples]
    classes[: len(kept)] = mu_law_encode(kept, options.mu)
    if (classes == silence).all():
        rule = f"all of the first num_samples={options.num_samples} are of the class of silence"
        raise Rejected("silent", f"{rule} ({example.key})")
    qualities = example.attributes.get("qualities", [0] * NUM_QUALITIES)
    given = {name: example.attributes.get(name) for name in LABELS}
    labels = {name: np.int64(v if isinstance(v, int) else -1) for name, v in given.items()}
    return [{"audio": classes, **labels, "qualities": np.array(qualities, np.int64)}]


def _checked(example: Example, options: MuLawOptions) -> np.ndarray:
    audio, key = example.audio, example.key
    if audio is None or not len(audio):
        raise Rejected("no_audio", f"num_samples=0, and there must be one at least ({key})")
    if example.sample_rate != options.sample_rate:
        raise Rejected(
            "sample_rate",
            f"sample_rate={example.sample_rate} differs from options.sample_rate="
            f"{options.sample_rate} ({key}). Resample the file, or change the value in "
            "params.yaml.",
        )
    if not np.isfinite(audio).all():
        raise Rejected("non_finite", f"a sample is NaN or infinite ({key})")
    if (peak := np.abs(audio).max()) > 1:
        raise Rejected("clipped", f"peak={peak:.4f} exceeds 1 ({key}). Lower the gain.")
    return audio


def mu_law_encode(audio: np.ndarray, mu: int = 255) -> np.ndarray:
    """Compands a waveform and quantizes it to the nearest of `mu + 1` classes.

    Args:
      audio: float32 in [-1, 1]. Shape [..., samples].
      mu: companding strength; 255 gives 8 bits.

    Returns:
      int32 classes in 0..mu, same shape; silence is (mu + 1) // 2.

    Raises:
      ValueError: if any |audio| > 1; clipping would hide a gain bug.

    Source: van den Oord et al. 2016 (WaveNet), section 2.2. librosa.mu_compress rounds up where
    this rounds to the nearest class, and so errs by up to twice as much.

    Example:
      >>> mu_law_encode(np.float32([-1, 0, 1])).tolist()
      [0, 128, 255]
    """
    audio = np.asarray(audio, np.float64)
    if not (np.abs(audio) <= 1).all():
        raise ValueError(f"peak={np.abs(audio).max()} exceeds 1; lower the gain")
    companded = np.sign(audio) * np.log1p(mu * np.abs(audio)) / np.log1p(mu)
    return np.floor((companded + 1) / 2 * mu + 0.5).astype(np.int32)


def mu_law_decode(classes: np.ndarray, mu: int = 255) -> np.ndarray:
    """Expands classes to a waveform: each to the amplitude in the middle of its step.

    Args:
      classes: integers in 0..mu. Shape [..., samples].
      mu: as in `mu_law_encode`.

    Returns:
      float32 in [-1, 1], same shape.

    Example:
      >>> mu_law_decode(np.array([0, 255])).tolist()
      [-1.0, 1.0]
    """
    companded = 2 * np.asarray(classes, np.float64) / mu - 1
    magnitude = np.expm1(np.abs(companded) * np.log1p(mu)) / mu
    return (np.sign(companded) * np.minimum(magnitude, 1)).astype(np.float32)


def decode(record: Record, options: MuLawOptions) -> Example:
    attributes: dict[str, Any] = {name: int(record[name]) for name in LABELS if name in record}
    if "qualities" in record:
        attributes["qualities"] = np.asarray(record["qualities"]).tolist()
    audio = mu_law_decode(np.asarray(record["audio"]), options.mu)
    return Example(str(record.get("key", "")), None, audio, options.sample_rate, None, attributes)


def statistics(record: Record, options: MuLawOptions) -> dict[str, float]:
    """Of the sound without its padding; levels against full scale, -100 dB at least."""
    classes = np.asarray(record["audio"])
    sounding = np.flatnonzero(classes != (options.mu + 1) // 2)
    num_samples = int(sounding[-1]) + 1 if len(sounding) else 1
    power = np.square(mu_law_decode(classes[:num_samples], options.mu), dtype=np.float64)
    return {
        "duration_seconds": num_samples / options.sample_rate,
        "peak_db": float(10 * np.log10(power.max() + 1e-10)),
        "rms_db": float(10 * np.log10(power.mean() + 1e-10)),
        "pitch": float(np.asarray(record.get("pitch", -1))),
    }


CODEC = Codec("mu_law", "audio", MuLawOptions, features, num_classes, encode, decode, statistics)
