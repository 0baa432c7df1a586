"""Adaptive augmentation: what a discriminator sees, altered as often as it begins to memorise.

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", sections
2, 3 and appendix B: its sets "bgc", in one warp (bilinear, reflected at the borders) and one affine
map of the colours. Real and generated pictures pass through it alike, so that while the probability
is below 0.8 or so, what is altered does not leak into what is generated.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

BLIT = ("flip", "turn", "shift")
GEOMETRY = ("scale", "rotation", "stretch", "slide")
COLOR = ("brightness", "contrast", "luma_flip", "hue", "saturation")
KINDS = (*BLIT, *GEOMETRY, *COLOR)


class AdaptiveAugmentation(keras.layers.Layer):
    """Pictures, each altered in each way with one probability, which follows `update`.

    Args:
      kinds: of KINDS: flip (left and right), turn (by quarters), shift (by whole pixels, up to 1/8
        of the size), scale (2^N(0, 0.2)), rotation (any angle), stretch (2^N(0, 0.2) one way, its
        inverse the other), slide (N(0, 1/8) of the size), brightness (+ N(0, 0.2) of 2), contrast
        (2^N(0, 0.5)), luma_flip, hue (any angle), saturation (2^N(0, 1)).
      target: that the share of real pictures told as such, less that of others, is held at.
      interval: steps between two changes of the probability.
      num_pictures: shown while it would rise from 0 to 1.
      probability: at first.
    """

    def __init__(
        self, kinds: tuple[str, ...], target: float, interval: int, num_pictures: int,
        probability: float = 0.0,
    ):  # fmt: skip
        super().__init__(name="augmentation")
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise ValueError(f"kinds={unknown}: the kinds are {', '.join(KINDS)}.")
        self.kinds, self.target = tuple(kinds), target
        self.interval, self.num_pictures = interval, num_pictures
        first = keras.initializers.Constant(probability)
        own = {"trainable": False, "aggregation": "mean"}
        self.probability = self.add_weight((), first, name="probability", **own)
        self.sign_sum = self.add_weight((), "zeros", name="sign_sum", **own)
        self.num_seen = self.add_weight((), "zeros", name="num_seen", **own)
        self.num_steps = self.add_weight((), "zeros", name="num_steps", **own)
        self.seeds = keras.random.SeedGenerator()
        self.built = True

    def call(self, pictures):
        """Altered pictures. pictures: float in -1..1. Shape [batch, size, size, 3]."""
        draws = Draws(self.kinds, self.probability, ops.shape(pictures)[0], self.seeds)
        size = pictures.shape[1]
        if {*self.kinds} & {*BLIT, *GEOMETRY}:
            pictures = warped(pictures, geometry(draws, size))
        if {*self.kinds} & {*COLOR}:
            pictures = recolored(pictures, *color(draws))
        return pictures

    def update(self, logits) -> None:
        """Moves the probability by the discriminator's logits of real pictures. Shape [batch].

        r_t, the mean sign of the logits, is that over `interval` steps.
        """
        rows = ops.cast(ops.shape(logits)[0], "float32")
        sign_sum = self.sign_sum + ops.sum(ops.sign(logits))
        num_seen, num_steps = self.num_seen + rows, self.num_steps + 1.0
        is_due = ops.cast(num_steps >= self.interval, "float32")
        move = ops.sign(sign_sum / num_seen - self.target) * num_seen / self.num_pictures
        self.probability.assign(ops.clip(self.probability + is_due * move, 0.0, 1.0))
        self.sign_sum.assign(sign_sum * (1 - is_due))
        self.num_seen.assign(num_seen * (1 - is_due))
        self.num_steps.assign(num_steps * (1 - is_due))


class Draws:
    """What chance decides for each picture of a batch: nothing (0, or a factor of 1) if not drawn.

    Args:
      kinds: that may be drawn.
      probability: of each, for each picture.
      rows: of the batch.
      seeds: a SeedGenerator.
    """

    def __init__(self, kinds: tuple[str, ...], probability, rows, seeds: Any):
        self.kinds, self.probability, self.rows, self.seeds = kinds, probability, rows, seeds

    def uniform(self, kind: str, probability=None, num: int | None = None):
        """In -1..1, or 0. Shape [batch]; with num, [num, batch], all of a picture or none."""
        value = keras.random.uniform(self._shape(num), -1.0, 1.0, seed=self.seeds)
        return self._some(kind, value, probability)

    def normal(self, kind: str, num: int | None = None):
        """Standard normal, or 0; shape as of `uniform`."""
        return self._some(kind, keras.random.normal(self._shape(num), seed=self.seeds))

    def quarters(self, kind: str):
        """0, 1, 2 or 3, as floats. Shape [batch]."""
        value = keras.random.randint((self.rows,), 0, 4, seed=self.seeds)
        return self._some(kind, ops.cast(value, "float32"))

    def halves(self, kind: str):
        """1 or, as often, 0. Shape [batch]."""
        value = keras.random.randint((self.rows,), 0, 2, seed=self.seeds)
        return self._some(kind, ops.cast(value, "float32"))

    def _shape(self, num: int | None):
        return (self.rows,) if num is None else (num, self.rows)

    def _some(self, kind: str, value, probability=None):
        if kind not in self.kinds:
            return ops.zeros_like(value)
        chance = keras.random.uniform((self.rows,), seed=self.seeds)
        limit = self.probability if probability is None else probability
        return ops.where(chance < limit, value, 0.0)


def geometry(draws: Draws, size: int):
    """Where in a picture each place of the altered one is from, an affine map of (x, y, 1).

    Returns:
      In pixels from the center. Shape [batch, 3, 3]; the last row is 0, 0, 1.
    """
    probability = 1 - ops.sqrt(1 - draws.probability)  # either of two rotations: as often as asked
    flip, quarters = draws.halves("flip"), draws.quarters("turn")
    shift = ops.round(size / 8 * draws.uniform("shift", num=2))
    matrix = scaling(1 - 2 * flip, ops.ones_like(flip))
    matrix = matrix @ rotation(-math.pi / 2 * quarters) @ translation(shift[0], shift[1])
    scale = 2 ** (0.2 * draws.normal("scale"))
    stretch = 2 ** (0.2 * draws.normal("stretch"))
    matrix = matrix @ scaling(1 / scale, 1 / scale)
    matrix = matrix @ rotation(-math.pi * draws.uniform("rotation", probability))
    matrix = matrix @ scaling(1 / stretch, stretch)
    matrix = matrix @ rotation(-math.pi * draws.uniform("rotation", probability))
    slide = size / 8 * draws.normal("slide", num=2)
    return matrix @ translation(slide[0], slide[1])


def translation(x, y):
    """x, y: in pixels. Shape [batch]; the matrices' is [batch, 3, 3]."""
    one, zero = ops.ones_like(x), ops.zeros_like(x)
    return _matrix([[one, zero, x], [zero, one, y], [zero, zero, one]])


