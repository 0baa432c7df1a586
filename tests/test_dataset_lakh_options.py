"""Every option of Lakh: subsets, genres, filters; on archives made by hand and on the miniature."""

import hashlib
import io
import json
import re

import pretty_midi
import pytest

from pipeline import archives
from pipeline.datasets import _lakh_tables
from pipeline.datasets.base import Entry
from pipeline.datasets.lakh import DATASET, LakhOptions
from pipeline.errors import FETCH_AGAIN, PipelineError, Rejected
from pipeline.miniatures import _archives, lakh
from tests.test_dataset_lakh import FILES, OPTIONS

SONGS = [f"TR{letter}AAAA128F0000000" for letter in "ABCDE"]
MD5S = [digit * 32 for digit in "0123456"]
LABELS = {
    "tagtraum_cd2c": "msd_tagtraum_cd2c.cls.zip",
    "masd": "msd-MASD-styleAssignment.cls",
    "topmagd": "msd-topMAGD-genreAssignment.cls",
    "magd": "msd-MAGD-genreAssignment.cls",
}


def published(raw, options, files, scores, labels="", extra=None):
    """Writes an archive by hand: lmd_matched's files as (song, md5), lmd_full's as md5."""
    if options.subset == "lmd_full":
        names = [f"lmd_full/{md5[0]}/{md5}.mid" for md5 in files]
    else:
        names = [f"lmd_matched/{'/'.join(s[2:5])}/{s}/{md5}.mid" for s, md5 in files]
    members = dict.fromkeys([*names, *(extra or ())], b"content")
    _archives.write_tar_gz(raw / f"{options.subset}.tar.gz", members)
    text = scores if isinstance(scores, str) else json.dumps(scores)
    (raw / "match_scores.json").write_text(text)
    if options.genre_source is not None:
        file = LABELS[options.genre_source]
        if file.endswith(".zip"):
            _archives.write_zip(raw / file, {file.removesuffix(".zip"): labels.encode()})
        else:
            (raw / file).write_bytes(labels.encode())
    return {
        i[0] if isinstance(i, tuple) else i.key: i[1] if isinstance(i, tuple) else i
        for i in DATASET.catalogue(raw, options)
    }


def changed(**values):
    return LakhOptions(**{**OPTIONS.model_dump(), **values})


def test_lmd_full_keeps_what_matches_nothing_with_a_group_of_its_own(tmp_path):
    options = changed(subset="lmd_full")
    scores = {SONGS[1]: {MD5S[0]: 0.9, MD5S[1]: 0.7}, SONGS[0]: {MD5S[1]: 0.8}}
    labels = f"{SONGS[1]}\tJazz\n"
    odd = ["lmd_full/1/" + MD5S[0] + ".mid", "lmd_full/README", "lmd_full/x.txt"]
    items = published(tmp_path, options, MD5S[:3], scores, labels, odd)
    keys = [f"{md5[0]}/{md5}.mid" for md5 in MD5S[:3]]
    assert [items[key].group for key in keys] == [SONGS[0], SONGS[0], MD5S[2]]
    found = [items[key].attributes for key in keys]
    assert found[0] == {"msd_id": SONGS[1], "match_score": 0.9, "genre": "Jazz"}
    assert found[1] == {"msd_id": SONGS[0], "match_score": 0.8, "genre": "Jazz"}
    assert found[2] == {"msd_id": None, "match_score": None, "genre": None}
    assert items[keys[0]].members == (f"lmd_full.tar.gz!lmd_full/{keys[0]}",)
    rest = {key: item.reason for key, item in items.items() if key not in keys}
    assert rest == {f"1/{MD5S[0]}.mid": "unexpected_path", "x.txt": "unexpected_path"}


def test_in_lmd_full_a_weak_match_does_not_count_but_still_connects(tmp_path):
    options = changed(subset="lmd_full", min_match_score=0.75)
    scores = {SONGS[0]: {MD5S[0]: 0.9, MD5S[1]: 0.6}}
    items = published(tmp_path, options, MD5S[:2], scores, f"{SONGS[0]}\tJazz\n")
    strong, weak = items.values()
    assert (strong.attributes["genre"], strong.group) == ("Jazz", SONGS[0])
    assert (set(weak.attributes.values()), weak.group) == ({None}, SONGS[0])


