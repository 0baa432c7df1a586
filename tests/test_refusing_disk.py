"""A disk that is full or read-only, two runs at once, a lost archive: sharding says so."""

import shutil
import subprocess
import sys

import pytest

from tests import scratch

CORPUS = "folder_melody"
SHARD = (sys.executable, "-m", "pipeline.shard", CORPUS)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """With its archive fetched and sharded once."""
    folder = scratch.clone(tmp_path_factory.mktemp("clone"))
    scratch.repro(folder, f"shard@{CORPUS}")
    return folder


@pytest.fixture
def small_work(clone):
    """Puts a file system of 16 MiB in the place of .work."""
    work = clone / ".work"
    shutil.rmtree(work)
    work.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(work)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a file system: it needs root")
    yield work
    subprocess.run(["umount", str(work)], check=True)


def _refused(clone):
    result = scratch.run(clone, *SHARD, check=False)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_full_disk_is_one_sentence_and_loses_nothing(clone, small_work):
    shards = sorted((clone / "data/shards" / CORPUS).rglob("*"))
    (small_work / "filling").write_bytes(bytes((1 << 24) - (1 << 16)))
    text = _refused(clone)
    assert "disk is full" in text
    assert sorted((clone / "data/shards" / CORPUS).rglob("*")) == shards
    (small_work / "filling").unlink()
    scratch.run(clone, *SHARD)
    scratch.run(clone, "dvc", "status", "-q", f"shard@{CORPUS}")


def test_a_read_only_disk_is_one_sentence(clone, small_work):
    subprocess.run(["mount", "-o", "remount,ro", str(small_work)], check=True)
    assert "read-only" in _refused(clone)


def test_an_archive_that_went_away_is_named_and_fetched_again(clone):
    archive = clone / "data/raw/folder/folder.zip"
    archive.unlink()
    assert "folder.zip is not there. Run `dvc repro` to fetch it." in _refused(clone)
    scratch.repro(clone, f"shard@{CORPUS}")
    assert archive.exists()


def test_two_runs_at_once_leave_one_result(clone):
    """DVC lets one wait or fail; neither harms the other's shards."""
    before = (clone / "dvc.lock").read_bytes()
    command = ("dvc", "repro", "--force", "--single-item", f"shard@{CORPUS}")
    runs = [
        subprocess.Popen(
            command, cwd=clone, env=scratch.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [run.communicate()[0] for run in runs]
    assert 0 in [run.returncode for run in runs], said
    for run, text in zip(runs, said, strict=True):
        assert run.returncode == 0 or "lock" in text or "another process" in text, text
    scratch.run(clone, "dvc", "status", "-q", f"shard@{CORPUS}")
    assert (clone / "dvc.lock").read_bytes() == before
