"""One model on several devices or machines: each computes its part of every batch.

What comes out is what one device gives for the same batches, but for the order of its sums. Keras'
own `fit` does not: under MultiWorkerMirroredStrategy it fails (keras-team/keras#20585), and under
MirroredStrategy it clips each replica's gradient by itself, and takes the mean of the replicas'
means, which is not the batch's where they hold unlike amounts of padding.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.losses import loss as keras_loss

from pipeline.errors import PipelineError


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes what comes of the training; the others only compute."""
    cluster = strategy.cluster_resolver
    if cluster is None or cluster.task_type is None:
        return True
    has_chief = "chief" in cluster.cluster_spec().jobs
    return cluster.task_type == "chief" or (not has_chief and cluster.task_id == 0)


def require_agreement(strategy: tf.distribute.Strategy, state: str) -> None:
    """Waits for all workers, and refuses those that would go on from elsewhere than the chief.

    Args:
      strategy: all workers call it at the same point.
      state: what they must agree on.

    Raises:
      PipelineError: it differs between workers.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    number = int(hashlib.sha256(state.encode()).hexdigest()[:15], 16)
    numbers = strategy.run(tf.function(lambda: tf.constant([number], tf.int64)))
    if len(set(strategy.gather(numbers, axis=0).numpy().tolist())) > 1:
        raise PipelineError(
            "the workers disagree on code, params, data or checkpoint: here it is "
            f"{state}. All must run in one directory, on a file system that they share."
        )


def parted(batches: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """Each replica's part of the same batches, in the same order; rows stay in theirs.

    tf.data's own sharding would give each worker other batches than one worker sees. Here each
    reads all, and takes its rows. A batch with fewer rows than replicas is filled with copies of
    its first one, of weight 0.

    Args:
      batches: (inputs, targets, weights), each or each part of it with one row an example.
      strategy: where they go.

    Returns:
      What `fit` takes; `batches` themselves where there is one replica.
    """
    num_parts = strategy.num_replicas_in_sync
    if num_parts == 1:
        return batches

    def of_worker(worker: tf.distribute.InputContext) -> tf.data.Dataset:
        count = num_parts // worker.num_input_pipelines
        first = worker.input_pipeline_id * count

        def parts(inputs: Any, targets: Any, weights: Any) -> tf.data.Dataset:
            batch = _filled((inputs, targets, weights), num_parts)
            rows = tf.cast(_num_rows(batch), tf.int64)

            def part(i: tf.Tensor) -> Any:
                rows_of_part = slice(i * rows // num_parts, (i + 1) * rows // num_parts)
                return tf.nest.map_structure(lambda x: x[rows_of_part], batch)

            return tf.data.Dataset.range(first, first + count).map(part)

        return batches.flat_map(parts).prefetch(2)

    return strategy.distribute_datasets_from_function(of_worker)


def spread(model: keras.Model, strategy: tf.distribute.Strategy, batches: tf.data.Dataset) -> None:
    """Makes a model's `fit` compute on all replicas; does nothing where there is one.

    The model and its state must be the same everywhere, and made in the strategy's scope. Its loss
    is to be a mean over what it is given, weighted by the weights, and may not know of replicas.

    Args:
      model: compiled; any subclass, with its own `train_step` and optimizers or without.
      strategy: where it was built.
      batches: as `fit` will see them before they are parted.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    # Keras divides losses, but only those of its own classes, by the number of replicas.
    keras_loss.scale_loss_for_distribution = lambda value: value
    keras_loss.unscale_loss_for_distribution = lambda value: value
    specs = tf.nest.map_structure(
        lambda spec: keras.KerasTensor(spec.shape, dtype=spec.dtype.name), batches.element_spec
    )
    with strategy.scope():
        model._symbolic_build(data_batch=specs)  # no variable can be made on a replica
    _part_draws(model, strategy)
    model.__class__ = type(f"Replicated{type(model).__name__}", (_Replicated, type(model)), {})
    model.shares = threading.local()  # a thread for each replica
    _leave_out_filling(model._loss_tracker, model.shares)
    for optimizer in optimizers(model):
        _sum_gradients(optimizer, model.shares)


def optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """All optimizers of a model: `compile`'s, and those that it holds beside, e.g. a GAN's."""
    found = [model.optimizer, *(vars(model)[name] for name in sorted(vars(model)))]
    kept = {id(x): x for x in found if isinstance(x, keras.optimizers.Optimizer)}
    return list(kept.values())


