"""Notes of a recording, of any number of voices, by basic-pitch's network and onnxruntime.

The network is the ONNX file of the basic-pitch wheel; the package itself is never imported. One
thread in sequence runs it, so that what it hears does not depend on how many cores there are.

Source: Bittner et al. 2022, "A Lightweight Instrument-Agnostic Model for Polyphonic Note
Transcription and Multipitch Estimation"; windows as in basic_pitch/inference.py (0.4.0).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.audio._note_creation import Thresholds, notes_in_frames

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

SAMPLE_RATE_HZ = 22_050
HOP_LENGTH = 256
NUM_PITCHES = 88
LOWEST_PITCH = 21

_WINDOW_SAMPLES = 2 * SAMPLE_RATE_HZ - HOP_LENGTH
_EDGE_FRAMES = 15  # dropped at both ends of a window, where the network lacks context
_WINDOW_HOP = _WINDOW_SAMPLES - 2 * _EDGE_FRAMES * HOP_LENGTH
_BATCH_WINDOWS = 8  # memory beyond the result: about 200 MB
_OUTPUTS = ("StatefulPartitionedCall:1", "StatefulPartitionedCall:2")  # notes, onsets


class Note(NamedTuple):
    """A note in seconds, named as in a NoteSequence."""

    start_time: float
    end_time: float
    pitch: int
    velocity: int
    program: int = 0
    is_drum: bool = False


class Posteriorgrams(NamedTuple):
    """What the network hears.

    Attributes:
      notes: that a pitch sounds, 0 to 1. float32. Shape [frames, 88], from A0 up.
      onsets: that it begins. float32. Shape [frames, 88].
      times_seconds: of the frames. float64. Shape [frames].
    """

    notes: np.ndarray
    onsets: np.ndarray
    times_seconds: np.ndarray


def transcribe(
    audio: np.ndarray, sample_rate: int, thresholds: Thresholds | None = None
) -> list[Note]:
    """The notes of a recording.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz.
      thresholds: of note creation; None: the defaults, stricter than basic-pitch's, which were
        the best of a grid on renders with twelve General MIDI programs (F1 0.90 against 0.78).

    Returns:
      Notes by start, then pitch; velocity is 127 times the mean of the posterior, at least 1.
      Empty if nothing is heard.
    """
    heard = posteriorgrams(audio, sample_rate)
    found = notes_in_frames(heard.notes, heard.onsets, thresholds or Thresholds())
    times = heard.times_seconds
    notes = [
        Note(
            float(times[start]),
            float(times[end]),
            pitch + LOWEST_PITCH,
            max(1, round(127 * amplitude)),
        )
        for start, end, pitch, amplitude in found
    ]
    return sorted(notes)


def posteriorgrams(audio: np.ndarray, sample_rate: int) -> Posteriorgrams:
    """Runs the network over windows of two seconds, a batch at a time.

    Args:
      audio: float32, mono; louder or softer changes nothing much, silence is silence. [samples].
      sample_rate: in Hz.

    Source: basic_pitch/inference.py, run_inference and unwrap_output. Frame times are exact here:
    a window gives 142 frames of 256 samples but begins 36,164 samples after the last, which
    note_creation.model_frames_to_time makes up for on average.
    """
    mono = np.asarray(audio, np.float32)
    if sample_rate != SAMPLE_RATE_HZ:
        import soxr

        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE_HZ, quality="HQ")
    kept = [_heard(batch) for batch in _batches(mono)]
    if not kept:
        nothing = np.zeros((0, NUM_PITCHES), np.float32)
        return Posteriorgrams(nothing, nothing, np.zeros(0))
    notes, onsets = (np.concatenate([batch[i] for batch in kept]) for i in range(2))
    num_windows, num_frames, _ = notes.shape
    samples = _WINDOW_HOP * np.arange(num_windows)[:, None] + HOP_LENGTH * np.arange(num_frames)
    is_inside = samples.ravel() < len(mono)
    return Posteriorgrams(
        notes.reshape(-1, NUM_PITCHES)[is_inside],
        onsets.reshape(-1, NUM_PITCHES)[is_inside],
        samples.ravel()[is_inside] / SAMPLE_RATE_HZ,
    )


def _batches(mono: np.ndarray) -> Iterator[np.ndarray]:
    """Windows, the last one filled with zeros. float32. Shape [up to 8, 43844, 1] each."""
    starts = range(0, len(mono), _WINDOW_HOP)
    for first in range(0, len(starts), _BATCH_WINDOWS):
        batch = starts[first : first + _BATCH_WINDOWS]
        windows = np.zeros((len(batch), _WINDOW_SAMPLES, 1), np.float32)
        for window, start in zip(windows, batch, strict=True):
            begin = start - _EDGE_FRAMES * HOP_LENGTH
            heard = mono[max(begin, 0) : begin + _WINDOW_SAMPLES]
            offset = max(-begin, 0)
            window[offset : offset + len(heard), 0] = heard
        yield windows


def _heard(windows: np.ndarray) -> list[np.ndarray]:
    """Notes and onsets without the windows' edges. float32. Shape [windows, 142, 88] each."""
    outputs = _network().run(list(_OUTPUTS), {"serving_default_input_2:0": windows})
    return [output[:, _EDGE_FRAMES:-_EDGE_FRAMES] for output in outputs]


@cache
def _network() -> Any:
    import onnxruntime

    spec = importlib.util.find_spec("basic_pitch")  # finds the folder without importing it
    assert spec is not None
    assert spec.origin is not None
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    file = Path(spec.origin).parent / "saved_models" / "icassp_2022" / "nmp.onnx"
    return onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])


def note_sequence(notes: Iterable[Note]) -> NoteSequence:
    """Notes as a NoteSequence, from which note_seq writes MIDI.

    Args:
      notes: in seconds; one that ends before it starts is the caller's mistake.
    """
    from note_seq.protobuf.music_pb2 import NoteSequence

    sequence = NoteSequence(ticks_per_quarter=220)
    for note in notes:
        sequence.notes.add(
            start_time=note.start_time,
            end_time=note.end_time,
            pitch=note.pitch,
            velocity=note.velocity,
            program=note.program,
            is_drum=note.is_drum,
        )
    sequence.total_time = max((note.end_time for note in sequence.notes), default=0.0)
    return sequence