def test_both_subsets_name_their_groups_alike(tmp_path):
    scores = {SONGS[2]: {MD5S[0]: 0.9}, SONGS[1]: {MD5S[0]: 0.8, MD5S[1]: 0.7}}
    for subset in ("lmd_matched", "lmd_full"):
        (tmp_path / subset).mkdir()
    pairs = [(song, md5) for song, found in scores.items() for md5 in found]
    labels = f"{SONGS[0]}\tJazz\n"
    matched = published(tmp_path / "lmd_matched", OPTIONS, pairs, scores, labels)
    full = published(tmp_path / "lmd_full", changed(subset="lmd_full"), MD5S[:2], scores, labels)
    groups = [
        {e.key[-36:]: e.group for e in items.values() if isinstance(e, Entry)}
        for items in (matched, full)
    ]
    assert groups[0] == groups[1]
    assert set(groups[0].values()) == {SONGS[1]}


@pytest.mark.parametrize("genre_source", LABELS)
def test_genres_of_every_source_plain_or_zipped(genre_source, tmp_path):
    options = changed(genre_source=genre_source)
    labels = f"# a comment\r\n\n{SONGS[0]}\tNew Age\tJazz\textra\r\n{SONGS[1]}\t Pop \nbad line\n"
    scores = {song: {md5: 0.9} for song, md5 in zip(SONGS[:3], MD5S, strict=False)}
    pairs = [(song, md5) for song, found in scores.items() for md5 in found]
    items = published(tmp_path, options, pairs, scores, labels)
    file = LABELS[genre_source]
    problem = items.pop(file)
    assert (problem.reason, problem.detail) == (
        "malformed_genre_line",
        "1 of 3 rows, the first line 5",
    )
    assert [e.attributes["genre"] for e in items.values()] == ["New Age", "Pop", None]
    assert DATASET.sources(options)[2].urls[0].endswith(file)
    # The other form of the same file is read, too.
    data = (tmp_path / file).read_bytes()
    if file.endswith(".zip"):
        (tmp_path / file).write_bytes(labels.encode())
    else:
        _archives.write_zip(tmp_path / file, {file: data})
    assert [i for i in DATASET.catalogue(tmp_path, options) if isinstance(i, Entry)] == list(
        items.values()
    )


def test_without_a_genre_source_nothing_is_fetched_or_read_for_it(tmp_path):
    options = changed(genre_source=None)
    assert [s.file for s in DATASET.sources(options)] == FILES[:2]
    items = published(tmp_path, options, [(SONGS[0], MD5S[0])], {SONGS[0]: {MD5S[0]: 0.9}})
    assert [e.attributes["genre"] for e in items.values()] == [None]


def test_the_genre_is_that_of_the_best_match_that_has_one(tmp_path):
    md5 = MD5S[0]
    scores = {
        SONGS[0]: {md5: 0.9},
        SONGS[1]: {md5: 0.8},
        SONGS[2]: {md5: 0.95},
        SONGS[3]: {md5: 0.6},
    }
    labels = f"{SONGS[1]}\tPop\n{SONGS[0]}\tJazz\n{SONGS[3]}\tRap\n"
    items = published(tmp_path, OPTIONS, [(song, md5) for song in scores], scores, labels)
    (entry,) = (i for i in items.values() if isinstance(i, Entry))
    assert (entry.attributes["msd_id"], entry.attributes["genre"]) == (SONGS[2], "Jazz")
    del scores[SONGS[0]], scores[SONGS[1]]
    strict = changed(min_match_score=0.7)
    items = published(tmp_path, strict, [(song, md5) for song in scores], scores, labels)
    (entry,) = (i for i in items.values() if isinstance(i, Entry))
    assert entry.attributes["genre"] is None  # a match that does not count gives no genre


def test_unwanted_genres_are_counted(tmp_path):
    scores = {song: {md5: 0.9} for song, md5 in zip(SONGS[:3], MD5S, strict=False)}
    pairs = [(song, md5) for song, found in scores.items() for md5 in found]
    labels = f"{SONGS[0]}\tNew Age\n{SONGS[1]}\tPop\n"
    items = published(tmp_path, changed(genres=("New Age",)), pairs, scores, labels)
    assert [getattr(i, "reason", None) for i in items.values()] == [
        None, "genre_not_wanted", "no_genre",
    ]  # fmt: skip
    with pytest.raises(
        PipelineError, match=r"'NewAge' is no genre of tagtraum_cd2c; did you mean 'New Age'"
    ):
        published(tmp_path, changed(genres=("NewAge",)), pairs, scores, labels)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "scores",
    ["", "<html>404</html>", "[]", "null", DEEP, '{"x": NaN}', '{"TRAAAAA128F0000000": 1}', "{}",
     '{"a": 1, "a": 1}', '{"a": "\\ud800"}', '{"a": 1e999}', "9" * 5000],
)  # fmt: skip
def test_scores_that_are_not_the_published_ones_stop_with_a_remedy(scores, tmp_path):
    labels = f"{SONGS[0]}\tJazz\n"
    with pytest.raises(PipelineError, match=re.escape(FETCH_AGAIN)):
        published(tmp_path, OPTIONS, [(SONGS[0], MD5S[0])], scores, labels)


