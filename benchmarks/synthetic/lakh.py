"""An archive like lmd_full or lmd_matched, with its scores and genres: any number of MIDI files.

The music is that of Lakh's miniature, cut into bars (`composer`). The shares follow the published
numbers: of 176,581 files some 2,500 are damaged (`FAULTS`, in turns; a "few thousand" are said to
be), 45,129 match 31,034 songs in 115,160 pairs, and the genre file labels 191,401 songs. In 1 % of
the files the notes are those of another, with other texts; in 10 % the texts are not UTF-8.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.synthetic import composer, lakh_faults, pool, tar_gz
from benchmarks.synthetic.lakh_faults import FAULTS
from pipeline.files import atomic_open
from pipeline.miniatures import _arranger, _tunes
from pipeline.miniatures._archives import write_zip
from pipeline.miniatures._styles import STYLES
from pipeline.miniatures.lakh import msd_id

MEAN_NOTES, MIN_NOTES, MAX_NOTES = 1500, 50, 20_000
FAULT_SHARE, REPEATED_SHARE = 2500 / 176_581, 0.01
_LOG_DEVIATION = 0.9
_POOL_TUNES = 360
_CHUNK = 1000
_MATCHED_SHARE = 45_129 / 176_581
_FILES_PER_WORK, _SONGS_PER_WORK = 45_129 / 12_075, 31_034 / 12_075
_LABELS_PER_FILE, _LABELLED_SHARE = 191_401 / 176_581, 0.6
_GENRES = {
    "Rock": 0.38, "Pop": 0.25, "Country": 0.10, "Electronic": 0.08, "RnB": 0.06, "Jazz": 0.03,
    "Metal": 0.026, "Rap": 0.02, "Latin": 0.016, "Reggae": 0.012, "Folk": 0.008, "New Age": 0.007,
    "Blues": 0.005, "Punk": 0.003, "World": 0.003,
}  # fmt: skip


class Plan(NamedTuple):
    """What each file is. All of shape [files].

    Attributes:
      music: the file whose notes it has: itself, or an earlier one that it repeats.
      num_notes: so many at least.
      fault: an index into FAULTS, or -1.
    """

    music: np.ndarray
    num_notes: np.ndarray
    fault: np.ndarray


def write(out: Path, count: int, seed: int, subset: str, fault_share: float = FAULT_SHARE) -> dict:
    """Writes <subset>.tar.gz in the order of its names, match_scores.json and the genre file.

    Args:
      out: the directory for the three files.
      count: different MIDI files; lmd_matched holds most of them under several songs.
      seed: equal seeds give equal archives, as far as the gzip program's version allows.
      subset: "lmd_full" or "lmd_matched".
      fault_share: of the files, 0 to 1.

    Returns:
      num_files, num_bytes (unpacked, without the tar's headers), tar_bytes, archive_bytes.
    """
    out.mkdir(parents=True, exist_ok=True)
    share = 1.0 if subset == "lmd_matched" else _MATCHED_SHARE
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        places = sorted(_generated(Path(scratch), count, seed, fault_share))
        places = list(_without_repeats(places))
        scores = _scores([place.md5 for place in places], share, seed)
        names = _full(places) if subset == "lmd_full" else _matched(places, scores)
        tar_bytes = tar_gz.write(out / f"{subset}.tar.gz", _members(Path(scratch), names))
    with atomic_open(out / "match_scores.json", "w") as file:
        json.dump(scores, file, sort_keys=True)
    labels = _labels(sorted(scores), count, seed)
    write_zip(out / "msd_tagtraum_cd2c.cls.zip", {"msd_tagtraum_cd2c.cls": labels.encode()})
    return {
        "num_files": sum(place is not None for _, place in names),
        "num_bytes": sum(place.num_bytes for _, place in names if place),
        "tar_bytes": tar_bytes,
        "archive_bytes": (out / f"{subset}.tar.gz").stat().st_size,
    }


def plan(count: int, seed: int, fault_share: float = FAULT_SHARE) -> Plan:
    """Draws the sizes, the files that repeat another's music, and the damaged ones."""
    rng = np.random.default_rng([seed, 0])
    median = MEAN_NOTES / np.exp(_LOG_DEVIATION**2 / 2)
    drawn = rng.lognormal(np.log(median), _LOG_DEVIATION, count)
    num_notes = np.clip(drawn, MIN_NOTES, MAX_NOTES).astype(np.int64)
    fault = np.full(count, -1)
    chosen = rng.permutation(count)[: round(fault_share * count)]
    fault[chosen] = np.arange(len(chosen)) % (len(FAULTS) - 1)
    fault[chosen[len(FAULTS) - 1 : len(FAULTS)]] = len(FAULTS) - 1
    music = np.arange(count)
    whole = np.flatnonzero(fault < 0)
    repeated = whole[rng.permutation(len(whole))[: round(REPEATED_SHARE * count)]]
    originals = np.setdiff1d(whole, repeated)
    if len(originals):
        music[repeated] = rng.choice(originals, len(repeated))
    return Plan(music, num_notes[music], fault)


class _Place(NamedTuple):
    """Where a file's bytes wait until its name's turn comes."""

    md5: str
    chunk: int
    start: int
    num_bytes: int


def _generated(scratch: Path, count: int, seed: int, fault_share: float) -> Iterator[_Place]:
    """Composes the files on all cores, in the order of their numbers, into files of `scratch`."""
    planned = plan(count, seed, fault_share)
    jobs = [
        (scratch, seed, chunk, first, Plan(*(column[first : first + _CHUNK] for column in planned)))
        for chunk, first in enumerate(range(0, count, _CHUNK))
    ]
    if len(jobs) == 1:
        yield from _chunk(jobs[0])
        return
    _pool(seed)  # before the fork, so that the workers share it
    with ProcessPoolExecutor(mp_context=get_context("fork")) as workers:
        for places in workers.map(_chunk, jobs):
            yield from places


@lru_cache(maxsize=2)
def _pool(seed: int) -> pool.Pool:
    styles = list(STYLES)
    return pool.pool_of(
        _arranger.arrange(tune, styles[i % len(styles)], np.random.default_rng([seed, 1, i]))
        for i, tune in enumerate(islice(_tunes.tunes(seed), _POOL_TUNES))
    )


def _chunk(job: tuple[Path, int, int, int, Plan]) -> list[_Place]:
    scratch, seed, chunk, first, planned = job
    places, start = [], 0
    with open(scratch / f"{chunk}.bin", "wb") as file:
        rows = zip(*(column.tolist() for column in planned), strict=True)
        for number, (music, num_notes, fault) in enumerate(rows, first):
            content = _file(seed, number, music, num_notes, fault)
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            places.append(_Place(md5, chunk, start, len(content)))
            start += file.write(content)
    return places


def _file(seed: int, number: int, music: int, num_notes: int, fault: int) -> bytes:
    music_seed = seed * 1_000_003 + music
    content = composer.compose(_pool(seed), music_seed, num_notes, _texts(seed, number))
    return content if fault < 0 else lakh_faults.damaged(content, list(FAULTS)[fault], number)


_WORDS = (
    "love night moon river heart blue dance summer rain fire angel street dream light golden time "
    "sweet wild home road city star shadow winter morning ocean forever baby lady king"
)
_FOREIGN = ("Für Élise", "Canción de la niña", "Schöne Mädchen", "Ça ira, mon cœur")
_JAPANESE = ("春の海", "さくらさくら", "夜空の星", "恋の歌")
_PARTS = (
    ("Melody", "VOCAL", "Lead", "melody 1", "Sax", "Track 1", ""),
    ("Chords", "GUITAR", "Piano", "Rhythm Gtr", "Track 2", "E.Piano", ""),
    ("Bass", "BASS", "Fingered Bs.", "Track 3", "Ac.Bass", "bass", ""),
    ("Strings", "STRINGS", "Slow Strings", "Track 4", "Pad", "Synth", ""),
    ("Drums", "DRUMS", "Standard Kit", "Track 10", "PERCUSSION", "drums", ""),
)


def _texts(seed: int, number: int) -> list[bytes]:
    """A title, a copyright notice for every other file, and names of tracks."""
    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    words = _WORDS.split()
    title = " ".join(words[digest[i] % len(words)] for i in range(2 + digest[9] % 3))
    encoded = title.title().encode()
    if digest[10] < 15:
        encoded = _FOREIGN[digest[11] % 4].encode("cp1252") + b" " + encoded
    elif digest[10] < 26:
        encoded = _JAPANESE[digest[11] % 4].encode("shift_jis") + b" " + encoded
    notice = f"Sequenced by no. {number}, all rights reserved" if digest[12] % 2 else ""
    parts = [names[digest[16 + i] % len(names)] for i, names in enumerate(_PARTS)]
    parts += [""] * (pool.MAX_TRACKS - len(parts))
    return [encoded, notice.encode(), *(part.encode() for part in parts)]


def _without_repeats(places: list[_Place]) -> Iterator[_Place]:
    """Drops contents that are there already: a name stands once."""
    last = ""
    for place in places:
        if place.md5 != last:
            yield place
        last = place.md5


_Named = list[tuple[str, _Place | None]]


def _full(places: list[_Place]) -> _Named:
    """lmd_full/<first digit>/<md5>.mid, with the directories."""
    named: _Named = [("lmd_full/", None)]
    for before, place in zip([None, *places], places, strict=False):
        if before is None or before.md5[0] != place.md5[0]:
            named.append((f"lmd_full/{place.md5[0]}/", None))
        named.append((f"lmd_full/{place.md5[0]}/{place.md5}.mid", place))
    return named


def _matched(places: list[_Place], scores: dict[str, dict[str, float]]) -> _Named:
    """lmd_matched/A/B/C/<song>/<md5>.mid for each match, with the directories."""
    by_md5 = {place.md5: place for place in places}
    files: _Named = []
    folders = {"lmd_matched/"}
    for song, matches in scores.items():
        path = f"lmd_matched/{song[2]}/{song[3]}/{song[4]}/{song}/"
        folders.update(path[: i + 1] for i, c in enumerate(path) if c == "/")
        files += [(f"{path}{md5}.mid", by_md5[md5]) for md5 in matches]
    return sorted([*files, *((folder, None) for folder in folders)], key=lambda named: named[0])


def _members(scratch: Path, named: _Named) -> Iterator[tuple[str, bytes]]:
    maps: dict[int, mmap.mmap] = {}
    for name, place in named:
        if place is None or not place.num_bytes:
            yield name, b""
            continue
        if place.chunk not in maps:
            with open(scratch / f"{place.chunk}.bin", "rb") as file:
                maps[place.chunk] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        yield name, maps[place.chunk][place.start : place.start + place.num_bytes]


def _scores(md5s: list[str], share: float, seed: int) -> dict[str, dict[str, float]]:
    """song -> file -> score: all songs of a work match all its files."""
    rng = np.random.default_rng([seed, 2])
    chosen = [md5s[i] for i in np.sort(rng.permutation(len(md5s))[: round(share * len(md5s))])]
    shuffled = [chosen[i] for i in rng.permutation(len(chosen))]
    scores: dict[str, dict[str, float]] = {}
    first = 0
    while first < len(shuffled):
        num_files = int(rng.geometric(1 / _FILES_PER_WORK))
        for _ in range(int(rng.geometric(1 / _SONGS_PER_WORK))):
            song = msd_id(seed, len(scores))
            files = shuffled[first : first + num_files]
            drawn = rng.uniform(0.5, 1.0, len(files)).round(6).tolist()
            scores[song] = dict(zip(files, drawn, strict=True))
        first += num_files
    return scores


def _labels(songs: list[str], count: int, seed: int) -> str:
    """tagtraum's file: seven lines of comment, then song TAB genre, most of them not in Lakh."""
    rng = np.random.default_rng([seed, 3])
    labelled = [song for song in songs if rng.random() < _LABELLED_SHARE]
    num_others = max(0, round(_LABELS_PER_FILE * count) - len(labelled))
    labelled += [msd_id(seed, len(songs) + i) for i in range(num_others)]
    genres = rng.choice(list(_GENRES), len(labelled), p=list(_GENRES.values()))
    comment = ["# MSD genre annotations in CD2C's layout, drawn at random", *["#"] * 5]
    rows = [f"{song}\t{genre}" for song, genre in sorted(zip(labelled, genres, strict=True))]
    return "\n".join([*comment, "# trackId<TAB>majority genre", *rows]) + "\n"
