"""Several devices and workers train as one does: equal curves, one writer, the chief's checkpoint.

TensorFlow's server listens on every interface, so workers run in a network namespace of their own.
"""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pipeline import files, hardware
from pipeline.errors import PipelineError
from tests import scratch

MODEL = "melody_basic"
CORPUS, DATASET = "lakh_melody", "lakh"
# Each replica draws its own dropout, so curves can be equal only without.
SMOKE = "dropout_rate: 0.0, window_steps: 32, bucket_steps: 32"
ADDRESSES = ["127.0.0.1:21001", "127.0.0.1:21002"]
DEVICES = ["CPU:0", "CPU:1", "CPU:2"]

_LAUNCH = """
import fcntl, json, os, socket, struct, subprocess, sys
with socket.socket() as s:  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING: the namespace's loopback
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x41))
workers = [
    subprocess.Popen([sys.executable, "-m", "pipeline.train", name], cwd=folder,
                     env={**os.environ, **variables}, stderr=open(log, "w"))
    for name, folder, variables, log in json.loads(sys.argv[1])
]
sys.exit(max(abs(w.wait()) for w in workers))
"""


def _namespace():
    """The command that gives its command a network of its own; None where it is not allowed."""
    command = ["unshare", "--map-root-user", "--net"]
    try:
        ended = subprocess.run([*command, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return command if ended.returncode == 0 else None


NAMESPACE = _namespace()
alone = pytest.mark.skipif(
    not NAMESPACE, reason="no network namespace: workers would listen to all"
)


def _tf_config(index):
    task = {"type": "worker", "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": ADDRESSES}, "task": task})}


def _slurm_step(index):
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_PROCID": str(index),
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURMD_NODENAME": "localhost",
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A clone with the corpus, and its untouched copies for other ways to train."""
    first = scratch.clone(tmp_path_factory.mktemp("clone"))
    smoke = rf"(  {MODEL}:[\s\S]*?smoke: {{)"
    scratch.edit(first, smoke, rf"\1{SMOKE}, ")
    for stage, item in (("fetch", DATASET), ("shard", CORPUS)):
        scratch.run(first, sys.executable, "-m", f"pipeline.{stage}", item)

    def copy(name):
        return shutil.copytree(first, first.parent / f"{first.name}-{name}", symlinks=True)

    return copy


@pytest.fixture(scope="module")
def one(made):
    """What one worker with one device gives."""
    folder = made("one")
    scratch.run(folder, sys.executable, "-m", "pipeline.train", MODEL)
    return folder


def _launched(folders, variables):
    workers = [
        (MODEL, str(folder), variables(i), str(folders[0].parent / f"worker-{i}.log"))
        for i, folder in enumerate(folders)
    ]
    return subprocess.Popen(
        [*NAMESPACE, sys.executable, "-c", _LAUNCH, json.dumps(workers)],
        env=scratch.environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )


def _said(folder):
    return [(folder.parent / f"worker-{i}.log").read_text()[-3000:] for i in range(2)]


def _curves(folder):
    path = folder / "reports/train" / MODEL / "plots/curves.csv"
    return np.genfromtxt(path, delimiter=",", skip_header=1)


def _files(folder):
    return sorted(p for p in folder.rglob("*") if "__pycache__" not in p.parts)


@alone
def test_two_workers_killed_and_resumed_train_as_one(made, one):
    """First each in its folder, to see who writes; then in the chief's, from its checkpoint."""
    chief, other = made("chief"), made("other")
    before = _files(other)
    process = _launched([chief, other], _tf_config)
    checkpoints = chief / ".work/train" / MODEL
    while not list(checkpoints.glob("*/checkpoint.npz")):
        assert process.poll() is None, _said(chief)
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert _files(other) == before

    process = _launched([chief, chief], _slurm_step)
    assert process.wait() == 0, _said(chief)
    np.testing.assert_allclose(_curves(chief), _curves(one), rtol=1e-5)
    assert _num_parameters(chief) == _num_parameters(one)
    resumed = files.read_json(next(checkpoints.glob("*/finished.json")))
    assert resumed["out"].endswith(".dir")


def _num_parameters(folder):
    return files.read_json(folder / "reports/train" / MODEL / "metrics.json")["num_parameters"]


def test_two_devices_train_as_one(made, one, monkeypatch):
    folder = made("devices")
    monkeypatch.setenv("DVC_ROOT", str(folder))
    _in_child(_train_on_two_devices)
    np.testing.assert_allclose(_curves(folder), _curves(one), rtol=1e-5)


def _train_on_two_devices():
    import tensorflow as tf

    from pipeline import train

    _logical_devices(2)
    hardware._strategy = lambda num_gpus: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    train.main(MODEL)


