"""A WGAN-GP step on pictures of 64 pixels in Keras beside its PyTorch twin, one run.

Usage: python -m benchmarks.cover_gan [--rounds 9] [--threads 2] [--batch-size 32] [--width 32]

One step of the critic, with its penalty, and one of the generator, without normalisation and
condition: channels of width, 2, 4 and 8 times width. Both sides first take some steps from equal
weights with equal noise, by plain descent; their losses must agree. Then rounds are timed in which
each takes two steps in turn, the second of which counts; Adam, fp32. The twin keeps its pictures
with channels first or last. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks import twins
from benchmarks.training_step import prepare

SIZE, LATENT_SIZE, FEATURE_SIZE, PENALTY = 64, 128, 128, 10.0
RATE, BETAS, EPSILON = 1e-4, (0.0, 0.9), 1e-9
DESCENT_RATE, NUM_EQUAL_STEPS, TOLERANCE = 1e-5, 6, 2e-3


def main() -> None:
    arguments = _arguments()
    if not twins.can_run():
        return
    prepare(arguments.threads, is_deterministic=False)
    sides, batches = _sides(arguments, is_descent=True)
    losses = {name: [side(batch) for batch in batches] for name, side in sides.items()}
    difference = max(float(np.abs(np.subtract(losses["Keras"], x)).max()) for x in losses.values())
    if not difference <= TOLERANCE:
        raise SystemExit(f"losses differ by {difference} > {TOLERANCE}: {losses}")
    seconds = _seconds(*_sides(arguments, is_descent=False), arguments.rounds)
    fastest = min(median(seconds[name]) for name in seconds if name != "Keras")
    print("| side | ms/step | least | times the fastest twin | losses differ |")
    print("|---|---:|---:|---:|---:|")
    for name, found in seconds.items():
        middle, least = median(found), min(found)
        times = fastest / middle
        print(
            f"| {name} | {1e3 * middle:.1f} | {1e3 * least:.1f} | {times:.2f} | {difference:.1e} |"
        )


def _sides(arguments: argparse.Namespace, is_descent: bool) -> tuple[dict[str, Any], list[Any]]:
    """What takes a batch and gives the losses before its step, by name; and batches."""
    import keras
    import torch

    def of_keras() -> Any:
        if is_descent:
            return keras.optimizers.SGD(DESCENT_RATE)
        return keras.optimizers.Adam(RATE, *BETAS, epsilon=EPSILON)

    def of_torch(parameters: Any) -> Any:
        if is_descent:
            return torch.optim.SGD(parameters, DESCENT_RATE)
        return torch.optim.Adam(parameters, RATE, BETAS, eps=EPSILON, fused=True)

    gan = _KerasSide(arguments.width, of_keras)
    formats = {"first": torch.contiguous_format, "last": torch.channels_last}
    sides: dict[str, Any] = {
        f"torch, channels {name}": _TorchSide(gan.model, memory_format, of_torch)
        for name, memory_format in formats.items()
    }
    return {**sides, "Keras": gan}, gan.batches(NUM_EQUAL_STEPS, arguments.batch_size)


class _KerasSide:
    """The trainer by its own train_on_batch."""

    def __init__(self, width: int, optimizer: Any):
        from pipeline.nn.pictures import dcgan
        from pipeline.nn.pictures.trainer import PictureGan

        channels = (8 * width, 4 * width, 2 * width, width)
        self.model = PictureGan(
            generator=dcgan.generator(channels, LATENT_SIZE, 0, "none"),
            discriminator=dcgan.discriminator(channels[::-1], FEATURE_SIZE, 0, "none"),
            condition=None,
            latent_size=LATENT_SIZE,
            loss="wasserstein",
            discriminator_optimizer=optimizer(),
            penalty=PENALTY,
        )
        self.model.compile(optimizer())

    def __call__(self, batch: dict[str, np.ndarray]) -> list[float]:
        self.model.reset_metrics()
        pictures, rows = batch["pictures"], len(batch["pictures"])
        found = self.model.train_on_batch(
            *(pictures, np.zeros((rows, 1), np.float32), np.ones(rows, np.float32)),
            return_dict=True,
        )
        return [float(found[k]) for k in ("loss", "gradient_penalty", "generator_loss")]

    def batches(self, num: int, rows: int) -> list[dict[str, np.ndarray]]:
        """Random pictures, and what the model will draw in so many steps, from now on."""
        import keras

        seeds = keras.random.SeedGenerator(0)
        seeds.state.assign(self.model.seeds.state)
        rng = np.random.default_rng(0)
        return [
            {
                "pictures": rng.uniform(-1, 1, (rows, SIZE, SIZE, 3)).astype(np.float32),
                "latents": keras.random.normal((rows, LATENT_SIZE), seed=seeds).numpy(),
                "mix": keras.random.uniform((rows, 1, 1, 1), seed=seeds).numpy(),
                "next_latents": keras.random.normal((rows, LATENT_SIZE), seed=seeds).numpy(),
            }
            for _ in range(num)
        ]


class _TorchSide:
    """The twin's step; what it draws is given to it, which costs it nothing."""

    def __init__(self, model: Any, memory_format: Any, optimizer: Any):
        import torch

        from benchmarks.twins import cover_gan

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        networks = (
            cover_gan.Discriminator(model.discriminator).to(self.device),
            cover_gan.Generator(model.generator).to(self.device),
        )
        self.step = cover_gan.Step(*networks, PENALTY, memory_format, optimizer)

    def __call__(self, batch: dict[str, np.ndarray]) -> list[float]:
        import torch

        given = {name: torch.from_numpy(x).to(self.device) for name, x in batch.items()}
        pictures = given["pictures"].permute(0, 3, 1, 2)
        found = self.step.discriminator_step(pictures, given["latents"], given["mix"])
        return [*found, self.step.generator_step(given["next_latents"])]


def _seconds(sides: dict[str, Any], batches: list[Any], num_rounds: int) -> dict[str, list[float]]:
    """Of each side's every second step, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(num_rounds):
        for name, step in sides.items():
            step(batches[0])
            started = time.perf_counter()
            step(batches[1])
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=32)
    return parser.parse_args()


if __name__ == "__main__":
    main()
