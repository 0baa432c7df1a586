"""One zone of a SoundFont as a waveform: its sample resampled, looped, shaped and filtered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# Generators by their numbers in SoundFont 2.04, section 8.1.2, with the defaults of section 8.1.3.
_FILTER_CUTOFF, _FILTER_Q, _ENVELOPE_TO_FILTER, _PAN = 8, 9, 11, 17
_DELAY, _ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE = 33, 34, 35, 36, 37, 38
_KEY_TO_HOLD, _KEY_TO_DECAY, INSTRUMENT, KEY_RANGE, VELOCITY_RANGE = 39, 40, 41, 43, 44
_ATTENUATION, _COARSE_TUNE, _FINE_TUNE, SAMPLE, _MODE, _SCALE, _ROOT = 48, 51, 52, 53, 54, 56, 58
OFFSETS = ((0, 4), (1, 12), (2, 45), (3, 50))  # start, end, loop start, loop end: fine and coarse
DEFAULTS = {_FILTER_CUTOFF: 13500, _SCALE: 100, _ROOT: -1} | dict.fromkeys(
    (_DELAY, _ATTACK, _HOLD, _DECAY, _RELEASE), -12000
)
NOT_ADDED = {KEY_RANGE, VELOCITY_RANGE, INSTRUMENT, SAMPLE, _MODE, _ROOT}
_SILENCE_DB = 100.0  # the range of decay and release times, section 8.1.2
# The hardware that SoundFonts are voiced on applies 0.4 of the written attenuation; so do players.
_ATTENUATION_SCALE = 0.4


@dataclass(frozen=True)
class Zone:
    """One sample in one range of pitches and velocities, with its generators."""

    generators: Mapping[int, int]
    pitches: tuple[int, int]
    velocities: tuple[int, int]
    start: int
    end: int
    loop_start: int
    loop_end: int
    sample_rate: int
    root_pitch: int
    correction_cents: int

    def sounds(self, pitch: int, velocity: int) -> bool:
        low, high = self.pitches
        soft, loud = self.velocities
        return low <= pitch <= high and soft <= velocity <= loud

    def waveform(
        self, samples: np.ndarray, pitch: int, velocity: int, held: int, rate: int, longest: int
    ) -> np.ndarray:
        """`held` samples at `rate` Hz and the release. float32. Shape [up to `longest`]."""
        num_samples = min(longest, held + int(self._seconds(_RELEASE) * rate))
        source = self._resampled(samples, self._step(pitch, rate), num_samples)
        sound = source * self._envelope(len(source), pitch, held, rate)
        return (self._filtered(sound, velocity, rate) * self._gain(velocity)).astype(np.float32)

    def _get(self, generator: int) -> int:
        return self.generators.get(generator, DEFAULTS.get(generator, 0))

    def _seconds(self, generator: int, cents: float = 0.0) -> float:
        return 2.0 ** ((self._get(generator) + cents) / 1200)

    def _step(self, pitch: int, rate: int) -> float:
        """Samples of the source for each sample of the result."""
        root = self._get(_ROOT) if self._get(_ROOT) >= 0 else self.root_pitch
        cents = (pitch - root) * self._get(_SCALE) + self.correction_cents
        cents += 100 * self._get(_COARSE_TUNE) + self._get(_FINE_TUNE)
        return self.sample_rate / rate * 2.0 ** (cents / 1200)

    def _resampled(self, samples: np.ndarray, step: float, num_samples: int) -> np.ndarray:
        source = samples[self.start : self.end]
        length = self.loop_end - self.loop_start
        needed = int(num_samples * step) + 2
        if self._get(_MODE) & 1 and length > 0:
            loop = samples[self.loop_start : self.loop_end]
            rounds = max(0, -(-(needed - (self.loop_end - self.start)) // length))
            source = np.concatenate([samples[self.start : self.loop_end], np.tile(loop, rounds)])
        num_samples = max(0, min(num_samples, int((len(source) - 2) / step)))
        position = np.arange(num_samples) * step
        left = position.astype(np.int32)
        fraction = (position - left).astype(np.float32)
        return source[left] * (1 - fraction) + source[left + 1] * fraction

    def _envelope(self, num_samples: int, pitch: int, held: int, rate: int) -> np.ndarray:
        """The volume envelope (section 9.1.8): attack in amplitude, the rest straight in dB."""
        time = (np.arange(num_samples) / rate - self._seconds(_DELAY)).astype(np.float32)
        attack = self._seconds(_ATTACK)
        hold = attack + self._seconds(_HOLD, (60 - pitch) * self._get(_KEY_TO_HOLD))
        decay = self._seconds(_DECAY, (60 - pitch) * self._get(_KEY_TO_DECAY))
        sustain = min(max(self._get(_SUSTAIN) / 10, 0.0), _SILENCE_DB)
        loss_db = np.clip((time - hold) * (_SILENCE_DB / decay), 0, sustain)
        if num_samples > held:
            release = np.arange(num_samples - held) / (self._seconds(_RELEASE) * rate)
            loss_db[held:] = loss_db[held] + _SILENCE_DB * release
        rising = np.clip(time / attack, 0, 1)
        rising[held:] = rising[min(held, num_samples) - 1] if num_samples else 0
        return rising * np.exp(loss_db * np.float32(-np.log(10) / 20))

    def _gain(self, velocity: int) -> float:
        """Attenuation, velocity (40 dB a decade, section 8.4.1) and the mono sum of the panning."""
        angle = (np.clip(self._get(_PAN), -500, 500) + 500) / 1000 * np.pi / 2
        written_db = max(0.0, self._get(_ATTENUATION) / 10) * _ATTENUATION_SCALE
        mono = (np.cos(angle) + np.sin(angle)) / 2
        return float(10 ** (-written_db / 20) * (velocity / 127) ** 2 * mono)

    def _filtered(self, sound: np.ndarray, velocity: int, rate: int) -> np.ndarray:
        """The low-pass, opened by its envelope and closed by 2,400 cents for velocity 0."""
        cents = self._get(_FILTER_CUTOFF) + max(0, self._get(_ENVELOPE_TO_FILTER))
        cents -= round(2400 * (1 - velocity / 127))
        cutoff_hz = 8.176 * 2.0 ** (min(max(cents, 1500), 13500) / 1200)
        if cutoff_hz > rate / 4:  # hardly heard, and the decimation mostly removes what is above
            return sound
        from scipy.signal import lfilter

        resonance = 10 ** ((min(max(self._get(_FILTER_Q), 0), 960) / 10 - 3.01) / 20)
        angle = 2 * np.pi * cutoff_hz / rate
        alpha, cosine = np.sin(angle) / (2 * resonance), np.cos(angle)
        numerator = np.array([(1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2])
        denominator = np.array([1 + alpha, -2 * cosine, 1 - alpha])
        return lfilter(numerator, denominator, sound)