def scaling(x, y):
    """x, y: factors. Shape [batch]; the matrices' is [batch, 3, 3]."""
    one, zero = ops.ones_like(x), ops.zeros_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle):
    """angle: in radians. Shape [batch]; the matrices' is [batch, 3, 3]."""
    one, zero = ops.ones_like(angle), ops.zeros_like(angle)
    cos, sin = ops.cos(angle), ops.sin(angle)
    return _matrix([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _matrix(rows):
    return ops.stack([ops.stack(row, axis=-1) for row in rows], axis=-2)


def warped(pictures, matrices):
    """Each place of the result is the picture at where its matrix says, bilinearly.

    Args:
      pictures: Shape [batch, size, size, channels].
      matrices: of (x, y, 1), x to the right and y down, in pixels from the center. Shape [batch, 3,
        3].

    Returns:
      As `pictures`; beyond a border is its mirror image, the pixel at the border not repeated.
    """
    size, channels = pictures.shape[1], pictures.shape[3]
    places = ops.arange(size, dtype="float32") - (size - 1) / 2
    x, y = ops.meshgrid(places, places)
    grid = ops.stack([ops.reshape(v, (-1,)) for v in (x, y, ops.ones_like(x))])
    found = ops.matmul(matrices[:, :2], grid) + (size - 1) / 2  # [batch, 2, places]
    corner = ops.floor(found)
    right, down = found[:, 0] - corner[:, 0], found[:, 1] - corner[:, 1]
    flat = ops.reshape(pictures, (-1, channels))
    rows = ops.arange(ops.shape(pictures)[0], dtype="int32")[:, None] * size**2
    total = 0.0
    for step_y, of_y in ((0, 1 - down), (1, down)):
        for step_x, of_x in ((0, 1 - right), (1, right)):
            column, line = (
                _mirrored(corner[:, i] + s, size) for i, s in ((0, step_x), (1, step_y))
            )
            pixels = ops.take(flat, rows + line * size + column, axis=0)
            total = total + (of_x * of_y)[:, :, None] * pixels
    return ops.reshape(total, (-1, size, size, channels))


def _mirrored(index, size: int):
    """Whole numbers, as floats, to the pixels 0..size - 1 that they mirror: int32."""
    index = ops.cast(index, "int32") % (2 * size - 2)
    return ops.minimum(index, 2 * size - 2 - index)


def color(draws: Draws):
    """An affine map of colours: scales and moves the gray axis, scales and turns what is across it.

    All five kinds act on these two alone, so they commute but for what brightness adds, which
    contrast and luma_flip come after.

    Returns:
      (matrices [batch, 3, 3], what is added to each colour [batch]).
    """
    factor = 2 ** (0.5 * draws.normal("contrast"))
    along = factor * (1 - 2 * draws.halves("luma_flip"))
    angle = math.pi * draws.uniform("hue")
    across = factor * 2 ** draws.normal("saturation")
    parts = ((along, _ALONG), (across * ops.cos(angle), _ACROSS), (across * ops.sin(angle), _TURN))
    matrix = sum(value[:, None, None] * part for value, part in parts)
    return matrix, along * 0.2 * draws.normal("brightness")


_ALONG = np.full((3, 3), 1 / 3, np.float32)  # onto the gray axis (1, 1, 1) / sqrt(3)
_ACROSS = np.eye(3, dtype=np.float32) - _ALONG
_TURN = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.float32(
    3**0.5
)  # its cross product


def recolored(pictures, matrices, added):
    """Pictures [batch, size, size, 3] by what `color` returns."""
    _, height, width, channels = pictures.shape
    pixels = ops.reshape(pictures, (-1, height * width, channels))
    turned = ops.matmul(pixels, ops.transpose(matrices, (0, 2, 1))) + added[:, None, None]
    return ops.reshape(turned, (-1, height, width, channels))
