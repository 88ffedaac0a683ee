"""A replay against a hostile sandbox, and what must be left of it."""
