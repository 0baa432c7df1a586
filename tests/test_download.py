"""Downloads from a local server that misbehaves as real ones do, and counts what it serves."""

import contextlib
import datetime
import email.utils
import errno
import hashlib
import http.server
import ipaddress
import itertools
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from pipeline import files, paths
from pipeline.datasets.base import Source
from pipeline.errors import PipelineError
from pipeline.network import (
    checksums,
    download,
    google_drive,
    meter,
    partial,
    transfer,
    web,
)
from pipeline.network.origin import Interrupted
from pipeline.network.partial import Part, Writer

DATA = random.Random(1).randbytes(1_280_000)
CHECKSUM = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
OTHER = random.Random(2).randbytes(len(DATA))
PROBE = "bytes=0-0"


class Site(http.server.ThreadingHTTPServer):
    """Answers each path by a function of the request; unknown paths give DATA."""

    daemon_threads = True
    block_size = 1 << 14
    seconds_per_block = 0.0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.answers, self.log, self.num_served = {}, [], 0
        self.about = {}
        self.lock = threading.Lock()
        self.open_now = self.most_open = 0

    def url(self, path="/file"):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def start_count(self):
        """Counts from nothing once the connections of before are gone."""
        time.sleep(0.05)  # of a request just accepted, too
        while self.open_now:
            time.sleep(0.001)
        self.log.clear()
        self.num_served = 0

    def handle_error(self, request, client_address):
        """A client that goes away is what these tests are about."""


class Request(http.server.BaseHTTPRequestHandler):
    @property
    def range(self):
        return self.headers.get("Range")

    @property
    def is_probe(self):
        return self.range == PROBE

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)

    def do_GET(self):
        path = self.path.removeprefix(self.server.url("")) if self.is_through_proxy() else self.path
        with self.server.lock:
            self.server.log.append((path, self.range))
        self.server.answers.get(path, Request.give)(self)

    def is_through_proxy(self):
        return self.path.startswith("http://")

    def give(self, data=DATA, etag='"1"', ranges=True, cut_at=None, length=None, kind="x/zip"):
        """The data or its range; cut_at resets the connection once that offset is reached."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.range or "")
        is_same = self.headers.get("If-Range") in (None, etag)
        start, end = 0, len(data)
        if wanted and ranges and is_same:
            start = int(wanted[1])
            end = min(int(wanted[2]) + 1, end) if wanted[2] else end
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Type", kind)
        if length != "none":
            self.send_header("Content-Length", str(length or end - start))
        for name, value in {"ETag": etag, **self.server.about}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self._stream(data, start, end, cut_at)

    def _stream(self, data, start, end, cut_at):
        site = self.server
        with site.lock:
            site.open_now += 1
            site.most_open = max(site.most_open, site.open_now)
        try:
            stop = end if cut_at is None or self.is_probe else max(start, min(end, cut_at))
            for position in range(start, stop, site.block_size):
                block = data[position : min(position + site.block_size, stop)]
                time.sleep(site.seconds_per_block)
                with site.lock:
                    site.num_served += len(block)
                self.wfile.write(block)
            if stop < end:
                self.reset()
        finally:
            with site.lock:
                site.open_now -= 1

    def reset(self):
        """Ends the connection; what was sent before is left to arrive."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)

    def refuse(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site():
    with Site() as found:
        threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield found
        found.shutdown()


@pytest.fixture(autouse=True)
def slept(monkeypatch, tmp_path):
    """Nobody waits; the delays are counted. The checksums are the test's own."""
    delays = []
    monkeypatch.setattr(transfer, "sleep", delays.append)
    monkeypatch.setattr(paths, "ROOT", tmp_path / "root")
    monkeypatch.setattr(paths, "WORK", tmp_path / "root" / ".work")
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "PIPELINE_CONNECTIONS"):
        monkeypatch.delenv(name, raising=False)
    return delays


@pytest.fixture
def parallel(monkeypatch):
    """Several connections for small files, too."""
    monkeypatch.setattr(transfer, "MIN_PARALLEL_BYTES", 1000)
    monkeypatch.setattr(transfer, "_PIECE_BYTES", (50_000, 50_000))


def fetch(tmp_path, *urls, num_bytes=None, checksum=CHECKSUM):
    """Fetches x.zip; the directory must then hold it alone."""
    wanted = download.Wanted(
        Source("x.zip", urls, num_bytes, checksum), tuple(web.WebOrigin(url) for url in urls)
    )
    facts = download.fetch("x", [wanted], tmp_path / "work")["x.zip"]
    assert names(tmp_path) == ["x.zip"]
    data = (tmp_path / "work" / "x.zip").read_bytes()
    assert facts == checksums.Facts(len(data), hashlib.sha256(data).hexdigest())
    return data


def names(tmp_path):
    return sorted(p.name for p in (tmp_path / "work").iterdir())


def part_of(tmp_path):
    return Part(tmp_path / "work" / "x.zip.part")


def num_probes(site):
    return sum(wanted == PROBE for _, wanted in site.log)


