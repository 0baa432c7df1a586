"""A part of the stage report: the tables of encoders of tracks, and of models that draw covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import report_cells as cells
from pipeline.report_cells import Line, Model
from pipeline.report_columns import Column, Table
from pipeline.wording import Verdict, verdict

OF_COVERS = "fid"  # the marker of models that draw
OF_ENCODERS = "tempo_r2"
_SIGNIFICANT = 0.05


def verdict_of_covers(metrics: Mapping[str, Any], is_shuffled: bool) -> Verdict:
    """Whether covers follow the music, in the order in which that can be claimed.

    It is claimed where the intervals of the own tracks' ranks and of all others' are apart. A
    paired margin above 0 is a trace: a model trained on wrong pairs may lean the right way, too.

    Args:
      metrics: of the stage evaluate.
      is_shuffled: whether the model was trained on conditions dealt out anew, as a control.
    """
    if "retrieval_margin" not in metrics:
        return Verdict("unknown", "told nothing of the track")
    if metrics["ceiling_p"] > _SIGNIFICANT:
        return Verdict(
            "unknown", "nothing can be claimed: not even real covers lead to their track"
        )
    if None in (metrics["retrieval_margin_low"], metrics["retrieval_rank_low"]):
        return Verdict("unknown", "too few albums")
    has_trace = metrics["retrieval_margin_low"] > 0 and metrics["retrieval_p"] <= _SIGNIFICANT
    is_found = has_trace and metrics["retrieval_rank_low"] > metrics["retrieval_rank_shuffled_high"]
    if is_shuffled:
        if is_found:
            return Verdict("bad", "control does not fail")
        words = "control fails but for a trace" if has_trace else "control fails, as it should"
        return Verdict("even" if has_trace else "good", words)
    if is_found:
        return Verdict("good", "covers lead to their track")
    if has_trace:
        return Verdict("even", "a trace of the track: intervals are not apart")
    is_below = metrics["retrieval_margin_high"] < 0
    return Verdict("bad" if is_below else "even", "covers do not lead to their track")


def verdict_of_encoder(metrics: Mapping[str, Any]) -> Verdict:
    """Whether genres can be read out of its vectors, whatever else it is measured by."""
    margin = "genre_accuracy_margin"
    return verdict({key: value for key, value in metrics.items() if key.startswith(margin)})


def _verdict(model: Model) -> list[Line]:
    found = model["verdict"]
    condition = model["given"].get("condition")
    told = [Line(f"told: {condition}", "note", condition)] if condition else []
    return [Line(found.words, found.kind), *told]


TABLES = (
    Table(
        OF_ENCODERS,
        "Encoders of tracks",
        "Models that make a vector of a track. What it holds is read out of it by linear probes "
        "that are fitted to training tracks and asked about held-out ones.",
        (
            Column("verdict", cells.verdict, is_number=False),
            Column("trained on", cells.corpus, is_number=False),
            Column(
                "genre",
                cells.beside("genre_accuracy", "genre_accuracy_majority", "majority"),
                "share of the held-out tracks whose genre a logistic regression names; below it "
                "that of always naming the most frequent one.",
            ),
            Column(
                "margin",
                cells.value("genre_accuracy_margin", sign="+"),
                "the first minus the second; only an interval wholly above 0 counts.",
            ),
            Column(
                "tempo",
                cells.value("tempo_r2"),
                "R2: share of the variance of the tempo, in octaves, that a ridge regression "
                "explains; 0 for the mean, below it for worse.",
            ),
            Column("energy", cells.value("energy_r2"), "the same of Spotify's energy."),
            Column(
                "neighbours",
                cells.beside("neighbour_agreement", "neighbour_agreement_random", "random"),
                "share of a track's five nearest ones, its album's left out, that have its genre.",
            ),
        ),
    ),
    Table(
        "view_accuracy_margin",
        "Judges of pictures",
        "Networks whose features likeness, retrieval and nearest covers are measured by. Trained "
        "on the covers themselves: no distance here can be compared with a published FID, which is "
        "of an Inception network's features.",
        (
            Column("verdict", cells.verdict, is_number=False),
            Column("trained on", cells.corpus, is_number=False),
            Column(
                "views found",
                cells.value("view_accuracy"),
                "share of the held-out covers of which one crop is nearest to another crop of the "
                "same cover.",
            ),
            Column(
                "by colours or thumbnails",
                cells.baselines("view_accuracy"),
                "the same by histograms of colours and by thumbnails, the better one first.",
            ),
            Column(
                "margin",
                cells.value("view_accuracy_margin", sign="+"),
                "over thumbnails; only an interval wholly above 0 counts. Colours alone tell all "
                "apart where each cover has its own.",
            ),
        ),
    ),
    Table(
        OF_COVERS,
        "Covers for tracks",
        "Models that draw a cover for a held-out track. A linear predictor, fitted to real "
        "training covers, says which track a cover leads to.",
        (
            Column("verdict", _verdict, is_number=False),
            Column(
                "own track",
                cells.value("retrieval_rank"),
                "share of the other albums' tracks that are farther from what is read out of a "
                "cover than its own track is; 0.5 by chance, 1 at best.",
            ),
            Column(
                "shuffled",
                cells.value("retrieval_rank_shuffled"),
                "the same of the covers drawn for all other tracks: what conditions dealt out anew "
                "give.",
            ),
            Column(
                "p",
                cells.plain("retrieval_p", 4),
                "probability that conditions dealt out anew fit as well, of 2,000 permutations.",
            ),
            Column(
                "real covers",
                cells.beside("ceiling_rank", "ceiling_rank_from_generated", "learned of generated"),
                "the ceiling: how well real held-out covers lead to their track, and how well if "
                "the predictor is fitted to generated covers instead.",
            ),
            Column(
                "FID",
                cells.beside("fid", "fid_held_out", "held out"),
                "Fréchet distance to the training covers in the judge's features, of as many "
                "covers as are held out, beside that of these; lower is nearer.",
            ),
            Column(
                "KID",
                cells.beside("kid", "kid_held_out", "held out"),
                "kernel distance to the training covers, which few samples do not bias.",
            ),
            Column(
                "coverage",
                cells.beside("coverage", "coverage_held_out", "held out"),
                "share of the training covers in whose neighbourhood a generated one lies.",
            ),
            Column(
                "diversity",
                cells.beside(
                    "diversity_within_track", "diversity_between_tracks", "between tracks"
                ),
                "mean distance of two covers of one track, and of two tracks.",
            ),
        ),
    ),
)
