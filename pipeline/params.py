"""The schema of params.yaml, and its only reader.

Each block carries `full` (the reference) and, under `demo` and `smoke`, only what they change; the
effective value is `full` overlaid by the profile.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from pipeline import paths, registry
from pipeline.errors import PipelineError
from pipeline.models.base import Training
from pipeline.options import Options

Profile = Literal["smoke", "demo", "full"]
Block = dict[str, Any]
AnyOptions = TypeVar("AnyOptions", bound=Options)
AnyBlock = TypeVar("AnyBlock", bound="ProfiledBlock")


class ProfiledBlock(Options):
    """What differs between profiles: `full`, and what the others change of it."""

    full: Block
    demo: Block
    smoke: Block


class DatasetBlock(ProfiledBlock):
    """datasets.<name>: where it comes from, and how much of it."""

    source: str = Field(
        description="auto: official under profile full, else demo; demo: the embedded miniature; "
        "official: the published files; else a directory or file of yours, or a URL under which "
        "the published files are (https, or any that fsspec opens, as s3 and gs)"
    )
    reads: str = Field(description="what fetch reads beside the network; DVC watches it")


class CorpusBlock(ProfiledBlock):
    """corpora.<name>: a dataset through a codec."""

    dataset: str
    codec: str


class CorpusOptions(Options):
    """Effective values of corpora.<name>."""

    validation_share: float = Field(ge=0, lt=0.5, description="of the groups, not of the examples")
    test_share: float = Field(ge=0, lt=0.5, description="of the groups, not of the examples")
    num_shards: int = Field(
        ge=1,
        le=99_999,
        description="jobs; each leaves a TFRecord file of every split it holds examples of",
    )
    drop_duplicates: bool = Field(
        description="of inputs with the same onsets, pitches and drums (or the same samples, or "
        "pixels) only the first by key is kept"
    )
    options: Block = Field(description="of the codec")


class ModelBlock(ProfiledBlock):
    """models.<name>: a recipe on a corpus."""

    recipe: str
    nn: str = Field(description="the module of pipeline/nn that the recipe is built of")
    corpus: str
    reads: str = Field(
        description="what it reads beside the corpus; DVC watches it: vectors of an encoder "
        "(data/samples/<model>), of an encoder the corpus that it encodes, if it is another than "
        "its own (data/shards/<corpus>); else data/shards/<its corpus>/corpus.json"
    )
    metrics: str = Field(description="the module of pipeline/metrics that measures its samples")
    judge: str = Field(
        description="the classifier of models that says which class its samples are of; the "
        "model's own name: none"
    )


class Generate(Options):
    """generate: what the stage of that name samples from every model."""

    num: int = Field(ge=1, le=10_000, description="samples a model, for the metrics")
    num_rendered: int = Field(ge=0, le=100, description="of these, as WAV and picture too")
    num_steps: dict[str, Annotated[int, Field(ge=16)]] = Field(
        description="by recipe, length of a sample: sixteenths of a melody, events of a "
        "performance; recipes that are not named have a length of their own"
    )
    temperature: float = Field(ge=0, le=10)
    top_k: int = Field(ge=0, description="classes left at each step; 0 leaves all")
    top_p: float = Field(gt=0, le=1, description="probability of the classes left; 1 leaves all")
    beam_size: int = Field(ge=1, le=64, description="1 samples plainly")


class Evaluate(Options):
    """evaluate: how sure the numbers are made."""

    num_resamples: int = Field(ge=100, description="of the bootstrap")
    num_references: int = Field(ge=2, description="training and held-out tunes beside the samples")
    num_reconstructed: int = Field(
        ge=2, description="held-out notes that a model of sound gives back; the first of the split"
    )
    num_classifier_notes: int = Field(
        ge=2, description="training notes that the classifier of pitch and family is fitted to"
    )


class PairsBlock(ProfiledBlock):
    """pairs: songs whose transfer is known."""

    corpus: str = Field(
        description="whose pieces are played, those of the test split first; any corpus of notes"
    )


class Pairs(Options):
    """Effective values of pairs."""

    num: int = Field(ge=2, le=1000, description="pairs of songs")
    num_rendered: int = Field(ge=0, le=100, description="of these, in the report with pictures")
    sample_rate: int = Field(ge=8000, le=48_000, description="of all songs, in Hz")
    seconds: float = Field(ge=1, le=600, description="length of a song")
    min_notes: int = Field(ge=2, description="onsets of a song's upper voice, at least")
    min_qpm: int = Field(ge=20, le=400, description="the slowest tempo drawn")
    max_qpm: int = Field(ge=20, le=400, description="the fastest tempo drawn")
    programs: tuple[Annotated[int, Field(ge=0, le=127)], ...] = Field(
        min_length=2, description="General MIDI instruments, from 0; of two families at least"
    )

    @model_validator(mode="after")
    def _possible(self) -> Pairs:
        if self.min_qpm > self.max_qpm:
            raise ValueError(f"min_qpm={self.min_qpm} exceeds max_qpm={self.max_qpm}")
        if len({program // 8 for program in self.programs}) < 2:
            raise ValueError("programs are all of one family; name those of another, too")
        return self


class MapsBlock(ProfiledBlock):
    """maps: what stands on the maps of covers and tracks."""

    corpus: str = Field(description="of covers with their tracks")
    picture_network: str = Field(
        description="a key of `models` that encodes pictures: covers lie by what it sees"
    )
    encoders: tuple[str, ...] = Field(
        description="keys of `models` that encode the corpus's tracks; each has a map"
    )
    gan: str = Field(
        description="a key of `models`, told of the track, whose covers stand among the real ones"
    )


class Maps(Options):
    """Effective values of maps."""

    perplexity: float = Field(gt=1, le=500, description="about as many neighbours count")
    num_iterations: int = Field(ge=10, le=10_000, description="of the descent")
    early_exaggeration_iterations: int = Field(
        ge=10, le=10_000, description="before these, in which what is alike is drawn together more"
    )
    num_covers: int = Field(
        ge=8, le=5000, description="most real covers, one an album; all are loaded with the report"
    )
    num_generated: int = Field(ge=1, le=2000, description="most covers of the gan")
    num_thumbnails: int = Field(
        ge=0, le=1000, description="most covers in a picture of a map; the others are dots"
    )


class TransferBlock(ProfiledBlock):
    """transfers.<name>: a method of style transfer."""

    method: str | None = Field(
        description="the module of pipeline/transfers; null: a model does it"
    )
    model: str | None = Field(
        description="a key of `models` whose recipe transfers; null: no model"
    )
    reads: str = Field(description="what the method reads beside the pairs; DVC watches it")


class Mlflow(Options):
    """mlflow: where the numbers go; never part of a stage."""

    experiment: str
    tracking_uri: str | None = Field(description="null: SQLite in the repository")


class Params(Options):
    """The whole of params.yaml."""

    profile: Profile
    seed: int = Field(ge=0, lt=2**31)
    datasets: dict[str, DatasetBlock]
    corpora: dict[str, CorpusBlock]
    models: dict[str, ModelBlock]
    generate: ProfiledBlock
    evaluate: ProfiledBlock
    pairs: PairsBlock
    transfers: dict[str, TransferBlock]
    maps: MapsBlock
    mlflow: Mlflow

    def dataset(self, name: str) -> DatasetBlock:
        return _item(self.datasets, name, "datasets")

    def corpus(self, name: str) -> CorpusBlock:
        return _item(self.corpora, name, "corpora")

    def model(self, name: str) -> ModelBlock:
        return _item(self.models, name, "models")

    def source(self, name: str) -> str:
        """demo, official, or a path."""
        source = self.dataset(name).source
        if source != "auto":
            return source
        return "official" if self.profile == "full" else "demo"

    def dataset_options(self, name: str) -> Any:
        schema = registry.dataset(name).Options
        return self._effective(self.dataset(name), schema, f"datasets.{name}")

    def corpus_options(self, name: str) -> CorpusOptions:
        return self._effective(self.corpus(name), CorpusOptions, f"corpora.{name}")

    def codec_options(self, name: str) -> Any:
        codec = registry.codec(self.corpus(name).codec)
        where = f"corpora.{name}.{self.profile}.options"
        return validated(codec.Options, self.corpus_options(name).options, where)

    def recipe_params(self, name: str) -> Training:
        recipe = registry.recipe(self.model(name).recipe)
        return self._effective(self.model(name), recipe.Params, f"models.{name}")

    def generate_options(self) -> Generate:
        return self._effective(self.generate, Generate, "generate")

    def evaluate_options(self) -> Evaluate:
        return self._effective(self.evaluate, Evaluate, "evaluate")

    def pair_options(self) -> Pairs:
        return self._effective(self.pairs, Pairs, "pairs")

    def map_options(self) -> Maps:
        return self._effective(self.maps, Maps, "maps")

    def transfer(self, name: str) -> TransferBlock:
        return _item(self.transfers, name, "transfers")

    def transfer_params(self, name: str) -> Options:
        """Of a method; a model that transfers has no others than its own."""
        block = self.transfer(name)
        schema = registry.transfer(block.method).Params if block.method else Options
        return self._effective(block, schema, f"transfers.{name}")

    def _effective(self, block: ProfiledBlock, schema: type[AnyOptions], where: str) -> AnyOptions:
        merged = overlay(block.full, getattr(block, self.profile))
        return validated(schema, merged, f"{where}.{self.profile}")


def load(path: Path = paths.PARAMS) -> Params:
    """Reads and checks params.yaml; plug-ins' own blocks are checked when they are asked for.

    Raises:
      PipelineError: one sentence for each mistake.
    """
    try:
        with open(path, "rb") as file:
            text = yaml.safe_load(file)
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; restore it: `git checkout {path.name}`.") from None
    except yaml.YAMLError as error:
        raise PipelineError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    return validated(Params, text if isinstance(text, dict) else {}, "")


def overlay(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping.

    >>> overlay({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = overlay(merged[key], value) if both else value
    return merged


def validated(schema: type[AnyOptions], values: Mapping[str, Any], where: str) -> AnyOptions:
    """An instance of the schema.

    Raises:
      PipelineError: a sentence for each wrong value, each with its place in params.yaml.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(schema, dict(problem), where) for problem in error.errors()]
        raise PipelineError("\n".join(lines)) from None


def _item(items: Mapping[str, AnyBlock], name: str, block: str) -> AnyBlock:
    if name not in items:
        raise PipelineError(f"{block}.{name} is not in params.yaml{nearest(name, items)}")
    return items[name]


def _sentence(schema: type[Options], problem: dict[str, Any], where: str) -> str:
    keys = [str(k) for k in problem["loc"]]
    place = ".".join([*([where] if where else []), *keys])
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(schema, problem["loc"][:-1])
            return f"params.yaml: {place}: unknown key{nearest(keys[-1], known)}"
        case "missing":
            return f"params.yaml: {place} is missing. params.schema.json says what it means."
    return f"params.yaml: {place}={problem['input']!r}: {problem['msg']}. Change it in params.yaml."


def _known_keys(schema: Any, location: tuple[Any, ...]) -> list[str]:
    """The keys that the schema has at a location; mappings of blocks are stepped through."""
    for key in location:
        fields = getattr(schema, "model_fields", {})
        schema = fields[key].annotation if key in fields else (get_args(schema) or (None,))[-1]
    if hasattr(schema, "model_fields"):
        return list(schema.model_fields)
    return []


def nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}." if known else "."
