"""The report: one self-contained HTML page, made from the published snapshot and from nothing else."""
