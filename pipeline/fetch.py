"""Stage: a dataset's source -> data/raw/<dataset>: archives as published, with a manifest."""

from __future__ import annotations

import argparse
import shutil
import zipfile
from pathlib import Path

from pipeline import console, download, files, params, paths, registry
from pipeline.datasets.base import Dataset
from pipeline.errors import PipelineError


def main(name: str) -> None:
    settings = params.load()
    dataset = registry.dataset(name)
    options = settings.dataset_options(name)
    source = settings.source(name)
    with files.atomic_directory(paths.raw(name)) as out:
        if source == "demo":
            miniature = registry.miniature(name)
            miniature.build(out, options, settings.seed)
            notice, licence = miniature.NOTICE, " ".join(miniature.LICENCE.split())
        elif source == "official":
            _fetch_official(dataset, options, out)
            notice, licence = "", dataset.licence
        else:
            _fetch_local(name, dataset, options, paths.ROOT / source, out)
            notice, licence = "Files of the user's own.", dataset.licence
            # An absolute path would make equal data different on another machine.
            source = "own files" if Path(source).is_absolute() else source
        files.write_json(out / "manifest.json", _manifest(dataset, source, notice, licence, out))


def _fetch_official(dataset: Dataset, options: object, out: Path) -> None:
    """All are there before the first is moved: what failed half-way is still in .work."""
    published, work = dataset.sources(options), paths.work("fetch", dataset.name)
    if not published:
        raise PipelineError(
            f"datasets.{dataset.name}.source=official: nothing is published under that name. "
            "Name a directory of your own."
        )
    for source in published:
        download.fetch(source.urls, work / source.file, source.num_bytes, source.checksum)
    for source in published:
        shutil.move(work / source.file, out / source.file)  # not copied: some are 100 GB


def _fetch_local(name: str, dataset: Dataset, options: object, source: Path, out: Path) -> None:
    """Takes the published files from a directory, or packs anyone's own directory into one zip."""
    wanted = [s.file for s in dataset.sources(options)]
    if not source.exists():
        raise PipelineError(
            f"datasets.{name}.source={source}: there is no such file or directory. Correct it, "
            "or set it to auto."
        )
    if not wanted and not source.is_dir():
        raise PipelineError(f"datasets.{name}.source={source} is no directory. Name one.")
    if not wanted:
        _pack(source, out / f"{name}.zip")
        return
    for file in wanted:
        here = source / file if source.is_dir() else source
        if not here.is_file() or here.name != file:
            raise PipelineError(
                f"datasets.{name}.source={source}: {file} is not there; needed are "
                f"{', '.join(wanted)}. Put them into one directory and name it."
            )
        download.check(
            here, None, next(s.checksum for s in dataset.sources(options) if s.file == file)
        )
        shutil.copyfile(here, out / file)


def _pack(directory: Path, archive: Path) -> None:
    """Packs a directory's files in the order of their names; fixed dates, so equal bytes."""
    names = sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())
    with files.atomic_open(archive) as file, zipfile.ZipFile(file, "w") as zipped:
        for name in console.progress(names, f"packing {directory.name}"):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            with open(directory / name, "rb") as source, zipped.open(info, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _manifest(
    dataset: Dataset, source: str, notice: str, licence: str, out: Path
) -> dict[str, object]:
    return {
        "dataset": dataset.name,
        "version": dataset.version,
        "source": source,
        "notice": notice,
        "licence": licence,
        "files": {
            file.name: {"num_bytes": file.stat().st_size, "sha256": files.sha256_file(file)}
            for file in sorted(out.iterdir())
        },
    }


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.fetch", description=__doc__)
    parser.add_argument("dataset", help=f"one of {', '.join(registry.names('datasets'))}")
    main(parser.parse_args().dataset)


if __name__ == "__main__":
    console.run(_command)
