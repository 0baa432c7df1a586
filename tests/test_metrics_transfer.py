"""Measures of style transfer against mir_eval, librosa, hand-made cases and known renders."""

import dataclasses

import librosa
import mir_eval
import numpy as np
import pytest

from pipeline.audio.stretch import stretch
from pipeline.metrics import transfer
from pipeline.metrics.transfer import describe
from pipeline.readers import soundfont
from pipeline.readers.soundfont import Note

RATE = 16_000
SECONDS = 6
SCORE = [
    Note(0.1 + 0.25 * i, 0.32 + 0.25 * i, p, 100 if i % 2 == 0 else 70)
    for i, p in enumerate((60, 64, 67, 72, 60, 65, 69, 72, 59, 62, 67, 71, 60, 64, 67, 72, 64, 67))
    if i % 8 != 7
]
OTHER = [Note(0.31 * i, 0.31 * i + 0.25, 50 + (7 * i) % 12, 90) for i in range(18) if i % 3 != 1]


def test_notes_are_scored_as_mir_eval_does():
    late = [n._replace(start_time=n.start_time + 0.03) for n in SCORE[:10]] + OTHER[:4]
    scores = transfer.note_scores(SCORE, late)
    songs = []
    for notes in (SCORE, late):
        songs.append(np.array([[n.start_time, n.end_time] for n in notes]))
        songs.append(librosa.midi_to_hz(np.array([n.pitch for n in notes])))
    expected = mir_eval.transcription.evaluate(*songs)
    assert scores["note_precision"] == pytest.approx(expected["Precision_no_offset"])
    assert scores["note_recall"] == pytest.approx(expected["Recall_no_offset"])
    assert scores["note_f1"] == pytest.approx(expected["F-measure_no_offset"])
    assert scores["note_offset_f1"] == pytest.approx(expected["F-measure"])
    assert 0 < scores["note_offset_f1"] <= scores["note_f1"] < 1


@pytest.mark.parametrize(
    ("change", "f1"),
    [
        ({}, 1.0),
        ({"start_time": 0.049}, 1.0),
        ({"start_time": 0.052}, 0.5),
        ({"pitch": 1}, 0.5),
        ({"end_time": 5.0}, 1.0),
        ({"is_drum": True}, 2 / 3),
    ],
)
def test_tolerances_of_notes(change, f1):
    """Of two notes the second is changed; onsets count, ends do not."""
    notes = [Note(0, 1, 60, 80), Note(2, 3, 62, 80)]
    moved = notes[1]._replace(**{k: v + getattr(notes[1], k) for k, v in change.items()})
    assert transfer.note_scores(notes, [notes[0], moved])["note_f1"] == pytest.approx(f1)


def test_no_notes_score_nothing():
    assert set(transfer.note_scores([], SCORE).values()) == {0.0}
    assert set(transfer.note_scores(SCORE, []).values()) == {0.0}


@pytest.mark.parametrize("speed", [0.7, 0.9, 0.97, 1.0, 1.1, 1.4])
def test_tempo_ratio_of_a_stretched_song(songs, speed):
    audio = songs[0]
    faster = stretch(audio, RATE, round(len(audio) / speed))
    described = describe(faster, RATE, []).onset_strength
    ratio = transfer.tempo_ratio(described, describe(audio, RATE, []).onset_strength)
    assert ratio == pytest.approx(speed, rel=0.015)


def test_tempo_ratio_does_not_depend_on_the_instrument(songs):
    a, b = describe(songs[0], RATE, []), describe(songs[2], RATE, [])
    assert transfer.tempo_ratio(b.onset_strength, a.onset_strength) == pytest.approx(1, abs=0.01)


def test_silence_has_no_tempo_ratio(songs):
    silent = np.zeros(100)
    strength = describe(songs[0], RATE, []).onset_strength
    assert np.isnan(transfer.tempo_ratio(silent, strength))
    assert np.isnan(transfer.tempo_ratio(strength, silent))
    assert np.isnan(transfer.tempo_ratio(strength, strength[:3]))


@pytest.mark.parametrize(
    ("tempo", "is_equal", "is_level"),
    [(120, True, True), (124.7, True, True), (125, False, False), (60, False, True),
     (245, False, True), (360, False, True), (40.5, False, True), (90, False, False)],
)  # fmt: skip
def test_tempos_within_4_percent(tempo, is_equal, is_level):
    assert transfer.is_same_tempo(tempo, 120, (1.0,)) == is_equal
    assert transfer.is_same_tempo(tempo, 120) == is_level


def test_beats_are_scored_as_mir_eval_does():
    beats = np.arange(0.5, 6, 0.5)
    moved = beats + np.where(np.arange(len(beats)) % 3 == 0, 0.1, 0.05)
    assert transfer.beat_f(beats, moved) == mir_eval.beat.f_measure(beats, moved)
    assert transfer.beat_f(beats, beats) == 1
    assert transfer.beat_f(beats, np.zeros(0)) == 0


