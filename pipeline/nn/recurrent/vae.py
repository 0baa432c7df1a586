"""A variational autoencoder of sequences of classes in one or more parts."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.nn.recurrent.attributes import AttributeVectors
from pipeline.nn.recurrent.decoder import Decoder
from pipeline.nn.recurrent.encoder import BidirectionalEncoder
from pipeline.nn.recurrent.latent import (
    annealed_beta,
    excess_kl,
    kl_divergence,
    sampling_probability,
)


class SequenceVae(keras.Model):
    """Encoder, latent and decoder, with the loss that they are trained by.

    The loss of an example is its events' -log p + beta * (KL above the free bits), in nats. Beta
    and the probability of sampling follow the optimizer's step, so that a resumed training goes on
    with them. Outside training beta is the largest, every step is given the true history, and the
    latent's noise is always the same.

    Args:
      encoder: windows -> mean, scale.
      decoder: latent, windows -> logits.
      latent_size: length of the latent.
      free_bits: of the KL of each example.
      max_beta, beta_rate: see annealed_beta.
      schedule, sampling_rate: see sampling_probability.

    Source: Roberts et al. 2018; magenta models/music_vae/base_model.py.
    """

    def __init__(
        self,
        encoder: BidirectionalEncoder,
        decoder: Decoder,
        latent_size: int,
        free_bits: float,
        max_beta: float,
        beta_rate: float,
        schedule: str,
        sampling_rate: float,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.latent_size = encoder, decoder, latent_size
        self.attribute_vectors = AttributeVectors(latent_size, name="attribute_vectors")
        self.free_bits = free_bits
        self.max_beta, self.beta_rate = max_beta, beta_rate
        self.schedule, self.sampling_rate = schedule, sampling_rate
        self.seed_generator = keras.random.SeedGenerator()
        self.example_mean = ExampleMean(name="example_mean", reduction="mean_with_sample_weight")
        self.kl_bits = keras.metrics.Mean(name="kl_bits")
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.encoder.build(input_shape)
        self.decoder.build()
        self.attribute_vectors.build()
        self.built = True

    def call(self, windows: Any, training: bool = False) -> dict[str, Any]:
        """Maps int32 classes [batch, steps, parts] to logits of each part, mean and scale."""
        mean, scale = self.encoder(windows)
        seed = self.seed_generator if training else 0
        latents = mean + scale * keras.random.normal(ops.shape(mean), seed=seed)
        if training:
            self.attribute_vectors.update(mean, windows[..., 0])
        if training and self.schedule != "none":
            logits = self._with_sampled_history(latents, windows)
        else:
            logits = self.decoder(latents, windows)
        return {"logits": logits, "mean": mean, "scale": scale}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The mean over the batch; y are the windows. Also counts kl_bits and accuracy."""
        nll, is_right = event_scores(y_pred["logits"], y)
        kl = kl_divergence(y_pred["mean"], y_pred["scale"])
        beta = self.max_beta
        if training:
            beta = annealed_beta(self.optimizer.iterations, self.max_beta, self.beta_rate)
        self.kl_bits.update_state(kl / ops.log(2.0))
        self.accuracy.update_state(is_right)
        losses = ops.sum(nll, axis=(1, 2)) + beta * excess_kl(kl, self.free_bits)
        return self.example_mean(losses, losses, sample_weight=sample_weight)

    def _with_sampled_history(self, latents: Any, windows: Any) -> list[Any]:
        shape = ops.shape(windows)
        noise = [_gumbel((*shape[:2], n), self.seed_generator) for n in self.decoder.num_classes]
        step = self.optimizer.iterations
        probability = sampling_probability(step, self.schedule, self.sampling_rate)
        draws = keras.random.uniform(shape, seed=self.seed_generator)
        return self.decoder.sample(
            latents, noise, windows, ops.cast(draws < probability, "float32")
        )


def event_scores(logits: list[Any], windows: Any) -> tuple[Any, Any]:
    """How well logits tell the classes.

    Args:
      logits: for each part float32 [batch, steps, classes].
      windows: int32 classes. Shape [batch, steps, parts].

    Returns:
      -log p in nats, and 1.0 where the class is the likeliest. Shape [batch, steps, parts] each.
    """
    nll = [
        keras.losses.sparse_categorical_crossentropy(windows[..., i], part, from_logits=True)
        for i, part in enumerate(logits)
    ]
    is_right = [
        ops.cast(
            ops.equal(ops.cast(ops.argmax(part, axis=-1), "int32"), windows[..., i]), "float32"
        )
        for i, part in enumerate(logits)
    ]
    return ops.stack(nll, axis=-1), ops.stack(is_right, axis=-1)


class ExampleMean(keras.losses.Loss):
    """The mean of values, each with its weight."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


def _gumbel(shape: Any, seed: Any) -> Any:
    uniform = keras.random.uniform(shape, minval=1e-7, maxval=1.0, seed=seed)
    return -ops.log(-ops.log(uniform))