class _Replicated:
    """What `spread` puts before a model's own class."""

    def train_step(self: Any, data: Any) -> Any:
        _weigh(data, self.shares)
        return super().train_step(data)  # type: ignore[misc]

    def test_step(self: Any, data: Any) -> Any:
        _weigh(data, self.shares)
        return super().test_step(data)  # type: ignore[misc]

    def compute_loss(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)  # type: ignore[misc]
        return _share(loss, self.shares.of_loss)

    def make_train_function(self: Any, force: bool = False) -> Callable[[Any], Any]:
        if self.train_function is None or force:
            self.train_function = _on_all_replicas(self, self.train_step)
        return self.train_function

    def make_test_function(self: Any, force: bool = False) -> Callable[[Any], Any]:
        if self.test_function is None or force:
            self.test_function = _on_all_replicas(self, self.test_step)
        return self.test_function

    def _maybe_symbolic_build(self, **kwargs: Any) -> None:
        """It is built; Keras would average a batch over the replicas to see its shape."""


def _filled(batch: Any, num_parts: int) -> Any:
    missing = tf.maximum(num_parts - _num_rows(batch), 0)
    inputs, targets, weights = tf.nest.map_structure(
        lambda x: tf.concat([x, tf.repeat(x[:1], missing, axis=0)], axis=0), batch
    )
    is_real = tf.range(tf.shape(weights)[0]) < tf.shape(weights)[0] - missing
    shape = tf.concat([tf.shape(is_real), tf.ones([tf.rank(weights) - 1], tf.int32)], axis=0)
    return inputs, targets, weights * tf.reshape(tf.cast(is_real, weights.dtype), shape)


def _num_rows(batch: Any) -> tf.Tensor:
    return tf.shape(tf.nest.flatten(batch)[0])[0]


def _part_draws(model: keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Lets each replica draw its own dropout; the first, whose state is saved, keeps its draws."""
    states = [v for v in model.variables if v.name == "seed_generator_state"]

    def shift() -> None:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for state in states:
            offset = tf.stack([1_000_003 * tf.cast(replica, state.dtype), 0])
            state.assign(state.value + offset)

    strategy.run(tf.function(shift))


def _weigh(data: Any, shares: threading.local) -> None:
    """Notes what this replica's mean loss and its gradient count for in the whole batch.

    Of R replicas with B_r rows of weight W_r, loss_r is made W_r B / (W B_r) times as large. Its
    mean over rows, which metrics and gradients take, is then the mean over the batch's weights.
    """
    inputs, _, weights = data
    weight = tf.add_n([tf.reduce_sum(tf.cast(w, tf.float32)) for w in tf.nest.flatten(weights)])
    rows = tf.cast(_num_rows(inputs), tf.float32) * tf.cast(weight > 0, tf.float32)
    context = tf.distribute.get_replica_context()
    all_rows, all_weight = tf.unstack(
        context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stack([rows, weight]))
    )
    shares.num_rows = rows
    shares.of_gradient = tf.math.divide_no_nan(rows, all_rows)
    shares.of_loss = tf.math.divide_no_nan(weight * all_rows, all_weight * rows)


def _share(value: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """A replica with nothing but filling adds nothing, be its mean what it may."""
    return tf.where(share > 0, value * tf.cast(share, value.dtype), tf.zeros_like(value))


def _leave_out_filling(metric: Any, shares: threading.local) -> None:
    """Keras counts a batch's loss by its rows, those of weight 0 with them."""
    update = metric.update_state
    metric.update_state = lambda loss, sample_weight=None: update(loss, shares.num_rows)


def _sum_gradients(optimizer: Any, shares: threading.local) -> None:
    """Sums gradients over the replicas before the optimizer clips them, not after."""
    apply = optimizer.apply

    def apply_sums(grads: Any, trainable_variables: Any = None) -> None:
        own = [_share(tf.convert_to_tensor(g), shares.of_gradient) for g in grads if g is not None]
        context = tf.distribute.get_replica_context()
        sums = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, own))
        apply([None if g is None else next(sums) for g in grads], trainable_variables)

    optimizer.apply = apply_sums
    innermost = getattr(optimizer, "inner_optimizer", optimizer)
    innermost._all_reduce_sum_gradients = lambda grads_and_variables: grads_and_variables


def _on_all_replicas(model: Any, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A step of `fit`; of its numbers, which a progress bar shows, only this process's first."""
    strategy = model.distribute_strategy

    def one_step(iterator: Any) -> Any:
        results = strategy.run(step, args=(next(iterator),))
        return tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], results)

    compiled = one_step if model.run_eagerly else tf.function(one_step, reduce_retracing=True)

    def function(iterator: Any) -> Any:
        try:
            for _ in range(model.steps_per_execution):
                results = compiled(iterator)
        except tf.errors.OpError as error:
            if "Collective ops is aborted" not in error.message:
                raise
            raise PipelineError(
                "another worker is lost; it may say why. Start all of them again: they go on from "
                "the chief's checkpoint."
            ) from error
        return results

    return function
