"""Shard jobs through a real SLURM of one node, which is started and ended here.

The sentences for what a machine lacks, at the end, are tested without it.
"""

import getpass
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from pipeline import cluster, paths, shard
from pipeline.errors import PipelineError
from pipeline.paths import ROOT
from tests import scratch

CORPUS = "lakh_melody"
PARTS = ["00000-of-00002", "00001-of-00002"]
SHARD = (sys.executable, "-m", "pipeline.shard", CORPUS)
DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
PATH = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}:/usr/sbin:/sbin"

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.sock
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000
PartitionName=main Nodes=node Default=YES State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Environment variables with which sbatch finds a SLURM of its own."""
    missing = [c for c in (*DAEMONS, *COMMANDS) if shutil.which(c, path=PATH) is None]
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        missing.append("snakemake-executor-plugin-slurm")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("slurm")
    environment = _configure(folder)
    with ExitStack() as stack:
        names = {"socket": "sock", "key-file": "key", "pid-file": "pid", "seed-file": "seed"}
        munge = [f"--{option}={folder}/munge.{name}" for option, name in names.items()]
        commands = [
            ("munged", "--foreground", "--force", *munge),
            ("slurmctld", "-D"),
            ("slurmd", "-D", "-N", "node"),
        ]
        logs = [stack.enter_context(_daemon(folder, environment, *c)) for c in commands]
        if not _until(lambda: "idle" in _slurm(environment, "sinfo", "-h", "-o", "%T"), 20):
            words = [f"{log.stem}: {log.read_text()[-500:]}" for log in logs]
            pytest.skip("SLURM does not start here. " + " ".join(words))
        yield environment
        _slurm(environment, "scancel", "--user", getpass.getuser())
        _until(lambda: not _slurm(environment, "squeue", "-h"), 40)


def _configure(folder):
    host = socket.gethostname().partition(".")[0]
    ports = {"controller_port": _free_port(), "node_port": _free_port()}
    facts = {"host": host, "user": getpass.getuser(), "folder": folder, **ports}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**facts))
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    # The plugin's job step drops SLURM_CONF: a real cluster has its file where it was built for.
    wrapper = folder / "bin" / "srun"
    wrapper.parent.mkdir()
    real = shutil.which("srun", path=PATH)
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {real} "$@"\n')
    wrapper.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    return {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{wrapper.parent}:{PATH}"}


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _daemon(folder, environment, *command):
    """Runs a daemon in the foreground; ends it, whatever happens. Yields its log."""
    log = folder / f"{command[0]}.log"
    program = shutil.which(command[0], path=PATH)
    with open(log, "w") as out:
        process = subprocess.Popen(
            [program, *command[1:]], env=os.environ | environment, stdout=out, stderr=out
        )
    try:
        time.sleep(0.5)  # the next one needs its socket
        yield log
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(is_true, seconds):
    end = time.monotonic() + seconds
    while not (held := is_true()) and time.monotonic() < end:
        time.sleep(0.2)
    return held


def _slurm(environment, *command):
    ended = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return ended.stdout.strip()


def _jobs(environment, *states):
    """(id, state) of all jobs since SLURM began, or of those in some states."""
    rows = _slurm(environment, "squeue", "-h", "--states=all", "--format=%i %T").splitlines()
    pairs = sorted(tuple(row.split()) for row in rows)
    return [pair for pair in pairs if not states or pair[1] in states]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the repository with the archives of one dataset."""
    folder = scratch.clone(tmp_path_factory.mktemp("clone"))
    for compiled in ROOT.glob("pipeline/**/__pycache__"):  # numba's, too: it takes 10 s a process
        shutil.copytree(compiled, folder / compiled.relative_to(ROOT), dirs_exist_ok=True)
    scratch.run(folder, sys.executable, "-m", "pipeline.fetch", "lakh")
    return folder


@pytest.fixture(scope="module")
def reference(clone):
    """The corpus as this machine's own cores make it."""
    scratch.run(clone, *SHARD)
    shutil.rmtree(clone / ".work" / "shard")
    return (clone / "data" / "shards" / CORPUS).rename(clone / "reference")


@pytest.fixture(scope="module")
def submitting(slurm, tmp_path_factory):
    """Variables that choose the shipped profile, but for how patiently SLURM is asked."""
    folder = tmp_path_factory.mktemp("profile") / "slurm"
    shutil.copytree(ROOT / "profiles" / "slurm", folder)
    text = (folder / "config.yaml").read_text()
    text, count = re.subn(r"(?<=status-checks: )\d+", "3", text)
    text, retried = re.subn(r"(?<=^retries: )\d+", "0", text, flags=re.M)
    assert count == retried == 1
    (folder / "config.yaml").write_text(text)
    return slurm | {"PIPELINE_PROFILE": str(folder)}


def _hold(environment, is_held):
    state = ("DRAIN", "Reason=test") if is_held else ("RESUME",)
    _slurm(environment, "scontrol", "update", "NodeName=node", f"State={state[0]}", *state[1:])


