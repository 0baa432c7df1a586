"""Stage and command: two songs -> a third with the notes of the first and the sound of the second.

For a person: python -m pipeline.transfer --notes a.wav --sound b.wav --method musaicing --out c.wav
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline import console, files, params, paths, registry, render, sound_files, weights
from pipeline.errors import PipelineError, Rejected
from pipeline.transfers.base import Request

_MAX_SECONDS = 600
SAMPLE_RATE_HZ = 22_050  # of what the command makes, unless a model's corpus or --sample-rate says


def main(name: str) -> None:
    """The DVC stage: a method's transfer of each pair, at full strength and in its own tempo."""
    settings = params.load()
    apply = method(settings, name)
    about = files.read_json(paths.PAIRS / "pairs.json")
    rejected: dict[str, str] = {}
    with files.atomic_directory(paths.transfers(name)) as out:
        pairs = console.progress(about["pairs"], name, len(about["pairs"]))
        for number, pair in enumerate(pairs):
            notes, sound = (_wav(paths.PAIRS / f"{pair['stem']}-{w}.wav") for w in _SONGS)
            request = Request(notes, sound, about["sample_rate"], 1.0, settings.seed)
            try:
                made = apply(request)
            except Rejected as problem:  # counted; the comparison says how many are missing
                rejected[pair["stem"]] = problem.reason
                continue
            sound_files.write_wav(out / f"{pair['stem']}.wav", made, about["sample_rate"])
            if number < about["num_rendered"]:
                picture, title = out / f"{pair['stem']}.png", f"what {name} makes of the two"
                render.write_rainbowgram(picture, made, about["sample_rate"], title)
        listed = {"name": name, "is_baseline": is_baseline(settings, name), "rejected": rejected}
        files.write_json(out / "transfers.json", listed)


_SONGS = ("notes", "sound")


def method(settings: params.Params, name: str) -> Callable[[Request], np.ndarray]:
    """A key of `transfers` as a function: request -> the third song."""
    block = settings.transfer(name)
    if block.method:
        options, apply = settings.transfer_params(name), registry.transfer(block.method).transfer
        return lambda request: apply(request, options)
    assert block.model
    recipe = registry.recipe(settings.model(block.model).recipe)
    assert recipe.transfer
    apply_model = recipe.transfer
    model, own = weights.trained(settings, block.model), settings.recipe_params(block.model)
    codec_options = settings.codec_options(settings.model(block.model).corpus).model_dump()
    # Each length of a note or a song is compiled for itself, which TensorFlow warns of.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

    def transferred(request: Request) -> np.ndarray:
        if request.sample_rate != codec_options["sample_rate"]:
            raise PipelineError(
                f"transfers.{name}: songs at {request.sample_rate} Hz, but {block.model} has "
                f"learned sound at {codec_options['sample_rate']} Hz. Set pairs.sample_rate to it."
            )
        return apply_model(model, own, codec_options, request)

    return transferred


def is_baseline(settings: params.Params, name: str) -> bool:
    """Whether others must come nearer to the truth than it."""
    block = settings.transfer(name)
    return block.method is not None and registry.transfer(block.method).is_baseline


def _wav(path: Path) -> np.ndarray:
    import soundfile

    return soundfile.read(path, dtype="float32")[0]


def song(settings: params.Params, arguments: argparse.Namespace) -> tuple[np.ndarray, int]:
    """What the command makes: float32 [samples], and its rate in Hz.

    Raises:
      PipelineError: a file, or what it holds, cannot be used.
    """
    from pipeline.audio import stretch

    rate = _sample_rate(settings, arguments)
    notes, sound = (
        _read(path, rate, f"--{which}")
        for which, path in (("notes", arguments.notes), ("sound", arguments.sound))
    )
    try:
        factor = _tempo_factor(arguments.tempo, notes, sound, rate)
        if factor != 1:
            notes = stretch.stretch(notes, rate, round(len(notes) / factor))
        if arguments.transpose:
            notes = stretch.transpose(notes, rate, arguments.transpose)
        seed = settings.seed if arguments.seed is None else arguments.seed
        request = Request(notes, sound, rate, arguments.strength, seed)
        return method(settings, arguments.method)(request), rate
    except Rejected as problem:
        songs = f"--notes={arguments.notes} --sound={arguments.sound}"
        raise PipelineError(f"{songs}: {problem}. Give other songs, or another --method.") from None


def _sample_rate(settings: params.Params, arguments: argparse.Namespace) -> int:
    """A model's is its corpus's; of the others the one asked for."""
    model = settings.transfer(arguments.method).model
    if model is None:
        return arguments.sample_rate or SAMPLE_RATE_HZ
    rate = settings.codec_options(settings.model(model).corpus).sample_rate
    if arguments.sample_rate not in (None, rate):
        raise PipelineError(
            f"--sample-rate={arguments.sample_rate}: {model} has learned sound at {rate} Hz. Leave "
            "the option out."
        )
    return rate


def _read(path: Path, sample_rate: int, option: str) -> np.ndarray:
    from pipeline.readers import audio

    try:
        found, _ = audio.read(path.read_bytes(), sample_rate)
    except OSError as error:
        raise PipelineError(
            f"{option}={path}: {error.strerror}. Give a WAV, FLAC, MP3 or OGG file."
        ) from None
    except Rejected as problem:
        raise PipelineError(
            f"{option}={path}: {problem}. Give a WAV, FLAC, MP3 or OGG file."
        ) from None
    if len(found) > _MAX_SECONDS * sample_rate:
        raise PipelineError(
            f"{option}={path}: {len(found) / sample_rate:.0f} s; a song is held in memory, and so "
            f"must not exceed {_MAX_SECONDS} s. Cut it into pieces."
        )
    return found / max(1.0, float(np.abs(found).max()))  # floating-point files may exceed 1


