"""Stage and command: a trained model -> data/samples/<model>: MIDI, WAV and piano rolls.

For a person: python -m pipeline.generate melody_attention --primer tune.mid --temperature 0.9
--num 4 --out somewhere/
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import console, files, params, paths, registry, render, samples, weights
from pipeline.codecs.base import Record
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.models.base import Recipe, Request


def main(name: str) -> None:
    """The DVC stage: samples from nothing, as `generate` in params.yaml says."""
    settings = params.load()
    options = settings.generate_options()
    recipe = registry.recipe(settings.model(name).recipe)
    heeded = {field: getattr(options, field) for field in _SAMPLING if field in recipe.accepts}
    request = Request(
        num=options.num,
        num_steps=options.num_steps.get(recipe.name),
        temperature=options.temperature,
        seed=settings.seed,
        **heeded,
    )
    with files.atomic_directory(paths.samples(name)) as out:
        records = sample(settings, name, request)
        write(settings, name, records, out, options.num_rendered)
        samples.save(records, out)
        model = files.read_json(paths.model(name) / "model.json")
        files.write_json(
            out / "samples.json",
            {
                "model": name,
                "corpus": model["corpus"],
                "source": model["source"],
                "num": len(records),
                "num_rendered": min(options.num_rendered, len(records)),
                "request": {k: getattr(request, k) for k in _STAGE_FIELDS},
            },
        )


# What `generate` in params.yaml sets for every recipe that heeds it.
_SAMPLING = ("top_k", "top_p", "beam_size")
_STAGE_FIELDS = ("num", "num_steps", "temperature", *_SAMPLING, "seed")


def sample(settings: params.Params, name: str, request: Request) -> list[Record]:
    """Generates records with a trained model.

    Raises:
      PipelineError: the request asks for what the model's recipe does not do.
    """
    recipe = registry.recipe(settings.model(name).recipe)
    _check(recipe, request)
    model = weights.trained(settings, name)
    codec, codec_options = _codec(settings, name)
    return recipe.generate(model, settings.recipe_params(name), codec, codec_options, request)


def write(
    settings: params.Params, name: str, records: list[Record], out: Path, num_rendered: int
) -> None:
    """Writes each record as MIDI, and the first ones as WAV and picture too."""
    codec, codec_options = _codec(settings, name)
    for index, record in enumerate(console.progress(records, "writing", len(records))):
        note_sequence = codec.decode(record, codec_options).note_sequence
        stem = f"{name}-{index:03d}"
        midi_file = render.midi(note_sequence)
        with files.atomic_open(out / f"{stem}.mid") as file:
            file.write(midi_file)
        if index < num_rendered:
            render.write_wav(out / f"{stem}.wav", render.waveform(note_sequence))
            render.write_piano_roll(out / f"{stem}.png", note_sequence, f"{name}, sample {index}")


def _codec(settings: params.Params, name: str) -> tuple[Any, Any]:
    corpus = settings.model(name).corpus
    return registry.codec(settings.corpus(corpus).codec), settings.codec_options(corpus)


def _check(recipe: Recipe, request: Request) -> None:
    default = Request(num=request.num)
    always = ("num", "temperature", "seed")
    for field, value in vars(request).items():
        if field not in (*always, *recipe.accepts) and value != getattr(default, field):
            able = ", ".join(_option(name) for name in recipe.accepts)
            raise PipelineError(
                f"{_option(field)}: a {recipe.name} does not do that; it heeds {able}."
            )


def _option(field: str) -> str:
    """How a field of a Request is called on the command line."""
    return f"--{_OPTIONS.get(field, field.replace('_', '-'))}"


_OPTIONS = {"melody": "harmonize", "endpoints": "interpolate", "attributes": "attribute"}


def primer(settings: params.Params, name: str, text: str, option: str) -> tuple[int, ...]:
    """The events that a tune means to a model: a MIDI file's melody, or pitches of a quarter.

    Args:
      settings: params.yaml.
      name: of the model.
      text: a path, or MIDI pitches like "60,62,64".
      option: the command line's, for the message.

    Raises:
      PipelineError: it is neither, or holds no notes.
    """
    from pipeline.readers import midi

    codec, codec_options = _codec(settings, name)
    if codec.primer is None:
        raise PipelineError(f"{option}={text}: models of {codec.name} start from nothing.")
    encoding = getattr(settings.recipe_params(name), "encoding", codec.plain_encoding)
    try:
        pitches = _pitches(text)
        note_sequence = (
            _quarters(pitches, option) if pitches else midi.read(Path(text).read_bytes())
        )
        example = Example(text, note_sequence.SerializeToString())
        return tuple(codec.primer(example, codec_options, encoding))
    except OSError as error:
        raise PipelineError(
            f"{option}={text}: {error.strerror}. Give a MIDI file, or pitches like 60,62,64."
        ) from None
    except Rejected as problem:
        raise PipelineError(
            f"{option}={text}: {problem}. Give a MIDI file with a melody."
        ) from None


def _pitches(text: str) -> list[int]:
    """The numbers of "60,62,64"; none if it is no such list, and so a path."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        return []


def _quarters(pitches: list[int], option: str) -> Any:
    from note_seq.protobuf import music_pb2

    if not all(0 <= pitch <= 127 for pitch in pitches):
        raise PipelineError(f"{option}={pitches}: MIDI pitches are 0 to 127; 60 is middle C.")
    sequence = music_pb2.NoteSequence(ticks_per_quarter=220, total_time=0.5 * len(pitches))
    sequence.tempos.add(qpm=120)
    sequence.time_signatures.add(numerator=4, denominator=4)
    for index, pitch in enumerate(pitches):
        sequence.notes.add(
            pitch=pitch, velocity=100, start_time=0.5 * index, end_time=0.5 * (index + 1)
        )
    return sequence


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.generate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Generates music with a trained model.",
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
        "      --out tunes/",
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
        return primer(settings, arguments.model, text, option) if text else ()

    return Request(
        num=arguments.num,
        num_steps=arguments.num_steps or settings.generate_options().num_steps.get(recipe),
        primer=events(arguments.primer, "--primer"),
        melody=events(arguments.harmonize, "--harmonize"),
        endpoints=tuple(events(text, "--interpolate") for text in arguments.interpolate),
        attributes=dict(arguments.attribute),
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        beam_size=arguments.beam_size,
        seed=settings.seed if arguments.seed is None else arguments.seed,
    )


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
    arguments.out.mkdir(parents=True, exist_ok=True)
    write(settings, arguments.model, records, arguments.out, len(records))
    print(f"{len(records)} tunes are in {arguments.out}/ as .mid, .wav and .png.")


if __name__ == "__main__":
    console.run(_command)
