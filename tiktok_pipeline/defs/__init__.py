"""Dagster, thin: one folder a layer, in the order in which data flows. Drop a file in and it is loaded."""
