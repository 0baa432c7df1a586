"""Twins of the GAN's convolutional generator and critic: as grouped convolutions, or as products.

MuseGAN writes its layers as 3-D convolutions of each track, whose kernels do not overlap. Such a
layer of all tracks is one grouped convolution; or, as in pipeline.nn.adversarial.patches, one
product of matrices a track.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.twins.weights import copy, layer_norm, linear

SEMITONES = 12


class Critic(nn.Module):
    """Rolls [batch, steps, pitches, tracks] and genres [batch] -> scores [batch].

    Args:
      model: the Keras critic, without chords, whose weights are copied.
      axes: of a phrase.
      has_convolutions: whether layers of tracks are convolutions, or products.
    """

    def __init__(self, model: Any, axes: Any, has_convolutions: bool):
        super().__init__()
        self.axes, self.has_convolutions = axes, has_convolutions
        patches = in_order(model, "TrackPatches")
        make = _ConvolvedPatches if has_convolutions else _Patches
        self.patches = nn.ModuleList(make(layer) for layer in patches)
        self.shared = nn.ModuleList(_conv2d(layer) for layer in in_order(model, "Conv2D"))
        denses = in_order(model, "Dense")
        self.chroma = nn.ModuleList(map(linear, denses[:2]))
        self.onsets = nn.ModuleList(map(linear, denses[2:4]))
        (conv,) = in_order(model, "Conv1D")
        self.merged = nn.Conv1d(conv.kernel.shape[1], conv.filters, conv.kernel.shape[0])
        copy(np.transpose(np.array(conv.kernel), (2, 1, 0)), self.merged.weight)
        copy(conv.bias, self.merged.bias)
        self.phrase, self.joint, self.score = map(linear, denses[4:])
        self.embedding = embedding(model)

    def forward(self, rolls: torch.Tensor, genres: torch.Tensor) -> torch.Tensor:
        by_bar = [self._rolls(rolls), self._chroma(rolls), self._onsets(rolls)]
        merged = _leaky(self.merged(torch.cat(by_bar, -1).transpose(1, 2)))
        phrases = _leaky(self.phrase(merged.transpose(1, 2).flatten(1)))
        varied = _difference_within_genre(phrases, genres)
        features = _leaky(self.joint(torch.cat([phrases, varied], -1)))
        return self.score(features)[:, 0] + (self.embedding(genres) * features).sum(-1)

    def _rolls(self, rolls: torch.Tensor) -> torch.Tensor:
        tracks, bars = self.axes.num_tracks, self.axes.num_bars
        if self.has_convolutions:
            x = rolls.permute(0, 3, 1, 2)  # [batch, tracks, steps, pitches]
        else:
            x = rolls.permute(3, 0, 1, 2)[..., None]
        a, b, c, d, joint = self.patches
        streams = [_leaky(second(_leaky(first(x)))) for first, second in ((a, b), (c, d))]
        if self.has_convolutions:
            parts = [s.unflatten(1, (tracks, -1)) for s in streams]
            x = _leaky(joint(torch.cat(parts, 2).flatten(1, 2)))
        else:
            x = _leaky(joint(torch.cat(streams, -1))).permute(1, 0, 4, 2, 3).flatten(1, 2)
        for layer in self.shared:
            x = _leaky(layer(x))
        return x.permute(0, 2, 3, 1).reshape(len(x), bars, -1)

    def _chroma(self, rolls: torch.Tensor) -> torch.Tensor:
        axes = self.axes
        shape = (4 * axes.num_bars, axes.steps_per_beat, -1, SEMITONES, axes.num_tracks)
        beats = rolls.view(len(rolls), *shape).mean((2, 3)).flatten(2)
        return self._by_bar(4 * beats, self.chroma)

    def _onsets(self, rolls: torch.Tensor) -> torch.Tensor:
        before = functional.pad(rolls[:, :-1], (0, 0, 0, 0, 1, 0))
        onsets = (rolls - before).relu().sum(2)
        return self._by_bar(onsets.reshape(len(rolls), 4 * self.axes.num_bars, -1), self.onsets)

    def _by_bar(self, beats: torch.Tensor, layers: nn.ModuleList) -> torch.Tensor:
        x = _leaky(layers[0](beats)).reshape(len(beats), self.axes.num_bars, -1)
        return _leaky(layers[1](x))


class Generator(nn.Module):
    """Latents [batch, latent_size] and genres [batch] -> logits [batch, steps, pitches, tracks].

    Args:
      model: the Keras generator `convolutional`, whose weights are copied.
      axes: of a phrase.
      has_convolutions: whether layers of tracks are convolutions, or products.
    """

    def __init__(self, model: Any, axes: Any, has_convolutions: bool):
        super().__init__()
        self.axes, self.has_convolutions = axes, has_convolutions
        self.embedding = embedding(model)
        self.dense = nn.ModuleList(map(linear, in_order(model, "Dense")))
        self.norms = nn.ModuleList(map(layer_norm, in_order(model, "LayerNormalization")))
        make = _ConvolvedUnpatches if has_convolutions else _Unpatches
        self.unpatches = nn.ModuleList(make(x) for x in in_order(model, "TrackUnpatches"))

    def forward(self, latents: torch.Tensor, genres: torch.Tensor) -> torch.Tensor:
        batch, tracks = len(latents), self.axes.num_tracks
        octaves = self.axes.num_pitches // SEMITONES
        bars, beats, units, places = self.dense
        x = torch.cat([latents, self.embedding(genres)], -1)
        x = self.norms[0](bars(x)).relu().view(batch, self.axes.num_bars, -1)
        x = self.norms[1](beats(x)).relu().view(batch, 4 * self.axes.num_bars, -1)
        x = self.norms[2](units(x)).relu().view(batch, -1, beats.out_features // 4)
        x = self.norms[3](places(x)).relu().view(batch, x.shape[1], octaves, -1)
        if self.has_convolutions:
            x = x.permute(0, 3, 1, 2).repeat(1, tracks, 1, 1)
        else:
            x = x.expand(tracks, *x.shape)
        logits = self._streams(x)
        if self.has_convolutions:
            return logits.permute(0, 2, 3, 1)
        return logits[..., 0].permute(1, 2, 3, 0)

    def _streams(self, x: torch.Tensor) -> torch.Tensor:
        is_short = len(self.unpatches) == 4  # both streams end in logits
        norms, streams = iter(self.norms[4:]), []
        for first, second in (self.unpatches[:2], self.unpatches[2:4]):
            y = second(self._normal(first(x), next(norms)))
            streams.append(y if is_short else self._normal(y, next(norms)))
        if is_short:
            return streams[0] + streams[1]
        if not self.has_convolutions:
            return self.unpatches[4](torch.cat(streams, -1))
        parts = [s.unflatten(1, (self.axes.num_tracks, -1)) for s in streams]
        return self.unpatches[4](torch.cat(parts, 2).flatten(1, 2))

    def _normal(self, x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
        """Over the features of each place of each track."""
        if not self.has_convolutions:
            return norm(x).relu()
        by_track = x.unflatten(1, (self.axes.num_tracks, -1)).movedim(2, -1)
        return norm(by_track).relu().movedim(-1, 2).flatten(1, 2)


class _Products(nn.Module):
    """[tracks, batch, time, pitch, channels], as in pipeline.nn.adversarial.patches."""

    def __init__(self, layer: Any):
        super().__init__()
        self.patch = layer.patch
        self.kernel = nn.Parameter(torch.from_numpy(np.array(layer.kernel)))
        self.bias = nn.Parameter(torch.from_numpy(np.array(layer.bias)))


class _Patches(_Products):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tracks, batch, time, pitch, channels = x.shape
        t, p = self.patch
        x = x.reshape(tracks, batch, time // t, t, pitch // p, p, channels)
        x = x.transpose(3, 4).reshape(tracks, -1, t * p * channels)
        y = torch.baddbmm(self.bias, x, self.kernel)
        return y.view(tracks, batch, time // t, pitch // p, -1)


class _Unpatches(_Products):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tracks, batch, time, pitch, channels = x.shape
        t, p = self.patch
        y = torch.bmm(x.reshape(tracks, -1, channels), self.kernel)
        y = y.view(tracks, batch, time, pitch, t, p, -1).transpose(3, 4)
        return y.reshape(tracks, batch, time * t, pitch * p, -1) + self.bias


class _ConvolvedPatches(nn.Conv2d):
    """[batch, tracks * channels, time, pitch], each track a group."""

    def __init__(self, layer: Any):
        tracks, size, filters = layer.kernel.shape
        t, p = layer.patch
        channels = size // (t * p)
        super().__init__(
            tracks * channels, tracks * filters, layer.patch, stride=layer.patch, groups=tracks
        )
        kernel = np.array(layer.kernel).reshape(tracks, t, p, channels, filters)
        copy(kernel.transpose(0, 4, 3, 1, 2).reshape(self.weight.shape), self.weight)
        copy(np.array(layer.bias).ravel(), self.bias)


class _ConvolvedUnpatches(nn.ConvTranspose2d):
    """[batch, tracks * channels, time, pitch], each track a group."""

    def __init__(self, layer: Any):
        tracks, channels, _ = layer.kernel.shape
        super().__init__(
            *(tracks * channels, tracks * layer.filters, layer.patch),
            stride=layer.patch,
            groups=tracks,
        )
        kernel = np.array(layer.kernel).reshape(tracks, channels, *layer.patch, layer.filters)
        copy(kernel.transpose(0, 1, 4, 2, 3).reshape(self.weight.shape), self.weight)
        copy(np.array(layer.bias).ravel(), self.bias)


def in_order(model: Any, kind: str) -> list[Any]:
    """The layers of a class in the order in which they were made, which their names tell."""

    def number(layer: Any) -> int:
        found = re.search(r"_(\d+)$", layer.name)
        return int(found[1]) if found else 0

    return sorted((x for x in model.layers if type(x).__name__ == kind), key=number)


def embedding(model: Any) -> nn.Embedding:
    """The only one of a model."""
    (layer,) = in_order(model, "Embedding")
    twin = nn.Embedding(*layer.embeddings.shape)
    copy(layer.embeddings, twin.weight)
    return twin


def _conv2d(layer: Any) -> nn.Conv2d:
    """Without padding."""
    height, width, channels, filters = layer.kernel.shape
    twin = nn.Conv2d(channels, filters, (height, width), stride=layer.strides)
    copy(np.array(layer.kernel).transpose(3, 2, 0, 1), twin.weight)
    copy(layer.bias, twin.bias)
    return twin


def _difference_within_genre(features: torch.Tensor, genres: torch.Tensor) -> torch.Tensor:
    same = (genres[None] == genres[:, None]).to(features.dtype)
    gaps = (features[None] - features[:, None]).abs()
    others = (same.sum(1, keepdim=True) - 1).clamp(min=1)
    return (same[..., None] * gaps).sum(1) / others


def _leaky(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2)


class Step:
    """A step as pipeline.nn.adversarial.wgan_gp's, by the usual way to write it in torch.

    Args:
      critic: a twin.
      generator: a twin.
      penalty: weight of the gradient penalty.
      optimizer: parameters -> a torch optimizer.
    """

    def __init__(self, critic: Critic, generator: Generator, penalty: float, optimizer: Any):
        self.critic, self.generator, self.penalty = critic, generator, penalty
        self.critic_optimizer = optimizer(critic.parameters())
        self.optimizer = optimizer(generator.parameters())

    def critic_step(
        self, rolls: torch.Tensor, genres: torch.Tensor, latents: torch.Tensor, mix: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """-> the distance and the penalty before the step."""
        with torch.no_grad():
            fakes = (self.generator(latents, genres) > 0).to(rolls.dtype)
        between = (mix * rolls + (1 - mix) * fakes).requires_grad_()
        scores = self.critic(between, genres)
        (slopes,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        penalty = (((slopes**2).flatten(1).sum(1) + 1e-12).sqrt() - 1).square().mean()
        distance = self.critic(rolls, genres).mean() - self.critic(fakes, genres).mean()
        self.critic_optimizer.zero_grad(set_to_none=True)
        (self.penalty * penalty - distance).backward()
        self.critic_optimizer.step()
        return distance.detach(), penalty.detach()

    def generator_step(self, genres: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """-> the loss before the step."""
        for parameter in self.critic.parameters():
            parameter.requires_grad_(False)
        logits = self.generator(latents, genres)
        shade = logits.sigmoid()
        fakes = shade + ((logits > 0).to(shade.dtype) - shade).detach()
        loss = -self.critic(fakes, genres).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        for parameter in self.critic.parameters():
            parameter.requires_grad_(True)
        return loss.detach()
