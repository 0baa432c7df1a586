"""The transcriber against basic-pitch's own note creation, known renders, and itself in pieces."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from mir_eval.transcription import precision_recall_f1_overlap

from pipeline.audio import transcription
from pipeline.audio._note_creation import Thresholds, notes_in_frames
from pipeline.readers import soundfont
from pipeline.readers.soundfont import Note

RATE = 16_000
MELODY = [Note(0.25 + 0.4 * i, 0.6 + 0.4 * i, p, 100) for i, p in enumerate((60, 64, 67, 65, 72))]
BASS = [Note(0.25, 1.0, 40, 90), Note(1.05, 2.2, 45, 90)]


@pytest.mark.parametrize("program", [0, 24, 73])
@pytest.mark.parametrize("thresholds", [Thresholds(), Thresholds(0.5, 0.3, 11)])
@pytest.mark.parametrize("switches", [(True, True), (False, False), (True, False)])
def test_notes_are_those_of_basic_pitch(oracle, program, thresholds, switches):
    heard = posteriors(program)
    ours = Thresholds(thresholds.onset, thresholds.frame, thresholds.min_frames, 11, *switches)
    expected = oracle.output_to_notes_polyphonic(
        heard.notes.copy(),
        heard.onsets.copy(),
        onset_thresh=ours.onset,
        frame_thresh=ours.frame,
        min_note_len=ours.min_frames,
        infer_onsets=ours.is_inferring_onsets,
        max_freq=None,
        min_freq=None,
        melodia_trick=ours.is_adding_notes,
    )
    found = notes_in_frames(heard.notes, heard.onsets, ours)
    assert [(n.start, n.end, n.pitch + 21) for n in found] == [tuple(n[:3]) for n in expected]
    np.testing.assert_allclose([n.amplitude for n in found], [n[3] for n in expected], rtol=1e-5)
    assert len(found) > 4


def test_notes_of_noise_are_those_of_basic_pitch(oracle):
    """Many ties and overlaps: the order in which notes use up the posterior shows."""
    draw = np.random.default_rng(1)
    notes = np.round(draw.random((300, 88)).astype(np.float32) ** 2, 2)
    notes = np.maximum(notes, np.roll(notes, 1, axis=0))
    onsets = np.round(draw.random((300, 88)).astype(np.float32) ** 4, 2)
    found = notes_in_frames(notes, onsets, Thresholds(0.5, 0.3, 3))
    expected = oracle.output_to_notes_polyphonic(
        notes.copy(), onsets.copy(), 0.5, 0.3, 3, True, None, None
    )
    assert [(n.start, n.end, n.pitch + 21) for n in found] == [tuple(n[:3]) for n in expected]


def test_frame_times_are_those_of_basic_pitch_on_average(oracle):
    times = transcription.posteriorgrams(np.zeros(20 * RATE, np.float32), RATE).times_seconds
    assert (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx(20, abs=0.02)
    np.testing.assert_allclose(times, oracle.model_frames_to_time(len(times)), atol=0.02)


@pytest.mark.parametrize("program", [0, 11, 73])
def test_a_melody_with_bass_is_heard(program):
    """F1 by onsets within 50 ms, pitches within 50 cents."""
    score = MELODY + BASS
    heard = transcription.transcribe(render(score, program), RATE)
    assert f1(score, heard) > 0.85
    assert heard == sorted(heard)
    assert all(1 <= n.velocity <= 127 and n.end_time > n.start_time for n in heard)


def test_notes_across_windows_keep_their_times():
    """Nine seconds are six windows; late notes are heard as exactly as early ones."""
    score = [Note(0.5 + 0.5 * i, 0.9 + 0.5 * i, 60 + 5 * (i % 3), 100) for i in range(16)]
    heard = transcription.transcribe(render(score, 0, 9.0), RATE)
    assert f1(score, heard) == 1
    late = [min(abs(n.start_time - s.start_time) for n in heard) for s in score]
    assert max(late) < 0.025


def test_batches_change_nothing(monkeypatch):
    audio = render(MELODY, 0, 9.0)
    whole = transcription.posteriorgrams(audio, RATE)
    monkeypatch.setattr(transcription, "_BATCH_WINDOWS", 1)
    single = transcription.posteriorgrams(audio, RATE)
    np.testing.assert_allclose(whole.notes, single.notes, atol=1e-5)
    assert transcription.transcribe(audio, RATE) == transcription.transcribe(audio, RATE)


def test_outputs_are_told_apart(oracle):
    """A long note: the posterior of the note lasts, that of its onset does not."""
    audio = render([Note(0.5, 2.5, 60, 100)], 19, 3.0)
    heard = transcription.posteriorgrams(audio, RATE)
    row = 60 - transcription.LOWEST_PITCH
    assert (heard.notes[:, row] > 0.5).sum() > 80
    assert 1 <= (heard.onsets[:, row] > 0.5).sum() < 12


@pytest.mark.parametrize("num_samples", [0, 1, 100, 5000])
def test_silence_has_no_notes(num_samples):
    assert transcription.transcribe(np.zeros(num_samples, np.float32), RATE) == []


def test_note_sequence_is_written_as_midi():
    import note_seq

    sequence = transcription.note_sequence([transcription.Note(*note) for note in MELODY])
    again = note_seq.midi_to_note_sequence(note_seq.note_sequence_to_pretty_midi(sequence))
    assert sequence.total_time == pytest.approx(2.2)
    assert [n.pitch for n in again.notes] == [n.pitch for n in MELODY]
    assert [n.start_time for n in again.notes] == pytest.approx(
        [n.start_time for n in MELODY], abs=5e-3
    )


def posteriors(program):
    if program not in _POSTERIORS:
        audio = render(MELODY + BASS, program)
        _POSTERIORS[program] = transcription.posteriorgrams(audio, RATE)
    return _POSTERIORS[program]


_POSTERIORS = {}


@pytest.fixture(scope="module")
def oracle():
    """basic_pitch.note_creation without basic_pitch's __init__, which imports TensorFlow."""
    spec = importlib.util.find_spec("basic_pitch")
    package = types.ModuleType("basic_pitch")
    package.__path__, package.__spec__ = [str(Path(spec.origin).parent)], spec
    stubs = {"basic_pitch": package}
    if importlib.util.find_spec("resampy") is None:  # it only writes its sonifications with it
        stubs["resampy"] = types.ModuleType("resampy")
    with pytest.MonkeyPatch.context() as patch:
        for name, module in stubs.items():
            patch.setitem(sys.modules, name, module)
        yield importlib.import_module("basic_pitch.note_creation")
    for name in [name for name in sys.modules if name.startswith("basic_pitch.")]:
        del sys.modules[name]


def render(notes, program, seconds=3.0):
    played = [note._replace(program=program) for note in notes]
    audio = soundfont.general_midi().render(played, RATE, round(seconds * RATE))
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


def f1(reference, estimate):
    songs = []
    for notes in (reference, estimate):
        songs.append(np.array([[n.start_time, n.end_time] for n in notes]))
        songs.append(440 * 2 ** ((np.array([n.pitch for n in notes]) - 69) / 12))
    return precision_recall_f1_overlap(*songs, offset_ratio=None)[2]
