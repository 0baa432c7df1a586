"""A cover whose picture depends on the music by a rule, and beyond it on chance alone.

The rule (`picture_parameters`), a positive control for models that draw covers for music:

- hue of the ground: the key, 30 degrees for each fifth up from C (C red, G orange, ...);
- saturation of the ground: 0.75 in major, 0.4 in minor;
- brightness of the ground: 0.35 + 0.6 valence;
- number of shapes: tempo / 10, rounded, within 4..18;
- kind of shape: the genre, by SHAPES;
- texture, the height of its waves in levels of 255: 4 + 36 energy.

Chance alone decides where the shapes stand, how large and how turned they are, their hue (opposite
to the ground within 20 degrees) and where the texture has its waves.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

SIZE = 640
SHAPES = {
    "ambient": "circle",
    "classical": "ring",
    "electronic": "square",
    "folk": "diamond",
    "jazz": "bar",
    "rock": "triangle",
}
_CELLS = 5  # shapes stand in a grid of cells, one in each at most, so that none hides another


class PictureParameters(NamedTuple):
    """What the music decides.

    Attributes:
      hue_degrees: of the ground, 0..330.
      saturation, brightness: of the ground, 0..1 (HSV).
      num_shapes: 4..18.
      shape: one of the values of SHAPES.
      texture_levels: peak height of the texture, 4..40 of 255.
    """

    hue_degrees: int
    saturation: float
    brightness: float
    num_shapes: int
    shape: str
    texture_levels: float


def picture_parameters(audio_features: Mapping[str, Any], genre: str) -> PictureParameters:
    """The rule of the module's docstring.

    Args:
      audio_features: key 0..11, mode 0 or 1, valence and energy 0..1, tempo in beats a minute.
      genre: a key of SHAPES.
    """
    return PictureParameters(
        hue_degrees=30 * (7 * audio_features["key"] % 12),
        saturation=0.75 if audio_features["mode"] else 0.4,
        brightness=0.35 + 0.6 * audio_features["valence"],
        num_shapes=int(np.clip(round(audio_features["tempo"] / 10), 4, 18)),
        shape=SHAPES[genre],
        texture_levels=4 + 36 * audio_features["energy"],
    )


def drawn(parameters: PictureParameters, seed: list[int]) -> Image.Image:
    """The cover, RGB, SIZE by SIZE.

    Args:
      parameters: what the music decides.
      seed: what chance decides.
    """
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    hue = parameters.hue_degrees / 360
    opposite = hue + 0.5 + rng.uniform(-20, 20) / 360
    shape_brightness = 0.95 if parameters.brightness < 0.65 else 0.25
    picture = Image.new(
        "RGB", (SIZE, SIZE), _rgb(hue, parameters.saturation, parameters.brightness)
    )
    pen = ImageDraw.Draw(picture)
    cell = SIZE / _CELLS
    for place in rng.permutation(_CELLS**2)[: parameters.num_shapes].tolist():
        radius = rng.uniform(0.25, 0.38) * cell
        slack = cell / 2 - radius - 6
        shift = rng.uniform(-slack, slack, 2)
        center = (np.array(divmod(place, _CELLS)) + 0.5) * cell + shift
        color = _rgb(opposite, 0.8, shape_brightness)
        _draw_shape(pen, parameters.shape, center, radius, rng.uniform(0, np.pi), color)
    return _textured(picture, parameters.texture_levels, rng)


def _draw_shape(
    pen: Any, shape: str, center: np.ndarray, radius: float, angle: float, color: tuple[int, ...]
) -> None:
    box = [*(center - radius).tolist(), *(center + radius).tolist()]
    if shape == "circle":
        pen.ellipse(box, fill=color)
        return
    if shape == "ring":
        pen.ellipse(box, outline=color, width=round(radius * 0.4))
        return
    corners = {
        "square": (np.arange(4) * np.pi / 2, 1.0),
        "diamond": (np.arange(4) * np.pi / 2, 0.5),
        "triangle": (np.arange(3) * 2 * np.pi / 3, 1.0),
        "bar": (np.array([0.35, np.pi - 0.35, np.pi + 0.35, -0.35]), 1.0),
    }
    angles, width = corners[shape]
    x, y = radius * np.cos(angles), radius * width * np.sin(angles)
    turned = np.stack(
        [x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)]
    )
    pen.polygon([tuple(point) for point in (center[:, None] + turned).T.tolist()], fill=color)


def _textured(picture: Image.Image, levels: float, rng: np.random.Generator) -> Image.Image:
    """Smooth waves of light and shade over the whole picture, with a mean of 0."""
    from PIL import Image

    coarse = Image.fromarray(rng.uniform(-1, 1, (40, 40)).astype(np.float32))
    waves = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    waves = (waves - waves.mean()) / np.abs(waves - waves.mean()).max()
    lit = np.asarray(picture, np.float32) + levels * waves[:, :, None]
    return Image.fromarray(np.clip(np.round(lit), 0, 255).astype(np.uint8))


def _rgb(hue: float, saturation: float, brightness: float) -> tuple[int, ...]:
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1, saturation, brightness))
