"""Stage: a dataset's source -> data/raw/<dataset>: archives as published, with a manifest."""

from __future__ import annotations

import argparse
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from pipeline import archive_guard, console, disk, files, locks, params, paths, registry
from pipeline.datasets.base import Dataset, Source
from pipeline.errors import PipelineError
from pipeline.network import checksums, download
from pipeline.network.checksums import Facts
from pipeline.network.download import Wanted
from pipeline.network.origin import Origin, public


def main(name: str) -> None:
    settings = params.load()
    dataset = registry.dataset(name)
    options = settings.dataset_options(name)
    source = settings.source(name)
    raw, work = paths.raw(name), paths.work("fetch", name)
    with (
        disk.explained(f"datasets.{name} could not be fetched"),
        locks.held(work / "lock", f"datasets.{name} is being fetched"),
    ):
        files.clear_leftovers(raw)
        with files.atomic_directory(raw) as out:
            if source == "demo":
                miniature = registry.miniature(name)
                miniature.build(out, options, settings.seed)
                notice, licence = miniature.NOTICE, " ".join(miniature.LICENCE.split())
                facts = {}
            else:
                notice = "" if source == "official" else "Files of the user's own."
                licence = dataset.licence
                facts = _fetch(dataset, dataset.sources(options), source, work, out)
            manifest = _manifest(dataset, _public(source), notice, licence, out, facts)
            files.write_json(out / "manifest.json", manifest)


def _fetch(
    dataset: Dataset, published: tuple[Source, ...], source: str, work: Path, out: Path
) -> dict[str, Facts]:
    """Size and SHA-256 of each file, where they were found out on the way."""
    is_remote = source == "official" or "://" in source
    if is_remote and not published:
        raise PipelineError(
            f"datasets.{dataset.name}.source={source}: nothing is published under that name. "
            "Name a directory of your own."
        )
    if not is_remote:
        return _fetch_local(dataset, published, paths.ROOT / source, out)
    wanted = [Wanted(s, _origins(s, source, is_only=len(published) == 1)) for s in published]
    facts = download.fetch(dataset.name, wanted, work)
    # Hard links cost no disk, and leave the files in .work: DVC empties `out` before each run.
    disk.share([(work / file, out / file) for file in facts], f"datasets.{dataset.name}")
    return facts


def _origins(published: Source, source: str, is_only: bool) -> tuple[Origin, ...]:
    """Where one published file is: the official URLs, or the user's URL of it or of its folder."""
    if source == "official":
        urls = published.urls
    elif is_only and (urlsplit(source).query or source.endswith(f"/{published.file}")):
        urls = (source,)
    else:
        urls = (f"{source.rstrip('/')}/{published.file}",)
    return tuple(_origin(url) for url in urls)


def _origin(url: str) -> Origin:
    # Imported when asked for: they cost more than a miniature does.
    if url.startswith(("http://", "https://")):
        from pipeline.network.web import WebOrigin

        return WebOrigin(url)
    from pipeline.network.object_store import StoreOrigin

    return StoreOrigin(url)


def _fetch_local(
    dataset: Dataset, published: tuple[Source, ...], source: Path, out: Path
) -> dict[str, Facts]:
    """Takes the published files from a directory, or packs anyone's own directory into one zip.

    The files are cloned, not linked: a user may write into his own in place.
    """
    where = f"datasets.{dataset.name}.source={source}"
    if not source.exists():
        raise PipelineError(
            f"{where}: there is no such file or directory. Correct it, or set it to auto."
        )
    if not published and not source.is_dir():
        raise PipelineError(f"{where} is no directory. Name one.")
    if not published:
        _pack(source, out / f"{dataset.name}.zip")
        return {}
    here = {path.name: path for path in _candidates(dataset, published, source) if path.is_file()}
    missing = [s.file for s in published if s.file not in here]
    if missing and not (dataset.own_files and here):
        raise PipelineError(
            f"{where}: {missing[0]} is not there; needed are "
            f"{', '.join(s.file for s in published)}. Put them into one directory and name it."
        )
    if unnamable := [file for file in here if "!" in file]:
        raise PipelineError(
            f"{where}: {unnamable[0]} has an exclamation mark in its name, which stands between an "
            "archive and its member. Rename it."
        )
    disk.clone([(path, out / file) for file, path in here.items()], f"datasets.{dataset.name}")
    known = [s for s in published if s.file in here]
    return {s.file: checksums.verify(dataset.name, s, out / s.file) for s in known}


def _candidates(dataset: Dataset, published: tuple[Source, ...], source: Path) -> Iterable[Path]:
    """The published files in the user's directory, else its archives, where any name will do."""
    if not source.is_dir():
        names = [s.file for s in published]
        return [source] if any(source.match(name) for name in [*names, *dataset.own_files]) else []
    named = [source / s.file for s in published]
    if all(path.is_file() for path in named):
        return named
    return sorted({path for pattern in dataset.own_files for path in source.glob(pattern)}) or named


def _pack(directory: Path, archive: Path) -> None:
    """Packs a directory's files in the order of their names; fixed dates, so equal bytes."""
    names = sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())
    sizes = {name: _packable_bytes(directory, name) for name in names}
    with files.atomic_open(archive) as file, zipfile.ZipFile(file, "w") as zipped:
        for name in console.progress(names, f"packing {directory.name}"):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.file_size = sizes[name]  # from which zipfile sees whether 32 bits hold it
            with open(directory / name, "rb") as source, zipped.open(info, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)


def _packable_bytes(directory: Path, name: str) -> int:
    """The size of a file that an archive can hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise PipelineError(
            f"{directory}: the name of the file {name!r} is not UTF-8. Rename it."
        ) from None
    num_bytes, limit = (directory / name).stat().st_size, archive_guard.MAX_MEMBER_BYTES
    if num_bytes > limit:
        raise PipelineError(
            f"{directory / name} has {num_bytes} bytes, and {limit} are the most that one file may "
            "have. Take it out of that directory, or divide it."
        )
    return num_bytes


def _public(source: str) -> str:
    """The source without what differs by machine or is secret: an absolute path, a password."""
    protocols = {link.partition("://")[0] for link in source.split("::") if "://" in link}
    if protocols & {"file", "local"} or Path(source).is_absolute():
        return "own files"
    return public(source) if protocols else source


def _manifest(
    dataset: Dataset, source: str, notice: str, licence: str, out: Path, facts: dict[str, Facts]
) -> dict[str, object]:
    def about(file: Path) -> dict[str, object]:
        known = facts.get(file.name)
        sha256 = known.sha256 if known else files.sha256_file(file)
        return {"num_bytes": file.stat().st_size, "sha256": sha256}

    return {
        "dataset": dataset.name,
        "version": dataset.version,
        "source": source,
        "notice": notice,
        "licence": licence,
        "files": {file.name: about(file) for file in sorted(out.iterdir())},
    }


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.fetch", description=__doc__)
    parser.add_argument("dataset", help=f"one of {', '.join(registry.names('datasets'))}")
    main(parser.parse_args().dataset)


if __name__ == "__main__":
    console.run(_command)
