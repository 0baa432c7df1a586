"""Stage: metrics, plots and samples -> reports/index.html and its assets, to open in a browser."""

from __future__ import annotations

import argparse
import functools
import itertools
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import (
    charts,
    console,
    files,
    markdown,
    params,
    paths,
    report_cover_tables,
    report_covers,
    report_genre,
    report_maps,
    report_plots,
    report_results,
    report_transfers,
    sound_files,
    wording,
)
from pipeline.errors import PipelineError
from pipeline.report_genre import Sample
from pipeline.report_inputs import SPLITS, input_file, rows_of
from pipeline.wording import control_verdict, number, verdict, words

# Each stage, those it directly follows, and the block of params.yaml whose items it is run for.
DAG: dict[str, tuple[tuple[str, ...], str]] = {
    "fetch": ((), "datasets"),
    "shard": (("fetch",), "corpora"),
    "train": (("shard",), "models"),
    "describe": (("shard",), "corpora"),
    "generate": (("train",), "models"),
    "evaluate": (("generate",), "models"),
    "pair": (("shard",), ""),
    "transfer": (("pair", "train"), "transfers"),
    "compare": (("transfer",), ""),
    "map": (("generate",), ""),
    "report": (("describe", "evaluate", "compare", "map"), ""),
}


def main() -> None:
    settings = params.load(paths.PARAMS)
    models = [_model(settings, name) for name in settings.models]
    corpora = [_corpus(settings, name) for name in settings.corpora]
    page = _template().render(
        profile=settings.profile,
        models=models,
        tables=report_results.tables(models),
        corpora=corpora,
        datasets=_datasets(corpora),
        margins=report_plots.margins(models),
        splits=SPLITS,
        dag=_dag(settings),
        maps=_maps(),
        **_transfers(settings),
    )
    with files.atomic_directory(paths.REPORTS / "assets") as assets:
        for model in models:
            _copy_samples(model["name"], model["samples"], assets)
            for gallery in model["galleries"]:
                gallery.write(assets)
        report_maps.write_assets(paths.MAPS, assets)
        for song in itertools.chain(*_songs(settings)):
            shutil.copyfile(song.path.with_suffix(".png"), assets / f"{song.stem}.png")
            sound_files.write_mp3(assets / f"{song.stem}.mp3", song.path)
    with files.atomic_open(paths.REPORTS / "index.html", "w") as file:
        file.write(page)


def _maps() -> report_maps.Maps:
    if not (paths.MAPS / "maps.json").is_file():
        raise PipelineError("data/maps/maps.json is missing. Run `dvc repro map` first.")
    return report_maps.maps(paths.MAPS)


def _transfers(settings: params.Params) -> dict[str, Any]:
    """What the page needs of style transfer."""
    metrics = files.read_json(input_file("compare", "transfers", "metrics.json"))
    baselines = [name for name in settings.transfers if _is_baseline(name)]
    return {
        "transfers": report_transfers.rows(metrics, baselines),
        "transfer_columns": report_transfers.COLUMNS,
        "transfer_metrics": metrics,
        "songs": _songs(settings),
    }


def _is_baseline(name: str) -> bool:
    return files.read_json(paths.transfers(name) / "transfers.json")["is_baseline"]


def _songs(settings: params.Params) -> list[list[report_transfers.Song]]:
    methods = sorted(settings.transfers, key=_is_baseline)
    about = files.read_json(paths.PAIRS / "pairs.json")
    measured = input_file("compare", "transfers", "plots/pairs.csv")
    return report_transfers.songs(about, methods, measured, paths.PAIRS, paths.TRANSFERS)


def _model(settings: params.Params, name: str) -> dict[str, Any]:
    train = files.read_json(input_file("train", name, "metrics.json"))
    metrics = files.read_json(input_file("evaluate", name, "metrics.json"))
    values = _values(name)
    listed = files.read_json(input_file("generate", name, "samples.json"))
    if metrics["profile"] != settings.profile:
        raise PipelineError(
            f"reports/evaluate/{name} is of profile={metrics['profile']}, but params.yaml says "
            f"profile={settings.profile}. Run `dvc repro evaluate@{name}` first."
        )
    block = settings.model(name)
    given = params.overlay(block.full, getattr(block, settings.profile))
    musical = _ordered(values.get("generated", {}), wording.MUSICAL)
    told = _measured(metrics, musical)
    confused = rows_of(input_file("evaluate", name, "plots/confusion.csv"))
    is_classifier = any(key in metrics for key in report_results.CLASSIFIERS)
    return {
        "name": name,
        "block": settings.model(name),
        "train": train,
        "metrics": metrics,
        "given": given,
        "verdict": _verdict(given, metrics),
        "control": control_verdict(metrics),
        "curves": report_plots.curves(name, train),
        "baselines": report_plots.baselines(name, metrics) if "nll_baseline" in metrics else None,
        "histograms": {m: report_plots.histogram(m, values) for m in _drawn(musical)},
        "musical": {m: wording.meaning(m) for m in (*musical, *_of_sets(metrics))},
        "contrasts": list(values)[len(REFERENCES) :],
        "judge": "" if settings.model(name).judge == name else settings.model(name).judge,
        "measured": {key: wording.meaning(key, is_classifier) for key in told},
        "legend": charts.legend([words(which) for which in values]),
        "confusion": report_genre.confusion(confused),
        "samples": _samples(name, listed["rendered"]),
        "galleries": _galleries(settings, name, listed["rendered"]),
    }


def _verdict(given: Mapping[str, Any], metrics: Mapping[str, Any]) -> wording.Verdict:
    if report_results.kind(metrics) == report_cover_tables.OF_COVERS:
        return report_cover_tables.verdict_of_covers(metrics, bool(given.get("is_shuffled")))
    if report_results.kind(metrics) == report_cover_tables.OF_ENCODERS:
        return report_cover_tables.verdict_of_encoder(metrics)
    return verdict(metrics)


