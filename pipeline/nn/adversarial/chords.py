"""The chord of each bar, and which chord follows which: what MidiNet's bars are conditioned on."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from pipeline.nn.piano_roll import SEMITONES, Geometry

NUM_CHORDS = 24  # major triads by their roots, then minor ones
_DRUMS = 0


def chords_of(rolls, axes: Geometry):
    """The triad that holds most of what sounds in a bar, the bass counted as the rest.

    Args:
      rolls: 0 or 1; drums, where there are five tracks, are left out. Shape [batch, steps,
        pitches, tracks]; the lowest pitch is a C.
      axes: of the rolls.

    Returns:
      int32 ids: the root, plus 12 for minor; of equals the first, so 0 in silence. Shape [batch,
      bars].
    """
    pitched = rolls[..., _DRUMS + 1 :] if axes.num_tracks > 1 else rolls
    shape = (-1, axes.num_bars, axes.steps_per_bar, axes.num_pitches // SEMITONES, SEMITONES)
    chroma = ops.sum(ops.reshape(ops.sum(pitched, axis=-1), shape), axis=(2, 3))
    return ops.cast(ops.argmax(ops.matmul(chroma, _TEMPLATES), axis=-1), "int32")


def _templates() -> np.ndarray:
    """1 where a pitch class is in a chord; a little more at the root, which settles ties."""
    table = np.zeros((SEMITONES, NUM_CHORDS), np.float32)
    for chord in range(NUM_CHORDS):
        third = 4 if chord < SEMITONES else 3
        for interval, weight in ((0, 1.01), (third, 1.0), (7, 1.0)):
            table[(chord + interval) % SEMITONES, chord] = weight
    return table


_TEMPLATES = _templates()


class ChordTable(keras.layers.Layer):
    """How often each chord followed each in training, by genre; a chain to draw chords from.

    Args:
      num_genres: classes.
    """

    def __init__(self, num_genres: int, **options):
        super().__init__(**options)
        # The last row of each genre is of what a phrase begins with.
        self.counts = self.add_weight(
            (num_genres, NUM_CHORDS + 1, NUM_CHORDS),
            "zeros",
            trainable=False,
            name="counts",
            aggregation="mean",
        )
        self.built = True

    def update(self, chords, genres) -> None:
        """Counts the chords of a batch, int [batch, bars], of its genres, int [batch]."""
        begin = ops.full_like(chords[:, :1], NUM_CHORDS)
        before = ops.one_hot(ops.concatenate([begin, chords[:, :-1]], axis=1), NUM_CHORDS + 1)
        after, genre = ops.one_hot(chords, NUM_CHORDS), ops.one_hot(genres, self.counts.shape[0])
        self.counts.assign_add(ops.einsum("bg,btp,bta->gpa", genre, before, after))

    def sample(self, genres: np.ndarray, num_bars: int, rng: np.random.Generator) -> np.ndarray:
        """Draws chords for each genre, int32 [genres, bars]; where none was seen, any."""
        counts = np.asarray(ops.convert_to_numpy(self.counts), np.float64)
        chords = np.full((len(genres), num_bars + 1), NUM_CHORDS, np.int32)
        for row, genre in enumerate(genres):
            for bar in range(num_bars):
                found = counts[genre, chords[row, bar]]
                found = found if found.sum() else np.ones(NUM_CHORDS)
                chords[row, bar + 1] = rng.choice(NUM_CHORDS, p=found / found.sum())
        return chords[:, 1:]
