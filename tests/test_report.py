"""The report, built from inputs in the formats of the other stages, with names that attack it."""

import csv
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote

import cover_shards
import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image

from pipeline import (
    charts,
    files,
    markdown,
    paths,
    report,
    report_cover_tables,
    report_genre,
    report_results,
    report_transfers,
    samples,
)
from pipeline.errors import PipelineError
from pipeline.metrics import pianoroll, picture
from pipeline.wording import DRAWN, control_verdict, meaning, verdict

EVIL = '<script>alert(1)</script> & "quotes"'
EVIL_GENRE = '<b onclick="alert(1)">Jazz</b>'
EVIL_JUDGE = 'judge_<img src=x onerror=alert(1)> & "quotes"'
EVIL_NAME = 'melody_<img src=x onerror=alert(1)> & "quotes"'  # a file's name cannot hold a slash
METRICS = {
    "num_pitches_used": (11, 3, True),
    "pitch_range": (16, 4, True),
    "polyphony": (1, 0, False),
    "scale_consistency": (0.95, 0.04, False),
    "pitch_class_entropy": (2.6, 0.3, False),
    "groove_consistency": (0.93, 0.03, False),
    "empty_beat_rate": (0.06, 0.05, False),
}
CORPORA = {
    "lakh_melody": ("lakh", "melody"),
    "maestro_performance": ("maestro", "performance"),
    "covers": ("spotify_covers", "cover"),
}
# Each by its distance from the truth, whether it is a baseline, and its margin.
TRANSFERS = {"far_method": (9.0, False, -1.0), "near_method": (4.0, False, 4.0),
             "copy_notes": (8.5, True, 2.0)}  # fmt: skip
MODELS = {EVIL_NAME: (0.08, 0.03, 0.13), "melody_mono": (-0.06, -0.1, -0.02)}
MAP_FILES = {
    *(f"map-{name}.png" for name in ("eye", "colour", "ear", "space")),
    *("map-covers.jpg", "map-data.js", "map.js", "plotly.min.js"),
}


def build_inputs(root, toys, models, corpora=CORPORA, num_rendered=2, blocks=None):
    """Leaves all that the report reads below `root`.

    Args:
      root: an empty directory.
      toys: the fixture of that name.
      models: by name, (margin, low, high).
      corpora: by name, (dataset, codec).
      num_rendered: samples with sound and picture.
      blocks: by name of a model, what else its block of params.yaml says.
    """
    block = {"full": {}, "demo": {}, "smoke": {}}
    corpus = next(iter(corpora))
    settings = {
        "profile": "demo",
        "seed": 1,
        "datasets": {d: {"source": "auto", "reads": "x", **block} for d, _ in corpora.values()},
        "corpora": {c: {"dataset": d, "codec": k, **block} for c, (d, k) in corpora.items()},
        "models": {
            m: {"recipe": "r", "nn": "n", "corpus": corpus, "reads": "x", "metrics": "symbolic"}
            | {"judge": m, **block, **(blocks or {}).get(m, {})}
            for m in models
        },
        "generate": block,
        "evaluate": block,
        "pairs": {"corpus": corpus, **block},
        "transfers": {
            name: {"method": "m", "model": None, "reads": "x", **block} for name in TRANSFERS
        },
        "maps": {"corpus": "covers", "picture_network": "eye", "encoders": ["ear"], "gan": "gan"}
        | block,
        "mlflow": {"experiment": "x", "tracking_uri": None},
    }
    with files.atomic_open(root / "params.yaml", "w") as file:
        yaml.safe_dump(settings, file, sort_keys=False, allow_unicode=True)
    for index, name in enumerate(corpora):
        _build_corpus(root / "reports/describe" / name, name, index)
    for index, (name, margin) in enumerate(models.items()):
        rng = np.random.default_rng([7, index])
        _build_training(root / "reports/train" / name, rng)
        _build_evaluation(root / "reports/evaluate" / name, margin, rng)
        _build_samples(root / "data/samples" / name, name, num_rendered)
    _build_transfers(root)
    shutil.copytree(toys / "data/maps", root / "data/maps")


def _build_transfers(root):
    """Two pairs, of which one is in the report; the far method could not use it."""
    stems, measures = ("pair-000", "pair-001"), ("oracle_distance_db", "mfcc_distance_ratio")
    methods, rows = {}, []
    for name, (distance, is_baseline, margin) in TRANSFERS.items():
        rejected = {"pair-000": EVIL} if name == "far_method" else {}
        about = {"name": name, "is_baseline": is_baseline, "rejected": rejected}
        files.write_json(root / "data/transfers" / name / "transfers.json", about)
        if not rejected:
            _build_sound(root / "data/transfers" / name / "pair-000")
        methods[name] = _with_intervals(oracle_distance_db=distance, mfcc_distance_ratio=0.4)
        methods[name] |= _with_intervals(oracle_distance_margin=margin, note_f1_normalized=0.9)
        methods[name] |= {"num_rejected": len(rejected)}
        rows += [[name, stem, distance, 0.4, 0.9] for stem in stems if stem not in rejected]
    methods["oracle"] = _with_intervals(oracle_distance_db=0.0) | {"num_rejected": 0}
    for which in ("notes", "sound", "oracle"):
        _build_sound(root / "data/pairs" / f"pair-000-{which}")
    pairs = [{"stem": stem, "notes_qpm": 90.0} for stem in stems]
    about = {"source": "demo", "sample_rate": 16000, "num_rendered": 1, "pairs": pairs}
    files.write_json(root / "data/pairs/pairs.json", about)
    folder = root / "reports/compare/transfers"
    metrics = {"source": "demo", "profile": "demo", "num_pairs": 2, "methods": methods}
    files.write_json(folder / "metrics.json", metrics)
    _write_csv(
        folder / "plots/pairs.csv", ["method", "pair", *measures, "note_f1_normalized"], rows
    )


