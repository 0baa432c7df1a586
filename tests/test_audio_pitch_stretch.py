"""Pitch tracking, formants, stretching and warping, on tones, clicks and renders that are known."""

import numpy as np
import pytest

from pipeline.audio import pitch, stretch
from pipeline.errors import Rejected
from pipeline.readers import soundfont
from pipeline.readers.soundfont import Note

RATE = 16_000


@pytest.mark.parametrize("program", [0, 40, 71, 73])
def test_f0_follows_a_melody(program):
    score = [
        Note(0.1 + 0.5 * i, 0.55 + 0.5 * i, p, 100, program) for i, p in enumerate((57, 64, 69))
    ]
    audio = soundfont.general_midi().render(score, RATE, 2 * RATE)
    f0_hz, is_voiced = pitch.f0(audio, RATE, 160)
    for note in score:
        frames = slice(round((note.start_time + 0.08) * 100), round((note.end_time - 0.02) * 100))
        assert is_voiced[frames].mean() > 0.9
        cents = 1200 * np.log2(f0_hz[frames] / (440 * 2 ** ((note.pitch - 69) / 12)))
        assert np.median(np.abs(cents)) < 20


@pytest.mark.parametrize("hop_length", [64, 160, 333])
@pytest.mark.parametrize("num_samples", [1, 500, 16_000, 16_123])
def test_f0_has_the_frames_of_a_centred_stft(num_samples, hop_length):
    f0_hz, is_voiced = pitch.f0(tone(220, num_samples), RATE, hop_length)
    assert f0_hz.shape == is_voiced.shape == (1 + num_samples // hop_length,)
    assert f0_hz.dtype == np.float32
    assert is_voiced.dtype == bool


def test_silence_and_noise_are_not_voiced():
    assert not pitch.f0(np.zeros(8000, np.float32), RATE, 160)[1].any()
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.1
    assert pitch.f0(noise, RATE, 160)[1].mean() < 0.5


def test_no_samples_have_no_pitch():
    with pytest.raises(Rejected, match="too_short_audio"):
        pitch.f0(np.zeros(0, np.float32), RATE, 160)


@pytest.mark.parametrize("semitones", [-7, 5])
def test_a_voice_keeps_its_formant(semitones):
    """A pulse train through a resonance at 1,000 Hz: the pitch moves, the resonance does not."""
    voice = formant_voice(160.0, 1000.0)
    moved = pitch.transpose_voice(voice, RATE, semitones)
    tape = stretch.transpose(voice, RATE, semitones)
    assert len(moved) == len(voice)
    f0_hz, is_voiced = pitch.f0(moved, RATE, 160)
    wanted_hz = 160 * 2 ** (semitones / 12)
    assert np.median(f0_hz[is_voiced]) == pytest.approx(wanted_hz, rel=0.01)
    assert abs(resonance_hz(moved) - 1000) < 120
    assert abs(resonance_hz(tape) - 1000 * 2 ** (semitones / 12)) < 120


@pytest.mark.parametrize("factor", [0.5, 0.77, 1.3, 2.0, 6.0])
def test_stretched_tones_keep_their_pitch_and_level(factor):
    audio = tone(440, 2 * RATE)
    num_samples = round(factor * len(audio))
    longer = stretch.stretch(audio, RATE, num_samples)
    assert longer.shape == (num_samples,)
    middle = longer[num_samples // 4 : -num_samples // 4]
    assert peak_hz(middle) == pytest.approx(440, rel=0.006)
    assert level(middle) == pytest.approx(level(audio), rel=0.2)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_clicks_come_where_they_belong(factor):
    clicks = np.arange(0.5, 3.6, 0.5)
    made = stretch.stretch(click_track(clicks, 4.0), RATE, round(4 * RATE * factor))
    np.testing.assert_allclose(first_samples(made, clicks * factor), clicks * factor, atol=0.004)


@pytest.mark.parametrize("semitones", [-12, -5, 0.5, 7])
def test_transposed_tones_have_another_pitch_and_the_same_length(semitones):
    audio = tone(440, RATE)
    made = stretch.transpose(audio, RATE, semitones)
    assert made.shape == audio.shape
    assert peak_hz(made[2000:-2000]) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.005)


def test_warp_moves_each_beat():
    beats = np.arange(0.5, 3.6, 0.5)
    targets = np.array([0.3, 0.7, 1.3, 1.8, 2.6, 3.0, 3.4])
    audio = click_track(beats, 4.0)
    made = stretch.warp(audio, RATE, beats, targets, 5 * RATE)
    assert made.shape == (5 * RATE,)
    np.testing.assert_allclose(first_samples(made, targets), targets, atol=0.004)
    assert np.abs(made).max() == pytest.approx(np.abs(audio).max(), rel=0.3)


def test_warp_onto_the_same_beats_changes_little():
    audio = tone(300, 2 * RATE)
    beats = np.array([0.4, 0.9, 1.5])
    made = stretch.warp(audio, RATE, beats, beats, len(audio))
    np.testing.assert_allclose(made[1000:-1000], audio[1000:-1000], atol=0.02)


def test_warp_cuts_and_fills():
    audio = tone(300, RATE)
    assert stretch.warp(audio, RATE, [0.2, 0.8], [0.1, 0.9], 4000).shape == (4000,)
    long = stretch.warp(audio, RATE, [0.2, 0.8], [1.5, 2.5], 4 * RATE)
    assert not long[:RATE].any()
    assert level(long[RATE * 7 // 4 : RATE * 9 // 4]) > 0.1
    assert not long[3 * RATE :].any()


@pytest.mark.parametrize(
    ("sources", "targets"),
    [([0.1], [0.1]), ([0.1, 0.1], [0.1, 0.2]), ([0.3, 0.2], [0.1, 0.2]), ([0.1, 0.2], [0.1] * 3)],
)
def test_bad_time_maps_are_rejected(sources, targets):
    with pytest.raises(Rejected, match="bad_time_map"):
        stretch.warp(tone(300, RATE), RATE, sources, targets, RATE)


def test_impossible_stretches_are_rejected():
    with pytest.raises(Rejected, match="too_short_audio"):
        stretch.stretch(np.zeros(0, np.float32), RATE, 10)
    with pytest.raises(Rejected, match="impossible_stretch"):
        stretch.stretch(tone(300, 100), RATE, 10_000)


def test_the_same_comes_out_twice():
    audio = formant_voice(200.0, 900.0)
    for action in (
        lambda: stretch.stretch(audio, RATE, 3 * len(audio)),
        lambda: stretch.transpose(audio, RATE, 3),
        lambda: stretch.warp(audio, RATE, [0.1, 0.5], [0.2, 0.4], RATE),
        lambda: pitch.transpose_voice(audio, RATE, 2),
    ):
        np.testing.assert_array_equal(action(), action())


def tone(frequency_hz, num_samples):
    return (0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / RATE)).astype(
        np.float32
    )


def click_track(seconds, duration):
    """Noise bursts of 12 ms that begin at once and decay."""
    audio = np.zeros(round(duration * RATE), np.float32)
    draw = np.random.default_rng(0)
    for start in np.round(seconds * RATE).astype(int):
        audio[start : start + 200] = 0.3 * draw.standard_normal(200) * np.exp(-np.arange(200) / 40)
    return audio


def first_samples(audio, near_seconds):
    """When, within 0.1 s of each time, a third of the local maximum is first reached."""
    found = []
    for seconds in near_seconds:
        start = round((seconds - 0.1) * RATE)
        heard = np.abs(audio[start : start + RATE // 5])
        found.append((start + np.argmax(heard > heard.max() / 3)) / RATE)
    return found


def formant_voice(f0_hz, formant_hz):
    from scipy.signal import lfilter

    pulses = (np.diff(np.floor(np.arange(RATE + 1) * f0_hz / RATE)) > 0).astype(float)
    radius = np.exp(-np.pi * 120 / RATE)
    feedback = [1, -2 * radius * np.cos(2 * np.pi * formant_hz / RATE), radius**2]
    chest = lfilter([1], [1, -0.97], pulses)
    voice = chest - chest.mean() + 0.5 * lfilter([1], feedback, pulses)
    return (0.3 * voice / np.abs(voice).max()).astype(np.float32)


def resonance_hz(audio):
    """The centre of the spectrum's power between 500 and 2,200 Hz, near its strongest partials."""
    power = np.abs(np.fft.rfft(audio[2000:-2000] * np.hanning(len(audio) - 4000))) ** 2
    bins_hz = np.fft.rfftfreq(len(audio) - 4000, 1 / RATE)
    inside = (bins_hz > 500) & (bins_hz < 2200)
    weights = power[inside] ** 1.5
    return float(bins_hz[inside] @ weights / weights.sum())


def peak_hz(audio):
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    return spectrum.argmax() * RATE / (8 * len(audio))


def level(audio):
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
