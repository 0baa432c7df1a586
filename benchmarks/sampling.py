"""512 events from the relative transformer: with a cache, without one, and from its PyTorch twin.

Usage: python -m benchmarks.sampling [--rounds 5] [--threads 2] [--batches 1,32]

4 layers of 128 units, a window of 512. Without the cache each event takes the whole of what
precedes it, filled up to a multiple of 128, through the compiled network. With one row that is done
for all events; with more, for a few of them evenly spread, times what they stand for. Either way
the events must be those drawn with the cache from the same seed: the network, given the drawn
events, draws each of them again. The twin keeps keys and values as well and runs eagerly, as the
length that it attends to grows with each event. Sides take turns; medians over rounds. Needs the
extra `bench`.
"""

from __future__ import annotations

import argparse
import sys
import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks import twins
from benchmarks.training_step import prepare
from benchmarks.twins.networks import NUM_CLASSES, transformer

NUM_EVENTS = 512
BLOCK = 128  # lengths that the uncached sampler is compiled for
NUM_TIMED_STEPS = 8  # of the uncached sampler, with several rows
SEED = 1


def main() -> None:
    arguments = _arguments()
    if not twins.can_run():
        return
    prepare(arguments.threads, is_deterministic=False)
    decoder = _decoder()
    print(
        "| rows | sampler | seconds | events/s | times: cached Keras is faster | same events |\n"
        "|---:|---|---:|---:|---:|---:|"
    )
    for batch_size in (int(x) for x in arguments.batches.split(",")):
        _print_rows(batch_size, _measured(decoder, batch_size, arguments.rounds))


def _measured(decoder: Any, batch_size: int, num_rounds: int) -> dict[str, tuple[float, float]]:
    """By sampler: seconds, and the share of its events that the cached one draws as well."""
    from benchmarks.twins.transformer import RelativeTransformer

    twin = _TwinSampler(RelativeTransformer(decoder), batch_size)
    uncached = _UncachedSampler(decoder, batch_size)
    started = time.perf_counter()
    events = _cached(decoder, batch_size)
    seconds = time.perf_counter() - started
    print(f"first {batch_size} rows, compilation included: {seconds:.1f} s", file=sys.stderr)
    same = {
        "Keras, no cache": uncached.share_redrawn(events),
        "PyTorch twin, cached, eager": float(np.mean(twin(_noise(batch_size)) == events)),
    }
    cached_seconds, twin_seconds = [], []
    for _ in range(num_rounds):
        started = time.perf_counter()
        again = _cached(decoder, batch_size)
        cached_seconds.append(time.perf_counter() - started)
        np.testing.assert_array_equal(again, events)
        started = time.perf_counter()
        twin(None)
        twin_seconds.append(time.perf_counter() - started)
    return {
        "Keras, cached": (median(cached_seconds), 1.0),
        "Keras, no cache": (uncached.seconds(events), same["Keras, no cache"]),
        "PyTorch twin, cached, eager": (
            median(twin_seconds),
            same["PyTorch twin, cached, eager"],
        ),
    }


def _cached(decoder: Any, batch_size: int) -> np.ndarray:
    """Events of the pipeline's own sampler. Shape [batch_size, NUM_EVENTS]."""
    from pipeline.nn.cached_decoding import CachedDecoder

    rng = np.random.default_rng(SEED)
    return CachedDecoder(decoder, batch_size).draw(NUM_EVENTS, 1.0, 0, 1.0, rng)


