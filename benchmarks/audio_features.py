"""Mel, MFCC, chroma and tempo of clips of 30 s beside librosa, in one run.

Usage: python -m benchmarks.audio_features [--clips 100]

Half of the clips are rendered with the General MIDI SoundFont, half are synthetic. The first table
is of all four features together: librosa as one calls it, each function on its own; librosa given
one STFT by hand; and both sides with two threads, each with clips of its own. The second is of each
feature alone. Sides take turns, a fifth of the clips at a time; clips a second are the median over
these rounds, and a ratio is the median of the rounds' ratios; the processor time of all threads
stands beside them, for what else runs slows down the threads of librosa's BLAS most. The third
gives the largest difference over all clips, as a share of the feature's peak.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import NamedTuple

import librosa
import numpy as np

from pipeline.audio import features
from pipeline.readers import soundfont

SAMPLE_RATE = 22_050
CLIP_SECONDS = 30
NUM_ROUNDS = 5
NUM_THREADS = 2
Side = Callable[[Sequence[np.ndarray]], object]


class Taken(NamedTuple):
    """What a side took for some clips."""

    clips_a_second: float
    processor_seconds: float  # of all threads, a clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100)
    num_clips = max(2 * NUM_ROUNDS, parser.parse_args().clips)
    warnings.simplefilter("ignore")
    _warm_up()
    together: dict[str, list[Taken]] = {name: [] for name in TOGETHER}
    alone: dict[str, list[tuple[Taken, Taken]]] = {name: [] for name in ALONE}
    differences = []
    for first in range(0, num_clips, -(-num_clips // NUM_ROUNDS)):
        last = min(first + -(-num_clips // NUM_ROUNDS), num_clips)
        clips = [clip(seed) for seed in range(first, last)]
        for name, side in TOGETHER.items():
            together[name].append(_taken(side, clips))
        few = clips[: max(2, len(clips) // 4)]
        for name, (theirs, ours) in ALONE.items():
            alone[name].append((_taken(_each(theirs), few), _taken(_each(ours), few)))
        differences += [difference(audio) for audio in clips]
    _print_together(together, num_clips)
    _print_alone(alone)
    _print_differences(differences)


def clip(seed: int) -> np.ndarray:
    """30 s of sound; float32 [samples]."""
    rng = np.random.default_rng([seed])
    num_samples = CLIP_SECONDS * SAMPLE_RATE
    if seed % 2:
        sound = soundfont.general_midi().render(list(_song(rng)), SAMPLE_RATE, num_samples)
    else:
        sound = _synthetic(rng, num_samples)
    return (0.8 * sound / np.abs(sound).max()).astype(np.float32)


def difference(audio: np.ndarray) -> dict[str, float]:
    """Of each feature the largest difference from librosa's, as a share of its peak."""
    found, expected = features.features(audio, SAMPLE_RATE), _librosa(audio)
    return {
        name: float(np.abs(getattr(found, name) - value).max() / np.abs(value).max())
        for name, value in expected.items()
    }


def _song(rng: np.random.Generator) -> Iterator[soundfont.Note]:
    """A melody, a bass and drums on a beat."""
    beat_seconds = 60 / rng.uniform(70, 170)
    melody, bass = (int(program) for program in (rng.integers(0, 80), rng.integers(32, 40)))
    for beat in range(int(CLIP_SECONDS / beat_seconds)):
        start = beat * beat_seconds
        yield soundfont.Note(start, start + 0.1, int(rng.choice([36, 38, 42])), 90, 0, True)
        yield soundfont.Note(start, start + beat_seconds, int(rng.integers(55, 80)), 90, melody)
        if beat % 2 == 0:
            yield soundfont.Note(start, start + beat_seconds, int(rng.integers(33, 50)), 80, bass)


def _synthetic(rng: np.random.Generator, num_samples: int) -> np.ndarray:
    """A sweep, three tones that decay each beat, and noise."""
    seconds = np.arange(num_samples) / SAMPLE_RATE
    since_beat = seconds % (60 / rng.uniform(70, 170))
    sweep = np.sin(2 * np.pi * (rng.uniform(100, 500) + 40 * seconds) * seconds)
    tones = sum(np.sin(2 * np.pi * hz * seconds) for hz in rng.uniform(100, 2000, 3))
    return 0.2 * sweep + np.exp(-8 * since_beat) * tones + 0.02 * rng.normal(size=num_samples)


def _librosa(audio: np.ndarray) -> dict[str, np.ndarray]:
    """All four, as a user would have them."""
    y, sr = audio, SAMPLE_RATE
    mel = librosa.feature.melspectrogram(y=y, sr=sr)
    return {
        "mel": mel.T,
        "mel_db": librosa.power_to_db(mel).T,
        "mfcc": librosa.feature.mfcc(y=y, sr=sr).T,
        "chroma": librosa.feature.chroma_stft(y=y, sr=sr).T,
        "tempo_bpm": librosa.feature.tempo(y=y, sr=sr),
    }


