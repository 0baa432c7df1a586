"""What benchmarks.fuzz feeds to the readers: formats, and how their inputs are damaged."""
