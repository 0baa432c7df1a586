"""A corpus of a few records written by hand, as the recipes' tests train on."""

import json

from pipeline import tfrecord

SPLITS = {"train": [7, 6], "validation": [3], "test": [5]}


def write(folder, features, record_of, num_classes, options):
    """Writes `record_of(number)`, numbered through all splits, as a corpus "toy"; -> the folder."""
    number = 0
    folder.mkdir(parents=True)
    for split, lengths in SPLITS.items():
        for index, count in enumerate(lengths):
            records = [record_of(n) for n in range(number, number + count)]
            number += count
            name = f"toy-{split}.tfrecord-{index:05d}-of-{len(lengths):05d}"
            with open(folder / name, "wb") as file:
                tfrecord.write_records(
                    file, (tfrecord.serialize_example(r, features) for r in records)
                )
    corpus = {
        "name": "toy",
        "features": {
            name: {"shape": list(f.shape), "dtype": f.dtype, "encoding": f.encoding}
            for name, f in features.items()
        },
        "num_classes": num_classes,
        "splits": {split: {"shard_lengths": lengths} for split, lengths in SPLITS.items()},
        "options": options,
    }
    (folder / "corpus.json").write_text(json.dumps(corpus))
    return folder