def _tempo_factor(tempo: str, notes: np.ndarray, sound: np.ndarray, sample_rate: int) -> float:
    """How many times faster the notes' song is to go: 0.71 to 1.41.

    A tempo is estimated an octave off as often as not, so of the notes' song's tempo, its half and
    its double the one nearest to the tempo asked for is taken for its own.

    Raises:
      Rejected: no_tempo, where a song without a beat would have to be measured.
    """
    if tempo == "notes":
        return 1.0
    from pipeline.audio import beats

    own = _bpm(notes, sample_rate, "notes")
    wanted = _bpm(sound, sample_rate, "sound") if tempo == "sound" else float(tempo)
    return beats.folded(wanted / own)


def _bpm(audio: np.ndarray, sample_rate: int, song: str) -> float:
    from pipeline.audio import beats

    found, tempo = beats.beats(audio, sample_rate)
    if len(found) < 2:
        raise Rejected("no_tempo", f"{song} has num_beats={len(found)}; a tempo needs two")
    return tempo


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.transfer",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Makes a third song of two: notes, rhythm and tempo of the first, the sound of "
        "the second.",
        epilog="With a name alone it is the DVC stage: that method's transfer of data/pairs.\n\n"
        "examples:\n"
        "  python -m pipeline.transfer --notes piano.wav --sound bees.mp3 --method musaicing \\\n"
        "      --out c.wav\n"
        "  python -m pipeline.transfer --notes a.flac --sound b.ogg --method resynthesis \\\n"
        "      --tempo sound --strength 0.7 --out c.wav\n"
        "  python -m pipeline.transfer --notes voice.wav --sound trumpet.wav --method harmonic \\\n"
        "      --tempo 96 --transpose -12 --out c.wav",
    )
    parser.add_argument("name", nargs="?", metavar="NAME",
                        help="a key of `transfers` in params.yaml: run its stage")  # fmt: skip
    parser.add_argument("--notes", type=Path, metavar="SONG", help="the song whose notes, rhythm "
                        "and tempo are kept: WAV, FLAC, MP3 or OGG")  # fmt: skip
    parser.add_argument("--sound", type=Path, metavar="SONG",
                        help="the song whose sound is taken")  # fmt: skip
    parser.add_argument("--method", default="musaicing", metavar="NAME",
                        help="a key of `transfers` in params.yaml (default: musaicing)",
                        )  # fmt: skip
    parser.add_argument("--tempo", default="notes", type=_tempo, metavar="notes|sound|BPM",
                        help="of the third song: that of either, or beats a minute; pitches stay "
                        "(default: notes)")  # fmt: skip
    parser.add_argument("--transpose", default=0.0, type=float, metavar="SEMITONES",
                        help="move the notes' song up or down; its tempo stays")  # fmt: skip
    parser.add_argument("--strength", default=1.0, type=float, metavar="0..1",
                        help="1: the method at its fullest; 0: the notes' song as it is "
                        "(default: 1)")  # fmt: skip
    parser.add_argument("--sample-rate", type=int, metavar="HZ", help="of the third song (default: "
                        f"{SAMPLE_RATE_HZ}, or the model's own)")  # fmt: skip
    parser.add_argument("--seed", type=_seed, help="default: `seed` of params.yaml")
    parser.add_argument("--midi", type=Path, metavar="MIDI",
                        help="also write what is heard in the notes' song")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="WAV", help="the file to write")
    return parser


def _tempo(text: str) -> str:
    if text in _SONGS:
        return text
    try:
        is_tempo = 10 <= float(text) <= 1000
    except ValueError:
        is_tempo = False
    if not is_tempo:
        raise argparse.ArgumentTypeError(f"{text!r} is not notes, sound, or a number of 10 to 1000")
    return text


def _seed(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError(f"{value} is below 0")
    return value


def _command() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.name:
        given = {**vars(arguments), "name": None}
        if given != {**vars(parser.parse_args([])), "name": None}:
            parser.error(
                "a name alone is the DVC stage; without it give --notes, --sound and --out"
            )
        main(arguments.name)
        return
    for option in ("notes", "sound", "out"):
        if getattr(arguments, option) is None:
            parser.error(f"give --{option}")
    if not 0 <= arguments.strength <= 1:
        parser.error(f"--strength={arguments.strength}: it lies between 0 and 1")
    if not abs(arguments.transpose) <= 48:
        parser.error(f"--transpose={arguments.transpose}: at most 48 semitones up or down")
    if arguments.sample_rate is not None and not 8000 <= arguments.sample_rate <= 48_000:
        parser.error(f"--sample-rate={arguments.sample_rate}: from 8000 to 48000")
    for out in filter(None, (arguments.out, arguments.midi)):  # before minutes of work
        _check_out(out)
    made, sample_rate = song(params.load(), arguments)
    sound_files.write_wav(arguments.out, made, sample_rate)
    if arguments.midi:
        _write_heard(arguments)
    print(f"{arguments.out}: {len(made) / sample_rate:.1f} s at {sample_rate} Hz.")


def _check_out(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PipelineError(f"--out={path}: {error.strerror}. Name another place.") from None
    if path.is_dir():
        raise PipelineError(f"--out={path}: it is a directory. Name a file.")


def _write_heard(arguments: argparse.Namespace) -> None:
    """The notes that the transcriber hears in the notes' song, as MIDI."""
    from pipeline.audio import transcription

    heard = transcription.transcribe(
        _read(arguments.notes, SAMPLE_RATE_HZ, "--notes"), SAMPLE_RATE_HZ
    )
    with files.atomic_open(arguments.midi) as file:
        file.write(render.midi(transcription.note_sequence(heard)))


if __name__ == "__main__":
    console.run(_command)
