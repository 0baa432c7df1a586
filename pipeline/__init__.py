"""Stochos: published music datasets to TFRecords, to trained models, to one honest report."""
