"""What the params of a GAN of covers are built of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from pipeline.models._cover_gan_params import Params


def generator(params: Params, condition_size: int) -> keras.Model:
    """Of [latents, conditions] to pictures; of [latents] where condition_size is 0."""
    if params.architecture == "dcgan":
        from pipeline.nn.pictures import dcgan

        return dcgan.generator(
            params.generator_channels,
            params.latent_size,
            condition_size,
            params.generator_normalisation,
        )
    from pipeline.nn.pictures.stylegan2 import StyleGenerator

    return StyleGenerator(
        widths=params.generator_channels,
        latent_size=params.latent_size,
        condition_size=condition_size,
        style_size=params.style_size,
        num_mapping_layers=params.num_mapping_layers,
        mapping_rate=params.mapping_rate,
        mixing=params.mixing,
        truncation=params.truncation,
        name="generator",
    )


def discriminator(params: Params, condition_size: int) -> keras.Model:
    """Of [pictures, conditions] to logits; of [pictures] where condition_size is 0."""
    if params.architecture == "dcgan":
        from pipeline.nn.pictures import dcgan

        return dcgan.discriminator(
            params.discriminator_channels,
            params.feature_size,
            condition_size,
            params.discriminator_normalisation,
        )
    from pipeline.nn.pictures import stylegan2

    return stylegan2.discriminator(
        widths=params.discriminator_channels,
        condition_size=condition_size,
        feature_size=params.feature_size,
        num_mapping_layers=params.num_mapping_layers,
        mapping_rate=params.mapping_rate,
        group_size=params.group_size,
    )


def regularisation(params: Params) -> dict[str, Any]:
    """What PictureGan takes beside networks and losses."""
    from pipeline.nn.pictures.augmentation import AdaptiveAugmentation
    from pipeline.nn.pictures.regularisers import R1, PathLength

    of_discriminator = [R1(params.r1_weight, params.r1_interval)] if params.r1_weight else []
    of_generator = []
    if params.architecture == "stylegan2" and params.path_length_weight:
        of_generator = [PathLength(params.path_length_weight, params.path_length_interval)]
    augmentation = None
    if params.augmentations:
        augmentation = AdaptiveAugmentation(
            params.augmentations,
            params.augmentation_target,
            params.augmentation_interval,
            params.augmentation_num_pictures,
        )
    return {
        "discriminator_regularisers": of_discriminator,
        "generator_regularisers": of_generator,
        "augmentation": augmentation,
    }
