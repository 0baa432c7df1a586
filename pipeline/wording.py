"""How the report puts numbers into words: verdicts, and names and numbers as a person writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_UNITS = {"seconds": "s", "hours": "h", "hz": "Hz", "db": "dB", "semitones": "semitones"}


class Verdict(NamedTuple):
    """A class for the page's colours (good, bad, even, unknown), and words that need no colour."""

    kind: str
    words: str


def verdict(metrics: Mapping[str, Any]) -> Verdict:
    """Whether a model beats its baseline: the whole interval of its margin must be above 0.

    Args:
      metrics: of the stage evaluate; its margin is nll_margin, in nats an event, or else the first
        that ends in _margin.
    """
    margins = [key.removesuffix("_low") for key in metrics if key.endswith("_margin_low")]
    margin = min(margins, key=lambda key: key != "nll_margin", default="")
    low, high = metrics.get(f"{margin}_low"), metrics.get(f"{margin}_high")
    if low is None or high is None:
        return Verdict("unknown", "not compared: no margin")
    if low > 0:
        return Verdict("good", "beats its baseline")
    if high < 0:
        return Verdict("bad", "loses to its baseline")
    return Verdict("even", "does not beat its baseline")


def control_verdict(metrics: Mapping[str, Any]) -> Verdict:
    """Whether the control fails, as it must: its nll (nats an event) is to be above the baseline's.

    It shows something only where the model itself beats the baseline.

    Args:
      metrics: of the stage evaluate.
    """
    control, baseline = metrics.get("nll_control"), metrics.get("nll_baseline")
    if control is None or baseline is None:
        return Verdict("unknown", "no control")
    if control <= baseline:
        return Verdict("bad", "control does not fail")
    if verdict(metrics).kind != "good":
        return Verdict("unknown", "control fails, too")
    return Verdict("good", "control fails, as it should")


def words(name: str) -> str:
    """A metric's name as a person writes it, its unit in brackets.

    >>> words("num_notes"), words("note_density_hz"), words("pitch_mean")
    ('notes', 'note density (Hz)', 'mean pitch')
    """
    bare = name.removeprefix("num_")
    stem, _, last = bare.rpartition("_")
    if stem and last in _UNITS:
        bare = f"{stem} ({_UNITS[last]})"
    elif stem and last == "mean":
        bare = f"mean {stem}"
    return bare.replace("_", " ")


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A dash where undefined; whole numbers in full, others to so many digits.

    >>> number(None), number(12345), number(-0.5, 2, "+")
    ('–', '12,345', '−0.50')
    """
    if value is None:
        return "–"
    form = "," if isinstance(value, int) else f",.{digits}f"
    return format(value, sign + form).replace("-", "−")
