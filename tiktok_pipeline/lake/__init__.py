"""Files of the lake: where they are, and how they are written and read."""
