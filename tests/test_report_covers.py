"""Maps and galleries in the report: offline, of the right covers, and safe against their names."""

import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cover_shards
import numpy as np
import pytest
from PIL import Image

from pipeline import files, paths, report, report_covers, report_maps, samples

EVIL = "<img src=x onerror=alert(1)>"
_WHOLE = (Path(report.__file__).with_name("report.html.j2")).read_text("utf-8")
_PAGE = f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>t</title>
{_WHOLE[_WHOLE.index("<style>") : _WHOLE.index("</style>")]}
{{% include "report_maps.css" %}}</style></head><body>{{% include "report_maps.html.j2" %}}
{{% include "report_covers.html.j2" %}}</body></html>"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The stage map's outs of toys."""
    root = tmp_path_factory.mktemp("tree")
    with pytest.MonkeyPatch.context() as patch:
        _into(root, patch)
        cover_shards.build()
        cover_shards.build_maps(patch)
    return root


@pytest.fixture
def root(tree, tmp_path, monkeypatch):
    """A copy of these, with a name that attacks the page."""
    shutil.copytree(tree, tmp_path, dirs_exist_ok=True)
    _into(tmp_path, monkeypatch)
    path = paths.MAPS / "maps.json"
    found = files.read_json(path)
    found["gan"] = EVIL
    found["covers"]["key"][0] = "</script>\u2028" + EVIL
    files.write_json(path, found)
    return tmp_path


def _into(root, patch):
    for name in ("SHARDS", "SAMPLES", "REPORTS", "MAPS", "ROOT"):
        patch.setattr(paths, name, root / getattr(paths, name).relative_to(paths.ROOT))


def _built(root):
    """The page of maps and galleries alone, with its assets."""
    folder = paths.MAPS
    known = report_covers.known(paths.shards("covers"))
    found = report_covers.galleries("gan", paths.samples("gan"), known, seed=0)
    with files.atomic_directory(root / "reports/assets") as assets:
        report_maps.write_assets(folder, assets)
        for gallery in found:
            gallery.write(assets)
    template = report._template().environment.from_string(_PAGE)
    model = {"name": EVIL, "galleries": found}
    page = template.render(maps=report_maps.maps(folder), model=model)
    (root / "reports/index.html").write_text(page, "utf-8")
    return page


def test_figures_are_ones_that_plotly_takes(root):
    from plotly import graph_objects

    found = files.read_json(paths.MAPS / "maps.json")
    figures = report_maps.figures(found)
    assert list(figures) == ["eye", "colour", "ear", "space"]
    for name, figure in figures.items():
        graph_objects.Figure(figure)  # raises on an unknown key or value
        count = 36 + (7 if name == "space" else 0)
        points = {
            index: tuple(trace[axis][i] for axis in "xyz" if axis in trace)
            for trace in figure["data"]
            for i, index in enumerate(trace["customdata"])
        }
        assert sorted(points) == list(range(count))
        own = next((m for m in found["maps"] if m["name"] == name), found["space"])
        every = own["points"] + own.get("generated", [])
        assert [list(points[i]) for i in range(count)] == every
    markers = {t["name"]: t["marker"]["symbol"] for t in figures["space"]["data"]}
    assert all((symbol == "diamond") == ("generated" in n) for n, symbol in markers.items())
    # plotly shows some HTML of a name, links among it.
    assert '&lt;b onclick="alert(1)"&gt;Jazz&lt;/b&gt;' in markers
    assert not [name for name in markers if "<" in name]


def test_assets_need_no_network_and_equal_inputs_give_equal_bytes(root):
    from importlib.resources import files as resources

    _built(root)
    assets = {path.name: path.read_bytes() for path in (root / "reports/assets").iterdir()}
    _built(root)
    assert assets == {path.name: path.read_bytes() for path in (root / "reports/assets").iterdir()}
    package = resources("plotly") / "package_data" / "plotly.min.js"
    assert assets["plotly.min.js"] == package.read_bytes()
    data = assets["map-data.js"].decode("ascii")
    assert "\n" not in data.rstrip("\n")
    told = json.loads(re.fullmatch(r"window\.coverMaps = (.*);\n", data)[1])
    assert told["told"][0][2] == "</script>\u2028" + EVIL + " (train)"
    assert len(told["told"]) == 36 + 7
    program = assets["map.js"].decode("ascii")
    assert "innerHTML" not in program
    assert "sendChartToCloud" in program  # among the buttons that are removed
    assert "http" not in program


