"""Resynthesis, warp and the copies on renders of known scores, with the truth to compare with."""

import numpy as np
import pytest

from pipeline.audio.transcription import transcribe
from pipeline.errors import Rejected
from pipeline.metrics import transfer as measures
from pipeline.readers import soundfont
from pipeline.readers.soundfont import Note
from pipeline.transfers import copy_notes, copy_sound, resynthesis, tempo_only, warp
from pipeline.transfers._note_bank import loudest, samples
from pipeline.transfers._note_partials import exact, level, onset
from pipeline.transfers._note_playing import sounding
from pipeline.transfers.base import Request

RATE = 16_000
SECONDS = 4
MELODY = [Note(0.2 + 0.3 * i, 0.48 + 0.3 * i, p, 90) for i, p in
          enumerate((60, 62, 64, 67, 69, 67, 64, 62, 60, 64, 67, 72))]  # fmt: skip
BASS = [Note(0.2 + 0.9 * i, 1.05 + 0.9 * i, p, 90) for i, p in enumerate((36, 41, 43, 36))]
OTHER = [Note(0.1 + 0.42 * i, 0.5 + 0.42 * i, p, 90) for i, p in
         enumerate((62, 59, 66, 69, 61, 64, 71, 66, 62))]  # fmt: skip
PARAMS = {
    "program": None,
    "is_solo_voice": False,
    "num_per_pitch": 3,
    "max_transpose_semitones": 36,
    "dynamics": 0.75,
    "release_seconds": 0.05,
    "equalization": 0.3,
}


@pytest.mark.parametrize("is_with_bass", [False, True])
def test_result_is_nearer_to_the_truth_than_copies_and_keeps_the_notes(is_with_bass):
    score = MELODY + BASS * is_with_bass
    other = OTHER + [Note(0.1, 1.7, 38, 90), Note(1.8, 3.7, 43, 90)] * is_with_bass
    notes, sound, truth = render(score, 71), render(other, 24), render(score, 24)
    made = resynthesis.transfer(request(notes, sound), params())
    described, of_notes, of_sound, of_truth = (
        measures.describe(song, RATE) for song in (made, notes, sound, truth)
    )
    compared = [
        measures.compare_descriptions(song, of_notes, of_sound, of_truth, score)
        for song in (described, of_notes, of_sound)
    ]
    result, copy_of_notes, copy_of_sound = (c["oracle_distance_db"] for c in compared)
    assert result < 0.75 * min(copy_of_notes, copy_of_sound)
    assert compared[0]["note_f1_normalized"] > 0.7
    assert compared[0]["mfcc_distance_ratio"] < 0.6
    assert compared[0]["is_tempo_kept"] == 1


def test_a_program_plays_the_notes_and_the_sound_is_not_needed():
    notes, truth = render(MELODY, 71), render(MELODY, 11)
    silent = np.zeros(RATE, np.float32)
    made = resynthesis.transfer(request(notes, silent), params(program=11))
    described = measures.describe(made, RATE)
    of_truth = measures.describe(truth, RATE)
    assert measures.log_mel_distance_db(described.log_mel_db, of_truth.log_mel_db) < 7
    assert measures.note_scores(MELODY, described.notes)["note_f1"] > 0.85


