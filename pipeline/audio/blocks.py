"""Sounds that are read block by block, from memory or from a file, as often as is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.audio.sound_file import opened
from pipeline.audio.stft import checked
from pipeline.errors import Rejected

BLOCK_SAMPLES = 2**18

# Each call begins anew; float32 blocks of any lengths. Shape [samples] each.
Blocks = Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class ArrayBlocks:
    """A waveform in memory, or mapped into it, as `Blocks`; mono, of floating point."""

    audio: np.ndarray

    def __call__(self) -> Iterator[np.ndarray]:
        for start in range(0, max(1, len(self.audio)), BLOCK_SAMPLES):
            yield checked(self.audio[start : start + BLOCK_SAMPLES])


@dataclass(frozen=True)
class FileBlocks:
    """A sound file in any format of libsndfile, decoded anew for each pass, as `Blocks`.

    Attributes:
      path: of the file. Its channels are mixed to their mean.
    """

    path: Path

    @cached_property
    def sample_rate(self) -> int:
        """Of the file, in Hz.

        Raises:
          Rejected: undecodable_audio.
        """
        import soundfile

        try:
            return int(soundfile.info(str(self.path)).samplerate)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise Rejected("undecodable_audio", self._said(error)) from error

    def __call__(self) -> Iterator[np.ndarray]:
        """Decodes the file.

        Raises:
          Rejected: undecodable_audio, empty_audio or non_finite_audio.
        """
        import soundfile

        is_empty = True
        try:
            with opened(str(self.path)) as file:
                num_frames = max(BLOCK_SAMPLES // file.channels, 1)
                while len(block := file.read(num_frames, dtype="float32", always_2d=True)):
                    is_empty = False
                    # The mean in float64, as of a file that is read whole.
                    yield checked(block.mean(axis=1, dtype=np.float64).astype(np.float32))
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise Rejected("undecodable_audio", self._said(error)) from error
        if is_empty:
            raise Rejected("empty_audio", f"{self.path.name}: no samples")

    def _said(self, error: Exception) -> str:
        return f"{self.path.name}: {getattr(error, 'error_string', None) or error}"[:200]
