"""The twin of pipeline.nn.transformer's decoder with relative attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.twins.weights import layer_norm, linear, parameter

Caches = list[tuple[torch.Tensor, torch.Tensor]]


class RelativeTransformer(nn.Module):
    """Ids [batch, steps] -> logits [batch, steps, classes]; without dropout.

    Args:
      decoder: a built TransformerDecoder with relative attention, whose weights are copied.
      chunk: queries that are treated together with the keys up to their end; None: all of them,
        with all keys, as is usual.
    """

    def __init__(self, decoder: Any, chunk: int | None = None):
        super().__init__()
        self.embedding = parameter(decoder.embedding)
        self.blocks = nn.ModuleList(_Block(block, chunk) for block in decoder.blocks)
        self.norm = layer_norm(decoder.norm)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self._embedded(ids)
        for block in self.blocks:
            x = block(x)
        return self._logits(x)

    def empty_caches(self, num_rows: int, capacity: int) -> Caches:
        """Keys and values of each block, [rows, heads, capacity, d], not filled."""
        return [block.empty_cache(num_rows, capacity) for block in self.blocks]

    def step(self, ids: torch.Tensor, position: int, caches: Caches) -> torch.Tensor:
        """Ids [rows] after `position` others -> logits [rows, classes]; writes the caches."""
        x = self._embedded(ids)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block.step(x, position, cache)
        return self._logits(x)

    def _embedded(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(ids, self.embedding) * self.embedding.shape[1] ** 0.5

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) @ self.embedding[1:].T


class _Block(nn.Module):
    def __init__(self, block: Any, chunk: int | None):
        super().__init__()
        self.num_heads, self.key_size = block.num_heads, block.key_size
        self.hidden_size, self.chunk = block.hidden_size, chunk
        self.norm, self.filter_norm = layer_norm(block.norm), layer_norm(block.filter_norm)
        self.project, self.combine = linear(block.project), linear(block.combine)
        self.expand, self.contract = linear(block.expand), linear(block.contract)
        self.relative = parameter(block.relative)  # [heads, distances, d], 0 first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, num_steps, _ = x.shape
        queries, keys, values = (
            part.view(batch, num_steps, self.num_heads, -1).transpose(1, 2)
            for part in self._projected(x)
        )
        chunk = self.chunk or num_steps
        attended = []
        for begin in range(0, num_steps, chunk):
            end = min(begin + chunk, num_steps)
            rows = queries[:, :, begin:end]
            logits = rows @ keys[:, :, :end].transpose(2, 3) + self._relative_logits(rows, end)
            ones = torch.ones(end - begin, end, dtype=torch.bool, device=x.device)
            weights = logits.masked_fill(ones.triu(begin + 1), float("-inf")).softmax(-1)
            attended.append(weights @ values[:, :, :end])
        merged = torch.cat(attended, 2).transpose(1, 2).reshape(batch, num_steps, self.hidden_size)
        return self._filtered(x + self.combine(merged))

    def empty_cache(self, num_rows: int, capacity: int) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (num_rows, self.num_heads, capacity)
        empty = self.relative.new_empty
        return (
            empty((*shape, self.key_size // self.num_heads)),
            empty((*shape, self.hidden_size // self.num_heads)),
        )

    def step(
        self, x: torch.Tensor, position: int, cache: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        keys, values = cache
        query, key, value = (
            part.view(len(x), self.num_heads, 1, -1) for part in self._projected(x)
        )
        end = position + 1
        keys[:, :, position : position + 1] = key
        values[:, :, position : position + 1] = value
        # One product a head, of all rows, as in training.
        vectors = self._furthest_first(end)
        relative = query.squeeze(2).transpose(0, 1) @ vectors.transpose(1, 2)
        logits = query @ keys[:, :, :end].transpose(2, 3) + relative.transpose(0, 1)[:, :, None]
        merged = (logits.softmax(-1) @ values[:, :, :end]).reshape(len(x), self.hidden_size)
        return self._filtered(x + self.combine(merged))

    def _projected(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, scaled, keys and values of all heads."""
        sizes = [self.key_size, self.key_size, self.hidden_size]
        queries, keys, values = self.project(self.norm(x)).split(sizes, -1)
        return queries * (self.key_size // self.num_heads) ** -0.5, keys, values

    def _filtered(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.contract(self.expand(self.filter_norm(x)).relu())

    def _relative_logits(self, rows: torch.Tensor, num_keys: int) -> torch.Tensor:
        """By the skew: [batch, heads, rows, d] -> [batch, heads, rows, num_keys]."""
        batch, heads, num_rows, size = rows.shape
        by_head = rows.transpose(0, 1).reshape(heads, -1, size)
        products = by_head @ self._furthest_first(num_keys).transpose(1, 2)
        products = products.view(heads, batch, num_rows, num_keys).transpose(0, 1)
        flat = nn.functional.pad(products, (1, 0)).reshape(batch, heads, -1)
        return flat[..., num_rows:].view(batch, heads, num_rows, num_keys)

    def _furthest_first(self, num_distances: int) -> torch.Tensor:
        """[heads, num_distances, d]; the last vector stands for all distances beyond."""
        known = self.relative.shape[1]
        vectors = self.relative[:, :num_distances]
        if num_distances > known:
            beyond = vectors[:, -1:].expand(-1, num_distances - known, -1)
            vectors = torch.cat([vectors, beyond], 1)
        return vectors.flip(1)
