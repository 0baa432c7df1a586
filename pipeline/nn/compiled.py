"""Compilation by the backend's own compiler: the one place that asks which backend runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of tensors, compiled by XLA for each new set of shapes.

    Loops written with keras.ops run several times faster so. Each set of shapes takes about a
    second to compile, so those that training sees should be few.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function


def has_gpu() -> bool:
    """Whether the TensorFlow backend sees a GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
