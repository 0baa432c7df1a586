"""Songs of a few notes by General MIDI instruments, and how far two are from each other."""

import librosa
import numpy as np

from pipeline.readers import soundfont

RATE = 16000


def as_played(score, program, seconds=2.0):
    """(start in seconds, pitch) each held for 0.38 s: float32 [samples], its peak at 0.5."""
    notes = [soundfont.Note(start, start + 0.38, pitch, 90, program) for start, pitch in score]
    audio = soundfont.general_midi().render(notes, RATE, round(seconds * RATE))
    return np.float32(audio * (0.5 / np.abs(audio).max()))


def log_mel_distance(first, second):
    """Mean difference in decibels, both at the same power."""
    mels = [
        librosa.power_to_db(
            librosa.feature.melspectrogram(
                y=0.1 * x / np.sqrt(np.square(x).mean()), sr=RATE, n_fft=1024, hop_length=256,
                n_mels=64,
            ),
            amin=1e-6,
        )
        for x in (first, second)
    ]  # fmt: skip
    return float(np.abs(mels[0] - mels[1]).mean())
