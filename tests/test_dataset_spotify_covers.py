"""The Spotify covers and their miniature: tuples, groups, faults, and the rule of the pictures."""

import colorsys
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pipeline import archives
from pipeline.datasets import _cover_facts
from pipeline.datasets.base import Entry
from pipeline.datasets.spotify_covers import DATASET, SpotifyCoversOptions
from pipeline.errors import PipelineError, Rejected
from pipeline.miniatures import _archives, _drawn_cover, _styled_clip, spotify_covers
from pipeline.miniatures._drawn_cover import drawn, picture_parameters

OPTIONS = SpotifyCoversOptions(max_albums_per_picture=10, miniature_size=18)
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
    readme = "spotify_covers.zip!spotify_covers/README.txt"
    assert items[readme].reason == "unknown_file"
    assert {n.split("/")[1].split(".")[0] for n in names if "/" in n} == set(items) - {readme}
    assert all(len(key) == 22 for key in set(items) - {readme})


def test_two_builds_are_equal_to_the_byte(tmp_path):
    small = SpotifyCoversOptions(max_albums_per_picture=10, miniature_size=12)
    for name in ("a", "b"):
        spotify_covers.build(tmp_path / name, small, seed=5)
    first, second = ((tmp_path / n / "spotify_covers.zip").read_bytes() for n in ("a", "b"))
    assert first == second


def test_every_fault_is_rejected_with_its_reason(items, examples):
    reasons = [i.reason for i in items.values() if isinstance(i, Rejected)]
    assert sorted(reasons) == ["missing_audio", "not_features", "unknown_file"]
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


IDS = [digit * 22 for digit in "0123456"]
JPEG = b"\xff\xd8\xff jpeg of "


def features(track_id, **changes):
    numbers = dict.fromkeys(_cover_facts.NUMBERS, 0.5)
    return {**numbers, "id": track_id, "type": "audio_features", "duration_ms": 30_000, **changes}


def track(track_id, picture=None, album=None, **changes):
    """The five files of a track by their usual names."""
    members = {
        f"audio/{track_id}.mp3": b"mp3",
        f"images/{track_id}.jpeg": JPEG + (picture or track_id).encode(),
        f"audio_features/{track_id}.json": json.dumps(features(track_id, **changes)).encode(),
        f"audio_analysis/{track_id}.json": b"{}",
    }
    if album is not None:
        described = {"type": "album", "id": album, "name": f"album {album}"}
        members[f"album_information/{track_id}.json"] = json.dumps(described).encode()
    return members


def catalogued(raw, members=None, options=OPTIONS, archive="spotify_covers.zip"):
    if members is not None:
        _archives.write_zip(raw / archive, members)
    items = list(DATASET.catalogue(raw, options))
    keys = [item.key if isinstance(item, Entry) else item[0] for item in items]
    assert keys == sorted(set(keys))
    return {k: i if isinstance(i, Entry) else i[1] for k, i in zip(keys, items, strict=True)}


def reasons(items):
    return {k: "" if isinstance(i, Entry) else i.reason for k, i in items.items()}


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def parts(members):
    """A part-zip for each folder; the two first need their own name to tell what is in them."""
    found = {}
    for name, data in members.items():
        folder, _, file = name.partition("/")
        kept = file if folder.startswith("audio_") else name
        found.setdefault(f"{folder}_part1.zip", {})[kept] = data
    return {name: zipped(held) for name, held in found.items()}


def test_part_zips_within_the_archive_are_read_in_place(raw, items, examples, tmp_path):
    with zipfile.ZipFile(raw / "spotify_covers.zip") as archive:
        names = [n for n in archive.namelist() if n.count("/") == 2]
        members = {n.split("/", 1)[1]: archive.read(n) for n in names}
    outer = {f"share/{name}": data for name, data in parts(members).items()}
    nested = catalogued(tmp_path, outer)
    expected = {key: item for key, item in items.items() if len(key) == 22}
    assert reasons(nested) == reasons(expected)
    for key, entry in nested.items():
        if isinstance(entry, Entry):
            assert (entry.group, entry.attributes) == (items[key].group, items[key].attributes)
            assert entry.members[1] == (
                f"spotify_covers.zip!share/images_part1.zip!images/{key}.jpeg"
            )
    key = next(iter(usable(examples)))
    example = DATASET.load(nested[key], dict(archives.read(tmp_path, nested[key].members)))
    np.testing.assert_array_equal(example.picture, examples[key].picture)


