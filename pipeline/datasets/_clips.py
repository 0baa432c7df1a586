"""What datasets of short clips share: how long a clip must be, and how its file is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from pipeline.datasets.base import Entry
from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import audio

# A job knows only its entries, so what `load` must know is an attribute, but not the example's.
MIN_SECONDS = "min_seconds"


class ClipOptions(Options):
    """What any dataset of clips lets a user set."""

    min_seconds: float = Field(ge=0, le=3600, description="a shorter clip is left out; 0: none is")


def load(entry: Entry, members: Mapping[str, bytes]) -> Example:
    """Decodes one clip.

    Args:
      entry: of one member, with the attribute MIN_SECONDS.
      members: the bytes of that member.

    Returns:
      An Example with audio, float32 mono at its own sample_rate. Shape [samples].

    Raises:
      Rejected: empty_file, short_audio, or the reason of readers.audio.
    """
    (member,) = entry.members
    data = members[member]
    if not data:
        raise Rejected("empty_file", f"{member} has 0 bytes")
    waveform, sample_rate = audio.read(data)
    num_seconds, least = len(waveform) / sample_rate, float(entry.attributes[MIN_SECONDS])
    if num_seconds < least:
        raise Rejected("short_audio", f"{num_seconds:.2f} s are less than min_seconds={least:g}")
    attributes: dict[str, Any] = {k: v for k, v in entry.attributes.items() if k != MIN_SECONDS}
    return Example(entry.key, audio=waveform, sample_rate=sample_rate, attributes=attributes)
