"""Dagster definitions: one folder a layer, in the order of the data flow. Every file in them is loaded."""
