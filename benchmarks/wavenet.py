"""NSynth's WaveNet: a training step and fast generation, beside PyTorch twins and naive generation.

Usage: python -m benchmarks.wavenet [--rounds 9] [--threads 2] [--parts training,sampling]

Training: the autoencoder (decoder of 16 layers of 32 channels, encoder of 8 of 16) on 4 crops of
8,192 samples, with determinism off and on, each in a process of its own. Both sides take some steps
from the same weights first, and their losses must agree. The twin's layers are torch's own dilated
convolutions, run eagerly and by torch.compile.

Sampling: a decoder of 30 layers of 32 channels draws 2,000 samples of one note and of 16. The
naive sampler runs the whole network, compiled, on all that precedes a sample, at most its receptive
field, for each sample of one note; the samples must be the same. The twin has queues as well, and
draws by the same uniforms. Sides take turns; medians over rounds. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks import twins
from benchmarks.training_step import EPSILON, LEARNING_RATE, TOLERANCE, prepare

NUM_CLASSES, HOP_LENGTH, EMBEDDING_SIZE = 256, 512, 16
BATCH_SIZE, CROP_SAMPLES = 4, 8192
NUM_EQUAL_STEPS = 8
NUM_SAMPLES = 2000
NAIVE_LENGTHS = (512, 1024, 2000)  # that the naive sampler is compiled for


def main() -> None:
    arguments = _arguments()
    if not twins.can_run():
        return
    if arguments.one:
        print(json.dumps(_training(arguments)))
        return
    if "training" in arguments.parts:
        print(
            "| op determinism | side | ms/step | least | times the fastest twin | losses differ |"
        )
        print("|---|---|---:|---:|---:|---:|")
        for determinism in ("off", "on"):
            _print_training(determinism, _in_own_process(determinism))
    if "sampling" in arguments.parts:
        prepare(arguments.threads, is_deterministic=False)
        print("\n| notes | sampler | samples/s | times: queues are faster | same samples |")
        print("|---:|---|---:|---:|---:|")
        for num_notes in (1, 16):
            _print_sampling(num_notes, arguments)


def autoencoder(num_layers: int, layers_per_stage: int) -> Any:
    """Built, with weights far from uniform logits."""
    from pipeline.nn.wavenet.autoencoder import WavenetAutoencoder
    from pipeline.nn.wavenet.decoder import Decoder
    from pipeline.nn.wavenet.encoder import Encoder

    model = WavenetAutoencoder(
        Encoder(NUM_CLASSES, 16, 8, 8, 3, EMBEDDING_SIZE, HOP_LENGTH),
        Decoder(NUM_CLASSES, 0, 32, 64, num_layers, layers_per_stage, 3, 3, EMBEDDING_SIZE),
    )
    model.build()
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(scale=variable.shape[0] ** -0.5, size=variable.shape))
    return model


def naive(decoder: Any, embedding: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """One note, by the whole decoder for each sample. int32 [samples].

    Args:
      decoder: with a receptive field of at least the samples.
      embedding: one frame, which holds for all of the note. Shape [1, 1, embedding_size].
      uniforms: Shape [samples].
    """
    import keras

    from pipeline.nn.compiled import compiled
    from pipeline.nn.wavenet._queues import draw_rows

    def logits_of(classes: Any, t: Any) -> Any:
        # Not [:, t], for whose place XLA would compile anew.
        return keras.ops.take(decoder(classes, embedding), t, axis=1)

    whole = compiled(logits_of)
    drawn = np.zeros((1, len(uniforms)), np.int32)
    for t in range(len(uniforms)):
        length = next(n for n in NAIVE_LENGTHS if n > t)
        logits = np.asarray(whole(drawn[:, :length], np.array(t, np.int32)))
        drawn[:, t] = draw_rows(logits, uniforms[t : t + 1], np.float32(1))
    return drawn[0]


def _training(arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of each side's steps, and how far the losses are apart."""
    import keras

    from benchmarks.twins.wavenet import Wavenet

    prepare(arguments.threads, arguments.one == "on")
    model = autoencoder(16, 8)
    sides: dict[str, Any] = {
        "torch": _torch_side(Wavenet(model), is_compiled=False),
        "torch, torch.compile": _torch_side(Wavenet(model), is_compiled=True),
    }
    model.compile(keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON), jit_compile=False)

    def keras_side(classes: np.ndarray) -> float:
        model.reset_metrics()
        return float(model.train_on_batch(classes, classes))

    sides["Keras"] = keras_side
    rng = np.random.default_rng(1)
    shape = (NUM_EQUAL_STEPS, BATCH_SIZE, CROP_SAMPLES)
    batches = rng.integers(0, NUM_CLASSES, shape, dtype=np.int32)
    losses = {name: [side(batch) for batch in batches] for name, side in sides.items()}
    difference = max(np.abs(np.subtract(losses["Keras"], x)).max() for x in losses.values())
    if not difference <= TOLERANCE:
        raise SystemExit(f"losses differ by {difference} > {TOLERANCE}: {losses}")
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, side in sides.items():
            side(batches[0])
            started = time.perf_counter()
            side(batches[1])
            seconds[name].append(time.perf_counter() - started)
    return {"seconds": seconds, "difference": float(difference)}


