"""Pure transforms on frames, one file per table. They know no vendor, no file and no Dagster."""
