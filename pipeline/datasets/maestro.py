"""MAESTRO v3.0.0: piano performances on a Disklavier, as MIDI and, if wanted, as sound.

The MIDI's beat is a clock, not the music's: its tempo and time signature mean nothing. The official
split puts no composition into two splits.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline import archives
from pipeline.datasets.base import Dataset, Entry, Source
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import midi

TOP = "maestro-v3.0.0"
SPLITS = frozenset(["train", "validation", "test"])


class MaestroOptions(Options):
    audio: bool = Field(
        description="take the archive with the recordings (101 GB) instead of MIDI only (58 MB)"
    )
    miniature_size: int = Field(ge=8, le=2000, description="performances in the embedded miniature")


def sources(options: MaestroOptions) -> tuple[Source, ...]:
    """One archive: MIDI only, or MIDI and audio."""
    url = f"https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/{_archive(options)}"
    if options.audio:
        checksum = "sha256:6680fea5be2339ea15091a249fbd70e49551246ddbd5ca50f1b2352c08c95291"
        return (Source(_archive(options), (url,), checksum=checksum),)
    checksum = "sha256:70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c"
    return (Source(_archive(options), (url,), 58_416_533, checksum),)


def catalogue(raw: Path, options: MaestroOptions) -> Iterator[Entry | tuple[str, Exception]]:
    """Lists the performances.

    Args:
      raw: the directory of the published archive.
      options: `audio` decides which archive it is, and whether the recordings are read.

    Yields:
      In key order, the key being midi_filename: entries, grouped by composer and title, or
      (key, Rejected) with the reasons missing_member (listed, but not in the archive),
      unknown_split.
    """
    archive = _archive(options)
    present = set(archives.members(raw / archive))
    for row in sorted(_rows(raw, archive, present), key=lambda row: row["midi_filename"]):
        key = row["midi_filename"]
        names = [key, row["audio_filename"]] if options.audio else [key]
        missing = [name for name in names if f"{TOP}/{name}" not in present]
        if missing:
            yield key, Rejected("missing_member", f"{archive} has no {missing[0]}")
        elif row["split"] not in SPLITS:
            yield key, Rejected("unknown_split", f"split={row['split']!r}")
        else:
            yield Entry(
                key=key,
                group=f"{row['canonical_composer']}: {row['canonical_title']}",
                members=tuple(f"{archive}!{TOP}/{name}" for name in names),
                split=row["split"],
                attributes={
                    "canonical_composer": row["canonical_composer"],
                    "canonical_title": row["canonical_title"],
                    "year": int(row["year"]),
                    "duration": float(row["duration"]),
                },
            )


def load(entry: Entry, data: Mapping[str, bytes]) -> Example:
    """Reads one performance, with its recording where the entry names one.

    Raises:
      Rejected: what the readers find wrong with the MIDI file or the recording.
    """
    note_sequence = midi.read(data[entry.members[0]])
    if len(entry.members) == 1:
        return Example(entry.key, note_sequence=note_sequence, attributes=entry.attributes)
    from pipeline.readers import audio

    waveform, sample_rate = audio.read(data[entry.members[1]])
    return Example(entry.key, note_sequence, waveform, sample_rate, attributes=entry.attributes)


def _archive(options: MaestroOptions) -> str:
    return f"{TOP}.zip" if options.audio else f"{TOP}-midi.zip"


def _rows(raw: Path, archive: str, present: set[str]) -> list[dict[str, Any]]:
    """Reads the table of performances: the CSV, or else the JSON, whose shape has changed."""
    table = f"{TOP}/{TOP}.csv"
    if table in present:
        text = archives.read_text(raw, f"{archive}!{table}", encoding="utf-8-sig")
        return list(csv.DictReader(io.StringIO(text, newline="")))
    table = f"{TOP}/{TOP}.json"
    if table in present:
        return _records(json.loads(archives.read_text(raw, f"{archive}!{table}")))
    raise PipelineError(
        f"{raw / archive} has neither {TOP}.csv nor {TOP}.json, which list its performances. "
        "Delete it and run `dvc repro` to fetch it again."
    )


def _records(value: Any) -> list[dict[str, Any]]:
    """Gives rows of v2's list of records, or of v3's columns of row number -> value."""
    if isinstance(value, list):
        return value
    return [{name: column[number] for name, column in value.items()} for number in value["split"]]


DATASET = Dataset(
    name="maestro",
    title="The MAESTRO Dataset",
    version="3.0.0",
    licence="CC-BY-NC-SA-4.0",
    citation=(
        "Curtis Hawthorne, Andriy Stasyuk, Adam Roberts, Ian Simon, Cheng-Zhi Anna Huang, Sander "
        "Dieleman, Erich Elsen, Jesse Engel, and Douglas Eck. Enabling Factorized Piano Music "
        "Modeling and Generation with the MAESTRO Dataset. ICLR 2019."
    ),
    homepage="https://magenta.tensorflow.org/datasets/maestro",
    sources=sources,
    Options=MaestroOptions,
    catalogue=catalogue,
    load=load,
)
