"""Nine groups of General MIDI drums, one bit each: a kit of drums at one step is 0..511.

Source: note-seq, `drums_encoder_decoder.DEFAULT_DRUM_TYPE_PITCHES`; Roberts et al. 2018 (MusicVAE),
section 4.1.
"""

from __future__ import annotations

import numpy as np

DRUM_GROUPS = {  # MIDI pitches; the first is the one that is written
    "kick": (36, 35),
    "snare": (38, 27, 28, 31, 32, 33, 34, 37, 39, 40, 56, 65, 66, 75, 85),
    "closed_hi_hat": (42, 44, 54, 68, 69, 70, 71, 73, 78, 80, 22),
    "open_hi_hat": (46, 67, 72, 74, 79, 81, 26),
    "low_tom": (45, 29, 41, 43, 61, 64, 84),
    "mid_tom": (48, 47, 60, 63, 77, 86, 87),
    "high_tom": (50, 30, 62, 76, 83),
    "crash": (49, 52, 55, 57, 58),
    "ride": (51, 53, 59, 82),
}
NUM_KITS = 1 << len(DRUM_GROUPS)

_BITS = np.zeros(128, np.int64)  # by pitch; 0 where it is no drum
for _bit, _pitches in enumerate(DRUM_GROUPS.values()):
    _BITS[list(_pitches)] = 1 << _bit
_WRITTEN = np.array([pitches[0] for pitches in DRUM_GROUPS.values()])


def drum_bits(pitches: np.ndarray) -> np.ndarray:
    """The bit of each pitch's group; 0 for what is no drum. int64, shape of `pitches`."""
    is_known = (pitches >= 0) & (pitches < len(_BITS))
    return np.where(is_known, _BITS[np.where(is_known, pitches, 0)], 0)


def drum_notes(kits: np.ndarray) -> np.ndarray:
    """The drums that are hit, each for one step, by step, then from the lowest bit on.

    Args:
      kits: int64 in 0..511. Shape [steps].

    Returns:
      int64 [notes, 3]: start, end and pitch.
    """
    steps, groups = np.nonzero(kits[:, None] >> np.arange(len(_WRITTEN)) & 1)
    return np.stack([steps, steps + 1, _WRITTEN[groups]], axis=1)
