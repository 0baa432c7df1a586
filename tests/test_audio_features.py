"""Audio features against librosa and scipy; long sounds against themselves as a whole."""

import tracemalloc
import warnings
from functools import cache

import librosa
import numpy as np
import pytest
import scipy.signal
import soundfile

from pipeline.audio import _rhythm, blocks, features, rainbowgram, stft
from pipeline.audio.filters import chroma_filters, mel_filters
from pipeline.codecs._mel import MelOptions, mel_db
from pipeline.errors import PipelineError, Rejected
from pipeline.readers import soundfont

RATE = 22_050


@cache
def music(sample_rate=RATE, num_seconds=8.0, seed=1):
    """Chords of several instruments on a beat of half a second, with drums."""
    rng = np.random.default_rng([seed])
    notes = []
    for beat in range(int(2 * num_seconds)):
        onset, program = beat / 2, int(rng.integers(0, 80))
        notes.append(soundfont.Note(onset, onset + 0.1, 36 + 2 * (beat % 2), 100, 0, True))
        for pitch in rng.choice(np.arange(45, 80), 3, replace=False):
            notes.append(soundfont.Note(onset, onset + 0.4, int(pitch), 80, program))
    sound = soundfont.general_midi().render(notes, sample_rate, int(num_seconds * sample_rate))
    return 0.2 * sound


def seconds(num_seconds, sample_rate=RATE):
    return np.arange(int(num_seconds * sample_rate)) / sample_rate


