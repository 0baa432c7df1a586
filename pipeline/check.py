"""One sentence for each mistake in params.yaml and each missing part, before DVC sees it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, get_args

from pipeline import console, files, params, paths, registry
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
    yield from _judge_mistakes(settings)
    yield from _read_mistakes(settings)
    yield from _map_mistakes(settings)
    yield from _transfer_mistakes(settings)
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
        yield from _unknown(f"datasets.{name}", name, registry.names("datasets"))
    for name, corpus in settings.corpora.items():
        yield from _unknown(f"corpora.{name}.dataset", corpus.dataset, settings.datasets)
        yield from _unknown(f"corpora.{name}.codec", corpus.codec, registry.names("codecs"))
    for name, model in settings.models.items():
        yield from _unknown(f"models.{name}.recipe", model.recipe, registry.names("models"))
        yield from _unknown(f"models.{name}.corpus", model.corpus, settings.corpora)
        yield from _unknown(f"models.{name}.nn", model.nn, registry.names("nn"))
        yield from _unknown(f"models.{name}.metrics", model.metrics, metrics)
        yield from _unknown(f"models.{name}.judge", model.judge, settings.models)
    yield from _unknown("pairs.corpus", settings.pairs.corpus, settings.corpora)
    for name, block in settings.transfers.items():
        if block.method:
            known = registry.names("transfers")
            yield from _unknown(f"transfers.{name}.method", block.method, known)
        if block.model:
            yield from _unknown(f"transfers.{name}.model", block.model, settings.models)


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
        yield from _unknown(place, recipe, registry.names("models"))
    yield from _caught(settings.evaluate_options)


def _judge_mistakes(settings: params.Params) -> Iterator[str]:
    for name, model in settings.models.items():
        judge = settings.model(model.judge)
        place = f"params.yaml: models.{name}.judge={model.judge}"
        if model.judge == name:
            draws = registry.recipe(model.recipe).generate is not None
            if draws and _medium_of(settings, model.corpus) == "picture":
                yield f"{place}: covers are seen by a network of pictures. Name one."
            continue
        recipe = registry.recipe(judge.recipe)
        if recipe.classify is None and "picture" not in recipe.encoded_fields:
            yield (
                f"{place}: a {judge.recipe} judges nothing. Name a classifier, or for covers a "
                "network of pictures."
            )
        elif judge.corpus != model.corpus:
            yield f"{place}: it knows {judge.corpus}, not {model.corpus}. Name one of that corpus."


def _medium_of(settings: params.Params, corpus: str) -> str:
    return registry.codec(settings.corpus(corpus).codec).medium


def _read_mistakes(settings: params.Params) -> Iterator[str]:
    """What DVC watches must be what the model reads."""
    for name, model in settings.models.items():
        place = f"params.yaml: models.{name}.reads={model.reads}"
        own = f"data/shards/{model.corpus}/corpus.json"
        parts = model.reads.split("/")
        conditions = {
            params.overlay(model.full, getattr(model, profile)).get("condition")
            for profile in get_args(params.Profile)
        }
        if conditions != {None}:
            yield from _condition_mistakes(settings, name, conditions)
        elif registry.recipe(model.recipe).encode is not None and model.reads != own:
            if len(parts) != 3 or parts[:2] != ["data", "shards"] or parts[2] == model.corpus:
                yield f"{place}: write {own}, or data/shards/<the corpus that it encodes>."
            else:
                yield from _unknown(f"models.{name}.reads", parts[2], settings.corpora)
        elif model.reads != own:
            yield f"{place}: it reads nothing but its corpus. Write {own}."


def _condition_mistakes(
    settings: params.Params, name: str, conditions: set[str | None]
) -> Iterator[str]:
    if len(conditions) > 1:
        told = ", ".join(sorted(map(str, conditions)))
        yield f"params.yaml: models.{name}: condition={told}. Name one for all profiles."
        return
    (condition,) = conditions
    encoder = settings.models.get(str(condition))
    if encoder is None or registry.recipe(encoder.recipe).encode is None:
        yield f"params.yaml: models.{name}.full.condition={condition} is no encoder."
    elif (reads := settings.models[name].reads) != f"data/samples/{condition}":
        place = f"params.yaml: models.{name}.reads={reads}"
        yield f"{place}: write data/samples/{condition}, whose vectors it is told."


def _map_mistakes(settings: params.Params) -> Iterator[str]:
    maps = settings.maps
    yield from _unknown("maps.corpus", maps.corpus, settings.corpora)
    named = {"picture_network": [maps.picture_network], "encoders": maps.encoders}
    for key, names in {**named, "gan": [maps.gan]}.items():
        for name in names:
            if name not in settings.models:
                yield from _unknown(f"maps.{key}", name, settings.models)
                continue
            model = settings.models[name]
            recipe = registry.recipe(model.recipe)
            sees = recipe.encode is not None and "picture" in recipe.encoded_fields
            fits = {
                "picture_network": sees,
                "encoders": recipe.encode is not None and not sees,
                "gan": recipe.generate is not None and bool(model.full.get("condition")),
            }[key]
            if not fits:
                yield f"params.yaml: maps.{key}={name}: {_MAPPED[key]}."


_MAPPED = {
    "picture_network": "it does not encode pictures. Name a model whose recipe does",
    "encoders": "it does not encode tracks. Leave it out",
    "gan": "it draws no covers for tracks. Name a model with a condition",
}


def _transfer_mistakes(settings: params.Params) -> Iterator[str]:
    for name, block in settings.transfers.items():
        place = f"params.yaml: transfers.{name}"
        if (block.method is None) == (block.model is None):
            yield f"{place}: method={block.method}, model={block.model}. Name one of the two."
        elif block.model and registry.recipe(settings.model(block.model).recipe).transfer is None:
            recipe = settings.model(block.model).recipe
            yield f"{place}.model={block.model}: a {recipe} transfers nothing. Name another model."
        elif block.model and (rate := _rate_of(settings, block.model)) != _pairs_rate(settings):
            yield (
                f"params.yaml: pairs.sample_rate={_pairs_rate(settings)}: {block.model} of "
                f"transfers.{name} has learned sound at {rate} Hz. Write that."
            )
        elif block.model and block.reads != f"data/models/{block.model}":
            yield (
                f"{place}.reads={block.reads}: write data/models/{block.model}, so that DVC "
                "notices when it is trained anew."
            )


def _rate_of(settings: params.Params, model: str) -> int | None:
    """In Hz, as the whole profile's corpus has it."""
    options = settings.corpus(settings.model(model).corpus).full.get("options", {})
    return options.get("sample_rate")


def _pairs_rate(settings: params.Params) -> int | None:
    return settings.pairs.full.get("sample_rate")


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


def _unknown(place: str, value: str, known: Any) -> Iterator[str]:
    if value not in known:
        yield f"params.yaml: {place}={value!r} is not there{params.nearest(value, known)}"


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
