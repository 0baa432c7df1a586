"""JSON as it was found: a publisher's table, or what a collector saved unseen."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from pipeline.errors import FETCH_AGAIN, PipelineError


def parse(data: bytes) -> Any:
    """Reads JSON that can be written again as UTF-8, with finite numbers and each key once.

    Args:
      data: any bytes; a byte order mark may come first.

    Raises:
      ValueError: it is not such JSON: other bytes or text, NaN, a number that no float holds, an
        integer of thousands of digits, a key that an object has twice, half a surrogate pair, or
        more levels than Python's parser takes.
    """
    text = data.decode("utf-8-sig")
    try:
        value = json.loads(
            text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return value


def table(data: bytes, place: str) -> Any:
    """Reads JSON that a dataset cannot do without.

    Args:
      data: the file.
      place: which file it is, for the message.

    Raises:
      PipelineError: it is not JSON as `parse` wants it.
    """
    try:
        return parse(data)
    except ValueError as error:
        raise PipelineError(
            f"{place} is no JSON that can be used ({error}). {FETCH_AGAIN}"
        ) from None


def is_number(value: Any) -> bool:
    """Whether it is a number that a float32 holds; true and false are none."""
    return type(value) in (int, float) and abs(value) < _MAX_FLOAT32


_MAX_FLOAT32 = 3.4e38
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number that a record can hold")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has a key twice")
    return value
