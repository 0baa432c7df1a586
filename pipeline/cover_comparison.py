"""A part of the stage evaluate: generated covers beside real ones, and the music they are for.

In the order in which a claim can be made: whether real held-out covers lead back to their track at
all (the ceiling); whether generated ones do, and better than if conditions were dealt out anew;
whether what is learned from generated covers holds for real ones; how near they are to real ones,
how diverse, and whether they are copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import encoding, musical_comparison, params, paths
from pipeline.errors import PipelineError
from pipeline.metrics import (
    density_coverage,
    diversity,
    frechet,
    kernel_distance,
    permutation,
    picture,
    retrieval,
)
from pipeline.models.base import Measure, Shards, Vectors

NUM_PERMUTATIONS = 2000
_AT_ONCE = 256  # pictures in memory
_MAX_REAL = 10_000  # training covers that distributions are compared with: time grows by the square
_NUM_HITS = 5


@dataclass(frozen=True)
class Covers:
    """Covers as the picture network sees them.

    Attributes:
      keys: of their tracks. Shape [covers].
      groups: their albums. Shape [covers].
      features: float32 [covers, size].
    """

    keys: np.ndarray
    groups: np.ndarray
    features: np.ndarray

    def __getitem__(self, which: Any) -> Covers:
        return Covers(self.keys[which], self.groups[which], self.features[which])

    @property
    def first_of_albums(self) -> Covers:
        """One cover an album: tracks of an album have the same one."""
        return self[np.sort(np.unique(self.groups, return_index=True)[1])]


@dataclass(frozen=True)
class Drawn:
    """Generated covers: for each source a row, in it one of each latent, the same for all rows.

    Attributes:
      keys: tracks that they were drawn for. Shape [sources].
      features: float32 [sources, latents, size].
    """

    keys: np.ndarray
    features: np.ndarray


def measures(
    settings: params.Params, name: str, shards: Shards, generated: list[Any]
) -> dict[str, Measure | float]:
    """What is told of a model's covers; of its condition only if it has one.

    Args:
      settings: params.yaml.
      name: of the model; its judge is a network that encodes pictures.
      shards: its corpus.
      generated: its samples, as records.
    """
    encode = encoding.encoder(settings, settings.model(name).judge)
    train, test = (_real(settings, shards, split, encode) for split in ("train", "test"))
    train_albums, test_albums = train.first_of_albums, test.first_of_albums
    drawn = {split: _drawn(generated, split, encode) for split in ("train", "test")}
    # As many held-out covers as are drawn for: distances of distributions depend on the number.
    like = test_albums[: settings.generate_options().num]
    found = _likeness(drawn["test"], train_albums, like)
    condition = getattr(settings.recipe_params(name), "condition", None)
    if condition is not None:
        vectors = Vectors.open(paths.samples(condition))
        albums = (train_albums, test_albums)
        found |= _conditioning(_Conditions(vectors), *albums, drawn, settings.seed)
    return found


def _real(settings: params.Params, shards: Shards, split: str, encode: encoding.Encode) -> Covers:
    codec, options = musical_comparison.codec_of(settings, shards)
    keys, groups, features = [], [], []
    pictures: list[np.ndarray] = []
    for record in musical_comparison.records(shards, split, ("key", "group", "picture")):
        example = codec.decode(record, options)
        keys.append(example.key)
        groups.append(example.attributes["group"])
        pictures.append(example.picture)
        if len(pictures) == _AT_ONCE:
            features.append(encode({"picture": np.stack(pictures)}))
            pictures = []
    if pictures:
        features.append(encode({"picture": np.stack(pictures)}))
    return Covers(np.array(keys), np.array(groups), np.concatenate(features))


def _drawn(generated: list[Any], split: str, encode: encoding.Encode) -> Drawn:
    """Of the samples for one split; without a condition all count as for the test split."""
    own = [record for record in generated if str(record.get("split", "test")) == split]
    if not own:
        return Drawn(np.zeros(0, "U1"), np.zeros((0, 1, 1), np.float32))
    features = encode({"picture": np.stack([record["picture"] for record in own])})
    keys = [str(record.get("key", "")) for record in own]
    rows = sorted(set(keys), key=keys.index)
    num_latents, rest = divmod(len(own), len(rows))
    if rest or keys != [key for key in rows for _ in range(num_latents)]:
        raise PipelineError(f"{len(own)} samples are no grid of {len(rows)} tracks and latents.")
    return Drawn(np.array(rows), features.reshape(len(rows), num_latents, -1))


def _likeness(drawn: Drawn, train: Covers, test: Covers) -> dict[str, Measure | float]:
    """Distances of distributions, of as many generated as held-out covers; copies; diversity.

    With one latent there is a cover a held-out album, as there is of the real ones; figures are
    means over the latents. Without a condition the covers are cut into as many.
    """
    sets = _sets(drawn, len(test.keys))
    real = train.features[:_MAX_REAL]
    found: dict[str, Measure | float] = {}
    for key, of in _DISTANCES.items():
        found[key] = float(np.mean([of(real, one) for one in sets]))
        found[f"{key}_held_out"] = of(real, test.features)
    every = drawn.features.reshape(-1, drawn.features.shape[-1])
    tracks = np.repeat(np.arange(len(drawn.features)), drawn.features.shape[1])
    groups = tracks if len(drawn.features) > 1 else None
    distances, held_out = (picture.nearest(x, train.features)[1] for x in (every, test.features))
    found["nearest_cover_distance"] = Measure.mean(distances, groups)
    found["nearest_cover_distance_held_out"] = Measure.mean(held_out)
    return found


def _sets(drawn: Drawn, size: int) -> list[np.ndarray]:
    if len(drawn.features) > 1:
        return list(drawn.features.swapaxes(0, 1))
    every = drawn.features[0]
    return [every[i : i + size] for i in range(0, max(1, len(every) - size + 1), size)]


def _kid(real: np.ndarray, generated: np.ndarray) -> float:
    return kernel_distance.kid(real, generated, num_subsets=1).value


_DISTANCES = {
    "fid": frechet.frechet_distance,
    "kid": _kid,
    "density": density_coverage.density,
    "coverage": density_coverage.coverage,
}


class _Conditions:
    """An encoder's vectors, standardised by the training tracks."""

    def __init__(self, vectors: Vectors):
        train = vectors.values["train"].astype(np.float64)
        self._mean, self._scale = train.mean(axis=0), train.std(axis=0)
        self._scale[self._scale < 1e-6] = 1
        self._vectors = {split: vectors.by_key(split) for split in vectors.keys}

    def of(self, split: str, keys: np.ndarray) -> np.ndarray:
        rows = np.stack([self._vectors[split][str(key)] for key in keys])
        return (rows - self._mean) / self._scale


