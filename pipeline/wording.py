"""How the report puts numbers into words: verdicts, and names and numbers as a person writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline import wording_covers

_UNITS = {"seconds": "s", "hours": "h", "hz": "Hz", "db": "dB", "semitones": "semitones"}


class Verdict(NamedTuple):
    """A class for the page's colours (good, bad, even, unknown), and words that need no colour."""

    kind: str
    words: str


# What it says of a model that the whole interval of a margin is above 0, below 0, or neither; a
# model with several is judged by the first of them.
_VERDICTS = {
    "genre_accuracy_margin": ("tells genres", "below the majority", "does not tell genres"),
    "view_accuracy_margin": ("beats thumbnails", "loses to thumbnails", "does not beat thumbnails"),
    "nll_margin": ("beats its baseline", "loses to its baseline", "does not beat its baseline"),
    "condition_margin": ("heard as asked", "heard below chance", "not heard above chance"),
    "reconstruction_margin": ("beats its baseline", "loses to its baseline", "does not beat it"),
    "mean_spectrum_margin": ("beats its baseline", "loses to its baseline", "does not beat it"),
    "transfer_strength_margin": (
        "nearer to the target genre",
        "farther from the target genre",
        "no nearer to the target genre",
    ),
}


def verdict(metrics: Mapping[str, Any]) -> Verdict:
    """Whether a model does what it must: the whole interval of each margin must be above 0.

    Args:
      metrics: of the stage evaluate; the margin that the words are about is nll_margin, in nats
        an event, condition_margin, transfer_strength_margin, or else the first that ends in
        _margin.
    """
    margins = [key.removesuffix("_low") for key in metrics if key.endswith("_margin_low")]
    margin = next((key for key in (*_VERDICTS, *margins) if key in margins), "")
    low, high = metrics.get(f"{margin}_low"), metrics.get(f"{margin}_high")
    if low is None or high is None:
        return Verdict("unknown", "not compared: no margin")
    good, bad, even = _VERDICTS.get(margin, _VERDICTS["nll_margin"])
    others = [metrics[f"{key}_low"] for key in margins]
    if low > 0 and all(lowest is not None and lowest > 0 for lowest in others):
        return Verdict("good", good)
    return Verdict("bad", bad) if high < 0 else Verdict("even", even)


def control_verdict(metrics: Mapping[str, Any]) -> Verdict:
    """Whether the control fails, as it must: its nll (nats an event) is to be above the baseline's.

    It shows something only where the model itself beats the baseline.

    Args:
      metrics: of the stage evaluate.
    """
    control, baseline = metrics.get("nll_control"), metrics.get("nll_baseline")
    if control is None or baseline is None:
        return Verdict("unknown", "no control")
    if control <= baseline:
        return Verdict("bad", "control does not fail")
    if verdict(metrics).kind != "good":
        return Verdict("unknown", "control fails, too")
    return Verdict("good", "control fails, as it should")


def words(name: str) -> str:
    """A metric's name as a person writes it, its unit in brackets.

    >>> words("num_notes"), words("note_density_hz"), words("pitch_mean")
    ('notes', 'note density (Hz)', 'mean pitch')
    """
    bare = name.removeprefix("num_")
    stem, _, last = bare.rpartition("_")
    if stem and last in _UNITS:
        bare = f"{stem} ({_UNITS[last]})"
    elif stem and last == "mean":
        bare = f"mean {stem}"
    return bare.replace("_", " ")


