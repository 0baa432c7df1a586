"""A part of the stage report: which genre music is of, was to be of, and is heard as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.wording import Verdict

Row = Mapping[str, str]  # of a CSV file, by its header


@dataclass(frozen=True)
class Confusion:
    """How often each class is taken for which.

    Attributes:
      predicted: the classes that occur or are named; the columns.
      rows: of each class that occurs its name, counts [columns], and their sum.
    """

    predicted: list[str]
    rows: list[tuple[str, list[int], int]]


@dataclass(frozen=True)
class Sample:
    """A rendered sample.

    Attributes:
      stem: of the names of its files.
      genre: the one that was asked for; "" if none was.
      heard: what the judge takes it for; None without a judge.
      source_stem: of what it was made from; "" if from nothing.
      source_genre: of that.
      medium: notes or sound.
    """

    stem: str
    genre: str = ""
    heard: Verdict | None = None
    source_stem: str = ""
    source_genre: str = ""
    medium: str = "notes"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that stand in the report as they are."""
        return (".png",) if self.medium == "sound" else (".mid", ".png")

    @property
    def stems(self) -> list[str]:
        """Of all its files, the source's first."""
        return [stem for stem in (self.source_stem, self.stem) if stem]


def confusion(examples: Sequence[Row]) -> Confusion | None:
    """Counts of rows with actual and predicted; None where there is no row."""
    counts = Counter((row["actual"], row["predicted"]) for row in examples)
    if not counts:
        return None
    actual, predicted = (sorted({pair[i] for pair in counts}) for i in (0, 1))
    names = sorted({*actual, *predicted})
    table = [(name, [counts[name, other] for other in names]) for name in actual]
    return Confusion(names, [(name, found, sum(found)) for name, found in table])


def samples(rendered: Sequence[Mapping[str, str]], verdicts: Sequence[Row]) -> list[Sample]:
    """Rendered samples, each with what its judge says.

    Args:
      rendered: of samples.json, the first samples in their order.
      verdicts: rows with sample (its place), heard and probability; none without a judge.
    """
    by_place = {int(row["sample"]): row for row in verdicts}
    return [
        Sample(heard=_heard(by_place.get(place), title["genre"]), **title)
        for place, title in enumerate(rendered)
    ]


def _heard(row: Row | None, asked: str) -> Verdict | None:
    if row is None:
        return None
    words = f"heard as {row['heard']} ({float(row['probability']):.2f})"
    return Verdict("good" if row["heard"] == asked else "bad", words)
