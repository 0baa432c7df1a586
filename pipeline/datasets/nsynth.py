"""NSynth: single notes of a thousand instruments, four seconds each, as JSON and WAV.

Engel et al. 2017. Each of three archives holds nsynth-<split>/examples.json, a mapping from
note_str (instrument_str-pitch-velocity) to what is known of the note, and its sound in
nsynth-<split>/audio/<note_str>.wav. No instrument of train is in valid or test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline import archives
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import audio

SAMPLE_RATE = 16_000
_URL = "http://download.magenta.tensorflow.org/datasets/nsynth/"
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_MD5 = {
    "train": "fde6665a93865503ba598b9fac388660",
    "valid": "87e94a00a19b6dbc99cf6d4c0c0cae87",
    "test": "5e6f8719bf7e16ad0a00d518b78af77d",
}
_INTEGERS = ("pitch", "velocity", "instrument", "instrument_family", "instrument_source")
_STRINGS = ("note_str", "instrument_str", "instrument_family_str", "instrument_source_str")

Family = Literal[
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string",
    "synth_lead", "vocal",
]  # fmt: skip


class NSynthOptions(Options):
    """datasets.nsynth"""

    miniature_size: int = Field(ge=24, le=4000, description="notes of the embedded miniature")
    families: tuple[Family, ...] | None = Field(description="of instruments; null keeps all")


def sources(options: NSynthOptions) -> tuple[Source, ...]:
    """The three jsonwav archives, about 25 GB: a third of the TFRecords."""
    return tuple(
        Source(_archive(split), (_URL + _archive(split),), checksum=f"md5:{md5}")
        for split, md5 in _MD5.items()
    )


def catalogue(raw: Path, options: NSynthOptions) -> Iterator[Entry | tuple[str, Exception]]:
    """The notes in the order of note_str; only the three examples.json are read.

    Raises:
      PipelineError: if an examples.json is no mapping of notes.
    """
    notes = sorted(
        (key, split, fields) for split in _SPLITS for key, fields in _examples(raw, split).items()
    )
    for key, split, fields in notes:
        try:
            _check(key, fields)
        except Rejected as rejected:
            yield key, rejected
            continue
        if options.families is not None and fields["instrument_family_str"] not in options.families:
            continue
        member = f"{_archive(split)}!nsynth-{split}/audio/{key}.wav"
        yield Entry(key, fields["instrument_str"], (member,), _SPLITS[split], fields)


def load(entry: Entry, members: Mapping[str, bytes]) -> Example:
    """Decodes one note.

    Returns:
      An Example with audio, float32 in [-1, 1]. Shape [64000] as published.

    Raises:
      Rejected: wrong_sample_rate; or the reason of readers.audio.
    """
    (member,) = entry.members
    waveform, sample_rate = audio.read(members[member])
    if sample_rate != SAMPLE_RATE:
        raise Rejected("wrong_sample_rate", f"sample_rate={sample_rate}, not {SAMPLE_RATE}")
    return Example(
        entry.key, audio=waveform, sample_rate=sample_rate, attributes=dict(entry.attributes)
    )


def _archive(split: str) -> str:
    return f"nsynth-{split}.jsonwav.tar.gz"


def _examples(raw: Path, split: str) -> dict[str, Any]:
    locator = f"{_archive(split)}!nsynth-{split}/examples.json"
    try:
        notes = json.loads(archives.read_text(raw, locator))
    except ValueError as error:
        raise PipelineError(f"{raw / locator} is not JSON ({error}). Fetch it again.") from None
    if not isinstance(notes, dict):
        raise PipelineError(f"{raw / locator} is a {type(notes).__name__}, not a mapping of notes.")
    return notes


def _check(key: str, fields: Any) -> None:
    """What the archive says of a note must be whole, and agree with the note's name."""
    is_whole = (
        isinstance(fields, dict)
        and all(isinstance(fields.get(name), int) for name in _INTEGERS)
        and all(isinstance(fields.get(name), str) for name in _STRINGS)
    )
    if not is_whole:
        raise Rejected("incomplete_fields", f"{key} lacks one of {', '.join(_INTEGERS + _STRINGS)}")
    named = f"{fields['instrument_str']}-{fields['pitch']:03d}-{fields['velocity']:03d}"
    if not key == fields["note_str"] == named:
        raise Rejected("name_mismatch", f"{key} is said to be {fields['note_str']}, {named}")
    if not 0 <= fields["pitch"] <= 127 or not 1 <= fields["velocity"] <= 127:
        raise Rejected("pitch_out_of_range", f"{key} is not a MIDI pitch and velocity")


DATASET = Dataset(
    name="nsynth",
    title="NSynth",
    version="2.0.0",
    licence="CC-BY-4.0",
    citation=(
        "Jesse Engel, Cinjon Resnick, Adam Roberts, Sander Dieleman, Douglas Eck, Karen Simonyan, "
        "Mohammad Norouzi. Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders. "
        "ICML 2017."
    ),
    homepage="https://magenta.tensorflow.org/datasets/nsynth",
    sources=sources,
    Options=NSynthOptions,
    catalogue=catalogue,
    load=load,
)
