"""The harmonic synthesizer and its networks, against loops, NumPy and librosa."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import librosa  # noqa: E402
import tensorflow as tf  # noqa: E402

from pipeline.audio import loudness  # noqa: E402
from pipeline.audio.filters import mel_filters  # noqa: E402
from pipeline.nn.harmonic.analysis import Analysis  # noqa: E402
from pipeline.nn.harmonic.autoencoder import HarmonicAutoencoder  # noqa: E402
from pipeline.nn.harmonic.networks import (  # noqa: E402
    Decoder,
    TimbreEncoder,
    at_harmonics,
    sounding,
)
from pipeline.nn.harmonic.spectral_loss import (  # noqa: E402
    FLOOR,
    magnitudes,
    multi_scale_spectral_loss,
)
from pipeline.nn.harmonic.synthesis import (  # noqa: E402
    filtered_noise,
    harmonics,
    phases,
    response_matrix,
)

RATE, HOP = 8000, 64


def tensor(values):
    return tf.constant(np.asarray(values, np.float32))


def sines_in_a_loop(f0_hz, amplitudes, num_harmonics):
    """One sample and one harmonic after the other."""
    audio = np.zeros((len(f0_hz) - 1) * HOP)
    turns = 0.0
    for n in range(len(audio)):
        frame, after = divmod(n, HOP)
        share = after / HOP
        for k in range(1, num_harmonics + 1):
            ends = [
                amplitudes[m, k - 1] if k * f0_hz[m] < RATE / 2 else 0.0 for m in (frame, frame + 1)
            ]
            amplitude = (1 - share) * ends[0] + share * ends[1]
            audio[n] += amplitude * np.sin(2 * np.pi * k * turns)
        turns += ((1 - share) * f0_hz[frame] + share * f0_hz[frame + 1]) / RATE
    return audio


@pytest.mark.parametrize("num_harmonics", [1, 2, 7, 10])
def test_oscillators_are_sines_that_a_loop_adds_up(num_harmonics):
    rng = np.random.default_rng(num_harmonics)
    f0_hz = rng.uniform(80, 900, (2, 9)).astype(np.float32)
    amplitudes = rng.uniform(0, 1, (2, 9, num_harmonics)).astype(np.float32)
    made = harmonics(tensor(f0_hz), tensor(amplitudes), RATE, HOP).numpy()
    for row in range(2):
        expected = sines_in_a_loop(f0_hz[row].astype(float), amplitudes[row], num_harmonics)
        np.testing.assert_allclose(made[row], expected, atol=2e-4)


def test_harmonics_from_half_the_sample_rate_on_are_silent():
    f0_hz = np.full((1, 5), 1000.0)  # the fourth is at 4,000 Hz
    amplitudes = np.zeros((1, 5, 8))
    amplitudes[..., 3:] = 1
    assert not harmonics(tensor(f0_hz), tensor(amplitudes), RATE, HOP).numpy().any()
    amplitudes[..., 2] = 1
    assert harmonics(tensor(f0_hz), tensor(amplitudes), RATE, HOP).numpy().any()


def test_the_phase_of_a_long_song_stays_exact():
    num_frames = 60_000  # eight minutes
    turns = phases(tensor(np.full((1, num_frames), 441.3)), RATE, HOP).numpy()
    n = np.arange(num_frames - 1) * HOP
    expected = n * float(np.float32(441.3)) / RATE % 1
    wrong = np.abs(turns[0, :, 0] - expected)
    assert np.minimum(wrong, 1 - wrong).max() < 1e-5


def test_blocks_of_a_song_join_without_a_seam():
    f0_hz = np.full((1, 1100), 200.0)
    amplitudes = np.ones((1, 1100, 2))
    made = harmonics(tensor(f0_hz), tensor(amplitudes), RATE, HOP).numpy()[0]
    t = np.arange(len(made)) / RATE
    expected = np.sin(2 * np.pi * 200 * t) + np.sin(2 * np.pi * 400 * t)
    np.testing.assert_allclose(made, expected, atol=1e-4)


@pytest.mark.parametrize("num_bands", [3, 17, 65])
def test_noise_goes_through_each_hops_own_filter(num_bands):
    rng = np.random.default_rng(num_bands)
    noise = rng.uniform(-1, 1, (2, 6 * HOP))
    gains = rng.uniform(0, 2, (2, 7, num_bands))
    made = filtered_noise(tensor(noise), tensor(gains), HOP).numpy()
    num_taps = 2 * (num_bands - 1)
    for row in range(2):
        expected = np.zeros(6 * HOP + num_taps)
        for hop in range(6):
            taps = (gains[row, hop] + gains[row, hop + 1]) / 2 @ response_matrix(num_taps)
            rung = np.convolve(noise[row, hop * HOP : (hop + 1) * HOP], taps)
            expected[hop * HOP : hop * HOP + len(rung)] += rung
        delay = num_taps // 2
        np.testing.assert_allclose(made[row], expected[delay : delay + 6 * HOP], atol=1e-4)


def test_a_flat_filter_lets_noise_through_as_it_is():
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 4 * HOP))
    made = filtered_noise(tensor(noise), tensor(np.ones((1, 5, 33))), HOP).numpy()
    np.testing.assert_allclose(made, noise, atol=1e-5)


def test_a_filter_has_the_gains_it_was_given():
    gains = np.interp(np.arange(65), [0, 20, 40, 64], [0.0, 1.0, 0.2, 0.0])
    response = np.abs(np.fft.rfft(gains @ response_matrix(128)))
    np.testing.assert_allclose(response, gains, atol=0.03)


@pytest.mark.parametrize("num_samples", [512, 777])
def test_the_spectral_loss_is_numpys(num_samples):
    rng = np.random.default_rng(0)
    audio, target = rng.uniform(-1, 1, (2, 3, num_samples)).astype(np.float32)
    sizes = (256, 64)

    def spectra(x, n_fft):
        hop = n_fft // 4
        x = np.append(x, np.zeros(-len(x) % hop))
        window = np.hanning(n_fft + 1)[:-1]
        starts = range(0, len(x) - n_fft + 1, hop)
        return np.array([np.abs(np.fft.rfft(window * x[s : s + n_fft])) for s in starts])

    expected = np.zeros(3)
    for row in range(3):
        for n_fft in sizes:
            s, t = spectra(audio[row], n_fft), spectra(target[row], n_fft)
            expected[row] += np.abs(s - t).mean()
            expected[row] += np.abs(np.log(s + FLOOR) - np.log(t + FLOOR)).mean()
    found = multi_scale_spectral_loss(tensor(audio), tensor(target), sizes).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert not multi_scale_spectral_loss(tensor(audio), tensor(audio), sizes).numpy().any()


def test_the_loss_of_silence_has_a_gradient():
    audio = tf.zeros((1, 512))
    with tf.GradientTape() as tape:
        tape.watch(audio)
        loss = multi_scale_spectral_loss(audio, tf.ones((1, 512)), (64,))
    assert np.isfinite(tape.gradient(loss, audio).numpy()).all()


def test_a_sound_shorter_than_a_window_has_one_frame():
    assert magnitudes(tf.ones((2, 100)), 256).shape == (2, 1, 129)


def test_the_weighting_is_librosas():
    frequencies_hz = np.linspace(10, 20_000, 500)
    found = loudness.a_weighting_db(frequencies_hz)
    np.testing.assert_allclose(found, librosa.A_weighting(frequencies_hz), atol=1e-9)
    assert loudness.a_weighting_db(np.zeros(1)) == [loudness.FLOOR_DB]


@pytest.mark.parametrize("hz", [125.0, 1000.0, 2000.0])
def test_the_loudness_of_a_sine_is_its_mean_power_weighted(hz):
    audio = 0.5 * np.sin(2 * np.pi * hz * np.arange(8000) / 16_000)
    found = loudness.loudness_db(audio.astype(np.float32), 16_000, 160, 51)
    expected = 10 * np.log10(0.5**2 / 2) + librosa.A_weighting(np.array([hz]))[0]
    # Beside 125 Hz the weighting is no straight line, and the window's lobe is wide.
    np.testing.assert_allclose(found[3:-4], expected, atol=0.5 if hz < 500 else 0.02)


def test_frames_beyond_the_end_and_silence_are_at_the_floor():
    audio = np.ones((2, 1000), np.float32)
    audio[1] = 0
    found = loudness.loudness_db(audio, 16_000, 100, 20)
    assert found.shape == (2, 20)
    assert (found[0, 13:] == loudness.FLOOR_DB).all()
    assert (found[1] == loudness.FLOOR_DB).all()


def test_an_envelope_is_read_at_each_multiple_of_the_pitch():
    rng = np.random.default_rng(0)
    envelope = rng.normal(size=(1, 2, 9)).astype(np.float32)
    f0_hz = np.array([[300.0, 770.0]], np.float32)
    found = at_harmonics(tensor(envelope), tensor(f0_hz), 5, RATE).numpy()
    edges = 700 * np.expm1(np.linspace(0, np.log1p(RATE / 2 / 700), 9))
    for frame in range(2):
        wanted = np.interp(
            np.log1p(f0_hz[0, frame] * np.arange(1, 6) / 700),
            np.log1p(edges / 700),
            envelope[0, frame],
        )
        np.testing.assert_allclose(found[0, frame], wanted, atol=1e-4)


def analysis(num_mfcc=12):
    weights = loudness.power_weights(RATE, 256)
    return Analysis(weights, mel_filters(RATE, 256, 32).T, num_mfcc, HOP)


def test_the_network_hears_the_loudness_that_numpy_computes():
    audio = np.random.default_rng(0).normal(0, 0.1, (2, 20 * HOP)).astype(np.float32)
    audio[1, 500:] = 0
    heard, _ = analysis()(tensor(audio))
    assert heard.shape == (2, 21)
    expected = loudness.loudness_db(audio, RATE, HOP, 21, n_fft=256)
    np.testing.assert_allclose(heard.numpy(), expected, atol=1e-3)
    assert heard.numpy()[1, -1] == -80


def test_cepstra_are_those_of_levels_under_the_loudest_band():
    audio = np.random.default_rng(1).normal(0, 0.1, 20 * HOP).astype(np.float32)
    _, cepstra = analysis()(tensor(audio[None]))
    bands = librosa.feature.melspectrogram(y=audio, sr=RATE, n_fft=256, hop_length=HOP, n_mels=32)
    levels_db = np.maximum(10 * np.log10(bands / bands.max(axis=0)), -50) / 50
    import scipy.fft

    expected = scipy.fft.dct(levels_db, axis=0, norm="ortho")[1:13]
    np.testing.assert_allclose(cepstra.numpy()[0].T, expected, atol=1e-3)
    _, softer = analysis()(tensor(audio[None] / 10))
    np.testing.assert_allclose(softer, cepstra, atol=1e-3)


def test_frames_count_for_what_they_sound():
    weights = sounding(tf.constant([[-10.0, -30.0, -50.0, -80.0]])).numpy()
    np.testing.assert_allclose(weights, [[1, 0.5, 0, 0]], atol=1e-6)


def autoencoder(num_harmonics=12):
    keras.utils.set_random_seed(0)
    model = HarmonicAutoencoder(
        analysis(),
        TimbreEncoder(16, 4),
        Decoder(16, 8, 1, num_harmonics, 9, RATE),
        RATE,
        (256, 64),
    )
    model.build(None)
    model.compile(keras.optimizers.Adam(0.01, global_clipnorm=3.0), jit_compile=False)
    return model


def note(amplitudes, f0_hz, num_samples=16 * HOP):
    t = np.arange(num_samples) / RATE
    k = np.arange(1, len(amplitudes) + 1)[:, None]
    return (np.asarray(amplitudes)[:, None] * np.sin(2 * np.pi * k * f0_hz * t)).sum(axis=0)


def test_controls_are_positive_and_only_of_what_can_be_heard():
    model = autoencoder()
    audio = tensor([note([0.3], 900.0)])
    controls = model({"audio": audio, "f0_hz": tensor([900.0])})
    amplitudes = controls["amplitudes"].numpy()
    assert amplitudes.shape == (1, 17, 12)
    assert (amplitudes[..., :4] > 0).all()
    assert not amplitudes[..., 4:].any()
    assert (controls["magnitudes"].numpy() > 0).all()


def test_silence_is_played_as_silence():
    model = autoencoder()
    loudness_db, latents = model.encode(np.zeros((1, 8 * HOP), np.float32))
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 8 * HOP))
    assert np.abs(model.play(np.full((1, 9), 200.0), loudness_db, latents, noise)).max() < 1e-3


def test_gradients_reach_every_weight_and_are_finite():
    model = autoencoder()
    audio = tensor([note([0.3, 0.1], 200.0), np.zeros(16 * HOP)])
    with tf.GradientTape() as tape:
        controls = model({"audio": audio, "f0_hz": tensor([200.0, 300.0])}, training=True)
        loss = model.compute_loss(y=audio, y_pred=controls)
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.isfinite(gradient.numpy()).all(), variable.path
        assert gradient.numpy().any(), variable.path


AMPLITUDES = np.array([0.4, 0.05, 0.2, 0.0, 0.1])


@pytest.fixture(scope="module")
def trained():
    """A model that has heard two timbres at several pitches."""
    model = autoencoder(num_harmonics=5)
    f0_hz = np.array([150.0, 200.0, 260.0, 330.0] * 2, np.float32)
    audio = [note(AMPLITUDES, f) for f in f0_hz[:4]]
    audio += [note(AMPLITUDES[::-1], f) for f in f0_hz[4:]]
    audio = np.array(audio, np.float32)
    data = ({"audio": audio, "f0_hz": f0_hz}, audio, np.ones(8, np.float32))
    dataset = tf.data.Dataset.from_tensors(data).repeat()
    history = model.fit(dataset, steps_per_epoch=150, epochs=2, verbose=0, shuffle=False)
    return model, history.history["loss"]


def test_training_lowers_the_loss(trained):
    _, losses = trained
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("amplitudes", [AMPLITUDES, AMPLITUDES[::-1]])
def test_the_harmonics_of_a_note_are_found_again(trained, amplitudes):
    model, _ = trained
    audio = tensor([0.7 * note(amplitudes, 260.0)])  # softer than it has heard it
    found = model({"audio": audio, "f0_hz": tensor([260.0])})["amplitudes"].numpy() / 0.7
    np.testing.assert_allclose(found[0, 4:-4].mean(axis=0), amplitudes, atol=0.07)


def test_a_note_in_another_timbre_keeps_its_pitch(trained):
    model, _ = trained
    loudness_db, _ = model.encode(np.float32([note(AMPLITUDES, 260.0)]))
    _, other = model.encode(np.float32([note(AMPLITUDES[::-1], 200.0)]))
    noise = np.zeros((1, 16 * HOP))
    made = np.asarray(model.play(np.full((1, 17), 260.0), loudness_db, other, noise))[0]
    middle = made[4 * HOP : 12 * HOP]
    t = np.arange(4 * HOP, 12 * HOP) / RATE
    found = [
        2
        * abs((middle * np.hanning(len(t)) * np.exp(-2j * np.pi * k * 260 * t)).sum())
        / np.hanning(len(t)).sum()
        for k in range(1, 6)
    ]
    assert np.argmax(found) == 4
    assert found[4] > 2 * found[0]


def test_training_is_the_same_twice(trained):
    model, _ = trained
    audio = np.float32([note([0.3, 0.1], 200.0)] * 8)
    data = ({"audio": audio, "f0_hz": np.full(8, 200, np.float32)}, audio, np.ones(8, np.float32))
    before = [v.numpy() for v in (*model.variables, *model.optimizer.variables)]
    runs = []
    for _ in range(2):
        for variable, value in zip(
            (*model.variables, *model.optimizer.variables), before, strict=True
        ):
            variable.assign(value)
        dataset = tf.data.Dataset.from_tensors(data).repeat()
        model.fit(dataset, steps_per_epoch=3, verbose=0, shuffle=False)
        runs.append([v.numpy() for v in model.trainable_variables])
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
    assert not np.array_equal(runs[0][0], before[0])
