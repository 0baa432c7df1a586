# The fan-out of one shard job; pipeline/shard.py writes the plans, runs this, and assembles.
# A job's only input is its plan: a small file, compared by checksum, so a checkout redoes nothing.
import sys

from snakemake.utils import min_version

min_version("9.0")


# For the kubernetes profile: an image of yours with this project installed takes its place.
container: "docker://python:3.11-slim"


rule all:
    input:
        expand(
            "shards/{shard}.{kind}", shard=config["shards"], kind=["tfrecord", "json"]
        ),


rule write_shard:
    input:
        "plan/{shard}.json",
    output:
        record="shards/{shard}.tfrecord",
        sidecar="shards/{shard}.json",
    log:
        "logs/{shard}.log",
    params:
        python=sys.executable,
    shell:
        "{params.python:q} -m pipeline.write_shard"
        " {input:q} {output.record:q} {output.sidecar:q} 2> {log:q}"
