"""Stage and command: a trained model -> data/samples/<model>: MIDI, WAV, pictures, or vectors.

For a person: python -m pipeline.generate melody_attention --primer tune.mid --temperature 0.9
--num 4 --out somewhere/
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import (
    console,
    encoding,
    files,
    given_music,
    params,
    paths,
    pieces,
    registry,
    samples,
    weights,
)
from pipeline.codecs.base import Record
from pipeline.errors import PipelineError
from pipeline.models.base import Recipe, Request


def main(name: str) -> None:
    """The DVC stage: samples from nothing, as `generate` in params.yaml says."""
    settings = params.load()
    options = settings.generate_options()
    recipe = registry.recipe(settings.model(name).recipe)
    if recipe.generate is None:
        _leave_vectors(settings, name, recipe)
        return
    heeded = {field: getattr(options, field) for field in _SAMPLING if field in recipe.accepts}
    request = Request(
        num=options.num,
        num_steps=options.num_steps.get(recipe.name),
        seed=settings.seed,
        sources=_sources(settings, name, recipe, options.num),
        **heeded,
    )
    with files.atomic_directory(paths.samples(name)) as out:
        records = sample(settings, name, request)
        made = pieces.made_of(settings, name, records)
        titles = pieces.write(name, made, out, options.num_rendered)
        samples.save(records, out)
        model = files.read_json(paths.model(name) / "model.json")
        files.write_json(
            out / "samples.json",
            {
                "model": name,
                "corpus": model["corpus"],
                "source": model["source"],
                "num": len(records),
                "rendered": titles,
                "request": {k: getattr(request, k) for k in _STAGE_FIELDS},
            },
        )


def _leave_vectors(settings: params.Params, name: str, recipe: Recipe) -> None:
    """What an encoder has for samples; one that only judges has none: DVC wants the out anyway."""
    with files.atomic_directory(paths.samples(name)) as out:
        samples.save([], out)
        about: dict[str, Any] = {"model": name, "num": 0, "rendered": []}
        if recipe.encode:
            about |= encoding.write_vectors(settings, name, out)
        files.write_json(out / "samples.json", about)


def _sources(settings: params.Params, name: str, recipe: Recipe, num: int) -> tuple[Record, ...]:
    """Held-out records, for recipes that make others of them."""
    if recipe.sources is None:
        return ()
    shards = weights.shards_of(settings, name)
    return tuple(recipe.sources(shards, "test", settings.recipe_params(name), num))


# What `generate` in params.yaml sets for every recipe that heeds it.
_SAMPLING = ("temperature", "top_k", "top_p", "beam_size")
_STAGE_FIELDS = ("num", "num_steps", *_SAMPLING, "seed")


def sample(settings: params.Params, name: str, request: Request) -> list[Record]:
    """Generates records with a trained model.

    Raises:
      PipelineError: the request asks for what the model's recipe does not do.
    """
    recipe = registry.recipe(settings.model(name).recipe)
    if recipe.generate is None:
        raise PipelineError(f"{name}: a {recipe.name} judges music, and makes none.")
    _check(recipe, request)
    model = weights.trained(settings, name)
    codec, codec_options = pieces.codec_of(settings, name)
    return recipe.generate(model, settings.recipe_params(name), codec, codec_options, request)


def _check(recipe: Recipe, request: Request) -> None:
    default = Request(num=request.num)
    always = ("num", "seed")
    for field, value in vars(request).items():
        if field not in (*always, *recipe.accepts) and value != getattr(default, field):
            able = ", ".join(_option(name, recipe) for name in recipe.accepts)
            raise PipelineError(
                f"{_option(field, recipe)}: a {recipe.name} does not do that; it heeds {able}."
            )


def _option(field: str, recipe: Recipe) -> str:
    """How a field of a Request is called on the command line."""
    if field == "sources" and "condition" in recipe.Params.model_fields:
        return "--audio"
    return f"--{_OPTIONS.get(field, field.replace('_', '-'))}"


_OPTIONS = {
    "melody": "harmonize",
    "endpoints": "interpolate",
    "attributes": "attribute",
    "sources": "transfer",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.generate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Generates music, or covers for it, with a trained model.",
        epilog="Without --out it is the DVC stage: it replaces data/samples/<model> by what\n"
        "`generate` in params.yaml asks for, and takes no other option.\n\n"
        "examples:\n"
        "  python -m pipeline.generate melody_attention --num 4 --out tunes/\n"
        "  python -m pipeline.generate melody_lookback --primer 60,62,64,65 --out tunes/\n"
        "  python -m pipeline.generate music_transformer --primer piece.mid --num-steps 2000 \\\n"
        "      --top-p 0.95 --out pieces/\n"
        "  python -m pipeline.generate music_transformer --harmonize tune.mid --out pieces/\n"
        "  python -m pipeline.generate vae_melody_2bar --interpolate a.mid b.mid --num 9 --out t/\n"
        "  python -m pipeline.generate vae_melody_2bar --primer a.mid --attribute range=2 \\\n"
        "      --out tunes/\n"
        "  python -m pipeline.generate gan_convolutional --genre Jazz --out phrases/\n"
        "  python -m pipeline.generate cyclegan_rock_jazz --transfer song.mid --genre Jazz \\\n"
        "      --out songs/\n"
        "  python -m pipeline.generate cover_stylegan --audio track.mp3 --num 8 --out covers/",
    )
    parser.add_argument("model", help="a key of `models` in params.yaml, already trained")
    parser.add_argument("--out", type=Path, help="directory for NAME-000.mid, .wav and .png, ...")
    tune = "a MIDI file, or pitches of a quarter each (60,62,64)"
    parser.add_argument("--primer", default="", metavar="TUNE",
                        help=f"{tune}, to go on from, or, for a VAE, to vary")  # fmt: skip
    parser.add_argument("--harmonize", default="", metavar="TUNE",
                        help=f"{tune}, to play an accompaniment below")  # fmt: skip
    parser.add_argument("--interpolate", nargs=2, default=(), metavar="TUNE",
                        help="two tunes; the samples lead from the one to the other")  # fmt: skip
    parser.add_argument("--attribute", action="append", default=[], type=_attribute,
                        metavar="NAME=SHIFT", help="move samples along an attribute, in standard "
                        "deviations: density=1.5; may be repeated")  # fmt: skip
    parser.add_argument("--genre", default="", metavar="NAME",
                        help="the genre to play in (default: each in turn)")  # fmt: skip
    parser.add_argument("--transfer", type=Path, metavar="MIDI",
                        help="a MIDI file to be played in --genre, as a whole")  # fmt: skip
    parser.add_argument("--audio", type=Path, metavar="FILE",
                        help="a track (WAV, FLAC, MP3, OGG) to draw album covers for")  # fmt: skip
    parser.add_argument("--num", type=_number(int, 1), default=4, help="how many (default: 4)")
    parser.add_argument("--num-steps", type=_number(int, 1), help="length of each with its primer: "
                        "sixteenths of a melody, events of a performance (default: as in "
                        "params.yaml)")  # fmt: skip
    parser.add_argument("--temperature", type=_number(float, 0), default=1.0,
                        help="below 1 safer, above 1 wilder, 0 always the likeliest (default: 1)",
                        )  # fmt: skip
    parser.add_argument("--top-k", type=_number(int, 0), default=0,
                        help="sample from the K likeliest classes (default: all)")  # fmt: skip
    parser.add_argument("--top-p", type=_number(float, 0), default=1.0, help="sample from the "
                        "likeliest classes that together have this probability (default: 1)",
                        )  # fmt: skip
    parser.add_argument("--beam-size", type=_number(int, 1), default=1,
                        help="hypotheses of a beam search (default: none)")  # fmt: skip
    parser.add_argument("--seed", type=int, help="default: `seed` of params.yaml")
    return parser


def _number(kind: type, least: int) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if not (value := kind(text)) >= least:  # which NaN is not either
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    parse.__name__ = kind.__name__  # what argparse calls it when the text is no number
    return parse


def _attribute(text: str) -> tuple[str, float]:
    name, _, shift = text.partition("=")
    try:
        return name, float(shift)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=SHIFT, as density=1.5") from None


def _request(settings: params.Params, arguments: argparse.Namespace) -> Request:
    recipe = settings.model(arguments.model).recipe
    if not 0 < arguments.top_p <= 1:
        raise PipelineError(f"--top-p={arguments.top_p}: a probability above 0, at most 1.")

    def events(text: str, option: str) -> tuple[int, ...]:
        return given_music.primer(settings, arguments.model, text, option) if text else ()

    return Request(
        num=arguments.num,
        num_steps=arguments.num_steps or settings.generate_options().num_steps.get(recipe),
        primer=events(arguments.primer, "--primer"),
        melody=events(arguments.harmonize, "--harmonize"),
        endpoints=tuple(events(text, "--interpolate") for text in arguments.interpolate),
        attributes=dict(arguments.attribute),
        genre=arguments.genre,
        sources=_given(settings, arguments),
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        beam_size=arguments.beam_size,
        seed=settings.seed if arguments.seed is None else arguments.seed,
    )


def _given(settings: params.Params, arguments: argparse.Namespace) -> tuple[Record, ...]:
    """What samples are made from: a track, a piece of music, held-out records, or nothing."""
    name, recipe_params = arguments.model, settings.recipe_params(arguments.model)
    if arguments.audio and arguments.transfer:
        raise PipelineError("--audio and --transfer: give one of the two.")
    if arguments.audio:
        return (given_music.track(settings, name, arguments.audio),)
    if arguments.transfer:
        return given_music.passages(settings, name, arguments.transfer)
    recipe = registry.recipe(settings.model(name).recipe)
    if "sources" not in recipe.accepts:
        return ()
    if hasattr(recipe_params, "condition"):
        if recipe_params.condition:
            raise PipelineError(f"{name} draws covers for a track: give --audio FILE.")
        return ()
    if pieces.codec_of(settings, name)[0].passages is None:  # it cannot be a file
        return _sources(settings, name, recipe, arguments.num)
    raise PipelineError(f"{name} makes music of music: give --transfer MIDI.")


def _command() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.out is None:
        given = {**vars(arguments), "model": None}
        if given != {**vars(parser.parse_args([arguments.model])), "model": None}:
            parser.error("name a directory with --out; without it this is the DVC stage")
        main(arguments.model)
        return
    settings = params.load()
    records = sample(settings, arguments.model, _request(settings, arguments))
    made = pieces.made_of(settings, arguments.model, records)
    if arguments.transfer:
        made = [pieces.joined(made)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    pieces.write(arguments.model, made, arguments.out, len(made))
    suffixes = sorted({path.suffix for path in arguments.out.glob(f"{arguments.model}-*")})
    print(f"{len(made)} samples are in {arguments.out}/ as {', '.join(suffixes)}.")


if __name__ == "__main__":
    console.run(_command)
