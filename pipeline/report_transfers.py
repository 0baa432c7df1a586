"""A part of the stage report: songs made of two, by every method, beside the truth."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import report_cells as cells
from pipeline.report_cells import Line
from pipeline.report_columns import Column
from pipeline.wording import Verdict, words

TRUTH = "oracle"


@dataclass(frozen=True)
class Song:
    """What stands in the report as sound and picture.

    Attributes:
      stem: of its files.
      path: of its WAV; the picture has the same name.
      caption: what it is, and its numbers.
      number: of the pair.
    """

    stem: str
    path: Path
    caption: str
    number: int


def _verdict(row: Mapping[str, Any]) -> list[Line]:
    if row["name"] == TRUTH:
        return [Line("the truth", "note")]
    if row["is_baseline"]:
        return [Line("baseline", "note")]
    found = verdict(row["metrics"])
    return [Line(found.words, found.kind)]


def verdict(metrics: Mapping[str, Any]) -> Verdict:
    """Whether a method comes nearer to the truth than the best baseline, by its whole interval."""
    low, high = (metrics.get(f"oracle_distance_margin_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return Verdict("unknown", "not compared: no baseline")
    if low > 0:
        return Verdict("good", "nearer to the truth")
    return Verdict("bad", "farther from it") if high < 0 else Verdict("even", "no nearer to it")


COLUMNS = (
    Column("verdict", _verdict, is_number=False),
    Column(
        "from the truth (dB)",
        cells.value("oracle_distance_db", 2),
        "how far the mel spectrogram is from that of the first song's score played by the second "
        "song's instrument; 0 is the truth itself.",
    ),
    Column(
        "margin (dB)",
        cells.value("oracle_distance_margin", 2, "+"),
        "how much nearer that is than the best baseline's, on the same pairs; only an interval "
        "wholly above 0 counts.",
    ),
    Column(
        "timbre",
        cells.value("mfcc_distance_ratio", 2),
        "mean distance of the MFCCs to the second song's, as a share of the first song's own: 1 is "
        "no transfer at all. A copy of the second song has 0: so it may lie below the truth.",
    ),
    Column(
        "notes kept",
        cells.value("note_f1_normalized", 2),
        "F1 of the onsets that a transcriber hears in it, as a share of what it hears in the first "
        "song itself.",
    ),
    Column(
        "tempo kept",
        cells.beside("is_tempo_kept", "is_tempo_equal", "tracker"),
        "share of the pairs whose tempo is within 4 % of the first song's, the rhythms of both "
        "laid over each other, as of six seconds alone no tempo is sure; below it the share in "
        "which a beat tracker names the same tempo for both.",
    ),
    Column(
        "rhythm",
        cells.value("rhythm_cosine", 2),
        "cosine of the envelopes of onsets, 1 where they rise together.",
    ),
)


def rows(
    metrics: Mapping[str, Any], baselines: Sequence[str]
) -> list[tuple[str, list[list[Line]]]]:
    """The table: the truth first, then methods from near to far, then what they must beat."""
    methods = metrics["methods"]

    def order(name: str) -> tuple[int, float]:
        kind = 0 if name == TRUTH else 2 if name in baselines else 1
        return kind, methods[name]["oracle_distance_db"] or 0.0

    table = []
    for name in sorted(methods, key=order):
        row = {"name": name, "metrics": methods[name], "is_baseline": name in baselines}
        label = "the truth (oracle)" if name == TRUTH else words(name)
        if missing := methods[name]["num_rejected"]:
            label += f" ({missing} of {metrics['num_pairs']} pairs rejected: left as they are)"
        table.append((label, [column.cell(row) for column in COLUMNS]))
    return table


def songs(
    about: Mapping[str, Any], made: Sequence[str], measured: Path, pairs: Path, transfers: Path
) -> list[list[Song]]:
    """Of each rendered pair its two songs, the truth, and what each method made of them.

    Args:
      about: pairs.json.
      made: the methods, in the table's order.
      measured: pairs.csv, each measure of each pair.
      pairs: the folder of the pairs.
      transfers: the folder with one of each method.
    """
    numbers = _numbers(measured)
    told = {
        "notes": "first song: its notes, rhythm and tempo are kept",
        "sound": "second song: its sound is taken",
        "oracle": "the truth: the first song's score, played by the second's instrument",
    }
    found = []
    for number, pair in enumerate(about["pairs"][: about["num_rendered"]]):
        stem = pair["stem"]
        own = [Song(f"{stem}-{w}", pairs / f"{stem}-{w}.wav", t, number) for w, t in told.items()]
        for name in made:
            wav = transfers / name / f"{stem}.wav"
            if wav.exists():
                caption = f"{words(name)}: {_told(numbers[name, stem])}"
                own.append(Song(f"{stem}-by-{name}", wav, caption, number))
        found.append(own)
    return found


def _numbers(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return {(row["method"], row["pair"]): row for row in csv.DictReader(file)}


def _told(row: Mapping[str, str]) -> str:
    return (
        f"{float(row['oracle_distance_db']):.1f} dB from the truth, timbre "
        f"{float(row['mfcc_distance_ratio']):.2f}, notes {float(row['note_f1_normalized']):.2f}"
    )