def test_description_is_librosas(songs):
    audio = songs[0]
    described = describe(audio, RATE, [])
    power = np.abs(librosa.stft(audio, n_fft=1024, hop_length=256)) ** 2
    mel = librosa.feature.melspectrogram(S=power, sr=RATE, n_mels=80)
    decibels = librosa.power_to_db(mel)
    energy = mel.sum(axis=0)
    is_sounding = energy > energy.max() / 1e4
    mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=13)[1:, is_sounding].mean(axis=1)
    np.testing.assert_allclose(described.mfcc, mfcc, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(described.is_sounding, is_sounding)
    chroma = librosa.feature.chroma_stft(S=power, sr=RATE).T
    np.testing.assert_allclose(described.chroma, chroma, atol=1e-3)
    tempo, beats = librosa.beat.beat_track(y=None, onset_envelope=described.onset_strength,
                                           sr=RATE, hop_length=256, units="time")  # fmt: skip
    assert described.tempo_bpm == pytest.approx(float(np.atleast_1d(tempo)[0]), rel=1e-6)
    np.testing.assert_allclose(described.beats_seconds, beats)


def test_distances_of_vectors():
    x, y = np.array([1.0, 0, 2]), np.array([0.0, 3, 0])
    assert transfer.mfcc_distance(x, 5 * x) == pytest.approx(0)
    assert transfer.mfcc_distance(x, y) == pytest.approx(1)
    assert transfer.mfcc_distance(x, -x) == pytest.approx(2)
    assert transfer.rhythm_cosine(np.array([1.0, 1, 0, 9]), np.array([1.0, 0, 1])) == pytest.approx(
        0.5
    )


def test_log_mel_distance_is_root_mean_square_over_a_floor():
    reference = np.array([[0.0, -20], [-100, -100]])
    song = np.array([[-6.0, -20], [-70, -57], [0, 0]])
    assert transfer.log_mel_distance_db(song, reference) == pytest.approx(
        np.sqrt((6**2 + 0 + 0 + 3**2) / 4)
    )


def test_level_changes_no_distance(songs):
    a, quiet = describe(songs[0], RATE, []), describe(0.25 * songs[0], RATE, [])
    assert transfer.log_mel_distance_db(quiet.log_mel_db, a.log_mel_db) < 0.01
    assert transfer.mfcc_distance(quiet.mfcc, a.mfcc) < 1e-3


def test_chroma_similarity_of_the_same_notes(songs):
    a, b, c = (describe(song, RATE, []) for song in songs)
    assert transfer.chroma_similarity(a, a) == pytest.approx(1)
    assert transfer.chroma_similarity(c, a) > transfer.chroma_similarity(b, a) + 0.2
    silent = dataclasses.replace(a, is_sounding=np.zeros_like(a.is_sounding))
    assert transfer.chroma_similarity(silent, a) == 0


def test_the_truth_beats_copies(songs):
    """The truth has the notes and the sound; a copy has one of them."""
    notes, sound, oracle = songs
    scores = [
        transfer.compare(song, notes, sound, oracle, RATE, SCORE) for song in (notes, sound, oracle)
    ]
    of_notes, of_sound, truth = scores
    assert truth["oracle_distance_db"] == 0
    assert min(of_notes["oracle_distance_db"], of_sound["oracle_distance_db"]) > 8
    assert of_notes["note_f1_normalized"] == of_notes["mfcc_distance_ratio"] == 1
    assert of_sound["mfcc_distance"] == pytest.approx(0, abs=1e-6)
    assert of_sound["note_f1"] < 0.3 < 0.7 < truth["note_f1"]
    assert truth["mfcc_distance_ratio"] < 0.7
    assert truth["is_tempo_kept"] == of_notes["is_tempo_kept"] == 1
    assert all(isinstance(value, float) for score in scores for value in score.values())


def test_without_a_truth_the_rest_is_the_same(songs):
    with_truth = [describe(song, RATE, SCORE) for song in songs]
    plain = transfer.compare_descriptions(with_truth[0], with_truth[0], with_truth[1], None)
    full = transfer.compare_descriptions(with_truth[0], with_truth[0], with_truth[1], with_truth[2])
    assert full.keys() - plain.keys() == {"oracle_distance_db", "oracle_mfcc_distance"}
    assert all(full[name] == value for name, value in plain.items())


def test_silence_can_be_compared(songs):
    scores = transfer.compare(np.zeros(RATE, np.float32), *songs, RATE)
    assert scores["note_f1"] == scores["beat_f"] == scores["chroma_similarity"] == 0
    assert scores["is_tempo_kept"] == 0
    assert scores["mfcc_distance"] == 1


@pytest.fixture(scope="module")
def songs():
    """Notes: guitar. Sound: trumpet, other notes. Truth: the notes with a trumpet."""
    font = soundfont.general_midi()
    made = []
    for score, program in ((SCORE, 24), (OTHER, 56), (SCORE, 56)):
        played = [note._replace(program=program) for note in score]
        audio = font.render(played, RATE, SECONDS * RATE)
        made.append((0.5 * audio / np.abs(audio).max()).astype(np.float32))
    return made
