"""NSynth: single notes of a thousand instruments, four seconds each, as JSON and WAV.

Engel et al. 2017. Each of three archives holds nsynth-<split>/examples.json, a mapping from
note_str (instrument_str-pitch-velocity) to what is known of the note, and its sound in
nsynth-<split>/audio/<note_str>.wav. No instrument of train is in valid or test.

The subset of GANSynth (Engel et al. 2019) is that of acoustic instruments at pitches 24 to 84,
split anew: the same instruments are in all its splits by design, and what may not straddle them is
the note alone, so that there the note is the group.
"""

from __future__ import annotations

import csv
import io
import operator
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from pipeline import archives
from pipeline.datasets import _json
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import audio

SAMPLE_RATE = 16_000
GANSYNTH = "nsynth-gansynth_splits.csv"
_URL = "http://download.magenta.tensorflow.org/datasets/nsynth/"
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_MD5 = {
    "train": "fde6665a93865503ba598b9fac388660",
    "valid": "87e94a00a19b6dbc99cf6d4c0c0cae87",
    "test": "5e6f8719bf7e16ad0a00d518b78af77d",
}

Family = Literal[
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string",
    "synth_lead", "vocal",
]  # fmt: skip
InstrumentSource = Literal["acoustic", "electronic", "synthetic"]


class NSynthOptions(Options):
    """datasets.nsynth"""

    subset: Literal["all", "gansynth"] = Field(
        description="gansynth: acoustic instruments at pitches 24 to 84, with GANSynth's own split"
    )
    families: tuple[Family, ...] | None = Field(
        min_length=1, description="of instruments; null keeps all"
    )
    instrument_sources: tuple[InstrumentSource, ...] | None = Field(
        min_length=1, description="how the instrument makes its sound; null keeps all"
    )
    min_pitch: int | None = Field(ge=0, le=127, description="MIDI pitch; null: off")
    max_pitch: int | None = Field(ge=0, le=127, description="MIDI pitch; null: off")
    velocities: tuple[int, ...] | None = Field(
        min_length=1, description="of 25, 50, 75, 100 and 127; null keeps all"
    )
    miniature_size: int = Field(ge=24, le=4000, description="notes of the embedded miniature")

    @field_validator("max_pitch")
    @classmethod
    def _check_order(cls, high: int | None, info: ValidationInfo) -> int | None:
        low = info.data.get("min_pitch")
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_pitch={low} is more than that")
        return high


def sources(options: NSynthOptions) -> tuple[Source, ...]:
    """The three jsonwav archives, about 25 GB: a third of the TFRecords; and GANSynth's split."""
    notes = tuple(
        Source(_archive(split), (_URL + _archive(split),), checksum=f"md5:{md5}")
        for split, md5 in _MD5.items()
    )
    if options.subset == "all":
        return notes
    checksum = "sha256:b6e77ff861c82822c63f94e91d62fc6a48f514d0a7a7bed517752f87bc7ac4a9"
    return (*notes, Source(GANSYNTH, (_URL + GANSYNTH,), 2_952_153, checksum))


def catalogue(raw: Path, options: NSynthOptions) -> Iterator[Entry | tuple[str, Rejected]]:
    """The notes in the order of note_str; only the three examples.json are read.

    Yields:
      Entries, or (note_str, Rejected) with the reasons incomplete_fields, name_mismatch,
      pitch_out_of_range, duplicate_note, family_not_wanted, source_not_wanted, pitch_not_wanted,
      velocity_not_wanted; of subset gansynth not_in_gansynth_subset, not_in_gansynth_split, and
      missing_note for what is in its split alone.

    Raises:
      PipelineError: if an examples.json is no mapping of notes, or GANSynth's split no such table.
    """
    notes = [
        (key, split, fields) for split in _SPLITS for key, fields in _examples(raw, split).items()
    ]
    gansynth = _gansynth_splits(raw) if options.subset == "gansynth" else None
    absent = set(gansynth or ()) - {key for key, _, _ in notes}
    notes += [(key, "", None) for key in absent]
    notes.sort(key=lambda note: note[:2])
    seen = ""
    for key, split, fields in notes:
        try:
            if key in absent:
                raise Rejected("missing_note", f"{GANSYNTH} names it, and no archive has it")
            if key == seen:
                raise Rejected("duplicate_note", f"{key} is in two archives; the second is {split}")
            _check(key, fields)
            _choose(fields, options)
            member = f"{_archive(split)}!nsynth-{split}/audio/{key}.wav"
            group, own_split = fields["instrument_str"], _SPLITS[split]
            if gansynth is not None:
                group, own_split = key, _gansynth_split(fields, gansynth)
            yield Entry(key, group, (member,), own_split, fields)
        except Rejected as rejected:
            yield key, rejected
        seen = key


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
    notes = _json.table(archives.read_one(raw, locator), str(raw / locator))
    if not isinstance(notes, dict):
        raise PipelineError(
            f"{raw / locator} is a {type(notes).__name__}, not a mapping of notes. {FETCH_AGAIN}"
        )
    return {key: _compact(fields) for key, fields in notes.items()}


