"""Covers, toy vectors and toy samples on disk, as the stage map and the report read them."""

import io
from types import SimpleNamespace

import numpy as np
from PIL import Image

from pipeline import files, params, paths, samples, tfrecord
from pipeline import map as stage
from pipeline.codecs.base import Feature
from pipeline.models.base import Vectors

GENRES = ('<b onclick="alert(1)">Jazz</b>', "folk & blues", "")
HUES = {GENRES[0]: (220, 30, 30), GENRES[1]: (30, 200, 60), "": (40, 60, 210)}
SIZE = 16
FEATURES = {
    "key": Feature(),
    "group": Feature(),
    "genre": Feature(),
    "audio_features": Feature((13,), "float32"),
    "picture": Feature((SIZE, SIZE, 3), "uint8", "jpeg"),
}


def settings(**changes):
    """What of params.Params the stage map asks for."""
    options = {"perplexity": 5, "num_iterations": 60, "early_exaggeration_iterations": 40}
    options |= {"num_covers": 100, "num_generated": 7, "num_thumbnails": 20} | changes
    block = {"corpus": "covers", "picture_network": "eye", "encoders": ("ear",), "gan": "gan"}
    return SimpleNamespace(
        seed=3,
        profile="smoke",
        maps=SimpleNamespace(**block),
        map_options=lambda: SimpleNamespace(**options),
        corpus=lambda name: SimpleNamespace(codec="cover"),
        codec_options=lambda name: None,
        model=lambda name: SimpleNamespace(recipe="picture_contrastive"),
    )


def cover(genre, rng):
    """One colour a genre, with a little noise."""
    noise = rng.integers(-25, 25, (SIZE, SIZE, 3))
    return np.clip(HUES[genre] + noise, 0, 255).astype(np.uint8)


def mean_colour(pictures):
    """A picture network of toys. float32 [pictures, 3]."""
    return np.stack([picture.mean((0, 1)) / 50 for picture in pictures]).astype(np.float32)


def build(num_albums=36):
    """Leaves all below paths.ROOT; two tracks an album, every sixth album held out."""
    rng = np.random.default_rng(5)
    records = {"train": [], "validation": [], "test": []}
    for album in range(num_albums):
        split = {5: "test", 4: "validation"}.get(album % 6, "train")
        picture = cover(GENRES[(album + album // 6) % 3], rng)
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=95)
        for track in range(2):
            records[split].append(
                {
                    "key": f"track-{album:02d}-{track}",
                    "group": f"album-{album:02d}",
                    "genre": GENRES[(album + album // 6) % 3],
                    "audio_features": np.float32([0, 0, album % 12, 0, album % 2, *[0] * 8]),
                    "picture": file.getvalue(),
                }
            )
    _write(records)
    _write_vectors(records, rng)
    write_samples("gan", records["test"], rng)
    return records


def build_maps(patch):
    """Runs the stage map on what `build` left.

    Args:
      patch: a pytest.MonkeyPatch; what it changes here is for this stage alone.
    """
    patch.setattr(params, "load", settings)
    seen = lambda settings, name: lambda given: mean_colour(given["picture"])  # noqa: E731
    patch.setattr(stage.encoding, "encoder", seen)
    stage.main()


def records(split):
    """What `build` left of a split."""
    path = paths.shards("covers") / f"covers-{split}.tfrecord-00000-of-00001"
    return [tfrecord.parse_example(data, FEATURES) for data in tfrecord.read_records(path)]


def _write(records):
    folder = paths.shards("covers")
    folder.mkdir(parents=True)
    for split, own in records.items():
        with open(folder / f"covers-{split}.tfrecord-00000-of-00001", "wb") as file:
            examples = [tfrecord.serialize_example(record, FEATURES) for record in own]
            tfrecord.write_records(file, examples)
    features = {name: vars(feature) for name, feature in FEATURES.items()}
    splits = {split: {"shard_lengths": [len(own)]} for split, own in records.items()}
    about = {"name": "covers", "source": "demo", "num_classes": {}, "options": {}}
    files.write_json(folder / "corpus.json", {**about, "features": features, "splits": splits})


def _write_vectors(records, rng):
    keys = {split: [record["key"] for record in own] for split, own in records.items()}
    heard = {
        split: np.stack(
            [np.eye(3)[GENRES.index(record["genre"])] * 9 + rng.normal(0, 1, 3) for record in own]
        )
        for split, own in records.items()
    }
    seen = {
        split: mean_colour([np.asarray(Image.open(io.BytesIO(r["picture"]))) for r in own])
        for split, own in records.items()
    }
    for name, values in (("ear", heard), ("eye", seen)):
        paths.samples(name).mkdir(parents=True)
        Vectors(keys, values).save(paths.samples(name))


def write_samples(name, records, rng, num_latents=3):
    """For each record covers in the colour of its genre, the first of them with the real one."""
    drawn = []
    for record in records:
        about = {"key": record["key"], "genre": record["genre"], "split": "test"}
        real = {"source_picture": np.asarray(Image.open(io.BytesIO(record["picture"])))}
        for latent in range(num_latents):
            own = {**about, "picture": cover(record["genre"], rng), "latent": latent}
            drawn.append(own | ({} if latent else real))
    paths.samples(name).mkdir(parents=True, exist_ok=True)
    samples.save(drawn, paths.samples(name))
