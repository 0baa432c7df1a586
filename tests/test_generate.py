"""What the command line asks of a recipe: refused, or passed on as it was meant."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cover_shards
import note_seq
import numpy as np
import pytest
import soundfile
from PIL import Image

from pipeline import encoding, files, generate, given_music, paths, pieces, registry, samples
from pipeline.codecs import pianoroll
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.models.base import Request, Vectors

MELODY = registry.codec("melody").Options(
    steps_per_quarter=4,
    min_bars=1,
    max_steps=512,
    min_unique_pitches=1,
    gap_bars=1,
    programs=[[0, 127]],
)
PERFORMANCE = registry.codec("performance").Options(
    steps_per_second=100,
    max_shift_steps=100,
    num_velocity_bins=32,
    min_pitch=21,
    max_pitch=108,
    min_events=1,
    max_events=1000,
)
PIANOROLL = registry.codec("pianoroll").Options(
    steps_per_quarter=4,
    num_bars=1,
    min_pitch=24,
    num_pitches=84,
    tracks="five",
    genres=("Rock", "Jazz"),
    min_notes=4,
    min_tracks=2,
    max_phrases=2,
)
COVER = registry.codec("cover").Options(
    size=16,
    quality=90,
    sample_rate=16_000,
    num_frames=8,
    num_mel_bins=8,
    n_fft=512,
    hop_length=256,
)
CODECS = {
    "melody_rnn": ("melody", MELODY),
    "music_transformer": ("performance", PERFORMANCE),
    "roll_gan": ("pianoroll", PIANOROLL),
    "cyclegan": ("pianoroll", PIANOROLL),
    "roll_classifier": ("pianoroll", PIANOROLL),
    "cover_gan": ("cover", COVER),
}


class Settings:
    """As much of params.Params as the command asks, of models named as their recipes."""

    seed = 17

    def model(self, name):
        return SimpleNamespace(recipe=name, corpus=name)

    def corpus(self, name):
        return SimpleNamespace(codec=CODECS[name][0])

    def codec_options(self, name):
        return CODECS[name][1]

    def recipe_params(self, name):
        return SimpleNamespace(encoding={"melody_rnn": "basic"}.get(name, "performance"))

    def generate_options(self):
        return SimpleNamespace(num_steps={"melody_rnn": 256, "music_transformer": 512})


def request(*arguments: str) -> Request:
    return generate._request(Settings(), generate._parser().parse_args(arguments))


@pytest.mark.parametrize(
    ("recipe", "fields", "said"),
    [
        ("melody_rnn", {"melody": (60,)}, "--harmonize: "),
        ("melody_rnn", {"endpoints": ((60,), (62,))}, "--interpolate: "),
        ("melody_rnn", {"attributes": {"density": 1.0}}, "--attribute: "),
        ("music_transformer", {"endpoints": ((60,), (62,))}, "--interpolate: "),
        ("performance_rnn", {"attributes": {"density": 1.0}}, "--attribute: "),
        ("music_vae", {"melody": (60,)}, "--harmonize: "),
        ("music_vae", {"num_steps": 99}, "--num-steps: "),
        ("music_vae", {"top_k": 3}, "--top-k: "),
        ("music_vae", {"top_p": 0.5}, "--top-p: "),
        ("music_vae", {"beam_size": 2}, "--beam-size: "),
    ],
)
def test_what_a_recipe_does_not_do_is_refused_before_it_is_loaded(recipe, fields, said):
    """With what it does instead, and not ignored."""
    with pytest.raises(PipelineError, match=said) as error:
        generate.sample(Settings(), recipe, Request(num=2, **fields))
    for able in registry.recipe(recipe).accepts:
        assert generate._option(able, registry.recipe(recipe)) in str(error.value)


@pytest.mark.parametrize(
    "recipe", ["melody_rnn", "performance_rnn", "music_transformer", "music_vae"]
)
def test_what_a_recipe_does_is_let_through(recipe):
    values = {
        "num_steps": 64,
        "primer": (60, 62),
        "melody": (60,),
        "endpoints": ((60,), (62,)),
        "attributes": {"density": 1.0},
        "top_k": 3,
        "top_p": 0.5,
        "beam_size": 2,
        "temperature": 0.5,
    }
    accepted = registry.recipe(recipe).accepts
    assert set(accepted) <= set(values)
    always = {"num": 9, "seed": 3}
    generate._check(
        registry.recipe(recipe), Request(**always, **{name: values[name] for name in accepted})
    )


@pytest.mark.parametrize("text", ["0", "1.01"])
def test_a_top_p_that_is_no_probability_is_refused(text):
    with pytest.raises(PipelineError, match=f"--top-p={float(text)}: a probability above 0"):
        request("melody_rnn", "--top-p", text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--top-p", "-0.5"), "-0.5 is below 0"),
        (("--temperature", "-1"), "-1.0 is below 0"),
        (("--top-p", "nan"), "nan is below 0"),
        (("--temperature", "nan"), "nan is below 0"),
        (("--top-k", "x"), "invalid int value: 'x'"),
        (("--num", "0"), "0 is below 1"),
        (("--attribute", "density"), "'density' is not NAME=SHIFT"),
        (("--attribute", "density=much"), "'density=much' is not NAME=SHIFT"),
        (("--interpolate", "60,62"), "expected 2 arguments"),
    ],
)
def test_arguments_that_are_none_are_refused(arguments, said, capsys):
    with pytest.raises(SystemExit):
        generate._parser().parse_args(["melody_rnn", *arguments])
    assert said in capsys.readouterr().err


def test_a_plain_request_takes_its_length_and_seed_from_params():
    assert request("melody_rnn") == Request(num=4, num_steps=256, seed=17)
    assert request("music_transformer") == Request(num=4, num_steps=512, seed=17)
    assert request("performance_rnn") == Request(num=4, num_steps=None, seed=17)
    assert request("melody_rnn", "--num-steps", "9", "--seed", "0").num_steps == 9
    assert request("melody_rnn", "--num-steps", "9", "--seed", "0").seed == 0


def test_every_option_reaches_the_request():
    found = request(
        *("melody_rnn", "--num", "3", "--temperature", "0.5", "--top-k", "7", "--top-p", "0.9"),
        *(
            "--beam-size",
            "2",
            "--primer",
            "60,62",
            "--harmonize",
            "64",
            "--interpolate",
            "65",
            "67",
        ),
        *("--attribute", "density=1.5", "--attribute", "range=-2"),
    )
    assert found == Request(
        num=3,
        num_steps=256,
        primer=found.primer,
        melody=found.melody,
        endpoints=found.endpoints,
        attributes={"density": 1.5, "range": -2.0},
        temperature=0.5,
        top_k=7,
        top_p=0.9,
        beam_size=2,
        seed=17,
    )
    # A quarter is 4 sixteenths: a pitch, and -2 for "it goes on".
    assert found.primer == (60, -2, -2, -2, 62, -2, -2, -2)
    assert found.melody == (64, -2, -2, -2)
    assert found.endpoints == ((65, -2, -2, -2), (67, -2, -2, -2))


def test_the_pitches_of_a_performance_last_half_a_second_each():
    found = request("music_transformer", "--harmonize", "60,62").melody
    vocabulary = PERFORMANCE.vocabulary
    half, loud = vocabulary.shift + 49, vocabulary.velocity + 99 // 4
    off = vocabulary.note_off
    assert found == (loud, 39, half, off + 39, 41, half, off + 41)


@pytest.mark.parametrize("option", ["--primer", "--harmonize"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("60,128", "MIDI pitches are 0 to 127"),
        ("no.mid", "No such file"),
        ("20", "no pitched note"),
    ],
)
def test_a_tune_that_is_none_is_named_with_its_option(option, text, said):
    with pytest.raises(PipelineError, match=said) as error:
        request("music_transformer", option, text)
    assert str(error.value).startswith(f"{option}=")


# --- a person's own music, as a whole -------------------------------------------------------------

BAR_SECONDS = 2.0


def song(bars, qpm=120.0):
    """Bars of one chord each on the piano, in 4/4; None is a silent one."""
    sequence = note_seq.NoteSequence(ticks_per_quarter=220)
    sequence.tempos.add(qpm=qpm)
    sequence.time_signatures.add(numerator=4, denominator=4)
    length = BAR_SECONDS * 120 / qpm
    for index, pitches in enumerate(bars):
        for pitch in pitches or ():
            begin = index * length
            sequence.notes.add(
                pitch=pitch, velocity=80, start_time=begin, end_time=begin + length / 2
            )
    sequence.total_time = len(bars) * length
    return sequence


def chords(sequence):
    """The pitches that begin together, by their time."""
    found = {}
    for note in sequence.notes:
        found.setdefault(round(note.start_time, 6), set()).add(note.pitch)
    return found


C, F = (60, 64, 67), (65, 69, 72)


@pytest.mark.parametrize("qpm", [120.0, 90.0])
def test_passages_keep_silent_and_repeated_phrases(qpm):
    """Which training leaves out: a song that is transferred keeps its length."""
    codec, bars = registry.codec("pianoroll"), [C, None, C, F, None, None, C]
    example = Example("song", song(bars, qpm).SerializeToString())
    records = codec.passages(example, PIANOROLL)
    assert len(records) == len(bars)
    for record, pitches in zip(records, bars, strict=True):
        assert set(record) == {"roll", "qpm"}
        assert record["qpm"] == pytest.approx(qpm)
        roll = pianoroll.unpack(record["roll"], PIANOROLL)
        expected = np.zeros((16, 84, 5), bool)
        for pitch in pitches or ():
            expected[:8, pitch - 24, 1] = True
        np.testing.assert_array_equal(roll, expected)
    made = [{"": codec.decode(record, PIANOROLL)} for record in records]
    whole = pieces.joined(made)[""].note_sequence
    length = BAR_SECONDS * 120 / qpm
    assert whole.total_time == pytest.approx(len(bars) * length, rel=1e-6)
    found = {round(time / length, 4): own for time, own in chords(whole).items()}
    assert found == {float(index): set(own) for index, own in enumerate(bars) if own}


def test_joined_pieces_follow_each_other_and_their_sources_theirs():
    def part(*bars):
        return Example("k", song(bars).SerializeToString())

    made = [
        {"": part(C, F), "source": part(F, None)},
        {"": part(None), "source": part(C)},
        {"": part(F), "source": part(None)},
    ]
    whole = pieces.joined(made)
    assert chords(whole[""].note_sequence) == {0.0: set(C), 2.0: set(F), 6.0: set(F)}
    assert chords(whole["source"].note_sequence) == {0.0: set(F), 4.0: set(C)}
    assert [whole[which].note_sequence.total_time for which in ("", "source")] == [8.0, 8.0]


def test_records_with_sources_are_pieces_with_sources():
    codec = registry.codec("pianoroll")
    first, second = codec.passages(Example("s", song([C, F]).SerializeToString()), PIANOROLL)
    record = {
        "roll": first["roll"],
        "genre": np.int64(1),
        "source_roll": second["roll"],
        "source_genre": np.int64(0),
        "source_qpm": np.float32(60),
        "cycled_roll": second["roll"],
    }
    (made,) = pieces.made_of(Settings(), "cyclegan", [record])
    assert {which: example.attributes["genre"] for which, example in made.items()} == {
        "": "Jazz",
        "source": "Rock",
    }
    assert chords(made[""].note_sequence) == {0.0: set(C)}
    assert chords(made["source"].note_sequence) == {0.0: set(F)}
    assert [made[w].note_sequence.total_time for w in ("", "source")] == [2.0, 4.0]
    (plain,) = pieces.made_of(Settings(), "roll_gan", [{"roll": first["roll"]}])
    assert list(plain) == [""]


def test_a_file_is_passages_and_a_stem_for_each(tmp_path):
    path = tmp_path / "song.mid"
    note_seq.sequence_proto_to_midi_file(song([C, None, F]), str(path))
    records = given_music.passages(Settings(), "cyclegan", path)
    assert len(records) == 3
    made = pieces.made_of(Settings(), "cyclegan", list(records))
    titles = pieces.write(
        "cyclegan", [{"": made[0][""], "source": made[2][""]}, made[1]], tmp_path, 1
    )
    assert titles == [
        {
            "stem": "cyclegan-000",
            "genre": "",
            "source_stem": "cyclegan-000-source",
            "source_genre": "",
            "medium": "notes",
        }
    ]
    stems = {p.name for p in tmp_path.glob("cyclegan-*")}
    first = {f"cyclegan-000{which}.{kind}" for which in ("", "-source")
             for kind in ("mid", "wav", "png")}  # fmt: skip
    assert stems == {*first, "cyclegan-001.mid"}  # only the first is rendered


def test_a_file_that_cannot_be_transferred_is_named_with_the_option(tmp_path):
    def said(name, path):
        with pytest.raises(PipelineError) as error:
            given_music.passages(Settings(), name, path)
        assert str(error.value).startswith(f"--transfer={path}: ")
        return str(error.value)

    assert "No such file" in said("cyclegan", tmp_path / "no.mid")
    assert "Give another MIDI file" in said("cyclegan", _file(tmp_path / "bad.mid", b"MThd"))
    waltz = song([C, F])
    waltz.time_signatures[0].numerator = 3
    note_seq.sequence_proto_to_midi_file(waltz, str(tmp_path / "waltz.mid"))
    assert "not four quarters" in said("cyclegan", tmp_path / "waltz.mid")
    assert "models of melody transfer no pieces" in said("melody_rnn", tmp_path / "waltz.mid")


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_passages_of_nothing_are_refused():
    codec = registry.codec("pianoroll")
    for example in (Example("k"), Example("k", song([None]).SerializeToString())):
        with pytest.raises(Rejected, match="no_notes"):
            codec.passages(example, PIANOROLL)


def test_music_of_music_needs_music():
    with pytest.raises(PipelineError, match="cyclegan makes music of music: give --transfer MIDI"):
        request("cyclegan")
    assert request("roll_gan", "--genre", "Jazz").genre == "Jazz"


def test_a_transfer_reaches_the_request_as_a_whole(tmp_path):
    path = tmp_path / "song.mid"
    note_seq.sequence_proto_to_midi_file(song([C, None, F, F]), str(path))
    found = request("cyclegan", "--transfer", str(path), "--genre", "Rock")
    assert len(found.sources) == 4
    with pytest.raises(PipelineError, match="--transfer: a roll_gan does not do that"):
        generate.sample(Settings(), "roll_gan", found)


# --- recipes that only judge ---------------------------------------------------------------------


def test_a_recipe_that_only_judges_leaves_no_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(generate.params, "load", Settings)
    monkeypatch.setattr(generate.paths, "samples", lambda name: tmp_path / name)
    generate.main("roll_classifier")
    out = tmp_path / "roll_classifier"
    assert sorted(p.name for p in out.iterdir()) == ["records.npz", "samples.json"]
    assert samples.load(out) == []
    said = files.read_json(out / "samples.json")
    assert said == {"model": "roll_classifier", "num": 0, "rendered": []}
    first = (out / "records.npz").read_bytes()
    generate.main("roll_classifier")
    assert (out / "records.npz").read_bytes() == first


def test_a_recipe_that_only_judges_refuses_to_make_music():
    with pytest.raises(PipelineError, match="roll_classifier: a roll_classifier judges music"):
        generate.sample(Settings(), "roll_classifier", Request(num=1))


def test_a_sound_is_written_with_its_picture_and_without_midi(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    made = Example("k", audio=0.5 * tone, sample_rate=16_000, attributes={"caption": "reed 50 %"})
    source = Example("s", audio=0.3 * tone, sample_rate=16_000)
    (title,) = pieces.write("m", [{"": made, "source": source}, {"": made}], tmp_path, 1)
    assert (title["medium"], title["genre"], title["source_genre"]) == ("sound", "reed 50 %", "")
    first = {f"m-000{which}.{kind}" for which in ("", "-source") for kind in ("wav", "png")}
    assert {path.name for path in tmp_path.iterdir()} == {*first, "m-001.wav"}
    read, rate = soundfile.read(tmp_path / "m-000.wav")
    assert rate == 16_000
    np.testing.assert_allclose(read, 0.5 * tone, atol=1e-4)
    with Image.open(tmp_path / "m-000.png") as picture:
        assert len(set(picture.convert("RGB").getdata())) > 100


# --- covers for a track --------------------------------------------------------------------------


class CoverSettings(Settings):
    """Of one model that draws, of a condition or of none."""

    def __init__(self, condition):
        self._condition = condition

    def recipe_params(self, name):
        return SimpleNamespace(condition=self._condition)


def covers_request(condition, *arguments):
    arguments = generate._parser().parse_args(["cover_gan", *arguments])
    return generate._request(CoverSettings(condition), arguments)


def test_a_model_that_is_told_of_a_track_needs_one(monkeypatch, tmp_path):
    with pytest.raises(PipelineError, match="cover_gan draws covers for a track: give --audio"):
        covers_request("track_pca")
    heard = []

    def track(settings, name, path):
        heard.append((name, path))
        return {"key": path.stem, "vector": np.ones(3, np.float32)}

    monkeypatch.setattr(given_music, "track", track)
    found = covers_request("track_pca", "--audio", "song.mp3", "--num", "8")
    assert heard == [("cover_gan", Path("song.mp3"))]
    assert found.num == 8
    assert [record["key"] for record in found.sources] == ["song"]
    generate._check(registry.recipe("cover_gan"), found)


def test_a_model_that_is_told_nothing_draws_without_a_track():
    assert covers_request(None) == Request(num=4, seed=17)
    with pytest.raises(PipelineError, match=r"--audio=song.mp3: cover_gan is told nothing"):
        covers_request(None, "--audio", "song.mp3")
    with pytest.raises(PipelineError, match=r"--audio=song.mp3: melody_rnn is told nothing"):
        request("melody_rnn", "--audio", "song.mp3")


def test_a_model_of_covers_names_the_option_that_it_heeds():
    with pytest.raises(PipelineError, match="--genre: a cover_gan does not do that") as error:
        generate.sample(Settings(), "cover_gan", Request(num=1, genre="Rock"))
    assert "--audio" in str(error.value)


def drawn(num, size=16):
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (num, size, size, 3), np.uint8)
    return [
        {"key": "", "latent": np.asarray(i), "picture": picture}
        for i, picture in enumerate(pictures)
    ]


def test_pictures_are_written_as_png_and_only_those_that_are_shown(tmp_path):
    records = drawn(3)
    made = pieces.made_of(CoverSettings(None), "cover_gan", records)
    titles = pieces.write("m", made, tmp_path, 2)
    empty = dict.fromkeys(("genre", "source_stem", "source_genre"), "")
    assert titles == [{"stem": f"m-00{i}", "medium": "picture", **empty} for i in range(2)]
    assert {path.name for path in tmp_path.iterdir()} == {"m-000.png", "m-001.png"}
    for index in range(2):
        with Image.open(tmp_path / f"m-00{index}.png") as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")
            np.testing.assert_array_equal(np.asarray(picture), records[index]["picture"])


def test_the_command_says_what_it_left(monkeypatch, tmp_path, capsys):
    def ran(name, settings, records, *arguments):
        monkeypatch.setattr(generate.params, "load", lambda: settings)
        monkeypatch.setattr(generate, "sample", lambda settings, name, request: records)
        out = tmp_path / name
        monkeypatch.setattr(sys, "argv", ["generate", name, "--out", str(out), *arguments])
        generate._command()
        return capsys.readouterr().out.strip(), out

    said, out = ran("cover_gan", CoverSettings(None), drawn(2))
    assert said == f"2 samples are in {out}/ as .png."
    assert len(list(out.iterdir())) == 2  # a person sees all of them
    codec = registry.codec("pianoroll")
    records = codec.passages(Example("s", song([C]).SerializeToString()), PIANOROLL)
    said, out = ran("roll_gan", Settings(), records)
    assert said == f"1 samples are in {out}/ as .mid, .png, .wav."


def test_the_stage_takes_no_track(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generate", "cover_gan", "--audio", "song.mp3"])
    with pytest.raises(SystemExit):
        generate._command()
    assert "--out" in capsys.readouterr().err


class EncoderSettings(Settings):
    def model(self, name):
        return SimpleNamespace(recipe=name, corpus="others", reads="data/shards/covers")


def test_an_encoder_leaves_vectors_of_the_corpus_that_it_reads(tmp_path, monkeypatch):
    for name in ("SHARDS", "SAMPLES", "ROOT"):
        monkeypatch.setattr(paths, name, tmp_path / getattr(paths, name).relative_to(paths.ROOT))
    records = cover_shards.build(12)
    sizes = []

    def encode(model, options, shards, fields):
        assert (model, shards.corpus) == ("weights of ear_of_others", "covers")
        sizes.append(len(fields["audio_features"]))
        return fields["audio_features"][:, 2:5] + 1

    recipe = SimpleNamespace(generate=None, encode=encode, encoded_fields=("audio_features",))
    monkeypatch.setattr(generate.registry, "recipe", lambda name: recipe)
    monkeypatch.setattr(generate.params, "load", EncoderSettings)
    monkeypatch.setattr(encoding.weights, "trained", lambda settings, name: f"weights of {name}")
    monkeypatch.setattr(encoding, "_AT_ONCE", 5)
    generate.main("ear_of_others")
    out = paths.samples("ear_of_others")
    assert samples.load(out) == []
    num = {split: len(own) for split, own in records.items()}
    assert files.read_json(out / "samples.json") == {
        "model": "ear_of_others",
        "num": 0,
        "rendered": [],
        "corpus": "covers",
        "num_vectors": sum(num.values()),
        "size": 3,
    }
    assert max(sizes) == 5
    found = Vectors.open(out)
    assert found.values.keys() == records.keys()
    for split, own in records.items():
        assert found.keys[split] == [record["key"] for record in own]
        expected = np.stack([record["audio_features"][2:5] + 1 for record in own])
        np.testing.assert_array_equal(found.values[split], expected)
    first = (out / Vectors.FILE).read_bytes()
    generate.main("ear_of_others")
    assert (out / Vectors.FILE).read_bytes() == first
