"""Archives like NSynth's three: any number of notes, of a length of your own.

Sounds: programs of the embedded SoundFont (`pipeline.miniatures.nsynth`), rendered at one pitch in
six semitones. A note is one of them, resampled to its pitch and its instrument's own tuning, faded
at its end, as loud as its velocity, over noise 78 to 93 dB below full scale: what makes recorded
sound hard to compress. Instruments are some 304 notes large, as NSynth's, and in one split only;
the splits are as large in proportion as the published ones. A note in 500 is outside 21-108.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from benchmarks.synthetic import tar_gz
from pipeline.miniatures.nsynth import FAMILIES, INSTRUMENTS, QUALITIES, SOURCES, VELOCITIES
from pipeline.readers import soundfont

SAMPLE_RATE = 16_000
MAX_SAMPLES = 64_000
SPLITS = {"train": 289_205, "valid": 12_678, "test": 4_096}
_NOTES_PER_INSTRUMENT = 304
_POOL_SEMITONES = 6
_HELD_SHARE = 0.6
_OUTLIER_PERIOD = 500
_FADE_SHARE = 0.05


class Instrument(NamedTuple):
    """One of NSynth's thousand, with the program that sounds for it."""

    number: int
    name: str
    family: int
    source: int
    program: int
    tuning: float  # semitones


def write(out: Path, count: int, seed: int, num_samples: int = 4000) -> dict[str, Any]:
    """Writes nsynth-{train,valid,test}.jsonwav.tar.gz; examples.json is each one's last member.

    Args:
      out: the directory for the three archives.
      count: notes in all, at least 100.
      seed: equal seeds give equal archives, as far as the gzip program's version allows.
      num_samples: of a note, at 16 kHz, 1 to 64,000.

    Returns:
      num_files, num_bytes (unpacked), archive_bytes.
    """
    out.mkdir(parents=True, exist_ok=True)
    sizes = split_sizes(count)
    instruments = instruments_of(sizes, seed)
    first, num_bytes, archive_bytes = 0, 0, 0
    for split, size in sizes.items():
        archive = out / f"nsynth-{split}.jsonwav.tar.gz"
        members = _members(split, instruments[split], size, first, seed, num_samples)
        num_bytes += tar_gz.write(archive, members)
        archive_bytes += archive.stat().st_size
        first += size
    return {"num_files": count, "num_bytes": num_bytes, "archive_bytes": archive_bytes}


def split_sizes(count: int) -> dict[str, int]:
    total = sum(SPLITS.values())
    held_out = {split: round(count * SPLITS[split] / total) for split in ("valid", "test")}
    return {"train": count - sum(held_out.values())} | held_out


