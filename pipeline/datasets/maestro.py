"""MAESTRO: piano performances on a Disklavier, as MIDI and, if wanted, as sound.

The MIDI's beat is a clock, not the music's: its tempo and time signature mean nothing. The official
split puts no composition into two splits, and wins over the groups, which are compositions.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from pipeline import archives
from pipeline.datasets import _json
from pipeline.datasets.base import SPLITS, Dataset, Entry, Source
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.example import Example
from pipeline.options import Options
from pipeline.readers import midi

COLUMNS = (
    "canonical_composer", "canonical_title", "split", "year", "midi_filename", "audio_filename",
    "duration",
)  # fmt: skip


class _Published(NamedTuple):
    """An archive's size and checksum, where its publisher gives them."""

    num_bytes: int | None = None
    checksum: str | None = None


_MIDI, _AUDIO = "-midi.zip", ".zip"
_PUBLISHED = {
    ("v1.0.0", _MIDI): _Published(
        46_579_421, "sha256:f620f9e1eceaab8beea10617599add2e9c83234199b550382a2f603098ae7135"
    ),
    ("v1.0.0", _AUDIO): _Published(),
    ("v2.0.0", _MIDI): _Published(
        59_243_107, "sha256:ec2cc9d94886c6b376db1eaa2b8ad1ce62ff9f0a28b3744782b13163295dadf3"
    ),
    ("v2.0.0", _AUDIO): _Published(None, "md5:7a6c23536ebcf3f50b1f00ac253886a7"),
    ("v3.0.0", _MIDI): _Published(
        58_416_533, "sha256:70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c"
    ),
    ("v3.0.0", _AUDIO): _Published(
        None, "sha256:6680fea5be2339ea15091a249fbd70e49551246ddbd5ca50f1b2352c08c95291"
    ),
}


class MaestroOptions(Options):
    """datasets.maestro"""

    version: Literal["v1.0.0", "v2.0.0", "v3.0.0"] = Field(
        description="v3.0.0 corrects v2.0.0; older ones are for comparison with older papers"
    )
    audio: bool = Field(
        description="take the archive with the recordings (101 GB) instead of MIDI only (58 MB)"
    )
    miniature_size: int = Field(ge=8, le=2000, description="performances in the embedded miniature")


def sources(options: MaestroOptions) -> tuple[Source, ...]:
    """One archive: MIDI only, or MIDI and audio."""
    file = _archive(options)
    base = "https://storage.googleapis.com/magentadata/datasets/maestro"
    published = _PUBLISHED[options.version, _AUDIO if options.audio else _MIDI]
    return (Source(file, (f"{base}/{options.version}/{file}",), *published),)


def catalogue(raw: Path, options: MaestroOptions) -> Iterator[Entry | tuple[str, Rejected]]:
    """Lists the performances.

    Args:
      raw: the directory of the published archive.
      options: `audio` decides which archive it is, and whether the recordings are read.

    Yields:
      In key order, the key being midi_filename: entries, grouped by composer and title, or
      (key, Rejected) with the reasons bad_row, duplicate_row, unknown_split, missing_member
      (listed, but not in the archive), not_listed (in the archive, but in no row).

    Raises:
      PipelineError: the archive has no table of performances that can be read.
    """
    archive, top = _archive(options), _top(options)
    present = {name.removeprefix(f"{top}/") for name in archives.members(raw / archive)}
    items: dict[str, Entry | Rejected] = {}
    named: set[str] = set()
    for number, row in enumerate(_rows(raw, options, present), start=1):
        key = str(row.get("midi_filename"))
        named.update((key, str(row.get("audio_filename"))))
        try:
            _check(row, options)
            if key in items:
                raise Rejected("duplicate_row", f"row {number} names {key} again")
            items[key] = _entry(row, options, present)
        except Rejected as rejected:
            is_name = isinstance(row.get("midi_filename"), str) and key.strip()
            is_first = is_name and key not in items
            items[key if is_first else f"{key} (row {number})"] = rejected
    suffixes = (".midi", ".mid", ".wav") if options.audio else (".midi", ".mid")
    for name in present - named:
        if name.lower().endswith(suffixes):
            items[name] = Rejected("not_listed", f"no row of {top}'s table names {name}")
    for key, item in sorted(items.items()):
        yield (key, item) if isinstance(item, Rejected) else item


