"""Stage: scores -> data/pairs: songs whose transfer is known, as two instruments played each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import console, files, params, paths, registry, render, sound_files, tfrecord
from pipeline.errors import PipelineError
from pipeline.models.base import Shards
from pipeline.readers import soundfont
from pipeline.readers.soundfont import Note

_BEATS_A_BAR = 4
_PEAK = 0.7  # of full scale
_RELEASE_SECONDS = 0.4  # before a song's end no note sounds: what rings on is heard
_VELOCITIES = (64, 112)


@dataclass(frozen=True)
class Score:
    """What is played: a passage of a piece.

    Attributes:
      notes: in seconds, their programs not yet said.
      qpm: its tempo.
      key: of the record that it is from.
    """

    notes: tuple[Note, ...]
    qpm: float
    key: str


def main() -> None:
    settings = params.load()
    options = settings.pair_options()
    shards = Shards.open(paths.shards(settings.pairs.corpus))
    rng = np.random.default_rng([settings.seed, 0])
    scores = _enough(_scores(settings, shards, options, rng), shards, options)
    listed = []
    with files.atomic_directory(paths.PAIRS) as out:
        for number in console.progress(range(options.num), "playing", options.num):
            both = scores[number], scores[_other(number, options.num)]
            programs = _programs(options.programs, rng)
            stem = f"pair-{number:03d}"
            songs = _songs(both, programs, options)
            for which, audio in songs.items():
                sound_files.write_wav(out / f"{stem}-{which}.wav", audio, options.sample_rate)
                if number < options.num_rendered:
                    picture = out / f"{stem}-{which}.png"
                    render.write_rainbowgram(picture, audio, options.sample_rate, _TITLES[which])
            listed.append({"stem": stem, **_facts(both, programs)})
        source = files.read_json(shards.path / "corpus.json")["source"]
        about = {
            "source": source,
            "sample_rate": options.sample_rate,
            "num_rendered": min(options.num_rendered, options.num),
            "pairs": listed,
        }
        files.write_json(out / "pairs.json", about)


def _other(number: int, num: int) -> int:
    """Which piece is the sound's song; each is once the notes', and once, so played, the sound's.

    It has as many voices, where there are enough pieces: with a bass more or less, cepstra tell
    registers apart, and no longer instruments.
    """
    return (number + max(1, num // 8 * 4)) % num


_TITLES = {
    "notes": "the song whose notes are kept",
    "sound": "the song whose sound is taken",
    "oracle": "the truth: the first song's score, played by the second's instrument",
}


def _scores(
    settings: params.Params, shards: Shards, options: params.Pairs, rng: np.random.Generator
) -> Iterator[Score]:
    """A passage a piece, those of the test split first: two of one voice, then two of two."""
    codec = registry.codec(settings.corpus(shards.corpus).codec)
    codec_options = settings.codec_options(shards.corpus)
    found = 0
    for record in _records(shards):
        voices = _voices(codec.decode(record, codec_options).note_sequence)
        num_voices = 1 + found // 2 % 2
        qpm = float(rng.integers(options.min_qpm, options.max_qpm + 1))
        if len(voices) < num_voices:
            continue
        notes = _passage([voices[0], voices[-1]][:num_voices], qpm, options)
        if notes:
            loudness = rng.integers(*_VELOCITIES, len(notes)).tolist()
            notes = [n._replace(velocity=v) for n, v in zip(notes, loudness, strict=True)]
            yield Score(tuple(notes), qpm, str(np.asarray(record["key"]).astype(str)))
            found += 1


def _records(shards: Shards) -> Iterator[dict[str, Any]]:
    """Of all splits: what transfers has learned from no score."""
    for split in ("test", "validation", "train"):
        for path in shards.files(split) if split in shards.shard_lengths else ():
            for data in tfrecord.read_records(Path(path)):
                yield tfrecord.parse_example(data, shards.features)


def _voices(note_sequence: Any) -> list[list[Note]]:
    """The notes of each instrument but drums, in beats of 120 qpm; the highest voice first."""
    voices: dict[int, list[Note]] = {}
    beats = note_sequence.tempos[0].qpm / 60 if note_sequence.tempos else 2.0
    for note in note_sequence.notes:
        if not note.is_drum:
            own = voices.setdefault(note.instrument, [])
            own.append(Note(note.start_time * beats, note.end_time * beats, note.pitch, 80))
    return sorted(voices.values(), key=lambda own: -float(np.mean([note.pitch for note in own])))


def _passage(voices: list[list[Note]], qpm: float, options: params.Pairs) -> list[Note]:
    """The first bars in which each voice plays enough, its notes in seconds; [] without such."""
    beat_seconds = 60 / qpm
    num_beats = (options.seconds - _RELEASE_SECONDS) / beat_seconds
    last_start = max(note.start_time for voice in voices for note in voice)
    for first in np.arange(0, last_start, _BEATS_A_BAR).tolist():
        parts = [
            [n for n in voice if first <= n.start_time and n.start_time + 0.25 < first + num_beats]
            for voice in voices
        ]
        is_played = [len({n.start_time for n in part}) >= options.min_notes for part in parts]
        if parts[0] and is_played[0] and all(len(part) >= 2 for part in parts):
            if min(n.start_time for n in parts[0]) > first:  # it begins with its first bar
                continue
            return [
                n._replace(
                    start_time=(n.start_time - first) * beat_seconds,
                    end_time=(min(n.end_time, first + num_beats) - first) * beat_seconds,
                )
                for part in parts
                for n in part
            ]
    return []


def _enough(found: Iterator[Score], shards: Shards, options: params.Pairs) -> list[Score]:
    scores = list(islice(found, options.num))
    if len(scores) < options.num:
        raise PipelineError(
            f"params.yaml: pairs.num={options.num}: {shards.corpus} has {len(scores)} pieces with "
            "such a passage. Ask for fewer, or lower pairs.min_notes."
        )
    return scores


def _programs(programs: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    """Two instruments of different families of General MIDI."""
    first = int(rng.choice(programs))
    others = [program for program in programs if program // 8 != first // 8]
    return first, int(rng.choice(others))


def _songs(
    scores: tuple[Score, Score], programs: tuple[int, int], options: params.Pairs
) -> dict[str, np.ndarray]:
    """The three songs of a pair. float32 [samples] each."""
    (notes, sound), (own, other) = scores, programs
    return {
        "notes": _played(notes, own, options),
        "sound": _played(sound, other, options),
        "oracle": _played(notes, other, options),
    }


def _facts(scores: tuple[Score, Score], programs: tuple[int, int]) -> dict[str, Any]:
    """What is told of a pair; its notes as start and end in seconds, and pitch."""
    facts: dict[str, Any] = {}
    for which, score, program in zip(("notes", "sound"), scores, programs, strict=True):
        own = {"key": score.key, "qpm": score.qpm, "program": program}
        facts |= {f"{which}_{name}": value for name, value in own.items()}
    rows = [[round(n.start_time, 6), round(n.end_time, 6), n.pitch] for n in scores[0].notes]
    return facts | {"notes": sorted(rows)}


def _played(score: Score, program: int, options: params.Pairs) -> np.ndarray:
    """float32, its peak at 0.7. Shape [seconds * sample_rate]."""
    notes = [note._replace(program=program) for note in score.notes]
    num_samples = round(options.seconds * options.sample_rate)
    audio = soundfont.general_midi().render(notes, options.sample_rate, num_samples)
    return (audio * (_PEAK / np.abs(audio).max())).astype(np.float32)


def _command() -> None:
    argparse.ArgumentParser(prog="python -m pipeline.pair", description=__doc__).parse_args()
    main()


if __name__ == "__main__":
    console.run(_command)
