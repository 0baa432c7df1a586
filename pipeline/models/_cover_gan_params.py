"""What params.yaml sets for a GAN of covers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.models.base import Training

_Channels = tuple[int, ...]
_Normalisation = Literal["batch", "layer", "none"]
# fmt: off
_Augmentation = Literal[
    "flip", "turn", "shift", "scale", "rotation", "stretch", "slide",
    "brightness", "contrast", "luma_flip", "hue", "saturation",
]
# fmt: on


class Params(Training):
    """Of all architectures; those that only one has, say so."""

    architecture: Literal["dcgan", "stylegan2"] = Field(description="of both networks")
    size: int = Field(
        ge=8, le=1024, description="pixels a side that it draws; divides the corpus's"
    )
    loss: Literal["logistic", "wasserstein"] = Field(description="logistic is non-saturating")
    condition: str | None = Field(
        description="the encoder whose vectors of the track it is given, also named by `reads`; "
        "null: none"
    )
    condition_size: int = Field(ge=1, description="principal components of these vectors, at most")
    is_shuffled: bool = Field(
        description="the negative control: whether vectors are dealt out anew among the tracks"
    )
    is_mirrored: bool = Field(
        description="whether half the pictures are seen mirrored, lettering, too"
    )
    latent_size: int = Field(ge=2, description="length of the noise")
    generator_channels: _Channels = Field(
        min_length=1,
        description="of the maps of 4, 8, ... pixels; of dcgan up to half the size",
    )
    discriminator_channels: _Channels = Field(
        min_length=1,
        description="dcgan: of the maps from half the size down to 4 pixels; stylegan2: of 4, 8, "
        "... pixels",
    )
    feature_size: int = Field(ge=1, description="of what the discriminator compares conditions to")
    generator_normalisation: _Normalisation = Field(description="of dcgan")
    discriminator_normalisation: _Normalisation = Field(
        description="of dcgan; not batch with a gradient penalty, which is of single pictures"
    )
    num_critic_steps: int = Field(ge=1, description="of the discriminator, to one of the generator")
    gradient_penalty: float = Field(ge=0, description="weight of the penalty; 0: none")
    mismatch: float = Field(
        ge=0,
        lt=1,
        description="share, among what the discriminator is to tell from real pairs, of real "
        "pictures with another track's condition",
    )
    discriminator_learning_rate: float = Field(gt=0, lt=1, description="of its optimizer")
    beta_1: float = Field(ge=0, lt=1, description="Adam's, of both")
    beta_2: float = Field(ge=0, lt=1, description="Adam's, of both")
    decay_begin: float = Field(
        ge=0, le=1, description="part of the training after which both rates fall, to 0 at its end"
    )
    r1_weight: float = Field(ge=0, description="of the penalty on gradients at real pictures")
    r1_interval: int = Field(ge=1, description="steps to one with that penalty")
    ema_half_life: float = Field(
        ge=0, description="in pictures, of the average of the generator's weights; 0: none is made"
    )
    ema_ramp: float = Field(
        ge=0, description="limit to the half-life, as a share of the pictures so far; 0: none"
    )
    augmentations: tuple[_Augmentation, ...] = Field(
        description="what real and drawn pictures are altered by; none: []"
    )
    augmentation_target: float = Field(
        ge=-1, le=1, description="mean sign of real pictures' logits that it holds"
    )
    augmentation_interval: int = Field(ge=1, description="steps between two changes of it")
    augmentation_num_pictures: int = Field(
        ge=1, description="in which its probability rises from 0 to 1"
    )
    style_size: int = Field(ge=1, description="of w; of stylegan2")
    num_mapping_layers: int = Field(ge=0, description="of each network; of stylegan2")
    mapping_rate: float = Field(
        gt=0, le=1, description="factor on the rate of mapping layers; of stylegan2"
    )
    mixing: float = Field(ge=0, le=1, description="share with two styles; of stylegan2")
    truncation: float = Field(ge=0, le=1, description="psi; of stylegan2")
    group_size: int = Field(
        ge=1, description="pictures whose deviation is seen; divides batch_size; of stylegan2"
    )
    path_length_weight: float = Field(ge=0, description="of the regulariser; of stylegan2")
    path_length_interval: int = Field(ge=1, description="steps to one with it; of stylegan2")
    num_latents: int = Field(ge=1, description="covers for a track in the stage generate")
    num_train_sources: int = Field(
        ge=2, description="training albums that it draws for, besides held-out ones"
    )
    shuffle_window: int = Field(ge=1, description="records held in memory to be shuffled")

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        for name in ("generator_channels", "discriminator_channels"):
            doublings = len(getattr(self, name)) - (self.architecture == "stylegan2")
            if 4 * 2**doublings != self.size:
                rule = f"{self.architecture}'s {len(getattr(self, name))} maps are of "
                raise ValueError(f"{name}: {rule}{4 * 2**doublings} pixels, not size={self.size}")
        if self.gradient_penalty and self.discriminator_normalisation == "batch":
            rule = "with a gradient_penalty pictures may not see each other"
            raise ValueError(f"discriminator_normalisation=batch; {rule}")
        if self.architecture == "stylegan2" and self.batch_size % self.group_size:
            raise ValueError(
                f"batch_size={self.batch_size} is no multiple of group_size={self.group_size}"
            )
        return self