def test_strength_goes_from_the_notes_song_to_the_new_one():
    notes, sound = render(MELODY, 71), render(OTHER, 24)
    none, half, full = (
        resynthesis.transfer(request(notes, sound, strength), params())
        for strength in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(none, notes, atol=1e-6)
    np.testing.assert_allclose(half, (none + full) / 2, atol=1e-5)
    assert rms(full) == pytest.approx(rms(notes), rel=0.01)


def test_a_solo_voice_is_played_too():
    notes, sound = render(MELODY, 71), render(OTHER, 40)
    made = resynthesis.transfer(request(notes, sound), params(is_solo_voice=True))
    heard = transcribe(made, RATE)
    assert measures.note_scores(MELODY, heard)["note_f1"] > 0.5


def test_songs_without_notes_are_rejected():
    song, silent = render(MELODY, 71), np.zeros(SECONDS * RATE, np.float32)
    for notes, sound in ((silent, song), (song, silent), (song, song[:50])):
        with pytest.raises(Rejected, match="no_notes"):
            resynthesis.transfer(request(notes, sound), params())
    low = render([Note(0.1, 1.5, 60, 100), Note(1.6, 3.0, 60, 100)], 71)
    high = render([Note(0.1, 1.5, 66, 100), Note(1.6, 3.0, 66, 100)], 71)
    with pytest.raises(Rejected, match="max_transpose_semitones=2"):
        resynthesis.transfer(request(low, high), params(max_transpose_semitones=2))


@pytest.mark.parametrize("program", [0, 24, 56])
def test_onsets_are_found_near_their_transcription(program):
    audio = render(MELODY, program)
    late = [note._replace(start_time=note.start_time + 0.02) for note in MELODY]
    errors = [onset(audio, RATE, note) - own.start_time for note, own in
              zip(late, MELODY, strict=True)]  # fmt: skip
    assert np.median(np.abs(errors)) < 0.015


def test_ends_stop_where_the_next_note_takes_over():
    audio = render(MELODY, 71)
    late = [note._replace(end_time=note.end_time + 0.1) for note in MELODY]
    found = exact(audio, RATE, late)
    errors = [note.end_time - own.end_time for note, own in zip(found, MELODY, strict=True)]
    assert np.median(np.abs(errors)) < 0.04
    assert all(note.end_time > note.start_time for note in found)


def test_level_is_of_the_notes_own_partials():
    loud = [MELODY[0], Note(0.2, 0.48, 43, 90)]
    audio = render(loud, 71)
    alone = level(render(loud[:1], 71), RATE, loud[0])
    assert level(audio, RATE, loud[0]) > 4 * level(render(loud[1:], 71), RATE, loud[0])
    assert level(0.5 * render(loud[:1], 71), RATE, loud[0]) == pytest.approx(alone / 2, rel=1e-3)


def test_a_lone_note_is_cut_out_as_it_is():
    audio = render([Note(0.5, 1.5, 60, 90)], 73)
    (sample,) = samples(audio, RATE, [Note(0.51, 1.5, 60, 90)], 3)
    start = round((onset(audio, RATE, Note(0.51, 1.5, 60, 90)) - 0.012) * RATE)
    inside = slice(400, len(sample.audio) - 400)
    np.testing.assert_array_equal(sample.audio[inside], audio[start : start + 99_999][inside])
    assert sample.overlap == 0
    assert sample.level == pytest.approx(loudest(sample.audio, RATE))


def test_two_notes_at_once_are_told_apart():
    """Of what is cut out for the upper note little is the lower one's, and the other way round."""
    pair = [Note(0.5, 1.5, 66, 90), Note(0.5, 1.5, 48, 90)]
    alone = [render([note], 71, peak=None)[8000:24_000] for note in pair]
    found = samples(render(pair, 71, peak=None), RATE, pair, 1)
    for own, other, pitch in ((alone[0], alone[1], 66), (alone[1], alone[0], 48)):
        (sample,) = (s for s in found if s.pitch == pitch)
        assert sample.overlap == pytest.approx(1, abs=0.1)
        assert likeness(sample.audio, own) > 0.9 > 0.4 > likeness(sample.audio, other)


def test_the_longest_notes_of_a_pitch_come_first():
    score = [Note(0.1, 0.4, 60, 90), Note(0.8, 1.8, 60, 90), Note(2.0, 2.5, 60, 90)]
    found = samples(render(score, 0), RATE, score, 2)
    assert [round(len(s.audio) / RATE, 1) for s in found] == [1.0, 0.5]


@pytest.mark.parametrize("semitones", [-12, -3, 0, 4, 12])
@pytest.mark.parametrize("seconds", [0.1, 0.5, 3.0])
def test_a_note_is_played_at_its_pitch_as_long_as_wanted(semitones, seconds):
    audio = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE).astype(np.float32)
    made = sounding(audio, RATE, semitones, seconds, 0.05, False)
    assert len(made) == round((seconds + 0.05) * RATE)
    spectrum = np.abs(np.fft.rfft(made * np.hanning(len(made)), 2**18))
    assert spectrum.argmax() * RATE / 2**18 == pytest.approx(440 * 2 ** (semitones / 12), rel=0.006)
    held = made[round(0.05 * RATE) : round((seconds - 0.02) * RATE)]
    assert rms(held) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    assert abs(made[-1]) < 0.01


