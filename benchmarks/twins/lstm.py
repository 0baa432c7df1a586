"""The twin of an LSTM language model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.twins.weights import copy


class LstmLm(nn.Module):
    """Ids [batch, steps] -> logits [batch, steps, classes]: embedding, LSTM layers, dense.

    Args:
      model: the Keras model of those layers, whose weights are copied. Keras's LSTM has one bias,
        torch's two of the same meaning: the second stays 0, as training both would double it.
    """

    def __init__(self, model: Any):
        super().__init__()
        embedding, *layers, dense = [layer for layer in model.layers if layer.weights]
        self.embedding = nn.Embedding(*embedding.embeddings.shape)
        copy(embedding.embeddings, self.embedding.weight)
        size, units = layers[0].cell.kernel.shape[0], layers[0].units
        self.lstm = nn.LSTM(size, units, len(layers), batch_first=True)
        for i, layer in enumerate(layers):
            copy(layer.cell.kernel, getattr(self.lstm, f"weight_ih_l{i}"), transposed=True)
            copy(layer.cell.recurrent_kernel, getattr(self.lstm, f"weight_hh_l{i}"), True)
            copy(layer.cell.bias, getattr(self.lstm, f"bias_ih_l{i}"))
            second_bias = getattr(self.lstm, f"bias_hh_l{i}")
            nn.init.zeros_(second_bias)
            second_bias.requires_grad_(False)
        self.dense = nn.Linear(units, dense.units)
        copy(dense.kernel, self.dense.weight, transposed=True)
        copy(dense.bias, self.dense.bias)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.lstm(self.embedding(ids))
        return self.dense(outputs)
