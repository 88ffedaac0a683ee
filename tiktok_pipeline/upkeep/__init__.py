"""What keeps a deployment small and fast while it runs for years. Plain Python; `defs/upkeep/` runs it."""
