"""Sounds and pictures to damage, and their readers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fuzzing import checksums


def sound_seeds(file_format: str, subtypes: tuple[str | None, ...]) -> Callable[[], list[bytes]]:
    def seeds() -> list[bytes]:
        import soundfile

        found = []
        for subtype in subtypes:
            for num_channels, rate in ((1, 16_000), (2, 44_100)):
                if subtype == "OPUS":
                    rate = 48_000
                times = np.arange(900 * num_channels).reshape(-1, num_channels) / rate
                file = io.BytesIO()
                wave = 0.5 * np.sin(2 * np.pi * 440 * times)
                soundfile.write(file, wave, rate, format=file_format, subtype=subtype)
                found.append(file.getvalue())
        is_ogg = file_format == "OGG"
        return [checksums.ogg_with_serial(data, 1) if is_ogg else data for data in found]

    return seeds


def read_sound(data: bytes, _: Path) -> None:
    from pipeline.readers import audio

    samples, sample_rate = audio.read(data, 16_000)
    assert samples.ndim == 1
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert sample_rate == 16_000


def picture_seeds(*file_formats: str) -> Callable[[], list[bytes]]:
    def seeds() -> list[bytes]:
        from PIL import Image

        rows, columns = np.mgrid[:70, :80]
        pixels = np.stack([rows * 3, columns * 2, rows + columns], axis=2).astype(np.uint8)
        found = []
        for file_format in file_formats:
            for mode in ("RGB", "L", "P", "RGBA", "CMYK"):
                file = io.BytesIO()
                try:
                    Image.fromarray(pixels).convert(mode).save(file, file_format)
                except (OSError, ValueError):  # not every format has every colour model
                    continue
                found.append(file.getvalue())
        return found

    return seeds


def read_picture(data: bytes, _: Path) -> None:
    from pipeline.readers import picture

    assert picture.read(data).shape[2] == 3
