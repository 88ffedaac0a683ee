"""Derive days from the lake: which days need it, and how a normalized day is made from raw hours."""
