"""Texture: its convolution as a loop, its gradient by differences, and what comes of two songs."""

import numpy as np
import pytest

from pipeline.errors import Rejected
from pipeline.transfers import texture
from pipeline.transfers._texture_loss import TextureLoss, gram, random_filters, responses
from pipeline.transfers.base import Request
from tests.transfer_songs import RATE, as_played

PARAMS = {
    "n_fft": 512,
    "hop_length": 256,
    "num_filters": 48,
    "filter_frames": 11,
    "style_weight": 10.0,
    "num_iterations": 25,
    "griffin_lim_iterations": 4,
}


def params(**changes):
    return texture.Params(**(PARAMS | changes))


@pytest.fixture
def loss():
    rng = np.random.default_rng(0)
    filters = random_filters(3, 6, 5, 0).astype(np.float64)
    content, style = responses(rng.random((12, 6)), filters), responses(rng.random((9, 6)), filters)
    return TextureLoss(filters, content, gram(style), 2.5)


def test_responses_and_gram_are_the_sums_they_stand_for(loss):
    logs = np.random.default_rng(1).random((12, 6))
    expected = np.zeros((10, 5))
    for frame in range(10):
        for index in range(5):
            total = sum(
                logs[frame + lag, channel] * loss.filters[lag, channel, index]
                for lag in range(3)
                for channel in range(6)
            )
            expected[frame, index] = max(0.0, total)
    assert responses(logs, loss.filters) == pytest.approx(expected)
    together = np.mean([np.outer(row, row) for row in expected], axis=0)
    assert gram(expected) == pytest.approx(together)


def test_gram_does_not_hear_when_something_is(loss):
    features = responses(np.random.default_rng(2).random((12, 6)), loss.filters)
    shuffled = np.random.default_rng(3).permutation(features)
    assert gram(shuffled) == pytest.approx(gram(features))


def test_the_gradient_is_that_of_the_loss(loss):
    logs = np.random.default_rng(4).random((12, 6))
    _, gradient = loss(logs)
    for place in np.ndindex(logs.shape):
        step = np.zeros_like(logs)
        step[place] = 1e-6
        numerical = (loss(logs + step)[0] - loss(logs - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(numerical, rel=1e-4, abs=1e-8)


def test_the_loss_is_the_two_relative_errors(loss):
    logs = np.random.default_rng(5).random((12, 6))
    features = responses(logs, loss.filters)
    of_content = ((features - loss.content) ** 2).sum() / (loss.content**2).sum()
    of_style = ((gram(features) - loss.style) ** 2).sum() / (loss.style**2).sum()
    assert loss(logs)[0] == pytest.approx(of_content + 2.5 * of_style)


@pytest.fixture(scope="module")
def songs():
    score = [(0.0, 67), (0.4, 71), (0.8, 74), (1.2, 72), (1.6, 69)]
    return as_played(score, 71), as_played([(0.0, 72), (0.5, 69), (1.0, 67), (1.5, 76)], 11)


def test_style_comes_nearer_and_content_stays(songs):
    from pipeline.audio.stft import stft

    notes, sound = songs
    made = texture.transfer(Request(notes, sound, RATE, 1.0, 0), params())
    assert made.dtype == np.float32
    assert made.shape == notes.shape
    assert np.abs(made).max() <= 1
    spectra = [np.abs(stft(x, 512, 256)) for x in (notes, sound, made)]
    loud = spectra[0].max()
    logs = [np.log1p(s * (loud / s.max())) for s in spectra]
    filters = random_filters(11, 257, 48, 0)  # those of the search
    grams = [gram(responses(x, filters)) for x in logs]
    away, before = (np.square(g - grams[1]).sum() for g in (grams[2], grams[0]))
    assert away < 0.6 * before
    assert np.corrcoef(logs[2].ravel(), logs[0].ravel())[0, 1] > 0.95


def test_equal_arguments_give_equal_songs_and_strength_0_the_notes(songs):
    few = params(num_iterations=3)
    first, same, other = (texture.transfer(Request(*songs, RATE, 1.0, s), few) for s in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    unchanged = texture.transfer(Request(*songs, RATE, 0.0, 0), few)
    assert unchanged == pytest.approx(songs[0], abs=1e-4)


def test_a_song_shorter_than_a_filter_is_rejected(songs):
    with pytest.raises(Rejected, match="filter_frames=11") as caught:
        texture.transfer(Request(songs[0], songs[1][:1600], RATE, 1.0, 0), params())
    assert caught.value.reason == "too_short"


def test_is_a_baseline():
    assert texture.METHOD.is_baseline
