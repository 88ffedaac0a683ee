"""Derive days from the lake: find the days that need it, and make normalized days from raw hours."""
