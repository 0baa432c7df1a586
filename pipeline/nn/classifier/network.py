"""A convolutional classifier of time against pitch or frequency."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers


def picture_classifier(
    shape: Sequence[int],
    num_classes: int,
    patch: Sequence[int],
    conv_sizes: Sequence[int],
    dropout_rate: float,
) -> keras.Model:
    """Patches, blocks of convolution and pooling, mean and maximum over what is left, logits.

    The patches make the long axes short in one product, which on a CPU costs a fraction of what
    convolutions at full size do.

    Args:
      shape: of an input: time, pitch or frequency, channels.
      num_classes: logits.
      patch: time and pitch that the first layer takes at once, without overlap.
      conv_sizes: channels of the patches, then of each block; every block halves both axes.
      dropout_rate: before the last layer.

    Returns:
      float [batch, *shape] -> float [batch, num_classes].
    """
    inputs = keras.Input(tuple(shape))
    hidden = layers.Conv2D(conv_sizes[0], tuple(patch), strides=tuple(patch), padding="same")(
        inputs
    )
    hidden = layers.Activation("gelu")(layers.LayerNormalization()(hidden))
    for size in conv_sizes[1:]:
        hidden = layers.Conv2D(size, 3, padding="same")(hidden)
        hidden = layers.Activation("gelu")(layers.LayerNormalization()(hidden))
        if min(hidden.shape[1:3]) > 1:
            hidden = layers.MaxPooling2D(2, padding="same")(hidden)
    pooled = layers.Concatenate()(
        [layers.GlobalAveragePooling2D()(hidden), layers.GlobalMaxPooling2D()(hidden)]
    )
    logits = layers.Dense(num_classes)(layers.Dropout(dropout_rate, seed=0)(pooled))
    return keras.Model(inputs, logits, name="picture_classifier")