class _Tags(HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.tags = []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_the_page_loads_only_its_assets_and_names_stay_text(root):
    page = _built(root)
    tags = _Tags(page).tags
    links = [a[key] for _, a in tags for key in ("src", "href") if key in a]
    assets = {f"assets/{path.name}" for path in (root / "reports/assets").iterdir()}
    assert set(links) == assets
    assert not [key for _, a in tags for key in a if key.startswith("on")]
    assert EVIL not in page
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert all(a.get("alt") for tag, a in tags if tag == "img")
    options = [a["value"] for tag, a in tags if tag == "option"]
    assert options == ["eye", "colour", "ear"]


def test_the_table_has_each_map_with_what_chance_gives(root):
    metrics = files.read_json(paths.report("map", "covers") / "metrics.json")
    maps = report_maps.maps(paths.MAPS)
    assert maps.generated.share == metrics["neighbour_agreement_generated"]
    assert maps.generated.random == metrics["neighbour_agreement_generated_random"]
    assert maps.space.share == metrics["neighbour_agreement_space"]
    assert [own.share for own in maps.flat] == [
        metrics[f"neighbour_agreement_{name}"] for name in ("eye", "colour", "ear")
    ]
    assert maps.flat[2].heading == "Tracks as ear hears them"


def _tile(image, row, column, num_columns, has_headings):
    """A cover of a gallery, by what the module says of its measures."""
    step = report_covers._TILE + report_covers._GAP
    left = image.width - report_covers._MARGIN - num_columns * step
    top = report_covers._MARGIN + (report_covers._HEADING if has_headings else 0)
    corner = (left + column * step, top + row * step)
    return np.asarray(
        image.crop((*corner, corner[0] + report_covers._TILE, corner[1] + report_covers._TILE))
    )


def _large(cover):
    size = (report_covers._TILE, report_covers._TILE)
    return np.asarray(Image.fromarray(cover).resize(size, Image.Resampling.LANCZOS))


def _found():
    known = report_covers.known(paths.shards("covers"))
    return report_covers.galleries("gan", paths.samples("gan"), known, seed=0)


def test_a_row_has_the_real_cover_what_was_drawn_and_the_nearest_of_training(root):
    drawn = samples.load(paths.samples("gan"))
    known = report_covers.known(paths.shards("covers"))
    assert len(known.keys) == 24  # albums of the training split
    (copied,) = (
        np.asarray(Image.open(io.BytesIO(record["picture"])))
        for record in cover_shards.records("train")
        if record["key"] == known.keys[9]
    )
    drawn[3]["picture"] = copied  # what the second track's first latent gives
    samples.save(drawn, paths.samples("gan"))
    tracks, _ = _found()
    for row in (0, 1):
        own = drawn[3 * row : 3 * row + 3]
        expected = [own[0]["source_picture"], *(record["picture"] for record in own)]
        for column, cover in enumerate(expected):
            np.testing.assert_array_equal(_tile(tracks.image, row, column, 5, True), _large(cover))
    np.testing.assert_array_equal(_tile(tracks.image, 1, 4, 5, True), _large(copied))


def test_conditions_are_dealt_out_so_that_no_track_has_its_own(root):
    drawn = [record for record in samples.load(paths.samples("gan")) if record["latent"] == 0]
    _, conditions = _found()
    own = [_tile(conditions.image, 1, column, 9, False) for column in range(9)]
    other = [_tile(conditions.image, 2, column, 9, False) for column in range(9)]
    for column in range(9):
        np.testing.assert_array_equal(own[column], _large(drawn[column]["picture"]))
        assert not (own[column] == other[column]).all()
    assert sorted(tile.tobytes() for tile in own) == sorted(tile.tobytes() for tile in other)


def test_without_a_condition_covers_stand_above_their_nearest(root):
    plain = [{"picture": r["picture"]} for r in samples.load(paths.samples("gan"))[:12]]
    samples.save(plain, paths.samples("gan"))
    (only,) = _found()
    np.testing.assert_array_equal(_tile(only.image, 2, 1, 9, False), _large(plain[10]["picture"]))
    samples.save([], paths.samples("gan"))
    assert _found() == []


_PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const [flat, space, card] = ["map-flat", "map-space", "map-card"].map(
    id => document.getElementById(id));
  const { xaxis, yaxis } = flat._fullLayout, trace = flat._fullData[0];
  const box = flat.getBoundingClientRect();
  const place = {
    clientX: box.left + xaxis._offset + xaxis.d2p(trace.x[0]),
    clientY: box.top + yaxis._offset + yaxis.d2p(trace.y[0]), bubbles: true,
  };
  const surface = flat.querySelector(".nsewdrag");
  for (const kind of ["mouseover", "mousemove"]) surface.dispatchEvent(new MouseEvent(kind, place));
  setTimeout(() => console.log("probe " + JSON.stringify({
    card: [...card.children].map(line => line.textContent), hidden: card.hidden,
    tags: card.querySelectorAll("img, b").length,
    legend: [...flat.querySelectorAll(".legendtext")].map(text => text.textContent),
    buttons: [...document.querySelectorAll(".modebar-btn")].map(button => button.dataset.title),
    space: space._fullData.length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  })), 400);
}, 1200));
</script></body>"""


@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_draws_the_maps_and_tells_of_a_cover(root, width):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed, so no browser has looked at the maps")
    page = _built(root).replace("</body>", _PROBE)
    (root / "reports/index.html").write_text(page, "utf-8")
    command = [browser, "--headless", "--no-sandbox", "--enable-logging=stderr"]
    command += ["--enable-unsafe-swiftshader", "--virtual-time-budget=6000"]
    command += [f"--user-data-dir={root / 'profile'}", "--host-resolver-rules=MAP * 0.0.0.0"]
    command += [f"--window-size={width},2400", f"--screenshot={root / 'x.png'}"]
    command += [(root / "reports/index.html").as_uri()]
    log = subprocess.run(command, capture_output=True, timeout=120).stderr.decode()
    logged = re.search(r"probe (\{.*?\})\"", log)
    assert logged, log
    found = json.loads(logged[1])
    assert not found["hidden"]
    assert found["tags"] == 0
    legend = files.read_json(paths.MAPS / "maps.json")["legend"]
    labels = [label for label, _ in legend]
    assert found["legend"] == labels  # a stranger's <b> is shown as such
    assert found["card"][1] == labels[0]
    assert re.fullmatch(r"(\S+ (major|minor))", found["card"][2])
    assert "Share chart..." not in found["buttons"]
    assert found["space"] > len(labels)
    assert found["overflow"] == 0
    assert "Uncaught" not in log
