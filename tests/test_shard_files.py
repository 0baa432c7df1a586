"""Shards in .work: damaged ones go; duplicates are taken out, at whatever moment killed."""

import errno

import pytest

from pipeline import files, shard_files, tfrecord

PART = "00000-of-00001"
RECORDS = {
    "train": [("a", [b"one", b"two"]), ("b", [b"three"]), ("d", [b"four" * 100]), ("e", [])],
    "validation": [("c", [b"five"])],
    "test": [],
}
FINGERPRINTS = {"a": "1", "b": "2", "c": "2", "d": "1", "e": "3"}


@pytest.fixture
def sidecar(tmp_path):
    accepted = []
    for split, inputs in RECORDS.items():
        with files.atomic_open(shard_files.shard_path(tmp_path, PART, split)) as file:
            for key, records in inputs:
                sizes = [tfrecord.write_record(file, record) for record in records]
                accepted.append([key, split, FINGERPRINTS[key], sizes])
    sidecar = {"accepted": accepted, "rejected": [], "statistics": {}}
    files.write_json(shard_files.sidecar_path(tmp_path, PART), sidecar)
    return sidecar


def _records(folder, split):
    return list(tfrecord.read_records(shard_files.shard_path(folder, PART, split)))


def test_the_first_by_key_of_equal_inputs_stays(sidecar):
    assert shard_files.duplicates({PART: sidecar}) == {"c": "b", "d": "a"}
    halves = {str(i): {"accepted": [row]} for i, row in enumerate(reversed(sidecar["accepted"]))}
    assert shard_files.duplicates(halves) == {"c": "b", "d": "a"}


def test_records_are_left_out_and_the_others_stay_as_they_were(tmp_path, sidecar):
    shard_files.leave_out(tmp_path, PART, sidecar, {"a": "x", "c": "b"})
    assert _records(tmp_path, "train") == [b"three", b"four" * 100]
    assert _records(tmp_path, "validation") == _records(tmp_path, "test") == []
    shard_files.remove_damaged(tmp_path, [PART])
    assert shard_files.shard_path(tmp_path, PART, "train").exists()


def test_leaving_out_twice_is_leaving_out_once(tmp_path, sidecar):
    dropped = {"b": "x"}
    shard_files.leave_out(tmp_path, PART, sidecar, dropped)
    first = shard_files.shard_path(tmp_path, PART, "train").stat()
    again = files.read_json(shard_files.sidecar_path(tmp_path, PART))
    shard_files.leave_out(tmp_path, PART, again, dropped)
    assert shard_files.shard_path(tmp_path, PART, "train").stat().st_mtime_ns == first.st_mtime_ns
    assert _records(tmp_path, "train") == [b"one", b"two", b"four" * 100]


@pytest.mark.parametrize("killed_at", range(1, 5))
def test_killed_while_leaving_out_it_goes_on(tmp_path, sidecar, monkeypatch, killed_at):
    """Of the sidecar and the files, any number may have been replaced already."""
    dropped = {"b": "x", "c": "b", "d": "a"}
    replace, calls = files.os.replace, []

    def killed(source, target):
        calls.append(target)
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", killed)
    if killed_at <= 3:  # the sidecar and two of the three files change
        with pytest.raises(KeyboardInterrupt):
            shard_files.leave_out(tmp_path, PART, sidecar, dropped)
    else:
        shard_files.leave_out(tmp_path, PART, sidecar, dropped)
    monkeypatch.undo()
    shard_files.remove_damaged(tmp_path, [PART])
    again = files.read_json(shard_files.sidecar_path(tmp_path, PART))
    shard_files.leave_out(tmp_path, PART, again, dropped)
    assert _records(tmp_path, "train") == [b"one", b"two"]
    assert _records(tmp_path, "validation") == []


@pytest.mark.parametrize("now", [{}, {"a": "x"}, {"b": "x"}, {"a": "x", "d": "a", "c": "b"}])
@pytest.mark.parametrize("before", [{"a": "x"}, {"a": "x", "d": "a"}])
def test_a_cut_of_other_inputs_is_redone(tmp_path, sidecar, before, now):
    """What is a duplicate can change by another part, while this part's plan does not."""
    shard_files.leave_out(tmp_path, PART, sidecar, before)
    again = {PART: files.read_json(shard_files.sidecar_path(tmp_path, PART))}
    train = shard_files.shard_path(tmp_path, PART, "train")
    is_other = shard_files.remove_other_cuts(tmp_path, again, now)
    assert is_other == (before != now) == (not train.exists())
    assert shard_files.shard_path(tmp_path, PART, "validation").exists()


def test_without_copies_in_the_kernel_it_reads_and_writes(tmp_path, sidecar, monkeypatch):
    def refused(*arguments):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(shard_files.os, "copy_file_range", refused)
    shard_files.leave_out(tmp_path, PART, sidecar, {"b": "x"})
    assert _records(tmp_path, "train") == [b"one", b"two", b"four" * 100]


def test_a_shard_of_another_length_is_removed(tmp_path, sidecar):
    path = shard_files.shard_path(tmp_path, PART, "train")
    shard_files.remove_damaged(tmp_path, [PART, "00001-of-00001"])
    assert path.exists()
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 1)
    shard_files.remove_damaged(tmp_path, [PART])
    assert not path.exists()
    assert shard_files.shard_path(tmp_path, PART, "validation").exists()
