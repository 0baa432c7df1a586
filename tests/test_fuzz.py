"""Each reader on a few hundred damaged inputs, and the watch that benchmarks.fuzz keeps on them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # pytest puts the folder of the tests there, not that above it

from benchmarks import fuzz  # noqa: E402
from benchmarks.fuzzing.formats import FORMATS, is_of_memory, rejection  # noqa: E402
from pipeline import paths  # noqa: E402
from pipeline.errors import PipelineError, Rejected  # noqa: E402

SEED = 21
NUM = {"midi": 300, "wav": 200, "mp3": 200, "flac": 200, "ogg": 200, "jpeg": 200, "png": 200}


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_inputs_are_read_or_rejected(name, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    kinds = set()
    for index in range(NUM.get(name, 100)):
        kind, text = fuzz.outcome(
            FORMATS[name].read, FORMATS[name].input(name, SEED, index), tmp_path
        )
        assert kind in ("read", "rejected"), f'--seed {SEED} --replay "{name} {index}": {text}'
        kinds.add(kind)
    assert "read" in kinds  # else the damage hides what lies behind the first check


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_damaged_was_whole(name, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    format_ = FORMATS[name]
    whole = [format_.finish(seed) for seed in format_.seeds()]
    num_read = sum(fuzz.outcome(format_.read, data, tmp_path)[0] == "read" for data in whole)
    # A GIF is refused as such; the MIDI file with bytes behind its last track gets one too many.
    assert num_read >= (0.6 if name == "other pictures" else 0.95) * len(whole) > 0


def test_an_input_is_known_by_its_format_seed_and_index():
    names = ("midi", "MusicXML", "nsynth json", "zip", "tar.gz", "kern", "ogg", "mp3", "jpeg")
    program = (
        "from benchmarks.fuzzing.formats import FORMATS; import hashlib\n"
        f"for name in {names}:\n"
        "    whole = b''.join(FORMATS[name].input(name, 5, i) for i in range(20))\n"
        "    print(hashlib.sha256(whole).hexdigest())\n"
    )
    here = [b"".join(FORMATS[n].input(n, 5, i) for i in range(20)) for n in names]
    there = run(program, PYTHONHASHSEED="77").stdout.decode().split()
    assert [hashlib.sha256(whole).hexdigest() for whole in here] == there
    assert len({FORMATS["midi"].input("midi", seed, i) for seed in (0, 1) for i in (0, 1)}) == 4


def test_only_rejections_are_allowed():
    assert rejection(Rejected("too_long", "x")) == "too_long"
    assert rejection(PipelineError("x")) == "PipelineError"
    assert rejection(ValueError("x")) is None


def test_a_rejection_that_hides_a_memory_error_is_none():
    rejected = Rejected("undecodable", "x")
    rejected.__cause__ = ValueError("y")
    assert rejection(rejected) == "undecodable"
    rejected.__cause__.__context__ = MemoryError()
    assert is_of_memory(rejected)
    assert rejection(rejected) is None


WATCHED = """
import argparse, ctypes, os, sys
from pathlib import Path
from benchmarks import fuzz
from benchmarks.fuzzing import formats

def read(data, folder):
    if (Path(folder) / "log").exists() and Path(folder, "log").read_text().endswith("\\n3\\n"):
        {fault}

formats.FORMATS["x"] = formats.Format(lambda: [b"abc"], read, (b"t",))
fuzz.CPU_SECONDS = 0.3
fuzz.work(argparse.Namespace(worker=["x", "0", "6", sys.argv[1]], seed=0))
"""


@pytest.mark.parametrize(
    ("fault", "code", "kind"),
    [
        ("while True: pass", -signal.SIGPROF, None),
        ("os.kill(os.getpid(), 11)", -signal.SIGSEGV, None),
        ("bytearray(fuzz.MEMORY_BYTES + (1 << 28))", 0, "memory"),
        ("raise KeyError('x')", 0, "crash"),
        ("raise formats.Rejected('odd', 'x')", 0, "rejected"),
    ],
)
def test_the_watch_sees_each_fault_and_its_input(fault, code, kind, tmp_path):
    assert run(WATCHED.format(fault=fault), tmp_path).returncode == code
    started, events = fuzz.replayed(tmp_path / "log")
    assert [event["kind"] for event in events[:3]] == ["read"] * 3
    if kind is None:
        assert (started, len(events)) == (3, 3)
    else:
        assert (started, len(events), events[3]["kind"]) == (5, 6, kind)


def test_a_tally_counts_and_keeps_what_is_at_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "FAULTS", tmp_path)
    tally = fuzz.Tally()
    events = [
        {"kind": "read", "text": "", "index": 0, "seconds": 0.5},
        {"kind": "rejected", "text": "not_midi", "index": 1, "seconds": 0.1},
        {"kind": "hang", "text": "-27", "index": 2},
    ]
    fuzz.count(json.loads(json.dumps(events)), tally, "midi", 0)
    assert (tally.num_inputs, tally.num_read, dict(tally.reasons)) == (3, 1, {"not_midi": 1})
    assert tally.faults == ["hang of midi 2: -27"]
    assert (tmp_path / "midi-0-2").read_bytes() == FORMATS["midi"].input("midi", 0, 2)
    assert tally.row("midi") == "| midi | 3 | 1 | 1 | not_midi 1 | 0 | 1 | 0 | 500 | 5 |"


def run(program: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
