"""The datasets' catalogues on damaged tables: JSON and CSV in tiny archives of their layout."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Catalogue(NamedTuple):
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], None]
    tokens: tuple[bytes, ...]


@contextmanager
def written(folder: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """A directory with these files, for as long as it is needed."""
    raw = folder / "raw"
    shutil.rmtree(raw, ignore_errors=True)  # left there by a process that died
    raw.mkdir()
    try:
        for name, data in files.items():
            (raw / name).write_bytes(data)
        yield raw
    finally:
        shutil.rmtree(raw)


def _zip(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def _tar_gz(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _list_all(name: str, raw: Path, **known: Any) -> None:
    """Lists a dataset; each item is an entry that can be written as JSON, or a Rejected."""
    from pipeline import registry
    from pipeline.datasets.base import Entry
    from pipeline.errors import Rejected

    dataset = registry.dataset(name)
    options = dataset.Options(**{**dict.fromkeys(dataset.Options.model_fields), **known})
    for item in dataset.catalogue(raw, options):
        if isinstance(item, Entry):
            json.dumps([item.key, item.group, item.members, item.split, dict(item.attributes)])
            item.key.encode()
        else:
            assert isinstance(item[1], Rejected), item


_MAESTRO = "maestro-v3.0.0"
_ROWS = [
    {
        "canonical_composer": "J. S. Bach / F. Busoni",
        "canonical_title": f"Chaconne, No. {i}",
        "split": split,
        "year": 2004 + i,
        "midi_filename": f"200{i}/piece_{i}.midi",
        "audio_filename": f"200{i}/piece_{i}.wav",
        "duration": 12.5 + i,
    }
    for i, split in enumerate(("train", "validation", "test"))
]


def _read_maestro(suffix: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        names = {f"{_MAESTRO}/{row['midi_filename']}": b"" for row in _ROWS}
        archive = _zip({f"{_MAESTRO}/{_MAESTRO}{suffix}": data, **names})
        with written(folder, {f"{_MAESTRO}-midi.zip": archive}) as raw:
            _list_all("maestro", raw, version="v3.0.0", audio=False, miniature_size=8)

    return read


def _maestro_json() -> list[bytes]:
    by_column = {name: {str(i): row[name] for i, row in enumerate(_ROWS)} for name in _ROWS[0]}
    return [json.dumps(by_column).encode(), json.dumps(_ROWS, indent=1).encode()]


def _maestro_csv() -> list[bytes]:
    lines = [",".join(_ROWS[0]), *(",".join(f'"{v}"' for v in row.values()) for row in _ROWS)]
    return ["\r\n".join(lines).encode(), "\n".join(lines).encode("utf-8-sig")]


_SONGS = ("TRAAAGR128F425B14B", "TRAAAZF12903CCCF6B", "TRABCDE128F425B14C")
_FILES = ("1d9d16a9da90c090809c153754823c2b", "5dd29e99ed7bd3cc0c5177a6e9de22ea", "0" * 32)


def _lakh_files(**changed: bytes) -> dict[str, bytes]:
    scores = {
        song: {md5: 0.6 + i / 10} for i, (song, md5) in enumerate(zip(_SONGS, _FILES, strict=True))
    }
    members = {
        f"lmd_matched/{s[2]}/{s[3]}/{s[4]}/{s}/{f}.mid": b"MThd"
        for s, f in zip(_SONGS, _FILES, strict=True)
    }
    genres = "# comment\n" + "".join(f"{song}\tRock\tPop\n" for song in _SONGS)
    files = {
        "lmd_matched.tar.gz": _tar_gz(members),
        "match_scores.json": json.dumps(scores).encode(),
        "msd-topMAGD-genreAssignment.cls": genres.encode(),
    }
    return files | changed


def _read_lakh(file: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        with written(folder, {**_lakh_files(), file: data}) as raw:
            _list_all(
                "lakh",
                raw,
                subset="lmd_matched",
                min_match_score=0.0,
                genre_source="topmagd",
                miniature_size=8,
            )

    return read


def _nsynth_json() -> list[bytes]:
    notes = {}
    for i, (family, source) in enumerate((("bass", "synthetic"), ("reed", "acoustic"))):
        name = f"{family}_{source}_00{i}"
        notes[f"{name}-06{i}-100"] = {
            "note": 1000 + i,
            "note_str": f"{name}-06{i}-100",
            "instrument": 7 + i,
            "instrument_str": name,
            "pitch": 60 + i,
            "velocity": 100,
            "sample_rate": 16000,
            "qualities": [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            "qualities_str": ["dark"],
            "instrument_family": 9 * i,
            "instrument_family_str": family,
            "instrument_source": 2 - 2 * i,
            "instrument_source_str": source,
        }
    return [json.dumps(notes).encode(), json.dumps(notes, indent=2).encode()]


def _read_nsynth(data: bytes, folder: Path) -> None:
    tables = {"train": data, "valid": b"{}", "test": b"{}"}
    archives = {
        f"nsynth-{split}.jsonwav.tar.gz": _tar_gz({f"nsynth-{split}/examples.json": table})
        for split, table in tables.items()
    }
    with written(folder, archives) as raw:
        _list_all("nsynth", raw, subset="all", miniature_size=24)


_TRACK = "0a1b2c3d4e5f6g7h8i9j0k"
_NUMBERS = (
    *("danceability", "energy", "key", "loudness", "mode", "speechiness", "acousticness"),
    *("instrumentalness", "liveness", "valence", "tempo"),
)


def _features() -> list[bytes]:
    numbers = {name: 0.25 * i for i, name in enumerate(_NUMBERS)}
    return [json.dumps({**numbers, "type": "audio_features", "id": _TRACK}).encode()]


def _album() -> list[bytes]:
    tracks = {"items": [{"id": _TRACK, "name": "A song", "artists": [{"name": "Someone"}]}]}
    album = {"type": "album", "id": "album1", "name": "An album", "genres": ["rock"]}
    return [json.dumps({**album, "artists": [{"name": "Someone"}], "tracks": tracks}).encode()]


def _read_covers(kind: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        members = {
            f"top/audio/{_TRACK}.mp3": b"ID3",
            f"top/images/{_TRACK}.jpeg": b"\xff\xd8\xff",
            f"top/audio_features/{_TRACK}.json": _features()[0],
            f"top/album_information/{_TRACK}.json": _album()[0],
        }
        members[f"top/{kind}/{_TRACK}.json"] = data
        with written(folder, {"spotify_covers.zip": _zip(members)}) as raw:
            _list_all("spotify_covers", raw, miniature_size=12)

    return read


def _lakh_seed(file: str) -> Callable[[], list[bytes]]:
    return lambda: [_lakh_files()[file]]


_SCORES, _GENRES = "match_scores.json", "msd-topMAGD-genreAssignment.cls"

CATALOGUES = {
    "maestro json": Catalogue(_maestro_json, _read_maestro(".json"), (b'"split"', b'"year"')),
    "maestro csv": Catalogue(
        _maestro_csv, _read_maestro(".csv"), (b"split", b"year", b"\n", b"\0")
    ),
    "lakh scores": Catalogue(
        _lakh_seed(_SCORES), _read_lakh(_SCORES), tuple(s.encode() for s in _SONGS)
    ),
    "lakh genres": Catalogue(_lakh_seed(_GENRES), _read_lakh(_GENRES), (b"\t", b"\n", b"#", b"\r")),
    "nsynth json": Catalogue(
        _nsynth_json, _read_nsynth, (b'"pitch"', b'"note_str"', b'"velocity"')
    ),
    "cover features": Catalogue(_features, _read_covers("audio_features"), (b'"id"', b'"tempo"')),
    "cover album": Catalogue(_album, _read_covers("album_information"), (b'"tracks"', b'"items"')),
}
