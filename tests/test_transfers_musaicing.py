"""Musaicing: restrictions and step as the paper writes them, and what comes of two songs."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.errors import Rejected
from pipeline.transfers import _nmf, mean_spectrum, musaicing
from pipeline.transfers.base import Request
from tests.transfer_songs import RATE, as_played, log_mel_distance

PARAMS = {
    "n_fft": 2048,
    "hop_length": 512,
    "num_iterations": 20,
    "repetition_frames": 3,
    "polyphony": 2,
    "continuity_frames": 5,
    "shift_semitones": (-7, -5, -3, 0, 2, 4, 5),
    "num_copies": 7,
    "max_sound_seconds": 30.0,
    "masking": 1.0,
    "equalization": 1.0,
    "griffin_lim_iterations": 0,
}


def params(**changes):
    return musaicing.Params(**(PARAMS | changes))


def by_the_paper(h, damping, r, p, c):
    """Equations 4 to 6 for activations [templates, frames], as in the paper."""
    num_templates, num_frames = h.shape
    repeated = h.copy()
    for k in range(num_templates):
        for m in range(num_frames):
            if h[k, m] != max(h[k, max(0, m - r) : m + r + 1]):
                repeated[k, m] = h[k, m] * damping
    simultaneous = repeated.copy()
    for m in range(num_frames):
        loudest = sorted(range(num_templates), key=lambda k, m=m: -repeated[k, m])[:p]
        for k in range(num_templates):
            if k not in loudest:
                simultaneous[k, m] *= damping
    continued = np.zeros_like(h)
    for k in range(num_templates):
        for m in range(num_frames):
            for i in range(-(c // 2), c // 2 + 1):
                if 0 <= k + i < num_templates and 0 <= m + i < num_frames:
                    continued[k, m] += simultaneous[k + i, m + i]
    return continued


@pytest.mark.parametrize(("r", "p", "c"), [(7, 10, 3), (1, 1, 5), (2, 4, 1), (30, 3, 9)])
@pytest.mark.parametrize("damping", [0.75, 0.0])
def test_restrictions_are_those_of_the_paper(r, p, c, damping):
    weights = np.random.default_rng(r).random((13, 21), dtype=np.float32)
    activations = _nmf.restricted(weights, damping, r, p, c, 21).T
    assert activations == pytest.approx(
        by_the_paper(weights.T, np.float32(damping), r, p, c), rel=1e-5
    )


def test_each_restriction_can_be_left_out():
    weights = np.random.default_rng(0).random((6, 8), dtype=np.float32)
    assert np.array_equal(_nmf.restricted(weights, 0.0, 0, 0, 0, 8), weights)
    assert np.array_equal(_nmf.restricted(weights, 0.0, 0, 8, 1, 8), weights)


def test_the_kernel_does_not_reach_from_one_copy_into_the_next():
    weights = np.random.default_rng(0).random((9, 12), dtype=np.float32)
    whole = _nmf.restricted(weights, 1.0, 0, 0, 5, 4)
    parts = [_nmf.restricted(np.ascontiguousarray(weights[:, i : i + 4]), 1.0, 0, 0, 5, 4)
             for i in (0, 4, 8)]  # fmt: skip
    assert np.array_equal(whole, np.concatenate(parts, axis=1))


def test_the_step_is_that_of_the_paper():
    rng = np.random.default_rng(1)
    v, w, h = rng.random((7, 5)), rng.random((7, 4)), rng.random((4, 5))  # as in the paper
    expected, model = np.zeros_like(h), w @ h
    for k in range(4):
        for m in range(5):
            gain = sum(w[n, k] * v[n, m] / model[n, m] for n in range(7))
            expected[k, m] = h[k, m] * gain / sum(w[n, k] for n in range(7))
    activations = _nmf.updated(*(x.T.astype(np.float32) for x in (h, v, w))).T
    assert activations == pytest.approx(expected, rel=1e-5)


def test_divergence_never_rises_without_restrictions():
    rng = np.random.default_rng(2)
    target, templates = rng.random((20, 33), np.float32), rng.random((15, 33), np.float32)
    errors = [
        _nmf.divergence(target, _nmf.activations(target, templates, n, 0, 0, 0) @ templates)
        for n in (1, 2, 3, 5, 10, 40)
    ]
    assert all(later < earlier for earlier, later in pairwise(errors))


def test_divergence_is_kullback_leiblers():
    from scipy.special import kl_div

    a, b = np.random.default_rng(0).random((2, 5, 6))
    assert _nmf.divergence(a, b) == pytest.approx(kl_div(a, b).sum())


def test_few_templates_sound_in_the_end():
    rng = np.random.default_rng(3)
    target, templates = rng.random((30, 17), np.float32), rng.random((40, 17), np.float32)
    weights = _nmf.activations(target, templates, 12, 3, 2, 1)
    assert (weights > 0).sum(axis=1).max() == 2
    for template in weights.T:
        loud = np.flatnonzero(template)
        assert (np.diff(loud) > 3).all()


def test_a_song_from_its_own_frames_is_the_diagonal():
    rng = np.random.default_rng(4)
    frames = rng.gamma(0.3, size=(40, 129)).astype(np.float32)
    weights = _nmf.activations(frames, frames, 30, 3, 2, 3)
    assert np.array_equal(weights.argmax(axis=1), np.arange(40))
    assert np.trace(weights) > 0.95 * weights.sum()


@pytest.fixture(scope="module")
def songs():
    """Notes of a score by a clarinet, a sound by a trumpet, and the score by the trumpet."""
    score = [(0.0, 67), (0.4, 71), (0.8, 74), (1.2, 72), (1.6, 69)]
    other = [(0.0, 72), (0.5, 69), (1.0, 67), (1.5, 76)]
    return as_played(score, 71), as_played(other, 56), as_played(score, 56)


def request(songs, strength=1.0, seed=0):
    return Request(songs[0], songs[1], RATE, strength, seed)


def test_the_third_song_is_nearest_to_the_oracle(songs):
    notes, sound, oracle = songs
    made = musaicing.transfer(request(songs), params())
    assert made.dtype == np.float32
    assert made.shape == notes.shape
    assert np.abs(made).max() <= 1
    filtered = mean_spectrum.transfer(
        request(songs), mean_spectrum.Params(n_fft=1024, hop_length=256, equalization=1.0)
    )
    own = log_mel_distance(made, oracle)
    assert own < 0.9 * min(log_mel_distance(other, oracle) for other in (notes, sound, filtered))


def test_copies_the_sound_itself(songs):
    _, sound, _ = songs
    settings = params(shift_semitones=(0,), masking=0.0, equalization=0.0, continuity_frames=9)
    made = musaicing.transfer(Request(sound, sound, RATE, 1.0, 0), settings)
    assert np.corrcoef(made, sound)[0, 1] > 0.99


def test_equal_arguments_give_equal_songs_and_strength_0_the_notes(songs):
    few = params(num_iterations=3, griffin_lim_iterations=2)
    first, same, other = (musaicing.transfer(request(songs, seed=s), few) for s in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert np.array_equal(musaicing.transfer(request(songs, strength=0.0), few), songs[0])


def test_the_loudest_part_of_a_long_sound_is_used(songs):
    few = params(num_iterations=2, max_sound_seconds=0.25)
    notes, sound, _ = songs
    padded = np.concatenate([0.01 * sound, sound[:4000], 0.01 * sound])
    first, second = (
        musaicing.transfer(Request(notes, s, RATE, 1.0, 0), few) for s in (padded, sound[:4000])
    )
    assert np.abs(first - second).max() < 0.1 * np.abs(second).max()


@pytest.mark.parametrize("method", [musaicing, mean_spectrum])
@pytest.mark.parametrize(
    ("broken", "reason"),
    [(np.zeros(20000, np.float32), "silent"), (np.ones(500, np.float32), "too_short")],
)
@pytest.mark.parametrize("place", [0, 1])
def test_songs_that_cannot_be_used_are_rejected(songs, method, broken, reason, place):
    pair = [songs[0], songs[1]]
    pair[place] = broken
    settings = (
        params()
        if method is musaicing
        else method.Params(n_fft=1024, hop_length=256, equalization=1.0)
    )
    with pytest.raises(Rejected, match=("notes", "sound")[place]) as caught:
        method.transfer(Request(*pair, RATE, 1.0, 0), settings)
    assert caught.value.reason == reason


def test_mean_spectrum_takes_over_the_average_spectrum(songs):
    notes, sound, _ = songs
    options = mean_spectrum.Params(n_fft=512, hop_length=128, equalization=1.0)
    made = mean_spectrum.transfer(request(songs), options)
    made_power, sound_power, notes_power = (average_power(x) for x in (made, sound, notes))
    loud = sound_power > 1e-4 * sound_power.max()
    away = np.abs(10 * np.log10((made_power / sound_power)[loud]))
    before = np.abs(10 * np.log10((notes_power / sound_power)[loud]))
    assert np.median(away) < np.median(before) / 3
    unchanged = mean_spectrum.transfer(request(songs, strength=0.0), options)
    assert unchanged == pytest.approx(notes, abs=1e-5)


def average_power(audio):
    """In bands of half an octave from 100 Hz on, by scipy's segments, relative to the whole."""
    from scipy.signal import welch

    frequencies, power = welch(audio, RATE, "hann", 512, 384, detrend=False)
    bands = np.floor(2 * np.log2(np.maximum(frequencies, 1) / 100)).astype(int)
    return np.array([power[bands == b].sum() for b in range(bands.max())]) / power.sum()
