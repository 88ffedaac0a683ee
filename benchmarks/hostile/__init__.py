"""A replay against a hostile sandbox, and the check of its results."""
