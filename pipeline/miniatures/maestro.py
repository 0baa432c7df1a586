"""MAESTRO in small: scores of music21's corpus played by a stochastic pianist, as published.

The compositions are real (see `_scores` for their provenance and licence); the performances are
made by rules (`_pianist`). One composition of four is played twice, in different moods, as many of
MAESTRO's are played several times; a composition's performances share its split. Recordings, where
asked for, are rendered with a SoundFont, the pedal held, at the two rates that MAESTRO's have: this
takes two or three seconds a performance, and 10 MB a minute.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.errors import Rejected
from pipeline.miniatures import _pianist, _scores
from pipeline.miniatures._archives import write_zip
from pipeline.miniatures._performance_sound import wav
from pipeline.miniatures._tunes import corpus

NOTICE = (
    "A miniature, not the MAESTRO dataset: scores of music21's corpus (most of them Bach chorales "
    "and string quartets) played on the piano by a stochastic model of a performer, without audio. "
    "It has the published layout of maestro-v3.0.0-midi.zip. For non-commercial use, as the "
    "encodings of some scores are."
)
COLUMNS = (
    "canonical_composer",
    "canonical_title",
    "split",
    "year",
    "midi_filename",
    "audio_filename",
    "duration",
)
YEARS = (2004, 2006, 2008, 2009, 2011, 2013, 2014, 2015, 2017, 2018)
OFFICIAL_COUNTS = {"train": 962, "validation": 137, "test": 177}
_PERFORMANCES_PER_COMPOSITION = 1.25


class MiniatureOptions(Protocol):
    @property
    def miniature_size(self) -> int: ...

    @property
    def audio(self) -> bool: ...

    @property
    def version(self) -> str: ...


def build(out: Path, options: MiniatureOptions, seed: int) -> None:
    """Writes maestro-<version>-midi.zip, or with `audio` maestro-<version>.zip.

    Args:
      out: the directory for the archive; other files in it are left alone.
      options: `miniature_size` is the number of performances; the `version` decides names and the
        shape of the JSON, which v3.0.0 changed.
      seed: chooses the scores and how they are played; equal seeds give equal bytes.
    """
    top = f"maestro-{options.version}"
    rows, members = _performances(options.miniature_size, seed)
    archive = f"{top}.zip" if options.audio else f"{top}-midi.zip"
    rendered = {row["audio_filename"]: row for row in rows if options.audio}
    members[f"{top}.csv"] = _csv(rows)
    members[f"{top}.json"] = _json(rows, is_by_column=options.version == "v3.0.0")
    members["README"] = f"{_notice(archive)}\n".encode()
    members["LICENSE"] = LICENCE.encode()

    def contents() -> Iterator[tuple[str, bytes]]:
        for name in sorted([*members, *rendered]):
            if name in rendered:
                row = rendered[name]
                sample_rate = _SAMPLE_RATES[int(row["year"]) >= _FIRST_YEAR_AT_48_KHZ]
                yield f"{top}/{name}", wav(members[row["midi_filename"]], sample_rate)
            else:
                yield f"{top}/{name}", members[name]

    write_zip(out / archive, contents())


def _performances(num: int, seed: int) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The rows of the table, and the MIDI files by midi_filename."""
    num_compositions = max(1, round(num / _PERFORMANCES_PER_COMPOSITION))
    compositions = _compositions(num_compositions, seed)
    splits = _splits(len(compositions), num)
    members: dict[str, bytes] = {}
    rows = []
    for index in range(num):
        which = index % len(compositions)
        composer, title, score = compositions[which]
        midi, duration = _pianist.perform(score, np.random.default_rng([seed, 1, index]))
        stem = _stem(index, title, index // len(compositions) + 1)
        year = YEARS[index * len(YEARS) // num]
        midi_filename = f"{year}/{stem}.midi"
        members[midi_filename] = midi
        audio_filename = f"{year}/{stem}.wav"
        values = (composer, title, splits[which], year, midi_filename, audio_filename, duration)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    rows.sort(key=lambda row: (row["canonical_composer"], row["canonical_title"], row["year"]))
    return rows, members


_SAMPLE_RATES = (44_100, 48_000)
_FIRST_YEAR_AT_48_KHZ = 2014
_PUBLISHED = "maestro-v3.0.0-midi.zip"


def _notice(archive: str) -> str:
    if archive.endswith("-midi.zip"):
        return NOTICE.replace(_PUBLISHED, archive)
    sound = "with audio rendered with TimGM6mb.sf2, which is under the GPL, version 2"
    return NOTICE.replace("without audio", sound).replace(_PUBLISHED, archive)


LICENCE = """\
This is not MAESTRO, and MAESTRO's licence (CC BY-NC-SA 4.0) is not this one's.
The scores are those of music21's corpus, out of copyright as compositions; their encodings are used
by permission of the encoders, some of them for non-commercial use only: see corpus/license.txt of
music21. The performances are made from them by a program.
"""


def _compositions(num_compositions: int, seed: int) -> list[tuple[str, str, _scores.Score]]:
    """Draws different scores that are fit to be played; fewer, if there are fewer."""
    found: list[tuple[str, str, _scores.Score]] = []
    seen = set()
    candidates = list(_scores.paths(corpus()))
    for index in np.random.default_rng([seed, 0]).permutation(len(candidates)):
        composer, title, path = candidates[index]
        try:
            score = _scores.read(path.read_bytes())
        except Rejected:
            continue  # too long or too short: the corpus holds twice as many as are needed
        notes = (score.onsets.tobytes(), score.pitches.tobytes())
        if notes not in seen:
            seen.add(notes)
            found.append((composer, title, score))
        if len(found) == num_compositions:
            break
    return found


def _splits(num_compositions: int, num_performances: int) -> list[str]:
    """Gives each composition the split that lacks most performances of its official share."""
    shares = {k: n / sum(OFFICIAL_COUNTS.values()) for k, n in OFFICIAL_COUNTS.items()}
    counts = Counter(i % num_compositions for i in range(num_performances))
    filled = dict.fromkeys(shares, 0)
    splits = []
    for composition in range(num_compositions):
        total = sum(filled.values()) + counts[composition]
        split = max(shares, key=lambda name: shares[name] * total - filled[name])
        filled[split] += counts[composition]
        splits.append(split)
    return splits


def _stem(index: int, title: str, take: int) -> str:
    """Names a performance as MAESTRO does: the recording session, then the take."""
    work = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")
    return f"MIDI-Miniature_{index:04d}_{work}--{take}"


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _json(rows: list[dict[str, Any]], is_by_column: bool) -> bytes:
    """Writes columns of row number -> value, which is the shape of v3, or a list of records."""
    columns = {name: dict(_numbered(rows, name)) for name in COLUMNS}
    return json.dumps(columns if is_by_column else rows, ensure_ascii=False).encode()


def _numbered(rows: list[dict[str, Any]], column: str) -> Iterator[tuple[str, Any]]:
    return ((str(number), row[column]) for number, row in enumerate(rows))
