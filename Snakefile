# The fan-out of one shard job; pipeline/shard.py writes the plans, runs this, and assembles.
# A job's only input is its plan: a small file, compared by checksum, so a checkout redoes nothing.
import sys

from snakemake.utils import min_version

min_version("9.0")


# For Snakemake's linter: nothing runs in it. profiles/kubernetes names an image of its own.
container: "docker://python:3.11-slim"


rule all:
    input:
        expand(
            "shards/{part}.{kind}",
            part=config["parts"],
            kind=["json", "train.tfrecord", "validation.tfrecord", "test.tfrecord"],
        ),


rule write_shard:
    input:
        "plan/{part}.json",
    output:
        multiext(
            "shards/{part}",
            ".train.tfrecord",
            ".validation.tfrecord",
            ".test.tfrecord",
        ),
        sidecar="shards/{part}.json",
    log:
        "logs/{part}.log",
    params:
        python=sys.executable,
    shell:
        '{params.python:q} -m pipeline.write_shard {input:q} "$(dirname {output.sidecar:q})" 2> {log:q}'
