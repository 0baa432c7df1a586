"""Which device computes, and how: the only place that decides it. Nothing here enters dvc.lock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


def prepare(seed: int) -> tf.distribute.Strategy:
    """Sets seeds, determinism, precision and devices; call it before any model is built.

    GPUs where there are any (mixed precision; a MirroredStrategy over several), else the CPU.
    Determinism is on unless PIPELINE_DETERMINISTIC=0: equal runs then give equal bytes on one kind
    of processor.

    Args:
      seed: of Python's, NumPy's and Keras's generators.

    Returns:
      The strategy whose scope a model is built in.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    if os.environ.get("PIPELINE_DETERMINISTIC", "1") != "0":
        tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        keras.mixed_precision.set_global_policy("mixed_float16")
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
