"""Downloads from a local server that misbehaves as real ones do."""

import hashlib
import http.server
import threading

import pytest

from pipeline import download
from pipeline.errors import PipelineError

DATA = bytes(range(256)) * 5000
CHECKSUM = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if self.path == "/missing":
            self.send_error(404)
        elif self.path == "/page":
            self._answer(200, b"<html>confirm</html>", "text/html")
        elif self.path == "/flaky" and len(self.server.requests) == 1:
            self.send_error(503)
        elif self.path == "/short" and len(self.server.requests) == 1:
            self._answer(200, DATA[:300_000], length=len(DATA))
        elif self.path == "/no-resume":
            self._answer(200, DATA)
        elif start >= len(DATA):
            self.send_error(416)
        else:
            self._answer(206 if start else 200, DATA[start:])

    def _answer(self, status, body, kind="application/zip", length=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as found:
        found.requests = []
        found.url = f"http://127.0.0.1:{found.server_port}"
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


@pytest.mark.parametrize("path", ["/file", "/flaky", "/short", "/no-resume"])
def test_the_file_arrives_whole(server, tmp_path, path):
    download.fetch([server.url + path], tmp_path / "x.zip", len(DATA), CHECKSUM)
    assert (tmp_path / "x.zip").read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["x.zip"]


def test_it_goes_on_where_it_stopped(server, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(DATA[:1000])
    download.fetch([server.url + "/file"], tmp_path / "x.zip", len(DATA), CHECKSUM)
    assert server.requests == [("/file", "bytes=1000-")]
    assert (tmp_path / "x.zip").read_bytes() == DATA


def test_a_finished_part_costs_one_refused_request(server, tmp_path):
    (tmp_path / "x.zip.part").write_bytes(DATA)
    download.fetch([server.url + "/file"], tmp_path / "x.zip", len(DATA), CHECKSUM)
    assert (tmp_path / "x.zip").read_bytes() == DATA


def test_a_mirror_helps(server, tmp_path):
    urls = [server.url + "/missing", server.url + "/file"]
    download.fetch(urls, tmp_path / "x.zip", None, CHECKSUM)
    assert (tmp_path / "x.zip").read_bytes() == DATA


@pytest.mark.parametrize(
    ("path", "num_bytes", "checksum", "message"),
    [
        ("/missing", None, None, "HTTP 404"),
        ("/page", None, None, "web page"),
        ("/file", 5, None, "its publisher says 5"),
        ("/file", None, "md5:" + "0" * 32, "its publisher says md5:0"),
    ],
)
def test_what_is_not_the_file_never_gets_its_name(
    server, tmp_path, path, num_bytes, checksum, message
):
    with pytest.raises(PipelineError, match=message):
        download.fetch([server.url + path], tmp_path / "x.zip", num_bytes, checksum)
    assert list(tmp_path.iterdir()) == []
