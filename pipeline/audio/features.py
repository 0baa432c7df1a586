"""Features of sound, equal to librosa's: mel, MFCC, chroma, onset strength and tempo, of one STFT.

Arrays have frames first. What is kept of a sound are its features, and the spectra of short ones:
long sounds are read block by block, and read again for their chroma, whose tuning must be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.audio import _rhythm
from pipeline.audio._tuning import Peaks
from pipeline.audio.blocks import ArrayBlocks, Blocks, FileBlocks
from pipeline.audio.filters import chroma_filters, mel_bands
from pipeline.audio.stft import checked, power_blocks

TOP_DB = 80.0
_LEAST_POWER = 1e-10
_MAX_KEPT_BYTES = 2**26  # of spectra: six minutes at the defaults


@dataclass(frozen=True)
class Features:
    """Features of a sound.

    Attributes:
      mel: power in mel bands. float32 [frames, num_mel_bins].
      mel_db: the same in decibels above 1, at most 80 below the loudest. float32, as `mel`.
      mfcc: mel-frequency cepstral coefficients. float32 [frames, num_mfcc].
      chroma: strength of the pitch classes from C on, the strongest of a frame 1. float32
        [frames, 12].
      onset_strength: mean rise of the bands over the frame before, in dB. float32 [frames].
      tempo_bpm: beats a minute.
      tuning: against A = 440 Hz, in semitones, -0.5 .. 0.5.
    """

    mel: np.ndarray
    mel_db: np.ndarray
    mfcc: np.ndarray
    chroma: np.ndarray
    onset_strength: np.ndarray
    tempo_bpm: float
    tuning: float


def features(
    audio: np.ndarray,
    sample_rate: int,
    n_fft: int = 2048,
    hop_length: int = 512,
    num_mel_bins: int = 128,
    num_mfcc: int = 20,
) -> Features:
    """All features of a waveform, from one STFT; of more than 64 MiB of spectra, from two.

    Args:
      audio: floating point, full scale 1. Shape [samples].
      sample_rate: of `audio`, in Hz.
      n_fft: window of the STFT, in samples.
      hop_length: from one frame to the next, in samples.
      num_mel_bins: bands of equal width in mel.
      num_mfcc: coefficients from the 0th on.

    Raises:
      Rejected: not_mono, not_floating_point, empty_audio or non_finite_audio.

    Source: librosa 0.11, with its defaults, feature.melspectrogram and power_to_db, feature.mfcc,
    feature.chroma_stft, onset.onset_strength and feature.tempo.
    """
    blocks = ArrayBlocks(checked(audio))
    return _features(blocks, sample_rate, n_fft, hop_length, num_mel_bins, num_mfcc)


def file_features(
    path: Path,
    n_fft: int = 2048,
    hop_length: int = 512,
    num_mel_bins: int = 128,
    num_mfcc: int = 20,
) -> Features:
    """`features` of a WAV, FLAC, OGG or MP3 file of any length, decoded a block at a time.

    Args:
      path: of the file; its channels are mixed to their mean, its sample rate is kept.
      n_fft, hop_length, num_mel_bins, num_mfcc: as of `features`.

    Raises:
      Rejected: undecodable_audio, empty_audio or non_finite_audio.
    """
    blocks = FileBlocks(path)
    return _features(blocks, blocks.sample_rate, n_fft, hop_length, num_mel_bins, num_mfcc)


def mel(
    audio: np.ndarray,
    sample_rate: int,
    n_fft: int = 2048,
    hop_length: int = 512,
    num_mel_bins: int = 128,
) -> np.ndarray:
    """Power in mel bands; arguments and errors as of `features`. float32 [frames, num_mel_bins]."""
    powers = power_blocks(ArrayBlocks(checked(audio))(), n_fft, hop_length)
    return np.concatenate([_banded(p, sample_rate, n_fft, num_mel_bins) for p in powers])


def power_to_db(power: np.ndarray, top_db: float = TOP_DB) -> np.ndarray:
    """10 log10 of a power, at least 1e-10, and at most `top_db` below the highest. float32."""
    decibels = np.log10(np.maximum(np.float32(_LEAST_POWER), power))
    decibels *= np.float32(10)
    return np.maximum(decibels, decibels.max() - np.float32(top_db), out=decibels)


def mfcc(
    audio: np.ndarray,
    sample_rate: int,
    n_fft: int = 2048,
    hop_length: int = 512,
    num_mel_bins: int = 128,
    num_mfcc: int = 20,
) -> np.ndarray:
    """Cepstral coefficients; arguments and errors as of `features`. float32 [frames, num_mfcc]."""
    return _cepstra(power_to_db(mel(audio, sample_rate, n_fft, hop_length, num_mel_bins)), num_mfcc)


def chroma(
    audio: np.ndarray, sample_rate: int, n_fft: int = 2048, hop_length: int = 512
) -> np.ndarray:
    """Pitch classes from C on; arguments and errors as of `features`. float32 [frames, 12]."""
    spectra = _Spectra(ArrayBlocks(checked(audio)), n_fft, hop_length)
    peaks = Peaks(sample_rate, n_fft)
    for power in spectra.first_pass():
        peaks.add(power)
    return spectra.chroma(sample_rate, peaks.tuning())


def onset_strength(
    audio: np.ndarray, sample_rate: int, n_fft: int = 2048, hop_length: int = 512
) -> np.ndarray:
    """Mean rise of 128 mel bands in dB; arguments and errors as of `features`. float32 [frames]."""
    decibels = power_to_db(mel(audio, sample_rate, n_fft, hop_length))
    return _rhythm.onset_envelope(decibels, n_fft, hop_length)


def tempo(audio: np.ndarray, sample_rate: int, n_fft: int = 2048, hop_length: int = 512) -> float:
    """Beats a minute, the nearer to 120 the likelier; arguments and errors as of `features`."""
    envelope = onset_strength(audio, sample_rate, n_fft, hop_length)
    return _rhythm.tempo_bpm(envelope, sample_rate, hop_length)


def _features(
    blocks: Blocks,
    sample_rate: int,
    n_fft: int,
    hop_length: int,
    num_mel_bins: int,
    num_mfcc: int,
) -> Features:
    spectra = _Spectra(blocks, n_fft, hop_length)
    peaks = Peaks(sample_rate, n_fft)
    bands = []
    for power in spectra.first_pass():
        bands.append(_banded(power, sample_rate, n_fft, num_mel_bins))
        peaks.add(power)
    banded, tuning = np.concatenate(bands), peaks.tuning()
    decibels = power_to_db(banded)
    envelope = _rhythm.onset_envelope(decibels, n_fft, hop_length)
    return Features(
        mel=banded,
        mel_db=decibels,
        mfcc=_cepstra(decibels, num_mfcc),
        chroma=spectra.chroma(sample_rate, tuning),
        onset_strength=envelope,
        tempo_bpm=_rhythm.tempo_bpm(envelope, sample_rate, hop_length),
        tuning=tuning,
    )


class _Spectra:
    """Power spectra of a sound for two passes; kept from the first to the second if they are few.

    Args:
      blocks: the sound.
      n_fft: window, in samples.
      hop_length: from one frame to the next, in samples.
    """

    def __init__(self, blocks: Blocks, n_fft: int, hop_length: int):
        self._blocks, self._n_fft, self._hop_length = blocks, n_fft, hop_length
        self._kept: list[np.ndarray] | None = []

    def first_pass(self) -> Iterator[np.ndarray]:
        num_bytes = 0
        for power in power_blocks(self._blocks(), self._n_fft, self._hop_length):
            num_bytes += power.nbytes
            if num_bytes > _MAX_KEPT_BYTES:
                self._kept = None
            elif self._kept is not None:
                self._kept.append(power)
            yield power

    def chroma(self, sample_rate: int, tuning: float) -> np.ndarray:
        """The second pass: float32 [frames, 12]."""
        filters = chroma_filters(sample_rate, self._n_fft, tuning).T
        kept = self._kept
        if kept is None:
            powers = power_blocks(self._blocks(), self._n_fft, self._hop_length)
            raw = np.concatenate([power @ filters for power in powers])
        else:
            raw = np.concatenate([power @ filters for power in kept])
        strongest = raw.max(axis=1, keepdims=True)
        strongest[strongest < np.finfo(np.float32).tiny] = 1
        return np.divide(raw, strongest, out=raw)


def _banded(power: np.ndarray, sample_rate: int, n_fft: int, num_mel_bins: int) -> np.ndarray:
    from pipeline.audio._frames import sum_bands

    banded = np.empty((len(power), num_mel_bins), np.float32)
    sum_bands(power, *mel_bands(sample_rate, n_fft, num_mel_bins), banded)
    return banded


def _cepstra(decibels: np.ndarray, num_mfcc: int) -> np.ndarray:
    from scipy.fft import dct

    return np.ascontiguousarray(dct(decibels, type=2, norm="ortho", axis=1)[:, :num_mfcc])
