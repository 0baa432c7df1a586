"""Who imports whom, and what DVC watches: read from the source, not from good intentions."""

import ast
import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import closure, params, registry

ROOT = Path(__file__).parent.parent
STAGES = (
    *("fetch", "shard", "describe", "train", "generate", "evaluate"),
    *("pair", "transfer", "compare", "map", "report"),
)
COMMANDS = (*STAGES, "write_shard", "check", "trace")
PLUGINS = ("datasets", "codecs", "models", "baselines", "miniatures", "transfers")
LEAVES = ("errors", "example", "options", "files")


def _modules(pattern="pipeline/**/*.py"):
    return sorted(str(p.relative_to(ROOT)) for p in ROOT.glob(pattern))


def _folder(path):
    parts = Path(path).parts
    return parts[1] if len(parts) >= 3 else ""


def _allowed(path):
    """Patterns of this project's modules that a plug-in, reader, metric or layer may import."""
    folder = _folder(path)
    own_parts = f"pipeline.{folder}._*"
    leaves = [f"pipeline.{leaf}" for leaf in LEAVES]
    base = [f"pipeline.{folder}.base", own_parts, *leaves]
    readers = ["pipeline.readers", "pipeline.readers.*", "pipeline.archives"]
    audio = ["pipeline.audio", "pipeline.audio.*"]
    return {
        "datasets": [*base, *readers],
        "miniatures": [*base, *readers],
        # No reader of a medium: what a codec reads are the records of NoteSequences.
        "codecs": [*base, *audio, "pipeline.codecs.base", "pipeline.readers.note_table"],
        "models": [*base, *audio, "pipeline.nn.*", "pipeline.codecs.base"],
        "transfers": [*base, *audio, *readers],
        "audio": [*audio, *leaves],
        "baselines": [*base, *audio],
        "nn": ["pipeline.nn.*", *audio, *leaves],
        "readers": ["pipeline.readers", "pipeline.readers.*", "pipeline.audio.sound_file", *leaves],
        "network": [
            "pipeline.network",
            "pipeline.network.*",
            "pipeline.disk",
            "pipeline.locks",
            "pipeline.paths",
            "pipeline.console",
            "pipeline.datasets.base",
            *leaves,
        ],
        "tfrecord": ["pipeline.tfrecord", "pipeline.tfrecord.*", "pipeline.codecs.base", *leaves],
        "metrics": ["pipeline.metrics", "pipeline.metrics.*", *audio, *leaves],
    }[folder]


@pytest.mark.parametrize("path", [p for p in _modules() if _folder(p)])
def test_plugins_import_only_their_own_base(path):
    allowed = _allowed(path)
    folders = (*PLUGINS, "nn", "readers", "metrics", "audio")
    packages = {f"pipeline.{folder}" for folder in folders} | {"pipeline"}
    for name in closure.imports(path) - packages:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in allowed), f"{path} imports {name}"


@pytest.mark.parametrize("path", _modules("pipeline/*.py"))
def test_stages_name_no_plugin(path):
    """Stages find plug-ins by name; the parts they share are imported as such."""
    plugins = {f"pipeline.{f}.{n}" for f in PLUGINS for n in registry.names(f)}
    assert not closure.imports(path) & plugins


LIGHT = ("codecs", "readers", "metrics", "baselines", "audio", "transfers")


@pytest.mark.parametrize("path", [p for f in LIGHT for p in _modules(f"pipeline/{f}/*.py")])
def test_no_tensorflow_below_the_models(path):
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").partition(".")[0]
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert not imported & {"tensorflow", "keras", "tensorflow_datasets"}


def test_only_tracking_imports_mlflow():
    pattern = re.compile(r"^\s*(from|import) mlflow", re.M)
    importing = [path for path in _modules() if pattern.search((ROOT / path).read_text())]
    assert importing == ["pipeline/tracking.py"]


def test_every_plugin_is_named_as_its_file():
    kinds = {"datasets": registry.dataset, "codecs": registry.codec, "models": registry.recipe}
    for folder, get in kinds.items():
        for name in registry.names(folder):
            assert get(name).name == name


# What each stage loads by name, so that no import shows it.
_LOADED = {
    "fetch": ["datasets.{key}", "miniatures.{key}"],
    "shard": ["datasets.{dataset}", "codecs.{codec}"],
    "describe": [],
    "train": ["models.{recipe}", "nn.{nn}"],
    "generate": ["models.{recipe}", "nn.{nn}", "codecs.{corpus_codec}"],
    "evaluate": [
        *("models.{recipe}", "nn.{nn}", "models.{judge_recipe}", "nn.{judge_nn}"),
        *("codecs.{corpus_codec}", "metrics.{metrics}"),
    ],
    "pair": ["codecs.{corpus_codec}"],
    "transfer": ["transfers.{method}", "models.{recipe}", "nn.{nn}"],
    "compare": [],
    "map": ["models.{network_recipe}", "nn.{network_nn}", "codecs.{corpus_codec}"],
    "report": [],
}


