"""Covers between the stages: vectors, a person's track, what is claimed of a model, and when."""

from types import SimpleNamespace

import librosa
import numpy as np
import pytest
import soundfile

from pipeline import (
    check_references,
    cover_comparison,
    encoding,
    given_music,
    params,
    report_cover_tables,
    wording,
)
from pipeline.codecs import _track_statistics
from pipeline.cover_comparison import Covers, Drawn
from pipeline.errors import PipelineError
from pipeline.models.base import Measure, Vectors

RATE = 22_050


def tone(seconds=2.0):
    times = np.arange(int(RATE * seconds)) / RATE
    beat = 0.5 + 0.5 * (np.sin(2 * np.pi * 2 * times) > 0)
    return (0.4 * beat * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


# --- statistics of a track -----------------------------------------------------------------------


def test_statistics_are_those_of_librosas_features():
    audio = tone(4.0)
    mfcc = librosa.feature.mfcc(y=audio, sr=RATE, n_mfcc=20)
    chroma = librosa.feature.chroma_stft(y=audio, sr=RATE)
    onset = librosa.onset.onset_strength(y=audio, sr=RATE)
    frames = np.concatenate([mfcc, chroma, onset[None]])
    tempo = np.log2(librosa.feature.tempo(y=audio, sr=RATE)[0])
    expected = np.concatenate([frames.mean(axis=1), frames.std(axis=1), [tempo]])
    found = _track_statistics.track_statistics(audio, RATE)
    assert found.shape == (_track_statistics.SIZE,)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


# --- vectors -------------------------------------------------------------------------------------


def test_vectors_come_back_as_they_were_saved(tmp_path):
    keys = {"train": ["a", "é"], "test": ["c"]}
    values = {"train": np.float32([[1, 2], [3, 4]]), "test": np.float32([[5, 6]])}
    Vectors(keys, values).save(tmp_path)
    found = Vectors.open(tmp_path)
    assert found.keys == keys
    assert found.by_key("train")["é"].tolist() == [3, 4]


def test_vectors_are_the_same_bytes_twice(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Vectors({"test": ["x"]}, {"test": np.ones((1, 3))}).save(tmp_path / folder)
    assert (tmp_path / "a/vectors.npz").read_bytes() == (tmp_path / "b/vectors.npz").read_bytes()


def test_an_encoder_is_given_no_more_records_at_once_than_fit(monkeypatch):
    sizes = []

    def encode(model, options, shards, fields):
        sizes.append(len(fields["mel"]))
        return fields["mel"] * 2

    _fake_encoder(monkeypatch, encode)
    found = encoding.encoder(_Settings(), "an_encoder")({"mel": np.arange(600.0)[:, None]})
    assert sizes == [256, 256, 88]
    np.testing.assert_array_equal(found, 2 * np.arange(600.0)[:, None])


class _Settings:
    """Of one model, an_encoder, or of one that it is the condition of."""

    seed = 1

    def __init__(self, condition=None, reads="data/shards/covers/corpus.json"):
        self._condition, self._reads = condition, reads

    def model(self, name):
        return SimpleNamespace(recipe="r", reads=self._reads, corpus="covers", judge="judge")

    def corpus(self, name):
        return SimpleNamespace(codec="cover")

    def recipe_params(self, name):
        return SimpleNamespace(condition=self._condition)

    def generate_options(self):
        return SimpleNamespace(num=1000)

    def codec_options(self, name):
        from pipeline.codecs.cover import CoverOptions

        return CoverOptions(
            size=64,
            quality=90,
            sample_rate=RATE,
            num_frames=32,
            num_mel_bins=16,
            n_fft=1024,
            hop_length=512,
        )


def _fake_encoder(monkeypatch, encode, fields=("mel",)):
    recipe = SimpleNamespace(encode=encode, encoded_fields=fields)
    monkeypatch.setattr(encoding.registry, "recipe", lambda name: recipe)
    monkeypatch.setattr(encoding.weights, "trained", lambda settings, name: None)
    monkeypatch.setattr(encoding.Shards, "open", lambda path: None)


def test_the_corpus_that_is_encoded_stands_in_reads():
    assert encoding.encoded_corpus(_Settings(), "x") == "covers"
    assert encoding.encoded_corpus(_Settings(reads="data/shards/others"), "x") == "others"


# --- a person's track ----------------------------------------------------------------------------


def test_a_track_is_encoded_as_the_corpus_is(tmp_path, monkeypatch):
    def encode(model, options, shards, fields):
        assert fields["mel"].shape == (1, 32, 16)
        return fields["track_statistics"][:, -1:]

    _fake_encoder(monkeypatch, encode, ("mel", "track_statistics"))
    path = tmp_path / "song.wav"
    soundfile.write(path, np.stack([tone(), tone()], axis=1), RATE)
    found = given_music.track(_Settings("an_encoder"), "a_gan", path)
    assert found["key"] == "song"
    seen = tone()[: 31 * 512]
    np.testing.assert_allclose(
        found["vector"], _track_statistics.track_statistics(seen, RATE)[-1:], rtol=1e-4
    )


@pytest.mark.parametrize(
    ("settings", "fields", "written", "said"),
    [
        (_Settings(None), ("mel",), True, "is told nothing of a track"),
        (_Settings("x"), ("audio_features",), True, "are not in a sound file"),
        (_Settings("x"), ("mel",), None, "No such file"),
        (_Settings("x"), ("mel",), False, "undecodable_audio"),
    ],
)
def test_a_track_that_cannot_be_drawn_for_is_refused(
    settings, fields, written, said, tmp_path, monkeypatch
):
    _fake_encoder(monkeypatch, None, fields)
    path = tmp_path / "song.wav"
    if written:
        soundfile.write(path, tone(), RATE)
    elif written is False:
        path.write_bytes(b"no sound")
    with pytest.raises(PipelineError, match=said) as caught:
        given_music.track(settings, "a_gan", path)
    assert str(path) in str(caught.value)


# --- what is watched is what is read -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reads", "said"),
    [
        ("melody_basic", "data/shards/lakh_trio/corpus.json", "reads nothing but its corpus"),
        ("cover_wgan", "data/shards/covers/corpus.json", "whose vectors it is told"),
        ("track_rnn", "data/models/track_rnn", "the corpus that it encodes"),
        ("track_cnn", "data/shards/no_such", "'no_such' is not there"),
    ],
)
def test_reads_that_is_not_what_a_model_reads_is_a_mistake(name, reads, said):
    settings = params.load()
    settings.models[name] = settings.models[name].model_copy(update={"reads": reads})
    found = list(check_references.read_mistakes(settings))
    assert len(found) == 1
    assert said in found[0]


def test_a_condition_is_one_for_all_profiles():
    settings = params.load()
    block = settings.models["cover_wgan"]
    changed = block.model_copy(update={"demo": {**block.demo, "condition": "track_pca"}})
    settings.models["cover_wgan"] = changed
    (found,) = check_references.read_mistakes(settings)
    assert "condition=track_attributes, track_pca. Name one for all profiles" in found


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("corpus", "no_such", "'no_such' is not there"),
        ("gan", "cover_dcgan_unconditional", "draws no covers for tracks"),
        ("picture_network", "track_pca", "does not encode pictures"),
        ("encoders", ("cover_network",), "does not encode tracks"),
        ("encoders", ("melody_basic",), "does not encode tracks"),
        ("gan", "no_such", "'no_such' is not there"),
    ],
)
def test_maps_of_what_cannot_be_mapped_are_a_mistake(key, value, said):
    settings = params.load()
    maps = settings.maps.model_copy(update={key: value})
    (found,) = check_references.map_mistakes(settings.model_copy(update={"maps": maps}))
    assert said in found


