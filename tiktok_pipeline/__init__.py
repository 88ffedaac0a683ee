"""A Dagster pipeline that polls data vendors about TikTok creators. Start reading at definitions.py."""