def _librosa_shared(audio: np.ndarray) -> None:
    """All four, from one STFT by hand."""
    sr = SAMPLE_RATE
    power = np.abs(librosa.stft(audio)) ** 2
    decibels = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=sr))
    librosa.feature.mfcc(S=decibels, sr=sr)
    librosa.feature.chroma_stft(S=power, sr=sr)
    librosa.feature.tempo(onset_envelope=librosa.onset.onset_strength(S=decibels, sr=sr), sr=sr)


def _ours(audio: np.ndarray) -> features.Features:
    return features.features(audio, SAMPLE_RATE)


def _each(feature: Callable[[np.ndarray], object]) -> Side:
    return lambda clips: [feature(audio) for audio in clips]


def _threaded(feature: Callable[[np.ndarray], object]) -> Side:
    def side(clips: Sequence[np.ndarray]) -> None:
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            list(pool.map(feature, clips))

    return side


TOGETHER = {
    "librosa, each function on its own": _each(_librosa),
    "librosa, one STFT by hand": _each(_librosa_shared),
    "ours, one thread": _each(_ours),
    "librosa, each on its own, two threads": _threaded(_librosa),
    "ours, two threads": _threaded(_ours),
}
ALONE: dict[str, tuple[Callable[[np.ndarray], object], Callable[[np.ndarray], object]]] = {
    "mel in dB": (
        lambda y: librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=SAMPLE_RATE)),
        lambda y: features.power_to_db(features.mel(y, SAMPLE_RATE)),
    ),
    "MFCC": (
        lambda y: librosa.feature.mfcc(y=y, sr=SAMPLE_RATE),
        lambda y: features.mfcc(y, SAMPLE_RATE),
    ),
    "chroma": (
        lambda y: librosa.feature.chroma_stft(y=y, sr=SAMPLE_RATE),
        lambda y: features.chroma(y, SAMPLE_RATE),
    ),
    "tempo": (
        lambda y: librosa.feature.tempo(y=y, sr=SAMPLE_RATE),
        lambda y: features.tempo(y, SAMPLE_RATE),
    ),
}


def _warm_up() -> None:
    audio = clip(0)[: 3 * SAMPLE_RATE]
    for side in TOGETHER.values():
        side([audio])


def _taken(side: Side, clips: Sequence[np.ndarray]) -> Taken:
    seconds, processor_seconds = time.perf_counter(), time.process_time()
    side(clips)
    return Taken(
        len(clips) / (time.perf_counter() - seconds),
        (time.process_time() - processor_seconds) / len(clips),
    )


def _print_together(taken: dict[str, list[Taken]], num_clips: int) -> None:
    print(f"{num_clips} clips of {CLIP_SECONDS} s at {SAMPLE_RATE} Hz; all four features.\n")
    print("| | clips a second | processor ms a clip | ours, one thread | ours, two threads |")
    print("|---|---:|---:|---:|---:|")
    for name, own in taken.items():
        ratios = [_ratio(taken[side], own) for side in ("ours, one thread", "ours, two threads")]
        print(
            f"| {name} | {_rate(own):.1f} | {_processor_ms(own):.0f} "
            f"| {ratios[0]:.2f} times | {ratios[1]:.2f} times |"
        )


def _print_alone(taken: dict[str, list[tuple[Taken, Taken]]]) -> None:
    print("\n| one thread | librosa, clips a second | ours | times librosa | processor ms a clip |")
    print("|---|---:|---:|---:|---:|")
    for name, rounds in taken.items():
        theirs, ours = ([pair[i] for pair in rounds] for i in (0, 1))
        print(
            f"| {name} | {_rate(theirs):.1f} | {_rate(ours):.1f} | {_ratio(ours, theirs):.2f} "
            f"| {_processor_ms(theirs):.0f} / {_processor_ms(ours):.0f} |"
        )


def _rate(taken: list[Taken]) -> float:
    return median(of.clips_a_second for of in taken)


def _processor_ms(taken: list[Taken]) -> float:
    return 1e3 * median(of.processor_seconds for of in taken)


def _ratio(ours: list[Taken], theirs: list[Taken]) -> float:
    return median(
        own.clips_a_second / other.clips_a_second for own, other in zip(ours, theirs, strict=True)
    )


def _print_differences(found: list[dict[str, float]]) -> None:
    print("\n| feature | largest difference, of its peak |\n|---|---:|")
    for name in found[0]:
        print(f"| {name} | {max(of[name] for of in found):.1e} |")


if __name__ == "__main__":
    main()
