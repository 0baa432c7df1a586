"""A file in anything that fsspec opens: s3, gs, az, ftp, sftp, hdfs, and memory in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import PipelineError
from pipeline.network.origin import Failed, Interrupted, Remote, public

_READ_BYTES = 1 << 20
_BLOCK_BYTES = 8 << 20  # of a request to the store; it is read ahead


class StoreOrigin:
    """A URL of fsspec's; an `Origin`.

    Raises:
      PipelineError: nothing that is installed opens such URLs.
    """

    def __init__(self, url: str):
        self.name = url
        self._file_system, self._path = _file_system(url)

    def describe(self) -> Remote:
        with _store():
            self._file_system.invalidate_cache()
            about = self._file_system.info(self._path)
        if about.get("type") == "directory":
            raise Failed("it is a directory")
        version = about.get("ETag") or about.get("etag") or about.get("md5Hash")
        date = next((about[k] for k in ("LastModified", "updated", "mtime") if about.get(k)), None)
        is_sized = about.get("size") is not None
        return Remote(
            int(about["size"]) if is_sized else None,
            str(version) if version else None,
            str(date) if date else None,
            can_resume=is_sized,
        )

    @contextmanager
    def read(self, remote: Remote, start: int, end: int | None) -> Iterator[Iterator[bytes]]:
        with _store():
            file = self._file_system.open(self._path, "rb", block_size=_BLOCK_BYTES)
        with file:
            yield _chunks(file, start, end)
        if not self.describe().is_same_file(remote):
            raise Interrupted("the file changed at its source")

    def interrupt(self) -> None:
        """Its reads are short: they end by themselves."""


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = known_implementations.get(protocol, {}).get("class", str(error)).partition(".")[0]
        raise PipelineError(
            f"source={public(url)}: {protocol}:// needs the package {package}. Install it into the "
            f"environment (uv pip install {package}), or fetch the file by hand."
        ) from None
    except ValueError as error:
        raise PipelineError(f"source={public(url)}: {error}. Correct it in params.yaml.") from None


@contextmanager
def _store() -> Iterator[None]:
    """Each store has exceptions of its own; what is not there, or not ours, stays so."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from None
    except (TypeError, AttributeError, NameError):
        raise  # a mistake in the code, which no second attempt mends
    except Exception as error:
        raise Interrupted(f"{type(error).__name__}: {error}") from error


def _chunks(file: Any, start: int, end: int | None) -> Iterator[bytes]:
    position = start
    with _store():
        if start:
            file.seek(start)
    while end is None or position < end:
        num_wanted = _READ_BYTES if end is None else min(_READ_BYTES, end - position)
        with _store():
            chunk = file.read(num_wanted)
        if not chunk:
            break
        position += len(chunk)
        yield chunk
    if end is not None and position < end:
        raise Interrupted(f"it ended {end - position} bytes early")