def test_covers_need_a_network_to_be_seen_by():
    settings = params.load()
    block = settings.models["cover_wgan"].model_copy(update={"judge": "cover_wgan"})
    settings.models["cover_wgan"] = block
    (found,) = check_references.judge_mistakes(settings)
    assert "covers are seen by a network" in found


def test_a_condition_must_be_an_encoder():
    settings = params.load()
    block = settings.models["cover_wgan"]
    full = {**block.full, "condition": "melody_basic"}
    changed = block.model_copy(update={"full": full, "reads": "data/samples/melody_basic"})
    settings.models["cover_wgan"] = changed
    assert "melody_basic is no encoder" in next(iter(check_references.read_mistakes(settings)))


# --- what is measured of covers ------------------------------------------------------------------

NUM_TRACKS, NUM_LATENTS, SIZE = 40, 3, 6


def _world(seed=0, noise=0.3, follows=True):
    """Pictures whose features are a rotation of the track's condition, and noise."""
    rng = np.random.default_rng(seed)
    keys = {"train": [f"r{i}" for i in range(120)], "test": [f"t{i}" for i in range(NUM_TRACKS)]}
    told = {split: rng.normal(size=(len(k), SIZE)) for split, k in keys.items()}
    turn = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]

    def features(conditions):
        return conditions @ turn + noise * rng.normal(size=conditions.shape)

    real = {split: features(values) for split, values in told.items()}
    sources = {
        split: values if follows else rng.permutation(values) for split, values in told.items()
    }
    grid = {
        split: np.stack([features(values) for _ in range(NUM_LATENTS)], axis=1)
        for split, values in sources.items()
    }
    covers = {s: Covers(np.array(keys[s]), np.array(keys[s]), real[s]) for s in keys}
    drawn = {s: Drawn(np.array(keys[s]), grid[s]) for s in keys}
    return cover_comparison._Conditions(Vectors(keys, told)), covers, drawn


