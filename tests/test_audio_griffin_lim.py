"""Phases made anew: as librosa makes them, and so that the spectrogram is the one given."""

import librosa
import numpy as np
import pytest

from pipeline.audio.griffin_lim import griffin_lim
from pipeline.audio.stft import stft


@pytest.fixture
def audio():
    time = np.arange(8000) / 16000
    return np.float32(0.5 * np.sin(2 * np.pi * 440 * time) * np.exp(-3 * time))


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_equals_librosa(audio, momentum):
    audio = audio + 0.05 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    # The noise: where a magnitude is 0, the phase is what rounding makes of it.
    magnitudes = np.abs(stft(audio, 512, 128))
    own = griffin_lim(
        magnitudes, 128, len(audio), 6, phases=np.ones_like(magnitudes), momentum=momentum
    )
    theirs = librosa.griffinlim(
        magnitudes.T,
        n_iter=6,
        hop_length=128,
        n_fft=512,
        momentum=momentum,
        init=None,
        length=len(audio),
        pad_mode="constant",
    )
    assert own == pytest.approx(theirs, abs=1e-4 * float(np.abs(theirs).max()))


def test_right_phases_are_a_fixed_point(audio):
    spectra = stft(audio, 512, 128)
    phases = spectra / np.maximum(np.abs(spectra), 1e-12)
    for num_iterations in (0, 5):
        made = griffin_lim(np.abs(spectra), 128, len(audio), num_iterations, phases=phases)
        assert made == pytest.approx(audio, abs=1e-4)


def test_iterations_come_nearer_and_the_seed_decides(audio):
    magnitudes = np.abs(stft(audio, 512, 128))

    def error(num_iterations):
        made = griffin_lim(magnitudes, 128, len(audio), num_iterations, seed=3)
        return np.square(np.abs(stft(made, 512, 128)) - magnitudes).sum()

    assert error(30) < 0.2 * error(0)
    first, same, other = (griffin_lim(magnitudes, 128, len(audio), 4, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