def test_a_decaying_note_decays_on():
    time = np.arange(RATE // 2) / RATE
    audio = (np.sin(2 * np.pi * 440 * time) * 10 ** (-20 * time / 20)).astype(np.float32)
    made = sounding(audio, RATE, 0, 1.5, 0.05, False)
    for seconds in (0.3, 0.8, 1.3):
        heard = made[round(seconds * RATE) - 400 : round(seconds * RATE) + 400]
        assert 20 * np.log10(rms(heard) * np.sqrt(2)) == pytest.approx(-20 * seconds, abs=2)


def test_warp_puts_the_sounds_beats_on_the_others():
    """Clicks at 100 a minute onto clicks at 120; a sound of fewer beats is repeated."""
    notes, sound = clicks(0.5, 8, 0.3), clicks(0.6, 6, 0.4)
    for song, num_found in ((sound, 7), (sound[: round(2.6 * RATE)], 5)):
        made = warp.transfer(request(notes, song), warp.Params())
        assert made.shape == notes.shape
        found = onsets_of_clicks(made)
        distances = [np.abs(seconds - 0.3 - 0.5 * np.arange(8)).min() for seconds in found]
        assert len(found) >= num_found
        assert np.median(distances) < 0.02


def test_tempo_only_has_the_tempo_and_nothing_else():
    notes, sound = clicks(0.5, 8, 0.3), clicks(0.6, 6, 0.4)
    made = tempo_only.transfer(request(notes, sound), tempo_only.Params())
    assert made.shape == notes.shape
    assert np.median(np.diff(onsets_of_clicks(made))) == pytest.approx(0.5, rel=0.04)


def test_copies():
    notes, sound = render(MELODY, 71), render(OTHER, 24)[: 3 * RATE]
    both = request(notes, sound)
    np.testing.assert_array_equal(copy_notes.transfer(both, copy_notes.Params()), notes)
    copied = copy_sound.transfer(both, copy_sound.Params())
    assert copied.shape == notes.shape
    scale = copied[RATE] / sound[RATE]
    np.testing.assert_allclose(copied[: 3 * RATE], scale * sound, atol=1e-6)
    np.testing.assert_allclose(copied[3 * RATE :], scale * sound[:RATE], atol=1e-6)


@pytest.mark.parametrize("method", [resynthesis, warp, tempo_only, copy_notes, copy_sound])
def test_every_method_keeps_the_contract(method):
    """Exact length, float32 in [-1, 1], the same twice; also from a song at another level."""
    notes, sound = render(MELODY, 71)[: 3 * RATE + 77], 0.05 * render(OTHER, 24)
    chosen = params() if method is resynthesis else method.Params()
    made = [method.METHOD.transfer(request(notes, sound), chosen) for _ in range(2)]
    np.testing.assert_array_equal(*made)
    assert made[0].shape == notes.shape
    assert made[0].dtype == np.float32
    assert np.abs(made[0]).max() <= 1
    assert method.METHOD.name == method.__name__.rpartition(".")[2]
    assert method.METHOD.is_baseline == (method not in (resynthesis, warp))


@pytest.mark.parametrize("method", [warp, tempo_only, copy_sound])
def test_no_sound_is_rejected(method):
    empty = np.zeros(0, np.float32)
    with pytest.raises(Rejected):
        method.transfer(request(render(MELODY, 71), empty), method.Params())


def test_silence_has_no_beats():
    silent = np.zeros(SECONDS * RATE, np.float32)
    with pytest.raises(Rejected, match="no_beats: sound"):
        warp.transfer(request(render(MELODY, 71), silent), warp.Params())


def params(**changed):
    return resynthesis.Params(**(PARAMS | changed))


def request(notes, sound, strength=1.0):
    return Request(notes, sound, RATE, strength, 0)


def render(score, program, peak=0.5):
    played = [note._replace(program=program) for note in score]
    audio = soundfont.general_midi().render(played, RATE, SECONDS * RATE)
    return (audio * peak / np.abs(audio).max() if peak else audio).astype(np.float32)


def clicks(interval, count, first):
    audio = np.zeros(round((first + interval * count) * RATE), np.float32)
    burst = 0.3 * np.random.default_rng(0).standard_normal(200) * np.exp(-np.arange(200) / 40)
    for i in range(count):
        start = round((first + i * interval) * RATE)
        audio[start : start + 200] = burst
    return audio


def onsets_of_clicks(audio):
    """In seconds; what follows within 0.1 s is the same click."""
    loud = np.flatnonzero(np.abs(audio) > 0.3 * np.abs(audio).max())
    return loud[np.insert(np.diff(loud) > 0.1 * RATE, 0, True)] / RATE


def likeness(audio, reference):
    """The cosine of two magnitude spectra."""
    spectra = [np.abs(np.fft.rfft(x, 2**16)) for x in (audio, reference)]
    return float(spectra[0] @ spectra[1] / np.prod([np.linalg.norm(s) for s in spectra]))


def rms(audio):
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
