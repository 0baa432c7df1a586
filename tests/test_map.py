"""Maps keep what is alike together, are equal to the byte, and take new points in."""

import io
from types import SimpleNamespace

import cover_shards
import numpy as np
import pytest
from PIL import Image

from pipeline import cover_maps, files, map_pictures, mapped_covers, params, paths
from pipeline import map as stage
from pipeline.errors import PipelineError
from pipeline.metrics import probe

OPTIONS = {"perplexity": 10, "num_iterations": 150, "early_exaggeration_iterations": 80}


def _clusters(num, rng, size=6):
    """Vectors about three corners, with their labels."""
    labels = np.array(["a", "b", "c"])[np.arange(num) % 3]
    corners = np.eye(size)[np.arange(num) % 3] * 12
    return corners + rng.normal(0, 1, (num, size)), labels


@pytest.mark.parametrize("num_dimensions", [2, 3])
def test_what_is_alike_stays_together_and_new_points_join_it(num_dimensions):
    rng = np.random.default_rng(0)
    vectors, labels = _clusters(60, rng)
    fresh, fresh_labels = _clusters(12, rng)
    maps = [
        cover_maps.embedded(vectors.astype(np.float32), num_dimensions, seed=1, **OPTIONS)
        for _ in range(2)
    ]
    points = np.asarray(maps[0])
    assert points.shape == (60, num_dimensions)
    assert points.tobytes() == np.asarray(maps[1]).tobytes()
    assert probe.neighbour_agreement(points, labels)[0].mean() > 0.99
    places = [cover_maps.placed(own, fresh) for own in maps]
    assert places[0].tobytes() == places[1].tobytes()
    near, random = cover_maps.placed_agreement(points, labels, places[0], fresh_labels)
    assert near > 0.99
    assert random == pytest.approx(1 / 3)
    turned, _ = cover_maps.placed_agreement(points, labels, places[0], np.roll(fresh_labels, 1))
    assert turned < 0.01


def test_few_points_lower_the_perplexity_and_too_few_are_refused():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 2))  # fewer columns than dimensions of the map, too
    assert np.isfinite(np.asarray(cover_maps.embedded(vectors, 3, seed=0, **OPTIONS))).all()
    with pytest.raises(ValueError, match="points=7"):
        cover_maps.embedded(vectors[:7], 2, seed=0, **OPTIONS)
    vectors[3] = np.nan
    with pytest.raises(ValueError, match="finite"):
        cover_maps.embedded(vectors, 2, seed=0, **OPTIONS)


def test_agreement_of_placed_points_is_its_definition():
    rng = np.random.default_rng(1)
    points, others = rng.normal(size=(30, 2)), rng.normal(size=(9, 2))
    labels, asked = (np.array(["", "x", "y"])[rng.integers(0, 3, n)] for n in (30, 9))
    shares, alls = [], []
    for other, label in zip(others, asked, strict=True):
        if label:
            known = [i for i in range(30) if labels[i]]
            known.sort(key=lambda i: np.linalg.norm(points[i] - other))
            shares.append(np.mean([labels[i] == label for i in known[:5]]))
            alls.append(np.mean([labels[i] == label for i in known]))
    found = cover_maps.placed_agreement(points, labels, others, asked)
    assert found == pytest.approx((np.mean(shares), np.mean(alls)))
    assert np.isnan(cover_maps.placed_agreement(points, labels, others, np.full(9, ""))).all()


