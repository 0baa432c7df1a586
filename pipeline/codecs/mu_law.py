"""Waveforms of fixed length as mu-law classes, with what NSynth tells about each note."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from pipeline.audio.companding import mu_law_decode, mu_law_encode
from pipeline.codecs import _labelled_sound as sound
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.example import Example


class MuLawOptions(sound.SoundOptions):
    mu: int = Field(ge=1, le=255, description="companding strength; 255 gives 8 bits")


def features(options: MuLawOptions) -> dict[str, Feature]:
    audio = Feature(shape=(options.num_samples,), dtype="uint8", encoding="bytes")
    return {"audio": audio, **sound.label_features()}


def num_classes(options: MuLawOptions, name: str) -> int:
    return options.mu + 1 if name == "audio" else sound.num_classes(name)


def encode(example: Example, options: MuLawOptions) -> list[dict[str, Any]]:
    """Companded audio and NSynth's labels; labels missing are -1, qualities missing all 0.

    Raises:
      Rejected: no_audio, sample_rate, non_finite, clipped, silent.
    """
    kept = sound.checked_audio(example, options)
    silence = (options.mu + 1) // 2
    classes = np.full(options.num_samples, silence, np.uint8)
    classes[: len(kept)] = mu_law_encode(kept, options.mu)
    if (classes == silence).all():
        raise sound.silent(options, example.key)
    return [{"audio": classes, **sound.labels_of(example)}]


def decode(record: Record, options: MuLawOptions) -> Example:
    audio = mu_law_decode(np.asarray(record["audio"]), options.mu)
    return sound.example_of(record, audio, options)


def statistics(record: Record, options: MuLawOptions) -> dict[str, float]:
    classes = np.asarray(record["audio"])
    sounding = np.flatnonzero(classes != (options.mu + 1) // 2)
    num_sounding = int(sounding[-1]) + 1 if len(sounding) else 0
    audio = mu_law_decode(classes[: max(num_sounding, 1)], options.mu)
    return sound.sound_statistics(audio, num_sounding, record, options)


CODEC = Codec("mu_law", "audio", MuLawOptions, features, num_classes, encode, decode, statistics)
