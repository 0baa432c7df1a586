"""Sound -> loudness and timbre; with a pitch -> the synthesizer's controls -> sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from pipeline.nn.compiled import compiled
from pipeline.nn.harmonic.analysis import Analysis
from pipeline.nn.harmonic.networks import Decoder, TimbreEncoder
from pipeline.nn.harmonic.spectral_loss import multi_scale_spectral_loss
from pipeline.nn.harmonic.synthesis import filtered_noise, harmonics


class HarmonicAutoencoder(keras.Model):
    """Plays a sound again from its pitch, its loudness by frames and a latent that is its timbre.

    All is computed in float32: spectra and phases have no use for less.

    Args:
      analysis: of the sound.
      encoder: loudness and cepstra -> latent.
      decoder: f0, loudness and latent -> controls.
      sample_rate: in Hz.
      fft_sizes: of the spectral loss.
    """

    def __init__(
        self,
        analysis: Analysis,
        encoder: TimbreEncoder,
        decoder: Decoder,
        sample_rate: int,
        fft_sizes: Sequence[int],
        **kwargs: Any,
    ):
        super().__init__(dtype="float32", **kwargs)
        self.analysis, self.encoder, self.decoder = analysis, encoder, decoder
        self.sample_rate, self.hop_length = sample_rate, analysis.hop_length
        self.fft_sizes = tuple(fft_sizes)
        self.seed_generator = keras.random.SeedGenerator()
        self.example_mean = _ExampleMean(name="example_mean", reduction="mean_with_sample_weight")

    def build(self, input_shape: Any) -> None:
        latent_size = self.encoder.latent.units
        self.encoder.build((None, None), (None, None, self.analysis.num_mfcc))
        self.decoder.build((None, None), (None, None), (None, latent_size))
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """The controls for sounds.

        Args:
          inputs: audio float32 [batch, samples], samples a multiple of the hop; f0_hz [batch], of
            the whole sound.
          training: not heeded.

        Returns:
          f0_hz [batch, frames], amplitudes [batch, frames, harmonics], magnitudes [batch, frames,
          bands].
        """
        loudness_db, cepstra = self.analysis(inputs["audio"])
        latents = self.encoder(loudness_db, cepstra)
        f0_hz = ops.broadcast_to(inputs["f0_hz"][:, None], ops.shape(loudness_db))
        amplitudes, magnitudes = self.decoder(f0_hz, loudness_db, latents)
        return {"f0_hz": f0_hz, "amplitudes": amplitudes, "magnitudes": magnitudes}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The mean over the batch of the spectral loss; y is the sound itself."""
        seed = self.seed_generator if training else 0
        noise = keras.random.uniform(ops.shape(y), -1.0, 1.0, seed=seed)
        losses = self._spectral_losses(y_pred, noise, y)
        return self.example_mean(losses, losses, sample_weight=sample_weight)

    def encode(self, audio: Any) -> tuple[Any, Any]:
        """float32 [batch, samples] -> loudness in dB [batch, frames], latents [batch, n]."""
        loudness_db, cepstra = self.analysis(ops.convert_to_tensor(audio, "float32"))
        return loudness_db, self.encoder(loudness_db, cepstra)

    def play(self, f0_hz: Any, loudness_db: Any, latents: Any, noise: Any) -> Any:
        """Sounds from what they are to be like.

        Args:
          f0_hz: above 0. Shape [batch, frames].
          loudness_db: Shape [batch, frames].
          latents: Shape [batch, latent_size].
          noise: uniform in [-1, 1]. Shape [batch, (frames - 1) * hop_length].

        Returns:
          float32, shape of noise.
        """
        f0_hz, loudness_db, latents, noise = (
            ops.convert_to_tensor(x, "float32") for x in (f0_hz, loudness_db, latents, noise)
        )
        amplitudes, magnitudes = self.decoder(f0_hz, loudness_db, latents)
        synthesis = compiled_synthesis(self.sample_rate, self.hop_length)
        return synthesis(f0_hz, amplitudes, magnitudes, noise)

    def _spectral_losses(self, controls: dict[str, Any], noise: Any, y: Any) -> Any:
        """The loss of each example [batch]; its gradient goes to amplitudes and magnitudes."""
        f0_hz = ops.stop_gradient(controls["f0_hz"])
        graded = compiled_losses(self.sample_rate, self.hop_length, self.fft_sizes)

        @ops.custom_gradient
        def run(amplitudes: Any, magnitudes: Any) -> tuple[Any, Any]:
            losses, slopes = graded(f0_hz, amplitudes, magnitudes, noise, y)

            def gradient(upstream: Any) -> tuple[Any, ...]:
                return tuple(upstream[:, None, None] * slope for slope in slopes)

            return losses, gradient

        return run(controls["amplitudes"], controls["magnitudes"])


@cache
def compiled_losses(
    sample_rate: int, hop_length: int, fft_sizes: tuple[int, ...]
) -> Callable[..., tuple[Any, tuple[Any, Any]]]:
    """The spectral loss of each example, with its gradients by amplitudes and magnitudes.

    Compiled it takes a third of the time. Both together, since apart they hand each other all
    intermediate results, and take twice as long to compile.
    """

    def losses(
        f0_hz: Any, amplitudes: Any, magnitudes: Any, noise: Any, target: Any
    ) -> tuple[Any, tuple[Any, Any]]:
        with tf.GradientTape() as tape:
            tape.watch((amplitudes, magnitudes))
            audio = _sound(f0_hz, amplitudes, magnitudes, noise, sample_rate, hop_length)
            found = multi_scale_spectral_loss(audio, target, fft_sizes)
        # No example's loss depends on another's controls, so the sum's gradient is each one's own.
        return found, tape.gradient(found, (amplitudes, magnitudes))

    return compiled(losses)


@cache
def compiled_synthesis(sample_rate: int, hop_length: int) -> Callable[..., Any]:
    """(f0_hz, amplitudes, magnitudes, noise) -> the sum of harmonics and filtered noise."""

    def synthesis(f0_hz: Any, amplitudes: Any, magnitudes: Any, noise: Any) -> Any:
        return _sound(f0_hz, amplitudes, magnitudes, noise, sample_rate, hop_length)

    return compiled(synthesis)


def _sound(
    f0_hz: Any, amplitudes: Any, magnitudes: Any, noise: Any, sample_rate: int, hop_length: int
) -> Any:
    tones = harmonics(f0_hz, amplitudes, sample_rate, hop_length)
    return tones + filtered_noise(noise, magnitudes, hop_length)


class _ExampleMean(keras.losses.Loss):
    """The mean of values, each with its weight."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred
