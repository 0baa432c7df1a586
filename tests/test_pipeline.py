"""The whole line, as a user meets it: fresh copies of the repository under profile smoke.

Of models that differ only in numbers one is run, and what stands on the maps; `make repro` runs
all.
"""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import yaml

from pipeline import files, params
from pipeline.models.base import Vectors
from pipeline.paths import ROOT
from tests import scratch
from tests.scratch import commit, environment, repro, run

MODELS = scratch.models_of_each_kind()
MODEL = MODELS[0]
CORPORA, TRANSFERS = (
    list(yaml.safe_load((ROOT / "params.yaml").read_text())[block])
    for block in ("corpora", "transfers")
)
MAPS = params.load(ROOT / "params.yaml").maps


def _num_runs(folder):
    code = (
        "from pipeline import params, tracking; s = params.load();"
        "print(len(tracking._client(s).search_runs([tracking._experiment(s)])))"
    )
    return int(run(folder, sys.executable, "-c", code).stdout)


@pytest.fixture(scope="module")
def clones(tmp_path_factory):
    """Two clones, each run from nothing; at once, since a machine has more than one core."""
    folders = [
        scratch.clone(tmp_path_factory.mktemp(name), models=MODELS) for name in ("first", "second")
    ]
    with ThreadPoolExecutor(2) as pool:
        ran = list(pool.map(repro, folders))
    return folders, ran


@pytest.fixture(scope="module")
def clone(clones):
    return clones[0][0]


def test_everything_runs_once(clones):
    _, (ran, _) = clones
    of_items = [*(f"evaluate@{m}" for m in MODELS), *(f"shard@{c}" for c in CORPORA)]
    assert {"map", "report", *of_items} <= ran


def test_two_clones_agree_to_the_byte(clones):
    first, second = (folder / "dvc.lock" for folder in clones[0])
    assert first.read_bytes() == second.read_bytes()
    for path in sorted(clones[0][0].glob("reports/*/*/metrics.json")):
        assert path.read_bytes() == (clones[0][1] / path.relative_to(clones[0][0])).read_bytes()


def test_nothing_is_stale_and_a_second_run_does_nothing(clone):
    run(clone, "dvc", "status", "-q")
    before = _num_runs(clone)
    assert before == len(MODELS) + len(TRANSFERS) + 1  # the truth beside the methods
    assert repro(clone) == set()
    assert _num_runs(clone) == before


@pytest.mark.parametrize("corpus", CORPORA)
def test_tfds_opens_each_corpus(clone, corpus):
    """It opens, reads every example, and counts what the data report says."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(clone / "data/shards" / corpus)
    report = files.read_json(clone / "reports/describe" / corpus / "metrics.json")
    keys = {}
    for split, info in builder.info.splits.items():
        assert info.num_examples == report[f"num_examples_{split}"] > 0
        examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
        assert len(examples) == info.num_examples
        assert all(e.keys() == builder.info.features.keys() for e in examples)
        keys[split] = {e["key"] for e in examples}
    assert not keys["train"] & (keys["test"] | keys["validation"])
    assert report["num_inputs"] == report["num_accepted"] + report["num_rejected"]
    rejected = (clone / "data/shards" / corpus / "rejected.tsv").read_text().splitlines()
    assert len(rejected) - 1 == report["num_rejected"]


def test_encoders_leave_vectors_of_all_tracks_and_models_covers_for_held_out_ones(clone):
    """Whichever corpus an encoder was trained on; and the maps and the report show them."""
    report = files.read_json(clone / f"reports/describe/{MAPS.corpus}/metrics.json")
    for name in (*MAPS.encoders, MAPS.picture_network):
        vectors = Vectors.open(clone / "data/samples" / name)
        for split in ("train", "validation", "test"):
            values = vectors.values[split]
            assert len(vectors.keys[split]) == len(values) == report[f"num_examples_{split}"]
            assert np.isfinite(values).all()
    maps = files.read_json(clone / "data/maps/maps.json")
    names = [own["name"] for own in maps["maps"]]
    assert sorted(names) == sorted({*MAPS.encoders, MAPS.picture_network, "colour"})
    assert {f"{name}.png" for name in (*names, "space")} <= set(os.listdir(clone / "data/maps"))
    assert maps["gan"] == MAPS.gan
    assert set(maps["generated"]["key"]) <= set(vectors.keys["test"])
    assets = clone / "reports/assets"
    for kind in ("tracks", "conditions"):
        assert (assets / f"{MAPS.gan}-{kind}.png").is_file()
    metrics = files.read_json(clone / f"reports/evaluate/{MAPS.gan}/metrics.json")
    assert 0 < metrics["retrieval_p"] <= 1
    assert metrics["fid"] > 0


def test_note_seq_reads_the_magenta_records(clone):
    import note_seq
    import tensorflow as tf

    folder = clone / "data/shards/lakh_note_sequence"
    records = tf.data.TFRecordDataset([str(p) for p in sorted((folder / "magenta").iterdir())])
    sequences = [note_seq.NoteSequence.FromString(r) for r in records.as_numpy_iterator()]
    report = files.read_json(clone / "reports/describe/lakh_note_sequence/metrics.json")
    splits = ("train", "validation", "test")
    assert len(sequences) == sum(report[f"num_examples_{split}"] for split in splits)
    assert all(s.notes for s in sequences)


def test_a_changed_number_runs_its_branch_only_and_back_again_nothing(clone):
    """The run cache: a value that was there before costs nothing.

    The maps are made anew with any model's samples: DVC knows of a stage only what it reads.
    """
    model = MODEL
    commit(clone, "results")
    runs = _num_runs(clone)
    branch = {f"train@{model}", f"generate@{model}", f"evaluate@{model}", "map", "report"}
    before = (clone / "dvc.lock").read_bytes()
    text = (clone / "params.yaml").read_text()
    block = text.index(f"  {model}:")
    place = text.index("smoke:", block)
    changed = text[:place] + text[place:].replace("{", "{learning_rate: 0.02, ", 1)
    (clone / "params.yaml").write_text(changed)
    assert repro(clone) == branch
    assert _num_runs(clone) == runs + 1
    assert "learning_rate" in run(clone, "dvc", "params", "diff").stdout
    assert f"reports/evaluate/{model}/metrics.json" in run(clone, "dvc", "metrics", "diff").stdout
    assert "html" in run(clone, "dvc", "plots", "diff").stdout

    (clone / "params.yaml").write_text(text)
    assert repro(clone) == set()
    assert _num_runs(clone) == runs + 1
    assert (clone / "dvc.lock").read_bytes() == before


def test_a_run_leads_to_its_data_params_code_and_artifacts(clone):
    model = MODELS[1]  # not the one that was changed and back: its newest run is of other params
    lock = (clone / "dvc.lock").read_text()
    text = run(clone, sys.executable, "-m", "pipeline.trace", model).stdout
    for kind in ("run", "fingerprint", "commit", "data", "artifact", "code", "param", "metric"):
        assert re.search(rf"^{kind}\b", text, re.M), kind
    digest = re.search(r"^artifact +data/models/\S+ (\S+) \(as in dvc.lock\)", text, re.M)[1]
    assert digest in lock


def test_a_person_generates_from_a_primer(clone, tmp_path):
    command = (sys.executable, "-m", "pipeline.generate", MODEL)
    arguments = ("--primer", "60,62,64,65", "--num", "2", "--num-steps", "48", "--out")
    text = run(clone, *command, *arguments, str(tmp_path / "tunes")).stdout
    assert "2 samples are in" in text
    assert len(list((tmp_path / "tunes").glob("*.wav"))) == 2
    midi = sorted((tmp_path / "tunes").glob("*.mid"))[0]
    again = run(clone, *command, "--primer", str(midi), "--num", "1", "--out", str(tmp_path / "b"))
    assert "1 samples are in" in again.stdout
    accompanied = (sys.executable, "-m", "pipeline.generate", "music_transformer")
    text = run(clone, *accompanied, "--harmonize", str(midi), "--num", "1", "--out", str(tmp_path))
    assert "1 samples are in" in text.stdout
    bad = run(clone, *command, "--primer", "no.mid", "--out", str(tmp_path / "c"), check=False)
    assert bad.returncode == 2
    assert "No such file" in bad.stderr
    bad = run(clone, *command, "--num", "8", check=False)
    assert "--out" in bad.stderr


def test_a_person_has_covers_drawn_for_a_track(clone, tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * 22_050) / 22_050)
    soundfile.write(tmp_path / "track.wav", tone, 22_050)
    command = (sys.executable, "-m", "pipeline.generate", MAPS.gan)
    asked = ("--audio", str(tmp_path / "track.wav"), "--num", "2", "--out", str(tmp_path / "a"))
    text = run(clone, *command, *asked).stdout
    assert f"2 samples are in {tmp_path / 'a'}/ as .png." in text
    assert len(list((tmp_path / "a").glob(f"{MAPS.gan}-*.png"))) == 2
    bad = run(clone, *command, "--out", str(tmp_path / "b"), check=False)
    assert bad.returncode == 2
    assert "give --audio FILE" in bad.stderr


def test_tracking_that_fails_stops_nothing(clone):
    code = (
        "from pipeline import params, tracking; s = params.load();"
        f"r = tracking.Run(s, {MODELS[0]!r}, 'x'); r.start(0); r.log_epoch(1, {{'a': 1}});"
        "r.finish({}); print('went on')"
    )
    uri = "MLFLOW_TRACKING_URI=sqlite:////dev/null/mlflow.db"
    result = run(clone, "env", uri, sys.executable, "-c", code)
    assert "went on" in result.stdout
    assert "tracking: not logged" in result.stderr


def test_a_lost_damaged_or_killed_shard_is_all_that_runs_again(clone):
    """One part is lost, one is cut short, another time everything is killed: the rest is kept."""
    corpus = "lakh_melody"
    work = clone / ".work/shard" / corpus
    sidecars = sorted((work / "shards").glob("*.json"))
    shards = {path: path.stat().st_mtime_ns for path in (work / "shards").iterdir()}
    lost, cut = (path.with_suffix(".train.tfrecord") for path in sidecars)
    for damage in (lambda: lost.unlink(), lambda: _shorten(cut)):
        damage()
        run(clone, sys.executable, "-m", "pipeline.shard", corpus)
        redone = {path for path, time in shards.items() if path.stat().st_mtime_ns != time}
        parts = {path.name.partition(".")[0] for path in redone}
        assert len(parts) == 1
        assert len(redone) == 4
        shards.update({path: path.stat().st_mtime_ns for path in redone})
        run(clone, "dvc", "status", "-q", f"shard@{corpus}")

    for path in shards:
        path.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.shard", corpus],
        cwd=clone, env=environment(), start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not any(scratch.is_seen_by_snakemake(work, p) for p in sidecars):
        time.sleep(0.02)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in sidecars if p.exists()}
    run(clone, sys.executable, "-m", "pipeline.shard", corpus)
    assert all(p.exists() for p in shards)
    assert [p for p, time in kept.items() if p.stat().st_mtime_ns == time]
    run(clone, "dvc", "status", "-q", f"shard@{corpus}")


def _shorten(path):
    content = path.read_bytes()
    path.unlink()  # it may be a second name of what DVC keeps
    path.write_bytes(content[:-5])


def test_a_second_shard_stage_is_told_to_wait(clone):
    import fcntl

    with open(clone / ".work/shard/lakh_melody/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = (sys.executable, "-m", "pipeline.shard", "lakh_melody")
        result = run(clone, *command, check=False)
    assert result.returncode == 2
    assert "another process" in result.stderr


def test_an_added_file_is_noticed_and_moves_nothing(clone):
    """Anyone's own folder: one more tune, one more input, the others where they were."""
    corpus = clone / "data/shards/folder_melody/corpus.json"
    before = files.read_json(corpus)["num_inputs"]
    tune = "X:1\nT:Added\nM:4/4\nL:1/8\nK:C\n" + "CDEF GABc|cBAG FEDC|" * 8 + "\n"
    (clone / "data/folder/added.abc").write_text(tune)
    ran = repro(clone, "describe@folder_melody")
    assert ran == {"fetch@folder", "shard@folder_melody", "describe@folder_melody"}
    assert files.read_json(corpus)["num_inputs"] == before + 1
