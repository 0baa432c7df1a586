"""A published file over HTTP: resumed where it stopped, checked, never half there."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 5
_TIMEOUT_SECONDS = 60


def fetch(urls: Sequence[str], path: Path, num_bytes: int | None, checksum: str | None) -> None:
    """Downloads the first of the mirrors that answers, going on from an earlier part.

    Args:
      urls: mirrors, in order.
      path: where the whole, checked file goes; "<path>.part" holds what is there so far.
      num_bytes: published size, or None.
      checksum: "sha256:<hex>" or "md5:<hex>", or None.

    Raises:
      PipelineError: no mirror gave the file, or what came is not it.
    """
    if path.exists():
        check(path, num_bytes, checksum)
        return
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        for attempt in range(_ATTEMPTS):
            try:
                _download(url, part)
                check(part, num_bytes, checksum)
                os.replace(part, path)
                return
            except urllib.error.HTTPError as error:
                failures.append(f"{url}: HTTP {error.code} {error.reason}")
                if error.code < 500 and error.code != 429:
                    break
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error}")
            time.sleep(min(2**attempt, 30))
    raise PipelineError(
        f"{path.name} could not be downloaded ({'; '.join(failures[-3:])}). Run it again to go on "
        "from where it stopped, or fetch the file by hand and name its directory as the source."
    )


def check(path: Path, num_bytes: int | None, checksum: str | None) -> None:
    """Compares a file with its published size and checksum.

    Raises:
      PipelineError: they differ; the file is then deleted if it is a partial download.
    """
    if num_bytes is not None and path.stat().st_size != num_bytes:
        problem = f"has {path.stat().st_size} bytes, its publisher says {num_bytes}"
    elif checksum is not None and (found := _digest(path, checksum)) != checksum:
        problem = f"has {found}, its publisher says {checksum}"
    else:
        return
    if path.suffix == ".part":
        path.unlink()
    raise PipelineError(f"{path.name} {problem}. Delete it and fetch it again.")


def _digest(path: Path, checksum: str) -> str:
    algorithm = checksum.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _download(url: str, part: Path) -> None:
    """Appends to `part` what is missing of it; starts over where the server cannot resume."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing, or the part is too long: the check decides
            return
        raise
    with response:
        if response.headers.get_content_type() == "text/html":
            raise OSError("a web page came instead of the file; fetch it by hand in a browser")
        expected = response.headers.get("Content-Length")
        with open(part, "ab" if response.status == 206 else "wb") as file:
            received = _copy(response, file, part.stem, int(expected) if expected else None)
            os.fsync(file.fileno())
    if expected and received < int(expected):
        raise OSError(f"the connection ended after {received} of {expected} bytes")


def _copy(response: Any, file: Any, label: str, total: int | None) -> int:
    from tqdm import tqdm

    received = 0
    quiet = not sys.stderr.isatty()
    with tqdm(total=total, desc=label, unit="B", unit_scale=True, disable=quiet) as bar:
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            received += len(chunk)
            bar.update(len(chunk))
    return received
