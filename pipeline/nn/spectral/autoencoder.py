"""NSynth's baseline: a convolutional autoencoder of spectrograms, one latent vector a note.

Source: Engel et al. 2017, "Neural Audio Synthesis of Musical Notes with WaveNet Autoencoders",
section 2.2 and appendix; magenta models/nsynth/baseline/models/ae_configs/nfft_1024.py.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

FIRST_KERNEL, KERNEL = 5, 4
NUM_PITCHES = 128


class SpectralAutoencoder(keras.Model):
    """Spectrograms [batch, frames, bins, channels] and pitches [batch] -> spectrograms.

    Each layer halves the bins and, while there is more than one, the frames: with as many layers as
    NSynth has, of a spectrogram of 256 frames of 512 bins one vector is left.

    Args:
      shape: frames, bins, channels; the first two powers of 2.
      conv_sizes: channels of each layer of the encoder; the decoder has them in reverse.
      dense_size: units of the layer on either side of the latent.
      latent_size: length of the latent vector.
      pitch_embedding_size: of the pitch that the decoder is told; 0: it is not.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        conv_sizes: tuple[int, ...],
        dense_size: int,
        latent_size: int,
        pitch_embedding_size: int,
        **options: Any,
    ):
        super().__init__(**options)
        strides = _strides(shape, len(conv_sizes))
        self.encoder = _encoder(shape, strides, conv_sizes, dense_size, latent_size)
        self.decoder = _decoder(
            shape, strides, conv_sizes, dense_size, latent_size, pitch_embedding_size
        )
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        spectrograms, pitches = inputs
        latents = self.encoder(spectrograms, training=training)
        return self.decoder([latents, pitches], training=training)


def spectrogram_loss(
    num_bins: int, sample_rate: int, low_weight: float, cutoff_hz: float, phase_weight: float
) -> Any:
    """Mean squared error, weighted: what is low more, and phases by how loud they are.

    Args:
      num_bins: of a frame, from 0 Hz up to half the sample rate, which is left out.
      sample_rate: in Hz.
      low_weight: of the lowest bin; it falls linearly to 1 at `cutoff_hz`.
      cutoff_hz: see low_weight.
      phase_weight: of the second channel, where there is one.

    Returns:
      (targets, outputs) -> a loss an example, [batch].
    """
    frequencies = np.arange(num_bins) * (sample_rate / 2 / num_bins)
    slope = (low_weight - 1) / cutoff_hz
    weights = np.maximum(1, low_weight - slope * frequencies).astype(np.float32)

    def loss(targets: Any, outputs: Any) -> Any:
        errors = weights[:, None] * ops.square(targets - outputs)
        total = ops.mean(errors[..., 0], axis=(1, 2))
        if targets.shape[-1] > 1:
            total += phase_weight * ops.mean(targets[..., 0] * errors[..., 1], axis=(1, 2))
        return total

    return loss


def _strides(shape: tuple[int, int, int], num_layers: int) -> list[tuple[int, int]]:
    """Of each layer, over frames and bins."""
    frames, bins = shape[:2]
    strides = []
    for _ in range(num_layers):
        stride = (2 if frames > 1 else 1, 2 if bins > 1 else 1)
        frames, bins = frames // stride[0], bins // stride[1]
        strides.append(stride)
    return strides


def _encoder(
    shape: tuple[int, int, int],
    strides: list[tuple[int, int]],
    conv_sizes: tuple[int, ...],
    dense_size: int,
    latent_size: int,
) -> keras.Model:
    spectrograms = x = keras.Input(shape)
    for index, (stride, size) in enumerate(zip(strides, conv_sizes, strict=True)):
        kernel = KERNEL if index else FIRST_KERNEL
        x = layers.Conv2D(size, kernel, strides=stride, padding="same", use_bias=False)(x)
        x = _activated(x)
    x = layers.Flatten()(x)
    x = _activated(layers.Dense(dense_size, use_bias=False)(x))
    latents = layers.Dense(latent_size, use_bias=False)(x)
    return keras.Model(spectrograms, _normalized(latents), name="encoder")


def _decoder(
    shape: tuple[int, int, int],
    strides: list[tuple[int, int]],
    conv_sizes: tuple[int, ...],
    dense_size: int,
    latent_size: int,
    pitch_embedding_size: int,
) -> keras.Model:
    latents = x = keras.Input((latent_size,))
    pitches = keras.Input((), dtype="int32")
    if pitch_embedding_size:
        embedded = layers.Embedding(NUM_PITCHES, pitch_embedding_size)(pitches)
        x = layers.Concatenate()([x, embedded])
    frames, bins = (n // int(np.prod([s[i] for s in strides])) for i, n in enumerate(shape[:2]))
    x = layers.Dense(frames * bins * dense_size, use_bias=False)(x)
    x = _activated(layers.Reshape((frames, bins, dense_size))(x))
    sizes = [*conv_sizes[-2::-1], conv_sizes[0]]
    for index, (stride, size) in enumerate(zip(strides, sizes, strict=True)):
        kernel = FIRST_KERNEL if index >= len(sizes) - 2 else KERNEL
        x = layers.Conv2DTranspose(size, kernel, strides=stride, padding="same", use_bias=False)(x)
        x = _activated(x)
    magnitudes = layers.Conv2D(1, 1, activation="sigmoid")(x)
    if shape[2] == 1:
        return keras.Model([latents, pitches], magnitudes, name="decoder")
    phases = layers.Conv2D(1, 1, activation="tanh")(x)
    both = layers.Concatenate()([magnitudes, phases])
    return keras.Model([latents, pitches], both, name="decoder")


def _activated(x: Any) -> Any:
    return layers.LeakyReLU(0.2)(_normalized(x))


def _normalized(x: Any) -> Any:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-3)(x)
