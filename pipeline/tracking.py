"""The only import of MLflow: numbers and comparison, never a dependency.

Whatever fails here is said in one line, and the stage goes on. A run is found again by its
fingerprint, so a second `dvc repro` adds none, and a resumed training goes on in its own.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pipeline import files, fingerprint, params, paths

Function = TypeVar("Function", bound=Callable[..., Any])
_FINGERPRINT = "pipeline.fingerprint"


def _quietly(function: Function) -> Function:
    """Turns whatever MLflow raises into one line on stderr; nothing depends on what it returns."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # a tracking server may fail in any way; training must not
            first_line = (str(error).splitlines() or [""])[0][:200]
            print(f"tracking: not logged ({type(error).__name__}: {first_line})", file=sys.stderr)
            return None

    return guarded  # type: ignore[return-value]


class Run:
    """One training's place in MLflow; made on first use, so that nothing waits for it."""

    def __init__(self, settings: params.Params, model: str, digest: str):
        self.settings = settings
        self.model = model
        self.fingerprint = digest
        self.run_id: str | None = None

    @_quietly
    def start(self, num_epochs_done: int) -> None:
        """Opens the run: that of this fingerprint if training resumes, else anew."""
        client = _client(self.settings)
        for run in _runs(self.settings, self.fingerprint):
            is_unfinished = run.info.status != "FINISHED"
            if num_epochs_done:  # finished or not: DVC may have been killed before it recorded it
                self.run_id = run.info.run_id
                client.update_run(self.run_id, status="RUNNING")
                return
            client.set_tag(run.info.run_id, "pipeline.superseded", "true")
            if is_unfinished:
                client.set_terminated(run.info.run_id, status="KILLED")
        tags = _tags(self.settings, self.model, self.fingerprint)
        experiment = _experiment(self.settings)
        run = client.create_run(experiment, tags=tags, run_name=self.model)
        self.run_id = run.info.run_id
        options = self.settings.recipe_params(self.model).model_dump(mode="json")
        _log(self.settings, self.run_id, params_={"seed": self.settings.seed, **options})

    @_quietly
    def log_epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        if self.run_id:
            _log(self.settings, self.run_id, metrics=logs, step=epoch)

    @_quietly
    def finish(self, metrics: Mapping[str, float]) -> None:
        if self.run_id:
            _log(self.settings, self.run_id, metrics={f"train.{k}": v for k, v in metrics.items()})
            _client(self.settings).set_terminated(self.run_id)


@_quietly
def log_evaluation(settings: params.Params, model: str, metrics: Mapping[str, Any]) -> None:
    """Adds final metrics, and the hash of the model, to the run that trained it."""
    digest = fingerprint.of_training(settings, model)
    runs = _runs(settings, digest)
    if runs:
        run_id = runs[0].info.run_id
    else:  # trained elsewhere, and pulled from a DVC remote
        tags = _tags(settings, model, digest)
        run = _client(settings).create_run(_experiment(settings), tags=tags, run_name=model)
        run_id = run.info.run_id
        _client(settings).set_terminated(run_id)
    numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    _log(settings, run_id, metrics=numbers)
    out = fingerprint.locked_outs().get(f"data/models/{model}", "")
    _client(settings).set_tag(run_id, f"pipeline.out.data/models/{model}", out)


@_quietly
def log_comparison(settings: params.Params, methods: Mapping[str, Mapping[str, Any]]) -> None:
    """A run for each method of style transfer; equal transfers of equal pairs add none."""
    client, experiment = _client(settings), _experiment(settings)
    for name, found in methods.items():
        digest = fingerprint.of_transfer(settings, name)
        runs = _runs(settings, digest)
        tags = {_FINGERPRINT: digest, "pipeline.transfer": name}
        tags["pipeline.profile"] = settings.profile
        run = runs[0] if runs else client.create_run(experiment, tags=tags, run_name=name)
        numbers = {f"transfer.{k}": v for k, v in found.items() if isinstance(v, int | float)}
        _log(settings, run.info.run_id, metrics=numbers)
        client.set_terminated(run.info.run_id)


def find(settings: params.Params, which: str) -> Any | None:
    """The newest run with this id, fingerprint (or its beginning) or model name."""
    client = _client(settings)
    runs = client.search_runs([_experiment(settings)], order_by=["attributes.start_time DESC"])
    for run in runs:
        tags = run.data.tags
        is_it = run.info.run_id.startswith(which) or tags.get(_FINGERPRINT, "").startswith(which)
        if is_it or tags.get("pipeline.model") == which:
            return run
    return None


def tracking_uri(settings: params.Params) -> str:
    """MLFLOW_TRACKING_URI, else params.yaml's, else SQLite in the main repository."""
    local = f"sqlite:///{paths.main_root() / 'mlflow.db'}"
    return os.environ.get("MLFLOW_TRACKING_URI") or settings.mlflow.tracking_uri or local


def _tags(settings: params.Params, model: str, digest: str) -> dict[str, str]:
    corpus = settings.model(model).corpus
    commit, is_dirty = fingerprint.commit()
    return {
        _FINGERPRINT: digest,
        "pipeline.model": model,
        "pipeline.profile": settings.profile,
        "pipeline.source": files.read_json(paths.shards(corpus) / "corpus.json")["source"],
        f"pipeline.dep.data/shards/{corpus}": fingerprint.corpus_digest(corpus),
        **{f"pipeline.code.{k}": v for k, v in fingerprint.code_digests(settings, model).items()},
        "mlflow.source.git.commit": commit,
        "pipeline.dirty": str(is_dirty).lower(),
    }


def _runs(settings: params.Params, digest: str) -> list[Any]:
    """Runs of a fingerprint, newest first, without those that a forced retraining replaced."""
    found = _client(settings).search_runs(
        [_experiment(settings)],
        filter_string=f"tags.`{_FINGERPRINT}` = '{digest}'",
        order_by=["attributes.start_time DESC"],
    )
    return [run for run in found if run.data.tags.get("pipeline.superseded") != "true"]


def _log(
    settings: params.Params,
    run_id: str,
    metrics: Mapping[str, float] | None = None,
    params_: Mapping[str, Any] | None = None,
    step: int = 0,
) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    points = [Metric(k, float(v), now, step) for k, v in (metrics or {}).items()]
    values = [Param(k, str(v)[:500]) for k, v in (params_ or {}).items()]
    _client(settings).log_batch(run_id, metrics=points, params=values)


@functools.cache
def _connected(uri: str, experiment: str) -> tuple[Any, str]:
    """A client and the experiment's id; the database is made by one process at a time."""
    from filelock import FileLock

    logging.getLogger("alembic").setLevel(logging.ERROR)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    root = paths.main_root()
    (root / ".work").mkdir(exist_ok=True)
    with FileLock(root / ".work" / "mlflow.lock"):
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(experiment)
        if known:
            return client, known.experiment_id
        is_local = uri.startswith("sqlite:")
        location = (root / "mlartifacts").as_uri() if is_local else None
        return client, client.create_experiment(experiment, artifact_location=location)


def _client(settings: params.Params) -> Any:
    return _connected(tracking_uri(settings), settings.mlflow.experiment)[0]


def _experiment(settings: params.Params) -> str:
    return _connected(tracking_uri(settings), settings.mlflow.experiment)[1]


if __name__ == "__main__":
    print(tracking_uri(params.load()))
