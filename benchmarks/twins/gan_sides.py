"""Both sides of the GAN's step, given the same phrases, noise and mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np

MODEL = "gan_convolutional"
NUM_GENRES = 6
NAME = "wgan_gp"


class KerasGan:
    """The model of params.yaml's demo, trained by its own train_on_batch: -> its three losses.

    Args:
      optimizer: () -> a Keras optimizer.
    """

    def __init__(self, optimizer: Any):
        from pipeline import params
        from pipeline.nn.adversarial import critic, generators, wgan_gp
        from pipeline.nn.piano_roll import Geometry

        settings = params.load().model_copy(update={"profile": "demo"})
        own, corpus = settings.recipe_params(MODEL), settings.model(MODEL).corpus
        options = settings.codec_options(corpus)
        axes = Geometry(options.num_bars, options.steps_per_quarter, options.num_pitches, 5)
        self.axes, self.params = axes, own
        self.generator = generators.convolutional(
            *(axes, NUM_GENRES, own.latent_size, own.generator_sizes, own.generator_private_sizes)
        )
        self.critic = critic.critic(
            *(axes, NUM_GENRES, own.critic_private_sizes, own.critic_shared_sizes),
            own.critic_merged_size,
        )
        self.model = wgan_gp.ConditionalWgan(
            axes=axes,
            generator=self.generator,
            critic=self.critic,
            latent_size=own.latent_size,
            num_genres=NUM_GENRES,
            num_critic_steps=own.num_critic_steps,
            penalty=own.gradient_penalty,
            critic_optimizer=optimizer(),
        )
        self.model.compile(optimizer=optimizer(), jit_compile=False)
        self.model.optimizer.build(self.generator.trainable_variables)

    def __call__(self, batch: dict[str, Any]) -> list[float]:
        self.model.reset_metrics()
        found = self.model.train_on_batch(
            *(batch["rolls"], batch["genres"], np.ones(len(batch["rolls"]), np.float32)),
            return_dict=True,
        )
        return [float(found[k]) for k in ("loss", "gradient_penalty", "generator_loss")]

    def batches(self, num: int) -> list[dict[str, Any]]:
        """Random phrases, and what the model will draw in so many steps, from now on."""
        rng = np.random.default_rng(0)
        num_rows = self.params.batch_size * self.params.num_critic_steps
        draws = self._draws(num)
        return [
            {
                "rolls": (rng.random((num_rows, *self.axes.shape)) < 0.03).astype(np.float32),
                "genres": (np.arange(num_rows) % NUM_GENRES).astype(np.int64),
                **drawn,
            }
            for drawn in draws
        ]

    def _draws(self, num: int) -> list[dict[str, Any]]:
        """By a copy of the model's generator, compiled as it is: XLA draws other numbers."""
        import keras

        from pipeline.nn.compiled import compiled

        seeds = keras.random.SeedGenerator(0)
        seeds.state.assign(self.model.seeds.state)
        rows, size = self.params.batch_size, self.params.latent_size
        normal = compiled(lambda: keras.random.normal((rows, size), seed=seeds))
        uniform = compiled(lambda: keras.random.uniform((rows, 1, 1, 1), seed=seeds))
        return [
            {
                "critic": [
                    (normal().numpy(), uniform().numpy())
                    for _ in range(self.params.num_critic_steps)
                ],
                "latents": normal().numpy(),
            }
            for _ in range(num)
        ]


class TorchGan:
    """The twin's step; what it draws is given to it, which costs it nothing.

    Args:
      gan: whose weights are copied.
      has_convolutions: how the twins write layers of tracks.
      optimizer: parameters -> a torch optimizer.
    """

    def __init__(self, gan: KerasGan, has_convolutions: bool, optimizer: Any):
        import torch

        from benchmarks.twins import wgan_gp

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.num_critic_steps = gan.params.num_critic_steps
        critic = wgan_gp.Critic(gan.critic, gan.axes, has_convolutions).to(self.device)
        generator = wgan_gp.Generator(gan.generator, gan.axes, has_convolutions).to(self.device)
        self.step = wgan_gp.Step(critic, generator, gan.params.gradient_penalty, optimizer)

    def __call__(self, batch: dict[str, Any]) -> list[float]:
        import torch

        def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
            return [torch.from_numpy(x).to(self.device) for x in arrays]

        parts = zip(
            np.split(batch["rolls"], self.num_critic_steps),
            np.split(batch["genres"], self.num_critic_steps),
            batch["critic"],
            strict=True,
        )
        for rolls, genres, drawn in parts:
            distance, penalty = self.step.critic_step(*tensors(rolls, genres, *drawn))
        loss = self.step.generator_step(*tensors(genres, batch["latents"]))
        return [distance.item(), penalty.item(), loss.item()]