SOUNDS = {
    "music": lambda: (music(), RATE),
    "music at 8 kHz": lambda: (music(8000, 5.0), 8000),
    "music at 44.1 kHz": lambda: (music(44_100, 3.0), 44_100),
    "noise": lambda: (np.random.default_rng(2).normal(0, 0.1, 4 * RATE).astype("f4"), RATE),
    "sine": lambda: (np.float32(0.5) * np.sin(2 * np.pi * 440 * seconds(4)).astype("f4"), RATE),
    "sweep": lambda: (scipy.signal.chirp(seconds(4), 50, 4, 9000).astype("f4"), RATE),
    "clicks": lambda: ((np.arange(6 * RATE) % (RATE // 2) == 0).astype("f4"), RATE),
    "silence, then a tone": lambda: (
        np.where(seconds(3) < 2, 0, np.sin(2 * np.pi * 300 * seconds(3))).astype("f4"),
        RATE,
    ),
    "silence": lambda: (np.zeros(RATE, "f4"), RATE),
    "shorter than a window": lambda: (music()[5000:6000], RATE),
    "one sample": lambda: (np.ones(1, "f4"), RATE),
    "just a window": lambda: (music()[:2048], RATE),
    "just 64 frames": lambda: (music()[: 63 * 512], RATE),
    "65 frames": lambda: (music()[: 64 * 512], RATE),
}


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short sounds and empty frequency sets
        return function(*args, **kwargs)


def of_librosa(audio, sample_rate):
    mel = quiet(librosa.feature.melspectrogram, y=audio, sr=sample_rate)
    return {
        "mel": mel.T,
        "mel_db": librosa.power_to_db(mel).T,
        "mfcc": quiet(librosa.feature.mfcc, y=audio, sr=sample_rate).T,
        "chroma": quiet(librosa.feature.chroma_stft, y=audio, sr=sample_rate).T,
        "onset_strength": quiet(librosa.onset.onset_strength, y=audio, sr=sample_rate),
    }


def assert_near(got, expected, name=""):
    assert got.shape == expected.shape, name
    peak = max(np.abs(expected).max(), 1e-30)
    assert np.abs(got - expected).max() <= 1e-5 * peak, name


@pytest.mark.parametrize("name", SOUNDS)
def test_features_equal_librosa(name):
    audio, sample_rate = SOUNDS[name]()
    found = features.features(audio, sample_rate)
    for feature, expected in of_librosa(audio, sample_rate).items():
        got = getattr(found, feature)
        assert got.dtype == np.float32
        assert_near(got, expected, feature)
    assert found.tempo_bpm == quiet(librosa.feature.tempo, y=audio, sr=sample_rate)[0]
    spectrum = np.abs(quiet(librosa.stft, audio)) ** 2
    assert found.tuning == quiet(librosa.estimate_tuning, S=spectrum, sr=sample_rate)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(512, 128), (1024, 1000), (4096, 512)])
def test_other_windows_equal_librosa(n_fft, hop_length):
    audio, sizes = music()[: 3 * RATE], {"n_fft": n_fft, "hop_length": hop_length}
    found = features.features(audio, RATE, num_mel_bins=40, num_mfcc=13, **sizes)
    mel = librosa.feature.melspectrogram(y=audio, sr=RATE, n_mels=40, **sizes)
    mfcc = librosa.feature.mfcc(y=audio, sr=RATE, n_mels=40, n_mfcc=13, **sizes)
    onsets = librosa.onset.onset_strength(y=audio, sr=RATE, n_mels=40, **sizes)
    tempo = librosa.feature.tempo(onset_envelope=onsets, sr=RATE, hop_length=hop_length)
    assert_near(found.mel, mel.T)
    assert_near(found.mfcc, mfcc.T)
    assert_near(found.chroma, librosa.feature.chroma_stft(y=audio, sr=RATE, **sizes).T)
    assert_near(found.onset_strength, onsets)
    assert found.tempo_bpm == tempo[0]


def test_each_alone_is_as_in_all():
    audio = music()
    found = features.features(audio, RATE)
    alone = {
        "mel": features.mel(audio, RATE),
        "mel_db": features.power_to_db(found.mel),
        "mfcc": features.mfcc(audio, RATE),
        "chroma": features.chroma(audio, RATE),
        "onset_strength": features.onset_strength(audio, RATE),
    }
    for name, got in alone.items():
        np.testing.assert_array_equal(got, getattr(found, name), name)
    assert features.tempo(audio, RATE) == found.tempo_bpm


def test_a_beat_of_half_a_second_is_120():
    audio, _ = SOUNDS["clicks"]()
    assert features.tempo(audio, RATE) == pytest.approx(120, rel=0.04)


def test_an_octave_has_one_pitch_class():
    audio = sum(np.sin(2 * np.pi * hz * seconds(1)) for hz in (220, 440, 880)).astype("f4")
    assert (features.chroma(audio, RATE)[5:-5].argmax(axis=1) == 9).all()  # A


@pytest.mark.parametrize("window_frames", [2, 3, 16, 345])
def test_mean_autocorrelation_is_its_formula(window_frames):
    envelope = np.maximum(0, np.random.default_rng(3).normal(size=40))
    envelope[:12] = 0
    half, window = window_frames // 2, scipy.signal.get_window("hann", window_frames)
    padded = np.pad(envelope, half, mode="linear_ramp")
    total = np.zeros(window_frames)
    for frame in range(len(envelope)):
        part = padded[frame : frame + window_frames] * window
        lags = [np.dot(part[lag:], part[: len(part) - lag]) for lag in range(window_frames)]
        total += np.array(lags) / (lags[0] or 1)
    got = _rhythm.mean_autocorrelation(envelope, window_frames)
    np.testing.assert_allclose(got, total / len(envelope), atol=1e-12)


@pytest.mark.parametrize("n_fft", [256, 2048])
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_filters_equal_librosa(rate, n_fft):
    mel = quiet(librosa.filters.mel, sr=rate, n_fft=n_fft, n_mels=96)
    np.testing.assert_allclose(mel_filters(rate, n_fft, 96), mel, atol=1e-9)
    for tuning in (-0.5, 0.0, 0.27):
        chroma = librosa.filters.chroma(sr=rate, n_fft=n_fft, tuning=tuning)
        np.testing.assert_allclose(chroma_filters(rate, n_fft, tuning), chroma, atol=1e-7)


@pytest.mark.parametrize("num_samples", [1, 100, 1024, 4096, 20_001])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(1024, 256), (512, 300), (64, 48)])
def test_stft_equals_librosa(num_samples, n_fft, hop_length):
    audio = music()[5000 : 5000 + num_samples]
    sizes = {"n_fft": n_fft, "hop_length": hop_length}
    expected = quiet(librosa.stft, audio, **sizes)
    got = stft.stft(audio, n_fft, hop_length)
    assert got.dtype == np.complex64
    assert_near(got, expected.T)
    again = stft.istft(got, hop_length, num_samples)
    assert again.dtype == np.float32
    back = quiet(librosa.istft, expected, length=num_samples, **sizes)
    assert_near(again, back)


