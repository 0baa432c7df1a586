"""A part of the stage report: maps of covers and tracks, as pictures and to move about in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.map_pictures import THUMBNAIL

_RANDOM = "neighbour_agreement_random"
_PROGRAM = Path(__file__).with_name("report_maps.js")
_SYMBOLS = ("circle", "square", "triangle-up", "pentagon", "star", "hexagon", "triangle-down")
_ABOUT = {
    "covers": "covers by what {0} sees in them",
    "colour": "covers by their colours",
    "tracks": "tracks as {0} hears them",
    "space": "covers in three dimensions, by what {0} sees in them",
}


@dataclass(frozen=True)
class Map:
    """One map, as the page names it.

    Attributes:
      name: of its files.
      about: what stands on it, and by what.
      share: of a point's 5 nearest those of its genre; None where genres are not known.
      random: the same of all other points.
    """

    name: str
    about: str
    share: float | None
    random: float | None

    @property
    def heading(self) -> str:
        return self.about[:1].upper() + self.about[1:]


@dataclass(frozen=True)
class Maps:
    """All that the page tells of the maps.

    Attributes:
      flat: those in the plane.
      space: the one in three dimensions.
      generated: the same map, for the generated covers among the real ones.
      gan: the model that drew these.
      num_covers: real covers on each map.
      num_generated: drawn ones in the one in three dimensions.
      source: of the data.
    """

    flat: list[Map]
    space: Map
    generated: Map
    gan: str
    num_covers: int
    num_generated: int
    source: str


def maps(folder: Path) -> Maps:
    """What the stage map left in a folder."""
    found = files.read_json(folder / "maps.json")
    network, space = found["picture_network"], found["space"]
    placed = {key: space[f"generated_{key}"] for key in ("neighbour_agreement", _RANDOM)}
    drawn = f"covers drawn by {found['gan']}, among the real ones"
    return Maps(
        flat=[_map(own, network) for own in found["maps"]],
        space=_map(space, network),
        generated=_map({**placed, "name": space["name"]}, network, drawn),
        gan=found["gan"],
        num_covers=len(found["covers"]["key"]),
        num_generated=len(found["generated"]["key"]),
        source=found["source"],
    )


def write_assets(folder: Path, assets: Path) -> None:
    """Puts what the page loads for the maps beside it; nothing is loaded from elsewhere.

    map-<name>.png, map-covers.jpg (all thumbnails), map-data.js, map.js and plotly.min.js.

    Args:
      folder: of the stage map.
      assets: of the report.
    """
    from importlib.resources import files as resources

    found = files.read_json(folder / "maps.json")
    for name in [own["name"] for own in (*found["maps"], found["space"])]:
        shutil.copyfile(folder / f"{name}.png", assets / f"map-{name}.png")
    shutil.copyfile(folder / "covers.jpg", assets / "map-covers.jpg")
    shutil.copyfile(_PROGRAM, assets / "map.js")
    plotly = resources("plotly") / "package_data" / "plotly.min.js"
    (assets / "plotly.min.js").write_bytes(plotly.read_bytes())
    # Without a fetch, which browsers refuse to a page that is opened as a file.
    data = json.dumps(_data(found), sort_keys=True, allow_nan=False, separators=(",", ":"))
    (assets / "map-data.js").write_text(f"window.coverMaps = {data};\n", "ascii")


def figures(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A figure of plotly for each map, by its name; its colours but the points' are the page's.

    Each point carries its index in the sheet of thumbnails as `customdata`.

    Args:
      found: maps.json.
    """
    legend, entries = found["legend"], found["covers"]["entry"]
    flat = {own["name"]: _flat(own["points"], entries, legend) for own in found["maps"]}
    return flat | {found["space"]["name"]: _space(found, legend)}


def _map(own: Mapping[str, Any], network: str, about: str = "") -> Map:
    name = own["name"]
    kind = name if name in ("colour", "space") else own.get("of", "covers")
    by = name if kind == "tracks" else network
    share, random = own["neighbour_agreement"], own[_RANDOM]
    return Map(name, about or _ABOUT[kind].format(by), share, random)


def _data(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the program reads: figures, and of each thumbnail what is told of it, as plain text."""
    covers, generated, gan = found["covers"], found["generated"], found["gan"]
    columns = [covers[name] for name in ("genre", "tonality", "key", "split")]
    told = [
        [genre or "no genre", tonality, f"{key} ({split})"]
        for genre, tonality, key, split in zip(*columns, strict=True)
    ]
    told += [
        [genre or "no genre", f"drawn by {gan}", f"for {key}"]
        for genre, key in zip(generated["genre"], generated["key"], strict=True)
    ]
    sheet = {"num_columns": found["num_columns"], "side": THUMBNAIL}
    return {"figures": figures(found), "told": told, "sheet": sheet}


def _flat(
    points: Sequence[Sequence[float]], entries: Sequence[int], legend: Sequence[Sequence[str]]
) -> dict[str, Any]:
    traces = []
    for number, (label, colour) in enumerate(legend):
        symbol = _SYMBOLS[number % len(_SYMBOLS)]
        marker = {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.9}
        own = [index for index, entry in enumerate(entries) if entry == number]
        traces.append(_trace("scatter", points, own, 0, label, marker))
    bare = {"visible": False}
    return {"data": traces, "layout": {"xaxis": bare, "yaxis": bare | {"scaleanchor": "x"}}}


def _space(found: Mapping[str, Any], legend: Sequence[Sequence[str]]) -> dict[str, Any]:
    space, traces = found["space"], []
    entries = {"": found["covers"]["entry"], "generated: ": found["generated"]["entry"]}
    for prefix, own_entries in entries.items():
        points = space["generated"] if prefix else space["points"]
        first = len(space["points"]) if prefix else 0
        for number, (label, colour) in enumerate(legend):
            own = [index for index, entry in enumerate(own_entries) if entry == number]
            marker: dict[str, Any] = {"color": colour, "symbol": "circle", "size": 4}
            if prefix:
                line = {"color": "#000000", "width": 1}
                marker |= {"symbol": "diamond", "size": 6, "line": line}
            traces.append(_trace("scatter3d", points, own, first, prefix + label, marker))
    bare = {"visible": False}
    scene = {"xaxis": bare, "yaxis": bare, "zaxis": bare, "aspectmode": "data"}
    return {"data": [trace for trace in traces if trace["x"]], "layout": {"scene": scene}}


def _trace(
    kind: str,
    points: Sequence[Sequence[float]],
    own: Sequence[int],
    first: int,
    label: str,
    marker: Mapping[str, Any],
) -> dict[str, Any]:
    """Points of one entry of the legend; genres come from strangers, and plotly reads some HTML."""
    axes = {
        axis: [points[index][i] for index in own] for i, axis in enumerate("xyz"[: len(points[0])])
    }
    about = {"type": kind, "mode": "markers", "hoverinfo": "none", "marker": dict(marker)}
    places = [first + index for index in own]
    return about | axes | {"name": escape(label, quote=False), "customdata": places}
