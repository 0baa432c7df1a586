"""SIGKILL at any moment of a training, then again: the undisturbed model, an epoch lost at most."""

import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import time

import numpy as np
import pytest

from pipeline import files
from pipeline.errors import PipelineError
from tests import scratch

MODEL = "melody_basic"
CORPUS, DATASET = "lakh_melody", "lakh"
EPOCHS = 6
OUTS = (
    f"data/models/{MODEL}/model.weights.h5",
    f"data/models/{MODEL}/model.json",
    f"reports/train/{MODEL}/metrics.json",
    f"reports/train/{MODEL}/plots/curves.csv",
)
# The call in whose middle a training is killed: module, function, what its arguments hold.
MOMENTS = {
    "a checkpoint is written, but not in its place": ("os", "replace", "checkpoint.npz"),
    "the weights are there, what they are of is not": ("files", "write_json", "model.json"),
    "the model is whole, but not in its place": ("os", "replace", f"/{MODEL}'"),
    "the model is there, its numbers are not": ("files", "write_json", "metrics.json"),
    "all is there, but nothing says so": ("files", "write_json", "finished.json"),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = scratch.clone(tmp_path_factory.mktemp("clone"))
    scratch.edit(folder, rf"(  {MODEL}:[\s\S]*?smoke: {{[^}}]*epochs:) \d+", rf"\1 {EPOCHS}")
    for stage, item in (("fetch", DATASET), ("shard", CORPUS)):
        scratch.run(folder, sys.executable, "-m", f"pipeline.{stage}", item)
    return folder


@pytest.fixture(scope="module")
def start(clone):
    """Starts a training; the processes fork from one that has imported TensorFlow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras", "mlflow", "tests.test_training_kills"])
    log = clone / "log"

    def started(moment=None):
        log.write_text("")
        process = context.Process(target=_train, args=(str(log), moment))
        process.start()
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(clone))
        patch.setenv("KERAS_BACKEND", "tensorflow")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{clone}/mlflow.db")
        yield started


def _train(log, moment):
    """In a process of its own."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from pipeline import train

    if moment:
        module, function, word = moment
        owner = {"os": os, "files": files}[module]
        setattr(owner, function, _killing(getattr(owner, function), word))
    train.main(MODEL)


def _killing(function, word):
    def killing(*arguments):
        if word in str(arguments[:2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return killing


@pytest.fixture(scope="module")
def undisturbed(clone, start):
    """The outs' bytes, and the seconds from the first epoch to the end."""
    process = start()
    _await_epoch(clone, process)
    started = time.perf_counter()
    _end(clone, process, 0)
    seconds = time.perf_counter() - started
    outs = _outs(clone)
    for path in (".work/train", f"data/models/{MODEL}", f"reports/train/{MODEL}"):
        shutil.rmtree(clone / path)
    return outs, seconds


def _outs(clone):
    return [(clone / path).read_bytes() for path in OUTS]


def _await_epoch(clone, process):
    while "Epoch " not in (clone / "log").read_text():
        assert process.is_alive(), (clone / "log").read_text()[-3000:]
        time.sleep(0.005)


def _end(clone, process, status):
    process.join()
    assert process.exitcode == status, (clone / "log").read_text()[-3000:]


def _epochs(clone):
    """The epochs that the last training began."""
    return [int(n) for n in re.findall(r"^Epoch (\d+)/", (clone / "log").read_text(), re.M)]


def test_a_training_killed_eight_times_gives_the_undisturbed_model(clone, start, undisturbed):
    outs, seconds = undisturbed
    rng = random.Random(5)
    begun = 1
    for _ in range(3):
        process = start()
        _await_epoch(clone, process)
        time.sleep(rng.uniform(0, seconds / 3))
        process.kill()
        _end(clone, process, -signal.SIGKILL)
        begun = _gone_on(clone, begun)
    for moment in MOMENTS.values():
        _end(clone, start(moment), -signal.SIGKILL)
        begun = _gone_on(clone, begun)
    _end(clone, start(), 0)
    assert _epochs(clone) == []  # finished long ago, only not said
    assert _outs(clone) == outs
    assert [p.name for p in (clone / "data/models").iterdir()] == [MODEL]


def _gone_on(clone, begun):
    """Checks that training went on where it was, or an epoch before; the last epoch it began."""
    epochs = _epochs(clone)
    if not epochs:
        return begun
    assert epochs[0] in (begun, begun + 1)
    return epochs[-1]


def test_what_dvc_has_recorded_is_trained_anew(clone, start, undisturbed):
    """Until then a finished training is not lost; from then on, to run it again means that."""
    out = files.read_json(next(clone.glob(f".work/train/{MODEL}/*/finished.json")))["out"]
    entry = f"outs: [{{path: data/models/{MODEL}, md5: {out}}}]"
    (clone / "dvc.lock").write_text(f"stages: {{train@{MODEL}: {{{entry}}}}}\n")
    _end(clone, start(), 0)
    assert _epochs(clone) == list(range(1, EPOCHS + 1))
    assert _outs(clone) == undisturbed[0]


def test_a_second_training_of_a_model_is_told_to_wait(clone, start):
    import fcntl

    with open(clone / ".work/train" / MODEL / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _end(clone, start(), 1)
    assert f"models.{MODEL} is being trained by another process" in (clone / "log").read_text()


def test_every_state_is_saved(tmp_path):
    """A model with its own step, loss, optimizers, schedule, loss scale and kinds of draws."""
    weights, history = _fitted(tmp_path / "undisturbed", [6])
    resumed, history_resumed = _fitted(tmp_path / "resumed", [2, 3, 6])
    assert history_resumed == history
    for plain, again in zip(weights, resumed, strict=True):
        np.testing.assert_array_equal(plain, again)


def _fitted(folder, ends):
    """Trains up to each of these epochs with a model made anew; gives its state and curves."""
    import keras
    import tensorflow as tf

    from pipeline.checkpoints import Checkpoints, _variables

    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(64, 6)).astype(np.float32)
    rows = tf.data.Dataset.from_tensor_slices((inputs, inputs[:, :2], np.ones(64, np.float32)))
    batches = rows.batch(8).repeat()
    for end in ends:
        keras.utils.set_random_seed(7)
        model = _model()
        checkpoints = Checkpoints(folder, patience=100)
        checkpoints.restore(model)
        done = checkpoints.num_epochs
        model.fit(
            batches.skip(done * 3),
            validation_data=batches.take(2),
            initial_epoch=done,
            epochs=end,
            steps_per_epoch=3,
            callbacks=[checkpoints],
            shuffle=False,
            verbose=0,
        )
        assert checkpoints.num_epochs == end
    return [v.numpy() for v in _variables(model)] + checkpoints.best, checkpoints.history


def _model():
    import keras
    from keras import ops

    class Noise(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts = {"own": [keras.random.SeedGenerator(3)]}

        def call(self, inputs, training=False):
            if not training:
                return inputs
            own = keras.random.normal(ops.shape(inputs), seed=self.parts["own"][0])
            return inputs + 0.1 * own + 0.1 * keras.random.normal(ops.shape(inputs))

    class Model(keras.Model):
        """A mean of weights in place of a second network, with an optimizer of its own."""

        def __init__(self):
            super().__init__()
            layers = keras.layers
            self.noise, self.dropout = Noise(), layers.Dropout(0.5)
            self.dense, self.scale = layers.Dense(2), layers.Dense(2, use_bias=False)
            self.norm = layers.BatchNormalization()
            self.kl = keras.metrics.Mean(name="kl")
            self.other_optimizer = keras.optimizers.RMSprop(0.01)
            self.build((None, 6))

        def build(self, input_shape):
            self.dense.build(input_shape)
            self.norm.build((None, 2))
            self.scale.build((None, 2))
            self.other_optimizer.build(self.scale.trainable_variables)
            self.built = True

        def call(self, inputs, training=False):
            outputs = self.dense(
                self.dropout(self.noise(inputs, training=training), training=training)
            )
            return self.scale(self.norm(outputs, training=training))

        def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
            beta = ops.minimum(ops.cast(self.optimizer.iterations, "float32") / 10, 1)
            kl = ops.mean(ops.square(y_pred))
            self.kl.update_state(kl)
            return ops.mean(ops.square(y - y_pred)) + beta * kl

        def train_step(self, data):
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = self.compute_loss(data[0], data[1], self(data[0], training=True))
            scales = self.scale.trainable_variables
            gradients = tape.gradient(loss, scales)
            self.other_optimizer.apply(gradients, scales)
            return super().train_step(data)

    schedule = keras.optimizers.schedules.CosineDecay(0.05, 20)
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(schedule, use_ema=True), initial_scale=8.0, dynamic_growth_steps=4
    )
    model = Model()
    model.compile(scaled)
    return model


def test_an_unbuilt_optimizer_is_told(tmp_path):
    """Its state could not be restored."""
    import keras

    from pipeline.checkpoints import Checkpoints

    model = _model()
    model.other_optimizer = keras.optimizers.Adagrad(0.01, name="adagrad")
    with pytest.raises(PipelineError, match="optimizer adagrad"):
        Checkpoints(tmp_path, patience=1).restore(model)
