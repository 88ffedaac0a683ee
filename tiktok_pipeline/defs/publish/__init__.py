"""Publishing for people and BI tools: warehouse, Postgres and report."""
