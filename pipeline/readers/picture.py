"""Pictures of any common format and colour model to RGB."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import Rejected

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_PIXELS = 64  # of the shorter side: below it stand placeholders and tracking pixels
MAX_AREA = 25_000_000  # pixels: half a GiB while decoding, which 150 kB of PNG can ask for
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


def read(data: bytes) -> np.ndarray:
    """Decodes a still picture, whole.

    Args:
      data: the file: JPEG, PNG, WebP, BMP or TIFF.

    Returns:
      uint8 RGB, transparency laid over white. Shape [height, width, 3].

    Raises:
      Rejected: undecodable_picture, truncated_picture, too_small_picture, too_large_picture (the
        last two from the header) or animated_picture (GIF, which shops use as placeholder, too).
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata; the size is checked below
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_header(image)
                image.load()
                if image.mode.startswith(("I", "F")):  # convert("RGB") would make them all white
                    raise Rejected(
                        "unsupported_picture", f"mode {image.mode}, not 8 bits a channel"
                    )
                rgb = _over_white(image) if image.has_transparency_data else image.convert("RGB")
                return np.asarray(rgb, np.uint8).copy()
    except Rejected:
        raise
    except Image.DecompressionBombError as error:
        raise Rejected("too_large_picture", _brief(error, data)) from error
    except Exception as error:  # Pillow's plug-ins raise bare errors on malformed files
        is_truncated = re.search(r"truncated|unexpected end", str(error), re.IGNORECASE)
        reason = "truncated_picture" if is_truncated else "undecodable_picture"
        raise Rejected(reason, _brief(error, data)) from error


def _check_header(image: Image) -> None:
    width, height = image.size
    if min(width, height) < MIN_PIXELS:
        raise Rejected("too_small_picture", f"{width} x {height}; the shorter side needs 64 pixels")
    if width * height > MAX_AREA:
        raise Rejected("too_large_picture", f"{width} x {height}; the limit is {MAX_AREA} pixels")
    if image.format == "GIF" or getattr(image, "n_frames", 1) > 1:
        raise Rejected("animated_picture", f"{image.format}: a placeholder or an animation")


def _over_white(image: Image) -> Image:
    import PIL.Image

    rgba = image.convert("RGBA")
    white = PIL.Image.new("RGBA", rgba.size, "white")
    return PIL.Image.alpha_composite(white, rgba).convert("RGB")


def _brief(error: Exception, data: bytes) -> str:
    text = " ".join(str(error).split()).replace("<_io.BytesIO object", "<file")
    return f"{type(error).__name__} in {len(data)} bytes: {text[:80]}".split(" at 0x")[0]
