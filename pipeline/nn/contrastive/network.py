"""A small convolutional network whose features tell pictures apart, and its projection head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops


class ContrastiveNetwork(keras.Model):
    """Two views of each picture -> projections; `encoder` gives the features of one picture.

    float [batch, 2, size, size, 3] in [-1, 1] -> float32 [batch, 2, projection_size].

    Args:
      size: width and height of a view, in pixels.
      conv_sizes: channels of the first layer, then of each block; every one halves both axes.
      feature_size: of the layer before the projection head.
      projection_size: of what the loss compares.

    Source: Chen et al. 2020, section 2.1, with a network for small pictures in place of a ResNet.
    """

    def __init__(
        self,
        size: int,
        conv_sizes: Sequence[int],
        feature_size: int,
        projection_size: int,
        **options: Any,
    ):
        super().__init__(**options)
        self.size = size
        self.encoder = _encoder(size, conv_sizes, feature_size)
        self.head = _head(feature_size, projection_size)
        self.built = True

    def call(self, views: Any, training: bool = False) -> Any:
        pictures = ops.reshape(views, (-1, self.size, self.size, 3))
        projections = self.head(self.encoder(pictures, training=training), training=training)
        return ops.reshape(projections, (-1, 2, projections.shape[-1]))

    def features(self, pictures: Any) -> Any:
        """Of whole pictures, uint8 [pictures, s, s, 3] of any size: float32 [pictures, size]."""
        return ops.convert_to_numpy(self.encoder(resized(pictures, self.size), training=False))


def resized(pictures: Any, size: int) -> Any:
    """Pictures made smaller by area means, or larger bilinearly. uint8 -> float32 in -1..1"""
    pictures = tf.cast(pictures, tf.float32) / 127.5 - 1
    if pictures.shape[1:3] == (size, size):
        return pictures
    method = "area" if pictures.shape[1] > size else "bilinear"
    return tf.image.resize(pictures, (size, size), method)


def _encoder(size: int, conv_sizes: Sequence[int], feature_size: int) -> keras.Model:
    """float [pictures, size, size, 3] -> float32 [pictures, feature_size]"""
    pictures = keras.Input((size, size, 3))
    hidden = _activated(layers.Conv2D(conv_sizes[0], 5, 2, "same", use_bias=False)(pictures))
    for channels in conv_sizes[1:]:
        hidden = _activated(layers.Conv2D(channels, 3, 2, "same", use_bias=False)(hidden))
    pooled = layers.Concatenate()(
        [layers.GlobalAveragePooling2D()(hidden), layers.GlobalMaxPooling2D()(hidden)]
    )
    features = layers.Dense(feature_size, dtype="float32")(pooled)
    return keras.Model(pictures, features, name="encoder")


def _head(feature_size: int, projection_size: int) -> keras.Model:
    features = keras.Input((feature_size,))
    hidden = layers.Dense(feature_size, activation="relu")(features)
    projections = layers.Dense(projection_size, dtype="float32")(hidden)
    return keras.Model(features, projections, name="head")


def _activated(hidden: Any) -> Any:
    return layers.Activation("gelu")(layers.BatchNormalization(momentum=0.9)(hidden))
