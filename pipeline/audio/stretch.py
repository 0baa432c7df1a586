"""Tempo without pitch, pitch without tempo, and beats moved onto other beats: Signalsmith Stretch.

What it makes depends on nothing but its input. Lengths are exact, and an attack comes within 3 ms
of where it belongs (measured on clicks, at half to twice the tempo). A tone stretched more than
sixfold loses level, 6 dB at tenfold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.errors import Rejected

_FADE_SECONDS = 0.01  # between pieces of a warp, just before the beat, whose attack stays whole
_CONTEXT_SECONDS = 0.15  # heard before and after a piece, so that it begins and ends in full sound
MAX_FACTOR = 16.0


def stretch(audio: np.ndarray, sample_rate: int, num_samples: int) -> np.ndarray:
    """Another tempo at the same pitch.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz.
      num_samples: the length wanted, a sixteenth to sixteen times the length given.

    Returns:
      float32. Shape [num_samples].

    Raises:
      Rejected: too_short_audio, impossible_stretch.
    """
    if not len(audio) or num_samples < 1:
        raise Rejected("too_short_audio", f"{len(audio)} samples to {num_samples}")
    speed = len(audio) / num_samples
    if not 1 / MAX_FACTOR <= speed <= MAX_FACTOR:
        raise Rejected("impossible_stretch", f"speed={speed:.3g}; the limit is {MAX_FACTOR:g}")
    if len(audio) == num_samples:
        return np.asarray(audio, np.float32).copy()
    processor = _processor(sample_rate)
    processor.setTimeFactor(speed)
    return _fitted(_processed(processor, audio), num_samples)


def transpose(audio: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
    """Another pitch at the same tempo; formants move along.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz.
      semitones: upwards; fractions are allowed.

    Returns:
      float32. Shape [samples].

    Raises:
      Rejected: too_short_audio.
    """
    if not len(audio):
        raise Rejected("too_short_audio", "no samples")
    if semitones == 0:
        return np.asarray(audio, np.float32).copy()
    processor = _processor(sample_rate)
    processor.setTransposeSemitones(semitones)
    return _fitted(_processed(processor, audio), len(audio))


def warp(
    audio: np.ndarray,
    sample_rate: int,
    from_seconds: np.ndarray,
    to_seconds: np.ndarray,
    num_samples: int,
) -> np.ndarray:
    """Moves each of some times of a song to another time, linearly in between.

    Before the first and after the last of them the tempo is that of the song; what is missing
    there is silent.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz.
      from_seconds: times in the song, rising. Shape [anchors], at least 2.
      to_seconds: where they go, rising. Shape [anchors].
      num_samples: of the result.

    Returns:
      float32. Shape [num_samples].

    Raises:
      Rejected: bad_time_map, if there are fewer than two anchors or they do not rise;
        impossible_stretch.
    """
    sources, targets = _anchors(from_seconds, sample_rate), _anchors(to_seconds, sample_rate)
    if len(sources) != len(targets):
        raise Rejected("bad_time_map", f"{len(sources)} times to {len(targets)}")
    before, after = targets[0], max(num_samples - targets[-1], 0)
    sources = np.concatenate([[sources[0] - before], sources, [sources[-1] + after]])
    targets = np.concatenate([[0], targets, [max(num_samples, targets[-1])]])
    result = np.zeros(int(targets[-1]), np.float32)
    fade = round(_FADE_SECONDS * sample_rate)
    for i in range(len(sources) - 1):
        if targets[i] < targets[i + 1]:
            piece = _piece(audio, sample_rate, sources[i : i + 2], targets[i : i + 2], fade)
            start = int(targets[i]) - fade
            result[max(start, 0) : start + len(piece)] += piece[max(-start, 0) :]
    return result[:num_samples]


def _anchors(seconds: np.ndarray, sample_rate: int) -> np.ndarray:
    samples = np.round(np.asarray(seconds, np.float64) * sample_rate).astype(np.int64)
    if len(samples) < 2 or (np.diff(samples) < 1).any() or samples[0] < 0:
        raise Rejected("bad_time_map", "a time map needs two or more times, each after the last")
    return samples


def _piece(
    audio: np.ndarray, sample_rate: int, source: np.ndarray, target: np.ndarray, fade: int
) -> np.ndarray:
    """What sounds between two anchors, faded in before the first, out before the second.

    Returns:
      float32. Shape [fade + target[1] - target[0]].
    """
    wanted = int(target[1] - target[0])
    speed = float(source[1] - source[0]) / wanted
    context = round(_CONTEXT_SECONDS * sample_rate)
    margin = round(context * speed)
    heard = _cut(audio, int(source[0]) - margin, int(source[1]) + margin)
    made = stretch(heard, sample_rate, wanted + 2 * context)
    made = made[context - fade : context + wanted]
    ramp = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade).astype(np.float32) ** 2
    made[:fade] *= ramp
    made[-fade:] *= ramp[::-1][-len(made) :]
    return made


def _cut(audio: np.ndarray, start: int, end: int) -> np.ndarray:
    """audio[start:end] with zeros where it has no samples."""
    inside = audio[max(start, 0) : max(end, 0)]
    before = min(max(-start, 0), end - start)
    return np.pad(inside, (before, end - start - before - len(inside))).astype(np.float32)


def _processor(sample_rate: int) -> Any:
    from python_stretch import Signalsmith

    processor = Signalsmith.Stretch(0)
    processor.preset(1, sample_rate)
    return processor


def _processed(processor: Any, audio: np.ndarray) -> np.ndarray:
    return processor.process(np.ascontiguousarray(audio, np.float32)[None])[0]


def _fitted(audio: np.ndarray, num_samples: int) -> np.ndarray:
    """The same length but for rounding."""
    return np.pad(audio[:num_samples], (0, max(0, num_samples - len(audio))))
