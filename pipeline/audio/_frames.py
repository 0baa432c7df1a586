"""What is done to each frame: bands summed, peaks found, waveforms added up; compiled."""

from __future__ import annotations

import numpy as np
from numba import njit, types

_FLOATS, _TABLE = types.float32[::1], types.float32[:, ::1]
_INTS = types.int64[::1]


@njit(types.void(_TABLE, _FLOATS, _INTS, _INTS, _TABLE), cache=True, nogil=True)
def sum_bands(power, weights, starts, offsets, bands):
    """Weighted sums over neighbouring bins, four frames at a time.

    Args:
      power: float32 [frames, bins].
      weights: float32, those of all bands in a row; of band b from offsets[b] to offsets[b + 1].
      starts: int64 [bands], the first bin of each.
      offsets: int64 [bands + 1].
      bands: float32 [frames, bands], the result.
    """
    num_frames = power.shape[0]
    for frame in range(0, num_frames - num_frames % 4, 4):
        for band in range(starts.size):
            a = b = c = d = np.float32(0)
            bin_ = starts[band]
            for i in range(offsets[band], offsets[band + 1]):
                weight = weights[i]
                a += weight * power[frame, bin_]
                b += weight * power[frame + 1, bin_]
                c += weight * power[frame + 2, bin_]
                d += weight * power[frame + 3, bin_]
                bin_ += 1
            bands[frame, band], bands[frame + 1, band] = a, b
            bands[frame + 2, band], bands[frame + 3, band] = c, d
    for frame in range(num_frames - num_frames % 4, num_frames):
        for band in range(starts.size):
            a = np.float32(0)
            bin_ = starts[band]
            for i in range(offsets[band], offsets[band + 1]):
                a += weights[i] * power[frame, bin_]
                bin_ += 1
            bands[frame, band] = a


@njit(types.int64(_TABLE, _FLOATS, _INTS, types.float64, _FLOATS, _FLOATS), cache=True, nogil=True)
def find_peaks(spectra, least, bins, bin_hz, pitches_hz, heights):
    """Local maxima above each frame's threshold, moved to the tops of their parabolas.

    Every sum is rounded where librosa.piptrack rounds it, so that both find the same peaks.

    Args:
      spectra: float32 [frames, bins].
      least: float32 [frames], 0 or more; the height that a peak must exceed.
      bins: int64 [2], the first bin that may be a peak, and that beyond the last; neither is at an
        end of the spectrum.
      bin_hz: from one bin to the next.
      pitches_hz, heights: float32, as long as there may be peaks; the result.

    Returns:
      How many there are.
    """
    count = 0
    for frame in range(spectra.shape[0]):
        row, threshold = spectra[frame], least[frame]
        for i in range(bins[0], bins[1]):
            here, left, right = row[i], row[i - 1], row[i + 1]
            if not (here > threshold and here > left and here >= right):
                continue
            bend = np.float64(right + left) - 2 * np.float64(here)
            slope = np.float64(right - left) / 2
            shift = np.float32(0 if abs(slope) >= abs(bend) else -slope / bend)
            rise = np.float32((right - left) * np.float32(0.5))
            pitches_hz[count] = (i + np.float64(shift)) * bin_hz
            heights[count] = here + np.float32(np.float32(np.float32(0.5) * rise) * shift)
            count += 1
    return count


@njit(types.void(types.float64[:, ::1], types.int64, types.float64[:]), cache=True, nogil=True)
def overlap_add(frames, hop_length, mixed):
    """Adds frame i [frames, samples] to `mixed` from sample i * hop_length on."""
    for frame in range(frames.shape[0]):
        start = frame * hop_length
        for i in range(frames.shape[1]):
            mixed[start + i] += frames[frame, i]
