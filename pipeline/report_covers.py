"""A part of the stage report: what models drew for tracks, many covers to a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import files, samples, tfrecord
from pipeline.metrics import picture
from pipeline.models.base import Shards

if TYPE_CHECKING:
    from PIL.Image import Image

_TILE, _GAP, _MARGIN, _HEADING = 96, 6, 12, 30  # pixels
_NUM_TRACKS, _NUM_LATENTS, _NUM_DEALT = 8, 6, 9
_PAPER, _INK, _SOFT = (253, 253, 251), (31, 35, 40), (91, 99, 109)
Row = tuple[str, Sequence[np.ndarray]]


@dataclass(frozen=True)
class Known:
    """Covers that a model was trained with, one an album, as they can be searched.

    Attributes:
      shards: where they are; a whole split of covers may be more than the memory holds.
      keys: of their tracks.
      thumbnails: as metrics.picture has them. Shape [covers, values].
    """

    shards: Shards
    keys: list[str]
    thumbnails: np.ndarray

    def nearest(self, covers: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The most alike of each, by thumbnail. uint8 [size, size, 3] each."""
        indices, _ = picture.nearest(picture.thumbnails(covers), self.thumbnails)
        wanted = [self.keys[index] for index in indices.tolist()]
        found = {
            str(record["key"]): _decoded(record["picture"])
            for record in _training(self.shards, ("key", "picture"))
            if record["key"] in wanted
        }
        return [found[key] for key in wanted]


@dataclass(frozen=True)
class Gallery:
    """A picture of many covers.

    Attributes:
      file: its name among the report's assets.
      heading: above it.
      caption: below it; how to read it.
      alt: what it shows, for who cannot see it.
      image: RGB.
    """

    file: str
    heading: str
    caption: str
    alt: str
    image: Image

    def write(self, assets: Path) -> None:
        with files.atomic_open(assets / self.file) as file:
            self.image.save(file, "PNG")


def known(folder: Path) -> Known:
    """The training covers of a corpus of covers.

    Args:
      folder: its shards.
    """
    shards, seen = Shards.open(folder), set()
    keys, thumbnails = [], []
    for record in _training(shards, ("key", "group", "picture")):
        if record["group"] not in seen:
            seen.add(record["group"])
            keys.append(str(record["key"]))
            thumbnails.append(picture.thumbnails([_decoded(record["picture"])]))
    return Known(shards, keys, np.concatenate(thumbnails))


def galleries(name: str, folder: Path, training: Known, seed: int) -> list[Gallery]:
    """What a model drew: for held-out tracks, if it was told of them; else as it came.

    Args:
      name: of the model.
      folder: of its samples.
      training: covers to look for copies in.
      seed: of dealing out conditions anew.

    Returns:
      In the order of the page; none where it drew no cover.
    """
    drawn = [record for record in samples.load(folder) if "picture" in record]
    of_tracks = _by_track(drawn)
    if len(of_tracks) > 1:
        return [_of_tracks(name, of_tracks, training), _of_conditions(name, of_tracks, seed)]
    return [_of_samples(name, drawn, training)] if drawn else []