# What arrives


@pytest.mark.parametrize(
    "about",
    [{}, {"ranges": False}, {"etag": None}, {"etag": 'W/"1"'}, {"ranges": False, "length": "none"}],
    ids=str,
)
def test_a_file_arrives_whole(site, tmp_path, about, slept):
    site.answers["/file"] = lambda r: r.give(**about)
    assert fetch(tmp_path, site.url()) == DATA
    assert slept == []


def test_several_connections_share_a_file(site, tmp_path, parallel):
    site.seconds_per_block = 0.001
    assert fetch(tmp_path, site.url()) == DATA
    assert site.num_served == len(DATA) + num_probes(site)
    assert len(site.log) == num_probes(site) + -(-len(DATA) // 50_000)
    assert 2 <= site.most_open <= 8  # one ends while its follower begins


@pytest.mark.parametrize("text", ["0", "17", "many", "²", "-1"])
def test_the_number_of_connections_is_checked(site, tmp_path, monkeypatch, text):
    monkeypatch.setenv("PIPELINE_CONNECTIONS", text)
    with pytest.raises(PipelineError, match=f"PIPELINE_CONNECTIONS={text}.* 1 to 16"):
        fetch(tmp_path, site.url())


def test_one_connection_if_wanted(site, tmp_path, parallel, monkeypatch):
    monkeypatch.setenv("PIPELINE_CONNECTIONS", "1")
    assert fetch(tmp_path, site.url()) == DATA
    assert site.most_open == 1
    assert len(site.log) == num_probes(site) + 1


def test_what_is_there_is_checked_and_not_fetched_again(site, tmp_path):
    fetch(tmp_path, site.url())
    site.log.clear()
    assert fetch(tmp_path, site.url()) == DATA
    assert site.log == []
    (tmp_path / "work" / "x.zip").write_bytes(OTHER)
    assert fetch(tmp_path, site.url()) == DATA


def test_redirects_are_followed_to_the_web_only(site, tmp_path):
    site.answers["/a"] = lambda r: r.refuse(302, Location="/file")
    assert fetch(tmp_path, site.url("/a")) == DATA
    assert site.log[:2] == [("/a", PROBE), ("/file", PROBE)]
    for place in ("file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"):
        site.answers["/b"] = lambda r, place=place: r.refuse(302, Location=place)
        with pytest.raises(PipelineError, match="could not be downloaded"):
            fetch(tmp_path / "b", site.url("/b"))
    site.answers["/c"] = lambda r: r.refuse(302, Location="/c")
    with pytest.raises(PipelineError, match="infinite loop"):
        fetch(tmp_path / "c", site.url("/c"))


def test_a_redirect_from_https_to_http_is_refused(secure, site, tmp_path, monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    site.answers["/file"] = lambda r: r.refuse(302, Location=site.url("/b?token=secret"))
    with pytest.raises(PipelineError, match="from https to http://127") as raised:
        fetch(tmp_path, secure)
    assert "secret" not in str(raised.value)


# What is cut


def test_a_cut_connection_is_gone_on_with(site, tmp_path, slept):
    cuts = iter([300_000, 300_001, 700_000, 10**9])
    site.answers["/file"] = lambda r: r.give(cut_at=None if r.is_probe else next(cuts))
    assert fetch(tmp_path, site.url()) == DATA
    assert site.num_served == len(DATA) + num_probes(site)
    last = f"-{len(DATA) - 1}"
    assert [w for _, w in site.log if w != PROBE] == [
        *(f"bytes=0{last}", f"bytes=300000{last}", f"bytes=300001{last}", f"bytes=700000{last}")
    ]
    assert slept == [1.0, 1.0, 1.0]  # each brought something, so none counts


def test_random_cuts_on_several_connections_cost_nothing(site, tmp_path, parallel):
    rng, remaining = random.Random(3), [40]

    def answer(request):
        with site.lock:
            remaining[0] -= not request.is_probe
            is_cut = remaining[0] >= 0 and not request.is_probe
            start = int(re.findall(r"\d+", request.range)[0])
            cut_at = start + rng.randrange(50_000) if is_cut else None
        request.give(cut_at=cut_at)

    site.answers["/file"] = answer
    assert fetch(tmp_path, site.url()) == DATA
    # The connections that were not cut end with the first that is; what they were sent by then,
    # and had not read, is the price: less than a block each.
    assert site.num_served <= len(DATA) + num_probes(site) + 40 * 4 * partial.BLOCK_BYTES


def test_without_ranges_a_cut_starts_over_and_still_ends(site, tmp_path, slept, capsys):
    cuts = iter([300_000, 200_000, 100_000, 10**9])
    site.answers["/file"] = lambda r: r.give(ranges=False, cut_at=0 if r.is_probe else next(cuts))
    assert fetch(tmp_path, site.url()) == DATA
    assert slept == [1.0, 1.0, 2.0]  # only the first came further than before
    assert "starts over" in capsys.readouterr().err


def test_a_line_that_never_gets_further_is_given_up(site, tmp_path, slept):
    site.answers["/file"] = lambda r: r.give(cut_at=200_000)
    with pytest.raises(PipelineError, match=r"ended 1080000 bytes early \(14 attempts\)"):
        fetch(tmp_path, site.url())
    assert slept[:5] == [1.0, 1.0, 2.0, 4.0, 8.0]
    assert max(slept) == 300.0
    assert part_of(tmp_path).num_done == 200_000
    del site.answers["/file"]
    site.log.clear()
    assert fetch(tmp_path, site.url()) == DATA
    assert ("/file", f"bytes=200000-{len(DATA) - 1}") in site.log


def test_a_stalled_connection_is_left(site, tmp_path, monkeypatch, slept, capsys):
    monkeypatch.setattr(web, "STALL_SECONDS", 0.15)
    stalls, over = iter([True]), threading.Event()

    def answer(request):
        if request.is_probe or not next(stalls, False):
            return request.give()
        request.connection.sendall(
            b"HTTP/1.0 206 x\r\nContent-Range: bytes 0-1279999/1280000\r\n"
            b'Content-Length: 1280000\r\nETag: "1"\r\n\r\n' + DATA[:5000]
        )
        return over.wait(10)

    site.answers["/file"] = answer
    assert fetch(tmp_path, site.url()) == DATA
    over.set()
    assert "nothing came in time" in capsys.readouterr().err
    assert ("/file", f"bytes=5000-{len(DATA) - 1}") in site.log
    assert slept == [1.0]


def test_another_thread_can_end_a_read(site, tmp_path):
    over, ended = threading.Event(), []

    def answer(request):
        if request.is_probe:
            return request.give()
        request.connection.sendall(
            b"HTTP/1.0 206 x\r\nContent-Range: bytes 0-1279999/1280000\r\n"
            b"Content-Length: 1280000\r\n\r\n" + DATA[:10]
        )
        return over.wait(10)

    site.answers["/file"] = answer
    origin = web.WebOrigin(site.url())
    remote = origin.describe()

    def read():
        try:
            with origin.read(remote, 0, len(DATA)) as chunks:
                for chunk in chunks:
                    ended.append(chunk)
        except Interrupted as interrupted:
            ended.append(interrupted)

    thread = threading.Thread(target=read)
    thread.start()
    while not ended:
        time.sleep(0.001)
    origin.interrupt()
    thread.join(3)
    assert ended[0] == DATA[:10]
    assert isinstance(ended[1], Interrupted)
    over.set()


def test_nobody_there(tmp_path, slept):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file"
        with pytest.raises(PipelineError, match=r"refused.* \(5 attempts\).*Run it again"):
            fetch(tmp_path, url)
    assert slept == [1.0, 2.0, 4.0, 8.0]


def test_a_file_that_changed_between_two_runs_starts_over(site, tmp_path, capsys):
    site.answers["/file"] = lambda r: r.give(OTHER, etag='"old"', cut_at=500_000)
    with pytest.raises(PipelineError):
        fetch(tmp_path, site.url())
    del site.answers["/file"]
    assert fetch(tmp_path, site.url()) == DATA
    assert "it changed at its source, so it starts over" in capsys.readouterr().err


@pytest.mark.parametrize("has_if_range", [True, False])
def test_a_file_that_changes_meanwhile_starts_over(site, tmp_path, parallel, has_if_range):
    """No mixture even of a server that does not know If-Range: the answer's own ETag is read."""
    count = iter(range(10_000))

    def answer(request):
        if not has_if_range:
            del request.headers["If-Range"]
        request.give(*((OTHER, '"old"') if next(count) < 7 else (DATA, '"new"')))

    site.answers["/file"] = answer
    assert fetch(tmp_path, site.url(), checksum=None) == DATA


@pytest.mark.parametrize(
    ("etag", "expected"), [('"1"', '"1"'), ('W/"1"', "a date"), (None, "a date")]
)
def test_a_range_is_asked_for_of_the_same_version_only(site, tmp_path, etag, expected):
    """If-Range takes no weak ETag."""
    conditions = []

    def answer(request):
        conditions.append(request.headers.get("If-Range"))
        del request.headers["If-Range"]
        request.give(etag=etag)

    site.answers["/file"] = answer
    site.about["Last-Modified"] = "a date"
    assert fetch(tmp_path, site.url()) == DATA
    assert conditions == [None, None, expected]


def test_ranges_that_are_promised_but_not_given(site, tmp_path, parallel):
    site.answers["/file"] = lambda r: r.give(ranges=r.is_probe)
    assert fetch(tmp_path, site.url()) == DATA


@pytest.mark.parametrize("is_probe", [True, False])
def test_a_node_that_knows_no_ranges_costs_nothing(site, tmp_path, slept, is_probe):
    """Two of three nodes behind a balancer; what came before is kept."""
    cuts, refusals = iter([300_000, 10**9]), iter([False] * is_probe + [True, True])

    def answer(request):
        if request.is_probe == is_probe and (is_probe or slept) and next(refusals, False):
            return request.give(ranges=False, cut_at=0)
        return request.give(cut_at=None if request.is_probe else next(cuts))

    site.answers["/file"] = answer
    assert fetch(tmp_path, site.url(), num_bytes=len(DATA)) == DATA
    assert site.log[-1] == ("/file", f"bytes=300000-{len(DATA) - 1}")
    assert len(slept) == 3


def test_a_range_that_was_not_asked_for_is_refused(site, tmp_path):
    def answer(request):
        if not request.is_probe:
            del request.headers["Range"]
            request.headers["Range"] = "bytes=7-"
        request.give()

    site.answers["/file"] = answer
    with pytest.raises(PipelineError, match=r"gave the range 7-.* instead of that from 0"):
        fetch(tmp_path, site.url())


# What is refused


@pytest.mark.parametrize(
    ("status", "header", "delay"),
    [
        (503, None, 1.0),
        (500, None, 1.0),
        (408, None, 1.0),
        (503, "7", 7.0),
        (429, "7", 7.0),
        (429, "86400", 600.0),
        (503, "soon", 1.0),
        (503, "-3", 0.0),
        (503, "nan", 1.0),
        (503, "date", 90.0),
    ],
)
def test_a_server_in_trouble_is_asked_again(site, tmp_path, slept, status, header, delay):
    if header == "date":
        header = email.utils.formatdate(time.time() + 90, usegmt=True)
    refusals = iter([True])
    about = {"Retry_After": header} if header else {}
    site.answers["/file"] = lambda r: r.refuse(status, **about) if next(refusals, 0) else r.give()
    assert fetch(tmp_path, site.url()) == DATA
    assert slept == [pytest.approx(delay, abs=2 if header and "GMT" in header else 0)]


def test_a_server_that_takes_one_connection_only(site, tmp_path, parallel, slept, monkeypatch):
    monkeypatch.setattr(transfer, "sleep", lambda delay: slept.append(time.sleep(0.02)))
    site.seconds_per_block = 0.002

    def answer(request):
        return request.refuse(503) if site.open_now else request.give()

    site.answers["/file"] = answer
    assert fetch(tmp_path, site.url()) == DATA
    assert site.most_open <= 2  # two may pass the count at the same moment
    assert len(slept) < 8


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_the_next_mirror_is_asked(site, tmp_path, slept, status):
    site.answers["/a"] = lambda r: r.refuse(status)
    assert fetch(tmp_path, site.url("/a"), site.url()) == DATA
    assert slept == []
    with pytest.raises(PipelineError, match=f"x.zip .*/a: HTTP {status}.*/a: HTTP {status}.*hand"):
        fetch(tmp_path / "b", site.url("/a"), site.url("/a"))
    assert names(tmp_path / "b") == []


def test_a_mirror_goes_on_where_the_first_stopped(site, tmp_path):
    site.answers["/a"] = lambda r: r.give(cut_at=500_000)
    assert fetch(tmp_path, site.url("/a"), site.url("/b")) == DATA
    assert ("/b", f"bytes=500000-{len(DATA) - 1}") in site.log


def test_without_a_checksum_another_mirror_starts_over(site, tmp_path):
    site.answers["/a"] = lambda r: r.give(cut_at=500_000)
    assert fetch(tmp_path, site.url("/a"), site.url("/b"), checksum=None) == DATA
    assert ("/b", f"bytes=0-{len(DATA) - 1}") in site.log


PAGE = b"<!DOCTYPE html><html>log in</html>"


@pytest.mark.parametrize(
    ("about", "num_bytes", "checksum", "message"),
    [
        ({"data": PAGE, "kind": "text/html; charset=utf-8"}, None, None, "web page"),
        ({"data": PAGE}, None, None, "web page"),
        ({"data": b"\n <HTML>" + DATA, "ranges": False}, None, None, "web page"),
        ({}, 5, None, "has 1280000 bytes there, its publisher says 5"),
        ({"ranges": False, "length": "none"}, 5, None, "1280000 bytes, its publisher says 5"),
        ({}, None, "md5:" + "0" * 32, "its publisher says md5:0"),
        ({}, None, "sha1:" + "0" * 40, "its publisher says sha1:0"),
        ({}, None, "sha256:" + "0" * 64, "its publisher says sha256:0"),
    ],
)
def test_what_is_not_the_file_never_gets_its_name(
    site, tmp_path, about, num_bytes, checksum, message
):
    site.answers["/file"] = lambda r: r.give(**about)
    with pytest.raises(PipelineError, match=message):
        fetch(tmp_path, site.url(), num_bytes=num_bytes, checksum=checksum)
    assert names(tmp_path) in ([], ["x.zip.part", "x.zip.part.jsonl"])
    assert part_of(tmp_path).num_done == 0


def test_an_empty_file_is_none(site, tmp_path):
    site.answers["/file"] = lambda r: r.refuse(416 if r.range else 200)
    with pytest.raises(PipelineError, match="empty"):
        fetch(tmp_path, site.url(), checksum=None)


def test_a_resumed_part_that_is_wrong_gets_one_fresh_start(site, tmp_path, capsys):
    """Its first half is of another version, which no ETag told."""
    site.answers["/file"] = lambda r: r.give(OTHER, etag=None, cut_at=500_000)
    with pytest.raises(PipelineError):
        fetch(tmp_path, site.url())
    site.answers["/file"] = lambda r: r.give(etag=None)
    assert fetch(tmp_path, site.url()) == DATA
    assert "It starts over" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:port/x", "nonsense://x/y", "http:///x", "https://a..b/"),
        *("http://me:secret@127.0.0.1/x", "http://127.0.0.1/x y?secret", "http://127.0.0.1/é"),
    ],
)
def test_a_url_that_is_none(tmp_path, url, slept):
    with pytest.raises(PipelineError, match="could not be downloaded") as raised:
        fetch(tmp_path, url)
    assert "secret" not in str(raised.value)
    assert slept == []


