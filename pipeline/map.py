"""Stage: vectors of covers and tracks -> data/maps: t-SNE maps, as pictures and points.

One track of each album stands on all maps: its cover by what the picture network sees, and by its
colours; the track by each encoder. In space, generated covers stand among the real ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import (
    console,
    cover_maps,
    encoding,
    files,
    map_pictures,
    mapped_covers,
    params,
    paths,
    registry,
)
from pipeline.errors import PipelineError
from pipeline.mapped_covers import Covers, Generated
from pipeline.metrics import probe

SPACE = "space"  # the name of the map in three dimensions


def main() -> None:
    settings = params.load()
    options, block = settings.map_options(), settings.maps
    covers = mapped_covers.read(settings, options.num_covers)
    generated = mapped_covers.generated_by(block.gan, options.num_generated)
    entries = map_pictures.entries([*covers.genres, *generated.genres])
    vectors = _vectors(settings, covers)
    shown = [entries[genre] for genre in covers.genres]
    with files.atomic_directory(paths.MAPS) as out:
        maps = []
        for name, of_map in console.progress(vectors.items(), "maps"):
            points = np.asarray(_embedded(of_map, 2, settings))
            of = "tracks" if name in block.encoders else "covers"
            maps.append(_map(name, of, points) | _agreement(points, covers.genres))
            picture = map_pictures.drawn(points, covers.pictures, shown, options.num_thumbnails)
            _write(out / f"{name}.png", map_pictures.png(picture))
        space = _space(settings, covers, generated, vectors[block.picture_network])
        _write_space(out / f"{SPACE}.png", space, covers, generated, entries, options)
        jpeg, num_columns = map_pictures.sheet([*covers.pictures, *generated.pictures])
        _write(out / "covers.jpg", jpeg)
        about = _about(settings)
        found = {"maps": maps, SPACE: space, "num_columns": num_columns}
        told = _told(covers, generated, entries)
        files.write_json(out / "maps.json", about | found | told)
    metrics = about | _metrics(maps, space, covers, generated)
    files.write_json(paths.report("map", block.corpus) / "metrics.json", metrics)


def _vectors(settings: params.Params, covers: Covers) -> dict[str, np.ndarray]:
    """Of each map what it is made of, by its name."""
    network = settings.maps.picture_network
    colours = np.stack([cover_maps.colour_vector(picture) for picture in covers.pictures])
    encoders = {name: covers.vectors(name) for name in settings.maps.encoders}
    return {network: covers.vectors(network), "colour": colours, **encoders}


def _embedded(vectors: np.ndarray, num_dimensions: int, settings: params.Params) -> Any:
    options = settings.map_options()
    return cover_maps.embedded(
        vectors,
        num_dimensions,
        options.perplexity,
        options.num_iterations,
        options.early_exaggeration_iterations,
        settings.seed,
    )


def _map(name: str, of: str, points: np.ndarray) -> dict[str, Any]:
    return {"name": name, "of": of, "points": _rounded(points)}


def _rounded(points: np.ndarray) -> list[list[float]]:
    return [[round(value, 2) for value in point] for point in points.tolist()]


def _agreement(points: np.ndarray, genres: list[str]) -> dict[str, float | None]:
    labels = np.array(genres, str)
    shares = probe.neighbour_agreement(points[labels != ""], labels[labels != ""])
    return _finite(*(np.mean(share) if share.size else np.nan for share in shares))


def _finite(found: float, random: float) -> dict[str, float | None]:
    pairs = {"neighbour_agreement": found, "neighbour_agreement_random": random}
    return {name: float(value) if np.isfinite(value) else None for name, value in pairs.items()}


def _space(
    settings: params.Params, covers: Covers, generated: Generated, seen: np.ndarray
) -> dict[str, Any]:
    """Real covers mapped in three dimensions by what the network sees; generated ones placed."""
    embedding = _embedded(seen, 3, settings)
    points = np.asarray(embedding)
    others = cover_maps.placed(embedding, _seen(settings, generated.pictures))
    labels = np.array(covers.genres, str), np.array(generated.genres, str)
    near = cover_maps.placed_agreement(points, labels[0], others, labels[1])
    space = _map(SPACE, "covers", points) | _agreement(points, covers.genres)
    space |= {f"generated_{name}": value for name, value in _finite(*near).items()}
    return space | {"generated": _rounded(others)}


def _seen(settings: params.Params, pictures: list[np.ndarray]) -> np.ndarray:
    """What the picture network makes of pictures. float32 [pictures, size]."""
    name = settings.maps.picture_network
    recipe = registry.recipe(settings.model(name).recipe)
    if recipe.encode is None or recipe.encoded_fields != ("picture",):
        raise PipelineError(
            f"maps.picture_network={name}: a {recipe.name} does not encode pictures. "
            "Name a model in params.yaml whose recipe does."
        )
    return encoding.encoder(settings, name)({"picture": np.stack(pictures)})


def _write_space(
    path: Path,
    space: Mapping[str, Any],
    covers: Covers,
    generated: Generated,
    entries: Mapping[str, map_pictures.Entry],
    options: params.Maps,
) -> None:
    """The same seen from aside, for where nothing can be turned."""
    points = map_pictures.seen_from_aside(np.array([*space["points"], *space["generated"]]))
    shown = [entries[genre] for genre in (*covers.genres, *generated.genres)]
    is_generated = [False] * len(covers.keys) + [True] * len(generated.keys)
    pictures = [*covers.pictures, *generated.pictures]
    picture = map_pictures.drawn(points, pictures, shown, options.num_thumbnails, is_generated)
    _write(path, map_pictures.png(picture))


def _write(path: Path, data: bytes) -> None:
    with files.atomic_open(path) as file:
        file.write(data)


def _about(settings: params.Params) -> dict[str, Any]:
    block = settings.maps
    source = files.read_json(paths.shards(block.corpus) / "corpus.json")["source"]
    named = {"gan": block.gan, "picture_network": block.picture_network}
    return {"source": source, "profile": settings.profile, **named}


def _told(
    covers: Covers, generated: Generated, entries: Mapping[str, map_pictures.Entry]
) -> dict[str, Any]:
    """The legend, and what a reader is told of each point, in the order of the sheet."""
    legend = list(dict.fromkeys(entries.values()))
    return {
        "legend": legend,
        "covers": {
            "key": covers.keys,
            "split": covers.splits,
            "genre": covers.genres,
            "entry": [legend.index(entries[genre]) for genre in covers.genres],
            "tonality": covers.tonalities,
        },
        "generated": {
            "key": generated.keys,
            "genre": generated.genres,
            "entry": [legend.index(entries[genre]) for genre in generated.genres],
        },
    }


def _metrics(
    maps: list[dict[str, Any]], space: Mapping[str, Any], covers: Covers, generated: Generated
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "num_covers": len(covers.keys),
        "num_generated": len(generated.keys),
        "neighbour_agreement_random": space["neighbour_agreement_random"],
        "neighbour_agreement_generated": space["generated_neighbour_agreement"],
        "neighbour_agreement_generated_random": space["generated_neighbour_agreement_random"],
    }
    named = {f"neighbour_agreement_{own['name']}": own for own in (*maps, space)}
    return metrics | {name: own["neighbour_agreement"] for name, own in named.items()}


def _command() -> None:
    argparse.ArgumentParser(prog="python -m pipeline.map", description=__doc__).parse_args()
    main()


if __name__ == "__main__":
    console.run(_command)