def test_some_wrong_scores_are_counted(tmp_path):
    good = {SONGS[0]: dict.fromkeys(MD5S, 0.9)}
    bad = {"x": {MD5S[0]: 0.9}, SONGS[1]: [], SONGS[2]: {MD5S[0]: True, "y": 0.5, MD5S[1]: 10**40}}
    labels = f"{SONGS[0]}\tJazz\n"
    items = published(tmp_path, OPTIONS, [(SONGS[0], MD5S[0])], good | bad, labels)
    assert items["match_scores.json"].reason == "malformed_match_score"
    assert items["match_scores.json"].detail.startswith("5 of 12 rows")
    assert list(items) == sorted(items)


@pytest.mark.parametrize("labels", [("a.cls", "b.cls"), ()])
def test_a_zip_of_other_than_one_table_stops_with_a_remedy(labels, tmp_path):
    _archives.write_zip(tmp_path / FILES[2], dict.fromkeys(labels, b""))
    with pytest.raises(
        PipelineError, match=rf"{len(labels)} \.cls files.*{re.escape(FETCH_AGAIN)}"
    ):
        _lakh_tables.genres(tmp_path, "tagtraum_cd2c")


def test_a_damaged_table_of_genres_is_not_taken_for_an_empty_one(tmp_path):
    _archives.write_zip(tmp_path / FILES[2], {"a.cls": f"{SONGS[0]}\tJazz\n".encode()})
    packed = bytearray((tmp_path / FILES[2]).read_bytes())
    packed[30 + len("a.cls")] ^= 0xFF  # the first byte behind the local header
    (tmp_path / FILES[2]).write_bytes(packed)
    with pytest.raises(PipelineError, match="damaged"):
        _lakh_tables.genres(tmp_path, "tagtraum_cd2c")


def test_a_page_instead_of_genres_stops_with_a_remedy(tmp_path):
    page = "<html>\n<p>Not\tFound</p>\n</html>\n"
    with pytest.raises(PipelineError, match=f"3 of 3 rows are malformed.*{re.escape(FETCH_AGAIN)}"):
        published(tmp_path, OPTIONS, [], {SONGS[0]: {MD5S[0]: 0.9}}, page)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"genre_source": None, "genres": ("Jazz",)}, "genres need a genre_source"),
        ({"min_notes": 9, "max_notes": 8}, "min_notes=9 is more than that"),
        ({"time_signatures": ()}, "at least 1 item"),
        ({"subset": "lmd_aligned"}, "lmd_matched"),
    ],
)
def test_options_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        changed(**values)


def loaded(content, **filters):
    key = f"A/A/A/TRAAAAA128F0000000/{hashlib.md5(content).hexdigest()}.mid"
    attributes = {"genre": "Jazz", **({"filters": filters} if filters else {})}
    return DATASET.load(Entry(key, "g", ("m",), None, attributes), {"m": content})


FILTERS = [
    ({"min_notes": 9}, "too_few_notes"),
    ({"max_notes": 7}, "too_many_notes"),
    ({"min_seconds": 4.01}, "too_short"),
    ({"max_seconds": 3.99}, "too_long"),
    ({"min_programs": 4}, "too_few_programs"),
    ({"max_programs": 2}, "too_many_programs"),
    ({"time_signatures": [[4, 4], [2, 4]]}, "other_time_signature"),
]
PASSED = {
    "min_notes": 8, "max_notes": 8, "min_seconds": 4, "max_seconds": 4, "min_programs": 3,
    "max_programs": 3, "time_signatures": [[3, 4], [6, 8]],
}  # fmt: skip


@pytest.fixture(scope="module")
def waltz():
    """Eight notes in four seconds, by two programs and the drums, in 3/4."""
    midi = pretty_midi.PrettyMIDI(initial_tempo=120)
    midi.time_signature_changes = [pretty_midi.TimeSignature(3, 4, 0)]
    for program, is_drum, pitches in (
        (0, False, (60, 62, 64)),
        (5, False, (40,) * 3),
        (0, True, (36, 38)),
    ):
        track = pretty_midi.Instrument(program, is_drum)
        track.notes = [pretty_midi.Note(90, p, i, i + 2) for i, p in enumerate(pitches)]
        midi.instruments.append(track)
    buffer = io.BytesIO()
    midi.write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(("filters", "reason"), FILTERS)
