"""The critic that all generators are trained against: MuseGAN's, with the genre by projection.

Source: Dong et al. 2018 (MuseGAN), section 4, and its code, presets/discriminator/default.py:
streams of piano roll, chroma and onsets, without normalization; Miyato and Koyama 2018, "cGANs with
Projection Discriminator", section 2.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from pipeline.errors import PipelineError
from pipeline.nn.adversarial.patches import TrackPatches
from pipeline.nn.piano_roll import SEMITONES, Geometry


def unit_steps(axes: Geometry) -> int:
    """Steps of the shortest patch: three, a quarter of a beat of twelve, or four, a beat of four.

    Raises:
      PipelineError: what the networks cannot divide.
    """
    if axes.steps_per_beat not in (4, 12) or axes.num_pitches % SEMITONES:
        raise PipelineError(
            f"steps_per_quarter={axes.steps_per_beat}, num_pitches={axes.num_pitches}: the GAN's "
            "networks take 4 or 12 steps and whole octaves (corpora.*.options in params.yaml)."
        )
    return 4 if axes.steps_per_beat == 4 else 3


def critic(
    axes: Geometry, num_genres: int, private_sizes: tuple[int, int], shared_sizes: tuple[int, ...],
    merged_size: int, num_chords: int = 0,
) -> keras.Model:  # fmt: skip
    """Scores phrases, given their genre: higher where they look real.

    Args:
      axes: of a phrase.
      num_genres: classes of the condition.
      private_sizes: features of each track's two layers, in either order of time and pitch.
      shared_sizes: features of the layers over all tracks: the first of a beat, the last of a bar.
      merged_size: features of two bars, and of the phrase.
      num_chords: classes of a chord for each bar that it is given, too; 0: none.

    Returns:
      A model of [rolls [batch, steps, pitches, tracks], genres int [batch]] and, with chords,
      their ids int [batch, bars], to scores [batch].
    """
    rolls = keras.Input((axes.num_steps, axes.num_pitches, axes.num_tracks))
    genres = keras.Input((), dtype="int32")
    chords = keras.Input((axes.num_bars,), dtype="int32")
    by_bar = [_roll_stream(rolls, axes, private_sizes, shared_sizes), _chroma_stream(rolls, axes),
              _onset_stream(rolls, axes)]  # fmt: skip
    if num_chords:
        by_bar.append(layers.Embedding(num_chords, merged_size // 8)(chords))
    merged = layers.Concatenate()(by_bar)  # [batch, bars, features]
    width = min(2, axes.num_bars)
    merged = _leaky(layers.Conv1D(merged_size, width)(merged))
    phrases = _leaky(layers.Dense(merged_size)(layers.Flatten()(merged)))
    varied = difference_within_genre(phrases, genres)
    features = _leaky(layers.Dense(merged_size)(ops.concatenate([phrases, varied], axis=-1)))
    projected = ops.sum(layers.Embedding(num_genres, merged_size)(genres) * features, axis=-1)
    scores = layers.Dense(1)(features)[:, 0] + projected
    return keras.Model([rolls, genres, *([chords] if num_chords else [])], scores, name="critic")


def difference_within_genre(features, genres):
    """How far the other phrases of its genre in the batch are from each phrase, in each feature.

    A critic that sees phrases one by one does not mind that all are the same.

    Args:
      features: Shape [batch, features].
      genres: int [batch].

    Returns:
      The mean of |difference|; 0 where a genre has one phrase. Shape [batch, features].

    Source: Salimans et al. 2016, "Improved Techniques for Training GANs", section 3.2, and Karras
    et al. 2018 (progressive growing), section 3, in their simplest form.
    """
    same = ops.cast(ops.equal(ops.expand_dims(genres, 0), ops.expand_dims(genres, 1)), "float32")
    gaps = ops.abs(ops.expand_dims(features, 0) - ops.expand_dims(features, 1))
    others = ops.maximum(ops.sum(same, axis=1, keepdims=True) - 1, 1)
    return ops.sum(ops.expand_dims(same, -1) * gaps, axis=1) / others


def _roll_stream(rolls, axes: Geometry, private_sizes, shared_sizes):
    x = ops.expand_dims(ops.transpose(rolls, (3, 0, 1, 2)), -1)
    unit, octave = (unit_steps(axes), 1), (1, SEMITONES)
    streams = []
    for first, second in ((octave, unit), (unit, octave)):
        y = x
        for size, patch in zip(private_sizes, (first, second), strict=True):
            y = _leaky(TrackPatches(size, patch)(y))
        streams.append(y)
    x = _leaky(TrackPatches(2 * private_sizes[1], (1, 1))(ops.concatenate(streams, axis=-1)))
    _, _, time, octaves, size = x.shape
    x = ops.reshape(ops.transpose(x, (1, 2, 3, 0, 4)), (-1, time, octaves, axes.num_tracks * size))
    for size in shared_sizes:
        stride = min(4, x.shape[1] // axes.num_bars)
        high = min(3, x.shape[2])
        conv = layers.Conv2D(size, (stride, high), strides=(stride, 2 if high > 1 else 1))
        x = _leaky(conv(x))
    return ops.reshape(x, (-1, axes.num_bars, x.shape[1] // axes.num_bars * x.shape[2] * size))


def _chroma_stream(rolls, axes: Geometry):
    """How much each pitch class sounds in each beat of each track."""
    shape = (-1, 4 * axes.num_bars, axes.steps_per_beat, axes.num_pitches // SEMITONES, SEMITONES)
    chroma = ops.mean(ops.reshape(rolls, (*shape, axes.num_tracks)), axis=(2, 3))
    beats = ops.reshape(chroma, (-1, 4 * axes.num_bars, SEMITONES * axes.num_tracks))
    x = _leaky(layers.Dense(32)(4.0 * beats))
    return _leaky(layers.Dense(64)(ops.reshape(x, (-1, axes.num_bars, 4 * 32))))


def _onset_stream(rolls, axes: Geometry):
    """How many pitches of each track begin at each step."""
    before = ops.concatenate([ops.zeros_like(rolls[:, :1]), rolls[:, :-1]], axis=1)
    onsets = ops.sum(ops.relu(rolls - before), axis=2)  # [batch, steps, tracks]
    size = axes.steps_per_beat * axes.num_tracks
    x = _leaky(layers.Dense(32)(ops.reshape(onsets, (-1, 4 * axes.num_bars, size))))
    return _leaky(layers.Dense(64)(ops.reshape(x, (-1, axes.num_bars, 4 * 32))))


def _leaky(x):
    return ops.leaky_relu(x, 0.2)
