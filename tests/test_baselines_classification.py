"""Baselines of classifiers: majority by hand, histograms by hand and a loop, MFCCs by librosa."""

import itertools

import librosa
import numpy as np
import pytest

from pipeline.baselines import majority, mfcc_statistics, roll_histograms
from pipeline.models.base import Labelled


def labelled(inputs, targets):
    inputs, targets = np.asarray(inputs), np.asarray(targets, np.float32)
    groups = np.arange(len(targets))
    return Labelled(inputs, targets, groups, tuple(map(str, range(targets.shape[1]))))


def test_the_majority_is_trainings_and_not_the_tests():
    train = labelled(np.zeros(4), np.eye(3)[[2, 1, 2, 0]])
    test = labelled(np.zeros(2), np.eye(3)[[1, 1]])
    assert majority.probabilities(train, test).tolist() == [[0.25, 0.25, 0.5]] * 2


def test_of_tags_the_majority_is_how_often_each_occurs():
    train = labelled(np.zeros(4), [[1, 1], [1, 0], [1, 0], [0, 0]])
    found = majority.probabilities(train, labelled(np.zeros(1), [[0, 1]]))
    assert found[0, 0] == pytest.approx(3 * found[0, 1])


# --- histograms of rolls -------------------------------------------------------------------------


def test_histograms_by_hand():
    roll = np.zeros((8, 24, 5))
    roll[0:3, 0, 1] = 1  # C, held
    roll[0:2, 7, 2] = 1  # G above it
    roll[4, 12, 1] = 1  # C again, an octave higher
    roll[4, 12, 4] = 1  # doubled by the strings: one onset
    roll[5, 0, 3] = 1  # C
    roll[:, 5, 0] = 1  # a drum
    found = roll_histograms.histograms(roll)
    classes, intervals = np.zeros(12), np.zeros(25)
    classes[[0, 7]] = 3 / 4, 1 / 4
    intervals[[12 + 7, 12 + 5, 12 - 12]] = 1 / 3  # C to G, G to C, C an octave down
    np.testing.assert_allclose(found, np.concatenate([classes, intervals]))


def test_histograms_of_one_note_and_of_none():
    roll = np.zeros((4, 24, 1))
    assert not roll_histograms.histograms(roll).any()
    roll[1, 3, 0] = 1
    found = roll_histograms.histograms(roll)
    assert found[:12].tolist() == np.eye(12)[3].tolist()
    assert not found[12:].any()


@pytest.mark.parametrize("num_tracks", [1, 5])
def test_histograms_are_those_of_a_loop(num_tracks):
    for seed in range(10):
        rng = np.random.default_rng([seed, 2])
        roll = rng.random((16, 48, num_tracks)) < 0.05
        onsets = []
        for step in range(16):
            for pitch in range(48):
                own = slice(1, None) if num_tracks > 1 else slice(None)
                if roll[step, pitch, own].any() and not (step and roll[step - 1, pitch, own].any()):
                    onsets.append(pitch)
        classes, intervals = np.zeros(12), np.zeros(25)
        for pitch in onsets:
            classes[pitch % 12] += 1 / len(onsets)
        for before, after in itertools.pairwise(onsets):
            intervals[max(-12, min(12, after - before)) + 12] += 1 / (len(onsets) - 1)
        found = roll_histograms.histograms(roll)
        np.testing.assert_allclose(found, np.concatenate([classes, intervals]), atol=1e-12)


def scale_rolls(num, seed):
    """Phrases of white keys and of black keys."""
    rng = np.random.default_rng([seed, 3])
    rolls, genres = np.zeros((num, 16, 24, 1), np.float32), np.arange(num) % 2
    for roll, genre in zip(rolls, genres, strict=True):
        keys = [1, 3, 6, 8, 10] if genre else [0, 2, 4, 5, 7, 9, 11]
        for step in range(0, 16, 2):
            roll[step, rng.choice(keys) + 12 * rng.integers(0, 2), 0] = 1
    return rolls, genres


def test_histograms_tell_white_from_black_keys():
    """By the classes' own columns; one that training lacks has no probability."""
    rolls, genres = scale_rolls(60, 0)
    unknown, actual = scale_rolls(20, 1)
    columns = np.array([2, 0])  # of four classes
    train = labelled(roll_histograms.features(rolls), np.eye(4)[columns[genres]])
    test = labelled(roll_histograms.features(unknown), np.eye(4)[columns[actual]])
    found = roll_histograms.probabilities(train, test)
    assert found.shape == (20, 4)
    assert (found.argmax(axis=1) == columns[actual]).all()
    assert not found[:, [1, 3]].any()
    np.testing.assert_allclose(found.sum(axis=1), 1)


# --- statistics of MFCCs -------------------------------------------------------------------------


def random_mel(seed, num_frames=30, num_bands=40):
    return np.random.default_rng([seed, 4]).normal(-30, 10, (num_frames, num_bands))


def test_statistics_are_those_of_librosas_mfccs():
    mel = random_mel(0)
    mfcc = librosa.feature.mfcc(S=mel.T, n_mfcc=mfcc_statistics.NUM_MFCC)  # [mfcc, frames]
    moved = mfcc[:, 1:] - mfcc[:, :-1]
    expected = [mfcc.mean(axis=1), mfcc.std(axis=1), moved.mean(axis=1), moved.std(axis=1)]
    found = mfcc_statistics.statistics(mel)
    assert found.shape == (80,)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-6, atol=1e-8)


def test_statistics_of_the_networks_input_tell_the_same_but_for_a_scale():
    """It is given relative decibels: the cepstrum's first coefficient moves, the others scale."""
    mel = random_mel(1)
    own = mfcc_statistics.statistics(mel).reshape(4, 20)
    relative = mfcc_statistics.statistics((mel - mel.max()) / 40 + 1).reshape(4, 20)
    np.testing.assert_allclose(relative[:, 1:], own[:, 1:] / 40, atol=1e-9)
    np.testing.assert_allclose(relative[1:, 0], own[1:, 0] / 40, atol=1e-9)


def tilted(num, seed):
    """The features of spectra that rise, or fall; and that move, or do not."""
    rng = np.random.default_rng([seed, 5])
    tags = np.stack([np.arange(num) % 2, np.arange(num) // 2 % 2], axis=1)
    mels = rng.normal(0, 0.2, (num, 24, 32, 1))
    for mel, (is_rising, is_moving) in zip(mels, tags, strict=True):
        mel[..., 0] += np.linspace(-1, 1, 32) * (1 if is_rising else -1)
        mel[::2] += is_moving * np.cos(np.linspace(0, np.pi, 32))[:, None]
    return mfcc_statistics.features(mels), tags


def test_a_machine_tells_spectra_that_rise_from_those_that_fall():
    (known, tags), (unknown, actual) = tilted(40, 0), tilted(12, 1)
    columns = np.array([2, 0])
    train = labelled(known, np.eye(3)[columns[tags[:, 0]]])
    found = mfcc_statistics.probabilities(
        train, labelled(unknown, np.eye(3)[columns[actual[:, 0]]])
    )
    assert found.tolist() == np.eye(3)[columns[actual[:, 0]]].tolist()


def test_tags_are_told_each_by_itself():
    (known, tags), (unknown, actual) = tilted(40, 0), tilted(12, 1)
    found = mfcc_statistics.probabilities(labelled(known, tags), labelled(unknown, actual))
    assert found.shape == (12, 2)
    assert ((found > 0.5) == actual).all()
    assert ((found > 0) & (found < 1)).all()
