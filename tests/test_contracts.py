"""One contract for all plug-ins: what every dataset, codec and recipe must keep."""

import importlib
import inspect
from dataclasses import fields

import numpy as np
import pytest

from pipeline import archives, params, registry, tfrecord
from pipeline.codecs.base import Codec
from pipeline.datasets.base import Dataset, Entry
from pipeline.errors import Rejected
from pipeline.models.base import Recipe, Training
from pipeline.options import Options
from pipeline.paths import ROOT

SETTINGS = params.load(ROOT / "params.yaml").model_copy(update={"profile": "smoke"})
MINIATURES = sorted(set(registry.names("miniatures")) & set(SETTINGS.datasets))


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """Builds each miniature once, in its smoke size."""
    built = {}

    def build(name):
        if name not in built:
            out = tmp_path_factory.mktemp(name)
            options = SETTINGS.dataset_options(name)
            registry.miniature(name).build(out, options, SETTINGS.seed)
            built[name] = out
        return built[name]

    return build


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_a_dataset_says_what_it_is(name):
    dataset = registry.dataset(name)
    assert isinstance(dataset, Dataset)
    assert issubclass(dataset.Options, Options)
    for text in (dataset.title, dataset.version, dataset.licence, dataset.citation):
        assert text.strip()
    for source in dataset.sources(SETTINGS.dataset_options(name)):
        assert all(url.startswith(("http://", "https://")) for url in source.urls)
        kind = (source.checksum or "md5").partition(":")[0]
        assert kind in ("sha256", "sha1", "md5")


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_a_dataset_is_in_params(name):
    assert name in SETTINGS.datasets


@pytest.mark.parametrize("name", MINIATURES)
def test_a_miniature_has_the_published_files_and_says_what_it_is(name, raw):
    options = SETTINGS.dataset_options(name)
    published = {source.file for source in registry.dataset(name).sources(options)}
    assert {path.name for path in raw(name).iterdir()} == published
    assert "miniature" in registry.miniature(name).NOTICE.lower()


@pytest.mark.parametrize("name", MINIATURES)
def test_a_catalogue_is_in_key_order_with_known_members(name, raw):
    dataset = registry.dataset(name)
    items = list(dataset.catalogue(raw(name), SETTINGS.dataset_options(name)))
    entries = [item for item in items if isinstance(item, Entry)]
    keys = [entry.key for entry in entries]
    assert keys == sorted(set(keys))
    assert all(isinstance(item[1], Rejected) for item in items if not isinstance(item, Entry))
    for file in {m.partition("!")[0] for e in entries for m in e.members}:
        known = {f"{file}!{member}" for member in archives.members(raw(name) / file)}
        wanted = {m for e in entries for m in e.members if m.startswith(f"{file}!")}
        assert wanted <= known
    assert all(entry.split in (None, "train", "validation", "test") for entry in entries)


@pytest.mark.parametrize(
    "name", [name for name, corpus in SETTINGS.corpora.items() if corpus.dataset in MINIATURES]
)
def test_a_codec_keeps_its_law(name, raw):
    """decode, then encode, changes nothing; records are as declared; the writer takes them."""
    corpus = SETTINGS.corpora[name]
    dataset, codec = registry.dataset(corpus.dataset), registry.codec(corpus.codec)
    options = SETTINGS.codec_options(name)
    features = codec.features(options)
    num_records = 0
    for example in _some_examples(dataset, raw(corpus.dataset)):
        try:
            records = codec.encode(example, options)
        except Rejected:
            continue
        for record in records:
            num_records += 1
            data = tfrecord.serialize_example(record, features)
            again = codec.encode(codec.decode(record, options), options)
            _assert_law(codec, options, record, again)
            assert tfrecord.parse_example(data, features).keys() == record.keys()
            assert all(np.isfinite(v) for v in codec.statistics(record, options).values())
    assert num_records > 3


def _assert_law(codec, options, record, again):
    assert len(again) == 1
    for field, feature in codec.features(options).items():
        if feature.encoding == "jpeg":
            continue  # lossy; the codec's own test says what holds
        np.testing.assert_array_equal(again[0][field], record[field], err_msg=field)


def _some_examples(dataset, raw, limit=40):
    items = dataset.catalogue(raw, SETTINGS.dataset_options(dataset.name))
    entries = [item for item in items if isinstance(item, Entry)][::3][:limit]
    blobs = dict(archives.read(raw, {m for e in entries for m in e.members}))
    for entry in entries:
        try:
            yield dataset.load(entry, {m: blobs[m] for m in entry.members})
        except Rejected:
            continue


@pytest.mark.parametrize("name", registry.names("codecs"))
def test_a_codec_declares_its_features(name):
    codec = registry.codec(name)
    assert isinstance(codec, Codec)
    assert issubclass(codec.Options, Options)
    assert all(field.description for field in codec.Options.model_fields.values())


@pytest.mark.parametrize("name", registry.names("models"))
def test_a_recipe_declares_its_params(name):
    recipe = registry.recipe(name)
    assert isinstance(recipe, Recipe)
    assert issubclass(recipe.Params, Training)
    for field, info in recipe.Params.model_fields.items():
        assert info.description, field
        assert info.is_required(), f"{field} has a default in the code, not in params.yaml"
    compared = recipe.baselines or recipe.measures or recipe.judged or _draws(name)
    assert compared, "a model counts when it beats a baseline"
    assert recipe.likelihood is None or recipe.controls, "a model counts when its control fails"
    assert bool(recipe.encode) == bool(recipe.encoded_fields)
    assert recipe.encode is None or recipe.generate is None, "samples are vectors or music"


def _draws(recipe):
    """Whether it leaves pictures, which the stage evaluate compares with what chance gives.

    Each such model has a network that sees them; and of a recipe that is told of the music, one
    model is trained on conditions that were dealt out anew, its control.
    """
    own = {name: block for name, block in SETTINGS.models.items() if block.recipe == recipe}
    if registry.recipe(recipe).generate is None or not own:
        return False
    codecs = [registry.codec(SETTINGS.corpus(block.corpus).codec) for block in own.values()]
    if {codec.medium for codec in codecs} != {"picture"}:
        return False
    judges = [registry.recipe(SETTINGS.model(block.judge).recipe) for block in own.values()]
    assert all(judge.encoded_fields == ("picture",) for judge in judges)
    told = [SETTINGS.recipe_params(name) for name in own]
    told = [params for params in told if params.condition is not None]
    return not told or any(params.is_shuffled for params in told)


# Functions that a contract asks for are described there, once.
DESCRIBED = {field.name for kind in (Codec, Dataset, Recipe) for field in fields(kind)} | {"build"}


@pytest.mark.parametrize("folder", ["datasets", "codecs", "models", "baselines", "metrics"])
def test_public_functions_have_docstrings(folder):
    for name in registry.names(folder):
        module = importlib.import_module(f"pipeline.{folder}.{name}")
        assert module.__doc__
        for own, function in inspect.getmembers(module, inspect.isfunction):
            is_here = function.__module__ == module.__name__
            if is_here and not own.startswith("_") and own not in DESCRIBED:
                assert function.__doc__, f"{folder}/{name}.{own}"
