"""The notes of a piano-roll: which track they are of, where they stand, and as a NoteSequence."""

from __future__ import annotations

import numpy as np

FIVE = ("drums", "piano", "guitar", "bass", "strings")
MERGED = ("merged",)
DRUMS = 0  # place in FIVE
# Instrument, General MIDI program and velocity that a track is written with.
_WRITTEN = {
    "drums": (9, 0, 100),
    "piano": (0, 0, 80),
    "guitar": (1, 25, 80),
    "bass": (2, 33, 80),
    "strings": (3, 48, 80),
    "merged": (0, 0, 80),
}
# By program // 8: piano, chromatic percussion, organ, guitar, bass, strings, ensemble, brass, reed,
# pipe, lead, pad, effects, ethnic, percussive, sound effects. 0: left out.
_PITCHED = np.array([1, 4, 4, 2, 3, 4, 4, 4, 4, 4, 4, 4, 0, 4, 0, 0])


def note_tracks(programs: np.ndarray, is_drum: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The place in `names` of each note's track, or -1: it is left out. int64 [notes].

    Args:
      programs: int64 [notes]; what is outside 0..127 is left out.
      is_drum: bool [notes].
      names: FIVE or MERGED; effects and percussive sounds are left out of both.

    Source: the Lakh Pianoroll Dataset, LPD-5 (Dong et al. 2018, section "Data").
    """
    is_known = (programs >= 0) & (programs < 128)
    pitched = np.where(is_known & ~is_drum, _PITCHED[np.where(is_known, programs, 0) >> 3], 0)
    if names == MERGED:
        return np.where(pitched > 0, 0, -1)
    return np.where(is_drum, DRUMS, np.where(pitched > 0, pitched, -1))


def runs(roll: np.ndarray) -> np.ndarray:
    """The notes of a roll by track, then pitch, then time; neighbouring steps are one note.

    Args:
      roll: bool [steps, pitches, tracks].

    Returns:
      int64 [notes, 4]: track, pitch above the lowest, start, end (the first silent step).
    """
    num_steps, num_pitches, num_tracks = roll.shape
    padded = np.zeros((num_tracks, num_pitches, num_steps + 1), bool)
    padded[..., :-1] = roll.transpose(2, 1, 0)
    line = padded.reshape(-1)
    change = np.flatnonzero(line[1:] != line[:-1]) + 1
    edges = np.concatenate([np.zeros(int(line[0]), np.int64), change]).reshape(-1, 2)
    rows, starts = np.divmod(edges[:, 0], num_steps + 1)
    tracks, pitches = np.divmod(rows, num_pitches)
    return np.stack([tracks, pitches, starts, starts + edges[:, 1] - edges[:, 0]], axis=1)


def note_sequence(
    notes: np.ndarray,
    names: tuple[str, ...],
    min_pitch: int,
    seconds_per_step: float,
    total_seconds: float,
    qpm: float,
) -> bytes:
    """Serializes notes in 4/4 as a NoteSequence.

    Args:
      notes: from `runs`.
      names: FIVE or MERGED.
      min_pitch: MIDI pitch of the lowest.
      seconds_per_step: length of a step.
      total_seconds: of the roll, silence at its end included.
      qpm: quarters per minute.
    """
    from note_seq.protobuf import music_pb2

    sequence = music_pb2.NoteSequence(ticks_per_quarter=220)
    sequence.total_time = total_seconds
    sequence.tempos.add(qpm=qpm)
    sequence.time_signatures.add(numerator=4, denominator=4)
    for track, pitch, start, end in notes.tolist():
        instrument, program, velocity = _WRITTEN[names[track]]
        sequence.notes.add(
            pitch=min_pitch + pitch,
            velocity=velocity,
            instrument=instrument,
            program=program,
            is_drum=names[track] == FIVE[DRUMS],
            start_time=start * seconds_per_step,
            end_time=end * seconds_per_step,
        )
    return sequence.SerializeToString()


def summary(
    roll: np.ndarray, notes: np.ndarray, names: tuple[str, ...], min_pitch: int
) -> dict[str, float]:
    """Counts, shares of the steps at which tracks sound, mean pitches, and how many sound at once.

    Args:
      roll: bool [steps, pitches, tracks].
      notes: `runs` of it.
      names: of its tracks.
      min_pitch: MIDI pitch of the lowest.
    """
    num_notes = np.bincount(notes[:, 0], minlength=len(names))
    pitches = np.bincount(notes[:, 0], notes[:, 1] + min_pitch, len(names)) / num_notes.clip(1)
    ratios = roll.any(axis=1).mean(axis=0)
    is_pitched = [name != FIVE[DRUMS] for name in names]
    at_once = roll[..., is_pitched].any(axis=2).sum(axis=1)
    polyphony = float(at_once[at_once > 0].mean()) if at_once.any() else 0.0
    return {
        "num_notes": float(len(notes)),
        "num_tracks": float(np.count_nonzero(num_notes)),
        "polyphony": polyphony,
        **{f"num_{name}_notes": float(num) for name, num in zip(names, num_notes, strict=True)},
        **{f"{name}_step_ratio": float(r) for name, r in zip(names, ratios, strict=True)},
        **{f"{name}_pitch_mean": float(p) for name, p in zip(names, pitches, strict=True)},
    }
