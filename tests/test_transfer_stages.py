"""Pairs whose truth is known, the command that makes a third song of two, and the comparison."""

import csv
import subprocess
import sys
from types import SimpleNamespace

import note_seq
import numpy as np
import pytest
import soundfile

from pipeline import compare, pair, params, paths, transfer
from pipeline.errors import PipelineError, Rejected
from pipeline.miniatures import nsynth
from pipeline.paths import ROOT
from pipeline.readers.soundfont import Note

SETTINGS = params.load(ROOT / "params.yaml").model_copy(update={"profile": "smoke"})
RATE = 22_050


def melody(pitches, instrument=0, beat_seconds=0.5, is_drum=False):
    return [
        {"start_time": i * beat_seconds, "end_time": (i + 1) * beat_seconds, "pitch": pitch}
        | {"instrument": instrument, "velocity": 80, "is_drum": is_drum}
        for i, pitch in enumerate(pitches)
    ]


def sequence(*voices, qpm=120.0):
    found = note_seq.NoteSequence()
    found.tempos.add(qpm=qpm)
    for note in (note for voice in voices for note in voice):
        found.notes.add(**note)
    return found


def options(**changed):
    found = SETTINGS.pair_options().model_dump()
    return params.Pairs(**(found | {"seconds": 6.0, "min_notes": 4} | changed))


def test_voices_are_by_instrument_the_highest_first_and_no_drums():
    music = sequence(
        melody([40, 41], 1), melody([70, 72], 0), melody([90, 90], 9, is_drum=True), qpm=60.0
    )
    found = pair._voices(music)
    assert [[note.pitch for note in voice] for voice in found] == [[70, 72], [40, 41]]
    assert found[0][1].start_time == 0.5  # half a second at a beat a second


def test_a_passage_begins_with_a_bar_and_is_played_in_the_tempo_drawn():
    silence, tune = 8.0, [60, 62, 64, 65, 67, 69]
    late = [Note(silence + i, silence + i + 1, pitch, 80) for i, pitch in enumerate(tune)]
    found = pair._passage([late], 120.0, options())
    assert [note.pitch for note in found] == tune
    assert [note.start_time for note in found] == [0.5 * i for i in range(6)]
    assert found[-1].end_time == 3.0


def test_a_passage_ends_before_the_song_does():
    tune = [Note(i, i + 1, 60 + i % 5, 80) for i in range(40)]
    found = pair._passage([tune], 120.0, options())
    assert max(note.end_time for note in found) <= 6.0 - pair._RELEASE_SECONDS + 1e-9
    assert len(found) == 11  # of two a second


def test_a_voice_that_plays_too_little_gives_no_passage():
    tune = [Note(i, i + 1, 60, 80) for i in range(3)]
    assert pair._passage([tune], 120.0, options()) == []
    full = [Note(i, i + 1, 60, 80) for i in range(8)]
    assert pair._passage([full, tune[:1]], 120.0, options()) == []
    assert len(pair._passage([full, tune], 120.0, options())) == 11


def test_instruments_of_a_pair_are_of_two_families():
    rng = np.random.default_rng(0)
    drawn = [pair._programs((0, 1, 40, 41, 73), rng) for _ in range(200)]
    assert all(a // 8 != b // 8 for a, b in drawn)
    assert {a for a, _ in drawn} == {0, 1, 40, 41, 73}


def test_the_truth_is_the_first_score_played_by_the_second_instrument():
    notes = pair.Score((Note(0, 1, 60, 100), Note(1, 2, 64, 100)), 60.0, "a")
    sound = pair.Score((Note(0, 1, 72, 100),), 60.0, "b")
    songs = pair._songs((notes, sound), (0, 73), options(seconds=3.0))
    swapped = pair._songs((notes, sound), (73, 0), options(seconds=3.0))
    np.testing.assert_array_equal(songs["oracle"], swapped["notes"])
    assert all(len(song) == 3 * 16_000 for song in songs.values())
    assert all(np.abs(song).max() == pytest.approx(0.7) for song in songs.values())
    facts = pair._facts((notes, sound), (0, 73))
    assert facts["notes"] == [[0, 1, 60], [1, 2, 64]]
    assert (facts["notes_program"], facts["sound_program"]) == (0, 73)


def test_too_few_passages_are_said():
    shards = SimpleNamespace(corpus="lakh_trio")
    with pytest.raises(PipelineError, match="has 1 pieces with such a passage"):
        pair._enough(iter([pair.Score((), 60.0, "a")]), shards, options(num=2))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"min_qpm": 100, "max_qpm": 90}, "exceeds max_qpm"),
        ({"programs": (0, 1, 7)}, "of one family"),
    ],
)
def test_pairs_that_cannot_be_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        options(**changed)


