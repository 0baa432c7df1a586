"""Splits by group, stable under adding data; parts as the archives lie, and of equal cost."""

import json
import os

from pipeline import plan
from pipeline.archive_members import STORED, Place
from pipeline.datasets.base import SPLITS, Entry
from pipeline.errors import Rejected
from pipeline.params import CorpusOptions

OPTIONS = CorpusOptions(
    validation_share=0.1, test_share=0.1, num_shards=4, drop_duplicates=True, options={}
)


def _entries(count):
    return [Entry(f"song{i // 3}/{i}", f"song{i // 3}", (f"x.tar!{i}",)) for i in range(count)]


def _places(entries, num_bytes=lambda index: 1000):
    """The last entry lies first."""
    places, at = {}, 0
    for index, entry in reversed(list(enumerate(entries))):
        size = num_bytes(index)
        places[entry.members[0]] = Place("x.tar", STORED, at, size, size)
        at += size
    return places


def test_no_group_straddles_splits_and_shares_are_near():
    splits = {}
    for entry in _entries(3000):
        splits.setdefault(entry.group, set()).add(plan.split_of(entry, OPTIONS))
    assert all(len(found) == 1 for found in splits.values())
    shares = [sum(f == {s} for f in splits.values()) / len(splits) for s in SPLITS]
    assert abs(shares[0] - 0.8) < 0.04
    assert abs(shares[1] - 0.1) < 0.03


def test_the_publishers_split_wins():
    assert plan.split_of(Entry("a", "g", (), split="validation"), OPTIONS) == "validation"


def test_rejections_are_kept():
    problem = Rejected("corrupt", "no header")
    entry = Entry("a", "g", ())
    assert plan.sorted_out([entry, ("b", problem)]) == ([entry], [("b", problem)])


def test_parts_are_stretches_of_the_archive_in_its_order():
    entries = _entries(1000)
    places = _places(entries)
    parts = plan.parts_of(entries, places, 7)
    assert list(parts) == [f"{i:05d}-of-00007" for i in range(7)]
    offsets = [[places[e.members[0]].offset for e in part] for part in parts.values()]
    flat = [offset for part in offsets for offset in part]
    assert flat == sorted(place.offset for place in places.values())
    assert {len(part) for part in offsets} <= {142, 143}
    assert plan.parts_of(reversed(entries), places, 7) == parts


def test_parts_cost_the_same_where_members_do_not():
    entries = _entries(1000)
    places = _places(entries, lambda index: 100_000 if index < 100 else 1000)
    parts = plan.parts_of(entries, places, 4)
    costs = [sum(4096 + places[e.members[0]].num_bytes for e in part) for part in parts.values()]
    assert max(costs) - min(costs) < 2 * 104_096
    assert max(map(len, parts.values())) > 3 * min(map(len, parts.values()))


def test_what_is_not_in_the_archive_comes_last_and_few_entries_leave_parts_empty():
    entries = [Entry("a", "a", ("x.tar!gone",)), *_entries(2)]
    parts = plan.parts_of(entries, _places(entries[1:]), 8)
    assert [e.key for part in parts.values() for e in part] == ["song0/1", "song0/0", "a"]
    assert plan.parts_of([], {}, 2) == {"00000-of-00002": [], "00001-of-00002": []}


def test_only_changed_plans_are_written(tmp_path):
    entries = _entries(300)
    places = _places(entries)
    parts = plan.parts_of(entries, places, 4)
    plan.write(tmp_path, parts, places, OPTIONS, {"codec": "melody"})
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    parts["00002-of-00004"].append(Entry("new", "g", ()))
    del parts["00000-of-00004"]
    plan.write(tmp_path, parts, places, OPTIONS, {"codec": "melody"})
    changed = [p.stem for p in tmp_path.iterdir() if p.stat().st_mtime > 0]
    assert changed == ["00002-of-00004"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_plan_says_all_that_its_job_needs(tmp_path):
    entries = _entries(3)
    places = _places(entries)
    plan.write(tmp_path, plan.parts_of(entries, places, 1), places, OPTIONS, {"codec": "melody"})
    written = json.loads((tmp_path / "00000-of-00001.json").read_text())
    assert written["codec"] == "melody"
    assert [e["key"] for e in written["entries"]] == ["song0/2", "song0/1", "song0/0"]
    assert {e["split"] for e in written["entries"]} == {plan.split_of(entries[0], OPTIONS)}
    assert {k: Place(*v) for k, v in written["places"].items()} == places
