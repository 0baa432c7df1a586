"""What the network hears of a sound, by frames: how loud it is, and the shape of its spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

FLOOR_DB = -80.0
_RANGE_DB = 50.0  # below a frame's loudest band all is as good as silent


class Analysis:
    """Loudness and cepstra of frames that lie at multiples of hop_length.

    Args:
      loudness_weights: what |X_k|^2 of a frame under a Hann window is multiplied with, so that the
        sum is its loudness. float [n_fft / 2 + 1].
      mel_weights: bands of the spectrum. float [n_fft / 2 + 1, bands].
      num_mfcc: coefficients kept of the bands' cosine transform, the constant one left out.
      hop_length: samples from one frame to the next; it divides n_fft.
    """

    def __init__(
        self,
        loudness_weights: np.ndarray,
        mel_weights: np.ndarray,
        num_mfcc: int,
        hop_length: int,
    ):
        self.n_fft, self.hop_length = 2 * (len(loudness_weights) - 1), hop_length
        self.num_mfcc = num_mfcc
        self.loudness_weights = np.asarray(loudness_weights, np.float32)[:, None]
        self.mel_weights = np.asarray(mel_weights, np.float32)
        self.cosines = _cosines(mel_weights.shape[1], num_mfcc)

    def __call__(self, audio: Any) -> tuple[Any, Any]:
        """float32 [batch, samples] -> loudness in dB [batch, frames], cepstra [..., num_mfcc].

        There are 1 + samples // hop_length frames. Cepstra do not change with a frame's level.
        """
        power = self._power(audio)
        loudness = ops.matmul(power, ops.convert_to_tensor(self.loudness_weights))[..., 0]
        loudness_db = ops.maximum(_decibels(loudness), FLOOR_DB)
        bands = ops.matmul(power, ops.convert_to_tensor(self.mel_weights))
        loudest = ops.max(bands, axis=-1, keepdims=True)
        relative = _decibels(bands / ops.maximum(loudest, 1e-10))
        shape = ops.maximum(relative, -_RANGE_DB) / _RANGE_DB
        return loudness_db, ops.matmul(shape, ops.convert_to_tensor(self.cosines))

    def _power(self, audio: Any) -> Any:
        """|STFT|^2, silence around the audio: [batch, frames, n_fft / 2 + 1]."""
        hop, half = self.hop_length, self.n_fft // 2
        num_frames = 1 + audio.shape[1] // hop
        num_samples = (num_frames - 1) * hop + self.n_fft
        after = num_samples - half - audio.shape[1]
        padded = ops.pad(audio, ((0, 0), (half, max(0, after))))[:, :num_samples]
        hops = ops.reshape(padded, (-1, num_samples // hop, hop))
        spans = self.n_fft // hop
        frames = [hops[:, i : i + num_frames] for i in range(spans)]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.n_fft) / self.n_fft)
        windowed = ops.concatenate(frames, axis=-1) * ops.convert_to_tensor(
            window.astype(np.float32)
        )
        real, imaginary = ops.rfft(windowed)
        return real * real + imaginary * imaginary


def _decibels(power: Any) -> Any:
    return 10 / np.log(10) * ops.log(ops.maximum(power, 1e-20))


def _cosines(num_bands: int, num_mfcc: int) -> np.ndarray:
    """The orthonormal DCT-II's rows 1..num_mfcc: float32 [num_bands, num_mfcc]."""
    k, n = np.arange(1, num_mfcc + 1), np.arange(num_bands)[:, None]
    cosines = np.sqrt(2 / num_bands) * np.cos(np.pi * k * (2 * n + 1) / (2 * num_bands))
    return cosines.astype(np.float32)
