"""Generators of piano rolls from noise and a genre: all end in the logits of a phrase."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers, ops

from pipeline.nn.adversarial.chords import NUM_CHORDS
from pipeline.nn.adversarial.critic import unit_steps
from pipeline.nn.adversarial.patches import TrackUnpatches
from pipeline.nn.piano_roll import SEMITONES, Geometry


def convolutional(
    axes: Geometry, num_genres: int, latent_size: int, sizes: tuple[int, ...],
    private_sizes: tuple[int, ...],
) -> keras.Model:  # fmt: skip
    """MuseGAN's: bars from one latent, then time and octaves, then each track by itself.

    Args:
      axes: of a phrase.
      num_genres: classes of the condition.
      latent_size: of the noise.
      sizes: features of a bar, of a beat, of an octave.
      private_sizes: features of each track's layers, in either order of time and pitch: of the
        first, and of the second at full size; without the latter the second gives logits.

    Returns:
      A model of [latents [batch, latent_size], genres int [batch]] to logits [batch, steps,
      pitches, tracks].

    Source: MuseGAN's presets/generator/default.py; here the convolutions that do not overlap are
    products of matrices (patches.py).
    """
    hidden, inputs = _conditioned(num_genres, latent_size)
    x = _normal(layers.Dense(axes.num_bars * sizes[0])(hidden))
    x = ops.reshape(x, (-1, axes.num_bars, sizes[0]))
    logits = _bars(x, axes, sizes, private_sizes)
    return keras.Model(inputs, logits, name="convolutional")


def recurrent(
    axes: Geometry, num_genres: int, latent_size: int, sizes: tuple[int, ...]
) -> keras.Model:
    """LSTM layers over the beats of a phrase, given noise and genre at each.

    Args:
      axes: of a phrase.
      num_genres: classes of the condition.
      latent_size: of the noise.
      sizes: units of each layer.

    Returns:
      As of `convolutional`.
    """
    hidden, inputs = _conditioned(num_genres, latent_size)
    x = _by_beat(hidden, axes)
    for size in sizes:  # cuDNN's kernels cannot be compiled
        x = layers.LSTM(size, return_sequences=True, use_cudnn=False)(x)
    return keras.Model(inputs, _beats_to_logits(x, axes), name="recurrent")


def transformer(
    axes: Geometry, num_genres: int, latent_size: int, sizes: tuple[int, ...], num_heads: int
) -> keras.Model:
    """Self-attention over the beats of a phrase, without mask, given noise and genre at each.

    Args:
      axes: of a phrase.
      num_genres: classes of the condition.
      latent_size: of the noise.
      sizes: width of each block; they are equal.
      num_heads: of the attention; divides the width.

    Returns:
      As of `convolutional`.
    """
    hidden, inputs = _conditioned(num_genres, latent_size)
    x = layers.Dense(sizes[0])(_by_beat(hidden, axes))
    for size in sizes:
        attention = layers.MultiHeadAttention(num_heads, size // num_heads)
        normal = layers.LayerNormalization()(x)
        x = x + attention(normal, normal)
        normal = layers.LayerNormalization()(x)
        x = x + layers.Dense(size)(layers.Dense(4 * size, activation="gelu")(normal))
    logits = _beats_to_logits(layers.LayerNormalization()(x), axes)
    return keras.Model(inputs, logits, name="transformer")


def midinet(
    axes: Geometry, num_genres: int, latent_size: int, sizes: tuple[int, ...],
    private_sizes: tuple[int, ...], binarize: Callable,
) -> keras.Model:  # fmt: skip
    """MidiNet's: a bar at a time, given the bar before it and its chord, noise and genre.

    Args:
      axes: of a phrase.
      num_genres: classes of the condition.
      latent_size: of the noise.
      sizes: features of a bar, of a beat, of an octave.
      private_sizes: features of each track's layers, in either order of time and pitch: of the
        first, and of the second at full size; without the latter the second gives logits.
      binarize: logits -> the roll that the next bar is given.

    Returns:
      A model of [latents [batch, latent_size], genres int [batch], chords int [batch, bars]] to
      logits [batch, steps, pitches, tracks].

    Source: Yang et al. 2017 (MidiNet), section 3: 1-D and 2-D conditions.
    """
    bar = axes._replace(num_bars=1)
    hidden, inputs = _conditioned(num_genres, latent_size)
    chords = keras.Input((axes.num_bars,), dtype="int32")
    embedded = layers.Embedding(NUM_CHORDS, 16)(chords)
    one_bar = _bar_generator(bar, hidden.shape[-1] + 16, sizes, private_sizes)
    silence = ops.zeros((1, bar.num_steps * axes.num_pitches * axes.num_tracks))
    previous = ops.reshape(ops.zeros_like(hidden[:, :1]) * silence, (-1, *bar.shape))
    bars = []
    for index in range(axes.num_bars):
        conditions = ops.concatenate([hidden, embedded[:, index]], axis=-1)
        bars.append(one_bar([conditions, previous]))
        previous = binarize(bars[-1])
    return keras.Model([*inputs, chords], ops.concatenate(bars, axis=1), name="midinet")


def _bar_generator(bar: Geometry, size: int, sizes, private_sizes) -> keras.Model:
    conditions = keras.Input((size,))
    previous = keras.Input((bar.num_steps, bar.num_pitches, bar.num_tracks))
    beats = ops.reshape(previous, (-1, 4, bar.steps_per_beat * bar.num_pitches * bar.num_tracks))
    heard = layers.Dense(sizes[-1], activation="leaky_relu")(beats)
    heard = layers.Dense(sizes[0] // 2, activation="leaky_relu")(layers.Flatten()(heard))
    x = _normal(layers.Dense(sizes[0])(ops.concatenate([conditions, heard], axis=-1)))
    logits = _bars(ops.expand_dims(x, 1), bar, sizes, private_sizes)
    return keras.Model([conditions, previous], logits, name="bar")


def _conditioned(num_genres: int, latent_size: int):
    latents = keras.Input((latent_size,))
    genres = keras.Input((), dtype="int32")
    embedded = layers.Embedding(num_genres, latent_size // 2)(genres)
    return ops.concatenate([latents, embedded], axis=-1), [latents, genres]


def _bars(x, axes: Geometry, sizes, private_sizes):
    """Features of bars [batch, bars, size] to logits."""
    beats = axes.steps_per_bar // unit_steps(axes)  # units of a bar
    octaves = axes.num_pitches // SEMITONES
    x = _normal(layers.Dense(4 * sizes[1])(x))
    x = _normal(
        layers.Dense(beats // 4 * sizes[1])(ops.reshape(x, (-1, axes.num_bars * 4, sizes[1])))
    )
    x = ops.reshape(x, (-1, axes.num_bars * beats, sizes[1]))
    x = _normal(layers.Dense(octaves * sizes[2])(x))
    x = ops.reshape(x, (-1, axes.num_bars * beats, octaves, sizes[2]))
    x = ops.repeat(ops.expand_dims(x, 0), axes.num_tracks, axis=0)
    unit, octave = (unit_steps(axes), 1), (1, SEMITONES)
    streams = []
    for first, second in ((octave, unit), (unit, octave)):
        y = _normal(TrackUnpatches(private_sizes[0], first)(x))
        if len(private_sizes) == 1:  # features at full size are what costs most
            streams.append(TrackUnpatches(1, second)(y))
        else:
            streams.append(_normal(TrackUnpatches(private_sizes[1], second)(y)))
    if len(private_sizes) == 1:
        logits = streams[0] + streams[1]
    else:
        logits = TrackUnpatches(1, (1, 1))(ops.concatenate(streams, axis=-1))
    return ops.transpose(logits[..., 0], (1, 2, 3, 0))


def _by_beat(hidden, axes: Geometry):
    """The same at each beat, with where it stands in its bar and in the phrase."""
    num_beats = 4 * axes.num_bars
    places = ops.concatenate(
        [
            ops.one_hot(ops.arange(num_beats) % 4, 4),
            ops.one_hot(ops.arange(num_beats) // 4, axes.num_bars),
        ],
        axis=-1,
    )
    repeated = ops.repeat(ops.expand_dims(hidden, 1), num_beats, axis=1)
    ones = ops.ones_like(repeated[..., :1])
    return ops.concatenate([repeated, ones * places[None]], axis=-1)


def _beats_to_logits(x, axes: Geometry):
    x = layers.Dense(axes.steps_per_beat * axes.num_pitches * axes.num_tracks)(x)
    return ops.reshape(x, (-1, axes.num_steps, axes.num_pitches, axes.num_tracks))


def _normal(x):
    return ops.relu(layers.LayerNormalization()(x))