def test_part_zips_side_by_side_are_one_dataset(tmp_path):
    members = {k: v for i in IDS[:3] for k, v in track(i, album="a").items()}
    for name, data in parts(members).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "manifest.json").write_text("{}")
    items = catalogued(tmp_path)
    assert reasons(items) == dict.fromkeys(IDS[:3], "")
    assert {e.group for e in items.values()} == {"a"}
    assert items[IDS[0]].members[1] == f"images_part1.zip!images/{IDS[0]}.jpeg"


def test_nothing_that_is_named_by_a_track_vanishes(tmp_path):
    whole, lone, only_picture = track(IDS[0]), track(IDS[1]), track(IDS[2])
    members = {
        **whole,
        **{f"a copy/{name}": data for name, data in whole.items()},
        f"audio_analysis/{IDS[1]}.json": lone[f"audio_analysis/{IDS[1]}.json"],
        f"images/{IDS[2]}.jpeg": only_picture[f"images/{IDS[2]}.jpeg"],
        f"other/{IDS[3]}.json": b"{}",
        f"images/{IDS[0]}.txt": b"",
        "__MACOSX/images/._" + IDS[0] + ".jpeg": b"",
        f"__MACOSX/images/{IDS[4]}.jpeg": b"",
        "images/Thumbs.db": b"",
        ".DS_Store": b"",
        "README": b"",
        "broken.zip": b"PK",
    }
    items = catalogued(tmp_path, members)
    found = {key.removeprefix("spotify_covers.zip!"): r for key, r in reasons(items).items()}
    others = {name for name in members if IDS[0] not in name or "MACOSX" in name}
    others -= {f"audio_analysis/{IDS[1]}.json", f"images/{IDS[2]}.jpeg"}
    assert found == {
        IDS[0]: "",
        IDS[1]: "missing_picture",
        IDS[2]: "missing_audio",
        f"images/{IDS[0]}.txt": "unknown_file",
        **dict.fromkeys(others, "unknown_file"),
        **{f"{name}": "duplicate_file" for name in whole},  # "a copy" comes first by name
    }
    assert items[IDS[0]].members[0] == f"spotify_covers.zip!a copy/audio/{IDS[0]}.mp3"


def test_albums_and_equal_pictures_are_one_group(tmp_path):
    members = {
        **track(IDS[0], "x", album="b"),
        **track(IDS[1], "x", album="a"),  # the same picture in another album
        **track(IDS[2], "y", album="b"),
        **track(IDS[3], "y"),  # no album object
        **track(IDS[4], "z"),
        **track(IDS[5], "z"),
        **track(IDS[6], "w", album="c"),
    }
    groups = {key: entry.group for key, entry in catalogued(tmp_path, members).items()}
    z = hashlib.sha256(JPEG + b"z").hexdigest()
    expected = ["a", "a", "a", "a", z, z, "c"]
    assert groups == dict(zip(IDS, expected, strict=True))
    del members[f"audio/{IDS[0]}.mp3"]  # what lacks something connects, too
    items = catalogued(tmp_path, members)
    assert items.pop(IDS[0]).reason == "missing_audio"
    assert {key: entry.group for key, entry in items.items()}.items() <= groups.items()


def test_a_picture_of_too_many_albums_is_a_placeholder(tmp_path):
    members = {}
    for number, track_id in enumerate(IDS[:4]):
        members.update(track(track_id, "none yet", album=f"album {number}"))
    members.update(track(IDS[4], album="album 0"))
    members.update(track(IDS[5], "none yet"))
    for limit, reason in ((3, "placeholder_picture"), (4, ""), (None, "")):
        options = SpotifyCoversOptions(max_albums_per_picture=limit, miniature_size=18)
        items = catalogued(tmp_path, members, options)
        found = reasons(items)
        assert found == {**dict.fromkeys(IDS[:4], reason), IDS[4]: "", IDS[5]: reason}
        assert items[IDS[4]].group == "album 0"


@pytest.mark.parametrize(
    ("picture", "reason"),
    [(b"<!DOCTYPE html>429", "undecodable_picture"), (b"", "undecodable_picture"),
     (b"GIF89a....", "animated_picture"), (b'{"error": {}}', "undecodable_picture")],
)  # fmt: skip
def test_error_bodies_saved_as_pictures_make_no_group(picture, reason, tmp_path):
    members = {**track(IDS[0], album="a"), **track(IDS[1], album="b"), **track(IDS[2], album="b")}
    for track_id in IDS[:2]:
        members[f"images/{track_id}.jpeg"] = picture
    items = catalogued(tmp_path, members)
    assert reasons(items) == {IDS[0]: reason, IDS[1]: reason, IDS[2]: ""}
    assert items[IDS[2]].group == "b"


