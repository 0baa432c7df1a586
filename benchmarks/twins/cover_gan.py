"""Twins of DCGAN's networks without a condition, and of their step with a gradient penalty."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.twins.weights import copy, linear


class Discriminator(nn.Module):
    """Pictures [batch, 3, size, size] -> logits [batch].

    Args:
      model: the Keras discriminator, without condition and normalisation, whose weights are copied.
    """

    def __init__(self, model: Any):
        super().__init__()
        convolutions, dense = _layers(model)
        self.convolutions = nn.ModuleList(_convolution(x) for x in convolutions)
        self.features, self.logits = (linear(x) for x in dense)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions:
            x = functional.leaky_relu(convolution(x), 0.2)
        x = functional.leaky_relu(self.features(x.permute(0, 2, 3, 1).flatten(1)), 0.2)
        return self.logits(x)[:, 0]


class Generator(nn.Module):
    """Latents [batch, latent_size] -> pictures [batch, 3, size, size].

    Args:
      model: the Keras generator, without condition and normalisation, whose weights are copied.
    """

    def __init__(self, model: Any):
        super().__init__()
        convolutions, dense = _layers(model)
        self.start = linear(dense[0])
        self.convolutions = nn.ModuleList(_transposed(x) for x in convolutions)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        first = self.convolutions[0]
        x = self.start(latents).reshape(len(latents), 4, 4, first.in_channels)
        x = x.permute(0, 3, 1, 2).contiguous()
        for convolution in self.convolutions:
            x = convolution(functional.relu(x))
        return torch.tanh(x)


class Step:
    """A step as pipeline.nn.pictures.trainer's, by the usual way to write it in torch.

    Args:
      discriminator, generator: twins.
      penalty: weight of the gradient penalty.
      memory_format: of pictures and kernels.
      optimizer: parameters -> a torch optimizer.
    """

    def __init__(
        self, discriminator: Discriminator, generator: Generator, penalty: float,
        memory_format: torch.memory_format, optimizer: Any,
    ):  # fmt: skip
        self.discriminator = discriminator.to(memory_format=memory_format)  # type: ignore[call-overload]
        self.generator = generator.to(memory_format=memory_format)  # type: ignore[call-overload]
        self.memory_format, self.penalty = memory_format, penalty
        self.discriminator_optimizer = optimizer(discriminator.parameters())
        self.optimizer = optimizer(generator.parameters())

    def discriminator_step(
        self, pictures: torch.Tensor, latents: torch.Tensor, mix: torch.Tensor
    ) -> tuple[float, float]:
        """-> the loss and the penalty before the step. pictures: [batch, 3, size, size]."""
        pictures = pictures.contiguous(memory_format=self.memory_format)
        with torch.no_grad():
            fakes = self.generator(latents)
        between = (mix * pictures + (1 - mix) * fakes).requires_grad_()
        scores = self.discriminator(between)
        (slopes,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        penalty = (((slopes**2).flatten(1).sum(1) + 1e-12).sqrt() - 1).square().mean()
        loss = self.discriminator(fakes).mean() - self.discriminator(pictures).mean()
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        (loss + self.penalty * penalty).backward()
        self.discriminator_optimizer.step()
        return loss.item(), penalty.item()

    def generator_step(self, latents: torch.Tensor) -> float:
        """-> the loss before the step."""
        self.discriminator.requires_grad_(False)
        loss = -self.discriminator(self.generator(latents)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.discriminator.requires_grad_(True)
        return loss.item()


def _layers(model: Any) -> tuple[list[Any], list[Any]]:
    """Its convolutions and its dense layers, in order."""
    weighted = [layer for layer in model.layers if layer.weights]
    return [x for x in weighted if x.kernel.ndim == 4], [x for x in weighted if x.kernel.ndim == 2]


def _convolution(layer: Any) -> nn.Conv2d:
    *size, inputs, outputs = layer.kernel.shape
    twin = nn.Conv2d(inputs, outputs, tuple(size), 2, 1)
    copy(layer.kernel.numpy().transpose(3, 2, 0, 1), twin.weight)
    copy(layer.bias, twin.bias)
    return twin


def _transposed(layer: Any) -> nn.ConvTranspose2d:
    *size, outputs, inputs = layer.kernel.shape
    twin = nn.ConvTranspose2d(inputs, outputs, tuple(size), 2, 1)
    copy(layer.kernel.numpy().transpose(3, 2, 0, 1), twin.weight)
    copy(layer.bias, twin.bias)
    return twin
