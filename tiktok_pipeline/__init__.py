"""A Dagster pipeline that watches TikTok creators through data vendors. Start reading at definitions.py."""