def instruments_of(sizes: dict[str, int], seed: int) -> dict[str, list[Instrument]]:
    """Instruments of each split, by name; families in turns, so that each split has most."""
    rng = np.random.default_rng([seed, 0])
    counts: dict[tuple[int, int], int] = {}
    by_split: dict[str, list[Instrument]] = {}
    number = 0
    for split, size in sizes.items():
        by_split[split] = []
        for _ in range(-(-size // _NOTES_PER_INSTRUMENT)):
            family = number % len(FAMILIES)
            programs = INSTRUMENTS[FAMILIES[family]]
            chosen = programs[int(rng.integers(len(programs)))]
            source = SOURCES.index(chosen.source)
            index = counts.get((family, source), 0)
            counts[family, source] = index + 1
            name = f"{FAMILIES[family]}_{chosen.source}_{index:03d}"
            tuning = float(rng.uniform(-0.4, 0.4))
            made = Instrument(number, name, family, source, chosen.program, tuning)
            by_split[split].append(made)
            number += 1
        by_split[split].sort(key=lambda instrument: instrument.name)
    return by_split


def _members(
    split: str, instruments: list[Instrument], size: int, first: int, seed: int, num_samples: int
) -> Iterator[tuple[str, bytes]]:
    described: list[str] = []  # as text: as objects they would take three times the memory
    head = _wav_header(num_samples)
    yield f"nsynth-{split}/", b""
    yield f"nsynth-{split}/audio/", b""
    for rank, instrument in enumerate(instruments):
        num_notes = size // len(instruments) + (rank < size % len(instruments))
        for pitch, velocity in _drawn_notes(instrument, num_notes, seed):
            number = first + len(described)
            fields = _fields(number, instrument, pitch, velocity)
            sound = _sound(instrument, pitch, velocity, num_samples, seed + number)
            described.append(json.dumps({fields["note_str"]: fields}, indent=1)[2:-2])
            yield f"nsynth-{split}/audio/{fields['note_str']}.wav", head + sound.tobytes()
    yield f"nsynth-{split}/examples.json", ("{\n" + ",\n".join(described) + "\n}").encode()


def _drawn_notes(instrument: Instrument, num_notes: int, seed: int) -> list[tuple[int, int]]:
    """Different pitches and velocities, in the order of note_str."""
    rng = np.random.default_rng([seed, 1, instrument.number])
    cells = rng.permutation(88 * len(VELOCITIES))[:num_notes]
    notes = {(21 + int(c) // 5, VELOCITIES[int(c) % 5]) for c in cells}
    outside = [c for c in cells if c % _OUTLIER_PERIOD == 0]
    notes |= {(9 + int(rng.integers(12)), 25) for _ in outside}
    return sorted(notes)[:num_notes]


def _fields(number: int, instrument: Instrument, pitch: int, velocity: int) -> dict[str, Any]:
    """What NSynth publishes of a note; the qualities are those of the instrument's number."""
    flags = [int(instrument.number >> bit & 1) for bit in range(len(QUALITIES))]
    return {
        "note": number,
        "note_str": f"{instrument.name}-{pitch:03d}-{velocity:03d}",
        "instrument": instrument.number,
        "instrument_str": instrument.name,
        "pitch": pitch,
        "velocity": velocity,
        "sample_rate": SAMPLE_RATE,
        "qualities": flags,
        "qualities_str": [q for q, flag in zip(QUALITIES, flags, strict=True) if flag],
        "instrument_family": instrument.family,
        "instrument_family_str": FAMILIES[instrument.family],
        "instrument_source": instrument.source,
        "instrument_source_str": SOURCES[instrument.source],
    }


def _sound(
    instrument: Instrument, pitch: int, velocity: int, num_samples: int, seed: int
) -> np.ndarray:
    """16-bit samples. Shape [num_samples]."""
    near = min(max(round(pitch / _POOL_SEMITONES) * _POOL_SEMITONES, 18), 108)
    rate = 2 ** ((pitch - near + instrument.tuning) / 12)
    gain = 32_767 * 0.9 * (velocity / 127) ** 2
    noise = 32_767 * 10 ** (-(78 + instrument.number % 16) / 20)
    rendered = _rendered(instrument.program, near, num_samples)
    return _played(rendered, rate, gain, noise, num_samples, np.uint64(seed))


@lru_cache(maxsize=2048)  # 80 programs, 16 pitches
def _rendered(program: int, pitch: int, num_samples: int) -> np.ndarray:
    """A note that is half as long again, so that it may be raised; its peak is 1. float32."""
    size = num_samples * 3 // 2 + 2
    note = soundfont.Note(0.0, _HELD_SHARE * num_samples / SAMPLE_RATE, pitch, 100, program)
    sound = soundfont.general_midi().render([note], SAMPLE_RATE, size)
    return np.ascontiguousarray(sound / max(float(np.abs(sound).max()), 1e-4), np.float32)


@njit(cache=True, nogil=True)
def _played(sound, rate, gain, noise, num_samples, seed):
    """Resamples by linear interpolation, fades the end, adds uniform noise."""
    out = np.empty(num_samples, np.int16)
    fade = max(1, int(num_samples * _FADE_SHARE))
    state = seed * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    for i in range(num_samples):
        state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        drawn = np.float64(state >> np.uint64(40)) / 8_388_608.0 - 1.0
        place = i * rate
        before = int(place)
        value = 0.0
        if before + 1 < sound.size:
            value = sound[before] + (place - before) * (sound[before + 1] - sound[before])
        level = gain * min(1.0, (num_samples - i) / fade)
        sample = np.round(value * level + noise * drawn)
        out[i] = np.int16(min(max(sample, -32768.0), 32767.0))
    return out


def _wav_header(num_samples: int) -> bytes:
    """RIFF, 16-bit PCM, mono: 44 bytes."""
    size = 2 * num_samples
    about = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + size)
        + b"WAVEfmt "
        + about
        + b"data"
        + struct.pack("<I", size)
    )
