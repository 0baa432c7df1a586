"""The stage fetch: each kind of source, what it leaves in .work, and who may run it when."""

import errno
import functools
import hashlib
import http.server
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import disk, fetch, files, locks, paths
from pipeline.datasets.base import Source
from pipeline.errors import PipelineError
from pipeline.network import transfer
from pipeline.network.partial import Part

ROOT = Path(__file__).parent.parent
CONTENTS = {"a.zip": random.Random(1).randbytes(300_000), "b.json": b'{"b": 1}'}


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """The stage for a dataset `x` of two files, in a repository of its own."""
    for name, place in (("ROOT", ""), ("WORK", ".work"), ("RAW", "data/raw")):
        monkeypatch.setattr(paths, name, tmp_path / "root" / place)
    monkeypatch.setattr(transfer, "sleep", lambda delay: None)
    published = [Source(file, (f"http://no-such-host.invalid/{file}",)) for file in CONTENTS]
    dataset = SimpleNamespace(
        name="x", version="1", licence="CC0-1.0", sources=lambda _: published, own_files=()
    )
    monkeypatch.setattr(fetch.registry, "dataset", lambda name: dataset)

    def run(source):
        settings = SimpleNamespace(
            dataset_options=lambda name: None, source=lambda name: str(source), seed=1
        )
        monkeypatch.setattr(fetch.params, "load", lambda: settings)
        fetch.main("x")
        return files.read_json(paths.raw("x") / "manifest.json")

    run.published, run.dataset = published, dataset
    return run


@pytest.fixture
def folder(tmp_path):
    """A directory with the published files."""
    (tmp_path / "folder").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / "folder" / name).write_bytes(content)
    return tmp_path / "folder"


