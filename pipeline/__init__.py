"""Stochos: published music datasets to TFRecords, to trained models, to one honest report."""

import warnings

# note_seq imports pydub, which warns that a program is missing that nothing here calls.
warnings.filterwarnings("ignore", message="Couldn't find ffmpeg or avconv")
