"""TFRecord files of tf.train.Example, written without importing TensorFlow.

A shard job would spend longer on that import than on its work. The bytes are those of TensorFlow's
own writer with the features in the order of their names (tested).

Source: tensorflow/core/lib/io/record_writer.h and tensorflow/core/example/feature.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import google_crc32c
import numpy as np

from pipeline.codecs.base import Feature
from pipeline.errors import PipelineError

FRAME_BYTES = 16  # of a record: its length, and a checksum of each


def serialize_example(record: Mapping[str, Any], features: Mapping[str, Feature]) -> bytes:
    """A record as a serialized tf.train.Example.

    Args:
      record: a value for each feature, of its shape and dtype.
      features: the fields, as the codec declares them.

    Raises:
      PipelineError: a field is missing, unknown, or of another shape or dtype than declared.
    """
    if record.keys() != features.keys():
        raise PipelineError(
            f"a record has the fields {sorted(record)}, its codec declares {sorted(features)}. "
            "Make the codec's encode and features agree."
        )
    entries = [_entry(name, record[name], features[name]) for name in sorted(features)]
    return _message(1, b"".join(entries))


def write_records(file: IO[bytes], records: Iterable[bytes]) -> tuple[int, int]:
    """Writes framed records.

    Returns:
      How many, and the sum of their bytes without the framing (what TFDS calls num_bytes).
    """
    count = num_bytes = 0
    for record in records:
        num_bytes += write_record(file, record)
        count += 1
    return count, num_bytes


def write_record(file: IO[bytes], record: bytes) -> int:
    """Writes one record in its frame; returns its bytes without that."""
    length = struct.pack("<Q", len(record))
    file.write(b"".join((length, _masked_crc(length), record, _masked_crc(record))))
    return len(record)


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file, each checked against its checksum.

    Raises:
      PipelineError: the file is cut off or damaged.
    """
    num_left = path.stat().st_size
    with open(path, "rb") as file:
        while header := file.read(12):
            # The length first: a damaged, or forged, one must not decide how much is read.
            length = int.from_bytes(header[:8], "little")
            num_left -= length + FRAME_BYTES
            is_whole = header[8:] == _masked_crc(header[:8]) and num_left >= 0
            record = file.read(length) if is_whole else b""
            if not is_whole or file.read(4) != _masked_crc(record):
                raise PipelineError(f"{path} is damaged. Delete it and run `dvc repro`.")
            yield record


def parse_example(data: bytes, features: Mapping[str, Feature]) -> dict[str, Any]:
    """The inverse of `serialize_example`: arrays of the declared shape and dtype; strings as str.

    A "jpeg" field stays the bytes of its file, and a string that is not UTF-8 stays bytes.
    Fields that `features` does not name are left out.

    Raises:
      PipelineError: these are no records of such features.
    """
    record = {}
    try:
        for entry in _fields(next(_fields(data))):
            key, value = _fields(entry)
            name = key.decode()
            if name in features:
                (values,) = _fields(value)
                record[name] = _value(b"".join(_fields(values)), features[name])
    except (ValueError, IndexError, StopIteration) as error:
        raise PipelineError(
            f"a record of {len(data)} bytes is no tf.train.Example of {sorted(features)} "
            f"({error}). Delete the shards and run `dvc repro`."
        ) from error
    return record


def _value(payload: bytes, feature: Feature) -> Any:
    if feature.encoding == "jpeg":
        return payload
    if feature.dtype == "string":
        try:
            return payload.decode()
        except UnicodeDecodeError:
            return payload
    shape = tuple(-1 if axis is None else axis for axis in feature.shape)
    dtype = np.dtype(feature.dtype)
    if feature.encoding == "bytes":
        flat = np.frombuffer(payload, dtype.newbyteorder("<"))
    elif dtype.kind == "f":
        flat = np.frombuffer(payload, "<f4")
    else:
        flat = _integers(payload)
    return flat.astype(dtype).reshape(shape)


def _integers(payload: bytes) -> np.ndarray:
    """The int64 values of packed varints: groups of seven bits, summed where each value begins."""
    octets = np.frombuffer(payload, np.uint8)
    if octets.size == 0:
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(octets < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(octets.size) - np.repeat(starts, ends - starts + 1)
    groups = (octets & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.add.reduceat(groups, starts).astype(np.int64)


def _fields(message: bytes) -> Iterator[bytes]:
    """The length-delimited fields of a message, which are all that an Example consists of."""
    position = 0
    while position < len(message):
        position += 1  # field numbers here are below 16: one byte
        length = shift = 0
        while True:
            byte = message[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield message[position : position + length]
        position += length


def _entry(name: str, value: Any, feature: Feature) -> bytes:
    """An entry of the map from names to features, with its head."""
    if feature.dtype == "string" or feature.encoding == "jpeg":
        data = value.encode() if isinstance(value, str) else bytes(value)
        return _message(1, _key(name) + _message(2, _message(1, _message(1, data))))
    array = np.asarray(value)
    _check(array, feature, name)
    if feature.encoding == "bytes":
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return _message(1, _key(name) + _message(2, _message(1, _message(1, data))))
    if array.dtype.kind == "f":
        return _message(1, _key(name) + _message(2, _message(2, _packed(array.astype("<f4")))))
    if array.ndim == 0:
        data = _varint(int(array) & 0xFFFF_FFFF_FFFF_FFFF)
        return _message(1, _key(name) + _message(2, _message(3, _message(1, data))))
    dtype = array.dtype if array.dtype == np.uint8 else np.int64
    flat = np.ascontiguousarray(array, dtype).reshape(-1)
    flat = flat if flat.flags.writeable else flat.copy()  # as compiled code is declared
    packed: np.ndarray = _compiled().entry(np.frombuffer(_key(name), np.uint8), flat)
    return packed.tobytes()


def _check(array: np.ndarray, feature: Feature, name: str) -> None:
    fits = array.ndim == len(feature.shape) and array.dtype == _dtype(feature.dtype)
    for want, got in zip(feature.shape, array.shape, strict=False):
        fits = fits and want in (None, got)
    if not fits:
        raise PipelineError(
            f"field {name!r} is {array.dtype}{list(array.shape)}, its codec declares "
            f"{feature.dtype}{list(feature.shape)}. Make the codec's encode and features agree."
        )


def _packed(array: np.ndarray) -> bytes:
    return _message(1, array.tobytes()) if array.size else b""


@cache
def _compiled() -> ModuleType:
    """Imported when first needed: a job whose arrays are all bytes starts without the compiler."""
    from pipeline.tfrecord import _varints

    return _varints


@cache
def _key(name: str) -> bytes:
    return _message(1, name.encode())


_dtype = cache(np.dtype)


def _message(field: int, payload: bytes) -> bytes:
    return _head(field, len(payload)) + payload


def _head(field: int, size: int) -> bytes:
    """What comes before so many bytes of a field."""
    if size < 0x80:
        return bytes((field << 3 | 2, size))
    if size < 0x4000:
        return bytes((field << 3 | 2, size & 0x7F | 0x80, size >> 7))
    return bytes((field << 3 | 2,)) + _varint(size)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
