"""Maps of covers as pictures: thumbnails at their places, and all of them in one sheet."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

THUMBNAIL = 64  # pixels, in the sheet
_SIDE, _MARGIN, _LEGEND = 1100, 30, 124  # pixels, of a map
_SMALL, _FRAME = 34, 3  # pixels, of a cover on a map, and of its frame
_MOST_CELLS = 4  # that a cover is moved from its place where it is crowded
_PAPER, _INK = (253, 253, 251), (31, 35, 40)
# Of genres, in the order of how frequent they are; each stands out from both white and black.
_COLOURS = (
    *("#2f7ed8", "#d9730d", "#3f9b46", "#a55cc9", "#d6406a", "#0f97a0", "#a8871a", "#8a6a52"),
    *("#6b6fe0", "#7a9a2e", "#c86fae"),
)
_GREY = "#7d858f"


class Entry(NamedTuple):
    """Of a legend.

    Attributes:
      label: a genre, or what stands for several.
      colour: as #rrggbb.
    """

    label: str
    colour: str


OTHERS, UNKNOWN = Entry("other genres", _GREY), Entry("no genre", "#b0b5bb")


def entries(genres: Iterable[str]) -> dict[str, Entry]:
    """The entry of each genre, in the order of a legend: the most frequent first.

    Args:
      genres: of all points; the eleven most frequent have an entry of their own, "" has UNKNOWN.
    """
    counts = Counter(genres)
    named = sorted((name for name in counts if name), key=lambda name: (-counts[name], name))
    found = {name: Entry(name, colour) for name, colour in zip(named, _COLOURS, strict=False)}
    found |= dict.fromkeys(named[len(_COLOURS) :], OTHERS)
    return found | ({"": UNKNOWN} if "" in counts else {})


def drawn(
    points: np.ndarray,
    pictures: Sequence[np.ndarray],
    shown: Sequence[Entry],
    num_thumbnails: int,
    is_generated: Sequence[bool] | None = None,
) -> Image:
    """A map with thumbnails at their places, framed in the colour of their genre, and a legend.

    All points are dots; thumbnails stand in the nearest free cell of a grid, none hiding another.

    Args:
      points: in the plane; both axes get the same scale. Shape [points, 2].
      pictures: uint8 RGB of each point. Shape [height, width, 3] each.
      shown: of each the entry of the legend that it belongs to.
      num_thumbnails: most of them.
      is_generated: those that are diamonds, with a dark frame; they come before the others. None:
        there are none. Shape [points].

    Returns:
      RGB.
    """
    from PIL import Image, ImageDraw

    marked = [False] * len(points) if is_generated is None else is_generated
    canvas = Image.new("RGB", (_SIDE, _SIDE + _LEGEND), _PAPER)
    pen = ImageDraw.Draw(canvas)
    places = _places(points)
    for place, entry, is_own in zip(places, shown, marked, strict=True):
        _dot(pen, place, entry.colour, is_own)
    order = sorted(range(len(places)), key=lambda index: not marked[index])[:num_thumbnails]
    for index, (x, y) in _settled(places, order):
        cover = Image.fromarray(pictures[index])
        side = _SMALL - 2 * _FRAME
        small = cover.resize((side, side), Image.Resampling.LANCZOS)
        frame = _INK if marked[index] else shown[index].colour
        pen.rectangle((x, y, x + _SMALL - 1, y + _SMALL - 1), fill=frame)
        canvas.paste(small, (x + _FRAME, y + _FRAME))
    _legend(pen, shown, any(marked))
    return canvas


def sheet(pictures: Sequence[np.ndarray]) -> tuple[bytes, int]:
    """All pictures as thumbnails in one JPEG, row by row: what a page loads once.

    Args:
      pictures: uint8 RGB, square. Shape [size, size, 3] each.

    Returns:
      The file, and how many stand in a row.
    """
    from PIL import Image

    num_columns = max(1, int(np.ceil(np.sqrt(len(pictures)))))
    num_rows = -(-len(pictures) // num_columns)
    canvas = Image.new("RGB", (num_columns * THUMBNAIL, max(1, num_rows) * THUMBNAIL), _PAPER)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, num_columns)
        cover = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        canvas.paste(cover, (column * THUMBNAIL, row * THUMBNAIL))
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=80)
    return file.getvalue(), num_columns


def small(picture: np.ndarray) -> np.ndarray:
    """At most as large as in the sheet.

    Args:
      picture: uint8 RGB, square. Shape [size, size, 3].

    Returns:
      uint8. Shape [min(size, THUMBNAIL), the same, 3].
    """
    from PIL import Image

    if len(picture) <= THUMBNAIL:
        return picture
    resized = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(resized)


def png(picture: Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def seen_from_aside(points: np.ndarray) -> np.ndarray:
    """Points in space as a picture shows them from afar, turned by 35 and tilted by 20 degrees.

    Args:
      points: Shape [points, 3].

    Returns:
      Shape [points, 2].
    """
    turn, tilt = np.deg2rad(35), np.deg2rad(20)
    x, y, z = points.T
    across, away = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return np.stack([across, z * np.cos(tilt) + away * np.sin(tilt)], axis=1)


def _places(points: np.ndarray) -> np.ndarray:
    """In pixels, x to the right and y down. Shape [points, 2]."""
    low, high = points.min(0), points.max(0)
    scale = (_SIDE - 2 * _MARGIN) / max((high - low).max(), 1e-9)
    centred = (points - (low + high) / 2) * scale
    return np.round(centred * [1, -1] + _SIDE / 2).astype(int)


def _dot(pen: ImageDraw, place: np.ndarray, colour: str, is_diamond: bool) -> None:
    x, y = place.tolist()
    if is_diamond:
        pen.polygon([(x - 6, y), (x, y - 6), (x + 6, y), (x, y + 6)], fill=colour, outline=_INK)
    else:
        pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)


def _settled(places: np.ndarray, order: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
    """Each of the order with the corner of the free cell that is nearest to its place, if near."""
    corners = np.arange(_SIDE // _SMALL) * _SMALL
    cells = np.stack(np.meshgrid(corners, corners), axis=-1).reshape(-1, 2)
    is_free = np.ones(len(cells), bool)
    found = []
    for index in order:
        gaps = ((cells + _SMALL / 2 - places[index]) ** 2).sum(1)
        nearest = int(np.argmin(np.where(is_free, gaps, np.inf)))
        if is_free[nearest] and gaps[nearest] <= (_MOST_CELLS * _SMALL) ** 2:
            is_free[nearest] = False
            x, y = cells[nearest].tolist()
            found.append((index, (x, y)))
    return found


def _legend(pen: ImageDraw, shown: Sequence[Entry], has_generated: bool) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(28)
    x, y = _MARGIN, _SIDE + 8
    order = [*_COLOURS, OTHERS.colour, UNKNOWN.colour]
    rows = [(*own, False) for own in sorted(set(shown), key=lambda own: order.index(own.colour))]
    rows += [("generated (dark frame)", _GREY, True)] if has_generated else []
    for label, colour, is_diamond in rows:
        label = " ".join(label.split())  # a stranger's name may have lines
        text = label if len(label) <= 24 else f"{label[:23]}…"
        width = round(pen.textlength(text, font)) + 50
        if x > _MARGIN and x + width > _SIDE:
            x, y = _MARGIN, y + 38
        _dot(pen, np.array([x + 6, y + 19]), colour, is_diamond)
        pen.text((x + 20, y), text, _INK, font)
        x += width
