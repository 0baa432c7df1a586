"""How far a transfer between two genres went, and what it left of the music.

Source: Brunner et al. 2018, section V-C, for the strength; what is left, the paper does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Mean = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Transfers:
    """Phrases that were made into the other one of two genres.

    Attributes:
      target: 0 for genre a, 1 for b. Shape [phrases].
      seed: which of the trained CycleGANs made it. Shape [phrases].
      song: what the source is of; phrases of one song are not independent. Shape [phrases].
      probabilities: of genre a and b, for "source", "made" and "cycled". Shape [phrases, 2] each.
      rolls: by the same names; the drums are the first of several tracks. bool
        [phrases, steps, pitches, tracks] each.
    """

    target: np.ndarray
    seed: np.ndarray
    song: np.ndarray
    probabilities: dict[str, np.ndarray]
    rolls: dict[str, np.ndarray]


def restricted(probabilities: np.ndarray, classes: list[int]) -> np.ndarray:
    """Probabilities as if there were only these classes: [examples, classes] -> [examples, 2]."""
    found = np.asarray(probabilities, np.float64)[:, classes]
    total = found.sum(axis=1, keepdims=True)
    return np.where(total > 0, found / np.where(total > 0, total, 1), 1 / len(classes))


def strength(source: np.ndarray, made: np.ndarray, cycled: np.ndarray) -> np.ndarray:
    """S(A -> B) of each phrase: 1 if a classifier takes all for what they are to be, 0 for copies.

    Args:
      source, made, cycled: the probability of genre A, before, there, and back. Shape [phrases].
    """
    return 0.5 * ((source - made) + (cycled - made))


def strengths(found: Transfers, genres: tuple[str, str]) -> dict[str, Mean | float]:
    """Values of phrases with what to group them by, or a number; by name.

    Each direction and seed counts the same, as in the paper's S_tot, if it has as many phrases.
    """
    rows = np.arange(len(found.target))
    of_source = {name: p[rows, 1 - found.target] for name, p in found.probabilities.items()}
    values = strength(**of_source)
    measured: dict[str, Mean | float] = {"transfer_strength_margin": (values, found.song)}
    for target in (0, 1):
        is_target = found.target == target
        if is_target.any():
            name = f"transfer_strength_{genres[1 - target]}_to_{genres[target]}".lower()
            measured[name] = (values[is_target], found.song[is_target])
    means = []
    for seed in np.unique(found.seed):
        of_seed = found.seed == seed
        measured[f"transfer_strength_seed_{seed}"] = (values[of_seed], found.song[of_seed])
        means.append(values[of_seed].mean())
    if len(means) > 1:
        measured["transfer_strength_spread"] = float(np.std(means, ddof=1))
    measured["accuracy_target_source"] = (of_source["source"] < 0.5, found.song)
    measured["accuracy_target"] = (of_source["made"] < 0.5, found.song)
    measured["accuracy_cycled"] = (of_source["cycled"] >= 0.5, found.song)
    return measured


def contents(found: Transfers, steps_per_beat: int, seed: int) -> dict[str, Mean | float]:
    """What is left of the source, beside what it has in common with another phrase's transfer.

    The other phrase is of another song, if there is one, made into the same genre by the same seed.

    Args:
      found: the transfers.
      steps_per_beat: of the rolls.
      seed: of the choice of the others.
    """
    source, made = (_pitched(found.rolls[name]) for name in ("source", "made"))
    others = _others(found, np.random.default_rng([seed]))
    overlap, overlap_random = (cell_f1(source, m) for m in (made, made[others]))
    chroma, chroma_random = (chroma_cosine(source, m, steps_per_beat) for m in (made, made[others]))
    values = {
        "content_overlap": overlap,
        "content_overlap_random": overlap_random,
        "content_margin": overlap - overlap_random,
        "chroma_cosine": chroma,
        "chroma_cosine_random": chroma_random,
    }
    return {name: (value, found.song) for name, value in values.items()}


def cell_f1(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """F1 of the cells that sound in both of two rolls: bool [phrases, steps, pitches] -> [phrases].

    1 if both are silent.
    """
    common = (first & second).sum(axis=(1, 2))
    total = first.sum(axis=(1, 2)) + second.sum(axis=(1, 2))
    return np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0)


def chroma_cosine(first: np.ndarray, second: np.ndarray, steps_per_beat: int) -> np.ndarray:
    """Cosine of how long each pitch class sounds in a beat, mean of the beats in which one sounds.

    Args:
      first, second: bool [phrases, steps, pitches].
      steps_per_beat: divides steps.

    Returns:
      In 0..1, 0 for a beat in which only one of the two sounds; 1 if both are silent. [phrases].
    """
    one, other = (_chroma(rolls, steps_per_beat) for rolls in (first, second))
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    cosine = (one * other).sum(axis=-1) / np.maximum(lengths, 1e-9)
    counts = (one.any(axis=-1) | other.any(axis=-1)).astype(np.float64)
    num_beats = counts.sum(axis=1)
    return np.where(num_beats > 0, (cosine * counts).sum(axis=1) / np.maximum(num_beats, 1), 1.0)


def _pitched(rolls: np.ndarray) -> np.ndarray:
    """What sounds on any track but the drums': bool [phrases, steps, pitches]."""
    return np.any(rolls[..., 1:] if rolls.shape[-1] > 1 else rolls, axis=-1)


def _chroma(rolls: np.ndarray, steps_per_beat: int) -> np.ndarray:
    """[phrases, steps, pitches] -> [phrases, beats, 12]; which class comes first is left open."""
    phrases, steps, pitches = rolls.shape
    by_beat = rolls.reshape(phrases, steps // steps_per_beat, steps_per_beat, pitches).sum(axis=2)
    padded = np.pad(by_beat, ((0, 0), (0, 0), (0, -pitches % 12)))
    return padded.reshape(phrases, by_beat.shape[1], -1, 12).sum(axis=2).astype(np.float64)


def _others(found: Transfers, rng: np.random.Generator) -> np.ndarray:
    """For each phrase one of another song, made into the same genre by the same seed."""
    others = np.arange(len(found.target))
    for row in range(len(others)):
        same = (found.target == found.target[row]) & (found.seed == found.seed[row])
        candidates = np.flatnonzero(same & (found.song != found.song[row]))
        if len(candidates):
            others[row] = rng.choice(candidates)
    return others
