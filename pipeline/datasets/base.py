"""What a dataset module declares: where it comes from, what is in it, how one entry is read.

The catalogue is separate from the reading, so that the plan of the shards (keys, groups, splits)
is made without decoding, and each shard job reads its own members only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import Rejected
from pipeline.example import Example
from pipeline.options import Options

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """One published file.

    Attributes:
      file: its name in data/raw/<dataset>/.
      urls: where it is published, mirrors in order.
      num_bytes: its published size, or None where the publisher gives none.
      checksum: "sha256:<hex>", "sha1:<hex>" or "md5:<hex>", or None: then recorded on first use.
    """

    file: str
    urls: tuple[str, ...]
    num_bytes: int | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class Entry:
    """One item before it is read: what the plan needs to know, as JSON values only.

    Attributes:
      key: stable and unique in the dataset, e.g. "TRAAAGR128F425B14B/1d9d16a9.mid".
      group: what may not straddle splits (composition, instrument, album).
      members: where its bytes are: "<archive file>!<member>" each.
      split: train, validation or test where the publisher fixes it, else None.
      attributes: what is published beside it (title, composer, genre, pitch, ...).
    """

    key: str
    group: str
    members: tuple[str, ...]
    split: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """A dataset, declared.

    Attributes:
      name: the module's name.
      title: as its authors spell it.
      version: as published.
      licence: SPDX id where there is one.
      citation: one reference, plain text.
      homepage: where people read about it.
      sources: options -> the published files that those options need.
      Options: what a user may set under datasets.<name>.<profile>.
      catalogue: (raw directory, options) -> entries in key order; no medium is decoded. An item
        that can be seen to be unusable already is yielded as a (key, Rejected) pair.
      own_files: patterns of archives that a user's directory may hold in place of the published
        ones, where their names are not known; the catalogue takes whatever is there.
      load: (entry, {member: bytes}) -> Example; raises Rejected for what cannot be used.
    """

    name: str
    title: str
    version: str
    licence: str
    citation: str
    homepage: str
    sources: Callable[[Any], tuple[Source, ...]]
    Options: type[Options]
    catalogue: Callable[[Path, Any], Iterator[Entry | tuple[str, Rejected]]]
    load: Callable[[Entry, Mapping[str, bytes]], Example]
    own_files: tuple[str, ...] = ()