def clicks(bpm, seconds=8.0, rate=RATE, pitch_hz=880.0):
    """A beat: short tones."""
    audio = np.zeros(int(seconds * rate), np.float32)
    tone = np.sin(2 * np.pi * pitch_hz * np.arange(int(0.06 * rate)) / rate)
    tone *= np.hanning(len(tone))
    for start in np.arange(0, seconds - 0.1, 60 / bpm):
        at = int(start * rate)
        audio[at : at + len(tone)] += 0.5 * tone
    return audio


def arguments(notes, sound, **changed):
    given = {"method": "copy_notes", "tempo": "notes", "transpose": 0.0, "strength": 1.0}
    given |= {"sample_rate": None, "seed": None, "notes": notes, "sound": sound}
    return SimpleNamespace(**(given | changed))


@pytest.fixture
def songs(tmp_path):
    soundfile.write(tmp_path / "a.wav", clicks(100), RATE)
    soundfile.write(tmp_path / "b.wav", clicks(125), RATE)
    return tmp_path / "a.wav", tmp_path / "b.wav"


@pytest.mark.parametrize(("name", "rate"), [("a.wav", 44_100), ("a.flac", 8_000),
                                            ("a.ogg", 48_000), ("a.mp3", 32_000)])  # fmt: skip
def test_any_rate_format_and_number_of_channels_is_read(tmp_path, name, rate):
    stereo = np.stack([clicks(100, rate=rate)] * 2, axis=1)
    soundfile.write(tmp_path / name, stereo, rate)
    made, made_rate = transfer.song(SETTINGS, arguments(tmp_path / name, tmp_path / name))
    assert made_rate == RATE
    assert len(made) == pytest.approx(8 * RATE, rel=0.01)
    assert np.abs(made).max() > 0.2


@pytest.mark.parametrize(("tempo", "seconds"), [("125", 6.4), ("sound", 6.4), ("notes", 8.0)])
def test_the_tempo_asked_for_is_kept_and_pitch_is_not_moved(songs, tempo, seconds):
    from pipeline.audio import features

    made, _ = transfer.song(SETTINGS, arguments(*songs, tempo=tempo))
    assert len(made) == pytest.approx(seconds * RATE, rel=0.02)
    wanted = {"notes": 100}.get(tempo, 125)
    assert features.tempo(made, RATE) == pytest.approx(wanted, rel=0.04)
    assert loudest_hz(made) == pytest.approx(880, rel=0.02)


def test_transposing_moves_the_pitch_and_not_the_tempo(songs):
    made, _ = transfer.song(SETTINGS, arguments(*songs, transpose=-12.0))
    assert len(made) == 8 * RATE
    assert loudest_hz(made) == pytest.approx(440, rel=0.03)


@pytest.mark.parametrize(
    ("bpm", "asked", "factor"), [(100, "200", 1.0), (100, "55", 1.1), (100, "sound", 1.25)]
)
def test_an_octave_of_the_tempo_is_no_reason_to_change_it(songs, bpm, asked, factor):
    made, _ = transfer.song(SETTINGS, arguments(*songs, tempo=asked))
    assert len(made) == pytest.approx(8 * RATE / factor, rel=0.03)


def test_a_song_without_a_beat_has_no_tempo(tmp_path, songs):
    soundfile.write(tmp_path / "still.wav", np.zeros(4 * RATE), RATE)
    with pytest.raises(PipelineError, match="a tempo needs two"):
        transfer.song(SETTINGS, arguments(tmp_path / "still.wav", songs[1], tempo="90"))


