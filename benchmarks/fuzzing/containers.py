"""Archives and shards to damage, and their readers."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from benchmarks.fuzzing import catalogues

_MEMBERS = {"top/a.txt": b"one " * 50, "top/b.json": b'{"a": [1, 2]}', "top/c.bin": bytes(700)}


def zip_seeds() -> list[bytes]:
    def zipped(members: dict[str, bytes], method: int) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name), data, method)
        return file.getvalue()

    stored = zipped(_MEMBERS, zipfile.ZIP_STORED)
    deflated = zipped(_MEMBERS, zipfile.ZIP_DEFLATED)
    nested = zipped({"x.txt": b"1", "part1.zip": stored, "part2.zip": deflated}, 0)
    return [stored, deflated, nested, zipped({"part1.zip": deflated}, zipfile.ZIP_DEFLATED)]


def tar_seeds() -> list[bytes]:
    found = []
    for tar_format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tar_format) as archive:
            for name, data in {**_MEMBERS, "é" * 60 + "/" + "n" * 90: b"long"}.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        found.append(file.getvalue().rstrip(b"\0") + bytes(1024))
    return [_padded(data) for data in found]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def read_archive(data: bytes, folder: Path) -> None:
    from pipeline import archives

    with catalogues.written(folder, {"archive": data}) as raw:
        names = [f"archive!{name}" for name in archives.members(raw / "archive")]
        for _, content in archives.read(raw, names):
            assert isinstance(content, bytes)


def tfrecord_seeds() -> list[bytes]:
    from pipeline import tfrecord
    from tests.test_tfrecord import FEATURES, RECORD

    file = io.BytesIO()
    tfrecord.write_records(file, [tfrecord.serialize_example(RECORD, FEATURES)] * 3)
    return [file.getvalue()]


def read_tfrecord(data: bytes, folder: Path) -> None:
    from pipeline import tfrecord
    from tests.test_tfrecord import FEATURES

    with catalogues.written(folder, {"shard": data}) as raw:
        for record in tfrecord.read_records(raw / "shard"):
            tfrecord.parse_example(record, FEATURES)
