"""Upkeep: compaction, retention and measures, in one job a day."""
