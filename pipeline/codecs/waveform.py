"""Waveforms of fixed length as 16-bit PCM, with what NSynth tells about each note."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.codecs import _labelled_sound as sound
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.example import Example

FULL_SCALE = 32767


def features(options: sound.SoundOptions) -> dict[str, Feature]:
    audio = Feature(shape=(options.num_samples,), dtype="int16", encoding="bytes")
    return {"audio": audio, **sound.label_features()}


def num_classes(options: sound.SoundOptions, name: str) -> int:
    return sound.num_classes(name)


def encode(example: Example, options: sound.SoundOptions) -> list[dict[str, Any]]:
    """PCM and NSynth's labels; labels missing are -1, qualities missing all 0.

    Raises:
      Rejected: no_audio, sample_rate, non_finite, clipped, silent.
    """
    kept = np.round(sound.checked_audio(example, options).astype(np.float64) * FULL_SCALE)
    if not kept.any():
        raise sound.silent(options, example.key)
    audio = np.zeros(options.num_samples, np.int16)
    audio[: len(kept)] = kept
    return [{"audio": audio, **sound.labels_of(example)}]


def decode(record: Record, options: sound.SoundOptions) -> Example:
    audio = (np.asarray(record["audio"], np.float64) / FULL_SCALE).astype(np.float32)
    return sound.example_of(record, np.clip(audio, -1, 1), options)


def statistics(record: Record, options: sound.SoundOptions) -> dict[str, float]:
    audio = np.asarray(record["audio"]) / FULL_SCALE
    sounding = np.flatnonzero(audio)
    num_sounding = int(sounding[-1]) + 1 if len(sounding) else 0
    return sound.sound_statistics(audio, num_sounding, record, options)


CODEC = Codec(
    "waveform", "audio", sound.SoundOptions, features, num_classes, encode, decode, statistics
)
