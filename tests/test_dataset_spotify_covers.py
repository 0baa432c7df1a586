"""The Spotify covers and their miniature: tuples, groups, faults, and the rule of the pictures."""

import colorsys
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline import archives
from pipeline.datasets.base import Entry
from pipeline.datasets.spotify_covers import DATASET, SpotifyCoversOptions
from pipeline.errors import PipelineError, Rejected
from pipeline.miniatures import _archives, _drawn_cover, _styled_clip, spotify_covers
from pipeline.miniatures._drawn_cover import drawn, picture_parameters

OPTIONS = SpotifyCoversOptions(miniature_size=18)
NUM_FAULTS = len(spotify_covers.FAULTS)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("spotify_covers")
    spotify_covers.build(out, OPTIONS, seed=3)
    return out


@pytest.fixture(scope="module")
def items(raw):
    return dict(
        item if isinstance(item, tuple) else (item.key, item)
        for item in DATASET.catalogue(raw, OPTIONS)
    )


@pytest.fixture(scope="module")
def examples(raw, items):
    """Everything that loads, and the rejections of what does not, by key."""
    found = {}
    for key, item in items.items():
        if isinstance(item, Entry):
            try:
                found[key] = DATASET.load(item, dict(archives.read(raw, item.members)))
            except Rejected as rejected:
                found[key] = rejected
    return found


def usable(examples):
    return {key: e for key, e in examples.items() if not isinstance(e, Rejected)}


def test_layout_is_that_of_the_collector(raw, items):
    names = [
        n.removeprefix("spotify_covers/") for n in archives.members(raw / "spotify_covers.zip")
    ]
    folders = {"album_information", "audio_analysis", "audio_features", "images", "audio"}
    assert {n.split("/")[0] for n in names} == folders | {"README.txt"}
    assert {n.split("/")[1].split(".")[0] for n in names if "/" in n} == set(items)
    assert all(len(key) == 22 for key in items)


def test_two_builds_are_equal_to_the_byte(tmp_path):
    small = SpotifyCoversOptions(miniature_size=12)
    for name in ("a", "b"):
        spotify_covers.build(tmp_path / name, small, seed=5)
    first, second = ((tmp_path / n / "spotify_covers.zip").read_bytes() for n in ("a", "b"))
    assert first == second


def test_every_fault_is_rejected_with_its_reason(items, examples):
    reasons = [i.reason for i in items.values() if isinstance(i, Rejected)]
    assert sorted(reasons) == ["missing_audio", "not_features"]
    assert sum(isinstance(e, Rejected) for e in examples.values()) == 2  # a picture, an empty mp3
    assert len(usable(examples)) == OPTIONS.miniature_size - 4
    assert list(items) == sorted(items)


def test_example_has_clip_cover_and_attributes(examples):
    for key, example in usable(examples).items():
        assert example.picture.shape == (640, 640, 3)
        assert example.picture.dtype == np.uint8
        assert example.audio.dtype == np.float32
        assert example.sample_rate == 22_050
        assert len(example.audio) == pytest.approx(6 * 22_050, abs=2_304)  # two MP3 frames
        assert example.attributes["audio_features"]["id"] == key
        assert example.attributes["genre"] in _styled_clip.GENRES


def test_tracks_of_an_album_share_group_and_cover(items, examples):
    entries = [e for e in items.values() if isinstance(e, Entry)]
    groups = {e.group for e in entries}
    assert len(groups) < len(entries)
    for group in groups:
        keys = [e.key for e in entries if e.group == group and e.key in usable(examples)]
        covers = {examples[key].picture.tobytes() for key in keys}
        assert len(covers) <= 1
        assert len({items[key].attributes["title"] for key in keys}) == len(keys)


def test_titles_need_escaping(items):
    titles = "".join(e.attributes["title"] for e in items.values() if isinstance(e, Entry))
    assert {"&", "<"} <= set(titles)


def test_features_follow_from_the_sound(examples):
    for example in usable(examples).values():
        features = example.attributes["audio_features"]
        rms = np.sqrt(np.mean(example.audio.astype(np.float64) ** 2))
        assert features["loudness"] == pytest.approx(20 * np.log10(rms), abs=1.0)
        energy = np.clip((features["loudness"] + 36) / 26, 0, 1)
        assert features["energy"] == pytest.approx(energy, abs=1e-3)


def test_the_clip_is_in_its_key():
    """The pitch classes of the sound fit the scale of the key better than those a semitone off."""
    clip = _styled_clip.composed("classical", key=4, mode=1, tempo=100.0, seed=[1])
    power = np.abs(np.fft.rfft(_styled_clip.rendered(clip))) ** 2
    frequency_hz = np.fft.rfftfreq(6 * 22_050, 1 / 22_050)
    audible = (frequency_hz > 100) & (frequency_hz < 2_000)
    pitches = np.round(69 + 12 * np.log2(frequency_hz[audible] / 440)).astype(int)
    chroma = np.bincount(pitches % 12, power[audible], minlength=12)
    scale = np.isin(np.arange(12), (0, 2, 4, 5, 7, 9, 11)).astype(float)
    fits = [float(chroma @ np.roll(scale, key)) for key in range(12)]
    assert fits[4] > max(fits[3], fits[5])
    assert {(n.pitch - 4) % 12 for n in clip.notes} <= {0, 2, 4, 5, 7, 9, 11}