REFERENCES = ("generated", "held_out", "training")


def _values(name: str) -> dict[str, Any]:
    """Each metric of each piece, by set, those that all models have first; empty without pieces."""
    found = files.read_json(input_file("evaluate", name, "plots/distributions.json"))
    return {which: found[which] for which in _ordered(found, REFERENCES)}


def _of_sets(metrics: Mapping[str, Any]) -> list[str]:
    """What was measured of all pieces together, beside what was of each."""
    return [key for key in wording.MEASURED if f"{key}_training" in metrics]


def _ordered(keys: Iterable[str], known: Iterable[str]) -> list[str]:
    """Those that are known in that order, then the others."""
    own, order = list(keys), list(known)
    return [*(key for key in order if key in own), *(key for key in own if key not in order)]


def _drawn(musical: list[str]) -> list[str]:
    """A choice of what is known, and all that is not."""
    chosen = (m for m in musical if m in wording.DRAWN or not wording.meaning(m))
    return _ordered(chosen, wording.DRAWN)


# What the table of results shows already.
_COMPARED = ("nll", "perplexity", "accuracy", "nll_margin")


def _measured(metrics: Mapping[str, Any], musical: Iterable[str]) -> list[str]:
    """The measures that stand in no other table: those with an interval, and a few without one."""
    keys = [key.removesuffix("_low") for key in metrics if key.endswith("_low")]
    keys += [key for key in metrics if key in wording.WITHOUT_INTERVAL]
    others = (*musical, *(_COMPARED if "nll" in metrics else ()))
    return _ordered((key for key in keys if key in metrics and key not in others), wording.MEASURED)


def _samples(name: str, rendered: list[dict[str, str]]) -> list[Sample]:
    """Those that are heard; covers stand in galleries."""
    verdicts = rows_of(input_file("evaluate", name, "plots/verdicts.csv"))
    heard = [title for title in rendered if title.get("medium") != "picture"]
    return report_genre.samples(heard, verdicts)


def _galleries(
    settings: params.Params, name: str, rendered: list[dict[str, str]]
) -> list[report_covers.Gallery]:
    if not any(title.get("medium") == "picture" for title in rendered):
        return []
    known = _known_covers(paths.shards(settings.model(name).corpus))
    return report_covers.galleries(name, paths.samples(name), known, settings.seed)


_known_covers = functools.cache(report_covers.known)  # by all models of a corpus


def _corpus(settings: params.Params, name: str) -> dict[str, Any]:
    metrics = files.read_json(input_file("describe", name, "metrics.json"))
    card = input_file("describe", name, "card.md").read_text("utf-8")
    keys = [key.removesuffix("_train") for key in metrics if key.endswith("_train")]
    keys.sort(key=lambda key: (key != "num_examples", key))
    rejected = [(k[9:], n) for k, n in metrics.items() if k.startswith("rejected_")]
    return {
        "name": name,
        "block": settings.corpus(name),
        "metrics": metrics,
        "rows": {key: [metrics.get(f"{key}_{split}") for split in SPLITS] for key in keys},
        "rejected": sorted(rejected, key=lambda item: (-item[1], item[0])),
        "histograms": report_plots.distributions(name),
        "legend": charts.legend(SPLITS),
        "card": markdown.render(card, level=4),
    }


def _datasets(corpora: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each dataset in use, with its source as its corpora report it."""
    found: dict[str, dict[str, Any]] = {}
    for corpus in corpora:
        name, metrics = corpus["block"].dataset, corpus["metrics"]
        about = found.setdefault(name, {"name": name, "corpora": []})
        about["corpora"].append(corpus["name"])
        about |= {"source": metrics["source"], "notice": metrics.get("notice", "")}
    return list(found.values())


def _dag(settings: params.Params) -> str:
    stages = {
        stage: (parents, list(getattr(settings, block, ())))
        for stage, (parents, block) in DAG.items()
    }
    return charts.graph(stages, "The stages, what each follows, and what it is run for")


def _copy_samples(name: str, samples: list[Sample], assets: Path) -> None:
    """MIDI and pictures as they are, sound as MP3: a report that can be copied or mailed."""
    files_of = [(stem, sample.suffixes) for sample in samples for stem in sample.stems]
    for stem, suffixes in console.progress(files_of, f"samples of {name}"):
        for suffix in suffixes:
            shutil.copyfile(input_file("generate", name, stem + suffix), assets / (stem + suffix))
        sound_files.write_mp3(assets / f"{stem}.mp3", input_file("generate", name, f"{stem}.wav"))


def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names and notices come from datasets, that is, from strangers
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": words, "number": number}
    return environment.get_template("report.html.j2")


def dag_picture() -> str:
    """The DAG as an SVG file of its own, for README; it needs no page's style sheet."""
    style = (
        "<style>text{font:12px system-ui,sans-serif;fill:#444}.name{font-weight:600;fill:#111}"
        ".box{fill:#f6f7f9;stroke:#8a94a6;rx:5}.arrow{fill:none;stroke:#5b6b82;stroke-width:1.4}"
        "</style>"
    )
    drawn = str(_dag(params.load(paths.PARAMS)))
    head, _, rest = drawn.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n'


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", description=__doc__)
    parser.add_argument("--dag", type=Path, metavar="SVG", help="only draw the DAG to this file")
    arguments = parser.parse_args()
    if arguments.dag:
        with files.atomic_open(arguments.dag, "w") as file:
            file.write(dag_picture())
    else:
        main()


if __name__ == "__main__":
    console.run(_command)
