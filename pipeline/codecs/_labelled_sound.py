"""What codecs of waveforms share: the checks of a sound, and NSynth's labels of a note."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from pipeline.codecs.base import Feature, Record
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


class SoundOptions(Options):
    """What any codec of waveforms lets a user set."""

    sample_rate: int = Field(ge=1000, le=192_000, description="in Hz; other rates are rejected")
    num_samples: int = Field(ge=1, description="shorter audio is padded with silence, longer cut")


def label_features() -> dict[str, Feature]:
    """The fields of a record beside its audio."""
    return {
        **{name: Feature(shape=(), dtype="int64") for name in LABELS},
        "qualities": Feature(shape=(NUM_QUALITIES,), dtype="int64"),
    }


def num_classes(name: str) -> int:
    return {**LABELS, "qualities": 2}[name]


def labels_of(example: Example) -> dict[str, Any]:
    """NSynth's labels as arrays; labels missing are -1, qualities missing all 0."""
    qualities = example.attributes.get("qualities", [0] * NUM_QUALITIES)
    given = {name: example.attributes.get(name) for name in LABELS}
    labels = {name: np.int64(v if isinstance(v, int) else -1) for name, v in given.items()}
    return {**labels, "qualities": np.array(qualities, np.int64)}


def checked_audio(example: Example, options: SoundOptions) -> np.ndarray:
    """The first num_samples of the audio.

    Raises:
      Rejected: no_audio, sample_rate, non_finite, clipped.
    """
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
    return audio[: options.num_samples]


def silent(options: SoundOptions, key: str) -> Rejected:
    rule = f"all of the first num_samples={options.num_samples} are of the class of silence"
    return Rejected("silent", f"{rule} ({key})")


def example_of(record: Record, audio: np.ndarray, options: SoundOptions) -> Example:
    """A decoded record: its audio, with the labels that it has as attributes."""
    attributes: dict[str, Any] = {n: int(np.asarray(record[n])) for n in LABELS if n in record}
    if "qualities" in record:
        attributes["qualities"] = np.asarray(record["qualities"]).tolist()
    if "caption" in record:
        attributes["caption"] = str(np.asarray(record["caption"]))
    key = record.get("key", "")
    name = key.decode() if isinstance(key, bytes) else str(key)
    return Example(name, None, audio, options.sample_rate, None, attributes)


def sound_statistics(
    audio: np.ndarray, num_sounding: int, record: Record, options: SoundOptions
) -> dict[str, float]:
    """Of the sound without its padding; levels against full scale, -100 dB at least."""
    num_samples = max(num_sounding, 1)
    power = np.square(audio[:num_samples], dtype=np.float64)
    return {
        "duration_seconds": num_samples / options.sample_rate,
        "peak_db": float(10 * np.log10(power.max() + 1e-10)),
        "rms_db": float(10 * np.log10(power.mean() + 1e-10)),
        "pitch": float(np.asarray(record.get("pitch", -1))),
    }
