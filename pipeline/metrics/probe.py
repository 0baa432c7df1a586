"""What can be read out of a track's vector: its genre, tempo and energy, and its neighbours.

A probe is linear, and learns from training tracks with known answers: what it gets right on
held-out ones is in the vector, and near its surface. Tracks of an album are alike, so that
cross-validation keeps them together, and a track's own album does not count among its neighbours.

Source: Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

NUM_NEIGHBOURS = 5
MAX_TRACKS = 10_000  # that a probe learns from: more do not change what is found
_NUM_FOLDS = 5
_INVERSE_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
_PENALTIES = (10_000.0, 1000.0, 100.0, 10.0, 1.0, 0.1)


class Ratio(NamedTuple):
    """A ratio of sums over examples, as models.base.Measure.

    Attributes:
      numerators: float64 [examples].
      denominators: float64 [examples].
      groups: of examples that belong together. Shape [examples].
    """

    numerators: np.ndarray
    denominators: np.ndarray
    groups: np.ndarray


def track_probes(
    train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray], seed: int
) -> dict[str, Ratio]:
    """What an encoder's vectors say of held-out tracks.

    Args:
      train: of the training tracks: vectors float [tracks, size]; genre, strings, "" where it is
        not known; tempo in beats a minute; energy; group, the album. Shape [tracks] each.
      test: the same of held-out tracks.
      seed: of the folds of cross-validation.

    Returns:
      genre_accuracy of a linear probe, genre_accuracy_majority of always saying the most frequent
      training genre, genre_accuracy_margin their difference; tempo_r2 (of log2) and energy_r2, the
      share of the variance that a linear probe explains, below 0 where the training tracks' mean
      explains more; neighbour_agreement, the share of held-out tracks' nearest 5 that have their
      genre, and neighbour_agreement_random, that of all others. Those of genre are missing where
      fewer than two genres are known.
    """
    train, test = (_finite(tracks) for tracks in (train, test))
    found = _of_genre(_known(train), _known(test), seed)
    for name, of_track in (("tempo", _octaves), ("energy", _as_float)):
        train_values, test_values = of_track(train[name]), of_track(test[name])
        errors, mean_errors = regression_probe(
            *(train["vectors"], train_values, test["vectors"], test_values),
            *(train["group"], seed),
        )
        found[f"{name}_r2"] = Ratio(mean_errors - errors, mean_errors, test["group"])
    return found


def linear_probe(
    train_vectors: np.ndarray,
    train_labels: np.ndarray,
    test_vectors: np.ndarray,
    test_labels: np.ndarray,
    train_groups: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Logistic regression of standardised vectors, its penalty chosen by cross-validation.

    Args:
      train_vectors: float [tracks, size].
      train_labels: classes, two at least. Shape [tracks].
      test_vectors: float [others, size].
      test_labels: Shape [others].
      train_groups: of tracks that no fold may part. Shape [tracks]; None: each is its own.
      seed: of the folds, and of the draw of MAX_TRACKS where there are more.

    Returns:
      bool [others]: which of them it is right about.

    Raises:
      ValueError: fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression

    if len(set(train_labels.tolist())) < 2:
        raise ValueError(f"train_labels={sorted(set(train_labels.tolist()))}: two at least")
    chosen = _drawn(len(train_labels), seed)
    vectors, labels = train_vectors[chosen], train_labels[chosen]
    model = LogisticRegression(max_iter=2000)
    folds = _folds(labels, _groups(train_groups, chosen), seed, is_stratified=True)
    probe = _chosen(model, {"C": _INVERSE_PENALTIES}, vectors, labels, folds)
    return probe.predict(test_vectors) == test_labels


def regression_probe(
    train_vectors: np.ndarray,
    train_values: np.ndarray,
    test_vectors: np.ndarray,
    test_values: np.ndarray,
    train_groups: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression of standardised vectors, its penalty chosen by cross-validation.

    Args:
      train_vectors: float [tracks, size].
      train_values: float [tracks].
      test_vectors: float [others, size].
      test_values: float [others].
      train_groups: as `linear_probe` has them.
      seed: as `linear_probe` has it.

    Returns:
      float64 [others] each: the probe's squared errors, and those of the training tracks' mean.
    """
    from sklearn.linear_model import Ridge

    chosen = _drawn(len(train_values), seed)
    vectors, values = train_vectors[chosen], train_values[chosen]
    folds = _folds(values, _groups(train_groups, chosen), seed, is_stratified=False)
    probe = _chosen(Ridge(), {"alpha": _PENALTIES}, vectors, values, folds)
    errors = (probe.predict(test_vectors) - test_values) ** 2
    return errors, (values.mean() - test_values) ** 2


