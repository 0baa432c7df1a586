"""From a run in MLflow to its data, params, code and artifacts: python -m pipeline.trace <run>."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pipeline import console, fingerprint, params, tracking
from pipeline.errors import PipelineError


def main(which: str) -> None:
    settings = params.load()
    run = tracking.find(settings, which)
    if run is None:
        raise PipelineError(
            f"no run, fingerprint or model of {tracking.tracking_uri(settings)} begins with "
            f"{which!r}. `make mlflow` lists the runs."
        )
    print("\n".join(_lines(run)))


def _lines(run: Any) -> Iterator[str]:
    tags = run.data.tags
    yield f"run          {run.info.run_id} ({run.info.status.lower()})"
    yield f"model        {tags.get('pipeline.model')} (profile {tags.get('pipeline.profile')})"
    yield f"fingerprint  {tags.get('pipeline.fingerprint')}"
    dirty = ", with uncommitted changes" if tags.get("pipeline.dirty") == "true" else ""
    yield f"commit       {tags.get('mlflow.source.git.commit') or 'none'}{dirty}"
    yield f"data from    {tags.get('pipeline.source')}"
    for title, prefix in (("data", "dep"), ("artifact", "out")):
        for path, digest in _tagged(tags, prefix):
            yield f"{title:12} {path} {digest}{_state(path, digest)}"
            yield from (f"{'':12}   recorded by {line}" for line in _recorded(digest))
    for path, digest in _tagged(tags, "code"):
        yield f"{'code':12} {path} sha256:{digest[:16]}"
    for name, value in sorted(run.data.params.items()):
        yield f"{'param':12} {name} = {value}"
    for name, number in sorted(run.data.metrics.items()):
        yield f"{'metric':12} {name} = {number:.6g}"


def _tagged(tags: dict[str, str], kind: str) -> list[tuple[str, str]]:
    prefix = f"pipeline.{kind}."
    return sorted((k.removeprefix(prefix), v) for k, v in tags.items() if k.startswith(prefix))


def _state(path: str, digest: str) -> str:
    """Whether the working copy has this very version."""
    now = fingerprint.locked_outs().get(path)
    if now == digest:
        return " (as in dvc.lock)"
    return (
        f" (dvc.lock now has {now}; check out the commit below, then `dvc checkout`)" if now else ""
    )


def _recorded(digest: str) -> list[str]:
    return fingerprint.commits_recording(digest)[:3] if digest else []


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.trace", description=__doc__)
    parser.add_argument(
        "run", help="a run's id, a fingerprint, the beginning of either, or a model"
    )
    main(parser.parse_args().run)


if __name__ == "__main__":
    console.run(_command)