@contextmanager
def _pending(clone, environment, num_jobs):
    """A shard stage whose jobs wait in SLURM's queue."""
    _hold(environment, True)
    process = subprocess.Popen(
        SHARD, cwd=clone, env=scratch.environment(**environment), start_new_session=True,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert _until(lambda: len(_jobs(environment, "PENDING")) == num_jobs, 60)
        yield process
    finally:
        _hold(environment, False)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_job_that_fails_is_named_and_the_other_is_kept(clone, reference, submitting):
    work = clone / ".work" / "shard" / CORPUS
    with _pending(clone, submitting, 2) as process:
        (work / "plan" / f"{PARTS[1]}.json").write_text("{")
        _hold(submitting, False)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"a shard job failed: {PARTS[1]}: " in said
    assert "JSONDecodeError" in said
    assert (work / "shards" / f"{PARTS[0]}.json").exists()
    assert not (work / "shards" / f"{PARTS[1]}.json").exists()
    assert sorted(state for _, state in _jobs(submitting)) == ["COMPLETED", "FAILED"]


def test_ctrl_c_takes_the_jobs_back(clone, reference, submitting):
    before = _jobs(submitting)
    with _pending(clone, submitting, 1) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in said
    (added,) = set(_jobs(submitting)) - set(before)
    assert added[1] == "CANCELLED"


def test_what_is_left_is_all_that_runs_and_the_bytes_are_the_same(clone, reference, submitting):
    before = _jobs(submitting)
    scratch.run(clone, *SHARD, **submitting)
    (added,) = set(_jobs(submitting)) - set(before)
    assert added[1] == "COMPLETED"
    told = (clone / ".work" / "shard" / CORPUS / "snakemake.log").read_text()
    assert f"has been submitted with SLURM jobid {added[0]} " in told
    made = clone / "data" / "shards" / CORPUS
    names = sorted(path.name for path in reference.iterdir())
    assert sorted(path.name for path in made.iterdir()) == names
    for name in names:
        assert (made / name).read_bytes() == (reference / name).read_bytes(), name


def test_a_second_run_submits_nothing(clone, reference, submitting):
    before = _jobs(submitting)
    scratch.run(clone, *SHARD, **submitting)
    assert _jobs(submitting) == before


def test_what_slurm_says_of_a_job_it_does_not_take_is_told(clone, reference, submitting):
    """SBATCH_PARTITION reaches it, too."""
    sidecar = clone / ".work" / "shard" / CORPUS / "shards" / f"{PARTS[0]}.json"
    sidecar.unlink()
    said = scratch.run(clone, *SHARD, **submitting, SBATCH_PARTITION="all", check=False).stderr
    assert "a shard job failed: SLURM sbatch failed" in said
    assert "invalid partition specified: all" in said


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that makes a command; the PATH has nothing else."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def add(name, script):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    return add


def test_a_machine_without_slurm_is_told(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("PIPELINE_PROFILE", "slurm")
    commands("sinfo", "exit 0")
    with pytest.raises(PipelineError, match=r"PATH has no sbatch, squeue, scancel\. Run"):
        cluster.ready_profile(tmp_path)


def test_a_missing_package_is_told_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PIPELINE_PROFILE", "slurm")
    wanted = r"-m pip install snakemake-executor-plugin-slurm==[\d.]+`"
    with pytest.raises(PipelineError, match=wanted):
        cluster.ready_profile(tmp_path)


def test_kubernetes_asks_for_its_image_and_volume(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("PIPELINE_PROFILE", "kubernetes")
    monkeypatch.setenv("PIPELINE_IMAGE", "registry/stochos:1")
    monkeypatch.delenv("PIPELINE_VOLUME", raising=False)
    commands("rsync", "exit 0")
    with pytest.raises(PipelineError, match="PIPELINE_VOLUME must be set"):
        cluster.ready_profile(tmp_path)


def test_a_profile_is_a_name_or_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINE_PROFILE", "slrum")
    with pytest.raises(
        PipelineError, match=r"PIPELINE_PROFILE=slrum: .* default, kubernetes, slurm"
    ):
        cluster.ready_profile(tmp_path)
    monkeypatch.setenv("PIPELINE_PROFILE", "")
    assert cluster.ready_profile(tmp_path) == paths.PROFILES / "default"
    (tmp_path / "config.yaml").write_text("cores: 1\n")
    monkeypatch.setenv("PIPELINE_PROFILE", str(tmp_path))
    assert cluster.ready_profile(tmp_path) == tmp_path


def test_jobs_of_a_killed_run_are_ended_before_new_ones_begin(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("PIPELINE_PROFILE", "slurm")
    for name in ("sbatch", "sinfo"):
        commands(name, "exit 1")
    commands("squeue", f"echo '78|/else'\n[ -e {tmp_path}/ended ] || echo '77|{tmp_path}'")
    commands("scancel", f'echo "$@" > {tmp_path}/ended')
    cluster.ready_profile(tmp_path)
    assert (tmp_path / "ended").read_text() == "77\n"


def test_a_controller_that_does_not_answer_is_told(tmp_path, commands, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setenv("PIPELINE_PROFILE", "slurm")
    for name in ("sbatch", "sinfo", "scancel"):
        commands(name, "exit 0")
    commands("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(PipelineError, match=r"squeue: Unable to contact slurm controller\. "):
        cluster.ready_profile(tmp_path)


def test_a_silent_job_has_the_last_words_of_the_cluster(tmp_path):
    """Those of a job that failed come first; a finished one may have warned."""
    (tmp_path / "shards").mkdir()
    (tmp_path / "logs").mkdir()
    for part, words in (("a", "a warning"), ("b", ""), ("c", "  ValueError: no.\n")):
        (tmp_path / "logs" / f"{part}.log").write_text(words)
    (tmp_path / "shards" / "a.json").touch()
    told = (
        "    message: SLURM-job '6' failed, SLURM status is: 'TIMEOUT'. Detailed failure reason.\n"
    )
    (tmp_path / "snakemake.log").write_text(f"Error:\n    message: None\n{told}It failed.\n")
    assert shard._last_words(tmp_path, ["a", "b", "c"]) == "c: ValueError: no"
    silent = "SLURM-job '6' failed, SLURM status is: 'TIMEOUT'"
    assert shard._last_words(tmp_path, ["a", "b"]) == silent
    (tmp_path / "snakemake.log").write_text("Error\nIt failed.\n")
    assert shard._last_words(tmp_path, ["a", "b"]) == "It failed"