def neighbour_agreement(
    vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """How many of the nearest have the same label; those of the same group are left out.

    Args:
      vectors: compared by Euclidean distance. float [tracks, size].
      labels: Shape [tracks].
      groups: Shape [tracks]; None: each is its own.

    Returns:
      float64 [tracks] each: the share of the NUM_NEIGHBOURS nearest, the first of equally near
      ones, or of all where there are fewer, and the share of all; NaN where there are none.
    """
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    vectors = np.asarray(vectors, np.float64)
    nearest, random = np.full((2, len(labels)), np.nan)
    for i, vector in enumerate(vectors):
        others = np.flatnonzero(groups != groups[i])
        if len(others):
            is_same = labels[others] == labels[i]
            distances = ((vectors[others] - vector) ** 2).sum(axis=1)
            order = np.argsort(distances, kind="stable")[:NUM_NEIGHBOURS]
            nearest[i], random[i] = is_same[order].mean(), is_same.mean()
    return nearest, random


def _finite(tracks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(values) for name, values in tracks.items()}
    arrays["vectors"] = np.asarray(arrays["vectors"], np.float64)
    if not np.isfinite(arrays["vectors"]).all():
        raise ValueError("vectors: some are NaN or infinite, of which nothing can be read")
    return arrays


def _known(tracks: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tracks whose genre is known."""
    return {name: values[tracks["genre"] != ""] for name, values in tracks.items()}


def _of_genre(
    train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray], seed: int
) -> dict[str, Ratio]:
    genres, counts = np.unique(train["genre"], return_counts=True)
    if len(genres) < 2 or not len(test["genre"]):
        return {}
    right = linear_probe(
        *(train["vectors"], train["genre"], test["vectors"], test["genre"], train["group"], seed)
    ).astype(np.float64)
    majority = (test["genre"] == genres[counts.argmax()]).astype(np.float64)
    scale = train["vectors"].std(axis=0)
    standardised = test["vectors"] / np.where(scale > 0, scale, 1)
    nearest, random = neighbour_agreement(standardised, test["genre"], test["group"])
    found = {
        "genre_accuracy": right,
        "genre_accuracy_majority": majority,
        "genre_accuracy_margin": right - majority,
        "neighbour_agreement": nearest,
        "neighbour_agreement_random": random,
    }
    return {name: _mean(values, test["group"]) for name, values in found.items()}


def _mean(values: np.ndarray, groups: np.ndarray) -> Ratio:
    """The mean of those that are numbers."""
    is_number = np.isfinite(values)
    return Ratio(np.where(is_number, values, 0), is_number.astype(np.float64), groups)


def _octaves(tempo: np.ndarray) -> np.ndarray:
    """log2, as twice a tempo is an octave; Spotify's 0, of a track without one, counts as 1."""
    return np.log2(np.maximum(np.asarray(tempo, np.float64), 1))


def _as_float(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64)


def _drawn(count: int, seed: int) -> np.ndarray:
    if count <= MAX_TRACKS:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, 31]).choice(count, MAX_TRACKS, replace=False))


def _groups(groups: np.ndarray | None, chosen: np.ndarray) -> np.ndarray:
    return chosen if groups is None else np.asarray(groups)[chosen]


def _folds(
    targets: np.ndarray, groups: np.ndarray, seed: int, is_stratified: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of indices, to learn from and to be judged by; none where there are too few groups."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    num_folds = min(_NUM_FOLDS, len(set(groups.tolist())))
    if is_stratified:
        counts = np.unique(targets, return_counts=True)[1]
        num_folds = min(num_folds, int(counts.max()))
    if num_folds < 2:
        return []
    kind: Any = StratifiedGroupKFold if is_stratified else GroupKFold
    folds = kind(num_folds, shuffle=True, random_state=seed).split(groups, targets, groups)
    needed = 2 if is_stratified else 1
    return [(a, b) for a, b in folds if len(set(targets[a].tolist())) >= needed and len(b)]


def _chosen(
    model: Any,
    grid: Mapping[str, Sequence[float]],
    vectors: np.ndarray,
    targets: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
) -> Any:
    """Fitted with what does best over the folds; of equals the strongest penalty, the first."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    pipeline: Any = Pipeline([("scaler", StandardScaler()), ("model", model)])
    named = {f"model__{name}": list(values) for name, values in grid.items()}
    if folds:
        pipeline = GridSearchCV(pipeline, named, cv=folds, error_score="raise")
    else:
        pipeline.set_params(**{name: values[len(values) // 2] for name, values in named.items()})
    # Products this small take longest where threads wait for each other.
    with threadpool_limits(1):
        return pipeline.fit(vectors, targets)
