"""Notes of a SoundFont as waveforms: key and velocity zones, loops, envelopes, filters.

Presets are played as SoundFont 2.04 tells, without its modulation (vibrato, filter sweeps, reverb),
its modulators other than the default ones of velocity, and its exclusive classes. It is here
because symusic 0.5.9's synthesizer ignores velocity and release, and is out of tune by octaves.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from pipeline.errors import Rejected
from pipeline.readers._soundfont_zone import (
    DEFAULTS,
    INSTRUMENT,
    KEY_RANGE,
    NOT_ADDED,
    OFFSETS,
    SAMPLE,
    VELOCITY_RANGE,
    Zone,
)

DRUM_BANK = 128
LOWEST_INTERNAL_RATE_HZ = (
    44100  # notes are made at a multiple of the rate asked for, then decimated
)


class SoundedNote(Protocol):
    """What `render` needs of a note; a NoteSequence's notes have it."""

    @property
    def start_time(self) -> float: ...
    @property
    def end_time(self) -> float: ...
    @property
    def pitch(self) -> int: ...
    @property
    def velocity(self) -> int: ...
    @property
    def program(self) -> int: ...
    @property
    def is_drum(self) -> bool: ...


class Note(NamedTuple):
    """A note in seconds, named as in a NoteSequence."""

    start_time: float
    end_time: float
    pitch: int
    velocity: int
    program: int = 0
    is_drum: bool = False


def general_midi() -> SoundFont:
    """The General MIDI SoundFont in pretty_midi's wheel (TimGM6mb, 6 MB); parsed once."""
    spec = importlib.util.find_spec("pretty_midi")  # finds the folder without importing it
    assert spec is not None
    assert spec.origin is not None
    return _parsed(Path(spec.origin).parent / "TimGM6mb.sf2")