def test_a_song_of_many_minutes_is_refused(tmp_path, songs, monkeypatch):
    monkeypatch.setattr(transfer, "_MAX_SECONDS", 7)
    with pytest.raises(PipelineError, match=r"--notes=.*a\.wav: 8 s; .* must not exceed 7 s"):
        transfer.song(SETTINGS, arguments(*songs))


def test_a_place_that_cannot_be_written_is_said_at_once(songs, tmp_path, monkeypatch):
    given = ["--notes", str(songs[0]), "--sound", str(songs[1]), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["transfer", *given])
    with pytest.raises(PipelineError, match="it is a directory"):
        transfer._command()


def test_what_is_heard_is_written_as_midi(songs, tmp_path, monkeypatch):
    seconds = np.arange(2 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 440 * k * seconds) / k for k in range(1, 6))
    soundfile.write(tmp_path / "a4.wav", 0.2 * tone * np.hanning(len(tone)) ** 0.2, RATE)
    given = ["--method", "copy_notes", "--notes", str(tmp_path / "a4.wav")]
    given += ["--sound", str(songs[1])]
    given += ["--out", str(tmp_path / "c.wav"), "--midi", str(tmp_path / "c.mid")]
    monkeypatch.setattr(sys, "argv", ["transfer", *given])
    transfer._command()
    heard = note_seq.midi_file_to_note_sequence(str(tmp_path / "c.mid"))
    longest = max(heard.notes, key=lambda note: note.end_time - note.start_time)
    assert longest.pitch == 69
    assert longest.end_time - longest.start_time > 1.5


def loudest_hz(audio):
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return np.fft.rfftfreq(len(audio), 1 / RATE)[spectrum.argmax()]


def test_a_file_that_cannot_be_used_is_named_with_its_option(tmp_path, songs):
    (tmp_path / "text.wav").write_text("no sound")
    for notes, sound, said in (
        (tmp_path / "none.wav", songs[1], "--notes=.*none.wav: No such file"),
        (songs[0], tmp_path / "text.wav", "--sound=.*text.wav: undecodable_audio"),
    ):
        with pytest.raises(PipelineError, match=said):
            transfer.song(SETTINGS, arguments(notes, sound))


