"""The SoundFont player against a SoundFont made by hand, whose every sound can be calculated."""

import struct

import numpy as np
import pytest

from pipeline.errors import Rejected
from pipeline.readers import soundfont
from pipeline.readers.soundfont import Note

RATE = 44_100
PERIOD = 100  # samples: the looped sine sounds at 441 Hz on its root
ROOT, UPPER_ROOT = 60, 72


def test_pitch_is_in_tune_over_two_octaves(font):
    for pitch in (48, 55, 60, 71):
        sound = font.render([Note(0, 1, pitch, 127)], RATE, RATE)
        assert peak_hz(sound) == pytest.approx(441 * 2 ** ((pitch - ROOT) / 12), rel=0.003)


def test_key_range_chooses_the_zone(font):
    """Above 71 the second zone sounds: tuned 1200 cents up by its generators, root 72."""
    assert peak_hz(font.render([Note(0, 1, 72, 127)], RATE, RATE)) == pytest.approx(882, rel=0.003)


def test_sound_is_the_looped_sine_while_held(font):
    sound = font.render([Note(0, 0.5, ROOT, 127)], RATE, RATE // 2)
    center = np.sqrt(0.5)  # what the mono sum leaves of a sound in the middle
    expected = sine(RATE // 2) * 32_000 / 32_768 * center
    np.testing.assert_allclose(sound[500:-500], expected[500:-500], atol=2e-3)


def test_velocity_is_a_square_law(font):
    loud, soft = (level(font.render([Note(0, 1, ROOT, v)], RATE, RATE)) for v in (127, 64))
    assert 20 * np.log10(loud / soft) == pytest.approx(40 * np.log10(127 / 64), abs=0.3)


def test_release_falls_by_100_db_in_its_time(font):
    """releaseVolEnv is 0 timecents, one second: 25 dB are lost in a quarter of it."""
    sound = font.render([Note(0, 0.5, ROOT, 127)], RATE, RATE)
    before, after = level(sound[17_000:22_000]), level(sound[32_625:33_525])
    lost_db = 100 * (33_075 / RATE - 0.5)
    assert 20 * np.log10(before / after) == pytest.approx(lost_db, abs=0.6)


def test_attenuation_generator(font):
    """50 dB are written on the second zone; 0.4 of them are applied."""
    plain = level(font.render([Note(0, 1, 71, 127)], RATE, RATE))
    attenuated = level(font.render([Note(0, 1, 73, 127)], RATE, RATE))
    assert 20 * np.log10(plain / attenuated) == pytest.approx(20, abs=0.5)


def test_decimation_keeps_level_and_length(font):
    low = font.render([Note(0, 1, ROOT, 127)], 16_000, 16_000)
    assert low.shape == (16_000,)
    assert level(low) == pytest.approx(
        level(font.render([Note(0, 1, ROOT, 127)], RATE, RATE)), 0.02
    )


def test_mix_is_the_sum_of_its_notes(font):
    first, second = Note(0, 0.3, 60, 100), Note(0.25, 0.6, 67, 80)
    both = font.render([second, first], RATE, RATE)
    apart = font.render([first], RATE, RATE) + font.render([second], RATE, RATE)
    np.testing.assert_allclose(both, apart, atol=1e-6)


def test_notes_of_a_note_sequence_are_taken(font):
    from note_seq.protobuf import music_pb2

    sequence = music_pb2.NoteSequence()
    sequence.notes.add(start_time=0.1, end_time=0.6, pitch=ROOT, velocity=90)
    expected = font.render([Note(0.1, 0.6, ROOT, 90)], RATE, RATE)
    np.testing.assert_array_equal(font.render(sequence.notes, RATE, RATE), expected)


def test_equal_notes_of_unequal_length_left(font):
    """A note at the end is cut; the same note earlier is not."""
    early, late = Note(0.0, 0.4, 60, 100), Note(0.9, 1.3, 60, 100)
    mix = font.render([late, early], RATE, RATE)
    np.testing.assert_array_equal(mix[:30_000], font.render([early], RATE, RATE)[:30_000])


def test_a_program_that_lacks_sounds_as_the_first(font):
    notes = [Note(0, 0.5, ROOT, 100, program) for program in (0, 77)]
    first, other = (font.render([note], RATE, RATE) for note in notes)
    np.testing.assert_array_equal(first, other)
    with pytest.raises(Rejected, match="lacks_bank"):
        font.render([Note(0, 1, 36, 100, 0, True)], RATE, RATE)


@pytest.mark.parametrize("data", [b"", b"RIFF\0\0\0\0WAVE", b"RIFF\4\0\0\0sfbk"])
def test_other_files_are_rejected(data):
    with pytest.raises(Rejected, match="not_soundfont"):
        soundfont.read(data)


def test_general_midi_has_all_programs_and_drums():
    presets = soundfont.general_midi().presets
    assert {(0, program) for program in range(128)} <= set(presets)
    assert (soundfont.DRUM_BANK, 0) in presets


@pytest.fixture(scope="module")
def font():
    return soundfont.read(made_soundfont())


def made_soundfont():
    """One preset, one instrument, two zones of one looped sine."""
    audio = np.round(sine(10 * PERIOD) * 32_000).astype("<i2").tobytes()
    lower = [(43, 0 | 71 << 8), (38, 0), (54, 1), (58, ROOT), (53, 0)]
    upper = [(43, 72 | 127 << 8), (48, 500), (51, 12), (54, 1), (58, UPPER_ROOT), (53, 0)]
    records = {
        b"phdr": struct.pack("<20sHHHIII", b"sine", 0, 0, 0, 0, 0, 0)
        + struct.pack("<20sHHHIII", b"EOP", 0, 0, 1, 0, 0, 0),
        b"pbag": struct.pack("<4H", 0, 0, 1, 0),
        b"pgen": struct.pack("<2H", 41, 0),
        b"inst": struct.pack("<20sH20sH", b"sine", 0, b"EOI", 2),
        b"ibag": struct.pack("<6H", 0, 0, len(lower), 0, len(lower) + len(upper), 0),
        b"igen": b"".join(struct.pack("<2H", *generator) for generator in lower + upper),
        b"shdr": struct.pack(
            "<20s5IBbHH", b"sine", 0, 10 * PERIOD, 2 * PERIOD, 8 * PERIOD, RATE, ROOT, 0, 0, 1
        ),
    }
    pdta = b"pdta" + b"".join(chunk(name, data) for name, data in records.items())
    sdta = b"sdta" + chunk(b"smpl", audio)
    return chunk(b"RIFF", b"sfbk" + chunk(b"LIST", sdta) + chunk(b"LIST", pdta))


def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data


def sine(num_samples):
    return np.sin(2 * np.pi * np.arange(num_samples) / PERIOD)


def peak_hz(sound):
    held = sound[2_000:42_000]
    spectrum = np.abs(np.fft.rfft(held * np.hanning(len(held)), 8 * len(held)))
    return spectrum.argmax() * RATE / (8 * len(held))


def level(sound):
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
