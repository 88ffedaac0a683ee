"""Publishing: what people and BI tools read."""
