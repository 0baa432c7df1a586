"""A training step in Keras beside its PyTorch twin: equal weights, batches, optimizer, one run.

Usage: python -m benchmarks.training_step [--networks lstm_2x128,...] [--rounds 15] [--threads 2]
  [--determinism on,off] [--eager-only] [--peak-tflops 60]

Each network and setting of determinism has a process of its own, in which both sides first train
for 20 steps from the same weights; their losses must agree. Then rounds are timed in which each
side takes two steps in turn, the second of which counts; medians over rounds. Everything is fp32
(on a GPU with TensorFloat-32 products, on both sides), Adam, without dropout. A GPU is used where
both sides see one; --peak-tflops then gives the share of its peak that is reached, by the products
of matrices alone. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks import twins
from benchmarks.twins import gan_sides
from benchmarks.twins.networks import NUM_CLASSES, Network, networks

NUM_EQUAL_STEPS = 20
TOLERANCE = 2e-3  # of a loss; float32 sums in different orders drift apart through Adam
LEARNING_RATE = 1e-3
GAN_BETAS = (0.5, 0.9)
GAN_DESCENT_RATE = 1e-6
EPSILON = 1e-9  # of Adam: so small that it does not matter where a framework adds it


def main() -> None:
    arguments = _arguments()
    if not twins.can_run():
        return
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments)))
        return
    print(
        "| network | batch | op determinism | side | ms/step | least | tokens/s | share of peak "
        "| times the fastest twin | largest difference of losses |\n"
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|"
    )
    for name in arguments.networks.split(","):
        for determinism in arguments.determinism.split(","):
            _print_rows(name, determinism, _in_own_process(name, determinism))


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Checks the losses, then times the sides of one network: what the table tells of it."""
    prepare(arguments.threads, arguments.determinism == "on")
    if name == gan_sides.NAME:
        return _measure_gan(arguments)
    network = networks()[name]
    model = network.keras()
    sides: dict[str, Any] = {}
    for side, make in network.twins.items():
        sides[side] = _TorchSide(make(model), is_compiled=False)
        if not arguments.eager_only:
            sides[f"{side}, torch.compile"] = _TorchSide(make(model), is_compiled=True)
    sides["Keras"] = _KerasSide(model)
    return {
        **_timed(name, sides, _batches(network), arguments.rounds),
        "batch": f"{network.batch_size} x {network.num_steps}",
        "tokens": network.batch_size * network.num_steps,
        "flops": network.flops(model),
    }


def _measure_gan(arguments: argparse.Namespace) -> dict[str, Any]:
    """Two critic steps with a penalty on its gradient, and one of the generator.

    torch.compile is left out: it does not differentiate twice.
    """
    import keras
    import torch

    def sides(keras_optimizer: Any, torch_optimizer: Any) -> tuple[dict[str, Any], list[Any]]:
        gan = gan_sides.KerasGan(keras_optimizer)
        twins_of = {
            f"torch, {kind}": gan_sides.TorchGan(gan, kind == "convolutions", torch_optimizer)
            for kind in ("convolutions", "products")
        }
        batches = [(batch,) for batch in gan.batches(NUM_EQUAL_STEPS)]
        return {**twins_of, "Keras": gan}, batches

    # Real less generated cancels in some biases: Adam makes full steps of what rounding leaves, so
    # that it is by plain descent that the losses are compared.
    slow, batches = sides(
        lambda: keras.optimizers.SGD(GAN_DESCENT_RATE),
        lambda parameters: torch.optim.SGD(parameters, GAN_DESCENT_RATE),
    )
    found, _ = _losses(slow, batches)
    difference = _difference(found, gan_sides.NAME)
    trained, batches = sides(
        lambda: keras.optimizers.Adam(LEARNING_RATE, *GAN_BETAS, epsilon=EPSILON),
        lambda p: torch.optim.Adam(p, LEARNING_RATE, GAN_BETAS, eps=EPSILON, fused=True),
    )
    _, first_seconds = _losses(trained, batches[:2])
    num_phrases = len(batches[0][0]["rolls"])
    return {
        "seconds": _seconds(trained, batches, arguments.rounds),
        "first_seconds": first_seconds,
        "difference": difference,
        "batch": f"{num_phrases} phrases",
        "tokens": num_phrases,
        "flops": float("nan"),
    }


def _timed(name: str, sides: dict[str, Any], batches: list[Any], num_rounds: int) -> dict[str, Any]:
    """Checks that all sides' losses agree, then times them in turn."""
    losses, first_seconds = _losses(sides, batches)
    return {
        "difference": _difference(losses, name),
        "seconds": _seconds(sides, batches, num_rounds),
        "first_seconds": first_seconds,
    }


