"""Splits and shards: by group, and stable under adding data."""

import os

from pipeline import plan
from pipeline.datasets.base import Entry
from pipeline.errors import Rejected
from pipeline.params import CorpusOptions

OPTIONS = CorpusOptions(
    validation_share=0.1,
    test_share=0.1,
    num_shards={"train": 4, "validation": 1, "test": 1},
    options={},
)


def _entries(count):
    return [Entry(key=f"song{i // 3}/{i}", group=f"song{i // 3}", members=()) for i in range(count)]


def _places(shards):
    return {entry.key: name for name, entries in shards.items() for entry in entries}


def test_no_group_straddles_splits_and_shares_are_near():
    places = _places(plan.shards_of(_entries(3000), OPTIONS)[0])
    splits = {}
    for key, shard in places.items():
        splits.setdefault(key.partition("/")[0], set()).add(shard.partition("-")[0])
    assert all(len(found) == 1 for found in splits.values())
    shares = [sum(f == {s} for f in splits.values()) / len(splits) for s in plan.SPLITS]
    assert abs(shares[0] - 0.8) < 0.04
    assert abs(shares[1] - 0.1) < 0.03


def test_adding_data_moves_nothing():
    before = _places(plan.shards_of(_entries(300), OPTIONS)[0])
    after = _places(plan.shards_of(_entries(3000), OPTIONS)[0])
    assert {key: after[key] for key in before} == before


def test_the_publishers_split_wins_and_rejections_are_kept():
    problem = Rejected("corrupt", "no header")
    items = [Entry("a", "g", (), split="validation"), ("b", problem)]
    shards, rejected = plan.shards_of(items, OPTIONS)
    assert _places(shards) == {"a": "validation-00000-of-00001"}
    assert rejected == [("b", problem)]


def test_only_changed_plans_are_written(tmp_path):
    shards, _ = plan.shards_of(_entries(300), OPTIONS)
    plan.write(tmp_path, shards, {"codec": "melody"})
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    shards["train-00002-of-00004"].append(Entry("new", "g", ()))
    del shards["test-00000-of-00001"]
    plan.write(tmp_path, shards, {"codec": "melody"})
    changed = [p.stem for p in tmp_path.iterdir() if p.stat().st_mtime > 0]
    assert changed == ["train-00002-of-00004"]
    assert len(list(tmp_path.iterdir())) == 5
