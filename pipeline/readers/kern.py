"""Humdrum kern scores to NoteSequences, by music21's parser; repeats stay as written."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pipeline.errors import Rejected
from pipeline.readers import _score

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

MAX_BYTES = 2**20  # music21 takes about 10 s for each
VELOCITY = 64


def read(data: bytes) -> NoteSequence:
    """Reads a score.

    Args:
      data: the file, UTF-8 or Latin-1.

    Returns:
      Notes, tempo, time and key signatures in seconds; 120 quarters a minute where none is given.

    Raises:
      Rejected: kern_syntax, kern_too_long or kern_no_notes.
    """
    if len(data) > MAX_BYTES:
        raise Rejected("kern_too_long", f"{len(data)} bytes; the limit is {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "**kern" not in text:
        raise Rejected("kern_syntax", "no **kern spine")
    return _score.checked(_parsed(text), "kern")


def _parsed(text: str) -> NoteSequence:
    from music21.humdrum.spineParser import HumdrumDataCollection

    from pipeline.readers import _music21

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            collection = HumdrumDataCollection(text)
            collection.parse()
            return _music21.note_sequence(collection.stream, VELOCITY, is_expanded=False)
    except Exception as error:  # music21 raises many kinds, and bare ones on malformed text
        raise Rejected("kern_syntax", _score.brief(error)) from error
