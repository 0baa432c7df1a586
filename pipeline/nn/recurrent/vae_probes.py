"""What a trained SequenceVae does with held-out passages: reconstruct, interpolate, be moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.nn.recurrent.attributes import ATTRIBUTES
from pipeline.nn.recurrent.decoder import sampled_classes
from pipeline.nn.recurrent.latent import slerp
from pipeline.nn.recurrent.vae import SequenceVae, event_scores

_PATH_LENGTH = 7


class CompiledVae:
    """The three uses of a SequenceVae, each one compiled function called batch by batch.

    Args:
      model: built.
      batch_size: rows that are computed at once.
    """

    def __init__(self, model: SequenceVae, batch_size: int):
        import tensorflow as tf

        self.model, self.batch_size = model, batch_size
        self.num_steps = model.decoder.num_segments * model.decoder.segment_steps
        compiled = tf.function(reduce_retracing=True)
        self._encode = compiled(model.encoder)
        self._scores = compiled(
            lambda latents, passages: event_scores(model.decoder(latents, passages), passages)
        )
        self._sample = compiled(self._samples_of)

    def encode(self, passages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int32 [passages, steps, parts] -> mean and scale of q(z|x) [passages, latent]."""
        return self._batched(self._encode, passages)

    def scores(self, latents: np.ndarray, passages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """-log p in nats and right guesses, teacher-forced: [passages, steps, parts] each."""
        return self._batched(self._scores, latents.astype(np.float32), passages)

    def sample(
        self, latents: np.ndarray, temperature: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Decodes latents [passages, latent] freely; temperature 0 takes the likeliest.

        Returns:
          int32 classes. Shape [passages, steps, parts].
        """
        rows = [latents.astype(np.float32)]
        for num_classes in self.model.decoder.num_classes:
            shape = (len(latents), self.num_steps, num_classes)
            if temperature:
                rows.append(temperature * rng.gumbel(size=shape).astype(np.float32))
            else:
                rows.append(np.broadcast_to(np.float32(0), shape))
        return self._batched(self._sample, *rows)[0]

    def _samples_of(self, latents: Any, *noise: Any) -> tuple[Any]:
        from keras import ops

        logits = self.model.decoder.sample(latents, list(noise))
        drawn = [sampled_classes(x, n) for x, n in zip(logits, noise, strict=True)]
        return (ops.cast(ops.stack(drawn, axis=-1), "int32"),)

    def _batched(self, function: Callable[..., Any], *rows: np.ndarray) -> Any:
        found = [
            [np.asarray(x) for x in function(*(r[i : i + self.batch_size] for r in rows))]
            for i in range(0, len(rows[0]), self.batch_size)
        ]
        return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def probes(
    vae: CompiledVae,
    passages: np.ndarray,
    means: np.ndarray,
    training: np.ndarray,
    steps_per_bar: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Interpolation and attribute vectors, each beside its control.

    interpolation_monotony: steps of a path that do not come nearer to its beginning again;
    interpolation_nll: of the middle of the way, in nats an event, by bigrams of training passages;
    both of the latent's path and of one by mixing events. attribute_<name>: see attribute_changes.

    Args:
      vae: the model.
      passages: an even number of held-out ones. Shape [passages, steps, parts].
      means: of their latents. Shape [passages, latent].
      training: passages to count bigrams of. Shape [any, steps, parts].
      steps_per_bar: of them.
      rng: of the controls.

    Returns:
      By name; the first axis is that of passages, or of pairs of them.
    """
    judge = Bigrams(training, vae.model.decoder.num_classes, steps_per_bar)
    found = {}
    for name, path in interpolations(vae, passages, means, rng).items():
        suffix = "" if name == "latent" else f"_{name}"
        found[f"interpolation_monotony{suffix}"] = monotony(path)
        found[f"interpolation_nll{suffix}"] = judge.nll(path[len(path) // 2])
    for name, (change, control) in attribute_changes(vae, means, rng).items():
        found |= {f"attribute_{name}": change, f"attribute_{name}_random": control}
    return found


def interpolations(
    vae: CompiledVae, passages: np.ndarray, means: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Seven steps from each passage to the next but one half on, by latents and by mixing events.

    Args:
      vae: the model.
      passages: 2 * pairs; the first half leads to the second. Shape [2 * pairs, steps, parts].
      means: of their latents. Shape [2 * pairs, latent].
      rng: of the mixing: each event is the second's with the probability of how far the way is.

    Returns:
      "latent" and "mixed": int32 classes. Shape [7, pairs, steps, parts].

    Source: Roberts et al. 2018, section 5.2.
    """
    num_pairs = len(passages) // 2
    fractions = np.linspace(0, 1, _PATH_LENGTH)
    ends, first, second = (means[:num_pairs], means[num_pairs:]), *np.split(passages, 2)
    return {
        "latent": np.stack([vae.sample(slerp(*ends, f), 0.0, rng) for f in fractions]),
        "mixed": np.stack(
            [np.where(rng.random(first.shape) < f, second, first) for f in fractions]
        ),
    }


def monotony(path: np.ndarray) -> np.ndarray:
    """Which steps of a path do not come nearer to its beginning again, in events that differ.

    Args:
      path: classes. Shape [length, pairs, steps, parts].

    Returns:
      bool. Shape [pairs, length - 1].
    """
    distance = (path != path[0]).sum(axis=(2, 3))
    return (np.diff(distance, axis=0) >= 0).T


def attribute_changes(
    vae: CompiledVae, means: np.ndarray, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What one standard deviation of an attribute, added to latents, does to what is decoded.

    Args:
      vae: the model, greedily decoded.
      means: latents to move. Shape [passages, latent].
      rng: of the control, a random direction of the same length for each passage.

    Returns:
      For each attribute, the change by its vector and by the control: half of (decoded with it
      added less decoded with it subtracted), in the training data's standard deviations, so that 1
      is what was asked for. Shape [passages] each.
    """
    layer = vae.model.attribute_vectors
    vectors, deviations = np.asarray(layer.vectors()), np.asarray(layer.deviations())
    found = {}
    for (name, attribute), vector, deviation in zip(
        ATTRIBUTES.items(), vectors, deviations, strict=True
    ):
        random = rng.standard_normal(means.shape)
        random *= np.linalg.norm(vector) / np.linalg.norm(random, axis=1, keepdims=True)
        changes = []
        for shift in (vector, random):
            more, less = (
                np.asarray(attribute(vae.sample(means + sign * shift, 0.0, rng)[..., 0]))
                for sign in (1, -1)
            )
            changes.append((more - less) / (2 * deviation))
        found[name] = (changes[0], changes[1])
    return found


class Bigrams:
    """Counts of which class follows which, at each place in a bar: a judge that is no network.

    Args:
      passages: to count. Shape [passages, steps, parts].
      num_classes: of each part.
      steps_per_bar: places.
    """

    def __init__(self, passages: np.ndarray, num_classes: tuple[int, ...], steps_per_bar: int):
        self.tables = []
        for part, size in enumerate(num_classes):
            counts = np.full((steps_per_bar, size + 1, size), 1 / size, np.float32)
            np.add.at(counts, self._events(passages[..., part], steps_per_bar), 1)
            self.tables.append(np.log(counts / counts.sum(axis=-1, keepdims=True)))

    def nll(self, passages: np.ndarray) -> np.ndarray:
        """Nats of each event: [passages, steps, parts]."""
        parts = [
            -table[self._events(passages[..., part], len(table))]
            for part, table in enumerate(self.tables)
        ]
        return np.stack(parts, axis=-1)

    @staticmethod
    def _events(classes: np.ndarray, steps_per_bar: int) -> tuple[np.ndarray, ...]:
        """(place, class before, class) of each event; -1 before the first, the table's last row."""
        before = np.pad(classes[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
        places = np.broadcast_to(np.arange(classes.shape[1]) % steps_per_bar, classes.shape)
        return places, before, classes
