"""Publish derived tables: DuckDB file, Parquet copies, Postgres, exports and the report."""