def test_filters_of_notes_reject_for_their_own_reason(filters, reason, waltz):
    with pytest.raises(Rejected) as caught:
        loaded(waltz, **filters)
    assert caught.value.reason == reason


def test_filters_that_are_met_leave_the_example_as_it_is(waltz):
    example = loaded(waltz, **PASSED)
    assert example.attributes == {"genre": "Jazz"}  # the filters are not the example's
    assert example.note_sequence_bytes == loaded(waltz).note_sequence_bytes
    assert len(example.note_sequence.notes) == 8


def test_a_piece_that_names_no_metre_is_in_four_four():
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0))
    midi.instruments[0].notes = [pretty_midi.Note(90, 60, 0, 1)]
    buffer = io.BytesIO()
    midi.write(buffer)
    content = buffer.getvalue().replace(b"\x00\xff\x58\x04\x04\x02\x18\x08", b"")
    sizes = {c: content.index(c) + 4 for c in (b"MTrk",)}
    place = sizes[b"MTrk"]
    length = content.index(b"MTrk", place) - place - 4
    content = content[:place] + length.to_bytes(4, "big") + content[place + 4 :]
    assert not loaded(content).note_sequence.time_signatures
    assert loaded(content, time_signatures=[[4, 4]]).note_sequence.notes
    with pytest.raises(Rejected, match="other_time_signature"):
        loaded(content, time_signatures=[[3, 4]])


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    out = tmp_path_factory.mktemp("lakh")
    lakh.build(out, OPTIONS, seed=1)
    return out


def test_filters_agree_with_the_note_sequence_on_the_miniature(raw):
    """Each bound, drawn at the median, takes the half that plain Python over protobuf takes."""
    options = changed(max_notes=400, time_signatures=((4, 4), (6, 8)), min_programs=4)
    names = [f"{FILES[0]}!{name}" for name in archives.members(raw / FILES[0])]
    contents = dict(archives.read(raw, names))
    kept, expected, reasons = set(), set(), set()
    for entry in DATASET.catalogue(raw, options):
        if not isinstance(entry, Entry):
            continue
        assert entry.attributes["filters"] == {
            "max_notes": 400, "time_signatures": [[4, 4], [6, 8]], "min_programs": 4,
        }  # fmt: skip
        plain = Entry(entry.key, entry.group, entry.members)
        data = {entry.members[0]: contents[entry.members[0]]}
        try:
            sequence = DATASET.load(plain, data).note_sequence
        except Rejected:
            continue
        metres = {(s.numerator, s.denominator) for s in sequence.time_signatures}
        programs = {"drums" if n.is_drum else n.program for n in sequence.notes}
        if len(sequence.notes) <= 400 and metres <= {(4, 4), (6, 8)} and len(programs) >= 4:
            expected.add(entry.key)
        try:
            kept.add(DATASET.load(entry, data).key)
        except Rejected as rejected:
            reasons.add(rejected.reason)
    assert kept == expected
    assert 0 < len(kept) < 40
    assert reasons >= {"too_many_notes", "other_time_signature"}


@pytest.mark.parametrize("genre_source", [*LABELS, None])
@pytest.mark.parametrize("subset", ["lmd_matched", "lmd_full"])
def test_the_miniature_is_as_published_for_every_option(subset, genre_source, tmp_path):
    options = changed(subset=subset, genre_source=genre_source)
    lakh.build(tmp_path, options, seed=1)
    assert {f.name for f in tmp_path.iterdir()} == {s.file for s in DATASET.sources(options)}
    items = list(DATASET.catalogue(tmp_path, options))
    entries = [item for item in items if isinstance(item, Entry)]
    reasons = {item[1].reason for item in items if not isinstance(item, Entry)}
    assert reasons == ({"duplicate_file"} if subset == "lmd_matched" else set())
    num_unmatched = sum(e.attributes["msd_id"] is None for e in entries)
    assert num_unmatched == (0 if subset == "lmd_matched" else 11)  # every fourth of 42
    num_genres = {None: 0, "tagtraum_cd2c": 6, "masd": 6}.get(genre_source, 5)  # Rock, Pop are one
    assert len({e.attributes["genre"] for e in entries} - {None}) == num_genres
    readme = archives.read_one(tmp_path, f"{subset}.tar.gz!{subset}/README").decode()
    assert f"the published layout of {subset}." in readme