def test_pictures_below_64_pixels_and_gifs_are_rejected_when_read(tmp_path):
    for size, kind, reason in (
        ((63, 640), "JPEG", "too_small_picture"),
        ((99, 99), "GIF", "animated"),
    ):
        buffer = io.BytesIO()
        Image.new("RGB", size).save(buffer, kind)
        with pytest.raises(Rejected, match=reason):
            entry = Entry(IDS[0], "g", ("a!x.mp3", "a!x.jpeg"))
            DATASET.load(entry, {"a!x.mp3": b"", "a!x.jpeg": buffer.getvalue()})


HOSTILE = [
    b"", b"<html>", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b'{"id": NaN}', b"9" * 5000,
    json.dumps(features(IDS[1])).encode(),
    *(json.dumps(features(IDS[0], tempo=v)).encode() for v in ("120", None, True, [], 10**400)),
    json.dumps(features(IDS[0])).replace('"tempo": 0.5', '"tempo": 1e999').encode(),
    json.dumps(features(IDS[0])).replace('"tempo": 0.5', '"tempo": 1, "tempo": 2').encode(),
    json.dumps(features(IDS[0], note="\ud800")).encode(),
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_features_are_rejected(text, tmp_path):
    members = track(IDS[0]) | {f"audio_features/{IDS[0]}.json": text}
    assert reasons(catalogued(tmp_path, members)) == {IDS[0]: "not_features"}


def test_of_features_only_what_is_published_is_kept(tmp_path):
    given = {"uri": 5, "time_signature": 10**400, "extra": {"a": []}}
    items = catalogued(tmp_path, track(IDS[0], **given))
    kept = items[IDS[0]].attributes["audio_features"]
    assert kept == {k: v for k, v in features(IDS[0]).items() if k not in given}


def album(**changes):
    tracks = {"items": [{"id": IDS[1], "name": "x"}, {"id": IDS[0], "name": "Song"}]}
    whole = {"type": "album", "id": "a", "name": "LP", "tracks": tracks, "genres": ["pop"]}
    return {**whole, "artists": [{"name": "Artist"}], **changes}


WHOLE = {"album_id": "a", "album": "LP", "title": "Song", "artist": "Artist", "genre": "pop"}
ALBUMS = [
    (album(), WHOLE),
    (album(genres=[]), {k: v for k, v in WHOLE.items() if k != "genre"}),
    (album(genres="pop", artists={}, tracks=5), {"album_id": "a", "album": "LP", "title": "LP"}),
    (album(tracks={"items": [{"id": [1]}, 5, {"id": IDS[0], "name": 7}]}),
     {k: v for k, v in WHOLE.items() if k != "title"}),
    (album(artists=[5, {"name": {}}], genres=[{}]),
     {k: v for k, v in WHOLE.items() if k not in ("artist", "genre")}),
    (album(id=5), {}), (album(id=""), {}), (album(type="error"), {}), ([], {}), ("x", {}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), ALBUMS)
def test_of_albums_what_is_text_is_kept(given, expected, tmp_path):
    text = json.dumps(given).encode()
    members = track(IDS[0]) | {f"album_information/{IDS[0]}.json": text}
    attributes = dict(catalogued(tmp_path, members)[IDS[0]].attributes)
    del attributes["audio_features"]
    assert attributes == expected


@pytest.mark.parametrize("text", [b"", b"[" * 100_000, b'{"a": NaN}', b'{"id": 1, "id": 2}'])
def test_hostile_albums_are_none(text, tmp_path):
    members = track(IDS[0]) | {f"album_information/{IDS[0]}.json": text}
    entry = catalogued(tmp_path, members)[IDS[0]]
    assert list(entry.attributes) == ["audio_features"]
    assert len(entry.group) == 64


def test_a_damaged_member_is_counted(tmp_path):
    _archives.write_zip(tmp_path / "spotify_covers.zip", track(IDS[0]), compress=False)
    whole = (tmp_path / "spotify_covers.zip").read_bytes()
    for name, what in ((JPEG + IDS[0].encode(), b"JPEG"), (b"danceability", b"DANCEABILITY")):
        assert whole.count(name) == 1
        changed = whole.replace(name, name[: -len(what)] + what)
        (tmp_path / "spotify_covers.zip").write_bytes(changed)
        assert reasons(catalogued(tmp_path)) == {IDS[0]: "damaged_member"}


def test_an_archive_without_tracks_stops_with_a_remedy(tmp_path):
    _archives.write_zip(tmp_path / "spotify_covers.zip", {"images_part1.zip": b"PK"})
    with pytest.raises(PipelineError, match="22 characters"):
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
