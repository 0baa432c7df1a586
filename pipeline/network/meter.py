"""How far a download is: a bar with rate and remaining time, or a line every few minutes."""

from __future__ import annotations

import sys
import time
from threading import Lock
from types import TracebackType
from typing import Any

from pipeline import disk

_LINE_SECONDS = 300.0


class Meter:
    """Counts the bytes of one file; threads may add at the same time.

    On a terminal it is one bar over all connections. Elsewhere it says a line at the start, one
    every five minutes, and one at the end.
    """

    def __init__(self, label: str):
        self._label = label
        self._num_done = 0
        self._num_bytes: int | None = None
        self._bar: Any = None
        self._lock = Lock()
        self._begun_at = self._said_at = time.monotonic()
        self._num_before = 0

    def begin(self, num_done: int, num_bytes: int | None) -> None:
        """Says where the file stands; again, when it goes on or starts over."""
        with self._lock:
            is_new = self._num_bytes != num_bytes or self._bar is None
            self._num_done, self._num_bytes = num_done, num_bytes
            self._num_before, self._begun_at = num_done, time.monotonic()
            if not sys.stderr.isatty():
                if num_bytes is None or num_done < num_bytes:
                    self._say(f"fetching {_size(num_bytes)}, {disk.size(num_done)} are here")
            elif is_new:
                self._bar = self._new_bar()
            else:
                self._bar.n = num_done
                self._bar.refresh()

    def add(self, num_bytes: int) -> None:
        with self._lock:
            self._num_done += num_bytes
            if self._bar is not None:
                self._bar.update(num_bytes)
            elif time.monotonic() - self._said_at >= _LINE_SECONDS:
                self._say(self._standing())

    def say(self, text: str) -> None:
        """A line between."""
        with self._lock:
            self._say(text)

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: object, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None:
            self._say(f"complete, {disk.size(self._num_done)}")

    def _new_bar(self) -> Any:
        from tqdm import tqdm

        if self._bar is not None:
            self._bar.close()
        return tqdm(
            *(None, self._label, self._num_bytes),
            initial=self._num_done,
            unit="B",
            unit_scale=True,
            dynamic_ncols=True,
        )

    def _standing(self) -> str:
        rate = (self._num_done - self._num_before) / max(time.monotonic() - self._begun_at, 1e-9)
        words = f"{disk.size(self._num_done)} of {_size(self._num_bytes)}, {disk.size(int(rate))}/s"
        if self._num_bytes is None or rate < 1:
            return words
        minutes = round((self._num_bytes - self._num_done) / rate / 60)
        return f"{words}, {minutes // 60} h {minutes % 60:02d} min left"

    def _say(self, text: str) -> None:
        self._said_at = time.monotonic()
        line = f"{self._label}: {text}"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


def _size(num_bytes: int | None) -> str:
    return "an unknown number of bytes" if num_bytes is None else disk.size(num_bytes)