class _UncachedSampler:
    """The whole network for each event."""

    def __init__(self, decoder: Any, batch_size: int):
        self.decoder, self.batch_size = decoder, batch_size
        self.noise = _noise(batch_size)

    def share_redrawn(self, events: np.ndarray) -> float:
        """Of drawn events, those that the whole network draws again from what precedes them."""
        log_p = _log_softmax(np.asarray(self.decoder(_previous(events))))
        redrawn = np.argmax(log_p.transpose(1, 0, 2) + self.noise, axis=-1).T
        return float(np.mean(redrawn == events))

    def seconds(self, events: np.ndarray) -> float:
        """Of all events; with one row all are drawn, and must be `events`."""
        for length in range(BLOCK, NUM_EVENTS + 1, BLOCK):
            self._draw(events, length - 1)  # compiles
        started = time.perf_counter()
        if self.batch_size == 1:
            drawn = np.zeros_like(events)
            for t in range(NUM_EVENTS):
                drawn[:, t] = self._draw(drawn, t)
            np.testing.assert_array_equal(drawn, events)
            return time.perf_counter() - started
        steps = np.linspace(0, NUM_EVENTS - 1, NUM_TIMED_STEPS).astype(int)
        for t in steps:
            self._draw(events, t)
        return (time.perf_counter() - started) * NUM_EVENTS / NUM_TIMED_STEPS

    def _draw(self, events: np.ndarray, t: int) -> np.ndarray:
        """Event t of each row, from those before it."""
        length = -(-(t + 1) // BLOCK) * BLOCK
        logits = self.decoder(_previous(events[:, :length]))[:, t]
        return np.argmax(_log_softmax(np.asarray(logits)) + self.noise[t], axis=-1)


class _TwinSampler:
    """The twin with its cache; draws with given noise, or with its own."""

    def __init__(self, twin: Any, batch_size: int):
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.twin, self.batch_size = twin.to(self.device).eval(), batch_size

    def __call__(self, noise: np.ndarray | None) -> np.ndarray:
        """-> events [batch_size, NUM_EVENTS]."""
        import torch

        with torch.inference_mode():
            given = None if noise is None else torch.from_numpy(noise).to(self.device)
            caches = self.twin.empty_caches(self.batch_size, NUM_EVENTS)
            ids = torch.zeros(self.batch_size, dtype=torch.int64, device=self.device)
            drawn = []
            for t in range(NUM_EVENTS):
                logits = self.twin.step(ids, t, caches).log_softmax(-1)
                gumbel = (
                    -torch.empty_like(logits).exponential_().log() if given is None else given[t]
                )
                events = (logits + gumbel).argmax(-1)
                drawn.append(events)
                ids = events + 1
            return torch.stack(drawn, 1).cpu().numpy()


def _decoder() -> Any:
    """Weights far from uniform logits, so that what is drawn depends on them."""
    model = transformer(NUM_EVENTS)
    decoder = model.get_layer("decoder")
    rng = np.random.default_rng(0)
    for variable in decoder.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(scale=variable.shape[-2] ** -0.5, size=variable.shape))
    return decoder


def _noise(batch_size: int) -> np.ndarray:
    """What CachedDecoder.draw adds to log p: float32 [events, rows, classes]."""
    rng = np.random.default_rng(SEED)
    shape = (BLOCK, batch_size, NUM_CLASSES)
    blocks = [rng.gumbel(size=shape) for _ in range(NUM_EVENTS // BLOCK)]
    return np.concatenate(blocks).astype(np.float32)


def _previous(events: np.ndarray) -> np.ndarray:
    """What precedes each event: 0 at the start, then event + 1."""
    return np.pad(events[:, :-1] + 1, ((0, 0), (1, 0))).astype(np.int32)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    result: np.ndarray = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return result


def _print_rows(batch_size: int, measured: dict[str, tuple[float, float]]) -> None:
    cached, _ = measured["Keras, cached"]
    for name, (seconds, same) in measured.items():
        rate = batch_size * NUM_EVENTS / seconds
        print(
            f"| {batch_size} | {name} | {seconds:.3f} | {rate:,.0f} | {seconds / cached:.2f} "
            f"| {same:.2%} |",
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sampling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--batches", default="1,32", help="rows side by side")
    return parser.parse_args()


if __name__ == "__main__":
    main()
