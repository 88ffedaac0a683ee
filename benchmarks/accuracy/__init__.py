"""Accuracy of the derived numbers, on simulated data with known truth. See docs/methods.md."""
