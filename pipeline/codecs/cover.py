"""Album covers with their music: a JPEG, a mel spectrogram, statistics, Spotify's features."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from pipeline.codecs import _track_statistics
from pipeline.codecs._mel import MelOptions, heard, mel_of
from pipeline.codecs._picture import picture_of, settled_jpeg, square
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example

AUDIO_FEATURES = (
    "danceability",
    "energy",
    "key",
    "loudness",
    "mode",
    "speechiness",
    "acousticness",
    "instrumentalness",
    "liveness",
    "valence",
    "tempo",
    "duration_ms",
    "time_signature",
)


class CoverOptions(MelOptions):
    size: int = Field(ge=8, le=2048, description="width and height, in pixels")
    quality: int = Field(ge=1, le=95, description="of the JPEG; 4:4:4, as Pillow counts it")


def features(options: CoverOptions) -> dict[str, Feature]:
    mel_shape = (options.num_frames, options.num_mel_bins)
    return {
        "picture": Feature((options.size, options.size, 3), "uint8", "jpeg"),
        "mel": Feature(mel_shape, "float32", "bytes"),
        "track_statistics": Feature((_track_statistics.SIZE,), "float32"),
        "audio_features": Feature((len(AUDIO_FEATURES),), "float32"),
        "genre": Feature((), "string"),
        "group": Feature((), "string"),
    }


def num_classes(options: CoverOptions, name: str) -> int:
    raise KeyError(name)  # no field is of classes


def encode(example: Example, options: CoverOptions) -> list[dict[str, Any]]:
    """One record; its genre is "" where the dataset gives none; its group is the album.

    An example that was decoded has no audio, but the attributes "mel" and "track_statistics", which
    are then taken.

    Raises:
      Rejected: no_picture, picture_too_small, jpeg_unsettled, no_audio, non_finite, silent,
        no_audio_features.
    """
    picture = square(example.picture, options.size, example.key)
    record = {
        "picture": settled_jpeg(picture, options.quality, example.key),
        **passages(example, options)[0],
        "audio_features": _audio_features(example),
        "genre": example.attributes.get("genre") or "",
        "group": example.attributes.get("group") or example.key,
    }
    return [record]


def passages(example: Example, options: CoverOptions) -> list[dict[str, Any]]:
    """What a record holds of the sound alone, mel and track_statistics, as one record.

    Raises:
      Rejected: no_audio, non_finite, silent.
    """
    mel = mel_of(example, options)  # first: it says what is wrong with the sound
    return [{"mel": mel, "track_statistics": _statistics_of(example, options)}]


def _statistics_of(example: Example, options: CoverOptions) -> np.ndarray:
    if example.audio is None:
        return np.asarray(example.attributes["track_statistics"], np.float32)
    audio = heard(example.audio, int(example.sample_rate or 0), options)
    return _track_statistics.track_statistics(audio, options.sample_rate)


def _audio_features(example: Example) -> np.ndarray:
    given = example.attributes.get("audio_features") or {}
    missing = [name for name in AUDIO_FEATURES if not _is_number(given.get(name))]
    if missing:
        rule = f"no number is given for {', '.join(missing)}"
        raise Rejected("no_audio_features", f"{rule} ({example.key})")
    return np.array([given[name] for name in AUDIO_FEATURES], np.float32)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def decode(record: Record, options: CoverOptions) -> Example:
    """The picture, and attributes; a record may have less, as a generated one does."""
    attributes: dict[str, Any] = {}
    attributes |= {name: record[name] for name in ("mel", "track_statistics") if name in record}
    if "audio_features" in record:
        values = np.asarray(record["audio_features"]).tolist()
        attributes["audio_features"] = dict(zip(AUDIO_FEATURES, values, strict=True))
    attributes |= {name: _text(record[name]) for name in ("genre", "group") if name in record}
    key = _text(record.get("key", ""))
    picture = picture_of(record["picture"]) if "picture" in record else None
    return Example(key, picture=picture, attributes=attributes)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def statistics(record: Record, options: CoverOptions) -> dict[str, float]:
    """Brightness (luma, ITU-R 601) and saturation (of HSV) in 0..1, and three of the music's."""
    from PIL import Image

    picture = Image.fromarray(picture_of(record["picture"]))
    music = dict(zip(AUDIO_FEATURES, np.asarray(record["audio_features"]).tolist(), strict=True))
    return {
        "brightness_mean": float(np.asarray(picture.convert("L")).mean() / 255),
        "saturation_mean": float(np.asarray(picture.convert("HSV"))[..., 1].mean() / 255),
        "tempo_bpm": music["tempo"],
        "energy": music["energy"],
        "duration_seconds": music["duration_ms"] / 1000,
    }


CODEC = Codec(
    "cover",
    "picture",
    CoverOptions,
    features,
    num_classes,
    encode,
    decode,
    statistics,
    passages=passages,
)