def load(entry: Entry, data: Mapping[str, bytes]) -> Example:
    """Reads one performance, with its recording where the entry names one.

    Raises:
      Rejected: what the readers find wrong with the MIDI file or the recording.
    """
    notes, repairs = midi.read_serialized_with_repairs(data[entry.members[0]])
    if len(entry.members) == 1:
        return Example(entry.key, notes, attributes=entry.attributes, repairs=repairs)
    from pipeline.readers import audio

    waveform, sample_rate = audio.read(data[entry.members[1]])
    return Example(
        entry.key, notes, waveform, sample_rate, attributes=entry.attributes, repairs=repairs
    )


def _top(options: MaestroOptions) -> str:
    return f"maestro-{options.version}"


def _archive(options: MaestroOptions) -> str:
    return f"{_top(options)}{_AUDIO if options.audio else _MIDI}"


def _rows(raw: Path, options: MaestroOptions, present: Collection[str]) -> list[dict[str, Any]]:
    """Reads the table of performances: the CSV, or else the JSON, whose shape has changed."""
    archive, top = _archive(options), _top(options)
    for table, read in ((f"{top}.csv", _from_csv), (f"{top}.json", _from_json)):
        if table in present:
            locator = f"{archive}!{top}/{table}"
            rows = read(archives.read_one(raw, locator), str(raw / locator))
            lacking = _needed(options).difference(*rows)
            if lacking or not rows:
                what = ", ".join(sorted(lacking))
                raise PipelineError(
                    f"{raw / locator}: none of its {len(rows)} rows has {what}. {FETCH_AGAIN}"
                )
            return rows
    raise PipelineError(
        f"{raw / archive} has neither {top}.csv nor {top}.json, which list its performances. "
        f"{FETCH_AGAIN}"
    )


def _from_csv(data: bytes, place: str) -> list[dict[str, Any]]:
    try:
        return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(f"{place} is no table in UTF-8 ({error}). {FETCH_AGAIN}") from None


def _from_json(data: bytes, place: str) -> list[dict[str, Any]]:
    """Gives rows of v2's list of records, or of v3's columns of row number -> value."""
    value = _json.table(data, place)
    if isinstance(value, list):
        return [row if isinstance(row, dict) else {} for row in value]
    columns = value if isinstance(value, dict) else {}
    columns = {name: column for name, column in columns.items() if isinstance(column, dict)}
    numbers = dict.fromkeys(number for column in columns.values() for number in column)
    return [{name: c[n] for name, c in columns.items() if n in c} for n in numbers]


def _check(row: Mapping[str, Any], options: MaestroOptions) -> None:
    """Every column that is needed is there; the year and the duration are numbers."""
    texts = _needed(options) - {"year", "duration"}
    wrong = [n for n in sorted(texts) if not isinstance(row.get(n), str) or not row[n].strip()]
    if _number(row.get("duration")) is None:
        wrong.append("duration")
    if (_number(row.get("year")) or 0.5) % 1:
        wrong.append("year")
    if wrong:
        raise Rejected("bad_row", ", ".join(f"{n}={str(row.get(n))[:40]!r}" for n in wrong))
    if row["split"] not in SPLITS:
        raise Rejected("unknown_split", f"split={row['split'][:40]!r}")


def _needed(options: MaestroOptions) -> set[str]:
    return set(COLUMNS) if options.audio else set(COLUMNS) - {"audio_filename"}


def _number(value: Any) -> float | None:
    """A number, or text of one as in the CSV; at least 0 and finite."""
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return number if _json.is_number(number) and number >= 0 else None


def _entry(row: Mapping[str, Any], options: MaestroOptions, present: Collection[str]) -> Entry:
    archive, top = _archive(options), _top(options)
    names = [row["midi_filename"], *([row["audio_filename"]] if options.audio else [])]
    missing = [name for name in names if name not in present]
    if missing:
        raise Rejected("missing_member", f"{archive} has no {missing[0][:200]}")
    return Entry(
        key=row["midi_filename"],
        group=f"{row['canonical_composer']}: {row['canonical_title']}",
        members=tuple(f"{archive}!{top}/{name}" for name in names),
        split=row["split"],
        attributes={
            "canonical_composer": row["canonical_composer"],
            "canonical_title": row["canonical_title"],
            "year": int(_number(row["year"]) or 0),
            "duration": float(_number(row["duration"]) or 0),
        },
    )


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
