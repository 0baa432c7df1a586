"""What a dataset's catalogue holds, by key."""

from pipeline.datasets.base import Entry


def catalogued(dataset, raw, options):
    """The entries, and the reasons of what is rejected; keys are in order, and none comes twice."""
    items = list(dataset.catalogue(raw, options))
    keys = [item.key if isinstance(item, Entry) else item[0] for item in items]
    assert keys == sorted(set(keys))
    rejected = {item[0]: item[1].reason for item in items if not isinstance(item, Entry)}
    return {item.key: item for item in items if isinstance(item, Entry)}, rejected
