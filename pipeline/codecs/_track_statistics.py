"""A track in a row of numbers: means and spreads of librosa's features, of one STFT."""

from __future__ import annotations

import numpy as np

from pipeline.audio import features

NUM_MFCC = 20
_NUM_CHROMA = 12
SIZE = 2 * (NUM_MFCC + _NUM_CHROMA + 1) + 1


def track_statistics(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mean over frames of 20 MFCC, 12 chroma and onset strength; their deviations; log2 of tempo.

    Args:
      audio: float32 in [-1, 1], mono. Shape [samples].
      sample_rate: of `audio`, in Hz.

    Returns:
      float32. Shape [SIZE]; the means first, then the standard deviations, the tempo last.

    Source: librosa 0.11 with its defaults, as `audio.features` has them.
    """
    found = features.features(audio, sample_rate, num_mfcc=NUM_MFCC)
    frames = np.concatenate([found.mfcc, found.chroma, found.onset_strength[:, None]], axis=1)
    tempo = np.log2(max(found.tempo_bpm, 1.0))
    return np.concatenate([frames.mean(axis=0), frames.std(axis=0), [tempo]]).astype(np.float32)