def test_lab_is_that_of_published_tables():
    colours = np.uint8(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [8, 8, 8]]
    )
    # Lindbloom's calculator, sRGB and D65; the last lies on the straight part of both curves.
    published = [[53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    published += [[100, 0, 0], [0, 0, 0], [2.19, 0, 0]]
    assert np.abs(cover_maps.lab(colours) - published).max() < 0.05


def test_colours_count_for_the_bins_around_them_wherever_they_stand():
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (5, 4, 3), np.uint8)
    counts = np.zeros((4, 8, 8))
    for pixel in cover_maps.lab(picture).reshape(-1, 3):
        place = (pixel - [0, -100, -110]) / [100, 200, 210] * [3, 7, 7]
        for cell in np.ndindex(4, 8, 8):
            counts[cell] += np.prod(np.maximum(0, 1 - np.abs(place - cell)))
    found = cover_maps.colour_vector(picture)
    np.testing.assert_allclose(found, np.sqrt(counts.reshape(-1) / 20), atol=1e-12)
    assert np.linalg.norm(found) == pytest.approx(1)
    mixed = rng.permutation(picture.reshape(-1, 3)).reshape(5, 4, 3)
    np.testing.assert_allclose(cover_maps.colour_vector(mixed), found)


def test_a_legend_names_the_frequent_and_joins_the_rest():
    genres = [f"genre {i}" for i in range(14) for _ in range(14 - i)] + [""] * 30
    entries = map_pictures.entries(genres)
    assert list(entries)[:2] == ["genre 0", "genre 1"]
    assert entries["genre 13"] == entries["genre 11"] == map_pictures.OTHERS
    assert entries[""] == map_pictures.UNKNOWN
    assert len({entry.colour for entry in entries.values()}) == 11 + 2
    assert "" not in map_pictures.entries(["a"])


def test_every_cover_of_a_crowd_is_seen_and_none_hides_another():
    points = np.concatenate([np.zeros((9, 2)), [[1, 1]]])
    colours = [(20 * i, 255 - 20 * i, 7) for i in range(10)]
    pictures = [np.full((8, 8, 3), colour, np.uint8) for colour in colours]
    entry = map_pictures.Entry("a", "#d6406a")
    drawn = map_pictures.drawn(points, pictures, [entry] * 10, 10)
    counts = dict(zip(*_colours_of(drawn), strict=True))
    side = max(counts[colour] for colour in colours)
    assert all(counts[colour] == side for colour in colours)
    few = map_pictures.drawn(points, pictures, [entry] * 10, 1, [False] * 9 + [True])
    shown = [colour for colour in colours if colour in _colours_of(few)[0]]
    assert shown == colours[9:]  # generated covers come first


def _colours_of(image):
    counts = sorted(image.getcolors(2**20), reverse=True)
    return [colour for _, colour in counts], [count for count, _ in counts]


def test_a_sheet_has_each_cover_in_its_cell():
    pictures = [np.full((8, 8, 3), 25 * i, np.uint8) for i in range(7)]
    jpeg, num_columns = map_pictures.sheet(pictures)
    sheet = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), float)
    side = map_pictures.THUMBNAIL
    for i in range(7):
        row, column = divmod(i, num_columns)
        cell = sheet[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert abs(cell[4:-4, 4:-4].mean() - 25 * i) < 3


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A tree with all that the stage reads."""
    for name in ("SHARDS", "SAMPLES", "REPORTS", "MAPS", "ROOT"):
        own = getattr(paths, name)
        monkeypatch.setattr(paths, name, tmp_path / own.relative_to(paths.ROOT))
    cover_shards.build()
    monkeypatch.setattr(params, "load", cover_shards.settings)

    def encoder(settings, name):
        assert name == "eye"
        return lambda fields: cover_shards.mean_colour(fields["picture"])

    monkeypatch.setattr(stage.encoding, "encoder", encoder)
    return tmp_path


def test_the_stage_maps_one_track_an_album_and_twice_the_same(root):
    stage.main()
    out = root / "data/maps"
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    stage.main()
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(first) == {
        *("maps.json", "covers.jpg"),
        *("eye.png", "colour.png", "ear.png", "space.png"),
    }
    found = files.read_json(out / "maps.json")
    assert [own["name"] for own in found["maps"]] == ["eye", "colour", "ear"]
    assert [own["of"] for own in found["maps"]] == ["covers", "covers", "tracks"]
    assert found["covers"]["key"] == sorted(
        (f"track-{album:02d}-0" for album in range(36)),
        key=lambda key: ({"5": 2, "4": 1}.get(str(int(key[6:8]) % 6), 0), key),
    )
    legend = [found["legend"][entry][0] for entry in found["covers"]["entry"]]
    assert legend == [genre or "no genre" for genre in found["covers"]["genre"]]
    assert found["covers"]["tonality"][:3] == ["C minor", "C♯ major", "D minor"]
    assert {len(point) for point in found["space"]["points"]} == {3}
    # Each held-out track once before any twice: six albums' twelve tracks, of which seven.
    assert len(set(found["generated"]["key"])) == len(found["space"]["generated"]) == 7
    metrics = files.read_json(root / "reports/map/covers/metrics.json")
    for name in ("eye", "colour", "ear", "space", "generated"):
        assert metrics[f"neighbour_agreement_{name}"] > 0.9, name
    assert 0.4 < metrics["neighbour_agreement_random"] < 0.6  # of two known genres


def test_of_many_albums_some_are_chosen(root, monkeypatch):
    few = cover_shards.settings(num_covers=10)
    covers = mapped_covers.read(few, 10)
    assert len(covers.keys) == len(covers.pictures) == len(set(covers.keys)) == 10
    assert covers.vectors("ear").shape == (10, 3)
    every = mapped_covers.read(few, 100)
    place = every.keys.index(covers.keys[7])
    np.testing.assert_array_equal(every.vectors("ear")[place], covers.vectors("ear")[7])


def test_what_is_missing_is_named(root, monkeypatch):
    covers = mapped_covers.read(cover_shards.settings(), 100)
    with pytest.raises(PipelineError, match="dvc repro generate@nobody"):
        covers.vectors("nobody")
    cover_shards.write_samples("gan", [], np.random.default_rng(0))
    with pytest.raises(PipelineError, match=r"maps.gan=gan drew no cover"):
        stage.main()
    monkeypatch.setattr(cover_maps, "MIN_POINTS", 99)
    with pytest.raises(PipelineError, match="has 36 albums: a map needs 99"):
        stage.main()


def test_a_network_that_sees_no_pictures_is_refused(root, monkeypatch):
    settings = cover_shards.settings()
    settings.model = lambda name: SimpleNamespace(recipe="melody_rnn")
    with pytest.raises(PipelineError, match="a melody_rnn does not encode pictures"):
        stage._seen(settings, [])
