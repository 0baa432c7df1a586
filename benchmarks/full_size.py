"""`fetch` and `shard` at full size: seconds, memory and disk, and how they grow with the count.

python -m benchmarks.full_size lakh --counts 1000,10000,176581
python -m benchmarks.full_size lakh --counts 10000 --cores 1,2
python -m benchmarks.full_size nsynth --counts 3000,30000,300000
python -m benchmarks.full_size covers --counts 500,5000,50000

Archives are made once, and kept in the working folder (--work). What is measured is a copy of this
working tree under profile full, its source a folder with the archive; all that this code compiles
is compiled before. `.work` is emptied before each run. The other side, in the same run, is gunzip
of the archives (of the zip: every member inflated), and either its bytes written and synced, or
those of the shards.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO, NamedTuple

from benchmarks import scratch_copy
from benchmarks.process_tree import Taken, measured
from pipeline.paths import ROOT

DATASETS = {"lakh": "lakh", "nsynth": "nsynth", "covers": "spotify_covers"}
_LAKH = ("lakh_note_sequence", "lakh_melody")
CORPORA = {"lakh": _LAKH, "nsynth": ("nsynth_mu_law",), "covers": ("covers",)}
ARCHIVES = {
    "lakh": ("lmd_full.tar.gz",),
    "nsynth": tuple(f"nsynth-{split}.jsonwav.tar.gz" for split in ("train", "valid", "test")),
    "covers": ("spotify_covers.zip",),
}
_WARMING_COUNT = 200


class Row(NamedTuple):
    """One command at one count.

    Attributes:
      num_items: files, notes or tracks of the archives.
      command: the stage, and for `shard` the corpus.
      num_cores: that it may use.
      final_bytes: of the archives and, for `shard`, of the shards.
      baseline_seconds: gunzip, its bytes written.
      rewriting_seconds: gunzip, the bytes that the command left written.
    """

    num_items: int
    command: str
    num_cores: int
    taken: Taken
    final_bytes: int
    baseline_seconds: float
    rewriting_seconds: float


def main(
    kind: str,
    counts: list[int],
    corpora: tuple[str, ...],
    cores: list[int],
    work: Path,
    num_samples: int,
    seed: int,
) -> None:
    """Prints the tables; see the module's docstring, and `_command` for the arguments."""
    work.mkdir(parents=True, exist_ok=True)
    clone = scratch_copy.make(work / "clone", "full", _edits(kind, num_samples))
    rows: list[Row] = []
    for turn, count in enumerate([_WARMING_COUNT, *counts]):
        source = archives(kind, count, work, num_samples, seed)
        scratch_copy.point(clone, DATASETS[kind], source)
        found = _rows(clone, kind, corpora, count, cores if turn else cores[-1:], source)
        if turn > 0:
            rows += found
            _describe(clone, corpora, count, source, kind)
    print(table(rows))
    if len(cores) > 1:
        print(speed_ups(rows))
    shutil.rmtree(clone)