def _conditioning(
    conditions: _Conditions, train: Covers, test: Covers, drawn: dict[str, Drawn], seed: int
) -> dict[str, Measure | float]:
    if len(drawn["test"].keys) < 2:
        raise PipelineError(
            f"num_albums={len(drawn['test'].keys)}: whether covers lead to their track needs two "
            "albums. Raise corpora.covers' test_share, or the miniature's size, in params.yaml."
        )
    candidates = conditions.of("test", test.keys)
    told = conditions.of("train", train.keys)
    predictor = retrieval.ConditionPredictor.fit(train.features, told, train.groups, seed)
    grid = drawn["test"]
    place = {key: index for index, key in enumerate(test.keys.tolist())}
    order = np.array([place[key] for key in grid.keys.tolist()])
    own = _rank_matrix(predictor, grid.features, candidates[order])
    real = _rank_matrix(predictor, test.features[:, None], candidates)
    others = drawn["train"]
    sources = np.repeat(others.keys, others.features.shape[1])
    learned = retrieval.ConditionPredictor.fit(
        others.features.reshape(len(sources), -1), conditions.of("train", sources), sources, seed
    )
    from_generated = _rank_matrix(learned, test.features[:, None], candidates)
    ranks, of_others = np.diag(own), _of_others(own)
    return {
        "retrieval_margin": Measure.mean(ranks - of_others),
        "retrieval_rank": Measure.mean(ranks),
        "retrieval_rank_shuffled": Measure.mean(of_others),
        "retrieval_p": permutation.permutation_test(own, None, NUM_PERMUTATIONS, seed).p,
        "ceiling_rank": Measure.mean(np.diag(real)),
        "ceiling_p": permutation.permutation_test(real, None, NUM_PERMUTATIONS, seed).p,
        "ceiling_rank_from_generated": Measure.mean(np.diag(from_generated)),
        **_hits(predictor, grid, candidates[order]),
        **_diversity(grid),
        "frechet_joint_distance": _joint_distance(grid, candidates[order], train, told),
        "frechet_joint_distance_held_out": frechet.frechet_joint_distance(
            train.features, told, test.features[order], candidates[order]
        ),
        "num_albums": len(order),
    }


def _of_others(scores: np.ndarray) -> np.ndarray:
    """How well the covers drawn for other tracks fit each track: what conditions dealt out anew
    would give, the mean over all ways to deal them. Shape [tracks, tracks] -> [tracks]
    """
    return (scores.sum(axis=0) - np.diag(scores)) / (len(scores) - 1)


def _rank_matrix(
    predictor: retrieval.ConditionPredictor, features: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """Mean rank of each track's condition by each track's covers [tracks, latents, size]."""
    predicted = predictor.predict(features.reshape(-1, features.shape[-1]))
    own = np.repeat(np.arange(len(features)), features.shape[1])
    return retrieval.rank_matrix(predicted, candidates, own)


def _hits(
    predictor: retrieval.ConditionPredictor, grid: Drawn, candidates: np.ndarray
) -> dict[str, Measure | float]:
    tracks, latents, _ = grid.features.shape
    predicted = predictor.predict(grid.features.reshape(tracks * latents, -1))
    own = np.repeat(np.arange(tracks), latents)
    hits = retrieval.hits_at(predicted, candidates, own, _NUM_HITS)
    return {
        f"retrieval_top_{_NUM_HITS}": Measure.mean(hits, own),
        f"retrieval_top_{_NUM_HITS}_by_chance": min(1.0, _NUM_HITS / len(candidates)),
    }


def _diversity(grid: Drawn) -> dict[str, Measure | float]:
    tracks, latents, _ = grid.features.shape
    found = diversity.diversity(
        grid.features.reshape(tracks * latents, -1),
        np.repeat(np.arange(tracks), latents),
        np.tile(np.arange(latents), tracks),
    )
    return {
        "diversity_within_track": found.within,
        "diversity_between_tracks": found.between,
        "diversity_between_tracks_same_latent": found.between_same_latent,
    }


def _joint_distance(grid: Drawn, candidates: np.ndarray, train: Covers, told: np.ndarray) -> float:
    """Mean over the latents: each is a cover a track, as there is of the held-out ones."""
    sets = grid.features.swapaxes(0, 1)
    return float(
        np.mean([frechet.frechet_joint_distance(train.features, told, x, candidates) for x in sets])
    )
