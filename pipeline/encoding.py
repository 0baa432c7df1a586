"""A part of the stages generate and evaluate: vectors of records, by a model that encodes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import params, paths, registry, weights
from pipeline.models.base import Shards, Vectors, read_records

_AT_ONCE = 256  # records in memory
Encode = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def encoded_corpus(settings: params.Params, name: str) -> str:
    """The corpus whose records an encoder encodes: that of its `reads`."""
    return Path(settings.model(name).reads).parts[len(paths.SHARDS.relative_to(paths.ROOT).parts)]


def encoder(settings: params.Params, name: str) -> Encode:
    """A trained encoder, of as many records as there are, stacked -> float32 [records, size].

    Args:
      settings: params.yaml.
      name: of a model whose recipe has `encode`.
    """
    recipe, options = registry.recipe(settings.model(name).recipe), settings.recipe_params(name)
    assert recipe.encode
    model, encode = weights.trained(settings, name), recipe.encode
    shards = Shards.open(paths.shards(encoded_corpus(settings, name)))

    def encoded(fields: Mapping[str, np.ndarray]) -> np.ndarray:
        count = len(next(iter(fields.values())))
        starts = range(0, max(count, 1), _AT_ONCE)
        parts = [{k: v[i : i + _AT_ONCE] for k, v in fields.items()} for i in starts]
        return np.concatenate([encode(model, options, shards, part) for part in parts])

    return encoded


def write_vectors(settings: params.Params, name: str, out: Path) -> dict[str, Any]:
    """Vectors of all records of the encoded corpus, into a folder.

    Returns:
      The corpus, the number of vectors and their size.
    """
    corpus = encoded_corpus(settings, name)
    shards = Shards.open(paths.shards(corpus))
    fields = registry.recipe(settings.model(name).recipe).encoded_fields
    encode = encoder(settings, name)
    keys: dict[str, list[str]] = {}
    values: dict[str, np.ndarray] = {}
    for split in sorted(split for split in shards.shard_lengths if shards.num_examples(split)):
        batches = read_records(shards, split, ("key", *fields)).batch(_AT_ONCE)
        rows = [
            (batch.pop("key"), encode(batch)) for batch in batches.as_numpy_iterator()
        ]  # a batch at a time: spectrograms of a whole split may be larger than the memory
        keys[split] = [key.decode() for of_batch, _ in rows for key in of_batch]
        values[split] = np.concatenate([vectors for _, vectors in rows])
    Vectors(keys, values).save(out)
    num = sum(map(len, keys.values()))
    return {"corpus": corpus, "num_vectors": num, "size": values["train"].shape[1]}
