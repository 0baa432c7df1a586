"""Genres or tags of recordings, from their mel spectrograms."""

from pipeline.models import _classifier

RECIPE = _classifier.recipe(
    "mel_classifier", _classifier.MELS, baselines=("majority", "mfcc_statistics")
)