def number(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A dash where undefined; whole numbers in full, others to so many digits.

    >>> number(None), number(12345), number(-0.5, 2, "+")
    ('–', '12,345', '−0.50')
    """
    if value is None:
        return "–"
    form = "," if isinstance(value, int) else f",.{digits}f"
    return format(value, sign + form).replace("-", "−")


def meaning(name: str, is_classifier: bool = False) -> str:
    """What a measure is, in plain words; "" where that is not known.

    Args:
      name: a key of the metrics that evaluate leaves.
      is_classifier: whether they are of a model that judges music: its accuracy is another one.

    Example:
      >>> meaning("empty_bar_rate_strings")
      'share of the bars in which nothing of the strings sounds'
    """
    known = MUSICAL | MEASURED | (_OF_CLASSIFIERS if is_classifier else {})
    if name in known:
        return known[name]
    composed = _COMPOSED | (_COMPOSED_OF_CLASSIFIERS if is_classifier else {})
    for prefix, text in composed.items():
        if name.startswith(prefix):
            return text.format(name.removeprefix(prefix).replace("_", " "))
    return ""


# Of pieces, in the order of the report.
MUSICAL = {
    "num_pitches_used": "different pitches in a tune",
    "num_pitch_classes_used": "different notes of the octave in a tune, of 12",
    "pitch_range": "highest minus lowest pitch, in semitones",
    "empty_beat_rate": "share of the beats in which nothing sounds",
    "empty_measure_rate": "share of the bars in which nothing sounds",
    "polyphony": "pitches that sound at once, where any does",
    "polyphony_rate": "share of the time in which two pitches or more sound",
    "scale_consistency": "share of the notes in the best-fitting major scale",
    "pitch_entropy": "how evenly pitches are used, in bits",
    "pitch_class_entropy": "how evenly the notes of the octave are used, in bits",
    "groove_consistency": "how much the rhythm of a bar is like that of the next; 1 is the same",
    "drum_in_pattern_rate": "share of the drum hits on eighths; a sixteenth beside counts a tenth",
} | wording_covers.PICTURES
# Those that the report also draws, of what a model has.
DRAWN = (
    *("pitch_range", "num_pitches_used", "scale_consistency", "pitch_class_entropy"),
    *("groove_consistency", "empty_beat_rate", "drum_in_pattern_rate", "empty_bar_rate_drums"),
    *("empty_bar_rate_bass", "num_pitch_classes_per_bar_piano", "qualified_note_rate_piano"),
    "tonal_distance_piano_bass",
    *("brightness", "colourfulness", "hue_concentration", "edge_density"),
)
# Of a model and what its samples are taken for, in the order of the report.
MEASURED = {
    "accuracy": "share of the steps that are right, given the passage's own past and its latent "
    "vector",
    "accuracy_zeroed_latent": "the same with the latent vector set to zeros: what the past alone "
    "gives",
    "accuracy_margin": "what the latent vector adds; only an interval wholly above 0 shows that "
    "it is used",
    "accuracy_sampled": "share of the steps that come back when the decoder goes on from its own "
    "samples",
    "accuracy_greedy": "the same, taking the likeliest at each step",
    "kl_bits": "what the latent vector tells of a passage, in bits",
    "nll_bound": "reconstruction and KL, in nats an event (a step of a part): the nll is no more "
    "than this",
    "nll_per_note": "surprise by a note with all its events, in nats",
    "nll_per_second": "surprise by a second of music, in nats",
    "condition_accuracy": "share of the samples that the judge takes for the genre asked for",
    "condition_accuracy_shuffled": "the same with the genres asked for dealt out anew: what chance "
    "gives",
    "condition_margin": "the first minus the second; only an interval wholly above 0 shows that "
    "the genre is heard",
    "condition_accuracy_held_out": "share of the corpus's held-out phrases that the judge takes "
    "for their genre",
    "transfer_strength_margin": "how far the judge's mind is changed, and back by the way back: 0 "
    "for copies, at most 1; mean of both directions and all seeds",
    "transfer_strength_spread": "standard deviation of the strength between seeds",
    "accuracy_target_source": "share of the sources that the judge takes for the target genre "
    "already",
    "accuracy_target": "share of the transfers that it takes for the target genre",
    "accuracy_cycled": "share that it takes for the source's genre again after the way back",
    "content_overlap": "what source and transfer have in common: F1 of the cells in which a "
    "pitched track sounds; 1 is the same",
    "content_overlap_random": "the same with another song's transfer: what chance gives",
    "content_margin": "the first minus the second; only an interval wholly above 0 shows that the "
    "source is kept",
    "chroma_cosine": "how alike source and transfer are in the notes of the octave, beat by beat; "
    "1 is the same",
    "chroma_cosine_random": "the same with another song's transfer: what chance gives",
    "pitch_accuracy": "share of the notes given back whose pitch the classifier names",
    "pitch_accuracy_original": "the same of the original notes",
    "family_accuracy": "share of the notes given back whose instrument family it names",
    "family_accuracy_original": "the same of the original notes",
    "timbre_distance_db": "root mean square distance of the spectra of notes given back from the "
    "notes', over what sounds, in dB",
    "timbre_distance_other_db": "the same with the timbre of an instrument of another family",
    "timbre_distance_mean_db": "the same of the training notes' mean spectrum at each level",
    "timbre_margin": "what the own timbre is nearer by than the other; above 0 it is used",
    "mean_spectrum_margin": "what the model is nearer by than the mean spectrum",
    "lsd_db": "log-spectral distance of spectrograms given back from the notes', before a phase is "
    "made",
    "lsd_mean_spectrogram_db": "the same of the training notes' mean spectrogram",
    "lsd_other_latent_db": "the same with the latent of another note",
    "reconstruction_margin": "what the model is nearer by than the mean spectrogram",
    "latent_margin": "what the own latent is nearer by than another's; above 0 it is used",
    "nearest_training_distance": "distance of a sample from the most alike training sound, by its "
    "cepstra",
    "frechet_mfcc_distance": "Fréchet distance of the samples' cepstra from the training sounds'; "
    "not comparable with published distances",
    "pairwise_mfcc_distance": "how much two samples differ, by their cepstra",
    "pairwise_distance": "how much two pieces differ: 0 are the same, 1 have no cell in common",
    "pairwise_distance_within_genre": "the same between pieces of one genre",
} | wording_covers.MEASURED
# Those of them that evaluate leaves as plain numbers.
WITHOUT_INTERVAL = (
    *("balanced_accuracy", "roc_auc", "average_precision"),
    "transfer_strength_spread",
    *wording_covers.WITHOUT_INTERVAL,
)
_OF_CLASSIFIERS = {
    "accuracy": "share of the examples whose class it names",
    "accuracy_margin": "accuracy above that of the best baseline; only an interval wholly above 0 "
    "beats it",
    "accuracy_above_majority": "accuracy above that of the most frequent class",
    "balanced_accuracy": "mean over the classes of the share of each that is found: a frequent one "
    "counts no more than a rare one",
    "accuracy_majority": "accuracy of always naming the most frequent class of the training data",
    "roc_auc": "that an example with a tag stands above one without it; 0.5 by chance, mean of "
    "tags",
    "average_precision": "area under precision by recall; by chance the tag's share, mean of tags",
}
# By how a name begins; what it ends with takes the place of {}.
_COMPOSED = {
    "empty_bar_rate_": "share of the bars in which nothing of the {} sounds",
    "num_pitch_classes_per_bar_": "different notes of the octave in a bar of the {} that is not "
    "empty",
    "qualified_note_rate_": "share of the notes of the {} that last an eighth or longer: low for "
    "fragments",
    "tonal_distance_": "how far apart the harmonies of these two are, beat by beat; 0 is the same",
    "accuracy_": "accuracy of the {}",
    "condition_accuracy_": "the same among the samples that were to be {}",
    "transfer_strength_seed_": "strength of the model of seed {} alone",
    "transfer_strength_": "strength from {}",
}
_COMPOSED_OF_CLASSIFIERS = {
    "accuracy_": "accuracy of the baseline: {}, without a neural network",
    "roc_auc_": "ROC AUC of the baseline: {}",
    "average_precision_": "average precision of the baseline: {}",
}
