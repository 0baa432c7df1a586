"""A part of the command check: whether what blocks of params.yaml name of each other fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pipeline import params, registry


def judge_mistakes(settings: params.Params) -> Iterator[str]:
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


def read_mistakes(settings: params.Params) -> Iterator[str]:
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
                yield from unknown(f"models.{name}.reads", parts[2], settings.corpora)
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


def map_mistakes(settings: params.Params) -> Iterator[str]:
    maps = settings.maps
    yield from unknown("maps.corpus", maps.corpus, settings.corpora)
    named = {"picture_network": [maps.picture_network], "encoders": maps.encoders}
    for key, names in {**named, "gan": [maps.gan]}.items():
        for name in names:
            if name not in settings.models:
                yield from unknown(f"maps.{key}", name, settings.models)
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


def transfer_mistakes(settings: params.Params) -> Iterator[str]:
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


def unknown(place: str, value: str, known: Any) -> Iterator[str]:
    if value not in known:
        yield f"params.yaml: {place}={value!r} is not there{params.nearest(value, known)}"
