"""Benchmarks of speed, accuracy and cost, each against a peer in the same run. Run one with `python -m
benchmarks.NAME`.
"""