def _build_sound(stem):
    """A sound and its picture."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(f"{stem}.wav", np.zeros(16000), 16000)
    Image.new("RGB", (88, 26), (240, 240, 240)).save(f"{stem}.png")


def _build_corpus(folder, name, index):
    source = ("demo", "official", "data/folder")[index % 3]
    metrics = {"source": source, "notice": f"A copy of {EVIL}.", "num_inputs": 4200}
    metrics |= {"num_accepted": 4100, "num_rejected": 100, f"rejected_{EVIL}": 30}
    metrics |= {"rejected_too_short": 70}
    for split, size in (("train", 3300), ("validation", 400), ("test", 410)):
        metrics |= {f"num_examples_{split}": size, f"duration_hours_{split}": size / 170}
        metrics |= {f"num_notes_{split}": size * 61, f"note_density_hz_mean_{split}": 3.13}
    files.write_json(folder / "metrics.json", metrics)
    rows, edges = [], np.linspace(0, 60, 31)
    for statistic in ("duration_seconds", "note_density_hz", "num_notes", "pitch_mean"):
        for shift, split in enumerate(("test", "train", "validation")):
            share = np.exp(-(((edges[:-1] - 25 - shift) / 9) ** 2))
            for low, high, s in zip(edges, edges[1:], share / share.sum(), strict=False):
                rows.append([statistic, split, f"{low:.6g}", f"{high:.6g}", f"{s:.6f}"])
    _write_csv(
        folder / "plots/distributions.csv", ["statistic", "split", "low", "high", "share"], rows
    )
    card = f"# {name}: {EVIL} 0.1 as melody\n\n- Source: **{source}**. {EVIL}\n- Licence: CC\n"
    card += f"\n| file used | sha256 |\n|---|---|\n| {EVIL} | {'0f' * 32} |\n"
    with files.atomic_open(folder / "card.md", "w") as file:
        file.write(card)


def _build_training(folder, rng, num_epochs=24):
    loss = 0.75 + 1.6 * np.exp(-np.arange(num_epochs) / 6) + rng.normal(0, 0.01, num_epochs)
    val_loss = loss + 0.04 + 0.0009 * np.arange(num_epochs) ** 1.6
    best = int(val_loss.argmin())
    rows = [
        [i + 1, 0.6, f"{a:.6f}", 0.58, f"{b:.6f}"]
        for i, (a, b) in enumerate(zip(loss, val_loss, strict=True))
    ]
    header = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    _write_csv(folder / "plots/curves.csv", header, rows)
    metrics = {"num_epochs": num_epochs, "best_epoch": best + 1, "num_parameters": 1234567}
    files.write_json(folder / "metrics.json", metrics | {"val_loss": round(val_loss[best], 6)})


def _build_evaluation(folder, margin, rng):
    metrics = {"source": "demo", "profile": "demo", "num_samples": 64}
    own = 0.95 - margin[0]
    for suffix, nll in (("", own), ("_baseline", 0.95), ("_control", 1.9)):
        metrics |= {f"nll{suffix}": nll, f"nll_low{suffix}": nll - 0.05}
        metrics |= {f"nll_high{suffix}": nll + 0.05, f"accuracy{suffix}": 1 - 0.4 * nll}
    metrics |= dict(zip(("nll_margin", "nll_margin_low", "nll_margin_high"), margin, strict=True))
    values = {which: {} for which in ("generated", "held_out", "training")}
    for metric, (mean, spread, is_whole) in METRICS.items():
        for shift, (which, num) in enumerate(
            (("generated", 64), ("held_out", 90), ("training", 200))
        ):
            drawn = rng.normal(mean * (1 - 0.02 * shift), spread, num)
            drawn = np.round(drawn) if is_whole else drawn
            values[which][metric] = [None, *(round(float(v), 6) for v in drawn)]
        metrics |= {metric: mean, f"{metric}_low": mean * 0.97, f"{metric}_high": mean * 1.03}
        metrics |= {f"{metric}_held_out": mean * 0.98, f"{metric}_training": mean * 0.99}
        metrics |= {f"{metric}_overlapped_area": 0.83, f"{metric}_overlapped_area_held_out": 0.94}
    for suffix, number in (("", 9.4), ("_held_out", 8.8)):
        metrics |= {f"longest_match{suffix}": number, f"longest_match_max{suffix}": number + 13}
        metrics |= {f"nearest_jaccard{suffix}": 0.05, f"seen_share_8{suffix}": 0.21}
        metrics |= {f"seen_share_16{suffix}": 0.02, f"seen_share_32{suffix}": None}
    files.write_json(folder / "metrics.json", metrics)
    files.write_json(folder / "plots/distributions.json", values)
    rows = [
        [order, f"ngram, {smoothing}", 0.95 + 0.5 / order + (0.03 if order > 6 else 0) + gap]
        for smoothing, gap in (("kneser_ney", 0), ("witten_bell", 0.05))
        for order in range(1, 9)
    ]
    _write_csv(folder / "plots/baselines.csv", ["order", "baseline", "nll"], rows)
    _build_judgements(folder)


def _build_judgements(folder, confusion=(), verdicts=()):
    _write_csv(folder / "plots/confusion.csv", ["actual", "predicted"], confusion)
    _write_csv(folder / "plots/verdicts.csv", ["sample", "heard", "probability"], verdicts)


def _build_samples(folder, name, num_rendered, genres=("", ""), source_genres=("", "")):
    """Samples of these genres in turn; with sources where these have one."""
    rendered = []
    for index in range(num_rendered):
        stem = f"{name}-{index:03d}"
        genre, source_genre = (found[index % len(found)] for found in (genres, source_genres))
        source = f"{stem}-source" if source_genre else ""
        rendered.append({"stem": stem, "genre": genre})
        rendered[-1] |= {"source_stem": source, "source_genre": source_genre}
    about = {"model": name, "corpus": "c", "source": "demo", "num": 64}
    files.write_json(folder / "samples.json", about | {"rendered": rendered})
    for bare in [s for row in rendered for s in (row["stem"], row["source_stem"]) if s]:
        stem = folder / bare
        seconds = np.arange(22050) / 22050
        soundfile.write(f"{stem}.wav", 0.5 * np.sin(2 * np.pi * 220 * seconds), 22050, "PCM_16")
        Image.new("RGB", (88, 26), (240, 240, 240)).save(f"{stem}.png")
        Path(f"{stem}.mid").write_bytes(b"MThd\0\0\0\6\0\0\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0")


def _write_csv(path, header, rows):
    with files.atomic_open(path, "w") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


GENRES = ("Rock", EVIL_GENRE)
ROLL_METRICS = (
    "drum_in_pattern_rate",
    *(f"empty_bar_rate_{track}" for track in ("drums", "piano", "guitar", "bass", "strings")),
    *(f"qualified_note_rate_{track}" for track in ("piano", "guitar", "bass", "strings")),
    "tonal_distance_piano_bass",
    EVIL,  # a metric that the report has no words for
)


def build_genre_inputs(root, toys):
    """A classifier, a model of a genre, and a transfer, both judged by the first; and the others.

    The classifier's name and one genre attack the page.
    """
    blocks = {name: {"judge": EVIL_JUDGE} for name in ("gan_toy", "cyclegan_toy")}
    models = dict.fromkeys((EVIL_JUDGE, *blocks), (0, 0, 0)) | MODELS
    build_inputs(root, toys, models, blocks=blocks)
    _build_classifier(root, EVIL_JUDGE)
    rock, other = GENRES
    heard = [(0, rock, "0.9876"), (1, rock, "0.6000"), *((i, rock, "0.5") for i in range(2, 64))]
    _build_judged(root, "gan_toy", _condition_metrics(), ("shuffled_notes", "untrained"))
    _build_judgements(root / "reports/evaluate/gan_toy", verdicts=heard)
    _build_samples(root / "data/samples/gan_toy", "gan_toy", 2, GENRES)
    _build_judged(root, "cyclegan_toy", _transfer_metrics(), ("shuffled_notes",))
    heard = [(0, other, "0.7512"), (1, rock, "0.8000")]
    _build_judgements(root / "reports/evaluate/cyclegan_toy", verdicts=heard)
    folder = root / "data/samples/cyclegan_toy"
    _build_samples(folder, "cyclegan_toy", 2, (other, rock), (rock, other))


def _build_classifier(root, name):
    folder, samples = root / "reports/evaluate" / name, root / "data/samples" / name
    metrics = {"source": "demo", "profile": "demo", "balanced_accuracy": 0.777}
    metrics |= _with_intervals(accuracy=0.8, accuracy_margin=0.1, accuracy_above_majority=0.6)
    metrics |= _with_intervals(accuracy_majority=0.2, accuracy_roll_histograms=0.7)
    files.write_json(folder / "metrics.json", metrics)
    files.write_json(folder / "plots/distributions.json", {})
    rock, other = GENRES
    pairs = [(rock, rock)] * 3 + [(rock, other)] + [(other, other)] * 4 + [(other, "Unasked")]
    _build_judgements(folder, confusion=pairs)
    shutil.rmtree(samples)
    files.write_json(samples / "samples.json", {"model": name, "num": 0, "rendered": []})


def _condition_metrics():
    metrics = _with_intervals(condition_margin=0.4, condition_accuracy=0.6)
    metrics |= _with_intervals(condition_accuracy_shuffled=0.2, condition_accuracy_held_out=0.95)
    metrics |= _with_intervals(**{f"condition_accuracy_{g.lower()}": 0.6 for g in GENRES})
    return metrics | {"num_metrics_nearer_than_untrained": 11}


def _transfer_metrics():
    metrics = _with_intervals(transfer_strength_margin=-0.2, content_margin=0.3)
    metrics |= _with_intervals(accuracy_target=0.83, accuracy_target_source=0.04)
    metrics |= _with_intervals(content_overlap=0.44, content_overlap_random=0.11)
    metrics |= _with_intervals(transfer_strength_seed_0=-0.1, transfer_strength_seed_1=-0.3)
    metrics |= _with_intervals(**{f"transfer_strength_{GENRES[0]}_to_{GENRES[1]}".lower(): -0.2})
    return metrics | {"transfer_strength_spread": 0.141}


def _with_intervals(**values):
    ends = {"": 0, "_low": -0.05, "_high": 0.05}
    return {f"{key}{end}": v + shift for key, v in values.items() for end, shift in ends.items()}


def _build_judged(root, name, judged, contrasts):
    """Metrics of piano rolls and of a judge."""
    folder, rng = root / "reports/evaluate" / name, np.random.default_rng(9)
    sets = ("generated", "held_out", "training", *contrasts)
    values = {which: {m: [None, *rng.random(20)] for m in ROLL_METRICS} for which in sets}
    suffixes = ("", "_low", "_high", *(f"_{which}" for which in sets[1:]))
    areas = ("_overlapped_area", "_overlapped_area_held_out")
    metrics = {"source": "demo", "profile": "demo", "num_samples": 64, "num_metrics": 12}
    metrics |= {f"{m}{s}": 0.5 for m in ROLL_METRICS for s in (*suffixes, *areas)}
    metrics |= {"num_metrics_nearer_than_shuffled_notes": 10, "longest_match": 3.0}
    metrics |= {"longest_match_held_out": 2.0, "qualified_note_rate_strings": None}
    for suffix in ("", "_held_out", "_training"):
        metrics |= {f"pairwise_distance{suffix}": 0.97}
        metrics |= {f"pairwise_distance_within_genre{suffix}": 0.91 + 0.01 * len(suffix)}
    files.write_json(folder / "metrics.json", metrics | judged)
    files.write_json(folder / "plots/distributions.json", values)
    (folder / "plots/baselines.csv").write_text("order,baseline,nll\n")


# Of models of covers, by name: block of params.yaml, and measures; all else is of no kind.
DRAWS = {"corpus": "covers", "judge": "eye", "metrics": "picture"}
NEAR = {"fid": 3.25, "fid_held_out": 1.5, "kid": 0.04, "kid_held_out": 0.01, "coverage": 0.6,
        "coverage_held_out": 0.9}  # fmt: skip


def _retrieval(rank, p, ceiling_p=0.001):
    found = _with_intervals(retrieval_rank=rank, retrieval_rank_shuffled=0.5)
    found |= _with_intervals(retrieval_margin=rank - 0.5, ceiling_rank=0.95)
    found |= {"retrieval_p": p, "ceiling_p": ceiling_p, "ceiling_rank_from_generated": 0.875}
    return NEAR | found | {"diversity_within_track": 4.0, "diversity_between_tracks": 7.0}


HEARD = {"genre_accuracy_majority": 0.25, "tempo_r2": 0.5, "energy_r2": -0.125,
         "neighbour_agreement": 0.75, "neighbour_agreement_random": 0.2}  # fmt: skip
COVER_MODELS = {
    "ear": ({}, {"genre_accuracy": 0.5, "genre_accuracy_margin": 0.25} | HEARD),
    EVIL_JUDGE: (
        {},
        {"genre_accuracy": 0.375, "genre_accuracy_margin": 0.125, "balanced_accuracy": 0.7}
        | _with_intervals(accuracy=0.8, accuracy_margin=0.6, accuracy_majority=0.2)
        | HEARD,
    ),
    "eye": (
        {},
        {"view_accuracy": 0.9, "view_accuracy_histogram": 0.5, "view_accuracy_thumbnail": 0.7}
        | {"view_accuracy_margin": 0.2},
    ),
    "gan": (DRAWS | {"full": {"condition": "ear"}}, _retrieval(0.9, 0.001)),
    "gan_dull": (DRAWS | {"full": {"condition": EVIL_JUDGE}}, _retrieval(0.52, 0.3)),
    "gan_shuffled": (
        DRAWS | {"full": {"condition": "ear", "is_shuffled": True}},
        _retrieval(0.51, 0.4),
    ),
    "gan_blind": (DRAWS, _retrieval(0.9, 0.001, ceiling_p=0.2)),
    EVIL_NAME: (DRAWS | {"full": {"condition": None}}, NEAR),
}


def build_cover_inputs(root, toys):
    """Encoders of tracks, a network of pictures, GANs; names that attack the page among them."""
    blocks = {name: block for name, (block, _) in COVER_MODELS.items()}
    build_inputs(root, toys, dict.fromkeys(COVER_MODELS, (0, 0, 0)), blocks=blocks)
    shutil.copytree(toys / "data/shards", root / "data/shards")
    for name, (block, measured) in COVER_MODELS.items():
        folder, own = root / "reports/evaluate" / name, root / "data/samples" / name
        margins = {key: value for key, value in measured.items() if key.endswith("_margin")}
        metrics = {"source": "demo", "profile": "demo", **_with_intervals(**margins), **measured}
        shutil.rmtree(own)
        rendered, values = [], {}
        if block:
            shutil.copytree(toys / "data/samples/gan", own)
            if name == EVIL_NAME:
                _untell(own)
            rendered = [dict.fromkeys(("stem", "genre", "source_stem", "source_genre"), "")]
            rendered = [{**rendered[0], "medium": "picture", "stem": f"{name}-000"}]
            values = {which: {"brightness": [0.25, 0.5]} for which in report.REFERENCES}
        files.write_json(own / "samples.json", {"model": name, "num": 18, "rendered": rendered})
        files.write_json(folder / "metrics.json", metrics)
        files.write_json(folder / "plots/distributions.json", values)


def _untell(folder):
    """Samples as a model leaves them that is told nothing of a track."""
    samples.save([{"picture": r["picture"]} for r in samples.load(folder)], folder)


def use_root(monkeypatch, root):
    for name in ("PARAMS", "REPORTS", "SHARDS", "SAMPLES", "PAIRS", "TRANSFERS", "MAPS", "ROOT"):
        monkeypatch.setattr(paths, name, root / getattr(paths, name).relative_to(paths.ROOT))


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """A corpus of covers, samples and maps, as stages leave them."""
    root = tmp_path_factory.mktemp("toys")
    with pytest.MonkeyPatch.context() as patch:
        use_root(patch, root)
        cover_shards.build()
        cover_shards.build_maps(patch)
    return root


@pytest.fixture
def root(tmp_path, toys, monkeypatch):
    build_inputs(tmp_path, toys, MODELS)
    use_root(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def genres(tmp_path, toys, monkeypatch):
    build_genre_inputs(tmp_path, toys)
    use_root(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def covers(tmp_path, toys, monkeypatch):
    build_cover_inputs(tmp_path, toys)
    use_root(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def genre_page(tmp_path_factory, toys):
    """The page of them, for tests that only read it."""
    return _page_of(build_genre_inputs, tmp_path_factory.mktemp("genres"), toys)


@pytest.fixture(scope="module")
def cover_page(tmp_path_factory, toys):
    return _page_of(build_cover_inputs, tmp_path_factory.mktemp("covers"), toys)


def _page_of(build, root, toys):
    build(root, toys)
    with pytest.MonkeyPatch.context() as patch:
        use_root(patch, root)
        return _built(root)


@pytest.fixture(params=["root", "genres", "covers"])
def either(request):
    return request.getfixturevalue(request.param)


class Page(HTMLParser):
    """Tags with their attributes, and text: all of it, and that of rows, captions and headings.

    Attributes:
      texts: by tag, the text of each element of it; tags within it add to it.
    """

    def __init__(self, source):
        super().__init__()
        self.tags = []
        self.text = ""
        self.texts = {"tr": [], "h3": [], "h4": [], "figcaption": []}
        self.inside = []
        self.source = source
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in self.texts:
            self.texts[tag].append("")
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.texts:
            self.inside.remove(tag)

    def handle_data(self, data):
        self.text += data
        for tag in self.inside:
            self.texts[tag][-1] += f"{data} "

    def plain(self, tag):
        """The text of each element of a tag, its white space made plain."""
        return [" ".join(text.split()) for text in self.texts[tag]]

    def row(self, *words):
        """The only row that begins with these words and no others."""
        (found,) = [row for row in self.plain("tr") if row.startswith(f"{' '.join(words)} ")]
        return found

    def article(self, model):
        """The part of the page that is about a model."""
        start = f'<article aria-labelledby="model-{quote(model)}">'
        _, _, rest = self.source.partition(start)
        return Page(start + rest.partition("</article>")[0])

    def results(self):
        """By heading, the models that stand in each table of results."""
        section = self.source.partition('<h2 id="results">')[2].partition("</section>")[0]
        row = re.compile(r'<tr><th scope="row"><a href="#model-([^"]+)">')
        return {
            Page(f"<h3>{part}").plain("h3")[0]: [unquote(name) for name in row.findall(part)]
            for part in section.split("<h3>")[1:]
        }

    def links(self):
        for tag, attributes in self.tags:
            for key in ("href", "src"):
                if key in attributes:
                    yield tag, attributes[key]


def _built(root):
    report.main()
    return Page((root / "reports/index.html").read_text("utf-8"))


def test_every_link_leads_somewhere(either):
    root, page = either, _built(either)
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    relative = {link for _, link in page.links() if not re.match(r"https?:|data:,$", link)}
    for link in relative:
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert (root / "reports" / unquote(link)).is_file(), link
    found = {unquote(link) for link in relative if link.startswith("assets/")}
    assert found == {f"assets/{p.name}" for p in (root / "reports/assets").iterdir()}
    stems = [path.stem for path in (root / "data/samples").glob("*/*.mid")]
    of_pairs = 2 * (3 + 2)  # mp3 and png of three songs and two transfers
    drawn = list((root / "data/samples").glob("gan*/records.npz"))
    # Of what is told of tracks two galleries, of the other model one.
    of_covers = 2 * len(drawn) + 1 if drawn else 0
    # mid, mp3, png of each
    assert len(found) == len(stems) * 3 + of_pairs + len(MAP_FILES) + of_covers
    assert {f"assets/{name}" for name in MAP_FILES} <= found
    assert (len(stems), len(drawn)) in ((2 * 2, 0), (2 * 2 + 2 + 4, 0), (0, 4))


def test_nothing_is_loaded_from_elsewhere(either):
    page = _built(either)
    assert all(tag == "a" for tag, link in page.links() if link.startswith("http"))
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert not {"iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    names = ("plotly.min.js", "map-data.js", "map.js")
    assert scripts == [{"src": f"assets/{name}", "defer": None} for name in names]
    assert page.source.count("<script") == len(scripts)
    assert re.findall(r"(?s)<script[^>]*>(.*?)</script>", page.source) == [""] * len(scripts)


def test_names_and_notices_stay_text(either):
    page = _built(either)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert all(attributes["src"].startswith("assets/") for attributes in images)
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert "<b onclick" not in page.source
    assert "<img src=x" not in page.source
    assert EVIL_NAME in page.text


def test_corpora_quote_what_they_are_told(root):
    # In each corpus its notice, its reason, and three times in its card.
    assert _built(root).text.count(EVIL) == len(CORPORA) * 5


def test_ids_are_unique_and_headings_in_order(either):
    page = _built(either)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_equal_inputs_give_equal_bytes(root, toys, tmp_path_factory, monkeypatch):
    report.main()
    first = _digests(root / "reports")
    report.main()
    assert _digests(root / "reports") == first
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    build_inputs(elsewhere, toys, MODELS)
    use_root(monkeypatch, elsewhere)
    report.main()
    assert _digests(elsewhere / "reports") == first


def _digests(reports):
    made = [reports / "index.html", *sorted((reports / "assets").iterdir())]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in made}


def test_the_sound_is_the_same_as_mp3(root):
    report.main()
    path = root / "reports/assets/melody_mono-001.mp3"
    assert soundfile.info(path).format == "MP3"
    audio, sample_rate = soundfile.read(path)
    original, rate = soundfile.read(root / "data/samples/melody_mono/melody_mono-001.wav")
    assert sample_rate == rate
    assert len(audio) == len(original)
    assert np.corrcoef(audio, original)[0, 1] > 0.99


def test_assets_of_earlier_builds_are_gone(root):
    files.write_json(root / "reports/assets/old.json", {})
    report.main()
    assert not (root / "reports/assets/old.json").exists()


def test_the_table_shows_who_beats_the_baseline_and_who_does_not(root):
    page = _built(root)
    winner, loser = page.row(EVIL_NAME), page.row("melody_mono")
    assert "beats its baseline" in winner
    assert "+0.080" in winner
    assert "loses to its baseline" in loser
    assert "−0.060" in loser
    assert "0.950" in loser
    assert "1.010" in loser


@pytest.mark.parametrize(
    ("low", "high", "kind", "words"),
    [
        (0.01, 0.2, "good", "beats its baseline"),
        (-0.2, -0.01, "bad", "loses to its baseline"),
        (-0.01, 0.2, "even", "does not beat its baseline"),
        (0.0, 0.2, "even", "does not beat its baseline"),
        (None, None, "unknown", "not compared: no margin"),
    ],
)
def test_verdicts(low, high, kind, words):
    assert verdict({"nll_margin_low": low, "nll_margin_high": high}) == (kind, words)


@pytest.mark.parametrize(
    ("margin", "low", "kind", "words"),
    [
        ("accuracy_margin", 0.1, "good", "beats its baseline"),
        ("condition_margin", 0.1, "good", "heard as asked"),
        ("condition_margin", -0.1, "even", "not heard above chance"),
        ("condition_margin", -0.9, "bad", "heard below chance"),
        ("transfer_strength_margin", 0.1, "good", "nearer to the target genre"),
        ("transfer_strength_margin", -0.1, "even", "no nearer to the target genre"),
        ("transfer_strength_margin", -0.9, "bad", "farther from the target genre"),
    ],
)
def test_verdicts_of_what_else_a_model_must_do(margin, low, kind, words):
    """Of several margins that counts which the model is made for, not the first of the file."""
    metrics = {"content_margin_low": 0.2, "content_margin_high": 0.3}
    metrics |= {f"{margin}_low": low, f"{margin}_high": low + 0.2}
    assert verdict(dict(sorted(metrics.items()))) == (kind, words)


@pytest.mark.parametrize(
    ("control", "margin_low", "kind"),
    [
        (1.2, 0.1, "good"),
        (1.2, -0.1, "unknown"),  # shows nothing where the model fails as well
        (1.0, 0.1, "bad"),
        (0.8, -0.1, "bad"),
        (None, 0.1, "unknown"),
    ],
)
def test_a_control_must_be_worse_than_the_baseline(control, margin_low, kind):
    metrics = {"nll_control": control, "nll_baseline": 1.0, "nll_margin_low": margin_low}
    assert control_verdict(metrics | {"nll_margin_high": 0.3}).kind == kind


def test_each_kind_of_model_stands_in_a_table_of_its_own(genre_page):
    page = genre_page
    assert page.results() == {
        "Models of the next event": [EVIL_NAME, "melody_mono"],
        "Classifiers": [EVIL_JUDGE],
        "Models of a genre": ["gan_toy"],
        "Transfers between genres": ["cyclegan_toy"],
    }
    assert page.row(EVIL_JUDGE).removeprefix(EVIL_JUDGE) == (
        " beats its baseline lakh_melody 0.800 [0.750, 0.850] 0.777"
        " 0.700 roll histograms 0.200 majority +0.100 [+0.050, +0.150]"
    )
    assert page.row("gan_toy").removeprefix("gan_toy ") == (
        f"heard as asked judge: {EVIL_JUDGE} 0.600 [0.550, 0.650]"
        " 0.200 +0.400 [+0.350, +0.450] 0.950 [0.900, 1.000]"
        " 11 of 12 than untrained 10 of 12 than shuffled notes 0.910 held out 1.000"
    )
    assert page.row("cyclegan_toy").removeprefix("cyclegan_toy ") == (
        f"farther from the target genre judge: {EVIL_JUDGE} −0.200 [−0.250, −0.150]"
        " ±0.141 2 seeds 0.830 before 0.040 0.440 random pair 0.110 – random pair –"
    )


def test_encoders_networks_and_gans_have_tables_of_their_own(cover_page):
    """An encoder is one, even where it is a classifier, too."""
    page = cover_page
    assert page.results() == {
        "Encoders of tracks": ["ear", EVIL_JUDGE],
        "Judges of pictures": ["eye"],
        "Covers for tracks": ["gan", "gan_dull", "gan_shuffled", "gan_blind", EVIL_NAME],
    }
    assert page.row("ear") == (
        "ear tells genres lakh_melody 0.500 majority 0.250 +0.250 [+0.200, +0.300]"
        " 0.500 −0.125 0.750 random 0.200"
    )
    assert page.row(EVIL_JUDGE).removeprefix(EVIL_JUDGE) == (
        " tells genres lakh_melody 0.375 majority 0.250 +0.125 [+0.075, +0.175]"
        " 0.500 −0.125 0.750 random 0.200"
    )
    assert page.row("eye") == (
        "eye beats thumbnails lakh_melody 0.900 0.700 thumbnail 0.500 histogram"
        " +0.200 [+0.150, +0.250]"
    )


def test_an_encoder_that_is_a_classifier_is_explained_as_one(cover_page):
    own = cover_page.article(EVIL_JUDGE)
    said = meaning("accuracy_majority", is_classifier=True)
    assert own.row("accuracy majority").startswith(f"accuracy majority {said}")
    assert own.row("genre accuracy margin").endswith("0.125 [0.075, 0.175]")


def test_a_gan_stands_with_what_can_be_claimed_of_it(cover_page):
    verdicts = {
        "gan": ("covers lead to their track told: ear", "good"),
        "gan_dull": (f"covers do not lead to their track told: {EVIL_JUDGE}", "even"),
        "gan_shuffled": ("control fails, as it should told: ear", "good"),
        "gan_blind": (
            "nothing can be claimed: not even real covers lead to their track",
            "unknown",
        ),
        EVIL_NAME: ("told nothing of the track", "unknown"),
    }
    for name, (words, kind) in verdicts.items():
        block, measured = COVER_MODELS[name]
        is_shuffled = block.get("full", {}).get("is_shuffled", False)
        margins = _with_intervals(retrieval_margin=measured.get("retrieval_margin", 0))
        own = measured if name == EVIL_NAME else measured | margins
        claimed = report_cover_tables.verdict_of_covers(own, is_shuffled)
        assert words.startswith(claimed.words)
        assert claimed.kind == kind
        assert cover_page.row(name).removeprefix(f"{name} ").startswith(f"{words} ")
        tag = f'<span class="tag {kind}">{claimed.words}</span>'
        assert tag in cover_page.article(name).source
    assert cover_page.row("gan").endswith(
        " told: ear 0.900 [0.850, 0.950] 0.500 [0.450, 0.550] 0.0010 0.950 learned of generated"
        " 0.875 3.250 held out 1.500 0.040 held out 0.010 0.600 held out 0.900 4.000 between tracks"
        " 7.000"
    )
    nothing = "– – – – learned of generated – 3.250 held out 1.500"
    assert nothing in cover_page.row(EVIL_NAME)


def test_a_gan_shows_galleries_and_no_players(cover_page):
    own = cover_page.article("gan")
    assert own.plain("h4") == [
        "What the judge sees",
        "Covers for tracks it never heard",
        "The same latent vector, conditions dealt out anew",
        "Pictures by numbers",
    ]
    assert "in any key" not in own.text  # copies stand in the galleries
    shown = [attributes["src"] for tag, attributes in own.tags if tag == "img"]
    assert shown == ["assets/gan-tracks.png", "assets/gan-conditions.png"]
    assert "audio" not in {tag for tag, _ in own.tags}
    assert own.row("brightness").startswith("brightness mean lightness, from 0 to 1")
    assert cover_page.article(EVIL_NAME).plain("h4")[1] == "Covers"
    for name in ("ear", "eye"):  # which draw nothing
        assert not {"img", "audio"} & {tag for tag, _ in cover_page.article(name).tags}


def test_every_measure_of_covers_is_explained():
    told = [key for name in ("ear", "eye", "gan") for key in COVER_MODELS[name][1]]
    told += picture.musical_metrics(np.zeros((16, 16, 3), np.uint8))
    told += picture.set_metrics([], [])
    told = [key for key in told if not key.endswith(("_low", "_high"))]
    assert not [key for key in told if not meaning(key)]
    assert set(DRAWN) & set(picture.musical_metrics(np.zeros((16, 16, 3), np.uint8)))


def test_models_of_each_kind_are_found_by_their_measures():
    shown = [table.marker for table in report_results.TABLES]
    assert [report_results.kind({marker: 1.0} if marker else {}) for marker in shown] == shown
    assert shown[-1] == ""


def test_every_column_of_numbers_is_explained():
    for table in report_results.TABLES:
        assert table.about
        assert all(column.meaning for column in table.columns if column.is_number)


def test_taggers_and_models_without_any_measure_are_listed(genres):
    folder = genres / "reports/evaluate"
    ranked = {"roc_auc": 0.9, "roc_auc_majority": 0.5, "roc_auc_mfcc_statistics": 0.8}
    ranked |= {"average_precision": 0.3, "average_precision_majority": None}
    about = {"source": "demo", "profile": "demo"}
    files.write_json(folder / EVIL_JUDGE / "metrics.json", about | ranked)
    _build_judgements(folder / EVIL_JUDGE)
    page = _built(genres)
    assert page.results()["Taggers"] == [EVIL_JUDGE]
    found = page.row(EVIL_JUDGE).removeprefix(EVIL_JUDGE)
    assert found == " lakh_melody 0.900 0.800 mfcc statistics 0.500 majority 0.300 –"
    assert "What is taken for what" not in page.text
    files.write_json(folder / EVIL_JUDGE / "metrics.json", about)
    assert _built(genres).results()["Compared with nothing"] == [EVIL_JUDGE]


def test_a_classifier_shows_what_it_takes_for_what_and_no_music(genre_page):
    page = genre_page
    own = page.article(EVIL_JUDGE)
    assert own.plain("h4") == ["On held-out music", "What is taken for what"]
    assert page.article("melody_mono").plain("h4") == ["Samples", "Musical metrics", "Memorisation"]
    assert own.row("actual") == f"actual {EVIL_GENRE} Rock Unasked share right"
    assert own.row(EVIL_GENRE) == f"{EVIL_GENRE} 4 0 1 0.80"
    assert own.row("Rock") == "Rock 1 3 0 0.75"
    assert re.findall(r'(right)?" style="--share: ([\d.]+)"', own.source) == [
        *[("right", "0.800"), ("", "0.000"), ("", "0.200")],
        *[("", "0.250"), ("right", "0.750"), ("", "0.000")],
    ]


def test_confusion_counts_pairs():
    rng = np.random.default_rng(4)
    pairs = [(str(a), str(p)) for a, p in rng.choice(["a", "b", "c"], (50, 2))]
    found = report_genre.confusion([{"actual": a, "predicted": p} for a, p in pairs])
    assert found.predicted == ["a", "b", "c"]
    for actual, counts, total in found.rows:
        assert counts == [sum(pair == (actual, p) for pair in pairs) for p in "abc"]
        assert total == sum(counts)
    assert sum(total for *_, total in found.rows) == 50
    assert report_genre.confusion([]) is None


def test_samples_show_the_genre_asked_for_and_the_one_heard(genre_page):
    page = genre_page
    assert page.article("gan_toy").plain("figcaption")[1:3] == [
        "Sample 0: Rock · MIDI · heard as Rock (0.99)",
        f"Sample 1: {EVIL_GENRE} · MIDI · heard as Rock (0.60)",
    ]
    tags = re.findall(r'<span class="tag (\w+)">heard as Rock', page.article("gan_toy").source)
    assert tags == ["good", "bad"]
    assert page.article("melody_mono").plain("figcaption")[2] == "Sample 0 · MIDI"


def test_a_transfer_stands_beside_its_source(genre_page):
    own = genre_page.article("cyclegan_toy")
    assert own.plain("figcaption")[1:5] == [
        "Source of sample 0: Rock · MIDI",
        f"Sample 0: made into {EVIL_GENRE} · MIDI · heard as {EVIL_GENRE} (0.75)",
        f"Source of sample 1: {EVIL_GENRE} · MIDI",
        "Sample 1: made into Rock · MIDI · heard as Rock (0.80)",
    ]
    assert own.source.count('<div class="transfer">') == 2
    played = [attributes["src"] for tag, attributes in own.tags if tag == "audio"]
    numbers = ("000-source", "000", "001-source", "001")
    assert played == [f"assets/cyclegan_toy-{number}.mp3" for number in numbers]


def test_contrasts_are_columns_of_the_musical_metrics(genre_page):
    page = genre_page
    others = "overlapped area, generated overlapped area, held out"
    first = "metric what it is generated held out training shuffled notes"
    gan, transfer = page.article("gan_toy"), page.article("cyclegan_toy")
    assert f"{first} untrained {others}" in gan.plain("tr")
    assert f"{first} {others}" in transfer.plain("tr")
    row = gan.row("tonal distance piano bass")
    assert row.endswith(f"0.50 [0.50, 0.50] {' '.join(['0.50'] * 6)}")
    assert gan.row("pairwise distance within genre").endswith("0.91 1.00 1.00 – – – –")


def test_of_many_metrics_a_few_are_drawn(genre_page):
    small = genre_page.article("gan_toy").source.split('<div class="small">')[1]
    assert Page(small.partition("</div>")[0]).plain("figcaption") == [
        "drum in pattern rate",
        "empty bar rate drums",
        "empty bar rate bass",
        "qualified note rate piano",
        "tonal distance piano bass",
        EVIL,  # nothing is known of it
    ]


def test_every_measure_of_piano_rolls_and_of_judges_is_explained():
    roll = np.zeros((1, 64, 24, 5), bool)
    names = [*pianoroll.roll_metrics(roll, 4), "pairwise_distance_within_genre"]
    names += [key for key in _condition_metrics() | _transfer_metrics() if key[-3:] != "low"]
    names = [key for key in names if not key.endswith("_high") and "num_metrics" not in key]
    assert not [name for name in names if not meaning(name)]
    assert meaning("condition_accuracy_jazz").endswith("jazz")
    assert meaning("accuracy_majority", is_classifier=True) != meaning("accuracy_majority")
    assert meaning("no_such_measure") == ""
    assert set(DRAWN) & set(pianoroll.roll_metrics(roll, 4))


def test_a_model_without_likelihood_is_not_compared(root):
    folder = root / "reports/evaluate/melody_mono"
    metrics = files.read_json(folder / "metrics.json")
    kept = {k: v for k, v in metrics.items() if not k.startswith(("nll", "accuracy"))}
    files.write_json(folder / "metrics.json", kept)
    (folder / "plots/baselines.csv").unlink()
    row = _built(root).row("melody_mono")
    assert "not compared" in row
    assert "baseline" not in row


def test_sources_are_named(root):
    page = _built(root)
    assert page.row("lakh", "demo miniature").endswith("lakh_melody")
    assert page.row("maestro", "official").endswith("maestro_performance")
    assert page.row("spotify_covers", "path", "data/folder").endswith("covers")
    assert "Made from miniatures" in page.text


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("reports/describe/covers/metrics.json", "describe@covers"),
        ("reports/describe/covers/card.md", "describe@covers"),
        ("reports/describe/covers/plots/distributions.csv", "describe@covers"),
        ("reports/train/melody_mono/metrics.json", "train@melody_mono"),
        ("reports/train/melody_mono/plots/curves.csv", "train@melody_mono"),
        ("reports/evaluate/melody_mono/metrics.json", "evaluate@melody_mono"),
        ("reports/evaluate/melody_mono/plots/baselines.csv", "evaluate@melody_mono"),
        ("reports/evaluate/melody_mono/plots/distributions.json", "evaluate@melody_mono"),
        ("reports/evaluate/melody_mono/plots/confusion.csv", "evaluate@melody_mono"),
        ("reports/evaluate/melody_mono/plots/verdicts.csv", "evaluate@melody_mono"),
        ("data/samples/melody_mono/samples.json", "generate@melody_mono"),
        ("data/samples/melody_mono/melody_mono-001.wav", "generate@melody_mono"),
        ("data/samples/melody_mono/melody_mono-000.mid", "generate@melody_mono"),
    ],
)
def test_a_missing_input_names_the_stage(root, file, stage):
    (root / file).unlink()
    with pytest.raises(PipelineError, match=f"^{file} is missing. Run `dvc repro {stage}`"):
        report.main()
    assert not (root / "reports/index.html").exists()
    assert not (root / "reports/assets").exists()


def test_numbers_of_another_profile_are_refused(root):
    path = root / "reports/evaluate/melody_mono/metrics.json"
    files.write_json(path, files.read_json(path) | {"profile": "smoke"})
    with pytest.raises(PipelineError, match=r"profile=smoke.*profile=demo.*evaluate@melody_mono"):
        report.main()


def test_without_models_there_are_still_the_data(tmp_path, toys, monkeypatch):
    build_inputs(tmp_path, toys, {})
    use_root(monkeypatch, tmp_path)
    assert "lakh_melody" in _built(tmp_path).text


def test_the_drawn_stages_are_those_of_dvc_yaml():
    """Edges from outs and deps, without those that a longer way implies.

    Of one model: that of which another is told something was generated before that is trained.
    """
    stages = yaml.safe_load((Path(__file__).parent.parent / "dvc.yaml").read_text())["stages"]
    assert set(stages) == set(report.DAG)
    reads = {name: _folders(stage, "deps") for name, stage in stages.items()}
    leaves = {name: _folders(stage, "outs", "metrics", "plots") for name, stage in stages.items()}
    before = {
        name: {
            other
            for other in stages
            if other != name
            and any(a.startswith(b) or b.startswith(a) for a in reads[name] for b in leaves[other])
        }
        for name in stages
    }
    order = list(stages)  # as a model passes through them
    against = {
        (name, other)
        for name in stages
        for other in before[name]
        if order.index(other) > order.index(name)
    }
    assert against == {("train", "generate")}
    before["train"].remove("generate")

    def ancestors(name):
        return before[name].union(*(ancestors(parent) for parent in before[name]))

    for name, (parents, block) in report.DAG.items():
        implied = set().union(*(ancestors(parent) for parent in before[name]))
        assert set(parents) == before[name] - implied
        assert stages[name].get("foreach", "${}") == f"${{{block}}}"


def _folders(stage, *keys):
    body = stage.get("do", stage)
    entries = [entry for key in keys for entry in body.get(key, [])]
    named = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    if "${item.reads}" in named:
        items = yaml.safe_load((Path(__file__).parent.parent / "params.yaml").read_text())
        named += [item["reads"] for item in items[stage["foreach"][2:-1]].values()]
    return {name.partition("${")[0] for name in named} - {""}


def test_bins_agree_with_numpy():
    values = np.random.default_rng([3]).normal(size=500)
    edges, shares = charts.bins({"a": list(values), "b": [None, float(values[0])]}, 16)
    counts, expected = np.histogram(values, 16)
    np.testing.assert_allclose(edges, expected)
    np.testing.assert_allclose(shares["a"], counts / 500)
    assert sum(shares["b"]) == 1


def test_bins_of_whole_numbers_hold_as_many_each():
    edges, shares = charts.bins({"a": list(range(40))}, 16)
    assert edges[0] == -0.5
    assert set(np.diff(edges)) == {3.0}
    assert shares["a"][:13] == pytest.approx([3 / 40] * 13)


def test_charts_of_nothing_and_of_one_value_are_drawn():
    for series in ({"a": []}, {"a": [(1.0, float("nan"))]}, {"a": [(1.0, 2.0)]}):
        assert "nan" not in charts.curves(series, "title", "x", "y")
    assert "nan" not in charts.histogram(charts.bins({"a": [None], "b": []}), "title")
    assert "nan" not in charts.histogram(([1e7, 1e7], {"a": [1.0]}), "title")


def test_a_curve_is_drawn_to_scale():
    drawn = charts.curves({"a": [(0, 0.0), (5, 1.0), (10, 0.5)]}, "title", "x", "y")
    text = re.search(r'<polyline[^>]*points="([^"]+)"', drawn)[1]
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in text.split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.2)
    assert y1 < y0


def test_charts_escape_their_text():
    for drawn in (
        charts.curves({EVIL: [(0, 1), (1, 2)]}, EVIL, EVIL, EVIL, (EVIL, 1, 1, 1), (EVIL, 1)),
        charts.intervals([(EVIL, 0, -1, 1)], EVIL, EVIL),
        charts.graph({EVIL: ((), [EVIL])}, EVIL),
        charts.legend([EVIL]),
        charts.histogram(([0, 1], {EVIL: [1]}), EVIL),
    ):
        assert "<script" not in drawn
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in drawn


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# a\n## b", "<h4>a</h4>\n<h5>b</h5>"),
        ("one\ntwo\n\nthree", "<p>one two</p>\n<p>three</p>"),
        ("- **a**: `b`\n- c", "<ul><li><strong>a</strong>: <code>b</code></li><li>c</li></ul>"),
        ("a < b & c", "<p>a &lt; b &amp; c</p>"),
        ("**<b>**", "<p><strong>&lt;b&gt;</strong></p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("https://a.b/c?d=1&e", '<p><a href="https://a.b/c?d=1&amp;e">https://a.b/c?d=1&amp;e</a></p>'),
    ],
)  # fmt: skip
def test_markdown(text, html):
    assert markdown.render(text, level=4) == html


def test_markdown_tables():
    drawn = markdown.render("| a | b |\n|---|:-:|\n| 1 | <2> |")
    assert '<thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead>' in drawn
    assert "<tbody><tr><td>1</td><td>&lt;2&gt;</td></tr></tbody>" in drawn


_PROBE = """<script>
addEventListener("load", async () => {
  const images = [...document.images];
  images.forEach(image => image.loading = "eager");
  await Promise.all(images.map(image => image.decode().catch(() => 0)));
  const seconds = await Promise.all([...document.querySelectorAll("audio")].map(player =>
    new Promise(done => {
      player.onloadedmetadata = () => done(player.duration);
      player.onerror = () => done(0);
      player.preload = "metadata";
      player.load();
    })));
  const found = {
    widths: images.map(image => image.naturalWidth), seconds,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
  console.log("probe " + JSON.stringify(found));
});
</script></body>"""


@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_every_picture_and_plays_every_sound(genres, tmp_path_factory, width):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed, so no browser has looked at the report")
    report.main()
    copied = tmp_path_factory.mktemp("mailed") / "reports"
    shutil.copytree(genres / "reports", copied, ignore=shutil.ignore_patterns("evaluate", "train"))
    page = (copied / "index.html").read_text("utf-8")
    (copied / "index.html").write_text(page.replace("</body>", _PROBE), "utf-8")
    found = _probed(browser, width, copied / "index.html")
    assert found["widths"] == _widths(copied)
    assert found["widths"].count(88) == 10 + 5
    assert len(found["widths"]) == 10 + 5 + 4  # maps in the plane and in space
    assert found["seconds"] == pytest.approx([1.0] * (10 + 5), abs=0.1)
    assert found["overflow"] == 0


def _widths(reports):
    """Of the page's pictures in their order, as the files have them."""
    shown = Page((reports / "index.html").read_text("utf-8")).tags
    sources = [attributes["src"] for tag, attributes in shown if tag == "img"]
    return [Image.open(reports / unquote(source)).width for source in sources]


def _probed(browser, width, page):
    """What the probe logs; sound loads in real time, so that --virtual-time-budget may miss it."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={page.parent.parent / 'profile'}"]
    command += [f"--window-size={width},1600", page.as_uri()]
    log = page.parent.parent / "browser.log"
    with open(log, "wb") as stderr, subprocess.Popen(command, stderr=stderr) as process:
        try:
            for _ in range(600):
                if found := re.search(r"probe (\{.*?\})", log.read_text("utf-8", "replace")):
                    return json.loads(found[1])
                time.sleep(0.1)
        finally:
            process.terminate()
    raise AssertionError(f"the page never finished loading: {log.read_text('utf-8', 'replace')}")


def test_the_committed_picture_of_the_dag_is_current():
    assert (paths.ROOT / "docs/dag.svg").read_text() == report.dag_picture()


def test_methods_stand_between_the_truth_and_what_they_must_beat(root):
    page = _built(root)
    rows = [row for row in page.texts["tr"] if "dB from" not in row]
    order = ["the truth", "near method", "far method", "copy notes"]
    places = {
        name: next(i for i, row in enumerate(rows) if row.strip().startswith(name))
        for name in order
    }
    assert sorted(order, key=places.get) == order
    assert "nearer to the truth" in rows[places["near method"]]
    assert "farther from it" in rows[places["far method"]]
    assert "1 of 2 pairs rejected: left as they are" in rows[places["far method"]]
    assert "baseline" in rows[places["copy notes"]]
    assert "baseline" not in rows[places["near method"]]


def test_a_pair_is_played_with_what_each_method_made_of_it(root):
    page = _built(root)
    captions = [text for text in page.texts["figcaption"] if "dB from the truth" in text]
    assert [text.partition(":")[0] for text in captions] == ["near method", "copy notes"]
    made = {path.name for path in (root / "reports/assets").glob("pair-000-*")}
    stems = ("notes", "sound", "oracle", "by-near_method", "by-copy_notes")
    assert made == {f"pair-000-{stem}.{suffix}" for stem in stems for suffix in ("mp3", "png")}


def test_a_method_without_a_baseline_is_compared_with_nothing():
    assert report_transfers.verdict({}).kind == "unknown"
    margins = {"oracle_distance_margin_low": -0.1, "oracle_distance_margin_high": 0.2}
    assert report_transfers.verdict(margins).kind == "even"
