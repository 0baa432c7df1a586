"""The classifier of notes, on notes made by hand whose pitch and timbre are known."""

import numpy as np
import pytest

from pipeline.metrics import note_classifier

RATE, SECONDS = 16_000, 2.0
# Amplitudes of the harmonics of each family, and how fast they die away.
TIMBRES = {
    0: ([1, 0, 0.5, 0, 0.33, 0, 0.2, 0, 0.14], 0.0),
    3: ([1, 0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.6, 0.5], 0.0),
    7: ([0.5, 1, 0.2, 0.1, 0.02, 0.01, 0.0, 0.0, 0.0], 6.0),
}


def note(pitch, family, rng):
    """A note of a family: level, phases and amplitudes are drawn."""
    amplitudes, decay = TIMBRES[family]
    t = np.arange(int(RATE * SECONDS)) / RATE
    f0_hz = 440 * 2 ** ((pitch - 69 + rng.uniform(-0.1, 0.1)) / 12)
    audio = np.zeros(len(t))
    for k, amplitude in enumerate(amplitudes, start=1):
        if k * f0_hz < RATE / 2:
            wave = np.sin(2 * np.pi * (k * f0_hz * t + rng.random()))
            audio += amplitude * rng.uniform(0.7, 1.3) * wave
    audio *= np.exp(-decay * t) * rng.uniform(0.02, 0.1)
    return (audio + 1e-4 * rng.normal(size=len(t))).astype(np.float32)


def notes(num, seed, low=30, high=96):
    rng = np.random.default_rng(seed)
    pitches = rng.integers(low, high, num)
    families = rng.choice(list(TIMBRES), num)
    audio = np.stack([note(p, f, rng) for p, f in zip(pitches, families, strict=True)])
    return audio, pitches, families


@pytest.fixture(scope="module")
def classifier():
    return note_classifier.fit(*notes(60, 0), RATE)


def test_pitch_and_family_of_new_notes_are_heard(classifier):
    audio, pitches, families = notes(60, 1)
    right = classifier.accuracies(audio, pitches, families)
    assert right["pitch"].shape == right["instrument_family"].shape == (60,)
    assert right["pitch"].mean() >= 0.9
    assert right["instrument_family"].mean() >= 0.9


def test_pitches_that_were_in_no_training_note_are_heard():
    low = note_classifier.fit(*notes(60, 0, low=30, high=66), RATE)
    audio, pitches, _ = notes(20, 1, low=68, high=86)
    heard, _ = low.predict(audio)
    assert (heard == pitches).mean() >= 0.8


def test_what_was_taught_wrongly_is_not_heard():
    """With labels drawn anew it is right as often as chance is: one family in three."""
    audio, pitches, families = notes(60, 0)
    rng = np.random.default_rng(5)
    shuffled = note_classifier.fit(audio, rng.permutation(pitches), rng.permutation(families), RATE)
    right = shuffled.accuracies(*notes(60, 1))
    assert right["pitch"].mean() < 0.2
    assert right["instrument_family"].mean() < 0.6


def test_noise_and_silence_are_given_some_class(classifier):
    rng = np.random.default_rng(0)
    audio = np.stack([np.zeros(int(RATE * SECONDS)), rng.normal(0, 0.1, int(RATE * SECONDS))])
    pitches, families = classifier.predict(audio.astype(np.float32))
    assert ((pitches >= 9) & (pitches <= 120)).all()
    assert set(families.tolist()) <= set(TIMBRES)


def test_it_is_level_that_does_not_matter(classifier):
    audio, _, _ = notes(10, 2)
    for once, again in zip(classifier.predict(audio), classifier.predict(audio * 4), strict=True):
        assert np.array_equal(once, again)


def test_equal_notes_teach_the_same(classifier):
    again = note_classifier.fit(*notes(60, 0), RATE)
    assert np.array_equal(classifier.pitch_weights, again.pitch_weights)
    audio, _, _ = notes(10, 2)
    for once, other in zip(classifier.predict(audio), again.predict(audio), strict=True):
        assert np.array_equal(once, other)


def test_of_many_notes_it_reads_as_many_as_it_is_told_to():
    audio, pitches, families = notes(60, 0)
    read = []

    class Rows:
        def __getitem__(self, rows):
            read.extend(np.asarray(rows).tolist())
            assert len(rows) <= 64
            return audio[rows]

    found = note_classifier.fit(Rows(), pitches, families, RATE, max_notes=40, seed=3)
    assert len(read) == len(set(read)) == 40
    chosen = np.sort(read)
    own = note_classifier.fit(audio[chosen], pitches[chosen], families[chosen], RATE)
    assert np.array_equal(found.pitch_weights, own.pitch_weights)


def test_one_family_is_no_choice():
    audio, pitches, _ = notes(4, 0)
    with pytest.raises(ValueError, match="two at least"):
        note_classifier.fit(audio, pitches, np.zeros(4, int), RATE)
