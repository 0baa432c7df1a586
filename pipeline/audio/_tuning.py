"""How far music is tuned off A = 440 Hz, from the peaks of its spectra."""

from __future__ import annotations

import numpy as np

_LOWEST_HZ, _HIGHEST_HZ = 150.0, 4000.0
_LEAST_SHARE = np.float32(0.1)  # of the frame's highest bin
_NUM_STEPS = 100  # of a semitone
_SEMITONES = 12


class Peaks:
    """Spectral peaks between 150 and 4,000 Hz, collected over a sound.

    Args:
      sample_rate: of the sound, in Hz.
      n_fft: window of its spectra, in samples.
    """

    def __init__(self, sample_rate: int, n_fft: int):
        self._bin_hz = sample_rate / n_fft
        bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)[:-1]
        inside = (bins_hz >= _LOWEST_HZ) & (bins_hz < min(_HIGHEST_HZ, sample_rate / 2))
        ends = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]])))
        self._bins = ends if len(ends) else np.zeros(2, np.int64)
        self._pitches_hz = [np.zeros(0, np.float32)]
        self._heights = [np.zeros(0, np.float32)]

    def add(self, spectra: np.ndarray) -> None:
        """Takes the peaks of power spectra. float32 [frames, bins]."""
        from pipeline.audio._frames import find_peaks

        least = _LEAST_SHARE * spectra.max(axis=1)
        most = len(spectra) * int(self._bins[1] - self._bins[0])
        pitches_hz, heights = np.empty(most, np.float32), np.empty(most, np.float32)
        count = find_peaks(spectra, least, self._bins, self._bin_hz, pitches_hz, heights)
        self._pitches_hz.append(pitches_hz[:count].copy())
        self._heights.append(heights[:count].copy())

    def tuning(self) -> float:
        """In semitones: where most of the higher half of the peaks lie; 0 without a peak.

        Source: librosa.estimate_tuning, with its defaults.
        """
        pitches_hz, heights = np.concatenate(self._pitches_hz), np.concatenate(self._heights)
        if not len(pitches_hz):
            return 0.0
        pitches_hz = pitches_hz[heights >= np.median(heights)]
        semitones = _SEMITONES * np.log2(pitches_hz / np.float32(440 / 16))
        off = semitones - np.floor(semitones)
        off[off >= 0.5] -= 1
        edges = np.linspace(-0.5, 0.5, _NUM_STEPS + 1)
        step = np.minimum((off + np.float32(0.5)) * _NUM_STEPS, _NUM_STEPS - 1).astype(np.int64)
        step += (off >= edges[step + 1]).astype(np.int64) - (off < edges[step])
        return float(edges[np.bincount(step).argmax()])
