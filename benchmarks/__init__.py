"""Measured side by side in one run; results are kept as tables in docs/performance.md."""
