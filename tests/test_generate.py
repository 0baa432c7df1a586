"""What the command line asks of a recipe: refused, or passed on as it was meant."""

from types import SimpleNamespace

import pytest

from pipeline import generate, registry
from pipeline.errors import PipelineError
from pipeline.models.base import Request

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
CODECS = {"melody_rnn": ("melody", MELODY), "music_transformer": ("performance", PERFORMANCE)}


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
        assert generate._option(able) in str(error.value)


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
    }
    accepted = registry.recipe(recipe).accepts
    assert set(accepted) <= set(values)
    always = {"num": 9, "temperature": 0.5, "seed": 3}
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
