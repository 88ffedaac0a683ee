"""Normalized assets: type, dedupe, quarantine."""