def archives(kind: str, count: int, work: Path, num_samples: int, seed: int) -> Path:
    """The folder with the archives, made if it is not there; in a process of its own, for this one
    must stay small: what it takes counts for its children until they are under way.
    """
    suffix = f"-{num_samples}" if kind == "nsynth" and num_samples != 4000 else ""
    folder = work / f"{kind}-{count}{suffix}{f'-seed{seed}' if seed else ''}"
    if not folder.exists():
        partial = work / f".{folder.name}.part"
        shutil.rmtree(partial, ignore_errors=True)
        arguments = ["--count", str(count), "--seed", str(seed), "--out", str(partial)]
        if kind == "nsynth":
            arguments += ["--num-samples", str(num_samples)]
        module = "benchmarks.full_size_archives"
        subprocess.run(
            [sys.executable, "-m", module, kind, *arguments],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        partial.rename(folder)
    return folder


def table(rows: list[Row]) -> str:
    """Markdown: a line a command and count."""
    lines = [
        "| count | command | cores | seconds | s per 1,000 | CPU s | process, MiB | tree, MiB "
        "| peak disk / (archive + shards) | times gunzip and write "
        "| times gunzip and write shards |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        taken = row.taken
        lines.append(
            f"| {row.num_items:,} | {row.command} | {row.num_cores} | {taken.seconds:.1f} "
            f"| {1000 * taken.seconds / row.num_items:.2f} | {taken.cpu_seconds:.1f} "
            f"| {taken.process_mib:.0f} | {taken.tree_mib:.0f} "
            f"| {taken.disk_bytes / row.final_bytes:.2f} "
            f"| {taken.seconds / row.baseline_seconds:.1f} "
            f"| {taken.seconds / row.rewriting_seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def speed_ups(rows: list[Row]) -> str:
    """Markdown: each run's throughput beside that of the fewest cores."""
    lines = ["| count | command | cores | times the throughput |", "|---:|---|---:|---:|"]
    fewest: dict[tuple[int, str], Row] = {}
    for row in sorted(rows, key=lambda row: row.num_cores):
        first = fewest.setdefault((row.num_items, row.command), row)
        if first is not row:
            times = first.taken.seconds / row.taken.seconds
            cores = f"{first.num_cores} → {row.num_cores}"
            lines.append(f"| {row.num_items:,} | {row.command} | {cores} | {times:.2f} |")
    return "\n".join(lines) + "\n"


def _edits(kind: str, num_samples: int) -> list[tuple[str, str]]:
    """What differs from params.yaml beside the source: a pattern of a line's part, and its text."""
    if kind == "lakh":
        return [(r"subset: lmd_\w+", "subset: lmd_full")]
    if kind == "nsynth":
        return [(r"num_samples: 64000", f"num_samples: {num_samples}")]
    return []


def _unpacking_seconds(kind: str, source: Path, target: Path) -> float:
    """Unpacking the archives, their bytes written to one file (or device) and synced."""
    started = time.perf_counter()
    with open(target, "wb") as file:
        for name in ARCHIVES[kind]:
            if name.endswith(".zip"):
                with zipfile.ZipFile(source / name) as archive:
                    for member in archive.infolist():
                        file.write(archive.read(member))
            else:
                subprocess.run(["gunzip", "-c", str(source / name)], stdout=file, check=True)
        _sync(file)
    return time.perf_counter() - started


def _writing_seconds(made: list[Path], target: Path) -> float:
    """Writing the bytes of files once more, to one file, synced."""
    started = time.perf_counter()
    with open(target, "wb") as file:
        for path in made:
            with open(path, "rb") as opened:
                shutil.copyfileobj(opened, file, 1 << 20)
        _sync(file)
    return time.perf_counter() - started


def _sync(file: IO[bytes]) -> None:
    file.flush()
    if file.name != os.devnull:
        os.fsync(file.fileno())


def _rows(
    clone: Path, kind: str, corpora: tuple[str, ...], count: int, cores: list[int], source: Path
) -> list[Row]:
    """`fetch` once, then `shard` of each corpus with each number of cores."""
    raw, shards, work = clone / "data" / "raw", clone / "data" / "shards", clone / ".work"
    watched = (raw, shards, work)
    for folder in watched:
        shutil.rmtree(folder, ignore_errors=True)
    rows = []
    scratch = clone.parent / "unpacked"
    os.sync()
    baseline = _unpacking_seconds(kind, source, scratch)
    gunzip = _unpacking_seconds(kind, source, Path(os.devnull))
    commands = [("fetch", DATASETS[kind], max(cores))]
    commands += [("shard", corpus, n) for corpus in corpora for n in cores]
    for stage, item, num_cores in commands:
        for folder in (shards, work):
            if stage == "shard":
                shutil.rmtree(folder, ignore_errors=True)
        os.sync()
        allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))[:num_cores]))
        command = ["taskset", "-c", allowed, sys.executable, "-m", f"pipeline.{stage}", item]
        taken = measured(command, clone, scratch_copy.environment(clone), watched)
        kept, made = _files(raw), _files(shards)
        rewriting = gunzip + _writing_seconds(made or kept, scratch)
        scratch.unlink()
        final_bytes = sum(p.stat().st_size for p in kept + made)
        command_name = f"{stage} {item}"
        rows.append(Row(count, command_name, num_cores, taken, final_bytes, baseline, rewriting))
        print(f"{count} {stage} {item}: {taken}", file=sys.stderr, flush=True)
    return rows


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _describe(clone: Path, corpora: tuple[str, ...], count: int, source: Path, kind: str) -> None:
    """One line on what went in and what was refused, from the last corpus that was made."""
    num_bytes = sum((source / name).stat().st_size for name in ARCHIVES[kind])
    folder = clone / "data" / "shards" / corpora[-1]
    with open(folder / "rejected.tsv", newline="") as file:
        refused = Counter(row[1] for row in list(csv.reader(file, delimiter="\t"))[1:])
    shards = sum(p.stat().st_size for p in _files(folder))
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in refused.most_common())
    print(
        f"{count:,}: archives {num_bytes:,} bytes, {corpora[-1]} {shards:,} bytes; refused: "
        f"{reasons or 'none'}.\n"
    )


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_size",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder = Path(tempfile.gettempdir()) / "full_size"
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("kind", choices=list(DATASETS))
    parser.add_argument("--counts", type=_numbers, required=True, help="e.g. 1000,10000")
    parser.add_argument("--corpora", type=_names, help="of the dataset's, e.g. lakh_melody; all")
    parser.add_argument("--cores", type=_numbers, default=[cores], help="of shard, e.g. 1,2")
    parser.add_argument("--work", type=Path, default=folder, help=f"a folder; else {folder}")
    parser.add_argument("--num-samples", type=int, default=4000, help="of a note of NSynth")
    parser.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    arguments["corpora"] = arguments["corpora"] or CORPORA[arguments["kind"]]
    main(**arguments)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    _command()