def _told(**changes):
    conditions, covers, drawn = _world(**changes)
    return cover_comparison._conditioning(conditions, covers["train"], covers["test"], drawn, 0)


def _value(measure):
    return measure.numerators.sum() / measure.denominators.sum()


def test_covers_that_follow_the_music_lead_back_to_it():
    found = _told()
    assert _value(found["retrieval_rank"]) > 0.95
    assert found["retrieval_p"] == 1 / 2001
    assert _value(found["ceiling_rank"]) > 0.95
    assert _value(found["ceiling_rank_from_generated"]) > 0.95
    assert abs(_value(found["retrieval_rank_shuffled"]) - 0.5) < 0.05
    assert _value(found["retrieval_top_5"]) > found["retrieval_top_5_by_chance"] == 5 / NUM_TRACKS


def test_conditions_dealt_out_anew_are_the_mean_of_all_ways_to_deal_them():
    scores = np.random.default_rng(4).random((5, 5))
    loop = [np.mean([scores[j, i] for j in range(5) if j != i]) for i in range(5)]
    np.testing.assert_allclose(cover_comparison._of_others(scores), loop)


def test_one_album_is_too_few():
    conditions, covers, drawn = _world()
    one = {**drawn, "test": Drawn(drawn["test"].keys[:1], drawn["test"].features[:1])}
    with pytest.raises(PipelineError, match="num_albums=1"):
        cover_comparison._conditioning(conditions, covers["train"], covers["test"], one, 0)


def test_covers_of_other_tracks_do_not():
    found = _told(follows=False)
    assert abs(_value(found["retrieval_rank"]) - 0.5) < 0.15
    assert found["retrieval_p"] > 0.05
    assert _value(found["ceiling_rank"]) > 0.95  # what real ones can tell is another matter


def test_covers_that_tell_nothing_have_no_ceiling():
    found = _told(noise=1e6)
    assert found["ceiling_p"] > 0.01
    assert abs(_value(found["ceiling_rank"]) - 0.5) < 0.2


def test_the_order_of_the_grid_is_its_own():
    conditions, covers, drawn = _world()
    order = np.random.default_rng(3).permutation(NUM_TRACKS)
    moved = {**drawn, "test": Drawn(drawn["test"].keys[order], drawn["test"].features[order])}
    args = (conditions, covers["train"], covers["test"])
    a, b = (cover_comparison._conditioning(*args, grid, 0) for grid in (drawn, moved))
    assert _value(a["retrieval_rank"]) == pytest.approx(_value(b["retrieval_rank"]))


def test_covers_as_the_real_ones_are_as_near_as_held_out_ones():
    _, covers, drawn = _world()
    found = cover_comparison._likeness(drawn["test"], covers["train"], covers["test"])
    assert found["fid"] == pytest.approx(found["fid_held_out"], rel=0.5)
    far = Drawn(drawn["test"].keys, drawn["test"].features + 5)
    worse = cover_comparison._likeness(far, covers["train"], covers["test"])
    assert worse["fid"] > 5 * found["fid"]
    assert worse["coverage"] < found["coverage"]


