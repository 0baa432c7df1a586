"""The formats that are fuzzed: small whole inputs, what has a meaning in them, and their reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from benchmarks.fuzzing import catalogues, checksums, containers, media, scores
from benchmarks.fuzzing.mutations import mutated, mutated_xml
from pipeline.errors import PipelineError, Rejected


@dataclass(frozen=True)
class Format:
    """One kind of input.

    Attributes:
      seeds: gives whole inputs, before `finish`.
      read: takes an input and a folder to work in; raises Rejected or PipelineError, or nothing.
      tokens: byte strings that mean something in it.
      finish: makes what is wrapped around, or computed from, the rest.
      mutate: damages one of the seeds; by default its bytes.
      num_reserved_bytes: of address space that its library takes and does not use.
    """

    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], object]
    tokens: tuple[bytes, ...]
    finish: Callable[[bytes], bytes] = bytes
    mutate: Callable[[Sequence[bytes], Sequence[bytes], Random], bytes] = mutated
    num_reserved_bytes: int = 0

    def input(self, name: str, seed: int, index: int) -> bytes:
        """The input of that number; the seed and it alone decide what it is."""
        random = Random(f"{name} {seed} {index}")
        whole, finished = _seeds(self)
        if random.random() < 0.7:
            return self.finish(self.mutate(whole, self.tokens, random))
        return mutated(finished, self.tokens, random)


@lru_cache(maxsize=64)
def _seeds(format_: Format) -> tuple[list[bytes], list[bytes]]:
    """The seeds, and what `finish` makes of them."""
    whole = format_.seeds()
    return whole, [format_.finish(seed) for seed in whole]


_JSON_TOKENS = (b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"true", b"\\u0000", b"\\ud800")
_ALLOWED = (Rejected, PipelineError)

FORMATS = {
    "midi": Format(
        scores.midi_seeds,
        scores.read_midi,
        (
            *(b"MTrk", b"MThd", b"\xff\x2f\x00", b"\xff\x51\x03", b"\xff\x58\x04", b"\xff\x59\x02"),
            *(b"\xff\x03\x05", b"\xf0\x05", b"\xf7", b"\x90\x3c\x40", b"\x80\x3c", b"\xb0\x07"),
            *(b"\xc0\x05", b"\xe0\x40\x40", b"\xff\xff\xff\x7f", b"\x81\x00", b"\xff\x54\x05"),
        ),
        checksums.midi_lengths,
    ),
    "MusicXML": Format(
        scores.xml_seeds,
        scores.read_xml,
        (
            *(b"<note>", b"</note>", b"<rest/>", b"<chord/>", b"<duration>", b"</duration>"),
            *(b"<backup><duration>9</duration></backup>", b"<divisions>0</divisions>", b"<grace/>"),
            *(b"<measure-repeat type='start'>99</measure-repeat>", b"&a;", b"<!DOCTYPE a [", b"]>"),
            *(b'<!ENTITY a "aaaa">', b'<!ENTITY b SYSTEM "file:///etc/passwd">', b"\xff\xfe"),
            *(b"<time><beats>99</beats><beat-type>1</beat-type></time>", b"<staves>99</staves>"),
            *(b"<measure>", b"</measure>", b"<repeat direction='forward' times='99'/>", b"<a>"),
            *(b"<type>1024th</type>", b"<dot/>", b"<multiple-rest>999</multiple-rest>"),
        ),
        mutate=mutated_xml,
    ),
    "mxl": Format(
        scores.xml_seeds,
        scores.read_mxl,
        (b"PK\x01\x02", b"PK\x05\x06"),
        checksums.mxl,
        mutated_xml,
    ),
    "abc": Format(
        scores.abc_seeds,
        scores.read_abc,
        (
            *(b"|", b":|", b"|:", b"::", b"[1", b"[2", b"||", b"(3", b"(9:9:9", b"{", b"}", b"-"),
            *(b"[K:", b"[V:2]", b"\nK:", b"\nM:", b"\nL:1/", b"\nQ:", b"\nT:", b"\nX:", b"\n\n"),
            *(b'"', b"!", b"+", b"%", b"\\", b"/", b">", b"<", b"^", b"_", b"=", b",", b"'", b" "),
            *(b"z999", b"Z9", b"[CEG]", b"&", b"C0", b"C/0", b"\t", b"P:ABAB\n", b"[M:9/8]", b"x"),
        ),
    ),
    "kern": Format(
        scores.kern_seeds,
        scores.read_kern,
        (
            *(b"**kern", b"*-", b"*^", b"*v", b"*+", b"*x", b"\t", b"\n", b".", b"=", b"=:|!|:"),
            *(b"!!", b"!!!OTL: x", b"*M", b"*MM", b"*k[", b"[", b"]", b"_", b"r", b"0", b"000c"),
            *(
                b"*>[A,A]",
                b"*>A",
                b"q",
                b"qq",
                b"%",
                b"3%2c",
                b"*clefG2",
                b"cccccccccc",
                b"{",
                b"(",
            ),
        ),
    ),
    "wav": Format(
        media.sound_seeds("WAV", ("PCM_16", "FLOAT", "PCM_U8", "IMA_ADPCM", "ULAW")),
        media.read_sound,
        (
            b"RIFF",
            b"RIFX",
            b"RF64",
            b"fmt ",
            b"data",
            b"fact",
            b"LIST",
            b"ds64",
            b"\xff\xff\xc0\x7f",
        ),
    ),
    "mp3": Format(
        media.sound_seeds("MP3", (None,)),
        media.read_sound,
        (
            b"\xff\xfb\x90\x64",
            b"\xff\xf3\x40\xc0",
            b"ID3\x04\0\0\0\0\x7f\x7f",
            b"Xing",
            b"Info",
            b"TAG",
        ),
    ),
    "flac": Format(
        media.sound_seeds("FLAC", ("PCM_16", "PCM_24")),
        media.read_sound,
        (b"fLaC", b"\x00\x00\x00\x22", b"\x84\0\0\0", b"\xff\xf8", b"\xff\xff\xff\xff\xff"),
    ),
    "ogg": Format(
        media.sound_seeds("OGG", ("VORBIS", "OPUS")),
        media.read_sound,
        (b"OggS", b"\x01vorbis", b"\x03vorbis", b"\x05vorbis", b"OpusHead", b"OpusTags", b"BCV"),
        checksums.ogg_checksums,
    ),
    "jpeg": Format(
        media.picture_seeds("JPEG"),
        media.read_picture,
        (
            b"\xff\xd8",
            b"\xff\xd9",
            b"\xff\xc0\0\x11",
            b"\xff\xc2",
            b"\xff\xda",
            b"\xff\xdb",
            b"Exif",
        ),
    ),
    "png": Format(
        media.picture_seeds("PNG"),
        media.read_picture,
        (b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"acTL", b"iCCP", b"zTXt", b"\0\0\x7f\xff"),
        checksums.png_checksums,
    ),
    "other pictures": Format(
        media.picture_seeds("WEBP", "BMP", "TIFF", "GIF"),
        media.read_picture,
        (
            b"RIFF",
            b"WEBP",
            b"VP8X",
            b"VP8L",
            b"ANIM",
            b"BM",
            b"II*\0",
            b"MM\0*",
            b"GIF89a",
            b"\x2c",
        ),
    ),
    **{
        name: Format(made.seeds, made.read, (*_JSON_TOKENS, *made.tokens))
        for name, made in catalogues.CATALOGUES.items()
    },
    "zip": Format(
        containers.zip_seeds,
        containers.read_archive,
        (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"../", b"/"),
    ),
    "tar": Format(
        containers.tar_seeds,
        containers.read_archive,
        (b"ustar\x0000", b"ustar  \0", b"../", b"/", b"0000777", b"77777777777", b"x", b"L", b"2"),
        checksums.tar_checksums,
    ),
    "tar.gz": Format(
        containers.tar_seeds,
        containers.read_archive,
        (
            b"ustar\x0000",
            b"\x1f\x8b\x08",
            b"../",
            b"/",
            b"0000777",
            b"77777777777",
            b"x",
            b"L",
            b"2",
        ),
        checksums.tar_gz,
        num_reserved_bytes=3 << 30,  # rapidgzip's threads
    ),
    "tfrecord": Format(
        containers.tfrecord_seeds,
        containers.read_tfrecord,
        (b"\x0a\x05", b"\x12\x07", b"\x1a\x03", b"labels", b"\xff\xff\xff\xff\x0f", b"\x80\x01"),
        checksums.tfrecord_checksums,
    ),
    "midi beside note_seq": Format(
        scores.midi_seeds,
        scores.compare_with_note_seq,
        (b"MTrk", b"\xff\x2f\x00", b"\xff\x51\x03", b"\xff\x58\x04", b"\xc0\x05", b"\x90\x3c\x40"),
        checksums.midi_lengths,
    ),
}


def rejection(error: BaseException) -> str | None:
    """The reason, if it is one of the ways in which bad input may be refused, else None."""
    if not isinstance(error, _ALLOWED) or is_of_memory(error):
        return None
    return error.reason if isinstance(error, Rejected) else "PipelineError"


def is_of_memory(error: BaseException | None) -> bool:
    """Whether it was made of a MemoryError, whatever it is called now."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False