def _by_track(drawn: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Samples for held-out tracks, a list a track in the order of their latents."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in drawn:
        if str(record.get("split")) == "test":
            found.setdefault(str(record["key"]), []).append(record)
    return [sorted(own, key=lambda record: int(record["latent"])) for own in found.values()]


def _of_tracks(
    name: str, of_tracks: Sequence[Sequence[Mapping[str, Any]]], training: Known
) -> Gallery:
    chosen = of_tracks[:_NUM_TRACKS]
    nearest = training.nearest([own[0]["picture"] for own in chosen])
    num_latents = min(_NUM_LATENTS, *(len(own) for own in chosen))
    rows = [
        (
            str(own[0]["genre"]) or "no genre",
            [own[0]["source_picture"], *(record["picture"] for record in own[:num_latents]), near],
        )
        for own, near in zip(chosen, nearest, strict=True)
    ]
    headings = ["real", *(f"latent {i}" for i in range(num_latents)), "nearest"]
    return Gallery(
        file=f"{name}-tracks.png",
        heading="Covers for tracks it never heard",
        caption=f"A row a track: the first {len(rows)} of the test split, not the best. Its real "
        "cover; what was drawn for it from each latent vector, which is the same down a column; "
        "and the training cover that is most like the first of these, to show whether it is a "
        "copy.",
        alt=f"{len(rows)} rows of covers by {name}: the real one, {num_latents} drawn, and the "
        "nearest training cover",
        image=_grid(rows, headings),
    )


def _of_conditions(
    name: str, of_tracks: Sequence[Sequence[Mapping[str, Any]]], seed: int
) -> Gallery:
    """The same latent under each track's own condition, and under those dealt out anew."""
    chosen = of_tracks[:_NUM_DEALT]
    shift = 1 + int(np.random.default_rng([seed, 0]).integers(len(chosen) - 1))
    dealt = [*chosen[shift:], *chosen[:shift]]  # so that no track has its own
    rows = [
        ("real", [own[0]["source_picture"] for own in chosen]),
        ("drawn for it", [own[0]["picture"] for own in chosen]),
        ("for another", [own[0]["picture"] for own in dealt]),
    ]
    return Gallery(
        file=f"{name}-conditions.png",
        heading="The same latent vector, conditions dealt out anew",
        caption="A column a track. Where the condition is heeded, the second row follows the "
        "first, and the third, drawn from the same latent vector for another track, does not.",
        alt=f"Three rows of {len(chosen)} covers: real ones, those that {name} drew for the same "
        "tracks, and those that it drew for others",
        image=_grid(rows, []),
    )


def _of_samples(name: str, drawn: Sequence[Mapping[str, Any]], training: Known) -> Gallery:
    covers = [record["picture"] for record in drawn[: 2 * _NUM_DEALT]]
    nearest = training.nearest(covers)
    rows: list[Row] = []
    for start in range(0, len(covers), _NUM_DEALT):
        part = slice(start, start + _NUM_DEALT)
        rows += [("drawn", covers[part]), ("nearest", nearest[part])]
    return Gallery(
        file=f"{name}-samples.png",
        heading="Covers",
        caption=f"The first {len(covers)}, not the best; below each the training cover that is "
        "most like it, to show whether it is a copy.",
        alt=f"{len(covers)} covers by {name}, each above the nearest training cover",
        image=_grid(rows, []),
    )


def _grid(rows: Sequence[Row], headings: Sequence[str]) -> Image:
    """Covers in rows, each with its name before it, and columns, if these have headings."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    labels = [_short(label) for label, _ in rows]
    left = _MARGIN + max(round(font.getlength(label)) for label in labels) + 12
    top = _MARGIN + (_HEADING if headings else 0)
    step = _TILE + _GAP
    num_columns = max(len(covers) for _, covers in rows)
    size = (left + num_columns * step + _MARGIN, top + len(rows) * step + _MARGIN)
    canvas = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(canvas)
    for column, heading in enumerate(headings):
        centre = left + column * step + _TILE / 2
        pen.text((centre, top - 10), heading, _SOFT, font, anchor="ms")
    for number, (_, covers) in enumerate(rows):
        y = top + number * step
        pen.text((_MARGIN, y + _TILE / 2), labels[number], _INK, font, anchor="lm")
        for column, cover in enumerate(covers):
            tile = Image.fromarray(cover).resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            canvas.paste(tile, (left + column * step, y))
    return canvas


def _short(label: str) -> str:
    return label if len(label) <= 18 else f"{label[:17]}…"


def _training(shards: Shards, names: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    features = {name: shards.features[name] for name in names}
    for path in shards.files("train"):
        for data in tfrecord.read_records(Path(path)):
            yield tfrecord.parse_example(data, features)


def _decoded(jpeg: bytes) -> np.ndarray:
    """uint8 [height, width, 3]."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
