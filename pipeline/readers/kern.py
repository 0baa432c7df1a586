"""Humdrum kern scores to NoteSequences, by music21's parser; repeats stay as written."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from pipeline.errors import Rejected
from pipeline.readers import _score

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

MAX_BYTES = 2**20
MAX_TOKENS = 50_000  # of which music21 reads 2,000 a second; the longest known has 24,635
_CHANGE = re.compile(r"(?m)^\*")
MAX_CHANGES_TIMES_TOKENS = 1_000_000  # music21 looks at all that stands before each change
# music21 divides a measure into its beats, and these again.
_LONG_METER = re.compile(r"\*M(?!M)\S*?\d{3}")
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
    num_tokens = len(text.split())
    if num_tokens > MAX_TOKENS:
        raise Rejected("kern_too_long", f"{num_tokens} tokens; the limit is {MAX_TOKENS}")
    if _LONG_METER.search(text):
        raise Rejected("kern_syntax", "a meter with a number of three digits")
    num_changes = len(_CHANGE.findall(text))
    if num_changes * num_tokens > MAX_CHANGES_TIMES_TOKENS:
        raise Rejected("kern_too_long", f"{num_changes} lines of *, {num_tokens} tokens")
    num_spines = max(text.count("**kern"), 1)
    _score.check_num_ties(text.count("[") // num_spines, num_tokens // num_spines, "kern")
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