def test_an_error_shows_no_secret_of_a_url(site, tmp_path):
    site.answers["/a?token=secret"] = lambda r: r.refuse(403)
    for num_bytes in (None, 5):  # asked for by the announcement, or by the transfer
        with pytest.raises(PipelineError, match="/a: HTTP 403") as raised:
            fetch(tmp_path, site.url("/a?token=secret"), num_bytes=num_bytes)
        assert "secret" not in str(raised.value)


# Recorded on first use


def test_the_first_download_is_recorded_and_verified_ever_after(site, tmp_path):
    fetch(tmp_path, site.url(), checksum=None)
    lock = paths.ROOT / "data" / "checksums.json"
    sha256 = CHECKSUM.partition(":")[2]
    assert files.read_json(lock) == {"x": {"x.zip": {"num_bytes": len(DATA), "sha256": sha256}}}

    shutil.rmtree(tmp_path / "work")  # it outlives .work
    site.answers["/file"] = lambda r: r.give(OTHER, etag='"2"')
    for _ in range(2):
        with pytest.raises(PipelineError, match=r"changed at its source.*delete x: x\.zip from"):
            fetch(tmp_path, site.url(), checksum=None)
        assert names(tmp_path) == ["x.zip.part", "x.zip.part.jsonl"]
    assert files.read_json(lock)["x"]["x.zip"]["sha256"] == sha256

    files.write_json(lock, {"y": {}})
    site.start_count()
    assert fetch(tmp_path, site.url(), checksum=None) == OTHER
    assert site.num_served <= 2  # accepted, not fetched again
    assert set(files.read_json(lock)) == {"x", "y"}


