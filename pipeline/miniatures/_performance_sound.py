"""A performance on the piano as it sounds: MIDI through a SoundFont to WAV."""

from __future__ import annotations

import io
import wave

import numpy as np

from pipeline.readers import midi, soundfont

_RELEASE_SECONDS = 1.0
_GAIN = 1.6


def wav(performance: bytes, sample_rate: int) -> bytes:
    """Renders a MIDI file, its sustain pedal applied.

    Args:
      performance: a MIDI file of one piano.
      sample_rate: in Hz.

    Returns:
      A WAV file, 16-bit stereo with equal channels, one second longer than the music; it is made
      softer where it would clip.
    """
    from note_seq import sequences_lib

    sequence = sequences_lib.apply_sustain_control_changes(midi.read(performance))
    num_samples = int((sequence.total_time + _RELEASE_SECONDS) * sample_rate)
    mono = soundfont.general_midi().render(sequence.notes, sample_rate, num_samples)
    mono *= min(_GAIN, 0.99 / max(float(np.abs(mono).max()), 1e-6))
    samples = np.round(mono * 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((2, 2, sample_rate, 0, "NONE", "not compressed"))
        file.writeframes(np.repeat(samples, 2).tobytes())
    return buffer.getvalue()
