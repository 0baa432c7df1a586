"""A part of the command generate: records as pieces of music, in files that people can open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import console, files, params, registry, render, sound_files
from pipeline.codecs.base import Record
from pipeline.example import Example

Piece = dict[str, Example]  # "": what was made; "source": what it was made from, where there is one


def made_of(settings: params.Params, name: str, records: list[Record]) -> list[Piece]:
    """Each record of a model as music, with the one it was made from, where there is one."""
    codec, options = codec_of(settings, name)
    made: list[Piece] = []
    for record in records:
        prefix = "source_"
        source = {k.removeprefix(prefix): v for k, v in record.items() if k.startswith(prefix)}
        found = {"": record, **({"source": source} if source else {})}
        made.append({which: codec.decode(r, options) for which, r in found.items()})
    return made


def joined(made: list[Piece]) -> Piece:
    """Passages one after the other, as one piece."""
    from note_seq import sequences_lib

    whole: Piece = {}
    for which in made[0]:
        parts: list[Any] = [piece[which].note_sequence for piece in made]
        lengths = [part.total_time for part in parts]
        sequence = sequences_lib.concatenate_sequences(parts, lengths)
        whole[which] = Example(made[0][which].key, sequence.SerializeToString())
    return whole


def write(name: str, made: list[Piece], out: Path, num_rendered: int) -> list[dict[str, str]]:
    """Writes each piece as MIDI, and the first ones as WAV and picture too; sounds all as WAV.

    Args:
      name: of the model; the files are called <name>-<number>, and those of sources so with
        "-source".
      made: pieces.
      out: the directory.
      num_rendered: how many get a WAV and a picture; of pictures only these are written, as the
        grid of all stands in records.npz.

    Returns:
      Of each rendered one its stem and genre (of a sound, what is mixed in it), source_stem and
      source_genre; "" where there is none; and its medium, notes, sound or picture.
    """
    titles = []
    for index, piece in enumerate(console.progress(made, "writing", len(made))):
        title = dict.fromkeys(("stem", "genre", "source_stem", "source_genre"), "")
        title["medium"] = _medium(piece[""])
        for which, example in piece.items():
            stem = f"{name}-{index:03d}{'-source' if which else ''}"
            genre = example.attributes.get("genre") or example.attributes.get("caption", "")
            title |= {f"{which}_stem".lstrip("_"): stem, f"{which}_genre".lstrip("_"): genre}
            of = f"source of sample {index}" if which else f"sample {index}"
            label = f"{name}, {of}{': ' if genre else ''}{genre}"
            write_files = _WRITE[_medium(example)]
            write_files(out / stem, example, label if index < num_rendered else None)
        titles.append(title)
    return titles[:num_rendered]


def _write_sound(path: Path, example: Example, label: str | None) -> None:
    """WAV, and with a label a picture."""
    assert example.audio is not None
    assert example.sample_rate
    wav = path.with_name(f"{path.name}.wav")
    sound_files.write_wav(wav, example.audio, example.sample_rate)
    if label is not None:
        picture = path.with_name(f"{path.name}.png")
        render.write_rainbowgram(picture, example.audio, example.sample_rate, label)


def _write_notes(path: Path, example: Example, label: str | None) -> None:
    """MIDI, and with a label WAV and picture."""
    note_sequence: Any = example.note_sequence
    midi_file = render.midi(note_sequence)
    with files.atomic_open(path.with_name(f"{path.name}.mid")) as file:
        file.write(midi_file)
    if label is not None:
        wav = path.with_name(f"{path.name}.wav")
        sound_files.write_wav(wav, render.waveform(note_sequence), render.SAMPLE_RATE_HZ)
        render.write_piano_roll(path.with_name(f"{path.name}.png"), note_sequence, label)


def _write_picture(path: Path, example: Example, label: str | None) -> None:
    """With a label PNG."""
    from PIL import Image

    assert example.picture is not None
    if label is not None:
        with files.atomic_open(path.with_name(f"{path.name}.png")) as file:
            Image.fromarray(example.picture).save(file, "PNG")


def _medium(example: Example) -> str:
    if example.picture is not None:
        return "picture"
    return "notes" if example.audio is None else "sound"


_WRITE = {"notes": _write_notes, "sound": _write_sound, "picture": _write_picture}


def codec_of(settings: params.Params, name: str) -> tuple[Any, Any]:
    """The codec of a model's corpus, and its options."""
    corpus = settings.model(name).corpus
    return registry.codec(settings.corpus(corpus).codec), settings.codec_options(corpus)
