"""Weights from Keras variables into torch parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn


def copy(variable: Any, parameter: torch.Tensor, transposed: bool = False) -> None:
    """Fills a parameter; `transposed` for kernels, which torch keeps as [outputs, inputs].

    Raises:
      ValueError: if the shapes differ.
    """
    values = np.array(variable)
    values = values.T if transposed else values
    if values.shape != tuple(parameter.shape):
        raise ValueError(f"{values.shape=} differs from the twin's {tuple(parameter.shape)}")
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def linear(dense: Any) -> nn.Linear:
    """A Keras Dense layer, its activation left out."""
    kernel = dense.kernel
    layer = nn.Linear(*kernel.shape, bias=dense.use_bias)
    copy(kernel, layer.weight, transposed=True)
    if dense.use_bias:
        copy(dense.bias, layer.bias)
    return layer


def layer_norm(norm: Any) -> nn.LayerNorm:
    layer = nn.LayerNorm(norm.gamma.shape[0], eps=norm.epsilon)
    copy(norm.gamma, layer.weight)
    copy(norm.beta, layer.bias)
    return layer


def parameter(variable: Any) -> nn.Parameter:
    """A parameter of the same layout."""
    return nn.Parameter(torch.from_numpy(np.array(variable)))
