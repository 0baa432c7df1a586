"""Sound files that are decoded in order, block by block, without an error at the seams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import soundfile


def opened(file: Any) -> soundfile.SoundFile:
    """A file of any format of libsndfile, to be read from its beginning to its end.

    soundfile seeks after every block that it reads; an MP3's decoder loses what it knows by that,
    and the first samples of the next block come out wrong.

    Args:
      file: a path, or a binary file that is open.
    """
    import soundfile

    class InOrder(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False

    return InOrder(file)
