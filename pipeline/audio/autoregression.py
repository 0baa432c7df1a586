"""Linear prediction: each sample as a weighted sum of those before it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# Added to the power at delay 0, as if there were white noise 70 dB below: without it hundreds of
# coefficients would be fitted to the rounding of the quietest frequencies.
_NOISE = 1e-7


def coefficients(autocorrelation: np.ndarray, order: int) -> np.ndarray:
    """The weights that predict best in the mean of squares: of the sample before, the one before...

    Args:
      autocorrelation: at delays 0, 1, ...; more than `order` of them, the first above 0.
      order: how many samples are looked back at, >= 1.

    Returns:
      float64 [order]; what they predict from is stable, as an autoregressive process.

    Source: Makhoul 1975, "Linear prediction: a tutorial review", sections II and III, by the
      Levinson-Durbin recursion.
    """
    from scipy.linalg import solve_toeplitz

    delays = np.array(autocorrelation[: order + 1], np.float64)
    delays[0] *= 1 + _NOISE
    found: np.ndarray = solve_toeplitz(delays[:-1], delays[1:])
    return found


def mean_autocorrelation(
    waveforms: Iterable[np.ndarray], order: int, least_power: float
) -> np.ndarray:
    """The autocorrelation at delays 0..order, each waveform in proportion to its power.

    Args:
      waveforms: float, at least one. Shape [samples] each.
      order: the largest delay.
      least_power: mean of squares below which a waveform counts less; above 0.

    Returns:
      float64 [order + 1].
    """
    total, num = np.zeros(order + 1), 0
    for waveform in waveforms:
        size = 1 << int(len(waveform) + order).bit_length()
        power = np.abs(np.fft.rfft(waveform, size)) ** 2
        own = np.fft.irfft(power, size)[: order + 1]
        total += own / max(own[0], least_power * len(waveform))
        num += 1
    return total / num
