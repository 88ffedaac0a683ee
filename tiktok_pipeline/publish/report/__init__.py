"""The report: one self-contained HTML page, made only from the published snapshot."""
