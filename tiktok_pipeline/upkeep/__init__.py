"""Upkeep: compaction, retention, repair, sizes and erasure. Plain Python; `defs/upkeep/` runs it."""