def test_what_only_differs_from_the_record_is_kept(site, tmp_path):
    fetch(tmp_path, site.url(), checksum=None)
    lock = paths.ROOT / "data" / "checksums.json"
    recorded = files.read_json(lock)
    recorded["x"]["x.zip"]["sha256"] = "0" * 64
    files.write_json(lock, recorded)
    site.start_count()
    with pytest.raises(PipelineError, match=r"delete x: x\.zip from .* again, delete .*x\.zip"):
        fetch(tmp_path, site.url(), checksum=None)
    assert names(tmp_path) == ["x.zip"]
    lock.unlink()
    assert fetch(tmp_path, site.url(), checksum=None) == DATA  # accepted
    assert site.log == []


def test_another_size_than_recorded(site, tmp_path):
    fetch(tmp_path, site.url(), checksum=None)
    shutil.rmtree(tmp_path / "work")
    site.answers["/file"] = lambda r: r.give(DATA[:1000], etag='"2"')
    with pytest.raises(PipelineError, match="1000 bytes, but had 1280000 bytes when"):
        fetch(tmp_path, site.url(), checksum=None)


def test_a_mirror_may_still_have_what_was_recorded(site, tmp_path):
    fetch(tmp_path, site.url(), checksum=None)
    shutil.rmtree(tmp_path / "work")
    site.answers["/a"] = lambda r: r.give(OTHER, etag='"2"')
    assert fetch(tmp_path, site.url("/a"), site.url("/b"), checksum=None) == DATA


