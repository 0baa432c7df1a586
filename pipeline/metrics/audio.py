"""Metrics of samples that are sounds: their timbre one by one, their variety, and what is copied.

A metric without a meaning for the sounds given (silence, a single frame, a single sound) is NaN,
never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.metrics import frechet
from pipeline.metrics._timbre import Sound, descriptors, summary
from pipeline.metrics.comparison import mean_ignoring_nan

MEDIUM = "audio"


def content_of(example: Example, steps_per_beat: int) -> Sound:
    """The sound of an example; it has no grid, so `steps_per_beat` says nothing.

    Raises:
      Rejected: no_audio.
    """
    if example.audio is None or not len(example.audio) or not example.sample_rate:
        raise Rejected("no_audio", f"the example has no audio ({example.key})")
    return Sound(example.audio, example.sample_rate)


def musical_metrics(sound: Sound) -> dict[str, float]:
    """Descriptors of the timbre, the field's own.

    Of frames of 1,024 samples, each 256, that are within 60 dB of the most powerful, the mean of:

    - spectral_centroid_hz: mean frequency, weighted by magnitude;
    - spectral_spread_hz: standard deviation of frequency, so weighted;
    - spectral_rolloff_hz: the frequency up to which 85 % of the magnitudes lie;
    - spectral_flatness: geometric over arithmetic mean of the powers; about 0.56 for white noise,
      near 0 for a tone;
    - spectral_flux: 1 - cosine of the magnitudes of neighbouring frames; 0 where nothing changes.

    Of the waveform, and its root mean square in windows of 16 ms, each 4 ms:

    - zero_crossing_rate: share of neighbouring samples of unlike sign;
    - attack_seconds: from the first window of a tenth of the highest to the first of nine tenths;
    - temporal_centroid_seconds: mean time, weighted by energy;
    - level_db: root mean square against full scale;
    - level_range_db: from the 10th to the 95th percentile of the windows within 60 dB of the
      highest.

    All are NaN for silence; spectral_flux also with fewer than two such frames.

    Raises:
      Rejected: as `pipeline.audio.stft.checked`.

    Source: Peeters 2004, "A large set of audio features for sound description", sections 2 to 6;
    librosa for the first four, with its defaults.
    """
    return descriptors(sound)


CONTRASTS: dict[str, Callable[[Sound, np.random.Generator], dict[str, float]]] = {}


def set_metrics(sounds: Sequence[Sound], genres: Sequence[str]) -> dict[str, float]:
    """How unlike the sounds of a set are.

    Args:
      sounds: of one sample rate.
      genres: not looked at.

    Returns:
      pairwise_mfcc_distance, the mean over all pairs of `_timbre.summary`'s Euclidean distance.
    """
    return {"pairwise_mfcc_distance": _pairwise_distance(_summaries(sounds))}


def memorisation(
    generated: Sequence[Sound], held_out: Sequence[Sound], training: Sequence[Sound]
) -> dict[str, float]:
    """How near the samples come to the training sounds, with held-out sounds beside them.

    Held-out sounds cannot have been copied; samples much nearer to their nearest training sound
    than they are may have been. The Fréchet distance falls with the number of sounds, so it is
    taken of as many samples as held-out sounds, the first of each.

    Args:
      generated: the samples.
      held_out: sounds of the same corpus that were not trained on.
      training: those that were.

    Returns:
      nearest_training_distance, the mean over sounds of the least Euclidean distance between
      their `_timbre.summary` and a training sound's; frechet_mfcc_distance, the Fréchet distance
      of these summaries. "<metric>_held_out" beside each.

    Raises:
      PipelineError: if the sounds are not of one sample rate.
    """
    _check_rates([*generated, *held_out, *training])
    known = _summaries(training)
    num = min(len(generated), len(held_out))
    found: dict[str, float] = {}
    for suffix, sounds in {"": generated, "_held_out": held_out}.items():
        own = _summaries(sounds)
        found[f"nearest_training_distance{suffix}"] = _nearest_distance(own, known)
        found[f"frechet_mfcc_distance{suffix}"] = frechet.frechet_distance(own[:num], known)
    return found


def _check_rates(sounds: Sequence[Sound]) -> None:
    rates = sorted({sound.sample_rate for sound in sounds})
    if len(rates) > 1:
        raise PipelineError(
            f"sample_rate={rates} Hz: cepstra of sounds of several rates cannot be compared; "
            "resample them to one."
        )


def _summaries(sounds: Sequence[Sound]) -> np.ndarray:
    """Shape [sounds, dimensions]."""
    _check_rates(sounds)
    return np.stack([summary(sound) for sound in sounds]) if sounds else np.zeros((0, 1))


def _nearest_distance(own: np.ndarray, known: np.ndarray) -> float:
    if not len(known):
        return float("nan")
    nearest = [np.linalg.norm(known - vector, axis=1).min() for vector in own]
    return float(mean_ignoring_nan(np.array(nearest)))


def _pairwise_distance(vectors: np.ndarray) -> float:
    rows = [np.linalg.norm(vectors[i + 1 :] - vectors[i], axis=1) for i in range(len(vectors))]
    return float(mean_ignoring_nan(np.concatenate([np.zeros(0), *rows])))