@pytest.mark.parametrize("key", [0, 5, 11])
@pytest.mark.parametrize("genre", sorted(_drawn_cover.SHAPES))
def test_rule_of_the_picture(genre, key):
    features = {"key": key, "mode": key % 2, "valence": 0.1 * key, "tempo": 60 + 11 * key}
    parameters = picture_parameters(features | {"energy": 0.5}, genre)
    assert parameters.hue_degrees == {0: 0, 5: 330, 11: 150}[key]  # C, F, B: fifths from C
    assert parameters.brightness == pytest.approx(0.35 + 0.06 * key)
    assert parameters.num_shapes == {0: 6, 5: 12, 11: 18}[key]
    check_picture(np.asarray(drawn(parameters, [key])), parameters)


def test_pictures_of_the_archive_follow_the_rule(items, examples):
    checked = 0
    for key, example in usable(examples).items():
        entry = items[key]
        siblings = [e for e in items.values() if isinstance(e, Entry) and e.group == entry.group]
        is_gray = np.ptp(example.picture.astype(int), axis=2).max() < 8
        if len(siblings) == 1 and not is_gray:  # of an album, the first track decides
            features, genre = entry.attributes["audio_features"], entry.attributes["genre"]
            check_picture(example.picture, picture_parameters(features, genre))
            checked += 1
    assert checked >= 4


def test_texture_rises_with_energy():
    base = {"key": 0, "mode": 1, "valence": 0.5, "tempo": 100}
    levels = [
        np.asarray(drawn(picture_parameters(base | {"energy": e}, "folk"), [1])).astype(float)
        for e in (0.0, 0.5, 1.0)
    ]
    roughness = [np.abs(np.diff(picture, axis=0)).mean() for picture in levels]
    assert roughness == sorted(roughness)
    assert roughness[2] > 2 * roughness[0]


def check_picture(picture, parameters):
    """Measures the ground and counts the shapes in the pixels."""
    ground = np.median(picture.reshape(-1, 3), axis=0)
    hue, saturation, brightness = colorsys.rgb_to_hsv(*(ground / 255))
    difference = (360 * hue - parameters.hue_degrees + 180) % 360 - 180
    assert abs(difference) < 12
    assert saturation == pytest.approx(parameters.saturation, abs=0.08)
    assert brightness == pytest.approx(parameters.brightness, abs=0.05)
    distance = np.abs(picture.astype(float) - ground).max(axis=2)
    labels, num_regions = ndimage.label(distance > 70)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, num_regions + 1))
    assert int((sizes > 200).sum()) == parameters.num_shapes


def test_any_nesting_and_missing_parts(raw, tmp_path):
    """Found under other top folders; a track without album object is grouped by its picture."""
    with zipfile.ZipFile(raw / "spotify_covers.zip") as archive:
        contents = {n.split("/", 1)[1]: archive.read(n) for n in archive.namelist()}
    complete = [n for n in contents if n.startswith("audio/") and contents[n]][:6]
    ids = [n.removeprefix("audio/").removesuffix(".mp3") for n in complete]
    members = {}
    for key in ids:
        members[f"a/b/audio/{key}.mp3"] = contents[f"audio/{key}.mp3"]
        members[f"x/img/{key}.jpg"] = contents[f"images/{key}.jpeg"]
        members[f"audio_features/{key}.json"] = contents[f"audio_features/{key}.json"]
    del members[f"x/img/{ids[0]}.jpg"], members[f"audio_features/{ids[1]}.json"]
    members[f"audio_features/{ids[2]}.json"] = members[f"audio_features/{ids[3]}.json"]
    members[f"album_information/{ids[4]}.json"] = b"<html>429</html>"
    _archives.write_zip(tmp_path / "spotify_covers.zip", members)
    items = dict(
        item if isinstance(item, tuple) else (item.key, item)
        for item in DATASET.catalogue(tmp_path, OPTIONS)
    )
    assert items[ids[0]].reason == "missing_picture"
    assert items[ids[1]].reason == "missing_features"
    assert items[ids[2]].reason == "not_features"
    for key in ids[4:]:
        assert isinstance(items[key], Entry) or items[key].reason == "not_features"
    assert len(items[ids[4]].group) == 64  # sha256 of the picture


def test_an_archive_without_tracks_stops_with_a_remedy(tmp_path):
    _archives.write_zip(tmp_path / "spotify_covers.zip", {"images_part1.zip": b"PK"})
    with pytest.raises(PipelineError, match="unzip it"):
        list(DATASET.catalogue(tmp_path, OPTIONS))


def test_faulty_pictures_are_as_published(raw):
    with zipfile.ZipFile(raw / "spotify_covers.zip") as archive:
        names = [n for n in archive.namelist() if n.endswith(".jpeg")]
        modes = [Image.open(io.BytesIO(archive.read(n))).mode for n in names]
        readme = archive.read("spotify_covers/README.txt").decode()
        bodies = [json.loads(archive.read(n)) for n in archive.namelist() if "_features/" in n]
    assert modes.count("L") == 1
    assert modes.count("CMYK") == 1
    assert sum("error" in body for body in bodies) == 1
    assert "miniature" in readme
