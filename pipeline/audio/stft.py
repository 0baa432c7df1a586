"""Short-time Fourier transforms, frames first: whole, back again, and of a stream of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain

import numpy as np

from pipeline.errors import PipelineError, Rejected

BLOCK_FRAMES = 64  # their spectra fit into a core's cache


def stft(audio: np.ndarray, n_fft: int = 2048, hop_length: int = 512) -> np.ndarray:
    """Spectra of overlapping frames, each under a periodic Hann window.

    Frame i is centred on sample i * hop_length; beyond both ends there is silence.

    Args:
      audio: floating point, full scale 1. Shape [samples].
      n_fft: window, in samples.
      hop_length: from one frame to the next, in samples.

    Returns:
      complex64. Shape [frames, n_fft // 2 + 1]; of an even window 1 + samples // hop_length.

    Raises:
      Rejected: as in `checked`.

    Source: librosa.stft with its default centre and padding, transposed.
    """
    return np.concatenate(list(stft_blocks([checked(audio)], n_fft, hop_length)))


def istft(spectra: np.ndarray, hop_length: int, num_samples: int) -> np.ndarray:
    """The sound whose `stft` is nearest to given spectra, in the sense of least squares.

    Args:
      spectra: complex. Shape [frames, n_fft // 2 + 1], of an even n_fft.
      hop_length: from one frame to the next, in samples.
      num_samples: length of the result; beyond the last frame it is silent.

    Returns:
      float32. Shape [num_samples].

    Source: Griffin and Lim 1984, "Signal estimation from modified short-time Fourier transform",
    equation 6; librosa.istft.
    """
    from scipy.fft import irfft

    from pipeline.audio._frames import overlap_add

    n_fft = 2 * (spectra.shape[1] - 1)
    window = hann(n_fft)
    length = max(num_samples, hop_length * len(spectra)) + 2 * n_fft
    mixed, weight = np.zeros(length), np.zeros(length)
    for start in range(0, len(spectra), BLOCK_FRAMES):
        block = spectra[start : start + BLOCK_FRAMES]
        frames = irfft(block.astype(np.complex128), n=n_fft, axis=1) * window
        overlap_add(frames, hop_length, mixed[start * hop_length :])
        squares = np.tile(window**2, (len(frames), 1))
        overlap_add(squares, hop_length, weight[start * hop_length :])
    own = slice(n_fft // 2, n_fft // 2 + num_samples)
    is_covered = weight[own] > np.finfo(np.float32).tiny
    return np.divide(mixed[own], weight[own], out=np.zeros(num_samples), where=is_covered).astype(
        np.float32
    )


def power_blocks(blocks: Iterable[np.ndarray], n_fft: int, hop_length: int) -> Iterator[np.ndarray]:
    """Power spectra of a sound that comes in blocks: the squares of librosa's magnitudes.

    Args:
      blocks: the samples in order, float32; blocks of any lengths. Shape [samples] each.
      n_fft: window, in samples.
      hop_length: from one frame to the next, in samples.

    Yields:
      float32. Shape [up to BLOCK_FRAMES, n_fft // 2 + 1]; however the sound was cut, the same.
    """
    for spectra in stft_blocks(blocks, n_fft, hop_length):
        magnitudes = np.abs(spectra)
        yield np.square(magnitudes, out=magnitudes)


def stft_blocks(blocks: Iterable[np.ndarray], n_fft: int, hop_length: int) -> Iterator[np.ndarray]:
    """As `stft`, of a sound that comes in blocks: BLOCK_FRAMES frames at a time."""
    from scipy.fft import rfft

    window = hann(n_fft)
    for frames in _frame_blocks(blocks, n_fft, hop_length):
        # In float64, as librosa does: its estimate of the tuning counts ever so small differences.
        yield rfft(frames * window, axis=1, overwrite_x=True).astype(np.complex64)


@lru_cache(maxsize=32)
def hann(num_samples: int) -> np.ndarray:
    """The periodic Hann window, to the bit as scipy.signal makes it. float64 [num_samples]."""
    window = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, num_samples + 1)[:-1])
    window.setflags(write=False)
    return window


def checked(audio: np.ndarray) -> np.ndarray:
    """A waveform as float32, if it is one.

    Raises:
      Rejected: not_mono, not_floating_point, empty_audio or non_finite_audio.
    """
    audio = np.asarray(audio)
    if audio.ndim != 1:
        raise Rejected("not_mono", f"audio has shape {audio.shape}; mix its channels to [samples]")
    if not np.issubdtype(audio.dtype, np.floating):
        raise Rejected("not_floating_point", f"audio has dtype {audio.dtype}; full scale must be 1")
    if not len(audio):
        raise Rejected("empty_audio", "no samples")
    audio = audio.astype(np.float32, copy=False)
    if not np.isfinite(audio).all():
        raise Rejected("non_finite_audio", "a sample is infinite or not a number")
    return audio


def _frame_blocks(
    blocks: Iterable[np.ndarray], n_fft: int, hop_length: int
) -> Iterator[np.ndarray]:
    """Frames of what comes, half a window of silence before and behind it."""
    if n_fft < 1 or hop_length < 1:
        raise PipelineError(
            f"n_fft={n_fft}, hop_length={hop_length}: both are numbers of samples, at least 1."
        )
    silence = np.zeros(n_fft // 2, np.float32)
    held = silence
    for block in chain(blocks, [silence]):
        held = np.concatenate([held, block])
        num_frames = 1 + (len(held) - n_fft) // hop_length if len(held) >= n_fft else 0
        num_frames -= num_frames % BLOCK_FRAMES
        yield from _cut(held, num_frames, n_fft, hop_length)
        held = held[num_frames * hop_length :]
    yield from _cut(held, max(0, 1 + (len(held) - n_fft) // hop_length), n_fft, hop_length)


def _cut(samples: np.ndarray, num_frames: int, n_fft: int, hop_length: int) -> Iterator[np.ndarray]:
    for start in range(0, num_frames, BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, num_frames - start)
        begin = start * hop_length
        own = samples[begin : begin + (count - 1) * hop_length + n_fft]
        yield np.lib.stride_tricks.sliding_window_view(own, n_fft)[::hop_length]
