"""The spectral autoencoder: its spectrograms, layers and loss; training, giving back, mixing."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from pipeline import registry  # noqa: E402
from pipeline.audio.stft import istft, stft  # noqa: E402
from pipeline.errors import PipelineError  # noqa: E402
from pipeline.models.base import Request, Shards  # noqa: E402
from pipeline.nn.spectral.autoencoder import SpectralAutoencoder, spectrogram_loss  # noqa: E402
from pipeline.nn.spectral.representation import Representation  # noqa: E402
from tests import toy_corpus  # noqa: E402
from tests.resumed_training import fitted  # noqa: E402

RECIPE = registry.recipe("spectral_autoencoder")
NUM_SAMPLES, RATE = 4000, 8000
CODECS = {
    "waveform": {"sample_rate": RATE, "num_samples": NUM_SAMPLES},
    "mu_law": {"sample_rate": RATE, "num_samples": NUM_SAMPLES, "mu": 255},
}


def params(**changes):
    values = {
        "epochs": 1,
        "steps_per_epoch": 3,
        "patience": 5,
        "batch_size": 4,
        "learning_rate": 0.01,
        "crop_samples": NUM_SAMPLES,
        "shuffle_window": 16,
        "num_pairs": 2,
        "num_points": 3,
        "n_fft": 128,
        "hop_length": 64,
        "range_db": 80.0,
        "phase": "griffin_lim",
        "griffin_lim_iterations": 4,
        "conv_sizes": (4, 8),
        "dense_size": 8,
        "latent_size": 6,
        "pitch_embedding_size": 4,
        "low_weight": 10.0,
        "cutoff_hz": 2000.0,
        "phase_weight": 1.0,
        "decay_rate": 1.0,
        "beta_1": 0.5,
        "num_averaged": 100,
        "num_measured": 5,
    }
    return RECIPE.Params(**(values | changes))


def note(number):
    """A decaying tone; its family is its number of partials."""
    time = np.arange(NUM_SAMPLES) / RATE
    pitch, family = 50 + number % 7, number % 3
    hz = 440 * 2 ** ((pitch - 69) / 12)
    tone = sum(np.sin(2 * np.pi * hz * k * time) / k for k in range(1, 2 + 4 * family))
    return np.float32(0.4 * tone * np.exp(-time * (1 + 4 * family)))


def write_corpus(folder, codec_name):
    codec = registry.codec(codec_name)
    options = codec.Options(**CODECS[codec_name])
    features = codec.features(options)

    def record(number):
        like = {"pitch": 50 + number % 7, "velocity": 100, "instrument": number}
        like |= {"instrument_family": number % 3, "instrument_source": 0}
        audio = note(number)
        if codec_name == "mu_law":
            from pipeline.audio.companding import mu_law_encode

            stored = mu_law_encode(audio).astype(np.uint8)
        else:
            stored = np.round(audio * 32767).astype(np.int16)
        labels = {name: np.int64(value) for name, value in like.items()}
        zeros = {
            name: np.zeros(f.shape, f.dtype)
            for name, f in features.items()
            if name not in {"audio", "key", *labels}
        }
        return {"audio": stored, "key": f"n{number}", **labels, **zeros}

    with_key = {**features, **toy_key()}
    return Shards.open(toy_corpus.write(folder, with_key, record, {}, CODECS[codec_name]))


def toy_key():
    from pipeline.codecs.base import Feature

    return {"key": Feature((), "string")}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    return {name: write_corpus(folder / name, name) for name in CODECS}


@pytest.fixture(scope="module")
def shards(corpora):
    return corpora["waveform"]


@pytest.fixture(scope="module")
def trained(shards):
    settings = params(steps_per_epoch=150)
    keras.utils.set_random_seed(0)
    model = RECIPE.build(settings, shards)
    model.fit(
        RECIPE.batches(shards, "train", settings, 0),
        steps_per_epoch=settings.steps_per_epoch,
        verbose=0,
    )
    return model, settings


def test_spectrograms_are_the_logs_of_the_shared_stft():
    audio = np.stack([note(1), note(2)])
    made = np.asarray(Representation(128, 64, 64, 80.0, True).of_audio(audio))
    assert made.shape == (2, 64, 64, 2)
    spectra = np.stack([stft(x, 128, 64)[:, :64] for x in audio])
    decibels = 20 * np.log10(np.maximum(np.abs(spectra) / 32, 1e-4))
    assert made[:, :63, :, 0] == pytest.approx(np.minimum(1, 1 + decibels / 80), abs=1e-4)
    assert not made[:, 64:, :, 0].any()
    advance = np.angle(spectra[:, 1:] * spectra[:, :-1].conj()) / np.pi
    loud = np.abs(spectra[:, 1:]) > 0.01
    difference = np.abs(made[:, 1:63, :, 1] - advance)[loud]
    assert np.minimum(difference, 2 - difference).max() < 1e-2


def test_a_sine_of_full_scale_is_1():
    audio = np.float32(np.sin(2 * np.pi * 8 / 128 * np.arange(NUM_SAMPLES)))
    made = np.asarray(Representation(128, 64, 64, 80.0, False).of_audio(audio[None]))
    assert made[0, 20, 8, 0] == pytest.approx(1, abs=1e-4)
    assert made.max() <= 1


def test_magnitudes_and_phases_lead_back_to_the_sound():
    own = Representation(128, 32, 128, 120.0, True)
    audio = note(2)
    made = np.asarray(own.of_audio(audio[None]))
    spectra = own.magnitudes(made)[0] * own.phases(made)[0]
    back = istft(spectra, 32, NUM_SAMPLES)
    assert np.corrcoef(back, audio)[0, 1] > 0.999
    assert back == pytest.approx(audio, abs=0.02)


def test_nsynths_sizes_leave_one_vector():
    sizes = (8, 8, 8, 8, 8, 8, 8, 8, 8)
    model = SpectralAutoencoder((256, 512, 1), sizes, 16, 1984, 128)
    shapes = [x.output.shape[1:3] for x in model.encoder.layers if "conv2d" in x.name]
    assert shapes == [(256 >> n or 1, 512 >> n) for n in range(1, 10)]
    assert model.encoder.output.shape == (None, 1984)
    assert model.decoder.output.shape == (None, 256, 512, 1)
    kernels = [x.kernel_size for x in model.encoder.layers if "conv2d" in x.name]
    assert kernels == [(5, 5)] + [(4, 4)] * 8
    transposed = [x for x in model.decoder.layers if "transpose" in x.name]
    assert [x.kernel_size for x in transposed] == [(4, 4)] * 7 + [(5, 5)] * 2


def test_the_loss_weighs_low_bins_and_loud_phases():
    rng = np.random.default_rng(0)
    targets, outputs = rng.random((2, 3, 5, 8, 2)).astype(np.float32)
    own = np.asarray(spectrogram_loss(8, 8000, 10.0, 2000.0, 0.5)(targets, outputs))
    for example in range(3):
        total = 0.0
        for frame in range(5):
            for index in range(8):
                hz = index * 500
                weight = 10 - 9 * hz / 2000 if hz < 2000 else 1
                level, phase = (targets - outputs)[example, frame, index] ** 2
                total += weight * (level + 0.5 * targets[example, frame, index, 0] * phase)
        assert own[example] == pytest.approx(total / 40, rel=1e-4)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("phase", ["griffin_lim", "instantaneous_frequency"])
def test_batches_are_what_the_model_takes(corpora, codec, phase):
    settings = params(phase=phase)
    model = RECIPE.build(settings, corpora[codec])
    (spectrograms, pitches), targets = next(
        RECIPE.batches(corpora[codec], "test", settings, 0).as_numpy_iterator()
    )
    assert np.array_equal(spectrograms, targets)
    assert spectrograms.shape == (4, 64, 64, 1 + (phase != "griffin_lim"))
    assert 50 <= pitches.min() <= pitches.max() < 57
    outputs = np.asarray(model([spectrograms, pitches]))
    assert outputs.shape == targets.shape
    assert 0 <= outputs[..., 0].min() <= outputs[..., 0].max() <= 1


def test_the_decoder_hears_of_the_pitch_only_if_told(shards):
    latents = np.ones((1, 6), np.float32)
    for size, differs in ((4, True), (0, False)):
        model = RECIPE.build(params(pitch_embedding_size=size), shards)
        low, high = (np.asarray(model.decoder([latents, np.array([p])])) for p in (40, 80))
        assert np.array_equal(low, high) != differs


@pytest.mark.parametrize(
    ("changes", "named"), [({"crop_samples": 2048}, "crop_samples=2048"), ({"n_fft": 96}, "n_fft")]
)
def test_what_cannot_be_built_is_refused(shards, changes, named):
    with pytest.raises(PipelineError, match=named):
        RECIPE.build(params(**changes), shards)


def test_a_trained_model_gives_notes_back(trained, shards):
    model, settings = trained
    found = RECIPE.measures(model, shards, "test", settings, 0)
    means = {name: m.numerators.mean() for name, m in found.items()}
    assert means["reconstruction_margin"] > 1
    assert means["latent_margin"] > 1
    assert means["lsd_db"] == pytest.approx(
        means["lsd_mean_spectrogram_db"] - means["reconstruction_margin"]
    )


def test_the_distance_is_the_log_spectral_distance(trained, shards):
    model, settings = trained
    found = RECIPE.measures(model, shards, "test", settings, 0)["lsd_db"].numerators
    (spectrograms, pitches), _ = next(
        RECIPE.batches(shards, "test", settings, 0).as_numpy_iterator()
    )
    outputs = np.asarray(model([spectrograms, pitches], training=False))
    decibels = 80 * (spectrograms - outputs)[:, :63, :, 0]
    for note_number, frames in enumerate(decibels):
        expected = np.mean([np.sqrt(np.mean(frame**2)) for frame in frames])
        assert found[note_number] == pytest.approx(expected, rel=1e-3)


def test_notes_come_back_as_records(trained, shards):
    from pipeline.models import _sound

    model, settings = trained
    records = _sound.notes(shards, "test")
    made = RECIPE.reconstruct(model, settings, shards, records, 0)
    again = RECIPE.reconstruct(model, settings, shards, records, 0)
    for given, record, same in zip(records, made, again, strict=True):
        assert record["audio"].dtype == np.int16
        assert record["audio"].shape == (NUM_SAMPLES,)
        assert record["pitch"] == given["pitch"]
        assert np.array_equal(record["audio"], same["audio"])
        loud = np.abs(given["audio"].astype(float)).mean()
        assert 0.3 < np.abs(record["audio"].astype(float)).mean() / loud < 3


def test_mixtures_lead_from_one_note_to_the_other(trained, shards):
    model, settings = trained
    codec = registry.codec("waveform")
    options = codec.Options(**CODECS["waveform"])
    sources = RECIPE.sources(shards, "test", settings, 4)
    made = RECIPE.generate(
        model, settings, codec, options, Request(num=1, sources=tuple(sources), seed=0)
    )
    assert len(made) == len(sources) // 2 * settings.num_points
    first = RECIPE.reconstruct(model, settings, shards, sources[:1], 0)[0]
    assert np.corrcoef(made[0]["audio"], first["audio"])[0, 1] > 0.999
    assert not np.array_equal(made[0]["audio"], made[2]["audio"])
    assert np.array_equal(made[1]["source_audio"], sources[0]["audio"])
    with pytest.raises(PipelineError, match="none"):
        RECIPE.generate(model, settings, codec, options, Request(num=1))


def test_a_learned_phase_needs_no_iterations(shards):
    from pipeline.models import _sound

    settings = params(phase="instantaneous_frequency", griffin_lim_iterations=1000)
    model = RECIPE.build(settings, shards)
    made = RECIPE.reconstruct(model, settings, shards, _sound.notes(shards, "test", 2), 0)
    assert all(record["audio"].any() for record in made)


def test_a_resumed_training_is_the_undisturbed_one(shards, tmp_path):
    options = params(decay_rate=0.9)
    whole, curves = fitted(RECIPE, shards, options, tmp_path / "whole", 4)
    fitted(RECIPE, shards, options, tmp_path / "parts", 2)
    resumed, resumed_curves = fitted(RECIPE, shards, options, tmp_path / "parts", 4)
    assert resumed_curves.history == curves.history
    assert len(curves.history) == 4
    for own, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(own, other)