@dataclass(frozen=True)
class SoundFont:
    """A parsed SoundFont.

    Attributes:
      samples: float32 in [-1, 1], all samples in a row. Shape [num_samples].
      presets: (bank, program) -> zones.
    """

    samples: np.ndarray
    presets: Mapping[tuple[int, int], tuple[Zone, ...]]

    def render(
        self, notes: Iterable[SoundedNote], sample_rate: int, num_samples: int
    ) -> np.ndarray:
        """Mixes notes to mono; neither normalized nor limited, so |audio| may exceed 1.

        Args:
          notes: in seconds; a program that the SoundFont lacks sounds as program 0 of its bank.
          sample_rate: in Hz, at least 8,000.
          num_samples: length of the result; what sounds later is cut off.

        Returns:
          float32. Shape [num_samples].

        Raises:
          Rejected: soundfont_lacks_bank, if it has no preset 0 in the bank either.
        """
        from scipy.signal import resample_poly

        factor = -(-LOWEST_INTERNAL_RATE_HZ // sample_rate)
        rate = sample_rate * factor
        mix = np.zeros(num_samples * factor, np.float32)
        made: dict[tuple[int, ...], np.ndarray] = {}
        for note in sorted(notes, key=lambda n: n.start_time):  # the longest of equals comes first
            start = round(note.start_time * rate)
            held = max(1, round((note.end_time - note.start_time) * rate))
            bank = DRUM_BANK if note.is_drum else 0
            sound = (bank, note.program, note.pitch, note.velocity, held)
            if sound not in made:
                made[sound] = self._note(*sound, rate, max(0, len(mix) - start))
            waveform = made[sound][: max(0, len(mix) - start)]
            mix[start : start + len(waveform)] += waveform
        if factor == 1:
            return mix
        return resample_poly(mix, 1, factor).astype(np.float32)[:num_samples]

    def _note(
        self, bank: int, program: int, pitch: int, velocity: int, held: int, rate: int, longest: int
    ) -> np.ndarray:
        """One note with its release. float32. Shape [up to `longest` samples]."""
        zones = self.presets.get((bank, program)) or self.presets.get((bank, 0))
        if zones is None:
            raise Rejected("soundfont_lacks_bank", f"bank={bank}: no preset is there")
        layers = [
            zone.waveform(self.samples, pitch, velocity, held, rate, longest)
            for zone in zones
            if zone.sounds(pitch, velocity)
        ]
        mix = np.zeros(max((len(layer) for layer in layers), default=0), np.float32)
        for layer in layers:
            mix[: len(layer)] += layer
        return mix


# fmt: off
_RECORDS: dict[bytes, list[tuple[str, str]]] = {
    b"phdr": [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("_", "V12")],
    b"inst": [("name", "S20"), ("bag", "<u2")],
    b"pbag": [("generator", "<u2"), ("modulator", "<u2")],
    b"ibag": [("generator", "<u2"), ("modulator", "<u2")],
    b"pgen": [("number", "<u2"), ("amount", "<i2")],
    b"igen": [("number", "<u2"), ("amount", "<i2")],
    b"shdr": [
        ("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"),
        ("loop_end", "<u4"), ("rate", "<u4"), ("pitch", "u1"), ("cents", "i1"), ("_", "V4"),
    ],
}
# fmt: on
_Tables = dict[bytes, np.ndarray]


@cache
def _parsed(path: Path) -> SoundFont:
    return read(path.read_bytes())


def read(data: bytes) -> SoundFont:
    """Parses a SoundFont 2 file.

    Raises:
      Rejected: not_soundfont, if it is not RIFF "sfbk" or lacks a chunk.

    Source: SoundFont Technical Specification 2.04, sections 4 to 8.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise Rejected("not_soundfont", f"starts with {data[:12]!r}, not with RIFF and sfbk")
    chunks = _chunks(data)
    missing = ({*_RECORDS, b"smpl"}) - chunks.keys()
    if missing:
        raise Rejected("not_soundfont", f"chunk={min(missing).decode()} is missing")
    tables = {name: np.frombuffer(chunks[name], dtype) for name, dtype in _RECORDS.items()}
    samples = np.frombuffer(chunks[b"smpl"], "<i2").astype(np.float32) / 32768
    for sample in tables[b"shdr"][:-1]:  # some are recorded with an offset of half their height
        recorded = samples[sample["start"] : sample["end"]]
        recorded -= recorded.mean() if len(recorded) else 0
    presets = {
        (int(tables[b"phdr"]["bank"][i]), int(tables[b"phdr"]["program"][i])): _zones(tables, i)
        for i in range(len(tables[b"phdr"]) - 1)  # the last record only ends the list
    }
    return SoundFont(samples, presets)


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The chunks by name, those in LISTs too."""
    found, at = {}, 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"LIST":
            at += 12  # its chunks follow
            continue
        found[name] = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return found


def _zones(tables: _Tables, preset: int) -> tuple[Zone, ...]:
    """The playable zones of a preset: each of its instruments' zones, narrowed and offset by it."""
    zones = []
    for outer in _generators(tables, b"phdr", b"pbag", b"pgen", preset, INSTRUMENT):
        for inner in _generators(tables, b"inst", b"ibag", b"igen", outer[INSTRUMENT], SAMPLE):
            added = {n: a for n, a in outer.items() if n not in NOT_ADDED}
            total = {n: inner.get(n, DEFAULTS.get(n, 0)) + a for n, a in added.items()}
            zones.append(_zone(tables[b"shdr"][inner[SAMPLE]], inner | total, outer))
    return tuple(zones)


def _generators(
    tables: _Tables, header: bytes, bag: bytes, generator: bytes, item: int, last: int
) -> list[dict[int, int]]:
    """The generators of each zone of a preset or instrument, over those of its global zone."""
    bags, records = tables[bag]["generator"], tables[generator]
    first, beyond = tables[header]["bag"][item], tables[header]["bag"][item + 1]
    common: dict[int, int] = {}
    zones = []
    for i in range(first, beyond):
        zone = records[bags[i] : bags[i + 1]]
        values = dict(zip(zone["number"].tolist(), zone["amount"].tolist(), strict=True))
        if last in values:
            zones.append(common | values)
        elif i == first:
            common = values
    return zones


def _zone(sample: np.void, generators: dict[int, int], outer: dict[int, int]) -> Zone:
    offsets = [generators.get(f, 0) + 32768 * generators.get(c, 0) for f, c in OFFSETS]
    return Zone(
        generators,
        _overlap(generators.get(KEY_RANGE), outer.get(KEY_RANGE)),
        _overlap(generators.get(VELOCITY_RANGE), outer.get(VELOCITY_RANGE)),
        int(sample["start"]) + offsets[0],
        int(sample["end"]) + offsets[1],
        int(sample["loop_start"]) + offsets[2],
        int(sample["loop_end"]) + offsets[3],
        int(sample["rate"]),
        int(sample["pitch"]),
        int(sample["cents"]),
    )


def _overlap(*ranges: int | None) -> tuple[int, int]:
    """Ranges are two bytes in one number: the low end in the low byte."""
    given = [((r & 0xFF), (r >> 8) & 0xFF) for r in ranges if r is not None]
    return max([0, *(low for low, _ in given)]), min([127, *(high for _, high in given)])