def _losses(sides: dict[str, Any], batches: list[Any]) -> tuple[dict[str, Any], dict[str, float]]:
    """Each side's losses before each step, and how long its first step takes."""
    losses, first_seconds = {}, {}
    for side, steps in sides.items():
        started = time.perf_counter()
        losses[side] = [steps(*batches[0])]
        first_seconds[side] = time.perf_counter() - started
        losses[side] += [steps(*batch) for batch in batches[1:]]
    return losses, first_seconds


def _difference(losses: dict[str, Any], name: str) -> float:
    difference = max(
        float(np.abs(np.subtract(losses["Keras"], found)).max()) for found in losses.values()
    )
    if not difference <= TOLERANCE:
        raise SystemExit(f"{name}: losses differ by {difference} > {TOLERANCE}: {losses}")
    return difference


def _seconds(sides: dict[str, Any], batches: list[Any], num_rounds: int) -> dict[str, list[float]]:
    """Of each side's every second step, in turn."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(num_rounds):
        for side, step in sides.items():
            step(*batches[0])
            started = time.perf_counter()
            step(*batches[1])
            seconds[side].append(time.perf_counter() - started)
    return seconds


class _KerasSide:
    """Steps of the Keras model, by its own train_on_batch: -> the loss before the step."""

    def __init__(self, model: Any):
        import keras

        from pipeline.models._event_likelihood import EventNll

        self.model = model
        # As in the recipes: what gains by XLA compiles itself.
        model.compile(
            keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON), EventNll(), jit_compile=False
        )

    def __call__(self, previous: np.ndarray, events: np.ndarray) -> float:
        self.model.reset_metrics()
        return float(self.model.train_on_batch(previous, events[..., None]))


class _TorchSide:
    def __init__(self, module: Any, is_compiled: bool):
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        module = module.to(self.device)
        trained = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, LEARNING_RATE, eps=EPSILON, fused=True)
        self.module = torch.compile(module) if is_compiled else module

    def __call__(self, previous: np.ndarray, events: np.ndarray) -> float:
        import torch

        ids, targets = (
            torch.from_numpy(x).to(self.device, torch.int64) for x in (previous, events)
        )
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.module(ids)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        self.optimizer.step()
        return loss.item()


def _batches(network: Network) -> list[tuple[np.ndarray, np.ndarray]]:
    """(what precedes each event + 1, 0 at the start; events); int32 [batch, steps]."""
    rng = np.random.default_rng(0)
    shape = (NUM_EQUAL_STEPS, network.batch_size, network.num_steps)
    events = rng.integers(0, NUM_CLASSES, shape, dtype=np.int32)
    previous = np.pad(events[..., :-1] + 1, ((0, 0), (0, 0), (1, 0)))
    return list(zip(previous, events, strict=True))


def prepare(num_threads: int, is_deterministic: bool) -> None:
    """Threads and determinism of both sides, before anything is built."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf
    import torch

    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    torch.set_num_threads(num_threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    torch.set_float32_matmul_precision("high")  # TensorFloat-32 on a GPU, as TensorFlow's default
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    if is_deterministic:
        tf.config.experimental.enable_op_determinism()


def _in_own_process(name: str, determinism: str) -> dict[str, Any]:
    given = [*sys.argv[1:], "--one", name, "--determinism", determinism]
    command = [sys.executable, "-m", "benchmarks.training_step", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr[-4000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print_rows(name: str, determinism: str, result: dict[str, Any]) -> None:
    peak = _arguments().peak_tflops
    medians = {side: median(values) for side, values in result["seconds"].items()}
    for side, seconds in medians.items():
        share = f"{result['flops'] / seconds / peak / 1e12:.1%}" if peak else "-"
        ratio = ""
        if side == "Keras":
            ratio = _ratios(medians)
        print(
            f"| {name} | {result['batch']} | {determinism} | {side} "
            f"(first step {result['first_seconds'][side]:.1f} s) | {1e3 * seconds:.0f} "
            f"| {1e3 * min(result['seconds'][side]):.0f} | {result['tokens'] / seconds:,.0f} "
            f"| {share} | {ratio} | {result['difference']:.1e} |",
            flush=True,
        )


def _ratios(medians: dict[str, float]) -> str:
    """Keras against the faster of eager and compiled, for each twin."""
    kinds = dict.fromkeys(s.removesuffix(", torch.compile") for s in medians if s != "Keras")
    ratios = {
        kind: min(v for side, v in medians.items() if side.startswith(kind)) / medians["Keras"]
        for kind in kinds
    }
    if len(ratios) == 1:
        return f"{next(iter(ratios.values())):.2f}"
    return "; ".join(f"{kind}: {ratio:.2f}" for kind, ratio in ratios.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--networks", default="lstm_2x128,lstm_3x512,transformer,wgan_gp")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--determinism", default="on,off", help="settings to measure")
    parser.add_argument(
        "--peak-tflops", type=float, default=0.0, help="of the device, fp32 or TF32"
    )
    parser.add_argument("--eager-only", action="store_true", help="leave torch.compile out")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
