"""Files and directories that are whole or not there."""

import pytest

from pipeline import files


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), files.atomic_open(path, "w") as file:
        file.write("half")
        raise RuntimeError
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_a_failed_directory_leaves_the_old_one(tmp_path):
    path = tmp_path / "out"
    with files.atomic_directory(path) as out:
        (out / "a").write_text("1")
    with pytest.raises(RuntimeError), files.atomic_directory(path) as out:
        (out / "b").write_text("2")
        raise RuntimeError
    assert [p.name for p in path.iterdir()] == ["a"]
    with files.atomic_directory(path) as out:
        (out / "c").write_text("3")
    assert [p.name for p in path.iterdir()] == ["c"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_equal_values_are_equal_bytes_and_nan_is_refused(tmp_path):
    files.write_json(tmp_path / "a", {"b": 1, "a": "ä"})
    files.write_json(tmp_path / "b", {"a": "ä", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "c", {"a": float("nan")})
