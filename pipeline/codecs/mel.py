"""Mel spectrograms of music with the genre or the tags that it is labelled with."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from pipeline.codecs._mel import MelOptions, mel_of
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example


class LabelledMelOptions(MelOptions):
    labels: tuple[str, ...] = Field(
        min_length=1, description="in the order of the record's flags, as the dataset spells them"
    )
    label_attribute: Literal["genre", "tags"] = Field(
        description="genre: exactly one of labels, music of another is left out; tags: any number"
    )

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is there twice")
        return labels


def features(options: LabelledMelOptions) -> dict[str, Feature]:
    return {
        "mel": Feature((options.num_frames, options.num_mel_bins), "float32", "bytes"),
        "labels": Feature((len(options.labels),), "int64"),
    }


def num_classes(options: LabelledMelOptions, name: str) -> int:
    return {"labels": 2}[name]  # a flag each


def encode(example: Example, options: LabelledMelOptions) -> list[dict[str, Any]]:
    """One record: mel in decibels (`_mel.mel_db`), labels of 0 and 1.

    Tags that options.labels does not have are left out; none at all is a record without a flag. An
    example that was decoded has no audio, but the attribute "mel", which is then taken.

    Raises:
      Rejected: no_genre, other_genre, no_tags (the attribute is missing), no_audio, non_finite,
        silent.
    """
    given = _given(example, options)
    labels = np.array([label in given for label in options.labels], np.int64)
    return [{"mel": mel_of(example, options), "labels": labels}]


def _given(example: Example, options: LabelledMelOptions) -> list[str]:
    value = example.attributes.get(options.label_attribute)
    if options.label_attribute == "tags":
        if not isinstance(value, list | tuple):
            raise Rejected("no_tags", f"the example has no tags ({example.key})")
        return [tag for tag in value if isinstance(tag, str)]
    if not isinstance(value, str) or not value:
        raise Rejected("no_genre", f"the example has no genre ({example.key})")
    if value not in options.labels:
        raise Rejected("other_genre", f"genre={value[:40]} is none of labels ({example.key})")
    return [value]


def decode(record: Record, options: LabelledMelOptions) -> Example:
    """The spectrogram and its labels as attributes; sound is not made of it.

    Of a record that a model made, either may be missing; a genre is its first flag.
    """
    attributes: dict[str, Any] = {}
    if "mel" in record:
        attributes["mel"] = record["mel"]
    if "labels" in record:
        flags = np.asarray(record["labels"]).tolist()
        names = [name for name, flag in zip(options.labels, flags, strict=True) if flag]
        if options.label_attribute == "tags":
            attributes["tags"] = names
        elif names:
            attributes["genre"] = names[0]
    key = record.get("key", "")
    return Example(key.decode() if isinstance(key, bytes) else str(key), attributes=attributes)


def statistics(record: Record, options: LabelledMelOptions) -> dict[str, float]:
    """Levels in decibels; how much of it sounds: frames at most 40 dB below the loudest; labels."""
    mel = np.asarray(record["mel"])
    loudest = mel.max(axis=1)
    frame_seconds = options.hop_length / options.sample_rate
    return {
        "level_mean_db": float(mel.mean()),
        "level_max_db": float(mel.max()),
        "sounding_seconds": float((loudest > loudest.max() - 40).sum() * frame_seconds),
        "num_labels": float(np.asarray(record["labels"]).sum()),
    }


CODEC = Codec("mel", "audio", LabelledMelOptions, features, num_classes, encode, decode, statistics)
