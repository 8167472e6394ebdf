"""From a stream of real prompts to a benchmark: ingest, deduplicate, decontaminate, embed, cluster, annotate, select.

The pipeline is BenchBuilder's (Li et al., "From Crowdsourced Data to High-Quality Benchmarks"; code in
lmarena/arena-hard-auto, ``BenchBuilder/``), with what that code leaves out: deduplication, decontamination, sampling.
"""
