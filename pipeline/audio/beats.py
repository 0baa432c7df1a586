"""Beats of a song, by dynamic programming over its onset strength."""

from __future__ import annotations

import numpy as np

from pipeline.audio.features import features

FRAMES_PER_SECOND = 62.5
WINDOW_HOPS = 4


def beats(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
    """The beats of a song, and its tempo.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz.

    Returns:
      (beats_seconds, tempo_bpm): rising, shape [beats], empty if there is no onset.

    Source: Ellis 2007, "Beat Tracking by Dynamic Programming"; librosa.beat.beat_track.
    """
    hop_length = round(sample_rate / FRAMES_PER_SECOND)
    heard = features(audio, sample_rate, WINDOW_HOPS * hop_length, hop_length)
    found = tracked(heard.onset_strength, heard.tempo_bpm, sample_rate, hop_length)
    return found, heard.tempo_bpm


def folded(ratio: float) -> float:
    """A ratio of two tempos, an octave up or down as often as brings it nearest to 1.

    Tempos are estimated an octave off as often as not. In 0.71 to 1.41.
    """
    octaves = np.log2(ratio)
    return float(2 ** (octaves - np.round(octaves)))


def tracked(
    onset_strength: np.ndarray, tempo_bpm: float, sample_rate: int, hop_length: int
) -> np.ndarray:
    """Beats near a tempo where onsets are strong, in seconds. Shape [beats].

    Args:
      onset_strength: shape [frames].
      tempo_bpm: above 0.
      sample_rate: in Hz.
      hop_length: from one frame to the next, in samples.
    """
    from librosa.beat import beat_track

    _, found = beat_track(
        onset_envelope=onset_strength, sr=sample_rate, hop_length=hop_length, bpm=tempo_bpm
    )
    return np.asarray(found, np.float64) * hop_length / sample_rate
