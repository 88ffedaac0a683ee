"""Marts: streams, lift, leaderboards, one file a table."""