@pytest.fixture
def site(folder):
    """A server of that directory; it knows no ranges."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            self.server.log.append(self.path)
            super().do_GET()

        def copyfile(self, source, target):
            while block := source.read(1 << 16):
                target.write(block)
                time.sleep(self.server.seconds_per_block)

        def log_message(self, *arguments):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        found.log, found.seconds_per_block, found.daemon_threads = [], 0.0, True
        found.handle_error = lambda *arguments: None
        found.url = f"http://127.0.0.1:{found.server_port}"
        threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield found
        found.shutdown()


def raw_files():
    found = {p.name: p.read_bytes() for p in paths.raw("x").iterdir()}
    del found["manifest.json"]
    return found


def test_the_official_files_are_announced_and_linked(stage, site, capsys):
    urls = [f"{site.url}/{source.file}" for source in stage.published]
    stage.published[:] = [
        Source(s.file, (url,)) for s, url in zip(stage.published, urls, strict=True)
    ]
    manifest = stage("official")
    assert raw_files() == CONTENTS
    assert manifest == {
        "dataset": "x",
        "version": "1",
        "source": "official",
        "notice": "",
        "licence": "CC0-1.0",
        "files": {
            name: {"num_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in CONTENTS.items()
        },
    }
    assert capsys.readouterr().err.startswith(
        "datasets.x: 2 files to fetch, 300 kB:\n  a.zip: 300 kB\n  b.json: 8 B\n"
    )
    for name in CONTENTS:
        assert os.path.samefile(paths.raw("x") / name, paths.work("fetch", "x") / name)
    # DVC empties the out before it runs the stage again.
    shutil.rmtree(paths.raw("x"))
    site.log.clear()
    assert stage("official") == manifest
    assert raw_files() == CONTENTS
    assert site.log == []


def test_nothing_is_linked_before_all_is_there(stage, site, folder):
    (folder / "b.json").unlink()
    with pytest.raises(PipelineError, match=r"b\.json could not be downloaded .*HTTP 404"):
        stage(site.url)
    assert not paths.raw("x").exists()
    (folder / "b.json").write_bytes(CONTENTS["b.json"])
    stage(site.url)
    assert raw_files() == CONTENTS


@pytest.mark.parametrize("end", ["", "/", "/?token=secret"])
def test_a_url_of_the_folder_or_of_the_file(stage, site, end):
    if "?" in end:
        stage.published[1:] = []
        end = "/a.zip?token=secret"
    manifest = stage(site.url + end)
    assert raw_files() == {s.file: CONTENTS[s.file] for s in stage.published}
    assert "secret" not in str(manifest)
    assert manifest["source"] == site.url + end.partition("?")[0]
    assert "user" in manifest["notice"]


def test_the_manifest_holds_no_password_and_no_place_of_this_machine():
    assert fetch._public("https://me:secret@host/x/?key=1") == "https://host/x/"
    for place in ("/home/me/x", "file:///home/me/x", "local:///x", "zip://a.zip::file:///home/x"):
        assert fetch._public(place) == "own files"
    assert fetch._public("s3://bucket/x") == "s3://bucket/x"
    assert fetch._public("data/x") == "data/x"


def test_an_object_store(stage):
    import fsspec

    memory = fsspec.filesystem("memory")
    for name, content in CONTENTS.items():
        memory.pipe(f"/bucket/published/{name}", content)
    stage("memory://bucket/published")
    assert raw_files() == CONTENTS
    memory.rm("/bucket/published/b.json")
    shutil.rmtree(paths.WORK)
    with pytest.raises(PipelineError, match=r"b\.json could not be downloaded .*FileNotFound"):
        stage("memory://bucket/published")


def test_an_object_store_goes_on_where_it_stopped(stage, monkeypatch):
    import fsspec
    from fsspec.implementations.memory import MemoryFile

    stage.published[1:] = []
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/a.zip", CONTENTS["a.zip"])
    read, num_read, failures = MemoryFile.read, [], iter([False, True, False, True])

    def unsure(self, size=-1):
        if next(failures, False):
            raise RuntimeError("the store is tired")
        data = read(self, min(size, 100_000))
        num_read.append(len(data))
        return data

    monkeypatch.setattr(MemoryFile, "read", unsure)
    stage("memory://bucket/a.zip")
    assert raw_files() == {"a.zip": CONTENTS["a.zip"]}
    assert sum(num_read) == 300_000


@pytest.mark.parametrize("error", [TypeError, AttributeError, NameError])
def test_a_mistake_in_the_code_is_no_tired_store(stage, monkeypatch, error):
    import fsspec
    from fsspec.implementations.memory import MemoryFile

    def broken(self, size=-1):
        raise error("a mistake")

    stage.published[1:] = []
    fsspec.filesystem("memory").pipe("/bucket/a.zip", CONTENTS["a.zip"])
    monkeypatch.setattr(MemoryFile, "read", broken)
    with pytest.raises(error, match="a mistake"):
        stage("memory://bucket/a.zip")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://me:secret@bucket/x?secret", r"source=s3://bucket/x: s3:// needs"),
        ("s3://bucket/x", r"s3:// needs the package s3fs.*uv pip install s3fs"),
        ("gs://bucket/x", r"gs:// needs the package gcsfs"),
        ("nonsense://x", r"source=nonsense://x.*Protocol not known.*params\.yaml"),
    ],
)
def test_what_opens_no_url_is_named(stage, source, message):
    with pytest.raises(PipelineError, match=message) as raised:
        stage(source)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("source", ["official", "http://x/y", "s3://x/y"])
def test_nothing_published(stage, source):
    stage.published[:] = []
    with pytest.raises(PipelineError, match="nothing is published"):
        stage(source)


def test_a_directory_of_ones_own_is_copied_not_linked(stage, folder):
    manifest = stage(folder)
    assert raw_files() == CONTENTS
    assert manifest["source"] == "own files"
    assert not os.path.samefile(paths.raw("x") / "a.zip", folder / "a.zip")
    assert not (paths.ROOT / "data" / "checksums.json").exists()


def test_one_file_of_ones_own(stage, folder):
    stage.published[1:] = []
    stage(folder / "a.zip")
    assert raw_files() == {"a.zip": CONTENTS["a.zip"]}


@pytest.mark.parametrize(
    ("place", "message"),
    [("none", "no such file"), ("folder/b.json", r"a\.zip is not there; needed are a\.zip, b")],
)
def test_a_directory_that_is_not_it(stage, folder, place, message):
    with pytest.raises(PipelineError, match=message):
        stage(folder.parent / place)
    assert not paths.raw("x").exists()


def test_ones_own_file_is_checked_too(stage, folder):
    stage.published[0] = Source("a.zip", (), checksum="sha256:" + "0" * 64)
    with pytest.raises(PipelineError, match=r"a\.zip has sha256:.* its publisher says"):
        stage(folder)
    assert not paths.raw("x").exists()


def test_across_devices_it_copies_if_there_is_room(stage, site, monkeypatch):
    def link(source, target):
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(os, "link", link)
    stage(site.url)
    assert raw_files() == CONTENTS
    monkeypatch.setattr(disk, "_is_cloned", lambda source, target: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=300_007))
    with pytest.raises(PipelineError, match=r"needs 300 kB of disk"):
        stage(site.url)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=300_008))
    stage(site.url)


def test_a_full_disk_is_one_sentence(stage, folder, monkeypatch):
    def copyfile(source, target):
        raise OSError(errno.ENOSPC, "no space", str(target))

    monkeypatch.setattr(disk, "_is_cloned", lambda source, target: False)
    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(PipelineError, match=r"datasets\.x .*the disk is full"):
        stage(folder)


def test_a_source_that_may_not_be_read_is_not_said_to_be_unwritable(stage, folder, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EACCES, "denied", str(source))

    monkeypatch.setattr(disk, "_is_cloned", refuse)
    with pytest.raises(PipelineError, match=r"x could not be fetched .*a\.zip.*the file") as raised:
        stage(folder)
    assert "written" not in str(raised.value)


def test_what_a_killed_fetch_left_is_cleared(stage, folder):
    leftover = paths.RAW / ".x.123.part"
    leftover.mkdir(parents=True)
    (leftover / "a.zip").write_bytes(b"half")
    stage(folder)
    assert [p.name for p in paths.RAW.iterdir()] == ["x"]


def test_two_at_once(stage, folder):
    held = locks.held(paths.work("fetch", "x") / "lock", "datasets.x is being fetched")
    with held, pytest.raises(PipelineError, match=r"datasets\.x is being fetched by another"):
        stage(folder)
    stage(folder)


def test_a_lock_can_be_waited_for_and_ends_with_its_holder(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from pipeline import locks\n"
        "with locks.held(Path(sys.argv[1]), 'x'): print(flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, cwd=ROOT
    )
    child.stdout.readline()
    with pytest.raises(PipelineError, match="Wait for it"), locks.held(tmp_path / "lock", "x"):
        pass
    threading.Timer(0.2, child.kill).start()
    with locks.held(tmp_path / "lock", "x", wait=True):
        assert child.wait() == -signal.SIGKILL
    child.stdout.close()


def test_ctrl_c_is_one_line_and_loses_nothing(site, folder, tmp_path):
    """The real command on a real dataset, whose publisher gives neither size nor checksum."""
    from pipeline.datasets.spotify_covers import ARCHIVE

    content = random.Random(3).randbytes(8 << 20)
    (folder / ARCHIVE).write_bytes(content)
    root = tmp_path / "root"
    root.mkdir()
    text = (ROOT / "params.yaml").read_text()
    text, num_changed = re.subn(
        r"(  spotify_covers:\n    source:) auto", rf"\1 {site.url}", text, count=1
    )
    assert num_changed == 1
    (root / "params.yaml").write_text(text)
    command = [sys.executable, "-m", "pipeline.fetch", "spotify_covers"]
    environment = {**os.environ, "DVC_ROOT": str(root), "PYTHONPATH": str(ROOT)}
    site.seconds_per_block = 0.02
    child = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=root)
    part = root / ".work" / "fetch" / "spotify_covers" / f"{ARCHIVE}.part"
    while not (part.exists() and part.stat().st_blocks * 512 > 1 << 20):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=10)
    assert child.returncode == 130
    assert errors.splitlines()[-1] == "pipeline.fetch: stopped; run it again to go on."
    assert "Traceback" not in errors
    assert Part(part).num_done > 1 << 19
    assert not (root / "data" / "raw" / "spotify_covers").exists()
    site.seconds_per_block = 0
    subprocess.run(command, env=environment, check=True, cwd=root, stderr=subprocess.DEVNULL)
    assert (root / "data" / "raw" / "spotify_covers" / ARCHIVE).read_bytes() == content
    recorded = files.read_json(root / "data" / "checksums.json")
    assert recorded["spotify_covers"][ARCHIVE]["num_bytes"] == len(content)


def test_archives_of_any_name_where_the_published_name_is_not_known(stage, folder):
    (folder / "b.json").unlink()
    with pytest.raises(PipelineError, match=r"b.json is not there; needed are a.zip, b.json"):
        stage(folder)
    stage.dataset.own_files = ("*.zip",)
    (folder / "part2.zip").write_bytes(b"2")
    assert set(stage(folder)["files"]) == {"a.zip", "part2.zip"}
    assert set(stage(folder / "part2.zip")["files"]) == {"part2.zip"}


def test_an_archive_of_ones_own_with_an_exclamation_mark(stage, folder):
    """It would be taken for the mark between an archive and its member."""
    stage.dataset.own_files = ("*.zip",)
    stage.published[1:] = []
    (folder / "a.zip").rename(folder / "new!.zip")
    for source in (folder, folder / "new!.zip"):
        with pytest.raises(PipelineError, match=r"new!\.zip has an exclamation mark.* Rename it"):
            stage(source)


def test_what_no_archive_holds_is_named_before_it_is_packed(stage, folder, monkeypatch):
    stage.published[:] = []
    monkeypatch.setattr(fetch.archive_guard, "MAX_MEMBER_BYTES", 299_999)
    monkeypatch.setattr(fetch.zipfile, "ZipFile", None)
    with pytest.raises(PipelineError, match=r"a\.zip has 300000 bytes, and 299999 are .*Take it"):
        stage(folder)
    (folder / os.fsdecode(b"Caf\xe9.mid")).write_bytes(b"")
    with pytest.raises(PipelineError, match=r"'Caf\\udce9\.mid' is not UTF-8\. Rename it"):
        stage(folder)


def test_the_largest_file_that_may_be_packed_is(stage, folder, monkeypatch):
    """As many bytes as 32 bits just do not hold; zipfile must be told beforehand."""
    stage.published[:] = []
    monkeypatch.setattr(fetch.zipfile, "ZIP64_LIMIT", 299_999)
    stage(folder)
    with zipfile.ZipFile(paths.raw("x") / "x.zip") as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == CONTENTS
