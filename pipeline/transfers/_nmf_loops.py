"""The restrictions on activations, compiled; what each does stands in _nmf.activations."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def without_repetition(weights: np.ndarray, reach: int, damping: np.float32) -> np.ndarray:
    """Damps what is not the loudest of its template within `reach` frames to either side."""
    frames, templates = weights.shape
    loudest = np.empty_like(weights)
    for m in range(frames):
        row = loudest[m]
        row[:] = weights[max(0, m - reach)]
        for other in range(max(0, m - reach) + 1, min(frames, m + reach + 1)):
            for k in range(templates):
                row[k] = max(row[k], weights[other, k])
        for k in range(templates):
            row[k] = weights[m, k] if weights[m, k] >= row[k] else weights[m, k] * damping
    return loudest


@numba.njit(cache=True)
def with_polyphony(weights: np.ndarray, polyphony: int, damping: np.float32) -> np.ndarray:
    """Damps all of a frame but its loudest; of equals the first templates stay."""
    frames, templates = weights.shape
    kept = weights * damping
    best = np.empty(polyphony, np.int64)
    for m in range(frames):
        count = 0
        for k in range(templates):
            value = weights[m, k]
            if count == polyphony and value <= weights[m, best[-1]]:
                continue
            place = count if count < polyphony else polyphony - 1
            while place > 0 and weights[m, best[place - 1]] < value:
                best[place] = best[place - 1]
                place -= 1
            best[place] = k
            count = min(count + 1, polyphony)
        for i in range(count):
            kept[m, best[i]] = weights[m, best[i]]
    return kept


@numba.njit(cache=True)
def continued(weights: np.ndarray, reach: int, rows: int) -> np.ndarray:
    """Adds to each what stands up to `reach` before and after it on its diagonal."""
    frames, templates = weights.shape
    sums = weights.copy()
    for m in range(frames):
        for shift in range(-reach, reach + 1):
            if shift == 0 or not 0 <= m + shift < frames:
                continue
            for begin in range(0, templates, rows):
                end = min(begin + rows, templates)
                for k in range(max(begin, begin - shift), min(end, end - shift)):
                    sums[m, k] += weights[m + shift, k + shift]
    return sums
