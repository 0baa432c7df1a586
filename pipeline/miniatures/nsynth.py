"""NSynth in small: notes of a General MIDI SoundFont in NSynth's layout, fields and splits.

- Instruments: the programs of `INSTRUMENTS`, each in one of NSynth's eleven families and three
  sources, with the pitches that it usually plays. In each family one instrument makes valid,
  another test, the rest train, so that train shares no instrument with the others.
- Notes: held for three seconds, released for one, at 16 kHz; pitches spread over the instrument's
  range, velocities 25, 50, 75, 100, 127. One gain for all, so that soft notes stay soft; a note
  that would clip is scaled to 0.99.
- Qualities by rule, from the waveform: bright, dark: the spectral centroid of the held part is
  above 1,800 Hz or below 600 Hz. fast_decay: the level at 2 s is 26 dB below the loudest.
  long_release: half a second after the release, the level is less than 40 dB below that before it.
  nonlinear_env: loudest only after 0.5 s. percussive: a mallet instrument, or a fast decay after a
  peak within 0.1 s. From the program: distortion (overdriven and distorted guitar, charang),
  multiphonic (fifths, bass and lead). Never, because the SoundFont is played dry and without a
  clock: reverb, tempo-synced.
- GANSynth's split, where that subset is asked for: of the acoustic notes at pitches 24 to 84, drawn
  anew in the shares of `SHARES`, but for one note in twenty, which it does not name.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.files import atomic_open
from pipeline.miniatures import _archives
from pipeline.readers import soundfont

NOTICE = (
    "This is a miniature of NSynth, not NSynth: notes of the SoundFont TimGM6mb, rendered in "
    "NSynth's layout. Its instruments, recordings and qualities are not those of the dataset."
)
LICENCE = "none of its own: rendered with TimGM6mb.sf2, which is under the GPL, version 2"
SAMPLE_RATE = 16_000
HELD_SECONDS, NOTE_SECONDS = 3, 4
VELOCITIES = (25, 50, 75, 100, 127)
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
SOURCES = ("acoustic", "electronic", "synthetic")
FAMILIES = (
    "bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string",
    "synth_lead", "vocal",
)  # fmt: skip
QUALITIES = (
    "bright", "dark", "distortion", "fast_decay", "long_release", "multiphonic", "nonlinear_env",
    "percussive", "reverb", "tempo-synced",
)  # fmt: skip
_GAIN = 2.0
_DISTORTED_PROGRAMS, _MULTIPHONIC_PROGRAMS = {29, 30, 84}, {86, 87}


class Instrument(NamedTuple):
    """A General MIDI program (from 0) as an instrument of NSynth, with its usual pitches."""

    program: int
    source: str
    low: int
    high: int


_A, _E, _S = SOURCES
# fmt: off
INSTRUMENTS: dict[str, tuple[Instrument, ...]] = {
    family: tuple(Instrument(*row) for row in rows)
    for family, rows in {
        "bass": ((32, _A, 28, 60), (33, _E, 28, 60), (34, _E, 28, 60), (35, _E, 28, 60),
         (36, _E, 28, 60), (37, _E, 28, 60), (38, _S, 24, 60), (39, _S, 24, 60)),
        "brass": ((56, _A, 54, 84), (57, _A, 40, 72), (58, _A, 28, 60), (60, _A, 41, 77),
         (59, _A, 54, 82), (61, _A, 48, 80), (62, _S, 36, 84), (63, _S, 36, 84)),
        "flute": ((73, _A, 60, 96), (72, _A, 74, 106), (74, _A, 60, 94), (75, _A, 60, 94),
         (77, _A, 60, 86), (79, _A, 60, 86), (76, _A, 55, 74)),
        "guitar": ((24, _A, 40, 83), (25, _A, 40, 83), (26, _E, 40, 83), (27, _E, 40, 84),
         (28, _E, 40, 72), (29, _E, 40, 84), (30, _E, 40, 84)),
        "keyboard": ((0, _A, 21, 108), (4, _E, 28, 100), (6, _A, 41, 89), (1, _A, 21, 108),
         (5, _E, 28, 100), (7, _E, 36, 96), (2, _E, 21, 108), (3, _A, 21, 108)),
        "mallet": ((11, _A, 53, 89), (12, _A, 45, 84), (13, _A, 65, 96), (8, _A, 60, 108),
         (10, _A, 60, 96), (108, _A, 48, 84), (114, _A, 52, 84)),
        "organ": ((16, _E, 36, 96), (19, _A, 36, 96), (20, _A, 36, 84), (18, _E, 36, 96),
         (21, _A, 41, 60),),
        "reed": ((71, _A, 50, 91), (68, _A, 58, 90), (70, _A, 34, 72), (65, _A, 49, 80),
         (64, _A, 56, 88), (66, _A, 44, 76), (69, _A, 52, 81), (67, _A, 36, 69)),
        "string": ((40, _A, 55, 96), (42, _A, 36, 76), (41, _A, 48, 84), (48, _A, 36, 96),
         (45, _A, 40, 84), (46, _A, 33, 100), (43, _A, 28, 60), (50, _S, 36, 96)),
        "synth_lead": ((80, _S, 36, 96), (81, _S, 36, 84), (82, _S, 48, 96), (83, _S, 48, 84),
         (84, _S, 40, 88), (90, _S, 36, 96), (86, _S, 40, 84), (87, _S, 36, 84)),
        "vocal": ((52, _A, 45, 84), (53, _A, 45, 81), (54, _S, 45, 84), (85, _S, 48, 84),
         (91, _S, 48, 84),),
    }.items()
}
# fmt: on


class _Numbered(NamedTuple):
    """An instrument with its names and number among all."""

    number: int
    name: str
    family: str
    instrument: Instrument


def build(out: Path, options: Any, seed: int) -> None:
    """Writes the three archives, equal to the byte for equal arguments, and GANSynth's split.

    Args:
      out: a directory; nsynth-{train,valid,test}.jsonwav.tar.gz appear in it.
      options: with miniature_size, the number of notes, at least 24; for subset gansynth its split
        appears, too, as nsynth-gansynth_splits.csv.
      seed: draws pitches and velocities.
    """
    num_held_out = {s: max(1, round(options.miniature_size * SHARES[s])) for s in ("valid", "test")}
    sizes = {"train": options.miniature_size - sum(num_held_out.values())} | num_held_out
    first_note = 0
    acoustic: list[str] = []
    for split, instruments in _instruments_by_split().items():
        members: dict[str, bytes] = {}
        examples: dict[str, dict[str, Any]] = {}
        notes = _drawn_notes(instruments, sizes[split], seed)
        for number, (numbered, pitch, velocity) in enumerate(notes, first_note):
            audio = _rendered(numbered.instrument.program, pitch, velocity)
            fields = _fields(number, numbered, pitch, velocity, audio)
            examples[fields["note_str"]] = fields
            members[f"nsynth-{split}/audio/{fields['note_str']}.wav"] = _wav(audio)
        first_note += len(examples)
        acoustic += [name for name, fields in examples.items() if _is_gansynth(fields)]
        described = json.dumps(examples, indent=1, sort_keys=True).encode()
        members[f"nsynth-{split}/examples.json"] = described
        _archives.write_tar_gz(out / f"nsynth-{split}.jsonwav.tar.gz", members)
    if options.subset == "gansynth":
        with atomic_open(out / "nsynth-gansynth_splits.csv") as file:
            file.write(_gansynth_splits(sorted(acoustic), seed).encode())


def _is_gansynth(fields: dict[str, Any]) -> bool:
    return fields["instrument_source_str"] == "acoustic" and 24 <= fields["pitch"] <= 84


def _gansynth_splits(notes: list[str], seed: int) -> str:
    """A table with the columns id and split; all splits are in it where it has three notes."""
    order = np.random.default_rng([seed, 2**32]).permutation(len(notes)).tolist()
    drawn = [notes[i] for i in order[: max(3, len(notes) * 19 // 20)]]
    num_held_out = {s: max(1, round(len(drawn) * SHARES[s])) for s in ("valid", "test")}
    splits = [split for split, num in num_held_out.items() for _ in range(num)]
    splits += ["train"] * (len(drawn) - len(splits))
    rows = sorted(zip(drawn, splits, strict=True))
    return "id,split\n" + "".join(f"{note},{split}\n" for note, split in rows)


def _instruments_by_split() -> dict[str, list[_Numbered]]:
    """Instruments in turns over the families, so that the first few already differ most."""
    by_split: dict[str, list[_Numbered]] = {split: [] for split in SHARES}
    numbered: dict[str, list[_Numbered]] = {family: [] for family in FAMILIES}
    number = 0
    for family in FAMILIES:
        counts = dict.fromkeys(SOURCES, 0)
        for instrument in INSTRUMENTS[family]:
            name = f"{family}_{instrument.source}_{counts[instrument.source]:03d}"
            counts[instrument.source] += 1
            numbered[family].append(_Numbered(number, name, family, instrument))
            number += 1
    for rank, turn in enumerate(zip_longest(*numbered.values())):
        split = {1: "valid", 2: "test"}.get(rank, "train")
        by_split[split] += [instrument for instrument in turn if instrument is not None]
    return by_split


def _drawn_notes(
    instruments: list[_Numbered], size: int, seed: int
) -> Iterator[tuple[_Numbered, int, int]]:
    """`size` distinct notes, as evenly over the instruments and their pitches as may be."""
    for rank, numbered in enumerate(instruments):
        num_notes = size // len(instruments) + (rank < size % len(instruments))
        rng = np.random.default_rng([seed, numbered.number])
        low, high = numbered.instrument.low, numbered.instrument.high
        cells = (np.arange(num_notes) + rng.random(num_notes)) / max(1, num_notes)
        pitches = np.floor(low + cells * (high + 1 - low)).astype(int)
        velocities = np.resize(rng.permutation(VELOCITIES), num_notes)
        drawn: set[tuple[int, int]] = set()
        for pitch, velocity in zip(pitches.tolist(), velocities.tolist(), strict=True):
            while (pitch, velocity) in drawn:
                pitch = low + (pitch + 1 - low) % (high + 1 - low)
            drawn.add((pitch, velocity))
            yield numbered, pitch, velocity


def _rendered(program: int, pitch: int, velocity: int) -> np.ndarray:
    """float32 in [-0.99, 0.99]. Shape [64000]."""
    note = soundfont.Note(0.0, HELD_SECONDS, pitch, velocity, program)
    audio = soundfont.general_midi().render([note], SAMPLE_RATE, NOTE_SECONDS * SAMPLE_RATE)
    return audio * min(_GAIN, 0.99 / max(float(np.abs(audio).max()), 1e-6))


def _fields(
    number: int, numbered: _Numbered, pitch: int, velocity: int, audio: np.ndarray
) -> dict[str, Any]:
    """What NSynth publishes of a note."""
    source = numbered.instrument.source
    qualities = _qualities(audio, numbered)
    return {
        "note": number,
        "note_str": f"{numbered.name}-{pitch:03d}-{velocity:03d}",
        "instrument": numbered.number,
        "instrument_str": numbered.name,
        "pitch": pitch,
        "velocity": velocity,
        "sample_rate": SAMPLE_RATE,
        "qualities": [int(q in qualities) for q in QUALITIES],
        "qualities_str": [q for q in QUALITIES if q in qualities],
        "instrument_family": FAMILIES.index(numbered.family),
        "instrument_family_str": numbered.family,
        "instrument_source": SOURCES.index(source),
        "instrument_source_str": source,
    }


def _qualities(audio: np.ndarray, numbered: _Numbered) -> set[str]:
    """The rules of the module's docstring."""
    hop = SAMPLE_RATE // 20
    levels = np.sqrt((audio.reshape(-1, hop) ** 2).mean(axis=1)) + 1e-9  # 20 a second
    held = audio[: HELD_SECONDS * SAMPLE_RATE]
    power = np.abs(np.fft.rfft(held)) ** 2
    centroid_hz = float((power * np.fft.rfftfreq(len(held), 1 / SAMPLE_RATE)).sum() / power.sum())
    is_fast = levels[2 * 20] < levels.max() * 10 ** (-26 / 20)
    released = levels[HELD_SECONDS * 20 + 10] / levels[HELD_SECONDS * 20 - 1]
    program = numbered.instrument.program
    rules = {
        "bright": centroid_hz > 1800,
        "dark": centroid_hz < 600,
        "distortion": program in _DISTORTED_PROGRAMS,
        "fast_decay": is_fast,
        "long_release": released > 10 ** (-40 / 20) and levels[HELD_SECONDS * 20 - 1] > 1e-4,
        "multiphonic": program in _MULTIPHONIC_PROGRAMS,
        "nonlinear_env": levels.argmax() >= 10,
        "percussive": numbered.family == "mallet" or (is_fast and levels.argmax() < 2),
    }
    return {quality for quality, holds in rules.items() if holds}


def _wav(audio: np.ndarray) -> bytes:
    """16-bit PCM; the standard library's writer puts no date into it."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(audio * 32767).astype("<i2").tobytes())
    return buffer.getvalue()
