"""Members of zips and tars, read in place; hostile and damaged ones refused."""

import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from pipeline import archive_guard, archive_index, archives, paths
from pipeline.errors import PipelineError

CONTENTS = {"a/1.mid": b"one", "a/2.mid": b"two" * 1000, "b/3.mid": b""}


@pytest.fixture
def raw(tmp_path):
    for method, file in ((zipfile.ZIP_DEFLATED, "x.zip"), (zipfile.ZIP_STORED, "stored.zip")):
        (tmp_path / file).write_bytes(_zip(CONTENTS, method))
    for file, mode in (("x.tar.gz", "w:gz"), ("x.tar", "w")):
        with tarfile.open(tmp_path / file, mode) as tar:
            _add(tar, "a", kind=tarfile.DIRTYPE)
            for name, data in CONTENTS.items():
                _add(tar, name, data)
    return tmp_path


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WORK", tmp_path / ".work")
    return tmp_path / ".work"


def _zip(contents, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        for name, data in contents.items():
            zipped.writestr(name, data)
    return buffer.getvalue()


def _add(tar, name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("file", ["x.zip", "stored.zip", "x.tar.gz", "x.tar"])
def test_members_and_their_bytes(raw, file):
    assert list(archives.members(raw / file)) == ["a/1.mid", "a/2.mid", "b/3.mid"]
    found = dict(archives.read(raw, [f"{file}!b/3.mid", f"{file}!a/2.mid"]))
    assert found == {f"{file}!a/2.mid": b"two" * 1000, f"{file}!b/3.mid": b""}


def test_several_archives_at_once(raw):
    wanted = {"x.zip!a/1.mid", "x.tar!a/1.mid"}
    assert set(dict(archives.read(raw, wanted))) == wanted
    assert archives.read_one(raw, "x.zip!a/1.mid") == b"one"


@pytest.mark.parametrize("file", ["x.zip", "x.tar.gz"])
def test_a_missing_member_is_left_out(raw, file):
    found = dict(archives.read(raw, [f"{file}!a/9.mid", f"{file}!a/1.mid"]))
    assert found == {f"{file}!a/1.mid": b"one"}
    with pytest.raises(PipelineError, match="has no member"):
        archives.read_one(raw, f"{file}!a/9.mid")


def test_a_current_directory_in_front_is_no_part_of_a_name(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        _add(tar, "./a.mid", b"1")
    assert dict(archives.read(tmp_path, ["x.tar!a.mid"])) == {"x.tar!a.mid": b"1"}


def test_a_name_that_is_no_utf8_is_one_all_the_same(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", encoding="latin-1") as tar:
        _add(tar, "Édith.mid", b"1")
    assert dict(archives.read(tmp_path, ["x.tar!Édith.mid"])) == {"x.tar!Édith.mid": b"1"}


@pytest.mark.parametrize("outer", ["zip", "tar.gz"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_within_archives_are_read_in_place(tmp_path, work, outer, method):
    deepest = _zip({"c/3.mid": b"three" * 100})
    inner = _zip({"b/2.mid": b"two" * 100, "deep.zip": deepest}, method)
    contents = {"a/1.mid": b"one", "part1.zip": inner}
    if outer == "zip":
        (tmp_path / "x.zip").write_bytes(_zip(contents, method))
    else:
        with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
            for name, data in contents.items():
                _add(tar, name, data)
    names = ["a/1.mid", "part1.zip!b/2.mid", "part1.zip!deep.zip!c/3.mid"]
    assert list(archives.members(tmp_path / f"x.{outer}")) == names
    found = archives.read(tmp_path, [f"x.{outer}!{name}" for name in names])
    assert sorted(data for _, data in found) == sorted([b"one", b"two" * 100, b"three" * 100])
    is_unpacked = method == zipfile.ZIP_DEFLATED
    assert bool(list(work.rglob("inner*")) or list(work.glob("archives/*-inner"))) == is_unpacked


def test_a_zip64_and_one_behind_other_bytes_are_read(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped, zipped.open("a.mid", "w", force_zip64=True) as f:
        f.write(b"one")
    (tmp_path / "x.zip").write_bytes(b"#!self-extracting\n" + buffer.getvalue())
    assert archives.read_one(tmp_path, "x.zip!a.mid") == b"one"


@pytest.mark.parametrize("num_bytes", [10, 700, 5000])
def test_a_zip_cut_into_parts_is_read_without_joining_them(tmp_path, num_bytes):
    """Members lie across the cuts, headers and the directory too."""
    random = np.random.default_rng(0)
    contents = {f"{i:x}/{i}.mp3": random.bytes(500 * i) for i in range(4)}
    whole = _zip(contents, zipfile.ZIP_STORED)
    for number, at in enumerate(range(0, len(whole), num_bytes), 1):
        (tmp_path / f"x.zip.{number:03d}").write_bytes(whole[at : at + num_bytes])
    (tmp_path / "x.zip.999").write_bytes(b"of another, since a number between them is missing")
    assert list(archives.members(tmp_path / "x.zip.001")) == list(contents)
    found = dict(archives.read(tmp_path, [f"x.zip.001!{name}" for name in contents]))
    assert found == {f"x.zip.001!{name}": data for name, data in contents.items()}


def test_a_part_that_is_missing_is_noticed(tmp_path):
    whole = _zip(CONTENTS)
    for number, at in enumerate(range(0, len(whole), 100), 1):
        (tmp_path / f"x.zip.{number:03d}").write_bytes(whole[at : at + 100])
    assert list(archives.members(tmp_path / "x.zip.001")) == list(CONTENTS)
    (tmp_path / "x.zip.002").unlink()
    with pytest.raises(PipelineError, match="damaged, or neither a zip nor a tar"):
        list(archives.members(tmp_path / "x.zip.001"))


def test_bzip2_is_read_and_its_damage_noticed(tmp_path):
    """FMA's archives are compressed by it."""
    contents = {"a.csv": b"1,2,3\n" * 100_000, "b.mp3": np.random.default_rng(0).bytes(3_000_000)}
    whole = _zip(contents, zipfile.ZIP_BZIP2)
    (tmp_path / "x.zip").write_bytes(whole)
    found = dict(archives.read(tmp_path, ["x.zip!a.csv", "x.zip!b.mp3"]))
    assert found == {f"x.zip!{name}": data for name, data in contents.items()}
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(damaged)
    assert set(dict(archives.read(tmp_path, ["x.zip!a.csv", "x.zip!b.mp3"]))) == {"x.zip!a.csv"}


def test_bzip2_that_unpacks_to_more_than_it_claims_is_stopped(tmp_path):
    whole = bytearray(_zip({"a.mid": bytes(50_000_000)}, zipfile.ZIP_BZIP2))
    entry = whole.index(b"PK\x01\x02")
    struct.pack_into("<I", whole, entry + 24, 1000)  # the uncompressed size
    (tmp_path / "x.zip").write_bytes(whole)
    assert list(archives.members(tmp_path / "x.zip")) == ["a.mid"]
    assert dict(archives.read(tmp_path, ["x.zip!a.mid"])) == {}


def test_a_large_gz_is_indexed_once_and_read_from_its_points(tmp_path, work, monkeypatch):
    monkeypatch.setattr(archive_index, "_KEPT_FROM_BYTES", 0)
    random = np.random.default_rng(0)
    contents = {f"{i:04d}.bin": random.bytes(20_000) for i in range(1000)}
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz", compresslevel=1) as tar:
        for name, data in contents.items():
            _add(tar, name, data)
    assert list(archives.members(tmp_path / "x.tar.gz")) == list(contents)
    (kept,) = (work / "archives").glob("x.tar.gz-*-index")
    assert (kept / "points.gzidx").stat().st_size > 2 * 32768
    archive_index._index.cache_clear()
    monkeypatch.setattr(archive_index, "_read_gzip", None)  # it is not read again
    wanted = [f"x.tar.gz!{i:04d}.bin" for i in (999, 3, 500)]
    found = dict(archives.read(tmp_path, wanted))
    assert {name: contents[name[9:]] for name in wanted} == found


@pytest.mark.parametrize("file", ["x.zip", "x.tar", "x.tar.gz"])
def test_an_absurd_size_is_refused(raw, file, monkeypatch):
    monkeypatch.setattr(archive_guard, "MAX_MEMBER_BYTES", 100)
    with pytest.raises(PipelineError, match=r"'a/2.mid' claims 3000 bytes"):
        list(archives.members(raw / file))


@pytest.mark.parametrize("file", ["x.zip", "x.tar.gz"])
def test_too_many_members_are_refused(raw, file, monkeypatch):
    monkeypatch.setattr(archive_guard, "MAX_MEMBERS", 2)
    with pytest.raises(PipelineError, match=r"'b/3.mid' is one more than 2 files"):
        list(archives.members(raw / file))


def test_too_many_directories_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_guard, "MAX_MEMBERS", 2)
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for index in range(6):
            _add(tar, f"d{index}", kind=tarfile.DIRTYPE)
    with pytest.raises(PipelineError, match="more than 5 members"):
        list(archives.members(tmp_path / "x.tar"))


def test_a_zip_that_lists_too_many_is_refused_before_it_is_read(raw, monkeypatch):
    monkeypatch.setattr(archive_guard, "MAX_MEMBERS", 1)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(PipelineError, match="lists more than 2 members"):
        list(archives.members(raw / "x.zip"))


@pytest.mark.parametrize("size", [-512, 1 << 33])
@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_header_that_asks_for_all_memory_is_refused(tmp_path, size, kind):
    info = tarfile.TarInfo("evil")
    info.type, info.size = kind, size
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(PipelineError, match=f"a header of {size} bytes"):
        list(archives.members(tmp_path / "x.tar"))


@pytest.mark.parametrize("file", ["x.zip", "x.tar.gz"])
def test_a_bomb_is_refused(tmp_path, file, monkeypatch):
    monkeypatch.setattr(archive_guard, "MIN_BOMB_BYTES", 1 << 20)
    zeros = bytes(1 << 22)
    if file == "x.zip":
        (tmp_path / file).write_bytes(_zip({"a": b"1", "zeros": zeros}))
    else:
        with tarfile.open(tmp_path / file, "w:gz") as tar:
            _add(tar, "a", b"1")
            _add(tar, "zeros", zeros)
    with pytest.raises(PipelineError, match=r"'zeros' brings it to 419430.* as in a bomb"):
        list(archives.members(tmp_path / file))


def test_a_bomb_of_overlapping_members_is_refused(tmp_path):
    """Two names of the central directory point at one member, as in the zip bombs of Fifield."""
    whole = bytearray(_zip({"a.mid": b"1" * 1000, "b.mid": b"2" * 1000}))
    entries = [i for i in range(len(whole)) if whole[i : i + 4] == b"PK\x01\x02"]
    whole[entries[1] + 42 : entries[1] + 46] = struct.pack("<I", 4)
    (tmp_path / "x.zip").write_bytes(whole)
    with pytest.raises(PipelineError, match=r"'a.mid' and 'b.mid' overlap"):
        list(archives.members(tmp_path / "x.zip"))


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "..", "a\\..\\..\\evil", "C:\\evil"]
)
@pytest.mark.parametrize("kind", ["zip", "tar", "inner"])
def test_names_that_leave_the_archive_are_refused(tmp_path, work, name, kind):
    if kind == "tar":
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            _add(tar, name)
    else:
        contents = {name: b""} if kind == "zip" else {"in.zip": _zip({name: b""})}
        (tmp_path / "x.tar").write_bytes(_zip(contents))
    with pytest.raises(PipelineError, match="outside the archive") as problem:
        list(archives.members(tmp_path / "x.tar"))
    assert "evil" in str(problem.value) or name == ".."


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        _add(tar, "fine")
        _add(tar, "evil", kind=kind, link="/etc/passwd")
    with pytest.raises(PipelineError, match="'evil' is a link, a device"):
        list(archives.members(tmp_path / "x.tar"))


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        info = zipfile.ZipInfo("evil")
        info.external_attr = 0o120777 << 16
        zipped.writestr(info, "/etc/passwd")
    with pytest.raises(PipelineError, match="'evil' is a link"):
        list(archives.members(tmp_path / "x.zip"))


def test_an_encrypted_member_is_refused(raw):
    whole = bytearray((raw / "x.zip").read_bytes())
    entry = whole.index(b"PK\x01\x02")
    whole[entry + 8] |= 1
    (raw / "x.zip").write_bytes(whole)
    with pytest.raises(PipelineError, match=r"'a/1.mid' is encrypted"):
        list(archives.members(raw / "x.zip"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_given_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr("a.mid", "1")
        zipped.writestr("a.mid", "2")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        _add(tar, "a.mid", b"1")
        _add(tar, "./a.mid", b"2")
    for file in ("x.zip", "x.tar"):
        with pytest.raises(PipelineError, match=r"'a.mid' is there twice"):
            list(archives.members(tmp_path / file))


def test_another_compression_is_refused_with_its_number(tmp_path):
    (tmp_path / "x.zip").write_bytes(_zip({"a.mid": b"1"}, zipfile.ZIP_LZMA))
    with pytest.raises(PipelineError, match=r"'a.mid' is compressed by method 14"):
        list(archives.members(tmp_path / "x.zip"))


@pytest.mark.parametrize("content", [b"<html>quota exceeded</html>", b"", b"\x1f\x8b", b"PK\3\4"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "x.tar.gz").write_bytes(content)
    with pytest.raises(PipelineError, match="neither a zip nor a tar"):
        list(archives.members(tmp_path / "x.tar.gz"))


@pytest.mark.parametrize("file", ["x.zip", "x.tar", "x.tar.gz"])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_cut_archive_is_said_to_be_one(raw, file, share):
    whole = (raw / file).read_bytes()
    end = len(whole.rstrip(b"\0")) + 512 if file == "x.tar" else len(whole)
    (raw / file).write_bytes(whole[: int(end * share)])
    with pytest.raises(PipelineError, match="damaged"):
        list(archives.members(raw / file))


def test_a_gz_whose_checksum_is_wrong_is_said_to_be_damaged(raw):
    whole = bytearray((raw / "x.tar.gz").read_bytes())
    whole[-6] ^= 0xFF
    (raw / "x.tar.gz").write_bytes(whole)
    with pytest.raises(PipelineError, match="damaged"):
        list(archives.members(raw / "x.tar.gz"))


@pytest.mark.parametrize("file", ["x.zip", "stored.zip"])
def test_a_damaged_member_is_left_out_and_no_other(raw, file):
    whole = bytearray((raw / file).read_bytes())
    whole[whole.index(b"a/2.mid") + 10] ^= 0xFF
    (raw / file).write_bytes(whole)
    found = dict(archives.read(raw, [f"{file}!{name}" for name in CONTENTS]))
    assert found == {f"{file}!a/1.mid": b"one", f"{file}!b/3.mid": b""}


def test_a_member_gives_no_more_than_it_claims(raw):
    """The central directory says 10 bytes; 3000 would come out."""
    whole = bytearray((raw / "x.zip").read_bytes())
    entry = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 1)
    whole[entry + 24 : entry + 28] = struct.pack("<I", 10)
    (raw / "x.zip").write_bytes(whole)
    assert dict(archives.read(raw, ["x.zip!a/2.mid"])) == {}
