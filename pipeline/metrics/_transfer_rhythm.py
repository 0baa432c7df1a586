"""How near the rhythm of one song is to that of another: tempo, beats, onset strength."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.audio.beats import FRAMES_PER_SECOND

MAX_TEMPO_DEVIATION = 0.04

_METRICAL_LEVELS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
_LAGS_SECONDS = (0.1, 4.0)
_SMOOTHING_FRAMES = 2
_CHANGE_PENALTY = 0.1  # of a correlation, per squared octave of tempo
_NUM_RATIOS = 281  # a step is half a percent


def tempo_ratio(onset_strength: np.ndarray, reference: np.ndarray) -> float:
    """How many times faster a song is than another, from half to twice.

    A tempo estimated of six seconds alone was right for three renders in four, and equal for two
    renders of one score in seven of ten. The autocorrelation of the one, its lags stretched, is
    therefore laid over that of the other: no metrical level has to be chosen. Of 30 pairs of
    renders of one score 29 came within 4 % of 1, of scores at random tempos 2, as many as were.

    Args:
      onset_strength: of the song. Shape [frames], 62.5 a second.
      reference: of the other. Shape [frames of its own].

    Returns:
      Tempo / reference's tempo; NaN if either has no rhythm.

    Source: the idea of Holzapfel and Stylianou 2011 (scale transform of autocorrelations).
    """
    own, other = _autocorrelation(onset_strength), _autocorrelation(reference)
    low, high = (round(lag * FRAMES_PER_SECOND) for lag in _LAGS_SECONDS)
    lags = np.arange(low, min(high, len(other)))
    if not len(own) or len(lags) < 2:
        return float("nan")
    octaves = np.linspace(-1, 1, _NUM_RATIOS)
    correlations = [
        _correlation(other[lags], np.interp(lags / 2**octave, np.arange(len(own)), own))
        - _CHANGE_PENALTY * octave**2
        for octave in octaves
    ]
    return float(2 ** octaves[np.argmax(correlations)])


def _autocorrelation(envelope: np.ndarray) -> np.ndarray:
    """Of the envelope, smoothed, without its mean; 1 at lag 0. Shape [frames]; [0] if constant."""
    reach = np.arange(-4 * _SMOOTHING_FRAMES, 4 * _SMOOTHING_FRAMES + 1)
    kernel = np.exp(-0.5 * (reach / _SMOOTHING_FRAMES) ** 2)
    smooth = np.convolve(envelope, kernel / kernel.sum())
    smooth = smooth - smooth.mean()
    spectrum = np.abs(np.fft.rfft(smooth, 2 * len(smooth))) ** 2
    correlation = np.fft.irfft(spectrum)[: len(envelope)]
    return correlation / correlation[0] if correlation[0] > 0 else np.zeros(0)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y) + 1e-12))


def is_same_tempo(
    tempo_bpm: float, reference_bpm: float, levels: Sequence[float] = _METRICAL_LEVELS
) -> bool:
    """Whether a tempo is within 4 % of another, or of a multiple of it (Acc1: only 1; Acc2).

    Source: Gouyon et al. 2006.
    """
    return any(
        abs(tempo_bpm - reference_bpm * level) <= MAX_TEMPO_DEVIATION * reference_bpm * level
        for level in levels
    )


def beat_f(reference_seconds: np.ndarray, estimate_seconds: np.ndarray) -> float:
    """F-measure of beats within 70 ms, 0 if there are none.

    Source: mir_eval.beat.f_measure, without its skipping of the first 5 seconds.
    """
    from mir_eval import beat

    if not len(reference_seconds) or not len(estimate_seconds):
        return 0.0
    return float(beat.f_measure(reference_seconds, estimate_seconds))


def rhythm_cosine(onset_strength: np.ndarray, reference: np.ndarray) -> float:
    """Cosine of two onset-strength envelopes, 0 to 1, over the frames both have; 0 if one is 0.

    Source: Tomczak et al. 2018, section 4.
    """
    length = min(len(onset_strength), len(reference))
    return cosine(onset_strength[:length], reference[:length])


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    """Of two vectors; 0 if one of them is."""
    norms = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norms if norms > 0 else 0.0
