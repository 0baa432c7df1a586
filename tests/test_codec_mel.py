"""The codec of labelled mel spectrograms: against librosa, its labels by hand."""

import librosa
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline import tfrecord
from pipeline.codecs.mel import CODEC, LabelledMelOptions
from pipeline.errors import Rejected
from pipeline.example import Example

GENRES = ("blues", "jazz", "rock")
OPTIONS = LabelledMelOptions(
    num_mel_bins=32, hop_length=256, n_fft=512, sample_rate=16_000, num_frames=20,
    labels=GENRES, label_attribute="genre",
)  # fmt: skip
TAGS = OPTIONS.model_copy(update={"labels": ("fast", "guitar", "piano"), "label_attribute": "tags"})


def clip(num_samples=16_000):
    noise = np.random.default_rng(1).normal(0, 0.1, num_samples)
    return (noise + 0.5 * np.sin(np.arange(num_samples) / 5)).astype(np.float32)


def example(attributes, **changes):
    return Example(**{"key": "k", "audio": clip(), "sample_rate": 16_000, **changes},
                   attributes=attributes)  # fmt: skip


def encoded(source, options=OPTIONS):
    (record,) = CODEC.encode(source, options)
    return record


def test_mel_equals_librosa():
    audio = clip()[: 19 * 256]
    power = librosa.feature.melspectrogram(y=audio, sr=16_000, n_fft=512, hop_length=256, n_mels=32)
    mel = encoded(example({"genre": "jazz"}))["mel"]
    np.testing.assert_allclose(mel, librosa.power_to_db(power).T, atol=1e-4)


@pytest.mark.parametrize(("genre", "flags"), [("blues", [1, 0, 0]), ("rock", [0, 0, 1])])
def test_a_genre_is_one_flag(genre, flags):
    labels = encoded(example({"genre": genre, "tags": ["jazz"]}))["labels"]
    assert (labels.tolist(), labels.dtype) == (flags, np.int64)


@pytest.mark.parametrize(
    ("tags", "flags"),
    [(["piano", "fast"], [1, 0, 1]), (["harp", "guitar", 5], [0, 1, 0]), ([], [0, 0, 0]),
     (("fast",), [1, 0, 0])],
)  # fmt: skip
def test_tags_are_any_number_of_flags(tags, flags):
    assert encoded(example({"tags": tags, "genre": "piano"}), TAGS)["labels"].tolist() == flags


@pytest.mark.parametrize(
    ("options", "attributes"),
    [(OPTIONS, {"genre": "rock"}), (TAGS, {"tags": ["guitar", "piano"]}), (TAGS, {"tags": []})],
)
def test_records_are_as_declared_and_keep_the_law(options, attributes):
    record, features = encoded(example(attributes), options), CODEC.features(options)
    assert record.keys() == features.keys()
    for name, feature in features.items():
        assert (record[name].shape, record[name].dtype) == (feature.shape, feature.dtype)
    decoded = CODEC.decode(record, options)
    assert {k: v for k, v in decoded.attributes.items() if k != "mel"} == attributes
    again = encoded(decoded, options)
    assert again["mel"].tobytes() == record["mel"].tobytes()
    assert again["labels"].tolist() == record["labels"].tolist()
    written = tfrecord.parse_example(tfrecord.serialize_example(record, features), features)
    np.testing.assert_array_equal(written["mel"], record["mel"])


def test_a_generated_record_may_lack_labels_or_have_none_set():
    mel = np.zeros((20, 32), np.float32)
    assert dict(CODEC.decode({"mel": mel, "key": b"7"}, OPTIONS).attributes) == {"mel": mel}
    bare = CODEC.decode({"mel": mel, "labels": np.zeros(3, np.int64)}, OPTIONS)
    assert bare.attributes.keys() == {"mel"}
    assert CODEC.decode({"key": "7"}, OPTIONS).key == "7"


@pytest.mark.parametrize(
    ("reason", "options", "attributes", "changes"),
    [
        ("no_genre", OPTIONS, {}, {}),
        ("no_genre", OPTIONS, {"genre": None}, {}),
        ("no_genre", OPTIONS, {"tags": ["rock"]}, {}),
        ("other_genre", OPTIONS, {"genre": "Rock"}, {}),
        ("no_tags", TAGS, {"genre": "rock"}, {}),
        ("no_tags", TAGS, {"tags": "fast"}, {}),
        ("no_audio", OPTIONS, {"genre": "rock"}, {"audio": None}),
        ("no_audio", OPTIONS, {"genre": "rock"}, {"audio": np.zeros(0, np.float32)}),
        ("non_finite", OPTIONS, {"genre": "rock"}, {"audio": np.float32([0.5, np.nan])}),
        ("silent", OPTIONS, {"genre": "rock"}, {"audio": np.zeros(100, np.float32)}),
    ],
)
def test_rejections(reason, options, attributes, changes):
    with pytest.raises(Rejected) as error:
        CODEC.encode(example(attributes, **changes), options)
    assert error.value.reason == reason


def test_statistics_by_hand():
    mel = np.full((20, 32), -60, np.float32)
    mel[:5, 3] = 0
    record = {"mel": mel, "labels": np.array([1, 0, 1])}
    found = CODEC.statistics(record, TAGS)
    assert found["level_mean_db"] == pytest.approx(-60 + 60 * 5 / 640)
    assert found["level_max_db"] == 0
    assert found["sounding_seconds"] == pytest.approx(5 * 256 / 16_000)
    assert found["num_labels"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ()}, "at least 1 item"),
        ({"labels": ("a", "b", "a")}, "a is there twice"),
        ({"label_attribute": "mood"}, "'genre' or 'tags'"),
        ({"hop_length": 600}, "hop_length=600 exceeds n_fft=512"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        LabelledMelOptions(**{**OPTIONS.model_dump(), **changes})


def test_labels_are_flags():
    assert CODEC.num_classes(OPTIONS, "labels") == 2
    with pytest.raises(KeyError):
        CODEC.num_classes(OPTIONS, "mel")
