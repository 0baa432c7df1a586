"""The harmonic autoencoder as a recipe, on a corpus of notes of two timbres made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline import registry  # noqa: E402
from pipeline.audio.transcription import Note  # noqa: E402
from pipeline.codecs.base import Feature  # noqa: E402
from pipeline.errors import PipelineError, Rejected  # noqa: E402
from pipeline.models import _sound  # noqa: E402
from pipeline.models.base import Request, Shards  # noqa: E402
from pipeline.nn.harmonic import spectra  # noqa: E402
from pipeline.nn.harmonic import transfer as songs  # noqa: E402
from tests import toy_corpus  # noqa: E402
from tests.resumed_training import fitted  # noqa: E402

RECIPE = registry.recipe("harmonic_autoencoder")
CODEC = registry.codec("waveform")
RATE, LENGTH, HOP = 8000, 4000, 64
OPTIONS = {"sample_rate": RATE, "num_samples": LENGTH}
AMPLITUDES = np.array([[0.4, 0.05, 0.2, 0.02, 0.1], [0.05, 0.1, 0.02, 0.3, 0.05]])


def hz(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


def note(pitch, family, num_samples=LENGTH, level=1.0):
    t, k = np.arange(num_samples) / RATE, np.arange(1, 6)[:, None]
    waves = AMPLITUDES[family][:, None] * np.sin(2 * np.pi * k * hz(pitch) * t)
    return level * waves.sum(axis=0) * np.exp(-1.5 * t)


def record(number):
    family, pitch = number % 2, 50 + number % 7
    labels = {name: np.int64(0) for name in _sound.LABELS}
    labels |= {"pitch": np.int64(pitch), "instrument_family": np.int64(family)}
    labels["instrument"] = np.int64(family)
    audio = np.round(note(pitch, family) * 32767).astype(np.int16)
    return {"key": f"note-{number:02d}", "audio": audio, **labels,
            "qualities": np.zeros(10, np.int64)}  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "toy"
    features = {"key": Feature(), **CODEC.features(CODEC.Options(**OPTIONS))}
    return Shards.open(toy_corpus.write(folder, features, record, {}, OPTIONS))


def params(**changes):
    values = {
        "crop_samples": 1024,
        "shuffle_window": 16,
        "num_pairs": 1,
        "num_points": 3,
        "hop_length": HOP,
        "n_fft": 256,
        "num_mel_bins": 32,
        "num_mfcc": 12,
        "latent_size": 4,
        "hidden_size": 16,
        "num_layers": 1,
        "recurrent_size": 8,
        "num_harmonics": 5,
        "num_noise_bands": 9,
        "fft_sizes": (256, 64),
        "decay_rate": 0.98,
        "decay_steps": 10_000,
        "clip_norm": 3.0,
        "num_measured": 8,
        "polyphony": "notes",
        "epochs": 1,
        "steps_per_epoch": 3,
        "patience": 5,
        "batch_size": 4,
        "learning_rate": 0.01,
    }
    return RECIPE.Params(**(values | changes))


@pytest.fixture(scope="module")
def model(shards):
    """Trained for a few seconds."""
    keras.utils.set_random_seed(0)
    options = params()
    model = RECIPE.build(options, shards)
    model.fit(
        RECIPE.batches(shards, "train", options, 0),
        steps_per_epoch=250,
        shuffle=False,
        verbose=0,
    )
    return model


def held_out(shards, num=3):
    return _sound.notes(shards, "validation", num)


def test_batches_are_crops_with_their_pitch(shards):
    batches = RECIPE.batches(shards, "validation", params(), 0)
    (inputs, targets, weights), *_ = batches.as_numpy_iterator()
    records = held_out(shards)
    assert np.array_equal(inputs["audio"], targets)
    expected = np.stack([r["audio"][:1024] for r in records]) / 32767
    np.testing.assert_allclose(targets, expected, atol=1e-7)
    np.testing.assert_allclose(inputs["f0_hz"], [hz(r["pitch"]) for r in records], rtol=1e-6)
    assert weights.tolist() == [1] * len(records)


def test_mu_law_corpora_are_decoded(tmp_path):
    codec = registry.codec("mu_law")
    options = {**OPTIONS, "mu": 255}

    def classes(number):
        made = record(number)
        loud = np.arange(LENGTH) % 256
        return made | {"audio": loud.astype(np.uint8), "pitch": np.int64(-1)}

    features = {"key": Feature(), **codec.features(codec.Options(**options))}
    shards = Shards.open(toy_corpus.write(tmp_path / "toy", features, classes, {}, options))
    (_, targets, weights), *_ = RECIPE.batches(shards, "test", params(), 0).as_numpy_iterator()
    from pipeline.audio.companding import mu_law_decode

    np.testing.assert_allclose(targets[0], mu_law_decode(np.arange(1024) % 256), atol=1e-7)
    assert not weights.any()  # no pitch is told


def test_a_resumed_training_ends_as_one_without_a_break(shards, tmp_path):
    options = params(epochs=2, steps_per_epoch=2, fft_sizes=(64,))
    whole, _ = fitted(RECIPE, shards, options, tmp_path / "whole", 2)
    fitted(RECIPE, shards, options, tmp_path / "parts", 1)
    parts, _ = fitted(RECIPE, shards, options, tmp_path / "parts", 2)
    for a, b in zip(whole.variables, parts.variables, strict=True):
        assert np.array_equal(a, b), a.path


def test_a_note_is_played_again(model, shards):
    records = held_out(shards)
    made = RECIPE.reconstruct(model, params(), shards, records, 0)
    again = RECIPE.reconstruct(model, params(), shards, records, 0)
    for old, new, same in zip(records, made, again, strict=True):
        assert new["audio"].dtype == np.int16
        assert new["audio"].shape == old["audio"].shape
        assert np.array_equal(new["audio"], same["audio"])
        assert new["pitch"] == old["pitch"]
        wanted, found = old["audio"] / 32767, new["audio"] / 32767
        assert spectra.distance_db(wanted.astype(np.float32), found.astype(np.float32)) < 12
        levels = [np.sqrt((x[500:3500] ** 2).mean()) for x in (wanted, found)]
        assert 0.5 < levels[1] / levels[0] < 2


def test_a_way_from_one_note_to_another_begins_and_ends_at_them(model, shards):
    first, second = held_out(shards, 2)
    request = Request(num=3, sources=(first, second), seed=0)
    options = CODEC.Options(**OPTIONS)
    made = RECIPE.generate(model, params(), CODEC, options, request)
    assert len(made) == 3
    (own,) = RECIPE.reconstruct(model, params(), shards, [first], 0)
    assert np.abs(made[0]["audio"].astype(int) - own["audio"]).max() <= 2
    # At the other end the first's pitch sounds in the second's timbre.
    k = np.arange(1, 6)[:, None]
    t = np.arange(500, 3500) / RATE
    waves = np.exp(-2j * np.pi * k * hz(first["pitch"]) * t)
    levels = [np.abs(waves @ (np.hanning(3000) * m["audio"][500:3500])) for m in made]
    families = [int(r["instrument_family"]) for r in (first, second)]
    assert levels[0].argmax() == AMPLITUDES[families[0]].argmax()
    assert levels[2].argmax() == AMPLITUDES[families[1]].argmax()


def test_it_makes_nothing_of_nothing(model):
    with pytest.raises(PipelineError, match="none"):
        RECIPE.generate(model, params(), CODEC, CODEC.Options(**OPTIONS), Request(num=1))


def test_measures_tell_the_own_timbre_from_anothers(model, shards):
    found = RECIPE.measures(model, shards, "test", params(), 0)
    mean = {k: m.numerators.sum() / m.denominators.sum() for k, m in found.items()}
    assert mean["timbre_margin"] > 3
    assert mean["mean_spectrum_margin"] > 0
    np.testing.assert_allclose(
        mean["timbre_margin"],
        mean["timbre_distance_other_db"] - mean["timbre_distance_db"],
        atol=1e-9,
    )


def test_log_spectral_distance_of_a_gain_is_the_gain():
    audio = np.random.default_rng(0).normal(0, 0.1, LENGTH).astype(np.float32)
    assert spectra.distance_db(audio, audio) == 0
    np.testing.assert_allclose(spectra.distance_db(audio, audio * 2), 6.0206, atol=1e-3)
    np.testing.assert_allclose(spectra.distance_db(audio, np.zeros(LENGTH, np.float32)), 50, atol=5)


def test_a_spectrum_that_never_changes_is_at_no_distance_from_its_own_shape():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    shape = spectra.mean_spectrum_db(tone[None])
    assert spectra.shape_distance_db(tone, shape) < 3
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    assert spectra.shape_distance_db(noise, shape) > 15


def song(pitches, family):
    """Half a second a note."""
    return np.concatenate([note(p, family) for p in pitches]).astype(np.float32)


def request(strength=1.0, **changes):
    values = {"notes": song([52, 55, 50, 53], 0), "sound": song([53, 50], 1)}
    values |= {"sample_rate": RATE, "strength": strength, "seed": 0}
    return SimpleNamespace(**(values | changes))


def heard_notes(audio, sample_rate):
    """What a transcriber would say of `song`."""
    pitches = [52, 55, 50, 53] if len(audio) == 4 * LENGTH else [53, 50]
    seconds = 0.48 if len(pitches) == 4 else 0.4
    return [Note(i / 2, i / 2 + seconds, pitch, 80) for i, pitch in enumerate(pitches)]


@pytest.fixture(params=["notes", "f0"])
def polyphony(request, monkeypatch):
    monkeypatch.setattr("pipeline.audio.transcription.transcribe", heard_notes)
    return request.param


def levels_of(audio, pitch, start):
    part = audio[start + 500 : start + 3500]
    t, k = np.arange(len(part)) / RATE, np.arange(1, 6)[:, None]
    return np.abs(np.exp(-2j * np.pi * k * hz(pitch) * t) @ (np.hanning(len(part)) * part))


def test_a_song_gets_the_others_timbre_and_keeps_its_notes(model, polyphony):
    made = {
        strength: RECIPE.transfer(model, params(polyphony=polyphony), OPTIONS, request(strength))
        for strength in (0.0, 1.0)
    }
    for audio in made.values():
        assert audio.dtype == np.float32
        assert audio.shape == (4 * LENGTH,)
        assert np.abs(audio).max() <= 1
    for i, pitch in enumerate([52, 55, 50, 53]):
        assert levels_of(made[0.0], pitch, i * LENGTH).argmax() == AMPLITUDES[0].argmax()
        assert levels_of(made[1.0], pitch, i * LENGTH).argmax() == AMPLITUDES[1].argmax()
    again = RECIPE.transfer(model, params(polyphony=polyphony), OPTIONS, request(1.0))
    assert np.array_equal(again, made[1.0])


def test_voices_that_sound_together_are_all_played(model, monkeypatch):
    heard = [Note(0.0, 0.5, 50, 80), Note(0.0, 0.5, 57, 80)]
    monkeypatch.setattr("pipeline.audio.transcription.transcribe", lambda *_: heard)
    both = (note(50, 0, level=0.5) + note(57, 0, level=0.5)).astype(np.float32)
    made = RECIPE.transfer(model, params(), OPTIONS, request(notes=both))
    for pitch in (50, 57):
        assert levels_of(made, pitch, 0).max() > 10 * levels_of(made, pitch + 3, 0)[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sample_rate": 16_000}, "wrong_sample_rate"),
        ({"notes": np.zeros(LENGTH, np.float32)}, "silent_audio"),
        ({"sound": np.ones(10, np.float32)}, "too_short_audio"),
    ],
)
def test_songs_that_cannot_be_used_are_rejected(model, changes, reason):
    with pytest.raises(Rejected) as caught:
        RECIPE.transfer(model, params(), OPTIONS, request(**changes))
    assert caught.value.reason == reason


def test_a_song_without_notes_is_rejected(model, monkeypatch):
    monkeypatch.setattr("pipeline.audio.transcription.transcribe", lambda *_: [])
    with pytest.raises(Rejected, match="no_notes"):
        RECIPE.transfer(model, params(), OPTIONS, request())


def test_a_course_goes_on_as_it_fell():
    held = songs._held(np.array([0.0, -1.0, -2.0, -3.0, -4.0]), 8)
    np.testing.assert_allclose(held, -np.arange(8.0))


def test_params_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="crop_samples=1000 is no multiple"):
        params(crop_samples=1000)
    with pytest.raises(ValueError, match="multiples of 4"):
        params(fft_sizes=(255,))
