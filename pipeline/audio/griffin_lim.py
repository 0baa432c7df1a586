"""Phases for a spectrogram that has none."""

from __future__ import annotations

import numpy as np

from pipeline.audio.stft import istft, stft

_TINY = 1e-16


def griffin_lim(
    magnitudes: np.ndarray,
    hop_length: int,
    num_samples: int,
    num_iterations: int,
    seed: int = 0,
    phases: np.ndarray | None = None,
    momentum: float = 0.99,
) -> np.ndarray:
    """A waveform whose spectrogram is nearly the one given, found by going back and forth.

    Args:
      magnitudes: of the STFT, at least 0. Shape [1 + num_samples // hop_length, n_fft // 2 + 1].
      hop_length: in samples.
      num_samples: length of the result.
      num_iterations: 0 takes the first phases as they are.
      seed: of the random phases that it begins with.
      phases: to begin with, as complex numbers of modulus 1; None: random ones.
      momentum: 0 is Griffin's and Lim's own; what is near 1 comes closer in as many iterations.

    Returns:
      float32. Shape [num_samples].

    Source: Perraudin, Balazs and Søndergaard 2013, "A fast Griffin-Lim algorithm", algorithm 2,
    with librosa's scale of the momentum; Griffin and Lim 1984.
    """
    n_fft = 2 * (magnitudes.shape[1] - 1)
    magnitudes = np.asarray(magnitudes, np.float32)
    if phases is None:
        angles = np.random.default_rng(seed).uniform(0, 2 * np.pi, magnitudes.shape)
        phases = np.exp(1j * angles)
    spectra = magnitudes * np.asarray(phases, np.complex64)
    scale, previous = np.float32(momentum / (1 + momentum)), np.zeros_like(spectra)
    for _ in range(num_iterations):
        rebuilt = stft(istft(spectra, hop_length, num_samples), n_fft, hop_length)
        ahead = rebuilt - scale * previous
        previous = rebuilt
        spectra = ahead * (magnitudes / (np.abs(ahead) + np.float32(_TINY)))
    return istft(spectra, hop_length, num_samples)
