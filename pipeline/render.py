"""Notes as MIDI, as sound and as a picture, and sound as a picture; equal music, equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import files
from pipeline.readers import soundfont

if TYPE_CHECKING:
    from note_seq.protobuf.music_pb2 import NoteSequence

SAMPLE_RATE_HZ = 22_050
_TAIL_SECONDS = 1.0  # the last notes die away in it
_PEAK = 0.7  # of full scale; leaves room for the players' own resampling


def midi(note_sequence: NoteSequence) -> bytes:
    """A standard MIDI file of the notes."""
    import io

    import note_seq

    buffer = io.BytesIO()
    note_seq.note_sequence_to_pretty_midi(note_sequence).write(buffer)
    return buffer.getvalue()


def waveform(note_sequence: NoteSequence, sample_rate: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """The notes played by the General MIDI SoundFont that pretty_midi carries.

    Args:
      note_sequence: notes in seconds.
      sample_rate: in Hz.

    Returns:
      float32 in [-1, 1], mono, a second longer than the notes. Shape [samples]; its peak is 0.7
      unless it is silent.
    """
    num_samples = int((note_sequence.total_time + _TAIL_SECONDS) * sample_rate)
    audio = soundfont.general_midi().render(note_sequence.notes, sample_rate, num_samples)
    peak = np.abs(audio).max(initial=0.0)
    return (audio * (_PEAK / peak if peak > 0 else 1.0)).astype(np.float32)


def write_piano_roll(path: Path, note_sequence: NoteSequence, title: str) -> None:
    """Draws time in seconds against pitch, a bar a note, darker where it is louder."""
    figure, axes = _axes()
    for note in note_sequence.notes:
        width = note.end_time - note.start_time
        shade = 0.25 + 0.75 * note.velocity / 127
        axes.barh(note.pitch, width, left=note.start_time, height=0.9, color=(0.1, 0.3, 0.6, shade))
    axes.set(xlabel="seconds", ylabel="MIDI pitch", title=title)
    axes.set_xlim(0, max(note_sequence.total_time, 1))
    axes.margins(y=0.1)
    axes.grid(axis="x", alpha=0.3)
    _save(figure, path)


def write_rainbowgram(path: Path, audio: np.ndarray, sample_rate: int, title: str) -> None:
    """Draws time against pitch: brightness is loudness, colour the speed of the phase.

    Args:
      path: of the PNG.
      audio: float32 in [-1, 1]. Shape [samples].
      sample_rate: in Hz.
      title: above it.
    """
    from pipeline.audio import rainbowgram

    image = rainbowgram.rainbowgram(audio, sample_rate)
    figure, axes = _axes()
    low = 69 + 12 * np.log2(rainbowgram.LOWEST_HZ / 440)
    high = low + 12 * len(image) / rainbowgram.BINS_PER_OCTAVE
    extent = (0, len(audio) / sample_rate, low, high)
    axes.imshow(image, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    axes.set(xlabel="seconds", ylabel="MIDI pitch", title=title)
    _save(figure, path)


def _axes() -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Any, path: Path) -> None:
    with files.atomic_open(path) as file:
        # No Software entry: a PNG must not change with matplotlib's version string.
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
