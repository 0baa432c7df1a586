"""What a listener hears in a single note: its pitch and its family of instruments.

A classifier of known notes judges what a model made of others: where a reconstruction keeps what a
note is, the classifier is right about it as often as about the note itself.

- Pitch: the same pattern of harmonics is looked for at each pitch. The score of a pitch is a
  weighted sum of the logarithmic spectrum around it, the weights shared by all pitches (conditional
  logit), so that a few hundred notes teach what a class for each pitch could not.
- Family: a linear discriminant on cepstra, envelope, and the levels of that pitch's harmonics.

Source: McFadden 1974, "Conditional logit analysis of qualitative choice behavior"; Brown 1992,
"Musical fundamental frequency tracking using a pattern recognition method" (the pattern that slides
over a constant-Q spectrum).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from pipeline.audio.filters import mel_filters
from pipeline.audio.stft import hann

LOWEST_PITCH, NUM_PITCHES = 9, 112  # to pitch 120: what lies beyond has no harmonics at 16 kHz
_BINS_PER_SEMITONE = 3
_REACH = (-24, 53)  # semitones around a pitch that its score heeds
_PENALTY = 1e-3
NUM_MFCC, NUM_HARMONICS = 20, 20  # that tell a family: the levels up to 4 octaves above a pitch
RANGE_DB = 50.0  # of a timbre: what lies further below its loudest is not heard
_ENVELOPE_FRAMES = (0, 1, 2, 4, 8, 16, 32, 64, 100, 140, 152, 160, 175)  # of 20 ms, of 4 s
_BLOCK_NOTES = 64  # whose spectra are in memory at once


@dataclass(frozen=True)
class NoteClassifier:
    """A fitted classifier.

    Attributes:
      sample_rate: of the notes, in Hz.
      pitch_weights: of the spectrum around a pitch. float64 [bins of _REACH].
      families: a scikit-learn pipeline: features -> family.
    """

    sample_rate: int
    pitch_weights: np.ndarray
    families: Any

    def predict(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it hears.

        Args:
          audio: float32 in [-1, 1], a note a row, from its onset on. Shape [notes, samples].

        Returns:
          (pitches, families): int64 [notes] each.
        """
        spectra, timbres = _heard(audio, self.sample_rate)
        pitches = _pitches(spectra, self.pitch_weights)
        return pitches, self.families.predict(_features(spectra, timbres, pitches))

    def accuracies(
        self, audio: np.ndarray, pitches: np.ndarray, families: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Which notes it is right about: bool [notes] for each of pitch and instrument_family."""
        heard_pitches, heard_families = self.predict(audio)
        return {
            "pitch": heard_pitches == np.asarray(pitches),
            "instrument_family": heard_families == np.asarray(families),
        }


def fit(
    audio: np.ndarray,
    pitches: np.ndarray,
    families: np.ndarray,
    sample_rate: int,
    max_notes: int = 4000,
    seed: int = 0,
) -> NoteClassifier:
    """Learns from notes whose pitch and family are known.

    Args:
      audio: float32 in [-1, 1], or what gives such rows by index, as a memory map does: no more
        than 64 notes are read at a time. Shape [notes, samples].
      pitches: MIDI pitches; notes outside of 9 to 120 teach no pitch. Shape [notes].
      families: classes. Shape [notes].
      sample_rate: in Hz.
      max_notes: so many at most are drawn.
      seed: of the draw.

    Returns:
      The classifier; equal for equal arguments.

    Raises:
      ValueError: fewer than two families.
    """
    pitches, families = np.asarray(pitches), np.asarray(families)
    chosen = np.arange(len(pitches))
    if len(chosen) > max_notes:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, max_notes, replace=False))
    if len(set(families[chosen].tolist())) < 2:
        raise ValueError(f"families={sorted(set(families.tolist()))}: there must be two at least")
    blocks = [_heard(audio[part], sample_rate) for part in _parts(chosen)]
    spectra = np.concatenate([block[0] for block in blocks])
    timbres = np.concatenate([block[1] for block in blocks])
    weights = _pitch_weights(spectra, pitches[chosen] - LOWEST_PITCH)
    features = _features(spectra, timbres, _pitches(spectra, weights))
    return NoteClassifier(sample_rate, weights, _family_classifier(features, families[chosen]))


def _parts(indices: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(indices), _BLOCK_NOTES):
        yield indices[first : first + _BLOCK_NOTES]


def _heard(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Notes -> `_spectra` and `_timbres` of them."""
    found = [
        (_spectra(audio[part], sample_rate), _timbres(audio[part], sample_rate))
        for part in _parts(np.arange(len(audio)))
    ]
    return np.concatenate([x for x, _ in found]), np.concatenate([x for _, x in found])


def _spectra(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Levels in thirds of semitones: 1 at the loudest, 0 from 60 dB below it on. [notes, bins]"""
    n_fft = 1 << (sample_rate - 1).bit_length()  # about a second: low pitches are 2 Hz apart
    power = _power(audio[:, : 2 * n_fft], n_fft, n_fft // 2).mean(axis=1)
    return _relative(power @ _bank(sample_rate, n_fft), 60.0)


@lru_cache(maxsize=4)
def _bank(sample_rate: int, n_fft: int) -> np.ndarray:
    """Triangles a third of a semitone, or a bin, to either side. float32 [n_fft / 2 + 1, bins]"""
    low, high = _REACH[0], NUM_PITCHES + _REACH[1]
    thirds = np.arange(low * _BINS_PER_SEMITONE, high * _BINS_PER_SEMITONE)
    centres_hz = 440 * 2 ** ((LOWEST_PITCH + thirds / _BINS_PER_SEMITONE - 69) / 12)
    frequencies_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    width_hz = np.maximum(centres_hz * (2 ** (1 / 36) - 1), sample_rate / n_fft)
    return np.maximum(0, 1 - np.abs(frequencies_hz - centres_hz) / width_hz).astype(np.float32)


def _relative(power: np.ndarray, range_db: float) -> np.ndarray:
    """Powers of a note [notes, ...] as levels in [0, 1] below its loudest."""
    loudest = power.max(axis=tuple(range(1, power.ndim)), keepdims=True)
    levels_db = 10 * np.log10(np.maximum(power, 1e-20) / np.maximum(loudest, 1e-20))
    return np.maximum(0, 1 + levels_db / range_db)


def _power(audio: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """|STFT|^2 under a Hann window, from the first sample on. [notes, frames, n_fft / 2 + 1]"""
    audio = np.pad(audio, ((0, 0), (0, max(0, n_fft - audio.shape[1]))))
    frames = np.lib.stride_tricks.sliding_window_view(audio, n_fft, axis=1)[:, ::hop_length]
    return np.abs(_rfft(frames * hann(n_fft).astype(np.float32))) ** 2


def _rfft(frames: np.ndarray) -> np.ndarray:
    from scipy.fft import rfft  # NumPy's would compute in double precision

    return rfft(frames, axis=-1)


def _timbres(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Cepstra, the mean over frames as loud as they are, and the envelope. [notes, numbers]"""
    from scipy.fft import dct

    power = _power(audio, 1024, sample_rate // 50)
    bands = mel_filters(sample_rate, 1024, 64).T
    mel = (power.reshape(-1, power.shape[-1]) @ bands).reshape(*power.shape[:2], -1)
    cepstra = dct(_relative(mel, RANGE_DB), type=2, norm="ortho", axis=-1)[..., 1 : NUM_MFCC + 1]
    envelope = _relative(mel.sum(axis=-1), RANGE_DB)
    weights = envelope[..., None] + 1e-3
    mean = (cepstra * weights).sum(axis=1) / weights.sum(axis=1)
    places = [min(i, envelope.shape[1] - 1) for i in _ENVELOPE_FRAMES]
    return np.concatenate([mean, envelope[:, places]], axis=1)


def _features(spectra: np.ndarray, timbres: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """What families are told from: the timbre, the levels of the harmonics, the pitch."""
    harmonics = 12 * np.log2(np.arange(1, NUM_HARMONICS + 1))
    places = np.round((harmonics - _REACH[0]) * _BINS_PER_SEMITONE).astype(int)
    first = (pitches - LOWEST_PITCH)[:, None] * _BINS_PER_SEMITONE + places
    rows = np.arange(len(spectra))[:, None]
    levels = np.max([spectra[rows, first + i] for i in (-1, 0, 1)], axis=0)
    levels = np.maximum(0, 1 - (levels.max(axis=1, keepdims=True) - levels) * 60 / 40)
    return np.concatenate([timbres, levels, pitches[:, None] / 12], axis=1)


def _pitches(spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The pitch whose surroundings score highest: [notes, bins] -> int64 [notes]."""
    return (_around(spectra) @ weights).argmax(axis=1) + LOWEST_PITCH


def _around(spectra: np.ndarray) -> np.ndarray:
    """A view of the spectrum around each pitch: [notes, NUM_PITCHES, bins of _REACH]."""
    width = (_REACH[1] - _REACH[0]) * _BINS_PER_SEMITONE
    windows = np.lib.stride_tricks.sliding_window_view(spectra, width, axis=1)
    return windows[:, ::_BINS_PER_SEMITONE][:, :NUM_PITCHES]


def _pitch_weights(spectra: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Maximum likelihood of p(pitch) ~ exp(score), with an L2 penalty. float64 [bins of _REACH]

    The first 1,000 notes are enough for its few hundred weights.
    """
    from scipy.optimize import minimize

    known = np.flatnonzero((classes >= 0) & (classes < NUM_PITCHES))[:1000]
    around = np.ascontiguousarray(_around(spectra[known]), np.float32)
    chosen = np.arange(len(known)), classes[known]
    flat = around.reshape(-1, around.shape[-1])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = (flat @ weights.astype(np.float32)).reshape(around.shape[:2]).astype(np.float64)
        scores -= scores.max(axis=1, keepdims=True)
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        wrong = np.exp(log_p)
        wrong[chosen] -= 1
        slope = wrong.reshape(-1).astype(np.float32) @ flat / max(1, len(known))
        penalty = _PENALTY * float(weights @ weights)
        return penalty - float(log_p[chosen].mean()), 2 * _PENALTY * weights + slope

    first = np.zeros(around.shape[-1])
    return minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 100}).x


def _family_classifier(features: np.ndarray, families: np.ndarray) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    return make_pipeline(StandardScaler(), discriminant).fit(features, families)