def _torch_side(module: Any, is_compiled: bool) -> Any:
    import torch

    optimizer = torch.optim.Adam(module.parameters(), LEARNING_RATE, eps=EPSILON, fused=True)
    run = torch.compile(module) if is_compiled else module

    def step(classes: np.ndarray) -> float:
        ids = torch.from_numpy(classes).long()
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(run(ids).flatten(0, 1), ids.flatten())
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def _in_own_process(determinism: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.wavenet", *sys.argv[1:], "--one", determinism]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr[-4000:])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print_training(determinism: str, result: dict[str, Any]) -> None:
    medians = {side: median(values) for side, values in result["seconds"].items()}
    fastest = min(v for side, v in medians.items() if side != "Keras")
    for side, seconds in medians.items():
        ratio = f"{fastest / seconds:.2f}" if side == "Keras" else ""
        least = min(result["seconds"][side])
        print(
            f"| {determinism} | {side} | {1e3 * seconds:.0f} | {1e3 * least:.0f} | {ratio} "
            f"| {result['difference']:.1e} |",
            flush=True,
        )


def _print_sampling(num_notes: int, arguments: argparse.Namespace) -> None:
    import torch

    from benchmarks.twins.wavenet import QueueSampler
    from pipeline.nn.wavenet.sampling import generated

    model = autoencoder(30, 10)
    rng = np.random.default_rng(2)
    embeddings = rng.normal(size=(num_notes, 1, EMBEDDING_SIZE)).astype(np.float32)
    uniforms = rng.random((num_notes, NUM_SAMPLES))
    given = torch.from_numpy(embeddings), torch.from_numpy(uniforms)
    samplers: dict[str, Any] = {
        "queues (numba)": lambda: generated(model.decoder, embeddings, uniforms),
        "PyTorch twin, queues": lambda: QueueSampler(model, False)(*given).numpy(),
    }
    if not arguments.eager_only:
        compiled_twin = QueueSampler(model, True)
        samplers["PyTorch twin, queues, torch.compile"] = lambda: compiled_twin(*given).numpy()
    drawn = {name: sampler() for name, sampler in samplers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in samplers}
    for _ in range(max(1, arguments.rounds // 3)):
        for name, sampler in samplers.items():
            started = time.perf_counter()
            sampler()
            seconds[name].append(time.perf_counter() - started)
    if num_notes == 1:
        started = time.perf_counter()
        drawn["naive (Keras, compiled)"] = naive(model.decoder, embeddings, uniforms[0])[None]
        seconds["naive (Keras, compiled)"] = [time.perf_counter() - started]
    own = median(seconds["queues (numba)"])
    for name, values in seconds.items():
        same = np.mean(drawn[name] == drawn["queues (numba)"])
        rate = num_notes * NUM_SAMPLES / median(values)
        print(
            f"| {num_notes} | {name} | {rate:,.0f} | {median(values) / own:.1f} | {same:.2%} |",
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.wavenet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--parts", default="training,sampling")
    parser.add_argument("--eager-only", action="store_true", help="no torch.compile in sampling")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
