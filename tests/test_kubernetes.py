"""Shard jobs through Snakemake's Kubernetes executor and a stand-in for the cluster.

The stand-in answers what the executor asks of the API, and runs a pod's command as a process
in an empty directory. It knows neither images nor volumes: that a pod finds the repository at the
same path is true here by itself.
"""

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from pipeline.paths import ROOT
from tests import scratch

CORPUS = "lakh_melody"
SHARD = (sys.executable, "-m", "pipeline.shard", CORPUS)
PACKAGES = ("snakemake_executor_plugin_kubernetes", "snakemake_storage_plugin_fs")


class _Cluster(ThreadingHTTPServer):
    """Kubernetes' API, as far as the executor goes."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.secrets, self.jobs, self.processes = folder, {}, {}, {}

    def start(self, job):
        name = job["metadata"]["name"]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        secrets = {
            entry["name"]: entry["valueFrom"]["secretKeyRef"]
            for entry in container.get("env") or []
        }
        told = {
            variable: base64.b64decode(self.secrets[at["name"]][at["key"]]).decode()
            for variable, at in secrets.items()
        }
        home = self.folder / name
        home.mkdir()
        path = scratch.environment()["PATH"]
        # Snakemake installs its storage plugin into every pod; here it is there already.
        (home / "bin").mkdir()
        (home / "bin" / "pip").write_text("#!/bin/sh\n")
        (home / "bin" / "pip").chmod(0o755)
        with open(home / "log", "w") as log:
            self.processes[name] = subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=home,
                env={"PATH": f"{home / 'bin'}:{path}", "HOME": str(home), **told},
                stdout=log,
                stderr=log,
            )
        self.jobs[name] = job

    def status(self, name):
        """(of the job, of its container)"""
        code = self.processes[name].poll()
        if code is None:
            return {}, {"running": {}}
        ended = {"terminated": {"exitCode": code}}
        return ({"failed": 1} if code else {"succeeded": 1}), ended


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _reply(self, body, status=200):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")

    def do_POST(self):
        body = self._body()
        if self.path.endswith("/secrets"):
            self.server.secrets[body["metadata"]["name"]] = body["data"]
        else:
            self.server.start(body)
        self._reply(body, 201)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        parts = path.split("/")
        if parts[-1] == "log":
            self._reply((self.server.folder / parts[-2] / "log").read_text())
        elif parts[-1] == "pods":
            name = query.partition("job-name%3D")[2].partition("&")[0]
            about = {"name": "snakemake", "image": "x", "imageID": "x", "ready": True}
            about |= {"restartCount": 0, "state": self.server.status(name)[1]}
            pod = {"metadata": {"name": name}, "status": {"containerStatuses": [about]}}
            self._reply({"items": [pod]})
        else:
            name = parts[-2]
            self._reply({**self.server.jobs[name], "status": self.server.status(name)[0]})

    def do_DELETE(self):
        self._body()
        self._reply({"kind": "Status", "status": "Success"})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    missing = [p.replace("_", "-") for p in PACKAGES if importlib.util.find_spec(p) is None]
    missing += [] if shutil.which("rsync") else ["rsync"]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    server = _Cluster(tmp_path_factory.mktemp("pods"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    for process in server.processes.values():
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def submitting(cluster, tmp_path_factory):
    """Variables that lead to the stand-in, with the shipped profile."""
    about = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
        "clusters": [
            {"name": "test", "cluster": {"server": f"http://127.0.0.1:{cluster.server_port}"}}
        ],
    }
    path = tmp_path_factory.mktemp("kube") / "config"
    path.write_text(yaml.safe_dump(about))
    return {
        "KUBECONFIG": str(path),
        "PIPELINE_PROFILE": "kubernetes",
        "PIPELINE_IMAGE": "registry/stochos:1",
        "PIPELINE_VOLUME": "claim:/shared",
    }


def test_pods_make_the_same_bytes_and_a_second_run_starts_none(cluster, submitting, tmp_path):
    clone = scratch.clone(tmp_path)
    for compiled in ROOT.glob("pipeline/**/__pycache__"):
        shutil.copytree(compiled, clone / compiled.relative_to(ROOT), dirs_exist_ok=True)
    scratch.run(clone, sys.executable, "-m", "pipeline.fetch", "lakh")
    scratch.run(clone, *SHARD)
    shutil.rmtree(clone / ".work" / "shard")
    reference = (clone / "data" / "shards" / CORPUS).rename(clone / "reference")

    scratch.run(clone, *SHARD, **submitting)
    made = clone / "data" / "shards" / CORPUS
    names = sorted(path.name for path in reference.iterdir())
    assert sorted(path.name for path in made.iterdir()) == names
    for name in names:
        assert (made / name).read_bytes() == (reference / name).read_bytes(), name

    assert len(cluster.jobs) == 2
    for job in cluster.jobs.values():
        pod = job["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == "registry/stochos:1"
        assert {"name": "claim", "mountPath": "/shared"} in pod["containers"][0]["volumeMounts"]
        assert pod["volumes"][1]["persistentVolumeClaim"] == {"claimName": "claim"}
    scratch.run(clone, *SHARD, **submitting)
    assert len(cluster.jobs) == 2