@pytest.fixture(scope="module")
def seen():
    """What one process with three logical devices sees, in the environment of a cluster."""
    variables = _tf_config(0) | _slurm_step(0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return _in_child(_look)


def _look():
    _logical_devices(len(DEVICES))
    return _histories(), _draws(), hardware.prepare(0).num_replicas_in_sync


def test_sampling_never_waits_for_a_cluster(seen):
    """Its variables may stand in the environment of generate and evaluate, too."""
    assert seen[2] == 1


def test_unequal_weights_and_rows_count_as_in_one_batch(seen):
    """A model with a loss of its own, clipping, padding, a batch of 1 row: 1 and 3 replicas."""
    one, three = seen[0]
    assert one.keys() == three.keys()
    for name, values in one.items():
        np.testing.assert_allclose(three[name], values, rtol=1e-6, err_msg=name)


def _histories():
    import tensorflow as tf

    strategies = [tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(DEVICES)]
    return [_history(strategy) for strategy in strategies]


def _history(strategy):
    import keras
    import tensorflow as tf

    from pipeline import replicas

    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = _model()
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(61, 5, 4)).astype(np.float32)
    likely = np.linspace(0.1, 1, 61)[:, None]  # so that the parts of a batch differ
    weights = (rng.uniform(size=(61, 5)) < likely).astype(np.float32)
    weights[:, 0] = 1
    rows = tf.data.Dataset.from_tensor_slices((inputs, inputs.sum(-1, keepdims=True), weights))
    train, validation = rows.take(48).batch(12).repeat(), rows.skip(48).batch(12)
    replicas.spread(model, strategy, train)
    history = model.fit(
        replicas.parted(train, strategy),
        validation_data=replicas.parted(validation, strategy),
        epochs=3,
        steps_per_epoch=4,
        verbose=0,
    )
    return history.history


def _model():
    import keras
    from keras import ops

    class Model(keras.Model):
        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            errors = ops.abs(y - y_pred)[..., 0] * sample_weight
            return ops.sum(errors) / ops.sum(sample_weight)

    inputs = keras.Input((None, 4))
    outputs = keras.layers.Dense(1)(keras.layers.LSTM(8, return_sequences=True)(inputs))
    model = Model(inputs, outputs)
    metric = keras.metrics.MeanSquaredError(name="mse")
    model.compile(keras.optimizers.Adam(0.01, global_clipnorm=0.05), weighted_metrics=[metric])
    return model


def test_replicas_draw_their_own_dropout(seen):
    first, second, third = seen[1]
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


def _draws():
    import keras
    import tensorflow as tf

    from pipeline import replicas

    strategy = tf.distribute.MirroredStrategy(DEVICES)
    with strategy.scope():
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dropout(0.5)])
        model.compile("sgd", "mse")
    ones = np.ones((2, 8), np.float32)
    batches = tf.data.Dataset.from_tensors((ones, ones, ones[:, 0]))
    replicas.spread(model, strategy, batches)
    drawn = strategy.run(tf.function(lambda: model(ones, training=True)))
    return [x.numpy() for x in strategy.experimental_local_results(drawn)]


def test_a_worker_that_goes_on_from_elsewhere_is_refused():
    import tensorflow as tf

    from pipeline import replicas

    class Strategy:
        num_replicas_in_sync = 2
        other = 0

        def run(self, function):
            return function()

        def gather(self, numbers, axis):
            return tf.concat([numbers, numbers + self.other], axis)

    replicas.require_agreement(Strategy(), "epoch 1")
    Strategy.other = 1
    with pytest.raises(PipelineError, match=r"the workers disagree.*epoch 1"):
        replicas.require_agreement(Strategy(), "epoch 1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "names no task"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "names no task"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
            "names no task",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "type ps",
        ),
    ],
)
def test_a_wrong_cluster_is_told(text, words, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(PipelineError, match=words):
        hardware._cluster(0)


@pytest.mark.parametrize(
    "text", ["{}", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}']
)
def test_a_cluster_of_one_is_none(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    assert hardware._cluster(0) is None


def test_slurm_places_tasks_where_tensorflow_looks_for_them(monkeypatch):
    nodes = {"SLURM_STEP_NODELIST": "n[08-10]", "SLURM_STEP_TASKS_PER_NODE": "2(x2),1"}
    step = {**_slurm_step(3), **nodes, "SLURM_STEP_NUM_TASKS": "5", "SLURMD_NODENAME": "n09"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    cluster = hardware._cluster(2)
    assert cluster.cluster_spec().as_dict() == {
        "worker": ["n08:10700", "n08:10701", "n09:10700", "n09:10701", "n10:10700"]
    }
    assert (cluster.task_type, cluster.task_id) == ("worker", 3)
    assert cluster.num_accelerators() == {"GPU": 2}
    monkeypatch.setenv("SLURMD_NODENAME", "n10")
    with pytest.raises(PipelineError, match="runs on n10"):
        hardware._cluster(2)


def _logical_devices(count):
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(cpu, logical)


def _in_child(function):
    """TensorFlow's devices are chosen once a process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function)
