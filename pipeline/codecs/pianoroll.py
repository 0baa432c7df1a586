"""Phrases of several tracks as piano-rolls in bits, with their genre: LPD-5's five, or one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pipeline.codecs._pianoroll_notes import FIVE, note_sequence, runs, summary
from pipeline.codecs._pianoroll_options import PianorollOptions, roll_shape, track_names
from pipeline.codecs._pianoroll_phrases import phrases, whole
from pipeline.codecs.base import Codec, Feature, Record
from pipeline.errors import Rejected
from pipeline.example import Example

TRACKS = FIVE
_QPM = 120.0  # of a record that does not say


def features(options: PianorollOptions) -> dict[str, Feature]:
    """`roll` is what `pack` gives, `genre` a place in options.genres, `qpm` the phrase's tempo."""
    num_bytes = -(-math.prod(roll_shape(options)) // 8)
    return {
        "roll": Feature((num_bytes,), "uint8", "bytes"),
        "genre": Feature((), "int64"),
        "qpm": Feature((), "float32"),
    }


def num_classes(options: PianorollOptions, name: str) -> int:
    return {"genre": len(options.genres)}[name]


def unpack(roll_bytes: np.ndarray | bytes, options: PianorollOptions) -> np.ndarray:
    """The roll of a record, or of many.

    Args:
      roll_bytes: uint8 [..., bytes], or the bytes of one.
      options: of the codec.

    Returns:
      Whether a pitch sounds: bool [..., steps, pitches, tracks].
    """
    packed = np.frombuffer(roll_bytes, np.uint8) if isinstance(roll_bytes, bytes) else roll_bytes
    shape = roll_shape(options)
    bits = np.unpackbits(packed, axis=-1, count=math.prod(shape), bitorder="little")
    return bits.reshape(*packed.shape[:-1], *shape).view(bool)


def pack(rolls: np.ndarray) -> np.ndarray:
    """What `unpack` makes the same rolls of: uint8 [..., bytes].

    Args:
      rolls: bool, or integers of which 0 is silence. [..., steps, pitches, tracks].
    """
    lines = rolls.reshape(*rolls.shape[:-3], math.prod(rolls.shape[-3:]))
    return np.packbits(lines, axis=-1, bitorder="little")


def encode(example: Example, options: PianorollOptions) -> list[dict[str, Any]]:
    """One record for each different phrase of a song; see `_pianoroll_phrases`.

    Raises:
      Rejected: no_genre, other_genre, no_notes, negative_duration, bad_tempo, bad_time_signature,
        not_four_four, no_tracks, too_few_notes, too_few_tracks.

    Source: Dong et al. 2018 (MuseGAN), section "Data", and the Lakh Pianoroll Dataset, LPD-5.
    """
    genre = example.attributes.get("genre")
    if genre is None:
        raise Rejected("no_genre", f"{example.key} has none")
    if genre not in options.genres:
        raise Rejected("other_genre", f"{genre=} is none of {', '.join(options.genres)}")
    if example.note_table is None:
        raise Rejected("no_notes", f"{example.key} has no note_sequence")
    found = phrases(
        *(example.note_table, track_names(options), options.steps_per_quarter),
        *(roll_shape(options), options.min_pitch),
        *(options.min_notes, options.min_tracks, options.max_phrases),
    )
    label = np.int64(options.genres.index(genre))
    return [{"roll": roll, "genre": label, "qpm": np.float32(qpm)} for roll, qpm in found]


def passages(example: Example, options: PianorollOptions) -> list[dict[str, Any]]:
    """A whole song in phrases, by time, without its genre."""
    if example.note_table is None:
        raise Rejected("no_notes", f"{example.key} has no note_sequence")
    found = whole(
        *(example.note_table, track_names(options), options.steps_per_quarter),
        *(roll_shape(options), options.min_pitch),
    )
    return [{"roll": roll, "qpm": np.float32(qpm)} for roll, qpm in found]


def decode(record: Record, options: PianorollOptions) -> Example:
    """Writes any roll in 4/4, as long as it is; neighbouring steps of a pitch are one note.

    A record may lack `genre` and `qpm` (120, then), and have other fields, which do not count.
    """
    notes = runs(_roll(record, options))
    seconds_per_step = 60 / float(record.get("qpm", _QPM)) / options.steps_per_quarter
    total_seconds = roll_shape(options)[0] * seconds_per_step
    sequence = note_sequence(
        *(notes, track_names(options), options.min_pitch, seconds_per_step),
        *(total_seconds, float(record.get("qpm", _QPM))),
    )
    genre = {"genre": options.genres[int(record["genre"])]} if "genre" in record else {}
    return Example(str(record.get("key", "")), sequence, attributes=genre)


def statistics(record: Record, options: PianorollOptions) -> dict[str, float]:
    """Counts, shares of the steps at which a track sounds, and mean pitches (0 without a note)."""
    roll = _roll(record, options)
    qpm = float(record.get("qpm", _QPM))
    duration_seconds = len(roll) * 60 / qpm / options.steps_per_quarter
    known = summary(roll, runs(roll), track_names(options), options.min_pitch)
    return {"duration_seconds": duration_seconds, "qpm": qpm, **known}


def _roll(record: Record, options: PianorollOptions) -> np.ndarray:
    packed = record["roll"]
    assert not isinstance(packed, str)
    return unpack(packed, options)


CODEC = Codec(
    name="pianoroll",
    medium="note_sequence",
    Options=PianorollOptions,
    features=features,
    num_classes=num_classes,
    encode=encode,
    decode=decode,
    statistics=statistics,
    passages=passages,
)
