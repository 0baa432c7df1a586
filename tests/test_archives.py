"""Members of zips and tars, read in place."""

import io
import tarfile
import zipfile

import pytest

from pipeline import archives
from pipeline.errors import PipelineError


@pytest.fixture
def raw(tmp_path):
    contents = {"a/1.mid": b"one", "a/2.mid": b"two" * 1000, "b/3.mid": b""}
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in contents.items():
            zipped.writestr(name, data)
    for file, mode in (("x.tar.gz", "w:gz"), ("x.tar", "w")):
        with tarfile.open(tmp_path / file, mode) as tar:
            _add_directory(tar, "a")
            for name, data in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return tmp_path


def _add_directory(tar, name):
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    tar.addfile(info)


@pytest.mark.parametrize("file", ["x.zip", "x.tar.gz", "x.tar"])
def test_members_and_their_bytes(raw, file):
    assert list(archives.members(raw / file)) == ["a/1.mid", "a/2.mid", "b/3.mid"]
    found = dict(archives.read(raw, [f"{file}!b/3.mid", f"{file}!a/2.mid"]))
    assert found == {f"{file}!a/2.mid": b"two" * 1000, f"{file}!b/3.mid": b""}


def test_several_archives_at_once(raw):
    wanted = {"x.zip!a/1.mid", "x.tar!a/1.mid"}
    assert set(dict(archives.read(raw, wanted))) == wanted
    assert archives.read_text(raw, "x.zip!a/1.mid") == "one"


@pytest.mark.parametrize("file", ["x.zip", "x.tar.gz"])
def test_a_missing_member_is_left_out(raw, file):
    found = dict(archives.read(raw, [f"{file}!a/9.mid", f"{file}!a/1.mid"]))
    assert found == {f"{file}!a/1.mid": b"one"}
    with pytest.raises(PipelineError, match="has no member"):
        archives.read_text(raw, f"{file}!a/9.mid")


def test_an_absurd_size_is_refused(raw, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 100)
    for file in ("x.zip", "x.tar"):
        with pytest.raises(PipelineError, match="claims 3000 bytes"):
            list(archives.read(raw, [f"{file}!a/2.mid"]))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_names_that_leave_the_archive_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr(name, b"")
    with pytest.raises(PipelineError, match="outside the archive"):
        list(archives.members(tmp_path / "x.zip"))


def test_links_and_devices_are_not_members(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, kind in (("link", tarfile.SYMTYPE), ("null", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert list(archives.members(tmp_path / "x.tar")) == []
    assert list(archives.read(tmp_path, ["x.tar!link"])) == []


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(PipelineError, match="neither a zip nor a tar"):
        list(archives.members(tmp_path / "x.tar.gz"))


@pytest.mark.parametrize("file", ["x.zip", "x.tar.gz"])
def test_a_damaged_archive_is_said_to_be_one(raw, file):
    whole = (raw / file).read_bytes()
    (raw / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PipelineError, match="damaged"):
        list(archives.members(raw / file))
        list(archives.read(raw, [f"{file}!b/3.mid"]))