def test_istft_inverts_and_is_silent_beyond():
    audio = music()[:9000]
    spectra = stft.stft(audio, 512, 128)
    np.testing.assert_allclose(stft.istft(spectra, 128, 9000), audio, atol=1e-6)
    longer = stft.istft(spectra, 128, 12_000)
    np.testing.assert_allclose(longer[:9000], audio, atol=1e-6)
    assert not longer[9500:].any()


@pytest.mark.parametrize("num_samples", [8, 9, 100, 101])
def test_an_odd_window(num_samples):
    audio = music()[5000 : 5000 + num_samples]
    assert_near(stft.stft(audio, 33, 8), quiet(librosa.stft, audio, n_fft=33, hop_length=8).T)


@pytest.mark.parametrize("n_fft", [512, 513])
@pytest.mark.parametrize("own_rate", [8000, 16_000, 22_050, 44_100])
def test_the_codecs_mel_has_its_frames_at_any_rate(own_rate, n_fft):
    options = MelOptions(
        sample_rate=16_000, num_frames=20, num_mel_bins=32, n_fft=n_fft, hop_length=256
    )
    audio = music()[: own_rate // 2]
    resampled = librosa.resample(audio, orig_sr=own_rate, target_sr=16_000)
    mel = librosa.feature.melspectrogram(
        y=resampled[: 19 * 256 + 1], sr=16_000, n_fft=n_fft, hop_length=256, n_mels=32
    )
    got = mel_db(audio, own_rate, options)
    assert got.shape == (20, 32)
    # The last frame of an even window would see the sample too many.
    assert_near(got[:18], librosa.power_to_db(mel).T[:18])


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros((2, 100), "f4"), "not_mono"),
        (np.zeros(100, np.int16), "not_floating_point"),
        (np.zeros(0, "f4"), "empty_audio"),
        (np.float32([0, np.nan, 1]), "non_finite_audio"),
        (np.float32([0, np.inf]), "non_finite_audio"),
    ],
)
@pytest.mark.parametrize("of", [features.features, features.chroma, rainbowgram.rainbowgram])
def test_what_is_no_waveform_is_rejected(of, audio, reason):
    with pytest.raises(Rejected) as error:
        of(audio, RATE)
    assert error.value.reason == reason


def test_impossible_sizes_are_refused():
    with pytest.raises(PipelineError, match="hop_length=0"):
        stft.stft(music(), 512, 0)
    with pytest.raises(PipelineError, match="a tempo needs frames"):
        features.tempo(music(8000, 5.0), 8000, 2**16, 2**16)


