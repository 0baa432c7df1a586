"""How far a sound is from another, by magnitude spectra of several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

# Below it a magnitude counts as silence: about what rounding to 16 bits adds to a long window.
FLOOR = 1e-3


def multi_scale_spectral_loss(audio: Any, target: Any, fft_sizes: Sequence[int]) -> Any:
    """L1 distance of magnitudes plus that of their logarithms, over all sizes of window.

        sum_n mean |S_n - T_n| + mean |log(S_n + FLOOR) - log(T_n + FLOOR)|

    Args:
      audio: float32. Shape [batch, samples].
      target: same shape.
      fft_sizes: lengths of the windows in samples, multiples of 4; they overlap by three quarters.

    Returns:
      float32 [batch].

    Source: Engel et al. 2020, section 4.2.1, equation 4; ddsp/losses.py, SpectralLoss.
    """
    total = 0.0
    for n_fft in fft_sizes:
        made, wanted = magnitudes(audio, n_fft), magnitudes(target, n_fft)
        linear = ops.mean(ops.abs(made - wanted), axis=(1, 2))
        logs = ops.abs(ops.log(made + FLOOR) - ops.log(wanted + FLOOR))
        total = total + linear + ops.mean(logs, axis=(1, 2))
    return total


def magnitudes(audio: Any, n_fft: int) -> Any:
    """|STFT| under a Hann window that moves by n_fft / 4: float32 [batch, frames, n_fft / 2 + 1].

    Frames are not centred; silence fills the last one.
    """
    hop = n_fft // 4
    num_samples = audio.shape[1]
    num_hops = max(4, -(-num_samples // hop))
    audio = ops.pad(audio, ((0, 0), (0, num_hops * hop - num_samples)))
    hops = ops.reshape(audio, (-1, num_hops, hop))
    # Four shifted copies: the gradient is then a sum, not a scatter.
    frames = ops.concatenate([hops[:, i : num_hops - 3 + i] for i in range(4)], axis=-1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    real, imaginary = ops.rfft(frames * ops.convert_to_tensor(window.astype(np.float32)))
    # The root's slope at 0 is infinite.
    return ops.sqrt(real * real + imaginary * imaginary + 1e-12)
