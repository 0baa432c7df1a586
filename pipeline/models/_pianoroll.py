"""Piano rolls as recipes see them: packed bits of a record to arrays and tensors, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.codecs.base import Record
from pipeline.errors import PipelineError
from pipeline.models.base import Shards, read_records
from pipeline.nn import piano_roll

if TYPE_CHECKING:
    import tensorflow as tf

_NUM_TRACKS = {"five": 5, "merged": 1}


class Geometry(piano_roll.Geometry):
    """The axes of a phrase of a corpus of the codec pianoroll."""

    @classmethod
    def of(cls, shards: Shards) -> Geometry:
        options = shards.options
        return cls(
            options["num_bars"],
            options["steps_per_quarter"],
            options["num_pitches"],
            _NUM_TRACKS[options["tracks"]],
        )


def genres(shards: Shards) -> tuple[str, ...]:
    """The names of the classes of a corpus."""
    return tuple(shards.options["genres"])


def rolls(records: Iterable[Record], shape: tuple[int, ...], field: str = "roll") -> np.ndarray:
    """The rolls of records, bool [records, *shape]."""
    packed = [np.asarray(record[field], np.uint8) for record in records]
    bits = np.unpackbits(np.stack(packed), axis=1, count=int(np.prod(shape)), bitorder="little")
    return bits.reshape(len(packed), *shape).astype(bool)


def packed(roll: np.ndarray) -> np.ndarray:
    """The `roll` of a record: bool [steps, pitches, tracks] as bits, uint8 [bytes]."""
    return np.packbits(np.asarray(roll, bool).ravel(), bitorder="little")


def unpacked(bytes_: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Packed rolls, uint8 [batch, bytes], as float32 0 or 1 [batch, *shape]."""
    import tensorflow as tf

    bits = tf.bitwise.bitwise_and(
        tf.bitwise.right_shift(bytes_[..., None], tf.constant([*range(8)], tf.uint8)), 1
    )
    flat = tf.reshape(bits, (tf.shape(bytes_)[0], -1))[:, : int(np.prod(shape))]
    return tf.reshape(tf.cast(flat, tf.float32), (-1, *shape))


def transposed_to_c(rolls: tf.Tensor) -> tf.Tensor:
    """Phrases in C major, A minor, or the mode on another of these seven notes, by a half octave.

    Of the twelve sets of seven notes that is taken in which most sounds, of equals the lowest; what
    leaves the range is left out.

    Args:
      rolls: 0 or 1; of several tracks the first are drums, which stay. Shape [batch, steps,
        pitches, tracks]; the lowest pitch is a C.
    """
    import tensorflow as tf

    num_drums, num_pitches = int(rolls.shape[3] > 1), rolls.shape[2]
    pitched = rolls[..., num_drums:]
    by_pitch = tf.reduce_sum(pitched, axis=(1, 3))
    chroma = tf.reduce_sum(tf.reshape(by_pitch, (-1, num_pitches // 12, 12)), axis=1)
    scales = np.stack([np.roll(_C_MAJOR, tonic) for tonic in range(12)], axis=1)
    tonics = tf.argmax(chroma @ scales, axis=1, output_type=tf.int32)
    shifts = tf.where(tonics > 6, tonics - 12, tonics)  # what was at +shift comes to 0
    places = tf.range(num_pitches)[None] + shifts[:, None]
    moved = tf.gather(
        tf.pad(tf.transpose(pitched, (0, 2, 1, 3)), ((0, 0), (6, 6), (0, 0), (0, 0))),
        places + 6,
        batch_dims=1,
        axis=1,
    )
    return tf.concat([rolls[..., :num_drums], tf.transpose(moved, (0, 2, 1, 3))], axis=-1)


_C_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], np.float32)


def all_records(shards: Shards, split: str, most: int | None = None) -> list[dict[str, Any]]:
    """The records of a split in file order: key, roll, genre and qpm each."""
    found = read_records(shards, split, ("key", "roll", "genre", "qpm"))
    return list(found.take(-1 if most is None else most).as_numpy_iterator())


def balanced(records: list[Any]) -> list[Any]:
    """As many records of each genre as there are of the rarest, by turns; the first of each."""
    by_genre: dict[int, list[Any]] = {}
    for record in records:
        by_genre.setdefault(int(record["genre"]), []).append(record)
    columns = [by_genre[genre] for genre in sorted(by_genre)]
    return [record for row in zip(*columns, strict=False) for record in row]


def song(record: Any) -> str:
    """What a phrase is of: the song that a key of Lakh names before the file, else the file.

    Versions of one song are not independent of each other.
    """
    key = record["key"]
    text = key.decode() if isinstance(key, bytes) else str(key)
    head, _, _ = text.partition("/")
    return head if head.startswith("TR") and len(head) == 18 else text


def spread(records: list[Any], num: int) -> list[Any]:
    """So many of the records, evenly over all of them; all where there are fewer."""
    if len(records) <= num:
        return records
    return [records[i] for i in np.linspace(0, len(records) - 1, num).astype(int)]


def balanced_batches(
    shards: Shards, names: list[int], batch_size: int, window: int, seed: int
) -> tf.data.Dataset:
    """Training batches without end in which each of the named classes is as frequent.

    Args:
      shards: a corpus of the codec pianoroll.
      names: class ids; rows of a batch go through them in turn.
      batch_size: rows.
      window: records held in memory to be shuffled, of all classes.
      seed: with the pass's number it gives the order.

    Returns:
      Batches of (rolls float32 [batch, steps, pitches, tracks], class ids int64 [batch]).

    Raises:
      PipelineError: a class has no training phrase.
    """
    import tensorflow as tf

    from pipeline.models import _batching

    _check_classes(shards, names)
    shape = Geometry.of(shards).shape
    fields = ("roll", "genre")

    def of_class(genre: int) -> tf.data.Dataset:
        records = _batching.shuffled_passes(shards, "train", fields, window, seed + genre)
        return records.filter(lambda record: record["genre"] == genre)

    in_turn = tf.data.Dataset.range(2**62).map(lambda i: i % len(names))
    records = tf.data.Dataset.choose_from_datasets([of_class(n) for n in names], in_turn)
    return records.batch(batch_size, drop_remainder=True).map(
        lambda record: (unpacked(record["roll"], shape), record["genre"])
    )


def _check_classes(shards: Shards, names: list[int]) -> None:
    found = read_records(shards, "train", ("genre",)).batch(1024).as_numpy_iterator()
    counts = sum(np.bincount(b["genre"], minlength=len(genres(shards))) for b in found)
    for name in names:
        if not np.size(counts) or not np.atleast_1d(counts)[name]:
            raise PipelineError(
                f"genre={genres(shards)[name]!r} has no training phrase in {shards.corpus}: leave "
                "it out of corpora.*.options.genres in params.yaml, or add songs of it."
            )
