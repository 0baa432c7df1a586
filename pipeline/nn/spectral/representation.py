"""What a spectral autoencoder sees of a sound: log magnitudes, and perhaps how phases advance.

Source: Engel et al. 2017, "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders",
section 2.2; Engel et al. 2019, "GANSynth", section 3, for the instantaneous frequency.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class Representation(NamedTuple):
    """How a spectrogram is made of a sound.

    Attributes:
      n_fft: samples of a frame, a power of 2; the bin of half the sample rate is left out.
      hop_length: samples from one frame to the next.
      num_frames: of a spectrogram; silence fills those after the sound.
      range_db: what is so much below the loudest that a bin can be is 0, the loudest is 1.
      has_phase: whether a second channel says how far each bin's phase advances from a frame to
        the next, as a part of half a turn, in -1..1.
    """

    n_fft: int
    hop_length: int
    num_frames: int
    range_db: float
    has_phase: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, bins, channels."""
        return self.num_frames, self.n_fft // 2, 2 if self.has_phase else 1

    @property
    def full_scale(self) -> float:
        """Magnitude of a sine of amplitude 1 in the middle of a bin, under a Hann window."""
        return self.n_fft / 4

    def of_audio(self, audio: Any) -> tf.Tensor:
        """Spectrograms of sounds.

        Args:
          audio: in [-1, 1]. Shape [batch, samples].

        Returns:
          float32 [batch, frames, bins, channels]; magnitudes in 0..1.
        """
        audio = tf.convert_to_tensor(audio, tf.float32)
        length = (self.num_frames - 1) * self.hop_length + self.n_fft
        audio = tf.pad(audio, [[0, 0], [self.n_fft // 2, length]])[:, :length]
        spectra = tf.signal.stft(audio, self.n_fft, self.hop_length)[..., : self.n_fft // 2]
        magnitudes = tf.abs(spectra)
        floor = self.full_scale * 10 ** (-self.range_db / 20)
        decibels = tf.math.log(tf.maximum(magnitudes, floor) / self.full_scale) * _DB_PER_NEPER
        channels = [tf.minimum(1 + decibels / self.range_db, 1)]
        if self.has_phase:
            before = tf.pad(spectra, [[0, 0], [1, 0], [0, 0]])[:, :-1]
            advance = tf.math.angle(spectra * tf.math.conj(before)) / np.pi
            first = tf.math.angle(spectra[:, :1]) / np.pi
            channels.append(tf.concat([first, advance[:, 1:]], axis=1))
        return tf.stack(channels, axis=-1)

    def magnitudes(self, spectrograms: np.ndarray) -> np.ndarray:
        """Back from the first channel: what is 0 is silent. float32 [batch, frames, bins + 1]."""
        levels = np.asarray(spectrograms[..., 0], np.float32)
        linear = self.full_scale * 10 ** ((levels - 1) * (self.range_db / 20))
        return np.pad(np.where(levels > 0, linear, 0), ((0, 0), (0, 0), (0, 1)))

    def phases(self, spectrograms: np.ndarray) -> np.ndarray:
        """Back from the second channel: complex64 of modulus 1 [batch, frames, bins + 1]."""
        turns = np.cumsum(spectrograms[..., 1], axis=1, dtype=np.float64)
        rotations = np.exp(1j * np.pi * turns).astype(np.complex64)
        return np.pad(rotations, ((0, 0), (0, 0), (0, 1)), constant_values=1)


_DB_PER_NEPER = 20 / np.log(10)
