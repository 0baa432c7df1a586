"""Models of notes as sound: crops to train on, pairs to lead from one to the other, records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from pipeline.audio.companding import mu_law_decode, mu_law_encode
from pipeline.codecs.base import Record
from pipeline.models.base import Shards, Training, read_records

if TYPE_CHECKING:
    import tensorflow as tf

FULL_SCALE = 32767  # of PCM
LABELS = ("pitch", "velocity", "instrument", "instrument_family", "instrument_source")


class SoundParams(Training):
    """What params.yaml sets for every model of sound."""

    crop_samples: int = Field(ge=64, description="of a note that a training step sees")
    shuffle_window: int = Field(ge=1, description="records held in memory to be shuffled")
    num_pairs: int = Field(
        ge=1, description="of held-out notes that the stage generate leads from one to the other"
    )
    num_points: int = Field(ge=2, description="of each such way, both ends included")


def waveforms(options: Mapping[str, Any], audio: Any) -> np.ndarray:
    """What a corpus holds of sound as amplitudes.

    Args:
      options: of the corpus's codec, mu_law or waveform.
      audio: its field of that name. Shape [..., samples].

    Returns:
      float32 in [-1, 1], same shape.
    """
    if "mu" in options:
        return mu_law_decode(np.asarray(audio), options["mu"])
    return np.clip(np.asarray(audio, np.float32) / FULL_SCALE, -1, 1)


def waves(options: Mapping[str, Any], records: Sequence[Any]) -> np.ndarray:
    """The audio of records as amplitudes. float32 [records, samples]."""
    return waveforms(options, np.stack([np.asarray(record["audio"]) for record in records]))


def records_of(options: Mapping[str, Any], audio: np.ndarray, like: Sequence[Any]) -> list[Any]:
    """Sounds as records of a corpus.

    Args:
      options: of the corpus's codec.
      audio: float32; what exceeds 1 is clipped. Shape [records, samples].
      like: records whose labels these sounds keep, one each.

    Returns:
      Records of num_samples, padded with silence or cut.
    """
    length = options["num_samples"]
    audio = np.clip(np.asarray(audio, np.float64)[:, :length], -1, 1)
    audio = np.pad(audio, ((0, 0), (0, length - audio.shape[1])))
    if "mu" in options:
        stored = mu_law_encode(audio, options["mu"]).astype(np.uint8)
    else:
        stored = np.round(audio * FULL_SCALE).astype(np.int16)
    return [
        {"audio": row, **{name: np.asarray(given[name]) for name in LABELS if name in given}}
        for row, given in zip(stored, like, strict=True)
    ]


def crops(
    shards: Shards, split: str, params: SoundParams, seed: int, fields: tuple[str, ...]
) -> tf.data.Dataset:
    """Batches of pieces of notes, with the fields asked for.

    Args:
      shards: a corpus of codec mu_law or waveform.
      split: of "train" endless, each piece cut anywhere, in an order and from places that the seed
        alone decides; of others one pass, cut from the note's beginning.
      params: their lengths and number.
      seed: of the order and the places.
      fields: of a record beside "audio".

    Returns:
      Dicts of tensors [batch, ...]; audio as the corpus stores it [batch, crop_samples], and for
      each crop its first sample's place, "start" [batch].
    """
    import tensorflow as tf

    from pipeline.models import _batching

    names = ("audio", *fields)
    if split == "train":
        records = _batching.shuffled_passes(shards, split, names, params.shuffle_window, seed)
    else:
        records = read_records(shards, split, names)
    last = shards.options["num_samples"] - params.crop_samples

    def cropped(index: tf.Tensor, record: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        start = tf.constant(0)
        if split == "train":
            key = tf.stack([tf.cast(seed, tf.int64) + 1, index])
            start = tf.random.stateless_uniform((), key, 0, last + 1, tf.int32)
        audio = record["audio"][start : start + params.crop_samples]
        return record | {"audio": tf.ensure_shape(audio, (params.crop_samples,)), "start": start}

    pieces = records.enumerate().map(cropped)
    return pieces.batch(params.batch_size, drop_remainder=split == "train").prefetch(2)


def notes(shards: Shards, split: str, num: int | None = None) -> list[dict[str, Any]]:
    """The first records of a split, or all: audio and labels as numpy."""
    found = read_records(shards, split, ("key", "audio", *LABELS))
    return list((found if num is None else found.take(num)).as_numpy_iterator())


def sources(shards: Shards, split: str, params: Any, num: int) -> list[Record]:
    """Pairs of notes of different families and the nearest pitch, one after the other.

    Where all are of one family, the instruments differ; where there is one, only the notes do.

    Args:
      shards: the corpus.
      split: of which the notes are.
      params: with num_pairs, of which there may be fewer where the split has not enough notes.
      num: not heeded: how many are wanted is the recipe's own matter.

    Returns:
      At most 2 * num_pairs records; none is there twice.
    """
    waiting = notes(shards, split)
    found: list[Record] = []
    while len(found) < 2 * params.num_pairs and len(waiting) > 1:
        first = waiting.pop(0)
        others = next(filter(None, (_unlike(first, waiting, by) for by in _DIFFERENCES)), waiting)
        second = min(others, key=lambda n: abs(int(n["pitch"]) - int(first["pitch"])))
        waiting = [n for n in waiting if n is not second]
        found += [first, second]
    return found


_DIFFERENCES = ("instrument_family", "instrument")


def _unlike(note: Any, others: list[Any], label: str) -> list[Any]:
    return [other for other in others if other[label] != note[label]]


def interpolations(
    params: SoundParams,
    options: Mapping[str, Any],
    sources: Sequence[Any],
    mix: Callable[[list[Any], list[Any], np.ndarray], np.ndarray],
) -> list[Record]:
    """Sounds that lead from the first note of each pair to its second.

    Args:
      params: with num_points, the sounds of a way, both ends included.
      options: of the corpus's codec.
      sources: records, pair by pair.
      mix: (firsts, seconds, shares of the second) -> float32 [n, samples], for n mixtures.

    Returns:
      num_points records a pair, with the first's labels and pitch, its audio as source_audio, and a
      caption that says what is mixed.
    """
    shares = np.linspace(0, 1, params.num_points)
    pairs = list(zip(sources[0::2], sources[1::2], strict=True))
    rows = [(first, second, share) for first, second in pairs for share in shares]
    firsts, seconds = [row[0] for row in rows], [row[1] for row in rows]
    audio = mix(firsts, seconds, np.array([row[2] for row in rows]))
    made = records_of(options, audio, firsts)
    return [
        {**record, "source_audio": row[0]["audio"], "caption": _caption(*row)}
        for record, row in zip(made, rows, strict=True)
    ]


def _caption(first: Any, second: Any, share: float) -> str:
    """What a mixture of two notes is called: "string 75 %, reed 25 %"."""
    names = [FAMILIES[int(note["instrument_family"])] for note in (first, second)]
    shares = [round(100 * (1 - share)), round(100 * share)]
    return ", ".join(f"{n} {s} %" for n, s in zip(names, shares, strict=True) if s)


FAMILIES = (
    *("bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string"),
    *("synth_lead", "vocal"),
)
