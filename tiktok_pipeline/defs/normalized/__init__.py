"""Normalized assets: set types, deduplicate, quarantine."""