def test_a_published_checksum_is_not_recorded(site, tmp_path):
    fetch(tmp_path, site.url(), num_bytes=len(DATA))
    for algorithm in ("md5", "sha1"):
        checksum = f"{algorithm}:{hashlib.new(algorithm, DATA).hexdigest()}"
        fetch(tmp_path / algorithm, site.url(), checksum=checksum)
    assert not (paths.ROOT / "data").exists()


def test_damaged_records_are_said_to_be(site, tmp_path):
    lock = paths.ROOT / "data" / "checksums.json"
    lock.parent.mkdir(parents=True)
    lock.write_text("{")
    with pytest.raises(PipelineError, match=r"checksums\.json is not JSON.*git checkout"):
        fetch(tmp_path, site.url(), checksum=None)


# Google Drive

FORM = b"""<html><title>Google Drive - Virus scan warning</title>
<a href="/privacy">p</a><form id="search" action="/search"><input type="hidden" name="q" value="?">
</form><form id="download-form" action="%s" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="I&amp;D"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="u-1"></form>
<input type="hidden" name="after" value="x"></html>"""
HTML = "text/html; charset=utf-8"
UC = "/uc?export=download&id=ID"


@pytest.fixture
def drive(site, monkeypatch):
    monkeypatch.setattr(google_drive, "HOSTS", ("127.0.0.1",))
    return site


