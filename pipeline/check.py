"""One sentence for each mistake in params.yaml and each missing part, before DVC sees it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, get_args

from pipeline import check_references, console, files, params, paths, registry
from pipeline.check_references import unknown
from pipeline.errors import PipelineError

# What stages need beyond Python: how to see that it is there, and what to do if it is not.
_PACKAGES = (
    "dvc",
    "snakemake",
    "mlflow",
    "tensorflow",
    "tensorflow_datasets",
    "note_seq",
    "librosa",
)
_MIN_FREE_GIB = 3


def main() -> None:
    """Raises PipelineError with every mistake found, a line each."""
    mistakes = list(_missing_parts())
    try:
        settings = params.load()
    except PipelineError as error:
        raise PipelineError("\n".join([*mistakes, str(error)])) from None
    mistakes += _mistakes(settings)
    if mistakes:
        raise PipelineError("\n".join(mistakes))


def _missing_parts() -> Iterator[str]:
    if not (3, 11) <= sys.version_info < (3, 13):
        yield f"Python {sys.version.split()[0]} is not supported; use 3.11 or 3.12."
    if shutil.which("git") is None:
        yield "git is not on the PATH; install it (Debian: apt-get install git)."
    for package in _PACKAGES:
        if find_spec(package) is None:
            yield f"the package {package} is not installed; run `make repro`, which installs it."
    free = shutil.disk_usage(paths.ROOT).free / 2**30
    if free < _MIN_FREE_GIB:
        yield f"only {free:.1f} GiB of disk are free; the demo needs {_MIN_FREE_GIB}."


def _mistakes(settings: params.Params) -> Iterator[str]:
    """Every block under every profile: a switch of profile must not be what finds a mistake."""
    names = list(_name_mistakes(settings))
    yield from names
    for name in settings.datasets:
        yield from _source_mistakes(settings, name)
    if names:  # what is under them cannot be checked
        return
    yield from check_references.judge_mistakes(settings)
    yield from check_references.read_mistakes(settings)
    yield from check_references.map_mistakes(settings)
    yield from check_references.transfer_mistakes(settings)
    said = set()
    for profile in ("full", "demo", "smoke"):  # a mistake in `full` shows in the others again
        for mistake in _profile_mistakes(settings.model_copy(update={"profile": profile})):
            for line in mistake.splitlines():
                if line.replace(f".{profile}", "", 1) not in said:
                    said.add(line.replace(f".{profile}", "", 1))
                    yield line


def _name_mistakes(settings: params.Params) -> Iterator[str]:
    metrics = [m for m in registry.names("metrics") if hasattr(registry.metrics(m), "MEDIUM")]
    for name in settings.datasets:
        yield from unknown(f"datasets.{name}", name, registry.names("datasets"))
    for name, corpus in settings.corpora.items():
        yield from unknown(f"corpora.{name}.dataset", corpus.dataset, settings.datasets)
        yield from unknown(f"corpora.{name}.codec", corpus.codec, registry.names("codecs"))
    for name, model in settings.models.items():
        yield from unknown(f"models.{name}.recipe", model.recipe, registry.names("models"))
        yield from unknown(f"models.{name}.corpus", model.corpus, settings.corpora)
        yield from unknown(f"models.{name}.nn", model.nn, registry.names("nn"))
        yield from unknown(f"models.{name}.metrics", model.metrics, metrics)
        yield from unknown(f"models.{name}.judge", model.judge, settings.models)
    yield from unknown("pairs.corpus", settings.pairs.corpus, settings.corpora)
    for name, block in settings.transfers.items():
        if block.method:
            known = registry.names("transfers")
            yield from unknown(f"transfers.{name}.method", block.method, known)
        if block.model:
            yield from unknown(f"transfers.{name}.model", block.model, settings.models)


def _profile_mistakes(settings: params.Params) -> Iterator[str]:
    for name in settings.datasets:
        yield from _caught(settings.dataset_options, name)
    for name in settings.corpora:
        yield from _caught(settings.codec_options, name)
    for name in settings.models:
        yield from _caught(settings.recipe_params, name)
    for name, block in settings.transfers.items():
        if (block.method is None) != (block.model is None):
            yield from _caught(settings.transfer_params, name)
    yield from _caught(settings.pair_options)
    yield from _caught(settings.map_options)
    yield from _caught(settings.generate_options)
    for recipe in settings.generate.full.get("num_steps", {}):
        place = "generate.full.num_steps"
        yield from unknown(place, recipe, registry.names("models"))
    yield from _caught(settings.evaluate_options)


def _source_mistakes(settings: params.Params, name: str) -> Iterator[str]:
    block = settings.dataset(name)
    if not (paths.ROOT / block.reads).exists():
        yield f"params.yaml: datasets.{name}.reads={block.reads}: no such path. Correct it."
    if block.source in ("auto", "demo", "official"):
        if block.source != "official" and name not in registry.names("miniatures"):
            yield (
                f"params.yaml: datasets.{name}.source={block.source}: there is no miniature of it. "
                "Name a directory."
            )
        return
    if "://" in block.source:
        return
    if not (paths.ROOT / block.source).exists():
        yield (
            f"params.yaml: datasets.{name}.source={block.source}: there is no such path. "
            "Correct it, or write auto."
        )
    elif block.reads != block.source:
        yield (
            f"params.yaml: datasets.{name}.reads={block.reads} differs from its source "
            f"{block.source}. Write the same path, so that DVC notices what changes in it."
        )


def _caught(action: Callable[..., Any], *arguments: str) -> Iterator[str]:
    """The message of a PipelineError; anything else is a bug and stays one."""
    try:
        action(*arguments)
    except PipelineError as error:
        yield str(error)


def schema() -> dict[str, Any]:
    """params.yaml's JSON Schema, with each plug-in's own keys, for editors."""
    settings = params.load()
    whole = params.Params.model_json_schema()
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for block, plugins in _plugin_schemas(settings).items():
        entry = whole["properties"][block].pop("additionalProperties")
        whole["properties"][block]["properties"] = {
            name: {"allOf": [entry], "properties": dict.fromkeys(get_args(params.Profile), s)}
            for name, s in plugins.items()
        }
        whole["properties"][block]["additionalProperties"] = False
    return whole


def _plugin_schemas(settings: params.Params) -> dict[str, dict[str, Any]]:
    """The keys of one profile's block; none is required, since profiles are laid over `full`."""
    datasets = {n: _partial(registry.dataset(n).Options) for n in settings.datasets}
    models = {n: _partial(registry.recipe(m.recipe).Params) for n, m in settings.models.items()}
    corpora = {}
    for name, corpus in settings.corpora.items():
        corpora[name] = _partial(params.CorpusOptions)
        corpora[name]["properties"]["options"] = _partial(registry.codec(corpus.codec).Options)
    transfers = {n: _partial(type(settings.transfer_params(n))) for n in settings.transfers}
    return {"datasets": datasets, "corpora": corpora, "models": models, "transfers": transfers}


def _partial(options: Any) -> dict[str, Any]:
    found = options.model_json_schema()
    found.pop("required", None)
    return found


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.check", description=__doc__)
    parser.add_argument("--schema", action="store_true", help="print params.yaml's JSON Schema")
    parser.add_argument("--write-schema", action="store_true", help="write params.schema.json")
    arguments = parser.parse_args()
    if arguments.schema:
        print(json.dumps(schema(), indent=1))
    elif arguments.write_schema:
        files.write_json(paths.SCHEMA, schema())
    else:
        main()
        print("params.yaml and this machine are fine.")


if __name__ == "__main__":
    console.run(_command)
