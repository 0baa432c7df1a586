"""Signal processing that codecs, metrics, models and transfers share: pure functions of arrays."""
