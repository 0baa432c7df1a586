"""Which device computes, and how: the only place that decides it.

No setting of it is a DVC param; what it decides may still show in the last bits of trained weights.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with _muted():
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    _quieten()
    keras.utils.set_random_seed(seed)
    if os.environ.get("PIPELINE_DETERMINISTIC", "1") != "0":
        tf.config.experimental.enable_op_determinism()
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        keras.mixed_precision.set_global_policy("mixed_float16")
    if len(gpus) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextmanager
def _muted() -> Iterator[None]:
    """Keeps back what TensorFlow's C++ writes while it loads, before any log level holds.

    It is of CUDA libraries that a CPU machine lacks; if loading fails, all of it is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _quieten() -> None:
    """A finite validation set runs out at the end of each epoch: that is no news."""
    warnings.filterwarnings("ignore", message="Your input ran out of data")
