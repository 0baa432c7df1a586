"""The twin of a WaveNet autoencoder without linear prediction: convolutions, and queues."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.twins.weights import parameter


class Wavenet(nn.Module):
    """Classes [batch, samples] -> logits [batch, samples, classes].

    Args:
      model: a WavenetAutoencoder, whose weights are copied.
    """

    def __init__(self, model: Any):
        super().__init__()
        encoder, decoder = model.encoder, model.decoder
        self.hop_length, self.width = encoder.hop_length, decoder.width
        self.num_classes, self.num_layers = decoder.num_classes, decoder.num_layers
        self.encoder_dilations, self.dilations = encoder.dilations, decoder.dilations
        self.encoder = nn.ParameterDict(
            {v.name: _parameter(v, _taps(v.name, encoder)) for v in encoder.trainable_variables}
        )
        self.decoder = nn.ParameterDict(
            {v.name: _parameter(v, _taps(v.name, decoder)) for v in decoder.trainable_variables}
        )
        pairs = np.stack([decoder.predictor.companded, decoder.predictor.amplitudes], axis=-1)
        self.register_buffer("pairs", torch.from_numpy(pairs.astype(np.float32)))

    def forward(self, classes: torch.Tensor) -> torch.Tensor:
        w = self.decoder
        columns = self.embeddings(classes) @ w["conditions"]
        frames = columns.transpose(1, 2).repeat_interleave(self.hop_length, dim=2)
        inputs = functional.pad(self.pairs[classes], (0, 0, 1, 0))[:, :-1].transpose(1, 2)
        x = _causal(inputs, w["start"], w["start_bias"], 1)
        skips = _pointwise(x, w["skips"][: self.width], w["skip_bias"])
        for i, dilation in enumerate(self.dilations):
            gates = _causal(x, w[f"gates_{i}"], w[f"gate_bias_{i}"], dilation)
            gates = gates + frames[:, 2 * self.width * i : 2 * self.width * (i + 1)]
            first, second = gates.split(self.width, dim=1)
            passed = first.sigmoid() * second.tanh()
            skips = skips + _pointwise(passed, w["skips"][self.width * (i + 1) :][: self.width])
            if i < self.num_layers - 1:
                x = x + _pointwise(passed, w[f"residual_{i}"], w[f"residual_bias_{i}"])
        out = _pointwise(skips.relu(), w["out"], w["out_bias"])
        out = (out + frames[:, 2 * self.width * self.num_layers :]).relu()
        return out.transpose(1, 2) @ w["logits"] + w["logit_bias"]

    def embeddings(self, classes: torch.Tensor) -> torch.Tensor:
        """[batch, samples / hop_length, embedding_size]."""
        w = self.encoder
        x = self.pairs[classes][..., :1].transpose(1, 2)
        x = functional.conv1d(x, w["start"], w["start_bias"], padding="same")
        for i, dilation in enumerate(self.encoder_dilations):
            inner = functional.conv1d(
                x.relu(),
                w[f"dilated_{i}"],
                w[f"dilated_bias_{i}"],
                padding="same",
                dilation=dilation,
            )
            x = x + _pointwise(inner.relu(), w[f"residual_{i}"], w[f"residual_bias_{i}"])
        means = functional.avg_pool1d(x, self.hop_length).transpose(1, 2)
        return means @ w["bottleneck"] + w["bottleneck_bias"]


class QueueSampler(nn.Module):
    """Draws with queues, one sample a step; what a step computes may be given to torch.compile.

    Args:
      model: a WavenetAutoencoder, whose decoder's weights are copied.
    """

    def __init__(self, model: Any, is_compiled: bool):
        super().__init__()
        decoder = model.decoder
        self.width, self.dilations = decoder.width, decoder.dilations
        self.kernel_size = decoder.kernel_size
        self.weights = {v.name: torch.from_numpy(np.array(v)) for v in decoder.trainable_variables}
        pairs = np.stack([decoder.predictor.companded, decoder.predictor.amplitudes], axis=-1)
        self.pairs = torch.from_numpy(pairs.astype(np.float32))
        self.start_size = decoder.start_kernel_size
        self.step = torch.compile(self._step) if is_compiled else self._step

    @torch.inference_mode()
    def forward(self, embeddings: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Embeddings [notes, frames, size], uniforms [notes, samples] -> classes, as uniforms."""
        num_notes, num_samples = uniforms.shape
        hop_length = num_samples // embeddings.shape[1]
        columns = embeddings @ self.weights["conditions"]
        reach = [(self.kernel_size - 1) * d for d in self.dilations]
        queues = [torch.zeros(length, num_notes, self.width) for length in reach]
        history = torch.zeros(num_notes, self.start_size, 2)
        drawn = torch.zeros(num_notes, num_samples, dtype=torch.int64)
        for t in range(num_samples):
            taps = [
                [queue[(t + i * d) % length] for i in range(self.kernel_size - 1)]
                for queue, d, length in zip(queues, self.dilations, reach, strict=True)
            ]
            found, kept = self.step(history, taps, columns[:, t // hop_length], uniforms[:, t])
            for queue, row, length in zip(queues, kept, reach, strict=True):
                queue[t % length] = row
            drawn[:, t] = found
            history = torch.cat([history[:, 1:], self.pairs[found][:, None]], dim=1)
        return drawn

    def _step(
        self,
        history: torch.Tensor,
        taps: list[list[torch.Tensor]],
        condition: torch.Tensor,
        uniforms: torch.Tensor,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        w, width, given, kept = self.weights, self.width, [], []
        x = torch.addmm(w["start_bias"], history.flatten(1), w["start"])
        given.append(x)
        for i, before in enumerate(taps):
            kept.append(x)
            gates = torch.addmm(w[f"gate_bias_{i}"], torch.cat([*before, x], 1), w[f"gates_{i}"])
            gates = gates + condition[:, 2 * width * i : 2 * width * (i + 1)]
            passed = gates[:, :width].sigmoid() * gates[:, width:].tanh()
            given.append(passed)
            if i < len(taps) - 1:
                x = x + torch.addmm(w[f"residual_bias_{i}"], passed, w[f"residual_{i}"])
        skips = torch.addmm(w["skip_bias"], torch.cat(given, 1), w["skips"]).relu()
        out = torch.addmm(w["out_bias"], skips, w["out"]) + condition[:, 2 * width * len(taps) :]
        logits = torch.addmm(w["logit_bias"], out.relu(), w["logits"])
        cumulative = logits.double().softmax(-1).cumsum(-1)
        thresholds = uniforms[:, None] * cumulative[:, -1:]
        return (cumulative <= thresholds).sum(-1), kept


def _taps(name: str, layer: Any) -> int:
    """Of a kernel that is convolved; 0 for others, which are left as they are."""
    if name == "start":
        return int(getattr(layer, "start_kernel_size", layer.kernel_size))
    is_convolved = name.startswith(("gates_", "dilated_")) and "bias" not in name
    return int(layer.kernel_size) if is_convolved else 0


def _parameter(variable: Any, num_taps: int) -> nn.Parameter:
    """Torch's layout of a convolution is [filters, channels, taps]."""
    if not num_taps:
        return parameter(variable)
    values = np.array(variable)
    kernel = values.reshape(num_taps, -1, values.shape[-1]).transpose(2, 1, 0)
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(kernel)))


def _causal(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, dilation: int
) -> torch.Tensor:
    x = functional.pad(x, ((kernel.shape[-1] - 1) * dilation, 0))
    return functional.conv1d(x, kernel, bias, dilation=dilation)


def _pointwise(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    return functional.conv1d(x, kernel.T[..., None], bias)