_NUM_QUALITIES = 10
_INTEGERS = {
    "note": 2**31 - 1,
    "instrument": 2**31 - 1,
    "instrument_family": len(get_args(Family)) - 1,
    "instrument_source": len(get_args(InstrumentSource)) - 1,
    "sample_rate": 2**31 - 1,
    "pitch": 2**31 - 1,
    "velocity": 2**31 - 1,
}
_STRINGS = ("note_str", "instrument_str", "instrument_family_str", "instrument_source_str")
_FIELDS = {*_INTEGERS, *_STRINGS, "qualities", "qualities_str"}


def _compact(fields: Any) -> Any:
    """The published fields; words that thousands of notes share are held once in memory."""
    if not isinstance(fields, dict):
        return fields
    if fields.keys() != _FIELDS:
        fields = {name: value for name, value in fields.items() if name in _FIELDS}
    for name in _STRINGS[1:]:
        if isinstance(fields.get(name), str):
            fields[name] = sys.intern(fields[name])
    words = fields.get("qualities_str")
    if isinstance(words, list) and _all_are(str, words):
        fields["qualities_str"] = list(map(sys.intern, words))
    return fields


def _gansynth_splits(raw: Path) -> dict[str, str]:
    """GANSynth's split by note: a table with the columns id and split."""
    path = raw / GANSYNTH
    names = {**_SPLITS, "validation": "validation"}
    splits: dict[str, str] = {}
    try:
        rows = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
        if not {"id", "split"} <= set(rows.fieldnames or ()):
            raise ValueError(f"its columns are {rows.fieldnames}")
        for row in rows:
            if not row["id"]:
                raise ValueError("a row names no note")
            if splits.setdefault(row["id"], names[row["split"]]) != names[row["split"]]:
                raise ValueError(f"{row['id']} is in two splits")
    except (KeyError, ValueError, csv.Error) as error:
        raise PipelineError(
            f"{path} is not the table of GANSynth's splits ({type(error).__name__}: {error}). "
            f"{FETCH_AGAIN}"
        ) from None
    return splits


def _check(key: str, fields: Any) -> None:
    """What the archive says of a note must be whole, and agree with the note's name."""
    if not isinstance(fields, dict) or not _is_whole(fields):
        raise Rejected("incomplete_fields", f"{key[:80]}: {str(fields)[:200]}")
    named = f"{fields['instrument_str']}-{fields['pitch']:03d}-{fields['velocity']:03d}"
    if not key == fields["note_str"] == named:
        raise Rejected(
            "name_mismatch", f"{key} is said to be {fields['note_str'][:80]}, {named[:80]}"
        )
    if not 0 <= fields["pitch"] <= 127 or not 1 <= fields["velocity"] <= 127:
        raise Rejected("pitch_out_of_range", f"{key} is not a MIDI pitch and velocity")


def _is_whole(fields: Mapping[str, Any]) -> bool:
    """Whether each published field has its type and range; 300,000 notes are asked."""
    integers: list[Any] = [fields.get(name) for name in _INTEGERS]
    flags, words = fields.get("qualities"), fields.get("qualities_str")
    return (
        _all_are(int, integers)
        and all(map(operator.le, integers, _INTEGERS.values()))
        and min(integers) >= 0
        and _all_are(str, [fields.get(name) for name in _STRINGS])
        and isinstance(flags, list)
        and len(flags) == _NUM_QUALITIES
        and _all_are(int, flags)
        and {0, 1}.issuperset(flags)
        and isinstance(words, list)
        and _all_are(str, words)
    )


def _all_are(kind: type, values: list[Any]) -> bool:
    """Of exactly that type: true is no integer."""
    return {kind}.issuperset(map(type, values))


def _choose(fields: Mapping[str, Any], options: NSynthOptions) -> None:
    """Rejects what the options leave out; published pitches go beyond the documented 21 to 108."""
    lists = {
        "family": ("instrument_family_str", options.families),
        "source": ("instrument_source_str", options.instrument_sources),
        "velocity": ("velocity", options.velocities),
    }
    for what, (name, wanted) in lists.items():
        if wanted is not None and fields[name] not in wanted:
            raise Rejected(f"{what}_not_wanted", f"{name}={fields[name]!r}")
    low, high = options.min_pitch, options.max_pitch
    if not (0 if low is None else low) <= fields["pitch"] <= (127 if high is None else high):
        raise Rejected("pitch_not_wanted", f"pitch={fields['pitch']}, wanted are {low} to {high}")


def _gansynth_split(fields: Mapping[str, Any], splits: Mapping[str, str]) -> str:
    source, pitch = fields["instrument_source_str"], fields["pitch"]
    if source != "acoustic" or not 24 <= pitch <= 84:
        raise Rejected("not_in_gansynth_subset", f"{source} at pitch {pitch}")
    if fields["note_str"] not in splits:
        raise Rejected("not_in_gansynth_split", f"{GANSYNTH} does not name it")
    return splits[fields["note_str"]]


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
