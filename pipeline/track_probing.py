"""A part of the stage evaluate: what can be read out of an encoder's vectors of tracks."""

from __future__ import annotations

import numpy as np

from pipeline import encoding, params, paths, registry
from pipeline.metrics import probe
from pipeline.models.base import Measure, Shards, Vectors, read_records

_LABELS = ("key", "genre", "group", "audio_features")


def measures(settings: params.Params, name: str) -> dict[str, Measure]:
    """Genre, tempo and energy, read linearly out of held-out tracks' vectors, and neighbours.

    Args:
      settings: params.yaml.
      name: of an encoder of tracks, whose vectors the stage generate has left.

    Returns:
      Nothing for an encoder of a corpus that does not tell these of its tracks.
    """
    vectors = Vectors.open(paths.samples(name))
    corpus = encoding.encoded_corpus(settings, name)
    if not {*_LABELS} <= {*Shards.open(paths.shards(corpus)).features}:
        return {}
    train, test = (_tracks(settings, corpus, vectors, split) for split in ("train", "test"))
    found = probe.track_probes(train, test, settings.seed)
    return {key: Measure(*ratio) for key, ratio in found.items()}


def _tracks(
    settings: params.Params, corpus: str, vectors: Vectors, split: str
) -> dict[str, np.ndarray]:
    codec, options = registry.codec(settings.corpus(corpus).codec), settings.codec_options(corpus)
    records = read_records(Shards.open(paths.shards(corpus)), split, _LABELS).as_numpy_iterator()
    examples = [codec.decode(record, options) for record in records]
    if [example.key for example in examples] != vectors.keys[split]:
        raise AssertionError(f"vectors of another corpus than {corpus}, split {split}")
    told = [example.attributes for example in examples]
    return {
        "vectors": vectors.values[split],
        **{label: np.array([of[label] for of in told]) for label in ("genre", "group")},
        **{
            label: np.array([of["audio_features"][label] for of in told])
            for label in ("tempo", "energy")
        },
    }