def test_songs_that_a_method_rejects_are_named(tmp_path, songs, monkeypatch):
    def reject(request):
        raise Rejected("no_notes", "no note was heard")

    monkeypatch.setattr(transfer, "method", lambda settings, name: reject)
    with pytest.raises(PipelineError, match=r"--notes=.*a\.wav.*no note was heard"):
        transfer.song(SETTINGS, arguments(*songs))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--notes", "a.wav"], "give --sound"),
        (["--notes", "a", "--sound", "b", "--out", "c", "--strength", "2"], "--strength=2.0"),
        (["--notes", "a", "--sound", "b", "--out", "c", "--tempo", "fast"], "'fast' is not notes"),
        (["--notes", "a", "--sound", "b", "--out", "c", "--transpose", "nan"], "--transpose=nan"),
        (["copy_notes", "--strength", "0.5"], "a name alone is the DVC stage"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(given, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["transfer", *given])
    with pytest.raises(SystemExit) as stopped:
        transfer._command()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_an_unknown_method_is_named_with_its_neighbour(songs):
    with pytest.raises(PipelineError, match="did you mean 'copy_notes'"):
        transfer.song(SETTINGS, arguments(*songs, method="copy_note"))


def test_the_command_writes_a_file(songs, tmp_path):
    out = tmp_path / "new" / "c.wav"
    command = [sys.executable, "-m", "pipeline.transfer", "--method", "copy_sound"]
    command += ["--notes", str(songs[0]), "--sound", str(songs[1]), "--out", str(out)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "8.0 s at 22050 Hz" in result.stdout
    assert soundfile.info(out).subtype == "PCM_16"


def rows_of(**distances):
    ones = dict.fromkeys(("mfcc_distance_original", "note_f1_original", "note_f1"), 1.0)
    return {
        name: {
            f"pair-{i}": {"oracle_distance_db": d, "mfcc_distance": 0.5, **ones}
            for i, d in enumerate(found)
        }
        for name, found in distances.items()
    }


def test_a_margin_is_against_the_best_baseline():
    rows = rows_of(own=[3, 4], copy_notes=[9, 9], copy_sound=[8, 7], oracle=[0, 0])
    baselines = ["copy_notes", "copy_sound"]
    found = compare._summary(SETTINGS, rows, "own", baselines)
    assert found["oracle_distance_db"] == 3.5
    assert found["oracle_distance_margin"] == 4.0  # 7.5 - 3.5
    assert found["oracle_distance_margin_low"] == 3.0
    of_baseline = compare._summary(SETTINGS, rows, "copy_sound", baselines)
    assert of_baseline["oracle_distance_margin"] == 1.5  # against the other baseline
    assert "oracle_distance_margin" not in compare._summary(SETTINGS, rows, "oracle", baselines)


def test_shares_are_of_means():
    rows = rows_of(own=[1, 1])
    rows["own"]["pair-0"] |= {"mfcc_distance": 0.3, "mfcc_distance_original": 1.9}
    rows["own"]["pair-1"] |= {"mfcc_distance": 0.3, "mfcc_distance_original": 0.1}
    found = compare._summary(SETTINGS, rows, "own", [])
    assert found["mfcc_distance_ratio"] == pytest.approx(0.3)  # the mean of ratios would be 1.58


def test_a_rejected_pair_counts_as_the_notes_song_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PAIRS", tmp_path / "pairs")
    monkeypatch.setattr(paths, "TRANSFERS", tmp_path / "transfers")
    for path in (tmp_path / "pairs", tmp_path / "transfers/own", tmp_path / "transfers/copy"):
        path.mkdir(parents=True)
    notes, sound = clicks(100, 3.0, 16_000), clicks(120, 3.0, 16_000, pitch_hz=400.0)
    for which, song in {"notes": notes, "sound": sound, "oracle": sound}.items():
        soundfile.write(tmp_path / f"pairs/p-{which}.wav", song, 16_000)
    soundfile.write(tmp_path / "transfers/copy/p.wav", notes, 16_000)
    about = {"sample_rate": 16_000, "pairs": [{"stem": "p", "notes": [[0.0, 0.1, 81]]}]}
    made = {"own": {"rejected": {"p": "no_notes"}}, "copy": {"rejected": {}}}
    rows = compare._measured(about, made)
    own, copy = (list(rows[name]["p"].values()) for name in ("own", "copy"))
    np.testing.assert_array_equal(own, copy)  # NaN is NaN
    assert rows["oracle"]["p"]["oracle_distance_db"] == 0
    assert rows["copy"]["p"]["oracle_distance_db"] > 1


@pytest.mark.parametrize("num", [2, 3, 8, 20, 21])
def test_every_piece_is_once_the_other_song_of_another(num):
    others = [pair._other(number, num) for number in range(num)]
    assert sorted(others) == list(range(num))
    assert all(other != number for number, other in enumerate(others))
    if num % 4 == 0:
        assert all(number // 2 % 2 == other // 2 % 2 for number, other in enumerate(others))


def test_no_instrument_of_a_pair_was_heard_in_training():
    """The miniature of NSynth is played by the same SoundFont as the pairs."""
    by_split = nsynth._instruments_by_split()
    heard = {i.instrument.program for split in ("train", "valid") for i in by_split[split]}
    assert not heard & set(options().programs)


def test_every_measure_of_every_pair_is_written(tmp_path):
    compare._write_rows(tmp_path / "pairs.csv", rows_of(own=[3, 4], other=[1]))
    with open(tmp_path / "pairs.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["method"], row["pair"]) for row in found] == [
        ("own", "pair-0"),
        ("own", "pair-1"),
        ("other", "pair-0"),
    ]
    assert float(found[1]["oracle_distance_db"]) == 4
