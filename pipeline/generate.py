"""Stage and command: a trained model -> data/samples/<model>: MIDI, WAV and piano rolls.

For a person: python -m pipeline.generate melody_attention --primer tune.mid --temperature 0.9
--num 4 --out somewhere/
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipeline import console, files, params, paths, registry, render, samples, weights
from pipeline.codecs.base import Record
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.models.base import Request


def main(name: str) -> None:
    """The DVC stage: samples from nothing, as `generate` in params.yaml says."""
    settings = params.load()
    options = settings.generate_options()
    request = Request(
        num=options.num,
        num_steps=options.num_steps,
        temperature=options.temperature,
        top_k=options.top_k,
        beam_size=options.beam_size,
        seed=settings.seed,
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
                "request": {k: v for k, v in vars(request).items() if k != "primer"},
            },
        )


def sample(settings: params.Params, name: str, request: Request) -> list[Record]:
    """Generates records with a trained model."""
    recipe = registry.recipe(settings.model(name).recipe)
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


def primer(settings: params.Params, name: str, text: str) -> tuple[int, ...]:
    """The events that a primer means to a model: a MIDI file's melody, or pitches of a quarter.

    Args:
      settings: params.yaml.
      name: of the model.
      text: a path, or MIDI pitches like "60,62,64".

    Raises:
      PipelineError: it is neither, or holds no notes.
    """
    from pipeline.readers import midi

    codec, codec_options = _codec(settings, name)
    encoding = settings.recipe_params(name).encoding  # type: ignore[attr-defined]
    try:
        pitches = _pitches(text)
        note_sequence = _quarters(pitches) if pitches else midi.read(Path(text).read_bytes())
        example = Example(text, note_sequence.SerializeToString())
        return tuple(codec.primer(example, codec_options, encoding))
    except OSError as error:
        raise PipelineError(
            f"--primer={text}: {error.strerror}. Give a MIDI file, or pitches like 60,62,64."
        ) from None
    except Rejected as problem:
        raise PipelineError(
            f"--primer={text}: {problem}. Give a MIDI file with a melody."
        ) from None


def _pitches(text: str) -> list[int]:
    """The numbers of "60,62,64"; none if it is no such list, and so a path."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        return []


def _quarters(pitches: list[int]) -> Any:
    from note_seq.protobuf import music_pb2

    if not all(0 <= pitch <= 127 for pitch in pitches):
        raise PipelineError(f"--primer={pitches}: MIDI pitches are 0 to 127; 60 is middle C.")
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
        "  python -m pipeline.generate melody_attention --primer 60,62,64,65 --out tunes/\n"
        "  python -m pipeline.generate melody_lookback --primer tune.mid --temperature 0.9 \\\n"
        "      --num 8 --num-steps 256 --out tunes/",
    )
    parser.add_argument("model", help="a key of `models` in params.yaml, already trained")
    parser.add_argument("--out", type=Path, help="directory for NAME-000.mid, .wav and .png, ...")
    parser.add_argument(
        "--primer", default="", help="a MIDI file, or pitches of a quarter each (60,62,64), to go "
        "on from; default: start from nothing"
    )  # fmt: skip
    parser.add_argument("--num", type=_positive, default=4, help="how many (default: 4)")
    parser.add_argument(
        "--num-steps", type=_positive, default=256,
        help="length of each with its primer, in sixteenths for melodies (default: 256)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=_not_negative, default=1.0,
        help="below 1 safer, above 1 wilder, 0 always the likeliest (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--top-k",
        type=_not_negative_int,
        default=0,
        help="sample from the K likeliest classes (default: all)",
    )
    parser.add_argument(
        "--beam-size", type=_positive, default=1, help="hypotheses of a beam search (default: none)"
    )
    parser.add_argument("--seed", type=int, help="default: `seed` of params.yaml")
    return parser


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


def _not_negative_int(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _not_negative(text: str) -> float:
    if (value := float(text)) < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


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
    settings.model(arguments.model)
    request = Request(
        num=arguments.num,
        num_steps=arguments.num_steps,
        primer=primer(settings, arguments.model, arguments.primer) if arguments.primer else (),
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        beam_size=arguments.beam_size,
        seed=settings.seed if arguments.seed is None else arguments.seed,
    )
    records = sample(settings, arguments.model, request)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write(settings, arguments.model, records, arguments.out, len(records))
    print(f"{len(records)} tunes are in {arguments.out}/ as .mid, .wav and .png.")


if __name__ == "__main__":
    console.run(_command)
