"""Where a file comes from: what a transfer asks of a web server or of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Remote:
    """What an origin says of its file before it is read.

    Attributes:
      num_bytes: its size, or None where the origin does not say.
      etag: a word that changes with the content, or None.
      last_modified: a date, as the origin spells it, or None.
      can_resume: any range can be asked for; implies that the size is known.
    """

    num_bytes: int | None
    etag: str | None
    last_modified: str | None
    can_resume: bool

    def is_same_file(self, other: Remote) -> bool:
        """Whether nothing that both say differs."""
        pairs = ((self.etag, other.etag), (self.last_modified, other.last_modified))
        return self.num_bytes == other.num_bytes and all(
            a == b for a, b in pairs if a is not None and b is not None
        )


class Origin(Protocol):
    """One place that holds a file."""

    name: str

    def describe(self) -> Remote:
        """Asks for the file's size and version. Raises Failed, Interrupted."""

    def read(
        self, remote: Remote, start: int, end: int | None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Opens a range of the file and yields it as it comes in, whole or with an error.

        Args:
          remote: what `describe` said; another version is not read but raises Interrupted.
          start: in bytes; 0 unless remote.can_resume.
          end: behind the last byte; remote.num_bytes unless remote.can_resume.

        Raises:
          Failed, Interrupted: while it is opened, or read.
        """

    def interrupt(self) -> None:
        """Makes the reads of other threads end at once."""


def public(url: str) -> str:
    """A URL without what may be secret in it: user and password, query, fragment."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="", fragment="").geturl()


class Failed(Exception):
    """This origin will not give the file, however often it is asked."""


class Interrupted(Exception):
    """It went wrong this time.

    Args:
      reason: in words.
      retry_after_seconds: when the origin wants to be asked again, if it said so.
      is_crowded: the origin may have refused for the number of connections.
    """

    def __init__(
        self, reason: str, retry_after_seconds: float | None = None, is_crowded: bool = False
    ):
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds
        self.is_crowded = is_crowded
