"""Which device computes, and how: the only place that decides it, but for the GAN's precision.

No setting of it is a DVC param; what it decides may still show in the last bits of trained weights.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import tensorflow as tf


def prepare(seed: int, is_training: bool = False) -> tf.distribute.Strategy:
    """Sets seeds, determinism, precision and devices; call it before any model is built.

    A GPU where there is one (mixed precision), else the CPU. Training takes all GPUs, and all
    workers of the cluster that TF_CONFIG or SLURM names; sampling and evaluation are one process's.
    Determinism is on unless PIPELINE_DETERMINISTIC=0: equal runs then give equal bytes on one kind
    of processor.

    Args:
      seed: of Python's, NumPy's and Keras's generators.
      is_training: whether several devices and workers may take part.

    Returns:
      The strategy whose scope a model is built in.

    Raises:
      PipelineError: the cluster's description is wrong.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with _muted():
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    _quieten()
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    # Before anything is computed: TensorFlow starts its server with the first operation.
    strategy = _strategy(len(gpus)) if is_training else tf.distribute.get_strategy()
    keras.utils.set_random_seed(seed)
    if os.environ.get("PIPELINE_DETERMINISTIC", "1") != "0":
        tf.config.experimental.enable_op_determinism()
    if gpus:
        keras.mixed_precision.set_global_policy("mixed_float16")
    return strategy


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


def _strategy(num_gpus: int) -> tf.distribute.Strategy:
    import tensorflow as tf

    cluster = _cluster(num_gpus)
    if cluster:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster)
    if num_gpus > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _cluster(num_gpus: int) -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """TF_CONFIG's, else that of the SLURM step of which this process is a task; None if alone."""
    import tensorflow as tf

    text = os.environ.get("TF_CONFIG")
    if not text:
        return _slurm_cluster(num_gpus)
    try:
        addresses = json.loads(text).get("cluster", {})
        if not addresses:
            return None
        task = json.loads(text)["task"]
        own = addresses[task["type"]][int(task["index"])]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise PipelineError(f"TF_CONFIG={text} names no task of its cluster. {_CLUSTER}") from None
    if unknown := sorted(addresses.keys() - {"chief", "worker"}):
        raise PipelineError(f"TF_CONFIG has tasks of type {', '.join(unknown)}. {_CLUSTER}")
    if sum(map(len, addresses.values())) == 1:
        return None
    _say(f"{task['type']} {task['index']} at {own}: waiting for all others")
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()


_CLUSTER = (
    'Give it as {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
    " (docs/cluster.md), or unset it to train with this process alone."
)


def _slurm_cluster(num_gpus: int) -> tf.distribute.cluster_resolver.ClusterResolver | None:
    num_tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if num_tasks == 1:
        return None
    import tensorflow as tf

    job = int(os.environ.get("SLURM_JOB_ID", "0"))
    slurm = tf.distribute.cluster_resolver.SlurmClusterResolver(
        port_base=10_000 + job % 200 * 100,  # jobs on one node take ports of their own
        gpus_per_node=num_tasks,  # SLURM has bound the GPUs; else it asks nvidia-smi
        gpus_per_task=1,
        auto_set_gpu=False,
    )
    cluster = slurm.cluster_spec()
    task_type, task_id = slurm.get_task_info()
    own = cluster.task_address(task_type, task_id)
    here = os.environ.get("SLURMD_NODENAME", "")
    if here and here != own.rpartition(":")[0]:
        raise PipelineError(
            f"SLURM's task {task_id} runs on {here}, but TensorFlow, which sorts the nodes by name "
            f"and fills each in turn, looks for it at {own}. Run srun with --distribution=block, "
            "on nodes whose names sort as they are listed, or set TF_CONFIG."
        )
    _say(f"{task_type} {task_id} at {own}: waiting for all others")
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster,
        task_type=task_type,
        task_id=task_id,
        num_accelerators={"GPU": num_gpus},
        rpc_layer="grpc",
    )


def _say(words: str) -> None:
    print(f"pipeline.train: {words}", file=sys.stderr, flush=True)
