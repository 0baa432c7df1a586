"""TFRecord files against TensorFlow's own writer and parser."""

import numpy as np
import pytest

from pipeline import tfrecord
from pipeline.codecs.base import Feature
from pipeline.errors import PipelineError

FEATURES = {
    "key": Feature(),
    "labels": Feature((None,), "int64"),
    "bits": Feature((None, 3), "uint8"),
    "level": Feature((2,), "float32"),
    "audio": Feature((4,), "uint8", "bytes"),
    "picture": Feature((8, 8, 3), "uint8", "jpeg"),
    "pitch": Feature((), "int64"),
}
RECORD = {
    "key": "Tänze/1.mid",
    "labels": np.array([0, 127, 128, -1, -2, 2**62, -(2**63)], np.int64),
    "bits": np.array([[0, 255, 128], [1, 2, 3]], np.uint8),
    "level": np.float32([0.5, -1e-9]),
    "audio": np.array([0, 1, 254, 255], np.uint8),
    "picture": b"\xff\xd8 not read here",
    "pitch": np.int64(60),
}


def test_an_example_is_tensorflows_to_the_byte():
    from tensorflow.core.example import example_pb2

    ours = tfrecord.serialize_example(RECORD, FEATURES)
    theirs = example_pb2.Example.FromString(ours)
    assert theirs.SerializeToString(deterministic=True) == ours
    values = theirs.features.feature
    assert list(values["labels"].int64_list.value) == RECORD["labels"].tolist()
    assert list(values["bits"].int64_list.value) == RECORD["bits"].ravel().tolist()
    assert np.float32(values["level"].float_list.value).tobytes() == RECORD["level"].tobytes()
    assert values["key"].bytes_list.value[0] == "Tänze/1.mid".encode()


def test_parsing_gives_the_record_again():
    parsed = tfrecord.parse_example(tfrecord.serialize_example(RECORD, FEATURES), FEATURES)
    assert parsed.keys() == RECORD.keys()
    for name, value in RECORD.items():
        if isinstance(value, np.ndarray | np.integer):
            assert parsed[name].dtype == value.dtype
            np.testing.assert_array_equal(parsed[name], value)
        else:
            assert parsed[name] == value


def test_arrays_of_any_layout_are_taken():
    features = {"labels": Feature((None,), "int64"), "bits": Feature((None, 3), "uint8")}
    record = {name: RECORD[name] for name in features}
    expected = tfrecord.serialize_example(record, features)
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2], _read_only):
        changed = {name: change(array) for name, array in record.items()}
        assert tfrecord.serialize_example(changed, features) == expected


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def test_an_empty_sequence_survives():
    features = {"labels": Feature((None,), "int64")}
    data = tfrecord.serialize_example({"labels": np.zeros(0, np.int64)}, features)
    assert tfrecord.parse_example(data, features)["labels"].shape == (0,)


def test_random_integers_survive_tensorflows_parser():
    from tensorflow.core.example import example_pb2

    rng = np.random.default_rng(7)
    for bits in range(1, 64, 4):
        values = rng.integers(-(2**bits), 2**bits - 1, 50, dtype=np.int64, endpoint=True)
        features = {"v": Feature((None,), "int64")}
        data = tfrecord.serialize_example({"v": values}, features)
        theirs = example_pb2.Example.FromString(data).features.feature["v"].int64_list.value
        assert list(theirs) == values.tolist()
        np.testing.assert_array_equal(tfrecord.parse_example(data, features)["v"], values)


def test_a_file_is_tensorflows_to_the_byte(tmp_path):
    import tensorflow as tf

    records = [b"", b"a", bytes(range(256)) * 300]
    with open(tmp_path / "ours", "wb") as file:
        assert tfrecord.write_records(file, records) == (3, 1 + 256 * 300)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert list(tfrecord.read_records(tmp_path / "theirs")) == records


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "records"
    with open(path, "wb") as file:
        tfrecord.write_records(file, [b"some record"])
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:20], whole[:3], whole[:14] + b"X" + whole[15:]):
        path.write_bytes(damaged)
        with pytest.raises(PipelineError, match="damaged"):
            list(tfrecord.read_records(path))


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"a": np.zeros(3, np.int64), "b": "x"}, "has the fields"),
        ({"a": np.zeros((3, 1), np.int64)}, r"is int64\[3, 1\]"),
        ({"a": np.zeros(3, np.int32)}, r"is int32\[3\]"),
    ],
)
def test_a_record_that_breaks_its_declaration_is_refused(record, problem):
    with pytest.raises(PipelineError, match=problem):
        tfrecord.serialize_example(record, {"a": Feature((None,), "int64")})
