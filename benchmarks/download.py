"""Downloads of 1 GiB with 30 cuts: what is fetched twice, and what resuming costs.

Usage: python -m benchmarks.download [MiB]

A server in a process of its own, on the loopback, makes the bytes from a seed and counts what it
hands to the kernel. In one row it resets 30 connections at random moments; in another the client is
killed 30 times (SIGKILL). Beside them stand undisturbed downloads, urllib's and curl's, which end
with the file written but neither synced nor checked. `served twice` is what was served beyond the
file's size; of a kill that may be a block of 1 MiB a connection. Seconds include the delays before
each retry and the starts of killed clients.
"""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

WORK = ROOT / ".work"  # a real disk, not the memory that some systems take for /tmp
SEED, NUM_CUTS = 20261, 30
MIB = 1 << 20
SIZE = (int(sys.argv[1]) if sys.argv[1:] and sys.argv[1].isdigit() else 1024) * MIB
CLIENT = """
import sys
from pathlib import Path
from pipeline.network import download, web
from pipeline.datasets.base import Source
url, work, checksum = sys.argv[1:]
wanted = download.Wanted(Source("file", (url,), None, checksum), (web.WebOrigin(url),))
download.fetch("benchmark", [wanted], Path(work))
"""


class Measured(NamedTuple):
    """One row; `num_served` in bytes."""

    name: str
    num_cuts: int
    num_served: int
    is_right: bool
    seconds: float


def main() -> None:
    context = multiprocessing.get_context("spawn")
    num_served, num_cut = context.Value("q", 0), context.Value("q", 0)
    marks = context.Array("q", NUM_CUTS)
    reader, writer = context.Pipe(duplex=False)
    server = context.Process(target=serve, args=(writer, num_served, num_cut, marks), daemon=True)
    server.start()
    WORK.mkdir(exist_ok=True)
    url = f"http://127.0.0.1:{reader.recv()}/file"
    rng = random.Random(SEED)
    rows = []
    for name, run, are_cut in clients(url, num_served, rng):
        moments = sorted(rng.sample(range(MIB, SIZE), NUM_CUTS))
        marks[:] = moments if are_cut else [1 << 62] * NUM_CUTS
        num_served.value = num_cut.value = 0
        with tempfile.TemporaryDirectory(dir=WORK) as work:
            start = time.perf_counter()
            num_kills = run(Path(work)) or 0
            seconds = time.perf_counter() - start
            is_right = digest(Path(work) / "file") == expected()
        rows.append(Measured(name, num_kills + num_cut.value, num_served.value, is_right, seconds))
    server.terminate()
    print_table(rows)


def print_table(rows: list[Measured]) -> None:
    print(f"One file of {SIZE:,} bytes, {os.cpu_count()} cores for both sides.\n")
    print("| client | cuts | bytes served | served twice | a cut | checksum | seconds | MB/s |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        twice = row.num_served - SIZE
        each = f"{twice / row.num_cuts / MIB:.3f} MiB" if row.num_cuts else ""
        right = "right" if row.is_right else "WRONG"
        rate = SIZE / row.seconds / 1e6
        print(
            f"| {row.name} | {row.num_cuts} | {row.num_served:,} | {twice:,} | {each} | {right} "
            f"| {row.seconds:.1f} | {rate:,.0f} |"
        )


def clients(
    url: str, num_served: Synchronized[int], rng: random.Random
) -> list[tuple[str, Callable[[Path], int | None], bool]]:
    """(name, what fetches "file" into a directory and gives its number of kills, is it cut)."""

    def plain(work: Path) -> None:
        with urllib.request.urlopen(url) as response, open(work / "file", "wb") as file:
            shutil.copyfileobj(response, file, MIB)

    def curl(work: Path) -> None:
        command = ["curl", "--silent", "--noproxy", "*", "--output", str(work / "file"), url]
        subprocess.run(command, check=True)

    def ours(connections: int) -> Callable[[Path], None]:
        def run(work: Path) -> None:
            with start_client(url, work, connections) as client:
                if client.wait():
                    raise SystemExit(f"the client ended with {client.returncode}")

        return run

    def killed(connections: int) -> Callable[[Path], int]:
        def run(work: Path) -> int:
            num_kills = 0
            for mark in sorted(rng.sample(range(MIB, SIZE - 64 * MIB), NUM_CUTS)):
                client = start_client(url, work, connections)
                while num_served.value < mark and client.poll() is None:
                    time.sleep(0.0005)
                client.send_signal(signal.SIGKILL)
                num_kills += client.wait() == -signal.SIGKILL
            ours(connections)(work)
            return num_kills

        return run

    found: list[tuple[str, Callable[[Path], int | None], bool]] = [("urllib", plain, False)]
    if shutil.which("curl"):
        found.append(("curl", curl, False))
    for connections in (1, 4):
        each = f"{connections} connection{'s' if connections > 1 else ''}"
        found += [
            (f"ours, {each}", ours(connections), False),
            (f"ours, {each}, cut by the server", ours(connections), True),
            (f"ours, {each}, killed", killed(connections), False),
        ]
    return found


def start_client(url: str, work: Path, connections: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PIPELINE_CONNECTIONS": str(connections),
        "no_proxy": "127.0.0.1",
    }
    command = [sys.executable, "-c", CLIENT, url, str(work), f"sha256:{expected()}"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


_BASE = random.Random(SEED).randbytes(MIB)


def block(index: int) -> bytes:
    """The MiB of that index: no two are equal, so none can stand in another's place."""
    return index.to_bytes(8, "big") + _BASE[8:]


def expected() -> str:
    if not _EXPECTED:
        sha256 = hashlib.sha256()
        for index in range(SIZE // MIB):
            sha256.update(block(index))
        _EXPECTED.append(sha256.hexdigest())
    return _EXPECTED[0]


_EXPECTED: list[str] = []


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def serve(port: Any, num_served: Any, num_cut: Any, marks: Any) -> None:
    """Answers ranges; resets the connection that serves a byte at one of the marks."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *arguments: None
    Handler.num_served, Handler.num_cut, Handler.marks = num_served, num_cut, marks
    port.send(server.server_port)
    server.serve_forever()


class Handler(http.server.BaseHTTPRequestHandler):
    num_served: Any
    num_cut: Any
    marks: Any

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)

    def do_GET(self) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        start, end = (int(wanted[1]), int(wanted[2]) + 1) if wanted else (0, SIZE)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{SIZE}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", '"1"')
        self.end_headers()
        step = MIB // 16
        while start < end:
            stop = min(end, start // step * step + step)
            index, offset = divmod(start, MIB)
            data = memoryview(block(index))[offset : offset + stop - start]
            if self._is_at_mark(len(data)):
                self._reset()
                return
            self.wfile.write(data)
            start = stop

    def _is_at_mark(self, num_bytes: int) -> bool:
        """Counts what is about to be served; a mark within it is crossed once."""
        with self.num_served.get_lock():
            done = self.num_cut.value
            is_cut = done < NUM_CUTS and self.num_served.value >= self.marks[done]
            if is_cut:
                self.num_cut.value += 1
            else:
                self.num_served.value += num_bytes
            return is_cut

    def _reset(self) -> None:
        """The hard way: without waiting for what is still in the buffers."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def log_message(self, *arguments: object) -> None:
        pass


if __name__ == "__main__":
    main()
