"""Archives read in place: names and members of a zip or a tar, nothing unpacked to disk.

A member is addressed as "<archive file>!<member>", the archive relative to data/raw/<dataset>. A
zip that was cut into parts is addressed by the first, <name>.zip.001.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from pipeline import archive_index, paths
from pipeline.archive_guard import refusing_damage
from pipeline.archive_members import UNPACKED, Place, content, is_gzip, opened
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected


def members(archive: Path) -> Iterator[str]:
    """The names of the files in an archive, in its own order; an inner zip's as "<zip>!<member>".

    Raises:
      PipelineError: the file is neither a zip nor a tar, is damaged, or is hostile.
    """
    yield from archive_index.index(archive)


def read(raw: Path, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted members with their bytes, in the order in which they lie.

    Args:
      raw: data/raw/<dataset>.
      wanted: "<archive file>!<member>" for each.

    A member that is not there, or is damaged, is left out.

    Raises:
      PipelineError: an archive cannot be read at all.
    """
    places = places_of(raw, wanted)
    with Reader(raw) as reader:
        for locator in sorted(places, key=lambda locator: places[locator][:3]):
            with contextlib.suppress(Rejected):
                yield locator, reader.read(locator, places[locator])


def read_one(raw: Path, locator: str) -> bytes:
    """One member that must be there, as a dataset's table.

    Raises:
      PipelineError: it is not there, or damaged.
    """
    for _, data in read(raw, [locator]):
        return data
    raise PipelineError(f"{raw} has no member {locator!r}, or it is damaged. {FETCH_AGAIN}")


def places_of(raw: Path, locators: Iterable[str]) -> dict[str, Place]:
    """Where members lie; those that are not there are left out."""
    indexes: dict[str, archive_index.Index] = {}
    places = {}
    for locator in locators:
        archive, _, member = locator.partition("!")
        if archive not in indexes:
            indexes[archive] = archive_index.index(raw / archive)
        place = indexes[archive].get(member)
        if place is not None:
            places[locator] = place
    return places


class Reader:
    """Reads members by their places; keeps the files open, and the last member at hand.

    From a .gz, going forward costs least: from the last point that its index has on.
    """

    def __init__(self, raw: Path) -> None:
        self._raw = raw
        self._files: dict[str, IO[bytes]] = {}
        self._last: tuple[str, bytes] = ("", b"")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *problem: object) -> None:
        for file in self._files.values():
            file.close()

    def read(self, locator: str, place: Place) -> bytes:
        """The bytes of a member.

        Raises:
          Rejected: damaged_member.
          PipelineError: the container is damaged as a whole.
        """
        if self._last[0] != locator:  # the tunes of a book ask for it one after another
            path = _path(self._raw, place.container)
            with refusing_damage(path):
                if place.container not in self._files:
                    self._files[place.container] = _opened(path)
                self._last = (locator, content(self._files[place.container], locator, place))
        return self._last[1]


def _path(raw: Path, container: str) -> Path:
    if container.startswith(UNPACKED):
        return paths.WORK / container.removeprefix(UNPACKED)
    return raw / container


def _opened(path: Path) -> IO[bytes]:
    if not is_gzip(path):
        return opened(path)
    import rapidgzip

    # One thread: as many jobs as there are cores run side by side.
    file = rapidgzip.open(str(path), parallelization=1)
    points = archive_index.seek_points(path)
    if points is not None:
        file.import_index(str(points))
    return cast(IO[bytes], file)
