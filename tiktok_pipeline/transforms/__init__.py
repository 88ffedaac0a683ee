"""Pure transforms on frames, one file per table. They import no vendor's API, no file access and no Dagster."""
