"""params.yaml: one sentence for each mistake, with its place and its remedy."""

import json
import subprocess
import sys

import pytest
import yaml

from pipeline import check, params, paths, registry
from pipeline.errors import PipelineError
from pipeline.paths import ROOT


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Writes params.yaml with some values replaced, e.g. edit("models.x.full.epochs", 0)."""

    def edit(*changes):
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        for place, value in changes:
            *parents, last = place.split(".")
            block = values
            for key in parents:
                block = block[key]
            if value is None:
                del block[last]
            else:
                block[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(values))
        monkeypatch.setattr(params.load, "__defaults__", (path,))
        return path

    return edit


def test_the_committed_file_is_right():
    check.main()


def test_the_committed_schema_is_current():
    assert json.loads(paths.SCHEMA.read_text()) == json.loads(json.dumps(check.schema()))


MISTAKES = [
    (("profil", "demo"), "profil: unknown key; did you mean 'profile'?"),
    (("profile", "dmo"), "profile='dmo': Input should be 'smoke', 'demo' or 'full'"),
    (("seed", -1), "seed=-1: Input should be greater than or equal to 0"),
    (("seed", None), "seed is missing"),
    (("datasets.maestro.sorce", "x"), "maestro.sorce: unknown key; did you mean 'source'?"),
    (
        ("datasets.maestro.full.miniature_siz", 3),
        "datasets.maestro.full.miniature_siz: unknown key; did you mean 'miniature_size'?",
    ),
    (("datasets.lakh.source", "/no/such"), "datasets.lakh.source=/no/such: there is no such path"),
    (("datasets.folder.source", "docs"), "differs from its source docs"),
    (
        ("corpora.lakh_melody.codec", "melodi"),
        "corpora.lakh_melody.codec='melodi' is not there; did you mean 'melody'?",
    ),
    (
        ("corpora.lakh_melody.full.num_shards", 0),
        "corpora.lakh_melody.full.num_shards=0: Input should be greater",
    ),
    (("datasets.folder.source", "auto"), "there is no miniature of it"),
    (("models.melody_basic.metrics", "likelihood"), "metrics='likelihood' is not there"),
    (("corpora.lakh_melody.dataset", "lack"), "corpora.lakh_melody.dataset='lack'"),
    (
        ("corpora.lakh_melody.full.options.min_bars", 0),
        "corpora.lakh_melody.full.options.min_bars=0: Input should be greater",
    ),
    (("models.melody_basic.corpus", "lakh"), "models.melody_basic.corpus='lakh' is not there"),
    (("models.melody_basic.nn", "recurrant"), "did you mean 'recurrent'?"),
    (
        ("models.melody_basic.full.learning_rate", 2),
        "models.melody_basic.full.learning_rate=2: Input should be less than 1",
    ),
    (("generate.demo.top_k", -1), "generate.demo.top_k=-1: Input should be greater"),
    (("maps.demo.num_covers", 3), "maps.demo.num_covers=3: Input should be greater"),
    (("maps.full.perplexitty", 3), "perplexitty: unknown key; did you mean 'perplexity'?"),
    (("maps.corpus", "cover"), "maps.corpus='cover' is not there; did you mean 'covers'?"),
    (("maps.gan", "cover_gan"), "maps.gan='cover_gan' is not there"),
    (("maps.picture_network", "cover_net"), "did you mean 'cover_network'?"),
    (("maps.encoders", ["track_pca", "track_cn"]), "did you mean 'track_cnn'?"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), MISTAKES)
def test_a_mistake_is_one_sentence(edited, change, sentence):
    edited(change)
    with pytest.raises(PipelineError) as caught:
        check.main()
    lines = [line for line in str(caught.value).splitlines() if sentence in line]
    assert len(lines) == 1, str(caught.value)
    assert lines[0].startswith("params.yaml: ")
    assert lines[0].endswith((".", "?"))


def test_several_mistakes_are_told_at_once(edited):
    edited(("datasets.lakh.source", "/no/such"), ("models.melody_basic.nn", "x"))
    with pytest.raises(PipelineError) as caught:
        check.main()
    assert "/no/such" in str(caught.value)
    assert "melody_basic.nn" in str(caught.value)


def test_what_is_no_yaml_or_not_there_is_said(tmp_path):
    (tmp_path / "params.yaml").write_text("profile: [")
    with pytest.raises(PipelineError, match="is not YAML"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(PipelineError, match="git checkout"):
        params.load(tmp_path / "missing.yaml")


SHORT = {"num_steps": {"melody_rnn": 33}}


def test_a_profile_is_laid_over_full(edited):
    edited(("profile", "smoke"), ("generate.full.num", 7), ("generate.smoke", SHORT))
    found = params.load().generate_options()
    full = {"melody_rnn": 256, "performance_rnn": 2048, "music_transformer": 2048}
    assert (found.num, found.num_steps) == (7, full | {"melody_rnn": 33})


@pytest.mark.parametrize("profile", ["full", "demo", "smoke"])
def test_the_negative_control_differs_in_what_it_is_told_alone(edited, profile):
    edited(("profile", profile))
    settings = params.load()
    of, control = (settings.recipe_params(f"cover_wgan{end}") for end in ("", "_shuffled"))
    assert (of.is_shuffled, control.is_shuffled) == (False, True)
    assert control.model_copy(update={"is_shuffled": False}) == of
    blocks = [settings.model(f"cover_wgan{end}") for end in ("", "_shuffled")]
    fields = ("recipe", "nn", "corpus", "reads", "metrics", "judge")
    assert len({tuple(getattr(block, field) for field in fields) for block in blocks}) == 1


def test_the_gan_on_the_maps_is_told_of_the_track_and_hears_it():
    """What the command draws for a person's file must not need what Spotify knows."""
    settings = params.load(paths.PARAMS)
    told = settings.recipe_params(settings.maps.gan).condition
    fields = registry.recipe(settings.model(told).recipe).encoded_fields
    assert set(fields) <= {"mel", "track_statistics"}


def test_auto_means_official_only_under_full(edited):
    edited(("profile", "full"))
    assert params.load().source("lakh") == "official"
    edited(("profile", "demo"))
    assert params.load().source("lakh") == "demo"
    assert params.load().source("folder") == "data/folder"


def test_a_command_prints_a_mistake_without_a_traceback():
    result = subprocess.run(
        [sys.executable, "-m", "pipeline.train", "melody_atention"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr == (
        "pipeline.train: models.melody_atention is not in params.yaml; "
        "did you mean 'melody_attention'?\n"
    )