def test_copies_of_training_covers_have_no_distance():
    _, covers, _ = _world()
    copies = Drawn(np.array(["", ""]), covers["train"].features[:6].reshape(2, 3, -1))
    found = cover_comparison._likeness(copies, covers["train"], covers["test"])
    assert _value(found["nearest_cover_distance"]) == 0
    assert _value(found["nearest_cover_distance_held_out"]) > 0


def test_without_a_condition_covers_count_as_many_as_are_held_out():
    sets = cover_comparison._sets(Drawn(np.array([""]), np.zeros((1, 64, 4))), 25)
    assert [len(one) for one in sets] == [25, 25]
    assert [
        len(s) for s in cover_comparison._sets(Drawn(np.array([""]), np.zeros((1, 9, 4))), 25)
    ] == [9]


def test_every_measure_is_explained():
    _, covers, drawn = _world()
    found = _told() | cover_comparison._likeness(drawn["test"], covers["train"], covers["test"])
    assert not [name for name in found if name != "num_albums" and not wording.meaning(name)]


def test_tracks_of_an_album_count_once():
    covers = Covers(np.array([*"abcd"]), np.array(["y", "x", "y", "z"]), np.arange(4.0)[:, None])
    assert covers.first_of_albums.keys.tolist() == ["a", "b", "d"]


def test_samples_that_are_no_grid_are_not_measured():
    rows = [{"picture": np.zeros((2, 2, 3)), "key": key, "split": "test"} for key in "aab"]
    with pytest.raises(PipelineError, match="no grid of 2 tracks"):
        cover_comparison._drawn(rows, "test", lambda fields: np.zeros((3, 1)))


def test_a_model_that_is_told_nothing_has_no_retrieval(monkeypatch):
    _, covers, drawn = _world()
    monkeypatch.setattr(encoding, "encoder", lambda settings, name: None)
    monkeypatch.setattr(cover_comparison, "_real", lambda s, shards, split, encode: covers[split])
    monkeypatch.setattr(cover_comparison, "_drawn", lambda rows, split, encode: drawn[split])
    found = cover_comparison.measures(_Settings(None), "a_gan", None, [])
    assert "fid" in found
    assert not [key for key in found if key.startswith(("retrieval", "ceiling"))]
    assert all(isinstance(value, Measure | float) for value in found.values())


# --- what is claimed -----------------------------------------------------------------------------

GOOD = {
    "ceiling_p": 0.001,
    "retrieval_margin": 0.3,
    "retrieval_margin_low": 0.2,
    "retrieval_margin_high": 0.4,
    "retrieval_p": 0.001,
    "retrieval_rank_low": 0.8,
    "retrieval_rank_shuffled_high": 0.55,
}


@pytest.mark.parametrize(
    ("changes", "is_shuffled", "kind", "said"),
    [
        ({}, False, "good", "covers lead to their track"),
        ({"ceiling_p": 0.2}, False, "unknown", "nothing can be claimed"),
        ({"retrieval_margin_low": -0.1}, False, "even", "do not lead"),
        ({"retrieval_p": 0.2}, False, "even", "do not lead"),
        ({"retrieval_margin_low": -0.4, "retrieval_margin_high": -0.1}, False, "bad", "do not"),
        ({"retrieval_margin_low": None}, False, "unknown", "too few albums"),
        ({"retrieval_rank_low": 0.5}, False, "even", "a trace of the track"),
        ({}, True, "bad", "control does not fail"),
        ({"retrieval_rank_low": 0.5}, True, "even", "control fails but for a trace"),
        ({"retrieval_p": 0.6}, True, "good", "control fails, as it should"),
    ],
)
def test_what_is_claimed_follows_the_order_of_the_proof(changes, is_shuffled, kind, said):
    found = report_cover_tables.verdict_of_covers({**GOOD, **changes}, is_shuffled)
    assert found.kind == kind
    assert said in found.words


def test_an_encoder_is_judged_by_what_can_be_read_out_of_it():
    found = {f"genre_accuracy_margin{end}": 0.5 for end in ("", "_low", "_high")}
    as_classifier = {"accuracy_margin": -0.1, "accuracy_margin_low": -0.2}
    assert report_cover_tables.verdict_of_encoder(found | as_classifier).kind == "good"
    assert report_cover_tables.verdict_of_encoder(as_classifier).kind == "unknown"


def test_nothing_is_claimed_of_what_is_told_nothing():
    assert report_cover_tables.verdict_of_covers({"fid": 1.0}, False).kind == "unknown"
