"""The covers that the stage map maps: one of each album, and those that a model drew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import cover_maps, map_pictures, params, paths, registry, samples, tfrecord
from pipeline.errors import PipelineError
from pipeline.models.base import Shards, Vectors

_TONICS = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
_FIELDS = ("key", "genre", "audio_features", "picture")


@dataclass(frozen=True)
class Covers:
    """What stands on the maps, one an album.

    Attributes:
      keys: of the tracks.
      splits: train, validation or test, of each.
      genres: "" where it is not known.
      tonalities: as "A minor"; "" where it is not known.
      pictures: uint8 [size, size, 3] each, as small as they are shown.
    """

    keys: list[str]
    splits: list[str]
    genres: list[str]
    tonalities: list[str]
    pictures: list[np.ndarray]

    def vectors(self, encoder: str) -> np.ndarray:
        """float32 [covers, size].

        Raises:
          PipelineError: the encoder has not encoded this corpus.
        """
        folder = paths.samples(encoder)
        if not (folder / Vectors.FILE).is_file():
            where = (folder / Vectors.FILE).relative_to(paths.ROOT)
            raise PipelineError(f"{where} is missing. Run `dvc repro generate@{encoder}` first.")
        vectors = Vectors.open(folder)
        found = {split: vectors.by_key(split) for split in sorted(set(self.splits))}
        own = zip(self.splits, self.keys, strict=True)
        return np.stack([found[split][key] for split, key in own])


@dataclass(frozen=True)
class Generated:
    """Covers that a model drew, as they stand among the real ones.

    Attributes:
      keys: of the tracks that they were drawn for.
      genres: of these.
      pictures: uint8 [size, size, 3] each.
    """

    keys: list[str]
    genres: list[str]
    pictures: list[np.ndarray]


def read(settings: params.Params, most: int) -> Covers:
    """Those of the corpus `maps` names: of each album the first track.

    Args:
      settings: of params.yaml.
      most: covers; where there are more albums, chance chooses.

    Raises:
      PipelineError: there are too few albums for a map.
    """
    corpus = settings.maps.corpus
    shards = Shards.open(paths.shards(corpus))
    first: dict[str, str] = {}
    for _, record in _records(shards, ("key", "group")):
        first.setdefault(str(record["group"]), str(record["key"]))
    if len(first) < cover_maps.MIN_POINTS:
        raise PipelineError(
            f"maps.corpus={corpus} has {len(first)} albums: a map needs {cover_maps.MIN_POINTS}. "
            "Raise datasets.spotify_covers' miniature_size in params.yaml, or leave the map out."
        )
    keys = np.array(list(first.values()))
    chosen = set(np.random.default_rng([settings.seed, 0]).permutation(keys)[:most].tolist())
    codec = registry.codec(settings.corpus(corpus).codec)
    options = settings.codec_options(corpus)
    # A second pass: the covers of all albums may be more than the memory holds.
    rows = [
        (split, codec.decode(record, options))
        for split, record in _records(shards, _FIELDS)
        if record["key"] in chosen
    ]
    return Covers(
        [example.key for _, example in rows],
        [split for split, _ in rows],
        [example.attributes["genre"] for _, example in rows],
        [_tonality(example.attributes["audio_features"]) for _, example in rows],
        [map_pictures.small(np.asarray(example.picture)) for _, example in rows],
    )


def generated_by(gan: str, most: int) -> Generated:
    """What a model drew for held-out tracks, each once before any twice.

    Raises:
      PipelineError: it drew none.
    """
    records = [r for r in samples.load(paths.samples(gan)) if str(r.get("split")) == "test"]
    records = sorted(records, key=lambda record: int(record["latent"]))[:most]
    if not records:
        raise PipelineError(f"maps.gan={gan} drew no cover for a track of the test split.")
    return Generated(
        [str(record["key"]) for record in records],
        [str(record["genre"]) for record in records],
        [record["picture"] for record in records],
    )


def _records(shards: Shards, names: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    features = {name: shards.features[name] for name in names}
    for split in ("train", "validation", "test"):
        for path in shards.files(split) if split in shards.shard_lengths else ():
            for data in tfrecord.read_records(Path(path)):
                yield split, tfrecord.parse_example(data, features)


def _tonality(features: Mapping[str, float]) -> str:
    """Spotify gives key -1 where it found none."""
    key, mode = int(features["key"]), int(features["mode"])
    return f"{_TONICS[key]} {'major' if mode else 'minor'}" if 0 <= key < len(_TONICS) else ""
