"""One note at another pitch and of another length, its attack and decay as they were."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from pipeline.audio import pitch

_ATTACK_SECONDS = 0.12  # never repeated
_MIN_BODY_SECONDS = 0.06
_FADED_SECONDS = 0.01  # at the end of a sample, where it was cut
_CROSSFADE_SECONDS = 0.025
_LEVEL_FRAME_SECONDS = 0.02
_STEEPEST_DB = -120.0  # a second
_MAX_DENOMINATOR = 100


def sounding(
    audio: np.ndarray,
    sample_rate: int,
    semitones: int,
    seconds: float,
    release_seconds: float,
    is_voice: bool,
) -> np.ndarray:
    """A note played at another pitch for a given time.

    Args:
      audio: the note from its beginning. float32. Shape [samples].
      sample_rate: in Hz.
      semitones: upwards.
      seconds: that it should last, without its release.
      release_seconds: in which it fades out then.
      is_voice: whether its formants stay.

    Returns:
      float32. Shape [about (seconds + release_seconds) * sample_rate].
    """
    transposed = _transposed(audio, sample_rate, semitones, is_voice)
    wanted = max(1, round((seconds + release_seconds) * sample_rate))
    sound = transposed[:wanted].copy()
    if len(transposed) < wanted:
        sound = _lengthened(transposed, sample_rate, wanted)
    fade = min(round(release_seconds * sample_rate), len(sound))
    sound[len(sound) - fade :] *= np.cos(0.5 * np.pi * np.arange(fade) / max(fade, 1)) ** 2
    return sound


def _transposed(audio: np.ndarray, sample_rate: int, semitones: int, is_voice: bool) -> np.ndarray:
    """As a sampler does it, by another rate: the length changes too; a voice keeps both."""
    if semitones == 0:
        return audio
    if is_voice:
        return pitch.transpose_voice(audio, sample_rate, semitones)
    from scipy.signal import resample_poly

    ratio = Fraction(2 ** (-semitones / 12)).limit_denominator(_MAX_DENOMINATOR)
    return resample_poly(audio, ratio.numerator, ratio.denominator).astype(np.float32)


def _lengthened(audio: np.ndarray, sample_rate: int, wanted: int) -> np.ndarray:
    """What follows the attack, repeated at an even level, then decaying on as it did.

    A repetition begins where the sound is most like that which it follows, so that waves join.
    """
    attack = min(round(_ATTACK_SECONDS * sample_rate), len(audio) // 2)
    body = audio[attack:]
    if len(body) < _MIN_BODY_SECONDS * sample_rate:
        return np.pad(audio, (0, wanted - len(audio)))
    body = body[: len(body) - round(_FADED_SECONDS * sample_rate)]
    slope_db = _decay_db(body, sample_rate)
    even = body * _exponential(len(body), sample_rate, -slope_db)
    fade = min(round(_CROSSFADE_SECONDS * sample_rate), len(body) // 4)
    ramp = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    pieces, tail, length = [even[:-fade]], even[-fade:], len(even) - fade
    joined = _joint(even, tail)
    begin = even[joined : joined + fade] * ramp + tail * (1 - ramp)
    while length < wanted - attack:
        pieces += [begin, even[joined + fade : -fade]]
        length += len(even) - fade - joined
    sustained = np.concatenate(pieces)[: wanted - attack]
    sustained *= _exponential(len(sustained), sample_rate, slope_db)
    return np.concatenate([audio[:attack], sustained])


def _joint(even: np.ndarray, tail: np.ndarray) -> int:
    """Where in the first half of a sound, its end aside, it is most like its tail."""
    searched = even[: max(len(even) // 2, len(tail) + 1)].astype(np.float64)
    products = np.correlate(searched, tail.astype(np.float64), "valid")
    energy = np.concatenate([[0.0], np.cumsum(searched**2)])
    norms = np.sqrt(np.maximum(energy[len(tail) :] - energy[: -len(tail)], 1e-12))
    return int(np.argmax(products / norms))


def _decay_db(body: np.ndarray, sample_rate: int) -> float:
    """How the level falls, by regression over frames of 20 ms: dB a second, 0 or below."""
    frame = round(_LEVEL_FRAME_SECONDS * sample_rate)
    count = len(body) // frame
    if count < 2:
        return 0.0
    power = np.square(body[: count * frame].reshape(count, frame), dtype=np.float64).mean(axis=1)
    level_db = 10 * np.log10(np.maximum(power, power.max() * 1e-6))
    slope = np.polyfit(np.arange(count) * _LEVEL_FRAME_SECONDS, level_db, 1)[0]
    return float(np.clip(slope, _STEEPEST_DB, 0))


def _exponential(length: int, sample_rate: int, slope_db: float) -> np.ndarray:
    return (10 ** (slope_db / 20 * np.arange(length) / sample_rate)).astype(np.float32)
