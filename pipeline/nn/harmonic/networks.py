"""The encoder that hears a timbre, and the decoder that plays the synthesizer.

Source: Engel et al. 2020, section 4.1 and appendix B; ddsp/training/{encoders,decoders}.py.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from pipeline.nn.harmonic.synthesis import is_audible

NUM_BANDS = 32  # of the spectral envelope


class TimbreEncoder(keras.layers.Layer):
    """Cepstra of frames -> one latent for all of them, the mean over the frames that sound.

    ddsp has a latent a frame, from a GRU. One for a whole sound can be given to other notes.

    Args:
      hidden_size: features of each of its layers.
      latent_size: length of the latent.
    """

    def __init__(self, hidden_size: int, latent_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.hidden = fully_connected(hidden_size, 2, "hidden")
        self.latent = layers.Dense(latent_size, dtype="float32", name="latent")
        self.direct = layers.Dense(latent_size, use_bias=False, dtype="float32", name="direct")

    def build(self, loudness_shape: Any, cepstra_shape: Any) -> None:
        self.hidden.build((None, None, cepstra_shape[-1]))
        self.latent.build((None, None, self.hidden.output_shape[-1]))
        self.direct.build((None, None, cepstra_shape[-1]))
        self.built = True

    def call(self, loudness_db: Any, cepstra: Any) -> Any:
        """Loudness [batch, frames], cepstra [batch, frames, n] -> [batch, latent_size]."""
        weights = sounding(loudness_db)
        total = ops.maximum(ops.sum(weights, axis=1), 1e-6)[:, None]
        latents = self.latent(self.hidden(cepstra)) + self.direct(cepstra)
        return ops.sum(weights[..., None] * latents, axis=1) / total


def sounding(loudness_db: Any, range_db: float = 40.0) -> Any:
    """How much each frame counts: 1 at the loudest, 0 from range_db below it on. [batch, frames]"""
    loudest = ops.max(loudness_db, axis=1, keepdims=True)
    return ops.maximum(0.0, 1 - (loudest - loudness_db) / range_db)


class Decoder(keras.layers.Layer):
    """f0, loudness and latent -> amplitudes of harmonics, magnitudes of the noise's filter.

    Both are relative to the level that the loudness tells: so silence is silent from the first
    training step on, and the network has the timbre alone to learn. ddsp learns the level, too.

    Args:
      hidden_size: features of the fully connected layers.
      recurrent_size: units of the GRU.
      num_layers: of each stack of fully connected layers.
      num_harmonics: at most so many; those above half the sample rate are silent.
      num_noise_bands: of the filter.
      sample_rate: in Hz.
    """

    def __init__(
        self,
        hidden_size: int,
        recurrent_size: int,
        num_layers: int,
        num_harmonics: int,
        num_noise_bands: int,
        sample_rate: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_harmonics, self.sample_rate = num_harmonics, sample_rate
        self.sizes = hidden_size, recurrent_size
        self.of_inputs = [
            fully_connected(hidden_size, num_layers, name) for name in ("pitch", "level", "timbre")
        ]
        self.recurrent = layers.GRU(recurrent_size, return_sequences=True, dtype="float32")
        self.hidden = fully_connected(hidden_size, num_layers, "hidden")
        self.level = layers.Dense(1, dtype="float32", name="amplitude")
        self.distribution = layers.Dense(num_harmonics, dtype="float32", name="distribution")
        self.envelope = layers.Dense(NUM_BANDS, dtype="float32", name="envelope")
        self.noise = layers.Dense(num_noise_bands, dtype="float32", name="noise")

    def build(self, f0_shape: Any, loudness_shape: Any, latent_shape: Any) -> None:
        hidden_size, recurrent_size = self.sizes
        for stack, size in zip(self.of_inputs, (1, 1, latent_shape[-1]), strict=True):
            stack.build((None, None, size))
        self.recurrent.build((None, None, 3 * hidden_size))
        self.hidden.build((None, None, recurrent_size + 3 * hidden_size))
        for layer in (self.level, self.distribution, self.envelope, self.noise):
            layer.build((None, None, hidden_size + latent_shape[-1]))
        self.built = True

    def call(self, f0_hz: Any, loudness_db: Any, latents: Any) -> tuple[Any, Any]:
        """f0 and loudness [batch, frames], latents [batch, n] -> amplitudes, magnitudes.

        Amplitudes [batch, frames, harmonics], magnitudes [batch, frames, bands]; both >= 0.
        """
        # MIDI's pitch 0 is 8.18 Hz.
        pitch = 12 / 127 * ops.log2(ops.maximum(f0_hz, 1.0) / 8.175799)
        scaled = (2 * pitch - 1)[..., None], (loudness_db / 40 + 1)[..., None], latents[:, None]
        of_each = [stack(x) for stack, x in zip(self.of_inputs, scaled, strict=True)]
        shape = ops.shape(of_each[0])
        of_each[2] = ops.broadcast_to(of_each[2], shape)
        known = ops.concatenate(of_each, axis=-1)
        hidden = self.hidden(ops.concatenate([self.recurrent(known), known], axis=-1))
        latents = ops.broadcast_to(latents[:, None], (*shape[:2], latents.shape[-1]))
        hidden = ops.concatenate([hidden, latents], axis=-1)
        gain = 10 ** (loudness_db / 20)[..., None]
        audible = is_audible(f0_hz, self.num_harmonics, self.sample_rate)
        logits = self.distribution(hidden)
        logits += at_harmonics(self.envelope(hidden), f0_hz, self.num_harmonics, self.sample_rate)
        logits = ops.where(audible, logits, -1e9)
        amplitudes = gain * _positive(self.level(hidden)) * ops.softmax(logits, axis=-1)
        return amplitudes, gain * _positive(self.noise(hidden) - 3.0)


def at_harmonics(envelope: Any, f0_hz: Any, num_harmonics: int, sample_rate: int) -> Any:
    """An envelope over frequency at each multiple of f0, linearly between its bands.

    Args:
      envelope: at frequencies in equal steps of log(1 + f / 700 Hz), from 0 to half the sample
        rate. Shape [batch, frames, bands].
      f0_hz: Shape [batch, frames].
      num_harmonics: how many multiples; beyond half the sample rate the result is 0.
      sample_rate: in Hz.

    Returns:
      float32 [batch, frames, num_harmonics].
    """
    num_bands = envelope.shape[-1]
    numbers = ops.arange(1, num_harmonics + 1, dtype="float32")
    scale = (num_bands - 1) / math.log1p(sample_rate / 2 / 700)
    places = scale * ops.log1p(f0_hz[..., None] * numbers / 700)
    distances = ops.abs(places[..., None] - ops.arange(num_bands, dtype="float32"))
    weights = ops.maximum(0.0, 1 - distances)  # [batch, frames, harmonics, bands]
    return ops.matmul(weights, envelope[..., None])[..., 0]


def _positive(x: Any) -> Any:
    """exp(x), but between exp(-8) and exp(8)."""
    return ops.exp(8 * ops.tanh(x / 8))


def fully_connected(size: int, num_layers: int, name: str) -> keras.Sequential:
    """Layers of products, normalization and leaky rectifiers.

    Source: ddsp/training/nn.py, FcStack.
    """
    stack = []
    for i in range(num_layers):
        stack += [
            layers.Dense(size, dtype="float32", name=f"{name}_{i}"),
            layers.LayerNormalization(dtype="float32"),
            layers.LeakyReLU(0.2, dtype="float32"),
        ]
    return keras.Sequential(stack, name=name)