@pytest.mark.parametrize("max_kept_bytes", [0, 2**20, 2**26])
@pytest.mark.parametrize("block_samples", [1, 3001, 2**15])
def test_blocks_equal_the_whole(monkeypatch, block_samples, max_kept_bytes):
    audio = music()[: RATE // 4 if block_samples == 1 else None]
    whole = features.features(audio, RATE)
    monkeypatch.setattr(blocks, "BLOCK_SAMPLES", block_samples)
    monkeypatch.setattr(features, "_MAX_KEPT_BYTES", max_kept_bytes)
    assert_same(features.features(audio, RATE), whole)


def assert_same(a, b):
    for name in ("mel", "mel_db", "mfcc", "chroma", "onset_strength"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
    assert (a.tempo_bpm, a.tuning) == (b.tempo_bpm, b.tuning)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_a_file_equals_its_samples(monkeypatch, tmp_path, suffix, num_channels):
    path = tmp_path / f"a.{suffix}"
    channels = [music(), np.roll(music(), 7000)][:num_channels]
    soundfile.write(path, np.stack(channels, axis=1), RATE)
    with soundfile.SoundFile(path) as file:
        decoded, sample_rate = file.read(dtype="float32", always_2d=True), file.samplerate
    mono = decoded.mean(axis=1, dtype=np.float64).astype(np.float32)
    monkeypatch.setattr(blocks, "BLOCK_SAMPLES", 40_000)
    monkeypatch.setattr(features, "_MAX_KEPT_BYTES", 0)
    assert_same(features.file_features(path), features.features(mono, sample_rate))


def test_of_a_long_file_little_but_its_features_is_held(monkeypatch, tmp_path):
    """Each ten times as long: the peak grows by what is kept, and the blocks do not grow."""
    monkeypatch.setattr(blocks, "BLOCK_SAMPLES", 2**15)
    monkeypatch.setattr(features, "_MAX_KEPT_BYTES", 0)
    lengths, peaks = [], []
    decode = blocks.FileBlocks.__call__

    def counted(self):
        for block in decode(self):
            lengths.append(len(block))
            yield block

    monkeypatch.setattr(blocks.FileBlocks, "__call__", counted)
    kept = []
    for num_copies in (2, 20):
        path = tmp_path / f"{num_copies}.wav"
        soundfile.write(path, np.tile(music(), num_copies), RATE)
        features.file_features(path)  # compiles and fills the caches
        tracemalloc.start()
        found = features.file_features(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        kept.append(sum(np.asarray(value).nbytes for value in vars(found).values()))
    assert max(lengths) == 2**15
    spectra_bytes = len(found.mel) * 1025 * 4
    # The features, beside them the parts they are joined of, and the spectral peaks.
    assert peaks[1] - peaks[0] < 3 * (kept[1] - kept[0]) < spectra_bytes


def test_files_that_are_no_sound_are_rejected(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"no sound")
    with pytest.raises(Rejected, match=r"undecodable_audio: a\.wav"):
        features.file_features(path)
    with pytest.raises(Rejected, match="undecodable_audio"):
        list(blocks.FileBlocks(path)())
    soundfile.write(path, np.zeros(0, "f4"), RATE)
    with pytest.raises(Rejected, match="empty_audio"):
        features.file_features(path)
    soundfile.write(path, np.float32([0, np.nan]), RATE, subtype="FLOAT")
    with pytest.raises(Rejected, match="non_finite_audio"):
        features.file_features(path)


@pytest.mark.parametrize("rate", [1000, 8000, 16_000, 44_100])
def test_a_rainbowgram_of_a_tone(rate):
    """One line, of the colour of its frequency; the rest is dark."""
    hz = 261.6255653005986  # C4, two octaves over the lowest bin
    audio = (0.5 * np.sin(2 * np.pi * hz * seconds(2, rate))).astype("f4")
    picture = rainbowgram.rainbowgram(audio, rate)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (1 + len(audio) // 256, 3)
    middle = slice(picture.shape[1] // 3, -picture.shape[1] // 3)
    line = picture[:, middle].astype(int)
    assert (line.sum(axis=2).argmax(axis=0) == 80).all()
    assert not line[:60].any()
    half_turns = 2 * hz * 256 / rate
    expected = rainbowgram.rainbow(np.array((half_turns + 1) % 2 / 2))
    brightest = line[80, line.shape[1] // 2]
    assert np.abs(brightest - 255 * expected).max() < 12
    assert picture.tobytes() == rainbowgram.rainbowgram(audio, rate).tobytes()


def test_instantaneous_frequency_of_steady_phases():
    turns = np.array([-0.9, -0.25, 0, 0.5, 0.99])
    spectrum = np.exp(1j * np.pi * turns[:, None] * np.arange(50))
    found = rainbowgram.instantaneous_frequency(spectrum)
    np.testing.assert_allclose(found[:, 1:], np.repeat(turns[:, None], 49, 1), atol=1e-9)
    assert not found[:, 0].any()


def test_the_rainbow_is_matplotlibs():
    import matplotlib

    position = np.linspace(0, 1, 256)
    expected = matplotlib.colormaps["rainbow"](position)[:, :3]
    np.testing.assert_allclose(rainbowgram.rainbow(position), expected, atol=1e-6)


def test_dark_and_impossible_rainbowgrams():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not rainbowgram.rainbowgram(np.zeros(3000, "f4"), 16_000).any()
        assert rainbowgram.rainbowgram(np.ones(10, "f4"), 16_000).shape == (240, 1, 3)
    with pytest.raises(Rejected, match="sample_rate_too_low"):
        rainbowgram.rainbowgram(np.ones(100, "f4"), 100)
