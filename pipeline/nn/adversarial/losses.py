"""What a generator and its critic are told apart by, on any backend of Keras."""

from __future__ import annotations

from keras import ops

from pipeline.nn.piano_roll import SEMITONES, Geometry


def binarize(logits):
    """Logits as 0 or 1, with the gradient of their sigmoid.

    Training sees what is heard: a critic that is shown shades tells them from notes by the shade.

    Source: Dong and Yang 2018, "Convolutional Generative Adversarial Networks with Binary Neurons
    for Polyphonic Music Generation", section 3.2, deterministic neurons.
    """
    shade = ops.sigmoid(logits)
    return shade + ops.stop_gradient(ops.cast(logits > 0, shade.dtype) - shade)


def gradient_penalty(gradients):
    """(|gradient| - 1)^2 of each example: the mean. gradients: Shape [batch, ...]."""
    squares = ops.sum(ops.square(gradients), axis=tuple(range(1, len(gradients.shape))))
    return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1))


def moments(rolls, axes: Geometry):
    """How much each track sounds at each step of a bar, and in each pitch class.

    Args:
      rolls: 0 or 1. Shape [batch, steps, pitches, tracks].
      axes: of the rolls.

    Returns:
      Pitches that sound at a step of a bar, then pitches of a class at a step, means over the
      phrase. Shape [batch, (steps of a bar + 12) * tracks].
    """
    rows = ops.shape(rolls)[0]
    by_step = ops.reshape(ops.sum(rolls, axis=2), (rows, axes.num_bars, -1))
    octaves = axes.num_pitches // SEMITONES
    by_pitch = ops.reshape(ops.mean(rolls, axis=1), (rows, octaves, -1))
    return ops.concatenate([ops.mean(by_step, axis=1), ops.sum(by_pitch, axis=1)], axis=-1)