def test_drive_asks_by_a_form(drive, tmp_path):
    drive.answers[UC] = lambda r: r.give(FORM % b"/download", kind=HTML, ranges=False)
    assert fetch(tmp_path, drive.url(UC)) == DATA
    assert drive.log[-1][0] == "/download?id=I%26D&export=download&confirm=t&uuid=u-1"


def test_drive_asks_by_a_link(drive, tmp_path):
    page = b'<html><a href="/about">x</a><a href="/uc?export=download&amp;confirm=Ab1&amp;id=ID">'
    drive.answers[UC] = lambda r: r.give(page, kind=HTML, ranges=False)
    assert fetch(tmp_path, drive.url(UC)) == DATA
    assert drive.log[-1][0] == "/uc?export=download&confirm=Ab1&id=ID"


def test_drive_asks_by_a_cookie(drive, tmp_path):
    def ask(request):
        request.send_response(200)
        request.send_header("Set-Cookie", "download_warning_13_ID=Zz9; path=/")
        request.send_header("Content-Type", HTML)
        request.end_headers()
        request.wfile.write(b"<html>scan warning</html>")

    def answer(request):
        assert "download_warning_13_ID=Zz9" in request.headers["Cookie"]
        request.give()

    drive.answers = {UC: ask, f"{UC}&confirm=Zz9": answer}
    assert fetch(tmp_path, drive.url(UC)) == DATA


def test_drive_goes_on_with_a_new_confirmation(drive, tmp_path):
    uuids = iter(range(100))
    target = "/download?id=I%26D&export=download&confirm=t&uuid=u-1"
    drive.answers[UC] = lambda r: r.give(
        (FORM % b"/download").replace(b"u-1", b"u-%d" % next(uuids)), kind=HTML, ranges=False
    )
    drive.answers[target.replace("u-1", "u-1")] = lambda r: r.give(cut_at=400_000)
    assert fetch(tmp_path, drive.url(UC)) == DATA
    drive.answers[target.replace("u-1", "u-0")] = Request.give
    assert {path[-3:] for path, _ in drive.log if path.startswith("/download")} >= {"u-0", "u-1"}


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (b"<html>Sorry, Too many users have viewed or downloaded this file", "quota.*24 hours"),
        (b"<title>Google Drive - Quota exceeded</title>", "quota.*24 hours"),
        (b'<form action="https://accounts.google.com/ServiceLogin">', "sign in"),
        (b"<html>hello</html>", "web page"),
        (FORM % b"https://127.0.0.2/download", r"leads to 127\.0\.0\.2"),
        (FORM % b"file:///etc/download", "leads to"),
        (FORM % b"ftp://127.0.0.1/download", "leads to"),
        (FORM % b"/again/download", "one confirmation after another"),
    ],
)
@pytest.mark.parametrize("status", [200, 403])
def test_drive_refuses(drive, tmp_path, page, message, status):
    if status == 403 and "quota" not in message and "sign" not in message:
        message = "HTTP 403"

    def answer(request):
        request.send_response(status)
        request.send_header("Content-Type", HTML)
        request.end_headers()
        request.wfile.write(page)

    drive.answers[UC] = answer
    drive.answers["/again/download?id=I%26D&export=download&confirm=t&uuid=u-1"] = answer
    with pytest.raises(PipelineError, match=message):
        fetch(tmp_path, drive.url(UC))
    assert names(tmp_path) == []


# Proxies


def test_a_proxy_is_used_unless_the_host_is_excepted(site, tmp_path, monkeypatch):
    with Site() as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setenv("http_proxy", proxy.url(""))
        assert fetch(tmp_path, "http://no-such-host.invalid/file") == DATA
        assert {path for path, _ in proxy.log} == {"http://no-such-host.invalid/file"}
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        proxy.log.clear()
        assert fetch(tmp_path / "b", site.url()) == DATA
        assert proxy.log == []
        proxy.shutdown()


# TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A key and a certificate of 127.0.0.1, signed by itself."""
    pytest.importorskip("cryptography", reason="it comes with dvc")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = builder.not_valid_before(now - day).not_valid_after(now + day)
    signed = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    path.write_bytes(secret + signed.public_bytes(pem))
    return path