_UNREACHED = {
    "train": closure.ONLY_SAMPLING,
    "evaluate": closure.ONLY_SAMPLING | closure.ONLY_DECLARING,
}


def _stage_items():
    settings = params.load(ROOT / "params.yaml")
    blocks = {
        "fetch": settings.datasets,
        "shard": settings.corpora,
        "describe": settings.corpora,
        "pair": {"": settings.pairs},
        "transfer": settings.transfers,
        "compare": {"": None},
        "map": {"": settings.maps},
        "report": {"": None},
    }
    for stage in STAGES:
        for key, block in blocks.get(stage, settings.models).items():
            facts = {"key": key, **(block.model_dump() if block else {})}
            if stage == "transfer":
                of_model = facts.pop("model")
                facts |= settings.models[of_model].model_dump() if of_model else {}
                yield stage, key, facts, _LOADED[stage][1:] if of_model else _LOADED[stage][:1]
                continue
            if "corpus" in facts:
                facts["corpus_codec"] = settings.corpora[facts["corpus"]].codec
            if "picture_network" in facts:
                network = settings.models[facts["picture_network"]]
                facts |= {"network_recipe": network.recipe, "network_nn": network.nn}
            if "judge" in facts:
                facts["judge_recipe"] = settings.models[facts["judge"]].recipe
                facts["judge_nn"] = settings.models[facts["judge"]].nn
            if stage == "fetch" and key not in registry.names("miniatures"):
                yield stage, key, facts, ["datasets.{key}"]
            else:
                yield stage, key, facts, _LOADED[stage]


@pytest.mark.parametrize(("stage", "key", "facts", "loaded"), list(_stage_items()))
def test_dvc_watches_all_the_code_of_a_stage(stage, key, facts, loaded):
    modules = [f"pipeline.{stage}", *(f"pipeline.{m.format(**facts)}" for m in loaded)]
    if stage == "shard":
        modules += ["pipeline.write_shard"]
    if stage == "evaluate":
        modules += [f"pipeline.baselines.{b}" for b in registry.recipe(facts["recipe"]).baselines]
    watched = _deps(stage, key, facts)
    missing = {
        path
        for path in closure.closure(modules)
        if not any(path == d or path.startswith(f"{d}/") for d in watched)
        and path not in _UNREACHED.get(stage, ())
    }
    assert not missing


def _deps(stage, key, facts):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    deps = stages[stage].get("do", stages[stage])["deps"]
    for name, value in facts.items():
        if isinstance(value, str):
            deps = [d.replace(f"${{item.{name}}}", value) for d in deps]
    return [d.replace("${key}", key) for d in deps]


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_watches_the_whole_package(stage):
    assert "pipeline" not in _deps(stage, "x", {})


def _loaded_by(command):
    code = f"import sys; {command}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in result.stdout.split()}


HEAVY = {
    *("tensorflow", "keras", "mlflow", "librosa", "music21"),
    *("matplotlib", "pandas", "scipy", "IPython", "numba"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_starting_a_command_imports_nothing_heavy(command):
    assert not _loaded_by(f"import pipeline.{command}") & HEAVY


def test_checking_params_imports_nothing_heavy():
    assert not _loaded_by("from pipeline import check; check.main()") & HEAVY


def test_a_shard_job_never_imports_tensorflow():
    """Loading any dataset and any codec, as the job does."""
    load = "; ".join(
        [
            "from pipeline import registry, write_shard",
            *(f"registry.dataset({n!r})" for n in registry.names("datasets")),
            *(f"registry.codec({n!r})" for n in registry.names("codecs")),
        ]
    )
    assert not _loaded_by(load) & HEAVY


def test_gitignore_covers_every_cached_out():
    """DVC takes its own lines back when a later stage fails, so ours stand there beforehand."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in stages.values():
        body = stage.get("do", stage)
        for out in [*body.get("outs", []), *body.get("plots", [])]:
            path, about = (out, {}) if isinstance(out, str) else next(iter(out.items()))
            if about.get("cache", True):
                path = path.replace("${key}", "x")
                ignored = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
                assert ignored.returncode == 0, path
