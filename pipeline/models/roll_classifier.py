"""Genres of phrases, from their piano rolls: a network of its own, to judge what others make."""

from pipeline.models import _classifier

RECIPE = _classifier.recipe(
    "roll_classifier", _classifier.ROLLS, baselines=("majority", "roll_histograms")
)