@pytest.fixture
def secure(site, certificate):
    """The site behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    site.socket = context.wrap_socket(site.socket, server_side=True)
    return site.url().replace("http:", "https:")


def test_a_certificate_that_nobody_signed_is_refused(secure, tmp_path, slept):
    with pytest.raises(PipelineError, match="its certificate is not valid: self-signed"):
        fetch(tmp_path, secure)
    assert slept == []


def test_over_tls(secure, site, tmp_path, monkeypatch, certificate, parallel):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    cuts = iter([None] * 5 + [320_000] + [None] * 100)
    site.answers["/file"] = lambda r: r.give(cut_at=None if r.is_probe else next(cuts))
    assert fetch(tmp_path, secure) == DATA


def test_over_tls_through_a_proxy(secure, tmp_path, monkeypatch, certificate):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tunnels = []

    def tunnel(request):
        host, _, port = request.path.partition(":")
        tunnels.append(request.path)
        with socket.create_connection((host, int(port))) as other:
            request.send_response(200)
            request.end_headers()
            pump = threading.Thread(target=copy, args=(request.connection, other))
            pump.start()
            copy(other, request.connection)
            pump.join()

    def copy(source, target):
        with contextlib.suppress(OSError):
            while block := source.recv(1 << 16):
                target.sendall(block)
            target.shutdown(socket.SHUT_WR)

    monkeypatch.setattr(Request, "do_CONNECT", tunnel, raising=False)
    with Site() as proxy:
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setenv("https_proxy", proxy.url(""))
        assert fetch(tmp_path, secure) == DATA
        proxy.shutdown()
    assert len(tunnels) == 3


# The disk


def test_room_is_asked_for_before_the_first_byte(site, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_500_000))
    wanted = [
        download.Wanted(Source(name, (), None, None), (web.WebOrigin(site.url()),))
        for name in ("a.zip", "b.zip")
    ]
    with pytest.raises(PipelineError, match=r"needs 2.56 MB of disk in .*work.* 1.5 MB are free"):
        download.fetch("x", wanted, tmp_path / "work")
    assert site.num_served <= 2
    download.fetch("x", wanted[:1], tmp_path / "work")
    download.fetch("x", wanted, tmp_path / "work")  # only the second is needed now


def test_room_that_a_part_has_already_is_not_asked_for_again(site, tmp_path, monkeypatch):
    part = part_of(tmp_path)
    part.open({"num_bytes": len(DATA), "origin": site.url()}, keep=False)
    part.write(0, DATA[:1_000_000])
    part.close()
    os.sync()  # blocks are counted when they are given out
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=400_000))
    assert fetch(tmp_path, site.url()) == DATA


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")],
)
def test_what_the_disk_refuses_is_one_sentence_and_loses_nothing(
    site, tmp_path, monkeypatch, parallel, code, message
):
    remaining, pwrite = [400_000], os.pwrite

    def write(descriptor, data, position):
        remaining[0] -= len(data)
        if remaining[0] < 0:
            raise OSError(code, os.strerror(code))
        return pwrite(descriptor, data, position)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", write)
        with pytest.raises(PipelineError, match=f"{message}.* run it again"):
            fetch(tmp_path, site.url())
    assert "x.zip" not in names(tmp_path)
    num_done = part_of(tmp_path).num_done
    assert num_done > 200_000
    site.start_count()
    assert fetch(tmp_path, site.url()) == DATA
    assert site.num_served == len(DATA) - num_done + 2


def test_a_directory_that_may_not_be_written(site, tmp_path):
    (tmp_path / "work").write_text("in the way")
    with pytest.raises(FileExistsError):
        fetch(tmp_path, site.url())
    if os.geteuid():  # root may write anywhere
        (tmp_path / "b").mkdir(mode=0o500)
        with pytest.raises(PipelineError, match="permission"):
            fetch(tmp_path / "b", site.url())


def test_an_error_of_one_thread_is_raised_and_ends_the_others(
    site, tmp_path, parallel, monkeypatch
):
    site.seconds_per_block = 0.001

    def add(self, data):
        raise RuntimeError("a mistake in the code")

    monkeypatch.setattr(Writer, "add", add)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="a mistake in the code"):
        fetch(tmp_path, site.url())
    time.sleep(0.1)
    assert threading.active_count() <= before + 4  # the server's own


# The journal


def about(num_bytes):
    return {"num_bytes": num_bytes, "origin": "x"}


def test_a_part_remembers_any_order_of_writes(tmp_path):
    rng, size = random.Random(4), 50_000
    data = rng.randbytes(size)
    edges = sorted({0, size, *(rng.randrange(size) for _ in range(300))})
    pieces = list(itertools.pairwise(edges))
    rng.shuffle(pieces)
    kept, part = set(), Part(tmp_path / "p")
    part.open(about(size), keep=False)
    for index, (start, end) in enumerate(pieces):
        part.write(start, data[start:end])
        kept |= set(range(start, end))
        if index % 50 == 7:
            part.close()
            part = Part(tmp_path / "p")
            missing = {i for a, b in part.missing() for i in range(a, b)}
            assert missing == set(range(size)) - kept
            assert part.num_done == len(kept)
            part.open(about(size), keep=True)
    assert part.is_complete
    part.finish(tmp_path / "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["whole"]
    assert (tmp_path / "whole").read_bytes() == data


def test_a_crash_of_the_machine_leaves_what_was_synced(tmp_path, monkeypatch):
    monkeypatch.setattr(partial, "_SYNC_BYTES", 3000)
    part = Part(tmp_path / "p")
    part.open(about(10_000), keep=False)
    for start in range(0, 8000, 1000):
        part.write(start, bytes(1000))
    part.close()
    assert Part(tmp_path / "p").num_done == 8000
    (tmp_path / "boot").write_text("another boot")
    monkeypatch.setattr(partial, "_BOOT_ID", tmp_path / "boot")
    assert Part(tmp_path / "p").num_done == 6000
    monkeypatch.setattr(partial, "_BOOT_ID", tmp_path / "none")
    assert Part(tmp_path / "p").num_done == 6000


@pytest.mark.parametrize("num_cut", [1, 5, 12, 40, 70, 10_000])
def test_a_torn_journal_claims_less_never_more(tmp_path, num_cut):
    part = Part(tmp_path / "p")
    part.open(about(9000), keep=False)
    for start in (0, 3000, 6000):
        part.write(start, bytes(3000))
    part.close()
    journal = tmp_path / "p.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-num_cut])
    assert Part(tmp_path / "p").num_done < 9000
    journal.write_bytes(whole[:-num_cut] + b"\0" * num_cut)
    assert Part(tmp_path / "p").num_done < 9000
    journal.write_bytes(whole)
    os.truncate(tmp_path / "p", 8999)
    assert Part(tmp_path / "p").num_done == 0
    (tmp_path / "p").unlink()
    assert Part(tmp_path / "p").about is None


def test_at_most_a_mebibyte_is_not_yet_in_the_journal(tmp_path):
    part = Part(tmp_path / "p")
    part.open(about(3 << 20), keep=False)
    with Writer(part, 0) as writer:
        for num_added in range(100_000, 3 << 20, 100_000):
            writer.add(bytes(100_000))
            assert num_added - Part(tmp_path / "p").num_done < 1 << 20
    assert Part(tmp_path / "p").num_done == num_added


def test_a_journal_that_the_disk_cuts_short_is_an_error(tmp_path, monkeypatch):
    part, write = Part(tmp_path / "p"), os.write
    part.open(about(10), keep=False)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:2]))
        with pytest.raises(OSError, match=r"No space left.*p\.jsonl"):
            part.write(0, b"12345")
    part.close()
    assert Part(tmp_path / "p").num_done == 0


def test_a_closed_part_takes_no_more(tmp_path):
    part = Part(tmp_path / "p")
    part.open(about(10), keep=False)
    part.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        part.write(0, b"late")


# Progress


def test_lines_where_there_is_no_terminal(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: clock[0])
    with meter.Meter("x.zip") as shown:
        shown.begin(10**9, 10**10)
        for _ in range(4):
            clock[0] += 100
            shown.add(10**9)
    assert capsys.readouterr().err.splitlines() == [
        "x.zip: fetching 10 GB, 1 GB are here",
        "x.zip: 4 GB of 10 GB, 10 MB/s, 0 h 10 min left",
        "x.zip: complete, 5 GB",
    ]


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with meter.Meter("x.zip") as shown:
        shown.begin(10**6, 10**7)
        shown.add(10**6)
        shown.say("cut")
        shown.begin(0, 10**7)
        shown.add(9 * 10**6)
    text = capsys.readouterr().err
    assert "x.zip: cut" in text
    assert "10%" in text
    assert "9.00M/10.0M" in text


# Kills

CHILD = """
import sys
from pathlib import Path
from pipeline.network import download, web
from pipeline.datasets.base import Source
url, work, checksum = sys.argv[1:]
wanted = download.Wanted(Source("x.zip", (url,), None, checksum), (web.WebOrigin(url),))
download.fetch("x", [wanted], Path(work))
"""


def test_killed_again_and_again_it_fetches_each_byte_once(site, tmp_path):
    data = random.Random(5).randbytes(1 << 20) * 64
    data = b"".join(i.to_bytes(4, "big") + data[4 : 1 << 20] for i in range(64))
    checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
    site.answers["/file"] = lambda r: r.give(data)
    site.seconds_per_block, site.block_size = 0.001, 1 << 15
    command = [sys.executable, "-c", CHILD, site.url(), str(tmp_path / "work"), checksum]
    marks = sorted(random.Random(6).sample(range(2 << 20, len(data) - (4 << 20)), 5))
    for index, mark in enumerate(marks):
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while site.num_served < mark and child.poll() is None:
            time.sleep(0.001)
        assert child.poll() is None
        child.send_signal((signal.SIGKILL, signal.SIGINT)[index % 2])
        child.wait()
        assert "x.zip" not in names(tmp_path)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert names(tmp_path) == ["x.zip"]
    assert (tmp_path / "work" / "x.zip").read_bytes() == data
    assert site.most_open >= 4
    assert site.num_served <= len(data) + len(marks) * 4 * (1 << 20)
