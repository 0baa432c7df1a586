"""A part of the command generate: a person's music as what a model starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline import encoding, params, registry
from pipeline.codecs.base import Record
from pipeline.errors import PipelineError, Rejected
from pipeline.example import Example
from pipeline.pieces import codec_of


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

    codec, codec_options = codec_of(settings, name)
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


def passages(settings: params.Params, name: str, path: Path) -> tuple[Record, ...]:
    """All of a MIDI file as records of a model's corpus, in order.

    Raises:
      PipelineError: the codec has no such view, or cannot use the file.
    """
    from pipeline.readers import midi

    codec, options = codec_of(settings, name)
    if codec.passages is None or codec.medium != "note_sequence":
        raise PipelineError(f"--transfer={path}: models of {codec.name} transfer no pieces.")
    try:
        data = midi.read(path.read_bytes()).SerializeToString()
        return tuple(codec.passages(Example(path.name, data), options))
    except OSError as error:
        raise PipelineError(f"--transfer={path}: {error.strerror}. Give a MIDI file.") from None
    except Rejected as problem:
        raise PipelineError(f"--transfer={path}: {problem}. Give another MIDI file.") from None


def track(settings: params.Params, name: str, path: Path) -> Record:
    """A sound file as what a model that draws for tracks is told of it.

    Args:
      settings: params.yaml.
      name: of the model; its `reads` names the encoder.
      path: WAV, FLAC, MP3 or OGG; what the corpus's codec cuts off is not heard.

    Returns:
      The field vector, float32 [size], and the key.

    Raises:
      PipelineError: the model draws for no tracks, the encoder does not hear, or the file is none
        that can be used.
    """
    from pipeline.readers import audio

    condition = getattr(settings.recipe_params(name), "condition", None)
    if condition is None:
        raise PipelineError(f"--audio={path}: {name} is told nothing of a track. Leave it out.")
    corpus = encoding.encoded_corpus(settings, condition)
    codec, options = registry.codec(settings.corpus(corpus).codec), settings.codec_options(corpus)
    fields = registry.recipe(settings.model(condition).recipe).encoded_fields
    try:
        waveform, sample_rate = audio.read(path.read_bytes())
        example = Example(path.stem, audio=waveform, sample_rate=sample_rate)
        heard = codec.passages(example, options)[0] if codec.passages else {}
    except OSError as error:
        raise PipelineError(f"--audio={path}: {error.strerror}. Give a sound file.") from None
    except Rejected as problem:
        raise PipelineError(f"--audio={path}: {problem}. Give another sound file.") from None
    if unheard := [field for field in fields if field not in heard]:
        raise PipelineError(
            f"--audio={path}: {name} draws for {condition}, which is made of {', '.join(unheard)}, "
            "and these are not in a sound file. Use a model whose condition is heard."
        )
    encode = encoding.encoder(settings, condition)
    vector = encode({field: np.asarray(heard[field])[None] for field in fields})[0]
    return {"key": path.stem, "vector": vector}


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
