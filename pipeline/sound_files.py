"""Sound as files: equal samples give equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline import files


def write_wav(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Writes 16-bit PCM."""
    import soundfile

    with files.atomic_open(path) as file:
        soundfile.write(file, audio, sample_rate, format="WAV", subtype="PCM_16")


def write_mp3(path: Path, wav: Path) -> None:
    """Writes a sound file as MP3."""
    import soundfile

    audio, sample_rate = soundfile.read(wav)
    with files.atomic_open(path) as file:
        soundfile.write(file, audio, sample_rate, format="MP3", bitrate_mode="VARIABLE")
