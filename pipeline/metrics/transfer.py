"""Whether a third song has the notes, rhythm and tempo of one song and the sound of another.

Each measure compares two songs by what `describe` hears in them. The truth, where there is one, is
the notes' score rendered with the sound's instrument; nearness to it (`log_mel_distance_db`) is
the score, because nearness to the sound's song alone (`mfcc_distance`) is best for a copy of it.

Sources: Driedger et al. 2015 (musaicing); Tomczak et al. 2018 (rhythm envelopes); Cífka et al. 2021
(MFCC 2 to 13); Raffel et al. 2014 (mir_eval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.audio.beats import FRAMES_PER_SECOND, WINDOW_HOPS, tracked
from pipeline.audio.features import features
from pipeline.audio.transcription import Note, transcribe
from pipeline.metrics._transfer_rhythm import (
    MAX_TEMPO_DEVIATION,
    beat_f,
    cosine,
    is_same_tempo,
    rhythm_cosine,
    tempo_ratio,
)

__all__ = [
    "MAX_TEMPO_DEVIATION",
    "Description",
    "beat_f",
    "chroma_similarity",
    "compare",
    "compare_descriptions",
    "describe",
    "is_same_tempo",
    "log_mel_distance_db",
    "mfcc_distance",
    "note_scores",
    "rhythm_cosine",
    "tempo_ratio",
]

ONSET_TOLERANCE_SECONDS = 0.05
PITCH_TOLERANCE_CENTS = 50.0

_NUM_MELS = 80
_NUM_MFCC = 13
_AUDIBLE_DB = 60.0  # below the loudest; what is softer counts as silence
_SOUNDING_DB = 40.0  # a frame within this of the loudest sounds


@dataclass(frozen=True)
class Description:
    """What the measures need of one song, frames 62.5 a second.

    Attributes:
      notes: as transcribed, or as given.
      log_mel_db: of 80 bands, relative to the mean power of the song. Shape [frames, 80].
      mfcc: coefficients 2 to 13 averaged over sounding frames. Shape [12].
      chroma: largest of each frame 1. Shape [frames, 12].
      is_sounding: frames within 40 dB of the loudest. bool. Shape [frames].
      onset_strength: positive spectral flux. Shape [frames].
      tempo_bpm: of the song on its own; an octave off as often as not.
      beats_seconds: shape [beats].
    """

    notes: Sequence[Note]
    log_mel_db: np.ndarray
    mfcc: np.ndarray
    chroma: np.ndarray
    is_sounding: np.ndarray
    onset_strength: np.ndarray
    tempo_bpm: float
    beats_seconds: np.ndarray


def compare(
    result: np.ndarray,
    notes: np.ndarray,
    sound: np.ndarray,
    oracle: np.ndarray | None,
    sample_rate: int,
    reference_notes: Sequence[Note] | None = None,
) -> dict[str, float]:
    """Every measure of one result.

    Args:
      result: the third song. float32, mono. Shape [samples].
      notes: the song whose notes it should have. Shape [samples].
      sound: the song whose timbre it should have. Shape [samples of its own].
      oracle: the notes' score with the sound's instrument, or None. Shape [samples].
      sample_rate: of all, in Hz.
      reference_notes: the notes' score; None: what is transcribed of `notes`.

    Returns:
      As compare_descriptions. Where many results share songs, describe each song once instead.
    """
    return compare_descriptions(
        describe(result, sample_rate),
        describe(notes, sample_rate),
        describe(sound, sample_rate),
        None if oracle is None else describe(oracle, sample_rate),
        reference_notes,
    )


def compare_descriptions(
    result: Description,
    notes: Description,
    sound: Description,
    oracle: Description | None,
    reference_notes: Sequence[Note] | None = None,
) -> dict[str, float]:
    """Every measure of one result.

    Returns:
      note_precision, note_recall, note_f1 (onset only), note_offset_f1 (with offsets);
      note_f1_original, of the transcriber on the notes' song, and note_f1_normalized, their ratio;
      tempo_ratio to the notes' song, is_tempo_kept (within 4 %), is_tempo_equal and
      is_tempo_level_equal (Acc1 and Acc2 of tempos estimated apart), beat_f, rhythm_cosine,
      chroma_similarity, all to the notes' song; mfcc_distance to the sound's song,
      mfcc_distance_original of the notes' song to it, mfcc_distance_ratio of the two; and with an
      oracle, oracle_distance_db and oracle_mfcc_distance. NaN where a divisor is 0.
    """
    reference = notes.notes if reference_notes is None else reference_notes
    scores = note_scores(reference, result.notes)
    original_f1 = note_scores(reference, notes.notes)["note_f1"]
    distance = mfcc_distance(result.mfcc, sound.mfcc)
    original = mfcc_distance(notes.mfcc, sound.mfcc)
    measures = {
        **scores,
        "note_f1_original": original_f1,
        "note_f1_normalized": _ratio(scores["note_f1"], original_f1),
        **_rhythm(result, notes),
        "chroma_similarity": chroma_similarity(result, notes),
        "mfcc_distance": distance,
        "mfcc_distance_original": original,
        "mfcc_distance_ratio": _ratio(distance, original),
    }
    if oracle is not None:
        measures["oracle_distance_db"] = log_mel_distance_db(result.log_mel_db, oracle.log_mel_db)
        measures["oracle_mfcc_distance"] = mfcc_distance(result.mfcc, oracle.mfcc)
    return measures


def _rhythm(result: Description, notes: Description) -> dict[str, float]:
    ratio = tempo_ratio(result.onset_strength, notes.onset_strength)
    return {
        "tempo_ratio": ratio,
        "is_tempo_kept": float(abs(ratio - 1) <= MAX_TEMPO_DEVIATION),
        "is_tempo_equal": float(is_same_tempo(result.tempo_bpm, notes.tempo_bpm, (1.0,))),
        "is_tempo_level_equal": float(is_same_tempo(result.tempo_bpm, notes.tempo_bpm)),
        "beat_f": beat_f(notes.beats_seconds, result.beats_seconds),
        "rhythm_cosine": rhythm_cosine(result.onset_strength, notes.onset_strength),
    }


def describe(
    audio: np.ndarray, sample_rate: int, notes: Sequence[Note] | None = None
) -> Description:
    """Hears a song: its notes by the transcriber unless given, the rest from one spectrogram.

    Args:
      audio: float32, mono. Shape [samples].
      sample_rate: in Hz.
      notes: known already, to save most of the time; None: transcribed.

    Raises:
      Rejected: empty_audio, not_mono or non_finite_audio.
    """
    hop_length = round(sample_rate / FRAMES_PER_SECOND)
    heard = features(audio, sample_rate, WINDOW_HOPS * hop_length, hop_length, _NUM_MELS, _NUM_MFCC)
    energy = heard.mel.sum(axis=1)
    is_sounding = energy > energy.max() * 10 ** (-_SOUNDING_DB / 10)
    timbre = heard.mfcc[is_sounding, 1:].mean(axis=0) if is_sounding.any() else np.zeros(12)
    onsets = heard.onset_strength
    return Description(
        notes=transcribe(audio, sample_rate) if notes is None else notes,
        log_mel_db=_log_mel_db(heard.mel),
        mfcc=timbre,
        chroma=heard.chroma,
        is_sounding=is_sounding,
        onset_strength=onsets,
        tempo_bpm=heard.tempo_bpm,
        beats_seconds=tracked(onsets, heard.tempo_bpm, sample_rate, hop_length),
    )


def _log_mel_db(mel: np.ndarray) -> np.ndarray:
    """Mel powers in dB relative to their mean, so that songs of any level can be compared."""
    mean = mel.mean(dtype=np.float64)
    return 10 * np.log10(np.maximum(mel / mean if mean > 0 else mel, 1e-10))


def note_scores(reference: Sequence[Note], estimate: Sequence[Note]) -> dict[str, float]:
    """Precision, recall and F1 of notes: pitch within 50 cents, onset within 50 ms.

    Args:
      reference: the notes that should be there.
      estimate: those that are.

    Returns:
      note_precision, note_recall, note_f1 by onset only; note_offset_f1 asks for the end too,
      within 50 ms or a fifth of the duration. All 0 if either has no notes.

    Source: mir_eval.transcription.precision_recall_f1_overlap.
    """
    from mir_eval import transcription

    names = ("note_precision", "note_recall", "note_f1")
    reference, estimate = _lasting(reference), _lasting(estimate)
    if not reference or not estimate:
        return dict.fromkeys((*names, "note_offset_f1"), 0.0)
    songs = (*_intervals_and_pitches(reference), *_intervals_and_pitches(estimate))
    tolerances = (ONSET_TOLERANCE_SECONDS, PITCH_TOLERANCE_CENTS)
    scores = transcription.precision_recall_f1_overlap(*songs, *tolerances, offset_ratio=None)
    with_offset = transcription.precision_recall_f1_overlap(*songs, *tolerances)
    by_name = dict(zip(names, map(float, scores[:3]), strict=True))
    return by_name | {"note_offset_f1": float(with_offset[2])}


def _lasting(notes: Sequence[Note]) -> list[Note]:
    """Pitched notes of some duration: mir_eval takes no others."""
    return [n for n in notes if n.end_time > n.start_time and not n.is_drum]


def _intervals_and_pitches(notes: Sequence[Note]) -> tuple[np.ndarray, np.ndarray]:
    intervals = np.array([[note.start_time, note.end_time] for note in notes])
    return intervals, 440 * 2 ** ((np.array([note.pitch for note in notes]) - 69) / 12)


def chroma_similarity(song: Description, reference: Description) -> float:
    """Mean cosine of chroma vectors over frames in which both songs sound; 0 if none."""
    length = min(len(song.chroma), len(reference.chroma))
    both = song.is_sounding[:length] & reference.is_sounding[:length]
    pairs = zip(song.chroma[:length][both], reference.chroma[:length][both], strict=True)
    cosines = [cosine(own, other) for own, other in pairs]
    return float(np.mean(cosines)) if cosines else 0.0


def mfcc_distance(mfcc: np.ndarray, other: np.ndarray) -> float:
    """1 - cosine of MFCCs 2 to 13, each averaged over a song's sounding frames: 0 to 2.

    Coefficients are of an orthonormal DCT over 80 mel bands in dB; the first, loudness, is left
    out. Source: Cífka et al. 2021, section 5.2, without its trained projection.
    """
    return 1 - cosine(mfcc, other)


def log_mel_distance_db(log_mel_db: np.ndarray, reference_db: np.ndarray) -> float:
    """Root mean square difference of two log-mel spectrograms of equal mean power, in dB.

    Both are raised to 60 dB below the reference's loudest band, so that silence is silence.

    Args:
      log_mel_db: shape [frames, bands].
      reference_db: shape [frames of its own, bands]; what only one has is left out.
    """
    length = min(len(log_mel_db), len(reference_db))
    floor = reference_db.max() - _AUDIBLE_DB
    difference = np.maximum(log_mel_db[:length], floor) - np.maximum(reference_db[:length], floor)
    return float(np.sqrt(np.mean(difference**2)))


def _ratio(value: float, divisor: float) -> float:
    return value / divisor if divisor else float("nan")
