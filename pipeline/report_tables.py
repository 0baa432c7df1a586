"""A part of the stage report: the tables of results of models of music."""

from __future__ import annotations

from pipeline import report_cells as cells
from pipeline.report_columns import Column, Table

VERDICT = Column("verdict", cells.verdict, is_number=False)
_JUDGED = Column("verdict", cells.verdict_and_judge, is_number=False)
CORPUS = Column("corpus", cells.corpus, is_number=False)

MARGINS = ("nll_margin", "mean_spectrum_margin", "reconstruction_margin")  # of models of sound
TABLES = (
    Table(
        "pitch_accuracy",
        "Models of sound",
        "Models that pass held-out notes through a code and back. What they give back is heard by "
        "a classifier of pitch and instrument family that was fitted to original notes.",
        (
            VERDICT,
            CORPUS,
            Column(
                "pitch heard",
                cells.beside("pitch_accuracy", "pitch_accuracy_original", "originals"),
                "share of the notes whose pitch the classifier names, as given back and in the "
                "original: more than that cannot be hoped for. The harmonic and the spectral model "
                "are told the pitch, the WaveNet is not.",
            ),
            Column(
                "family heard",
                cells.beside("family_accuracy", "family_accuracy_original", "originals"),
                "the same for the family of the instrument, of which no note was in the training "
                "data.",
            ),
            Column(
                "nll",
                cells.beside("nll", "nll_control", "control"),
                "how surprised the decoder is by a sample of a held-out note, in nats, given those "
                "before it and the code of the whole note; of models that predict samples. Below "
                "it the same with no code, or with another note's, whichever is better.",
            ),
            Column(
                "best baseline",
                cells.value("nll_baseline"),
                "the same of the better of the frequencies of the classes and a linear predictor "
                "that looks as far back.",
            ),
            Column(
                "margin",
                cells.first(*MARGINS, sign="+"),
                "what it gains over its baseline: nll saved, in nats, or decibels nearer to the "
                "note's spectrum than the training notes' mean is; only an interval wholly above 0 "
                "counts.",
            ),
        ),
    ),
    Table(
        "nll",
        "Models of the next event",
        "On the test split of their corpus. Events of a melody are sixteenths, those of a "
        "performance onsets, ends, shifts of time and velocities: compare within a corpus only. "
        "nll and margin in nats an event.",
        (
            Column("verdict", cells.verdict_and_control, is_number=False),
            CORPUS,
            Column(
                "nll",
                cells.value("nll"),
                "how surprised a model is by an event of music it has not seen, in nats; lower is "
                "better.",
            ),
            Column(
                "best baseline",
                cells.value("nll_baseline"),
                "the best of many n-grams, which count what followed the last few events; chosen "
                "on the test data itself, in its own favour.",
            ),
            Column(
                "margin",
                cells.value("nll_margin", sign="+"),
                "nll that the model saves against that baseline, on the same tunes; only an "
                "interval wholly above 0 beats it.",
            ),
            Column(
                "control",
                cells.value("nll_control"),
                "the model with what it relies on taken away, such as its history swapped for "
                "another tune's; if that is not worse than the baseline, the model has not learned "
                "to listen.",
            ),
            Column(
                "accuracy",
                cells.beside("accuracy", "accuracy_baseline", "baseline"),
                "share of events at which the most probable guess is right.",
            ),
        ),
    ),
    Table(
        "accuracy_zeroed_latent",
        "Models with a latent vector",
        "Models that pass music through a latent vector and back, on the test split.",
        (
            VERDICT,
            CORPUS,
            Column(
                "accuracy",
                cells.value("accuracy"),
                "share of the steps that are right, given the passage's own past and its latent "
                "vector.",
            ),
            Column(
                "zeroed latent",
                cells.value("accuracy_zeroed_latent"),
                "the same with zeros for the vector: the model's own decoder without it is its "
                "baseline.",
            ),
            Column(
                "margin",
                cells.value("accuracy_margin", sign="+"),
                "the first minus the second; only an interval wholly above 0 shows that the vector "
                "is used.",
            ),
            Column(
                "sampled reconstruction",
                cells.value("accuracy_sampled"),
                "share of the steps that come back when the decoder goes on from its own samples.",
            ),
            Column(
                "latent (bits)", cells.value("kl_bits", 1), "what the vector tells of a passage."
            ),
        ),
    ),
    Table(
        "balanced_accuracy",
        "Classifiers",
        "Models that say which one class, such as a genre, music is of, on the test split. Some of "
        "them judge the models below.",
        (
            VERDICT,
            CORPUS,
            Column(
                "accuracy",
                cells.value("accuracy"),
                "share of the examples whose class it names.",
            ),
            Column(
                "balanced accuracy",
                cells.plain("balanced_accuracy"),
                "mean over the classes of the share of each that is found, so that a frequent "
                "class counts no more than a rare one.",
            ),
            Column(
                "baselines",
                cells.baselines("accuracy"),
                "accuracy of what is no neural network, the best one first: always the most "
                "frequent class (majority); logistic regression on counts of pitches and intervals "
                "(roll histograms); a support vector machine on the timbre's means and deviations "
                "(mfcc statistics).",
            ),
            Column(
                "margin",
                cells.value("accuracy_margin", sign="+"),
                "accuracy above the best baseline's, on the same examples; only an interval wholly "
                "above 0 beats it.",
            ),
        ),
    ),
    Table(
        "roc_auc",
        "Taggers",
        "Models that say which of many tags music has, on the test split; means over tags.",
        (
            CORPUS,
            Column(
                "ROC AUC",
                cells.value("roc_auc"),
                "how often an example with a tag stands above one without it; 0.5 by chance.",
            ),
            Column(
                "baselines' ROC AUC",
                cells.baselines("roc_auc"),
                "of what is no neural network, the best one first.",
            ),
            Column(
                "average precision",
                cells.value("average_precision"),
                "area under precision by recall; by chance the share of examples with the tag.",
            ),
            Column(
                "baselines' average precision",
                cells.baselines("average_precision"),
                "of the same ones.",
            ),
        ),
    ),
    Table(
        "condition_margin",
        "Models of a genre",
        "Models that are told a genre and make phrases of it from noise. A classifier that had no "
        "part in their training, the judge, says what it hears in each sample.",
        (
            _JUDGED,
            Column(
                "heard as asked",
                cells.value("condition_accuracy"),
                "share of the samples that the judge takes for the genre that was asked for.",
            ),
            Column(
                "by chance",
                cells.plain("condition_accuracy_shuffled"),
                "the same if the genres asked for are dealt out anew among the samples.",
            ),
            Column(
                "margin",
                cells.value("condition_margin", sign="+"),
                "the first minus the second; only an interval wholly above 0 shows that the genre "
                "can be heard.",
            ),
            Column(
                "held-out phrases",
                cells.value("condition_accuracy_held_out"),
                "share of the corpus's own held-out phrases that the same judge takes for their "
                "genre: as much as can be hoped for.",
            ),
            Column(
                "nearer to the data",
                cells.nearer,
                "in how many of the musical metrics the samples' mean is nearer to the training "
                "data's than that of the same model untrained, of training phrases whose notes are "
                "shuffled, and of marginal ones, whose cells are drawn each by its frequency in "
                "the genre.",
            ),
            Column(
                "diversity",
                cells.beside(
                    "pairwise_distance_within_genre",
                    "pairwise_distance_within_genre_held_out",
                    "held out",
                ),
                "how much two samples of one genre differ, from 0 (the same) to 1 (nothing in "
                "common), beside two held-out phrases of one genre: far below them, a model makes "
                "the same again and again.",
            ),
        ),
    ),
    Table(
        "transfer_strength_margin",
        "Transfers between genres",
        "Models that make a phrase of one genre into one of another, on held-out phrases. A "
        "classifier that had no part in their training, the judge, says what it hears.",
        (
            _JUDGED,
            Column(
                "strength",
                cells.value("transfer_strength_margin", sign="+"),
                "how far the transfer changes the judge's mind, and the way back changes it back: "
                "0 for copies, at most 1; only an interval wholly above 0 shows a transfer.",
            ),
            Column(
                "spread",
                cells.spread,
                "standard deviation of the strength between trainings that differ by their seed "
                "alone.",
            ),
            Column(
                "heard as target",
                cells.beside("accuracy_target", "accuracy_target_source", "before"),
                "share of the phrases that the judge takes for the genre they are to become, after "
                "the transfer and before it.",
            ),
            Column(
                "content kept",
                cells.beside("content_overlap", "content_overlap_random", "random pair"),
                "what sounds in both source and transfer (F1 of the cells of their piano rolls), "
                "from 0 to 1, beside a source and another song's transfer: what keeps no more than "
                "these has made something else, however strong it is.",
            ),
            Column(
                "harmony kept",
                cells.beside("chroma_cosine", "chroma_cosine_random", "random pair"),
                "how alike they are in the notes of the octave, beat by beat, from 0 to 1.",
            ),
        ),
    ),
    Table(
        "",
        "Compared with nothing",
        "Models of which nothing was measured but their samples.",
        (VERDICT, CORPUS),
    ),
)
